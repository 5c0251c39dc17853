//! `[lockout]`: how many wrong passwords are borne.

use std::time::Duration;

use super::reader::Table;
use crate::limit::{Allowance, Rate};
use crate::lockout::LockoutSettings;

/// Reads `[lockout]`; every key has a default, and so has the section.
pub fn read(root: &mut Table<'_>) -> LockoutSettings {
    let default = LockoutSettings::default();
    let Some(mut section) = root.table("lockout") else {
        return default;
    };
    let mut allowance = |key, default: Allowance| {
        let rate = section.optional::<Rate>(key);
        rate.map_or(default, Allowance::of)
    };
    let settings = LockoutSettings {
        pair: allowance("pair", default.pair),
        device: allowance("device", default.device),
        account: allowance("account", default.account),
        network: allowance("network", default.network),
        code: allowance("code", default.code),
        remember_network: section.or::<Duration>("remember_network", default.remember_network),
        keys: section.or("keys", default.keys),
    };
    if !(1..=10_000_000).contains(&settings.keys) {
        section.wrong("keys", "expected 1 to 10000000");
    }
    section.finish();
    settings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    #[test]
    fn what_is_not_written_has_its_default() {
        let text = "[lockout]\npair = \"3/15min\"\n";
        let settings = reader::read(Path::new("p.toml"), text, |mut root| {
            let settings = read(&mut root);
            root.finish();
            Some(settings)
        });
        let default = LockoutSettings::default();
        let pair = Allowance::of(Rate::parse("3/15min").unwrap());
        assert_eq!(settings.unwrap(), LockoutSettings { pair, ..default });
    }
}
