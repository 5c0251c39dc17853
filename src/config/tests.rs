//! The example and the documentation say what the program reads.

use std::path::Path;

use super::*;
use crate::authn::algorithm::Algorithm;
use crate::authn::keys;
use crate::server::dev_cert::DevCertificate;

const EXAMPLE: &str = include_str!("../../config/portcullis.toml");
const DOCUMENTATION: &str = include_str!("../../docs/configuration.md");
const README: &str = include_str!("../../README.md");

/// Loads `example` with the files that it names.
#[track_caller]
fn is_good(example: &str) {
    let folder = tempfile::tempdir().unwrap();
    let made = DevCertificate::make(folder.path(), &Clock::system()).unwrap();
    std::fs::rename(&made.files.chain, folder.path().join("site.pem")).unwrap();
    std::fs::rename(&made.files.key, folder.path().join("site.key")).unwrap();
    let key = keys::generate(Algorithm::Es256).unwrap();
    std::fs::write(folder.path().join("token.key"), key.as_bytes()).unwrap();
    for secret in ["master.key", "jwt-secret", "gateway-secret"] {
        let text = format!("{secret} of this test, long enough for its use");
        std::fs::write(folder.path().join(secret), text).unwrap();
    }
    let text = example.replace("/etc/portcullis/", &format!("{}/", folder.path().display()));
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file, &Clock::system(), &[]);
    assert!(config.is_ok(), "{}", config.err().unwrap());
}

#[test]
fn the_example_is_a_good_configuration() {
    is_good(EXAMPLE);
}

#[test]
fn the_example_is_good_with_the_sections_that_are_comments() {
    let mut within = false;
    let mut sections = 0;
    let with_all: Vec<_> = EXAMPLE
        .lines()
        .map(|line| {
            let text = line.strip_prefix("# ");
            let begins = text.is_some_and(|text| text.starts_with('['));
            sections += usize::from(begins);
            within = text.is_some() && (within || begins);
            text.filter(|_| within).unwrap_or(line)
        })
        .collect();
    assert_eq!(sections, 4, "second_factor, tokens.key, redis, headers");
    let text = with_all
        .join("\n")
        // Only systemd gives credentials; the day comes.
        .replace("credential = \"", "file = \"/etc/portcullis/")
        .replace("2027-03-31", "2999-03-31");
    is_good(&text);
}

/// The words that the sections of the configuration ask for.
fn keys_asked_for(code: &str) -> Vec<&str> {
    let parts: Vec<&str> = code.split('"').collect();
    let asks = [
        "or(",
        "optional(",
        "required(",
        "list(",
        "table(",
        "tables(",
        ">(",
        "(section, ",
        "(&mut section, ",
        "or_list(section, ",
    ];
    parts
        .windows(2)
        .filter(|pair| {
            let before = pair[0].trim_end_matches(['\n', ' ']);
            let before = if pair[0].ends_with(", ") {
                pair[0]
            } else {
                before
            };
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            asks.iter().any(|ask| before.ends_with(ask))
                && !pair[1].is_empty()
                && pair[1].chars().all(word)
        })
        .map(|pair| pair[1])
        .collect()
}

#[test]
fn every_key_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut found = 0;
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() || ["reader.rs", "tests.rs"].contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for key in keys_asked_for(code) {
            found += 1;
            let ways = [
                format!("`{key}`"),
                format!("`{key}."),
                format!(".{key}`"),
                format!("[{key}]"),
                format!("{{ {key} = "),
                format!(", {key} = "),
                format!("{key}, "),
                format!("{key} or "),
            ];
            if !ways.iter().any(|way| DOCUMENTATION.contains(way)) {
                missing.push(format!("docs/configuration.md: {name}: {key}"));
            }
            let word = |c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c));
            if !README.split(word).any(|word| word == key) {
                missing.push(format!("README.md: {name}: {key}"));
            }
        }
    }
    assert!(found > 80, "only {found} keys were found");
    assert!(missing.is_empty(), "not documented: {missing:?}");
}
