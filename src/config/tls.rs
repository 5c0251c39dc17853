//! The section `[tls]`: certificates, and the oldest version that is spoken.

use std::path::PathBuf;

use super::reader::{FromToml, Table, Value, Wrong};
use crate::server::{CertificateFiles, Certificates, OldestTls};

/// What `[tls]` says, with its files read. A reload replaces the certificates.
pub struct TlsSection {
    pub certificates: Certificates,
    /// Read when the process starts.
    pub oldest: OldestTls,
}

/// Reads `[tls]`; `None` when it is absent, or wrong (then it is reported).
pub fn read(root: &mut Table<'_>) -> Option<TlsSection> {
    let mut section = root.table("tls")?;
    let files = section.list::<CertificateFiles>("certificates");
    let oldest = section.or("min_version", OldestTls::default());
    let certificates = if files.is_empty() {
        if !section.has("certificates") {
            let help = "add certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
            section.wrong_with_help("certificates", "there is no certificate", help);
        }
        None
    } else {
        let loaded = Certificates::load(&files);
        loaded
            .map_err(|error| section.wrong("certificates", error))
            .ok()
    };
    section.count_at_start(&["min_version"]);
    section.finish();
    Some(TlsSection {
        certificates: certificates?,
        oldest,
    })
}

/// A file by its path, or by the name of a systemd credential.
struct PemFile(PathBuf);

impl FromToml for CertificateFiles {
    const EXPECTED: &'static str = "{ cert = \"site.pem\", key = \"site.key\" }";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let expected = || Wrong::Expected(String::from(Self::EXPECTED));
        let mut table = value.as_table().ok_or_else(expected)?;
        let chain = table.required::<PemFile>("cert");
        let key = table.required::<PemFile>("key");
        table.finish();
        match (chain, key) {
            (Some(PemFile(chain)), Some(PemFile(key))) => Ok(Self { chain, key }),
            (_, _) => Err(Wrong::Reported),
        }
    }
}

impl FromToml for PemFile {
    const EXPECTED: &'static str =
        "a path, absolute or from the folder of this file, or { credential = \"NAME\" }";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        if value.as_str().is_some() {
            return PathBuf::from_toml(value).map(Self);
        }
        let expected = || Wrong::Expected(String::from(Self::EXPECTED));
        let mut table = value.as_table().ok_or_else(expected)?;
        let name = table.required::<String>("credential");
        table.finish();
        let name = name.ok_or(Wrong::Reported)?;
        credential(&name).map(Self)
    }
}

/// Credentials are files in the folder that systemd names (systemd.exec(5), LoadCredential=).
fn credential(name: &str) -> Result<PathBuf, Wrong> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|_| plain);
    let folder = folder.ok_or_else(|| {
        let problem = format!("credential {name}: systemd gave this process no such credential");
        Wrong::Refused(format!("{problem} (LoadCredential={name}:/path)"))
    })?;
    Ok(PathBuf::from(folder).join(name))
}

impl FromToml for OldestTls {
    const EXPECTED: &'static str = "\"1.2\" or \"1.3\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("1.2") => Ok(OldestTls::Tls12),
            Some("1.3") => Ok(OldestTls::Tls13),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::server::dev_cert::DevCertificate;

    fn problems(folder: &Path, text: &str) -> String {
        let file = folder.join("p.toml");
        let result = crate::config::reader::read(&file, text, |mut root| {
            let section = read(&mut root);
            root.finish();
            section
        });
        result.err().map_or(String::new(), |p| p.to_string())
    }

    #[test]
    fn certificates_are_read_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        DevCertificate::make(folder.path(), &Clock::system()).unwrap();
        for (text, expected) in [
            (
                "[tls]\ncertificates = [{ cert = \"localhost.pem\", key = \"localhost.key\" }]",
                "",
            ),
            (
                "[tls]\ncertificates = [{ cert = \"localhost.pem\", key = \"ca.pem\" }]",
                "holds no private key",
            ),
            (
                "[tls]\ncertificates = [{ cert = \"gone.pem\", key = \"localhost.key\" }]",
                "gone.pem",
            ),
            (
                "[tls]\ncertificates = [{ cert = \"localhost.pem\" }]",
                "the key `key` is missing",
            ),
            (
                "[tls]\ncertificates = [{ cert = \"a.pem\", key = { credential = \"../k\" } }]",
                "no such credential",
            ),
            ("[tls]\nmin_version = \"1.1\"", "\"1.2\" or \"1.3\""),
            ("[tls]\n", "there is no certificate"),
        ] {
            let shown = problems(folder.path(), text);
            assert!(shown.contains(expected), "{text}: {shown}");
            assert_eq!(shown.is_empty(), expected.is_empty(), "{text}: {shown}");
        }
    }
}
