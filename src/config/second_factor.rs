//! The section `[second_factor]`: codes of authenticator apps.

use super::masters;
use super::reader::Table;
use crate::accounts::SecondFactorRules;

/// Longest name of an issuer, in characters: it stands in a QR code and in a line of an app.
const LONGEST_ISSUER: usize = 64;

/// Reads `[second_factor]` of the file's root; without it second factors are not offered. `host` is
/// that of `public_url`.
pub fn read(root: &mut Table<'_>, host: Option<&str>) -> Option<SecondFactorRules> {
    let mut section = root.table("second_factor")?;
    let masters = masters::read(&mut section, "the secrets of second factors");
    let host = host.filter(|host| is_issuer(host));
    let issuer = section.or("issuer", String::from(host.unwrap_or("Portcullis")));
    if !is_issuer(&issuer) {
        section.wrong("issuer", "expected 1 to 64 characters without a colon");
    }
    section.finish();
    Some(SecondFactorRules {
        masters: masters?,
        issuer,
    })
}

/// What apps scan has a colon behind it.
fn is_issuer(text: &str) -> bool {
    let length = text.chars().count();
    !text.trim().is_empty() && length <= LONGEST_ISSUER && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn section(text: &str, host: Option<&str>) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("master"), "m".repeat(32)).unwrap();
        let file = folder.path().join("p.toml");
        let outcome = reader::read(Path::new(&file), text, |mut root| {
            let rules = read(&mut root, host);
            root.finish();
            Some(rules.map(|rules| rules.issuer))
        });
        outcome.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_issuer_is_what_is_written_or_where_people_log_in() {
        let master = "[second_factor]\nmaster = [{ file = \"master\" }]\n";
        let named = format!("{master}issuer = \"Example & Co\"\n");
        let (host, none) = (Some("login.example.com"), None);
        assert_eq!(section("", host), Ok(None));
        let issuer = |issuer: &str| Ok(Some(String::from(issuer)));
        assert_eq!(section(&named, host), issuer("Example & Co"));
        assert_eq!(section(master, host), issuer("login.example.com"));
        assert_eq!(section(master, none), issuer("Portcullis"));
        assert_eq!(section(master, Some("[::1]")), issuer("Portcullis"));
    }

    #[test]
    fn mistakes_are_named() {
        let master = "master = [{ file = \"master\" }]";
        for (lines, said) in [
            (String::new(), "nothing seals the secrets of second factors"),
            (format!("{master}\nissuer = \" \""), "1 to 64"),
            (format!("{master}\nissuer = \"a:b\""), "without a colon"),
            (format!("{master}\nisuer = \"x\""), "did you mean `issuer`?"),
        ] {
            let wrong = section(&format!("[second_factor]\n{lines}\n"), None).unwrap_err();
            assert!(wrong.contains(said), "{lines}: {wrong}");
        }
    }
}
