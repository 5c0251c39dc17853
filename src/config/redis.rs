//! `[redis]`: where counters are shared between nodes.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Table;
use super::units::ConfiguredSecret;
use crate::shared::{InvalidRedis, RedisSettings};

/// Longest wait for an answer unless the file says otherwise: many times what Redis takes, and
/// little enough that its loss is not felt.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads `[redis]`; `None` when it is absent (counters are in process) or wrong.
pub fn read(root: &mut Table<'_>) -> Option<RedisSettings> {
    let mut section = root.table("redis")?;
    let url = section.required::<String>("url");
    let password = section.optional::<ConfiguredSecret>("password");
    let settings = RedisSettings {
        url: url.clone().unwrap_or_default(),
        username: section.optional("username"),
        password: password.map(|password| password.secret),
        prefix: section.or("prefix", String::from("portcullis")),
        nodes: section.or("nodes", NonZeroU32::MIN),
        response_timeout: section.or("response_timeout", RESPONSE_TIMEOUT),
        connect_timeout: section.or("connect_timeout", CONNECT_TIMEOUT),
    };
    for (key, time) in [
        ("response_timeout", settings.response_timeout),
        ("connect_timeout", settings.connect_timeout),
    ] {
        if time.is_zero() {
            section.wrong(key, "no time at all is no time to answer");
        }
    }
    let usable = match (url, settings.check()) {
        (None, _) => false,
        (Some(_), Ok(())) => true,
        (Some(_), Err(problem)) => {
            let key = match problem {
                InvalidRedis::Password => "password",
                InvalidRedis::Url(_) | InvalidRedis::Insecure | InvalidRedis::CredentialsInUrl => {
                    "url"
                }
            };
            section.wrong(key, problem);
            false
        }
    };
    section.count_at_start_but(&[]);
    section.finish();
    usable.then_some(settings)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn read_text(text: &str) -> Result<RedisSettings, String> {
        let settings = reader::read(Path::new("p.toml"), text, |mut root| {
            let settings = read(&mut root);
            root.finish();
            settings
        });
        settings.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn a_url_is_enough() {
        let settings = read_text("[redis]\nurl = \"redis://127.0.0.1:6379\"\n").unwrap();
        assert_eq!(settings.response_timeout, RESPONSE_TIMEOUT);
        assert_eq!(settings.nodes.get(), 1);
    }

    #[test]
    fn a_url_that_would_not_work_is_told_before_the_start_and_never_shown() {
        for (url, told) in [
            ("http://127.0.0.1", "not a Redis URL"),
            (
                "redis://:hunter2@127.0.0.1",
                "credentials do not stand in the URL",
            ),
            ("rediss://127.0.0.1:6380/#insecure", "always verified"),
        ] {
            let shown = read_text(&format!("[redis]\nurl = \"{url}\"\n")).unwrap_err();
            assert!(shown.contains(told), "{url}\n{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
