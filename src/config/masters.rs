//! The key `master` of the sections whose secrets are sealed in the database.

use super::reader::Table;
use super::units::ConfiguredSecret;
use crate::secret::MasterRing;

/// The master keys of `table`, which seal `what`: the first seals, all open.
pub(super) fn read(table: &mut Table<'_>, what: &str) -> Option<MasterRing> {
    let written = table.list::<ConfiguredSecret>("master");
    if written.is_empty() {
        if !table.has("master") {
            let help = "write master = [{ file = \"…\" }]: the first seals, all open; \
                        `openssl rand -base64 32` makes one";
            table.wrong_with_help("master", format!("nothing seals {what}"), help);
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
