//! `[tokens.managed]`: keys that the gateways make themselves, sealed under a master key.

use std::time::Duration;

use crate::authn::algorithm::Algorithm;
use crate::authn::managed::ManagedSettings;
use crate::config::{Table, masters};

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
    let masters = masters::read(&mut table, "the managed keys");
    table.finish();
    Some(ManagedSettings {
        algorithm,
        rotate,
        publish,
        masters: masters?,
    })
}
