//! A table of counters with a fixed number of places: keys that attackers invent cannot make it grow.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// How many keys share a lock, and compete for a place when it is tight.
const WAYS: usize = 8;
/// How many sets come into being together: a table of 100,000 keys that nobody counts for yet takes
/// 8 KiB, where one array of its locks would take 512.
const PAGE: usize = 64;

/// A key's place and name in a [`Table`]: 64 bits of a keyed hash, not zero, so that an empty slot
/// needs no mark of its own. Among a million keys, one in 2^44 shares its name with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(NonZeroU64);

/// Makes keys. The hash is keyed at random, so that nobody can aim at another's place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring(RandomState);

/// What a table holds: a value that means nothing any more after its time.
pub(crate) trait Expiring: Copy {
    /// When this value can be forgotten without a loss, in nanoseconds of the table's user.
    fn until(&self) -> u64;
}

/// What becomes of a key's value.
pub(crate) enum Change<V> {
    Keep,
    Put(V),
    Remove,
}

/// Values by key. When the places that a key may take are full, the value nearest to its end goes.
#[derive(Debug)]
pub(crate) struct Table<V> {
    /// A page takes memory when the first key of its sets comes, and so does a set.
    pages: Box<[OnceLock<Box<Page<V>>>]>,
    /// Sets over all pages, a power of two, less one.
    mask: usize,
}

type Page<V> = [Mutex<LateSet<V>>; PAGE];

type Set<V> = [Option<(NonZeroU64, V)>; WAYS];

type LateSet<V> = Option<Box<Set<V>>>;

impl Keyring {
    pub(crate) fn key(&self, of: impl Hash) -> Key {
        Key(NonZeroU64::new(self.0.hash_one(of)).unwrap_or(NonZeroU64::MIN))
    }
}

impl<V: Expiring> Table<V> {
    /// A table with places for `keys` keys, twice over so that few compete.
    pub(crate) fn with_room_for(keys: usize) -> Self {
        let sets = keys.saturating_mul(2).div_ceil(WAYS).next_power_of_two();
        Self {
            pages: (0..sets.div_ceil(PAGE)).map(|_| OnceLock::new()).collect(),
            mask: sets - 1,
        }
    }

    /// Shows `change` the value of `key` and does what it says, nobody else coming between.
    pub(crate) fn update<R>(
        &self,
        key: Key,
        change: impl FnOnce(Option<V>) -> (Change<V>, R),
    ) -> R {
        let Some(mut set) = self.set(key) else {
            return change(None).1;
        };
        let set = set.get_or_insert_with(|| Box::new([None; WAYS]));
        let held = set
            .iter_mut()
            .find(|slot| slot.is_some_and(|(tag, _)| tag == key.0));
        let (change, result) = change(held.as_ref().and_then(|slot| slot.map(|(_, v)| v)));
        match (change, held) {
            (Change::Keep, _) | (Change::Remove, None) => {}
            (Change::Remove, Some(slot)) => *slot = None,
            (Change::Put(value), Some(slot)) => *slot = Some((key.0, value)),
            (Change::Put(value), None) => {
                let least = set
                    .iter_mut()
                    .min_by_key(|slot| slot.map_or(0, |(_, v)| v.until().max(1)));
                if let Some(slot) = least {
                    *slot = Some((key.0, value));
                }
            }
        }
        result
    }

    fn set(&self, key: Key) -> Option<MutexGuard<'_, LateSet<V>>> {
        let at = usize::try_from(key.0.get()).unwrap_or(usize::MAX) & self.mask;
        let page = self.pages.get(at / PAGE)?;
        let page = page.get_or_init(|| Box::new([const { Mutex::new(None) }; PAGE]));
        let set = page.get(at % PAGE)?;
        // A set is whole between any two writes: a panic elsewhere in the holder spoils nothing.
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Until(u64);

    impl Expiring for Until {
        fn until(&self) -> u64 {
            self.0
        }
    }

    fn put(table: &Table<Until>, key: Key, until: u64) {
        table.update(key, |_| (Change::Put(Until(until)), ()));
    }

    fn held(table: &Table<Until>, key: Key) -> Option<Until> {
        table.update(key, |value| (Change::Keep, value))
    }

    #[test]
    fn a_value_is_found_again_and_can_be_removed() {
        let (table, keys) = (Table::with_room_for(100), Keyring::default());
        put(&table, keys.key("a"), 1);
        assert_eq!(held(&table, keys.key("a")), Some(Until(1)));
        assert_eq!(held(&table, keys.key("b")), None);
        table.update(keys.key("a"), |_| (Change::Remove, ()));
        assert_eq!(held(&table, keys.key("a")), None);
    }

    #[test]
    fn invented_keys_push_out_what_is_nearest_to_its_end_and_the_table_does_not_grow() {
        let (table, keys) = (Table::with_room_for(64), Keyring::default());
        put(&table, keys.key("victim"), 1_000);
        for invented in 0..100_000_u64 {
            put(&table, keys.key(invented), 10 + invented % 7);
        }
        assert_eq!(held(&table, keys.key("victim")), Some(Until(1_000)));
        let places = (table.mask + 1) * WAYS;
        let kept = (0..100_000_u64).filter(|n| held(&table, keys.key(n)).is_some());
        assert!(kept.count() < places);
    }
}
