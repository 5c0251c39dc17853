//! `[tokens.managed]`: keys that the gateways make themselves, sealed under a master key.

use std::time::Duration;

use crate::authn::algorithm::Algorithm;
use crate::authn::managed::{ManagedSettings, MasterRing};
use crate::config::Table;
use crate::config::units::ConfiguredSecret;

/// As document 001 wants secrets to be renewed.
const DEFAULT_ROTATE: Duration = Duration::from_secs(90 * 86_400);
/// Longer than our key set may be cached.
const DEFAULT_PUBLISH: Duration = Duration::from_secs(86_400);
/// A node looks for new keys twice a second: it must have them before they sign.
const SHORTEST_PUBLISH: Duration = Duration::from_secs(2);

pub(super) fn read(mut table: Table<'_>) -> Option<ManagedSettings> {
    let algorithm = table.or("algorithm", Algorithm::Es256);
    let rotate = table.or("rotate", DEFAULT_ROTATE);
    let publish = table.or("publish", DEFAULT_PUBLISH.min(rotate / 2));
    if publish < SHORTEST_PUBLISH {
        let problem = "a key is published for 2 seconds at least: every node must have it";
        table.wrong("publish", problem);
    }
    if rotate < publish * 2 {
        let problem = "a key signs for less than twice the time that it is published";
        table.wrong("rotate", problem);
    }
    let masters = read_masters(&mut table);
    table.finish();
    Some(ManagedSettings {
        algorithm,
        rotate,
        publish,
        masters: masters?,
    })
}

fn read_masters(table: &mut Table<'_>) -> Option<MasterRing> {
    let written = table.list::<ConfiguredSecret>("master");
    if written.is_empty() {
        if !table.has("master") {
            let help = "write master = [{ file = \"…\" }]: the first seals, all open; \
                        `openssl rand -base64 32` makes one";
            table.wrong_with_help("master", "nothing seals the managed keys", help);
        }
        return None;
    }
    let secrets: Vec<_> = written.iter().map(|one| one.secret.clone()).collect();
    MasterRing::new(&secrets)
        .map_err(|error| {
            table.wrong_with_help("master", error, "`openssl rand -base64 32` makes one")
        })
        .ok()
}
