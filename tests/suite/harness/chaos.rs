//! A relay between the gateway and a server that a test can cut, hang and mend.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the connections that go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Connections are opened and then nothing comes any more.
    Hung,
    /// Every connection, old or new, is closed.
    Cut,
}

/// The relay; dropping it closes everything.
pub struct Chaos {
    port: u16,
    weather: watch::Sender<Weather>,
    task: tokio::task::JoinHandle<()>,
}

impl Chaos {
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, watched) = watch::channel(Weather::Clear);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, target, watched.clone()));
            }
        });
        Self {
            port,
            weather,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let mut server = None;
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return,
            Weather::Hung => {
                if weather.changed().await.is_err() {
                    return;
                }
            }
            Weather::Clear => {
                if server.is_none() {
                    let Ok(stream) = TcpStream::connect(target).await else {
                        return;
                    };
                    server = Some(stream);
                }
                let Some(stream) = &mut server else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, stream) => return,
                    changed = weather.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}
