//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, alive.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Pulse;

/// The service is up: every port is bound and what it needs is loaded. `status` is the line for `systemctl status`.
pub fn ready(status: &'static str) {
    send(&[NotifyState::Status(status), NotifyState::Ready]);
}

/// The configuration is being read again; follow with [`ready`], whatever came of it.
pub fn reloading() {
    // systemd 253 and later insist on the time with it; 252 ignores it.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The service finishes what is under way.
pub fn stopping() {
    send(&[NotifyState::Status("draining"), NotifyState::Stopping]);
}

/// Tells the watchdog every half of its interval that the workers are alive, while they are. Returns at
/// once when the service manager has set no watchdog.
pub async fn feed_watchdog(pulse: Pulse) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let half = (interval / 2).max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval(half);
    loop {
        ticks.tick().await;
        if pulse.beats(half).await {
            send(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a worker does not answer; the watchdog is not fed");
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// Runs the test `name` of this module in a process of its own, with `variables` set, and gives
    /// what the service manager heard.
    fn heard(name: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored"])
            .arg(format!("server::systemd::tests::{name}"))
            .env("NOTIFY_SOCKET", &path)
            .env_remove("WATCHDOG_PID")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        socket.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        heard
    }

    #[test]
    #[ignore = "runs inside the_service_manager_hears_each_step"]
    fn inside_each_step() {
        super::ready("well");
        super::reloading();
        super::stopping();
    }

    #[test]
    fn the_service_manager_hears_each_step() {
        let heard = heard("inside_each_step", &[]);
        assert_eq!(heard[0], "STATUS=well\nREADY=1\n");
        assert!(
            heard[1].starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{heard:?}"
        );
        assert_eq!(heard[2], "STATUS=draining\nSTOPPING=1\n");
    }

    #[test]
    fn without_a_service_manager_nothing_is_sent_or_logged() {
        super::ready("well");
    }
}
