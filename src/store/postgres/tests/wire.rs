//! A relay before the server that loses what a test wants to be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Nothing,
    /// Everything, without a word: connections stay open.
    Everything,
    /// The next commit, on its way to the server.
    Commit,
    /// The server's answer to the next commit.
    Answer,
}

/// The relay; dropping it closes everything.
pub struct Wire {
    pub port: u16,
    loss: Arc<watch::Sender<Loss>>,
    /// Commits that were lost, or whose answers were.
    pub lost: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loss = Arc::new(watch::Sender::new(Loss::Nothing));
        let lost = Arc::new(AtomicUsize::new(0));
        let (told, counted) = (Arc::clone(&loss), Arc::clone(&lost));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(
                    client,
                    server,
                    Arc::clone(&told),
                    Arc::clone(&counted),
                ));
            }
        });
        Self {
            port,
            loss,
            lost,
            task,
        }
    }

    pub fn lose(&self, loss: Loss) {
        self.loss.send_replace(loss);
    }

    pub fn losses(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut client: TcpStream,
    server: u16,
    loss: Arc<watch::Sender<Loss>>,
    lost: Arc<AtomicUsize>,
) {
    let mut told = loss.subscribe();
    let nothing_is_hung = told.wait_for(|loss| *loss != Loss::Everything).await;
    drop(nothing_is_hung);
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            sent = client.read(&mut up) => {
                let Ok(length @ 1..) = sent else { return };
                let text = &up[..length];
                let commits = text.windows(6).any(|word| word == b"COMMIT");
                let now = *loss.borrow();
                match now {
                    Loss::Commit if commits => {
                        loss.send_replace(Loss::Nothing);
                        lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Loss::Answer if commits => {
                        server.write_all(text).await.unwrap();
                        assert!(server.read(&mut down).await.unwrap() > 0);
                        loss.send_replace(Loss::Nothing);
                        lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Loss::Everything => {
                        drop(told.wait_for(|loss| *loss != Loss::Everything).await);
                    }
                    Loss::Nothing | Loss::Commit | Loss::Answer => {}
                }
                if server.write_all(text).await.is_err() {
                    return;
                }
            }
            received = server.read(&mut down) => {
                let Ok(length @ 1..) = received else { return };
                if *loss.borrow() == Loss::Everything {
                    drop(told.wait_for(|loss| *loss != Loss::Everything).await);
                }
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
