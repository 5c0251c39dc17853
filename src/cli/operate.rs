//! Where a command on accounts is carried out: by the running gateway, or here.

use std::path::Path;

use crate::accounts::{Accounts, Origin};
use crate::admin::Operation;
use crate::admin::client::{self, ClientError};
use crate::cli::failure::Failure;
use crate::clock::Clock;
use crate::config::OperatorConfig;

/// Has `command` carried out by the gateway that serves the admin socket; when none does, in the
/// database, which a gateway on the same database notices within a second.
pub(super) fn operate<O: Operation>(config: &Path, command: O) -> Result<O::Answer, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(&error))?
        .block_on(carry_out(config, command))
}

async fn carry_out<O: Operation>(config: &Path, command: O) -> Result<O::Answer, Failure> {
    if let Some(socket) = OperatorConfig::socket(config)? {
        match client::command(&socket, &command).await {
            Ok(answer) => return Ok(answer),
            Err(ClientError::Absent) => {}
            Err(error) => return Err(Failure::other(&error)),
        }
    }
    let config = OperatorConfig::load(config)?;
    let accounts = Accounts::open(&config.settings, config.rules, Clock::system())
        .await
        .map_err(|error| Failure::other(&error))?;
    let done = command
        .perform(&accounts, &Origin::operator(whoami()))
        .await;
    accounts.close().await;
    done.map_err(|error| Failure::other(&error))
}

/// The user who runs the command, for the audit log.
fn whoami() -> String {
    use std::os::unix::fs::MetadataExt;
    // The kernel makes `/proc/self` the process's own.
    match std::fs::metadata("/proc/self") {
        Ok(own) => format!("uid {}", own.uid()),
        Err(_) => String::from("unknown"),
    }
}
