//! The section `[verify]`: which other proxies may ask what the gateway would decide.

use ipnet::IpNet;

use super::reader::Table;
use crate::inbound::Askers;

/// Reads `[verify]`; without it nobody may ask. `trusted` are the proxies that are believed anyway.
pub fn read(root: &mut Table<'_>, trusted: &[IpNet]) -> Option<Askers> {
    let mut section = root.table("verify")?;
    let peers = section.list::<IpNet>("peers");
    if peers.is_empty() {
        let help = "write peers = [\"127.0.0.1\"]: the addresses of the proxies that ask";
        section.wrong_with_help("peers", "nobody could ever ask", help);
    }
    // Whoever may ask is believed about everything that it says of a request.
    if peers.iter().any(|network| network.prefix_len() == 0) {
        section.wrong(
            "peers",
            "every client could state requests that it never makes",
        );
    }
    section.finish();
    Some(Askers::new(peers, trusted))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn askers(text: &str) -> Result<Option<Askers>, String> {
        let outcome = reader::read(Path::new("p.toml"), text, |mut root| {
            let askers = read(&mut root, &[]);
            root.finish();
            Some(askers)
        });
        outcome.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn only_listed_peers_may_ask() {
        assert!(askers("").unwrap().is_none());
        let askers = askers("[verify]\npeers = [\"10.0.0.0/8\"]")
            .unwrap()
            .unwrap();
        assert!(askers.contains("10.1.2.3".parse().unwrap()));
        assert!(!askers.contains("11.1.2.3".parse().unwrap()));
    }

    #[test]
    fn everybody_is_nobody_to_list() {
        for (text, said) in [
            ("[verify]", "nobody could ever ask"),
            ("[verify]\npeers = []", "nobody could ever ask"),
            ("[verify]\npeers = [\"0.0.0.0/0\"]", "never makes"),
            ("[verify]\npeers = [\"127.0.0.1\", \"::/0\"]", "never makes"),
            ("[verify]\npeer = [\"127.0.0.1\"]", "did you mean `peers`?"),
        ] {
            let shown = askers(text).err().unwrap_or_default();
            assert!(shown.contains(said), "{text}: {shown}");
        }
    }
}
