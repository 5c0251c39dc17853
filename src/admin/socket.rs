//! The Unix socket for what changes something: whoever connects is judged by the uid that the
//! kernel names.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::accounts::Accounts;
use crate::admin::api;
use crate::admin::connection::{self, Places};

/// Where the socket is and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    pub path: PathBuf,
    /// Beside root and the gateway's own user.
    pub uids: Vec<u32>,
}

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another process serves the admin socket `{0}`")]
    InUse(String),
    #[error("`{0}` is there and is not a socket")]
    NotASocket(String),
    #[error("the admin socket `{path}` cannot be made")]
    Bind {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// A bound socket; the file goes when this is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Of the file that we made: another process may have put its own there since.
    inode: u64,
    uids: Vec<u32>,
}

impl AdminSocket {
    /// Binds the socket: mode 0600, or 0666 when other uids are listed, since connecting needs the
    /// right to write. Takes the place of a socket that no process serves any more.
    ///
    /// # Errors
    /// Another process serves it, or the file cannot be made.
    pub async fn bind(settings: SocketSettings) -> Result<Self, SocketError> {
        let SocketSettings { path, mut uids } = settings;
        check_place(&path).await?;
        let failed = |source| SocketError::Bind {
            path: path.display().to_string(),
            source,
        };
        let mode = if uids.is_empty() { 0o600 } else { 0o666 };
        uids.push(0);
        uids.push(own_uid().map_err(failed)?);
        // Bound aside and moved into place: nobody can connect before the mode is right.
        let aside = path.with_added_extension(std::process::id().to_string());
        let listener = bind_aside(&aside, mode).map_err(failed)?;
        let moved = fs::rename(&aside, &path).and_then(|()| fs::metadata(&path));
        let inode = match moved {
            Ok(metadata) => metadata.ino(),
            Err(source) => {
                drop(fs::remove_file(&aside));
                return Err(failed(source));
            }
        };
        Ok(Self {
            listener,
            path,
            inode,
            uids,
        })
    }

    /// Serves operators, for ever.
    pub async fn serve(self, accounts: Accounts) {
        let places = Places::new();
        loop {
            let Some(place) = places.take().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    connection::back_off(error).await;
                    continue;
                }
            };
            let operator = self.judge(&stream);
            let accounts = accounts.clone();
            tokio::spawn(async move {
                connection::serve(stream, async |req| {
                    api::respond(req, operator, &accounts).await
                })
                .await;
                drop(place);
            });
        }
    }

    /// Whom the kernel names at the other end, when that user is allowed.
    fn judge(&self, stream: &UnixStream) -> Option<Operator> {
        match stream.peer_cred() {
            Ok(peer) if self.uids.contains(&peer.uid()) => Some(Operator { uid: peer.uid() }),
            Ok(peer) => {
                tracing::warn!(
                    uid = peer.uid(),
                    "a user who is not listed tried the admin socket"
                );
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the user at the admin socket is not known");
                None
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path).is_ok_and(|m| m.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the admin socket's file cannot be removed");
        }
    }
}

/// Somebody whose uid may change accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    pub uid: u32,
}

/// Whether `path` is free, or a socket that its process has left behind.
async fn check_place(path: &Path) -> Result<(), SocketError> {
    let shown = || path.display().to_string();
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(SocketError::NotASocket(shown())),
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => Err(SocketError::InUse(shown())),
            Err(_) => Ok(()),
        },
    }
}

fn bind_aside(aside: &Path, mode: u32) -> io::Result<UnixListener> {
    drop(fs::remove_file(aside));
    let listener = UnixListener::bind(aside)?;
    fs::set_permissions(aside, Permissions::from_mode(mode))?;
    Ok(listener)
}

/// The kernel makes `/proc/self` the process's own.
fn own_uid() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|m| m.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: PathBuf) -> SocketSettings {
        SocketSettings {
            path,
            uids: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(settings(path.clone())).await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = AdminSocket::bind(settings(path.clone())).await;
        assert!(matches!(second, Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = AdminSocket::bind(settings(path.clone())).await.unwrap();
        drop(socket);
        fs::write(&path, "precious").unwrap();
        let refused = AdminSocket::bind(settings(path.clone())).await;
        assert!(matches!(refused, Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_user_is_allowed_by_the_uid_that_the_kernel_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let mut socket = AdminSocket::bind(settings(path.clone())).await.unwrap();
        let client = UnixStream::connect(&path).await.unwrap();
        let (server, _) = socket.listener.accept().await.unwrap();
        assert!(socket.judge(&server).is_some());
        socket.uids = vec![u32::MAX];
        assert!(socket.judge(&server).is_none());
        drop(client);
    }
}
