//! The written forms of values: durations, sizes, addresses, networks, secrets.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use ipnet::IpNet;

use super::reader::{FromToml, Value, Wrong};
use crate::secret::Secret;

/// A size in bytes: `512`, `"64KiB"`, `"10MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// One value, or a list of them.
pub struct OneOrMore<T>(pub Vec<T>);

/// A secret, read at once from where the file says it is.
#[derive(Clone, Debug)]
pub struct ConfiguredSecret {
    pub secret: Secret,
    /// Where it came from, for messages: `file /etc/…`, `environment variable X`.
    pub origin: String,
}

impl<T: FromToml> FromToml for OneOrMore<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.elements() {
            None => T::from_toml(value).map(|one| Self(vec![one])),
            Some(elements) if elements.is_empty() => {
                Err(Wrong::Expected(format!("at least one: {}", T::EXPECTED)))
            }
            Some(elements) => Ok(Self(elements.iter().filter_map(Value::read).collect())),
        }
    }
}

impl FromToml for String {
    const EXPECTED: &'static str = "text in quotes";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(expected::<Self>)
    }
}

impl FromToml for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(expected::<Self>)
    }
}

impl FromToml for u16 {
    const EXPECTED: &'static str = "a whole number from 0 to 65535";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        whole_number(value)
    }
}

impl FromToml for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        whole_number(value)
    }
}

impl FromToml for u64 {
    const EXPECTED: &'static str = "a whole number from 0";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        whole_number(value)
    }
}

impl FromToml for usize {
    const EXPECTED: &'static str = "a whole number from 0";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        whole_number(value)
    }
}

fn whole_number<T: FromToml + TryFrom<i64>>(value: &Value<'_>) -> Result<T, Wrong> {
    let number = value.as_integer().and_then(|number| number.try_into().ok());
    number.ok_or_else(expected::<T>)
}

impl FromToml for Duration {
    const EXPECTED: &'static str =
        "a duration such as \"250ms\", \"30s\", \"15m\", \"1h\" or \"30d\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(parse_duration)
            .ok_or_else(expected::<Self>)
    }
}

impl FromToml for ByteSize {
    const EXPECTED: &'static str = "a size such as 512, \"64KiB\", \"10MiB\" or \"1GiB\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let whole = value.as_integer().and_then(|n| u64::try_from(n).ok());
        whole
            .or_else(|| value.as_str().and_then(parse_size))
            .map(ByteSize)
            .ok_or_else(expected::<Self>)
    }
}

impl FromToml for IpNet {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\", or one address";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(expected::<Self>)?;
        let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse()
            .or_else(|_| address())
            .map_err(|_| expected::<Self>())
    }
}

impl FromToml for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"0.0.0.0:8443\" or \"[::]:8443\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(expected::<Self>)
    }
}

impl FromToml for PathBuf {
    const EXPECTED: &'static str = "a path, absolute or from the folder of this file";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some(path) if !path.is_empty() => Ok(value.resolve(path)),
            Some(_) | None => Err(expected::<Self>()),
        }
    }
}

impl FromToml for ConfiguredSecret {
    const EXPECTED: &'static str =
        "{ file = \"…\" }, { env = \"…\" } or { credential = \"…\" } (a systemd credential)";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        if let Some(text) = value.as_str() {
            if !value.development() {
                let problem = "a secret does not stand in the file outside development mode";
                return Err(Wrong::Refused(format!(
                    "{problem}: write {}",
                    Self::EXPECTED
                )));
            }
            let origin = String::from("the configuration file");
            return decode(text.as_bytes(), &origin).map(|secret| Self { secret, origin });
        }
        let mut table = value.as_table().ok_or_else(expected::<Self>)?;
        let file = table.optional::<PathBuf>("file");
        let env = table.optional::<String>("env");
        let credential = table.optional::<String>("credential");
        table.finish();
        let (bytes, origin) = match (file, env, credential) {
            (Some(file), None, None) => read_file(file, "file")?,
            (None, Some(name), None) => read_variable(&name)?,
            (None, None, Some(name)) => read_credential(&name)?,
            (_, _, _) => return Err(expected::<Self>()),
        };
        decode(&bytes, &origin).map(|secret| Self { secret, origin })
    }
}

fn read_file(path: PathBuf, what: &str) -> Result<(Vec<u8>, String), Wrong> {
    let origin = format!("{what} {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) => Ok((bytes, origin)),
        Err(error) => Err(Wrong::Refused(format!("cannot read {origin}: {error}"))),
    }
}

fn read_variable(name: &str) -> Result<(Vec<u8>, String), Wrong> {
    let origin = format!("environment variable {name}");
    match std::env::var_os(name) {
        Some(value) => Ok((value.into_vec(), origin)),
        None => Err(Wrong::Refused(format!("{origin} is not set"))),
    }
}

/// Credentials are files in the folder that systemd names (systemd.exec(5), LoadCredential=).
fn read_credential(name: &str) -> Result<(Vec<u8>, String), Wrong> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|_| plain) else {
        let problem = format!("credential {name}: systemd gave this process no such credential");
        return Err(Wrong::Refused(format!(
            "{problem} (LoadCredential={name}:/path)"
        )));
    };
    read_file(PathBuf::from(folder).join(name), "credential")
}

/// The bytes of a secret: its text less one final newline, decoded after `base64:`.
fn decode(bytes: &[u8], origin: &str) -> Result<Secret, Wrong> {
    let line = bytes
        .strip_suffix(b"\r\n")
        .or_else(|| bytes.strip_suffix(b"\n"));
    let text = line.unwrap_or(bytes);
    let Some(encoded) = text.strip_prefix(b"base64:") else {
        return Ok(Secret::new(text.to_vec()));
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
    decoded
        .map(Secret::new)
        .map_err(|_| Wrong::Refused(format!("{origin}: what follows `base64:` is not base64")))
}

fn expected<T: FromToml>() -> Wrong {
    Wrong::Expected(T::EXPECTED.to_owned())
}

/// Reads a duration as the configuration writes it.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("15m", Some(Duration::from_secs(900))),
            ("30d", Some(Duration::from_secs(30 * 86_400))),
            ("15", None),
            ("m", None),
            ("-1s", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("10MB"), None);
    }

    #[test]
    fn a_secret_is_its_text_less_one_newline() {
        for (written, bytes) in [
            ("abc\n", "abc"),
            ("abc\r\n", "abc"),
            ("abc\n\n", "abc\n"),
            ("abc ", "abc "),
            ("base64:aGk=\n", "hi"),
        ] {
            let secret = decode(written.as_bytes(), "test").unwrap();
            assert!(secret.equals(bytes.as_bytes()), "{written:?}");
        }
        assert!(decode(b"base64:***", "test").is_err());
    }
}
