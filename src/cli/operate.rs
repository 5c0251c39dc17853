//! Where a command on accounts is carried out: by the running gateway, or here.

use std::path::{Path, PathBuf};

use crate::accounts::{Accounts, Origin};
use crate::admin::Operation;
use crate::admin::client::{self, ClientError};
use crate::cli::failure::Failure;
use crate::clock::Clock;
use crate::config::OperatorConfig;

/// Has `command` carried out by the gateway that serves the admin socket; when none does, in the
/// database, which a gateway on the same database notices within a second.
pub(super) fn operate<O: Operation>(config: &Path, command: O) -> Result<O::Answer, Failure> {
    with_door(config, async |door| door.carry_out(command).await)
}

/// Lets `work` have several commands carried out, one after the other.
pub(super) fn with_door<T>(
    config: &Path,
    work: impl AsyncFnOnce(&mut Door<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(&error))?;
    runtime.block_on(async {
        let mut door = Door {
            socket: OperatorConfig::socket(config)?,
            config,
            here: None,
        };
        let done = work(&mut door).await;
        if let Some(accounts) = door.here {
            accounts.close().await;
        }
        done
    })
}

/// The way to the accounts: a gateway's socket as long as one serves it, or the database.
pub(super) struct Door<'a> {
    socket: Option<PathBuf>,
    config: &'a Path,
    here: Option<Accounts>,
}

impl Door<'_> {
    pub(super) async fn carry_out<O: Operation>(
        &mut self,
        command: O,
    ) -> Result<O::Answer, Failure> {
        if let Some(socket) = &self.socket {
            match client::command(socket, &command).await {
                Ok(answer) => return Ok(answer),
                Err(ClientError::Absent) => {}
                Err(error) => return Err(Failure::other(&error)),
            }
        }
        let accounts = self.accounts().await?;
        let origin = Origin::operator(whoami());
        let done = command.perform(&accounts, &origin).await;
        done.map_err(|error| Failure::other(&error))
    }

    /// The accounts in the database, opened once.
    async fn accounts(&mut self) -> Result<Accounts, Failure> {
        if let Some(accounts) = &self.here {
            return Ok(accounts.clone());
        }
        let config = OperatorConfig::load(self.config)?;
        let opened = Accounts::open(&config.settings, config.rules, Clock::system()).await;
        let opened = opened.map_err(|error| Failure::other(&error))?;
        Ok(self.here.insert(opened).clone())
    }
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
