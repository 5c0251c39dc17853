//! The demo's folder: certificates, a signing key, the database, and the configuration made of
//! them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::authn::algorithm::Algorithm;
use crate::authn::keys::{self, KeyError};
use crate::clock::Clock;
use crate::secret;
use crate::server::dev_cert::{DevCertError, DevCertificate};

/// A folder that has everything to run the demo from.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    certificate: DevCertificate,
    person: String,
}

/// Why the folder cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("`{path}` cannot be written")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("no development certificate can be made")]
    Certificate(#[source] DevCertError),
    #[error("no signing key can be made")]
    Key(#[source] KeyError),
}

/// Where the demo listens and where its backend does.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub https: u16,
    pub echo: SocketAddr,
}

impl Folder {
    /// Makes the folder at `path`, or takes up what an earlier demo left there: accounts stay.
    /// The configuration is written anew, and the certificate when it is about to expire.
    ///
    /// # Errors
    /// Something in it cannot be made or written.
    pub fn prepare(path: &Path, ports: Ports, clock: &Clock) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Write {
            path: path.display().to_string(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let used = path.join("accounts.db").exists();
        let certificate =
            DevCertificate::find_or_make(&path, clock).map_err(FolderError::Certificate)?;
        let folder = Self {
            path,
            certificate,
            person: person(used),
        };
        folder.write_key()?;
        folder.write("portcullis.toml", folder.written(ports).as_bytes())?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn configuration(&self) -> PathBuf {
        self.path.join("portcullis.toml")
    }

    /// The certificate authority that clients are to trust.
    pub fn ca(&self) -> &Path {
        &self.certificate.ca
    }

    /// An address that has no account here yet.
    pub fn person(&self) -> &str {
        &self.person
    }

    /// One key for the life of the folder: tokens outlive a restart.
    fn write_key(&self) -> Result<(), FolderError> {
        if self.path.join("token.key").exists() {
            return Ok(());
        }
        let key = keys::generate(Algorithm::Es256).map_err(FolderError::Key)?;
        self.write("token.key", key.as_bytes())
    }

    /// The configuration of the demo.
    fn written(&self, Ports { https, echo }: Ports) -> String {
        let [cert, key] = [&self.certificate.files.chain, &self.certificate.files.key]
            .map(|file| file.display().to_string());
        let socket = self.path.join("admin.sock");
        // A socket's path has at most 107 bytes (unix(7)), and is bound under a longer name first.
        let admin = if socket.as_os_str().len() < 90 {
            "admin_socket = \"admin.sock\"\n"
        } else {
            ""
        };
        format!(
            r#"# Written by `portcullis demo` at each start.

[server]
https = ["127.0.0.1:{https}"]
public_url = "https://localhost:{https}"
{admin}
[tls]
certificates = [{{ cert = {cert:?}, key = {key:?} }}]

[accounts]
database = "sqlite:accounts.db"
registration = "open"
profiles = ["native", "praisonai", "rag-modulo"]

[passwords]
preset = "compat"

[[tokens.key]]
id = "demo"
algorithm = "ES256"
key = {{ file = "token.key" }}

[log]
format = "text"
level = "warn"
access = {{ file = "access.log" }}

[[upstream]]
name = "echo"
servers = ["http://{echo}"]

# Somebody who tries things out is one address: the default limits would stop a script soon.
[[limit]]
name = "credential"
key = "client"
rate = "600/min"

[[limit]]
name = "registration"
key = "client"
rate = "600/min"

[[route]]
path = "/public/**"
upstream = "echo"
auth = "none"

[[route]]
path = "/**"
upstream = "echo"
auth = "required"
"#
        )
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let write = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?
                .write_all(bytes)
        };
        write().map_err(|source| FolderError::Write {
            path: path.display().to_string(),
            source,
        })
    }
}

/// Alice; after the first time somebody new, so that registering works whenever it is pasted.
fn person(used: bool) -> String {
    if used {
        let [a, b, c] = secret::random::<3>();
        format!("alice-{a:02x}{b:02x}{c:02x}@example.com")
    } else {
        String::from("alice@example.com")
    }
}
