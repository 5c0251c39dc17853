//! A certificate for this machine's own names, under a certificate authority made on the spot.
//!
//! For development and the demo. The authority's key is thrown away: whoever trusts `ca.pem` trusts
//! this one certificate.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage};

use super::CertificateFiles;
use crate::clock::{Clock, Timestamp};

/// The names that the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// What browsers accept at most is 398 days.
const VALIDITY: Duration = Duration::from_secs(397 * 86_400);
/// Clocks of containers and their hosts differ a little.
const BACKDATING: Duration = Duration::from_secs(86_400);
/// A certificate that ends sooner is made anew.
const SPARE: Duration = Duration::from_secs(86_400);

/// Where the development certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevCertificate {
    /// What clients are told to trust: `curl --cacert`, `SSL_CERT_FILE`.
    pub ca: PathBuf,
    pub files: CertificateFiles,
}

#[derive(Debug, thiserror::Error)]
pub enum DevCertError {
    #[error("cannot write {}: {source}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
}

impl DevCertificate {
    /// The certificate in `folder`: the one that is there while it is good, otherwise a new one. Makes
    /// the folder; key files can be read by their owner only.
    pub fn find_or_make(folder: &Path, clock: &Clock) -> Result<Self, DevCertError> {
        let certificate = Self::at(folder);
        if certificate.is_good(clock.now() + SPARE) {
            return Ok(certificate);
        }
        Self::make(folder, clock)
    }

    /// Makes a new certificate in `folder`, in place of one that is there.
    pub fn make(folder: &Path, clock: &Clock) -> Result<Self, DevCertError> {
        let now = clock.now();
        let authority_key = KeyPair::generate()?;
        let authority = authority(now)?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::from_params(&authority, authority_key);
        let key = KeyPair::generate()?;
        let leaf = leaf(now)?.signed_by(&key, &issuer)?;

        fs::create_dir_all(folder).map_err(|source| DevCertError::Write {
            file: folder.to_owned(),
            source,
        })?;
        let made = Self::at(folder);
        write(&made.ca, &authority_pem, 0o644)?;
        write(&made.files.chain, &leaf.pem(), 0o644)?;
        write(&made.files.key, &key.serialize_pem(), 0o600)?;
        Ok(made)
    }

    fn at(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            files: CertificateFiles {
                chain: folder.join("localhost.pem"),
                key: folder.join("localhost.key"),
            },
        }
    }

    /// Whether the three files belong together and are valid at `time`.
    fn is_good(&self, time: Timestamp) -> bool {
        self.verify(time).is_some()
            && super::Certificates::load(std::slice::from_ref(&self.files)).is_ok()
    }

    fn verify(&self, time: Timestamp) -> Option<()> {
        let ca = CertificateDer::from_pem_file(&self.ca).ok()?;
        let leaf = CertificateDer::from_pem_file(&self.files.chain).ok()?;
        let anchors = [webpki::anchor_from_trusted_cert(&ca).ok()?];
        let seconds = u64::try_from(time.seconds()).ok()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = super::tls::provider().signature_verification_algorithms.all;
        let leaf = EndEntityCert::try_from(&leaf).ok()?;
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, &anchors, &[], time, usage, None, None)
            .ok()?;
        Some(())
    }
}

fn authority(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let name = "Portcullis development";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    set_validity(&mut params, now);
    Ok(params)
}

fn leaf(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, now: Timestamp) {
    let at = |time: Timestamp| {
        let read = OffsetDateTime::from_unix_timestamp(time.seconds());
        read.unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    params.not_before = at(now - BACKDATING);
    params.not_after = at(now - BACKDATING + VALIDITY);
}

/// Writes beside `file` and moves it into place: a reader sees the old text or the new one.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), DevCertError> {
    let beside = file.with_extension("new");
    let written = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut new = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)
    };
    written().map_err(|source| DevCertError::Write {
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_good_certificate_is_kept_and_an_old_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let read = |made: &DevCertificate| fs::read(&made.files.chain).unwrap();
        let first = DevCertificate::find_or_make(folder.path(), &clock).unwrap();
        let text = read(&first);
        clock.advance(Duration::from_secs(300 * 86_400));
        let second = DevCertificate::find_or_make(folder.path(), &clock).unwrap();
        assert_eq!(read(&second), text);
        clock.advance(Duration::from_secs(96 * 86_400));
        let third = DevCertificate::find_or_make(folder.path(), &clock).unwrap();
        assert_ne!(read(&third), text);
    }

    #[test]
    fn only_the_owner_reads_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let made = DevCertificate::make(folder.path(), &Clock::system()).unwrap();
        let mode = |file| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&made.files.key), 0o600);
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 3, "the authority's key is not kept");
    }
}
