//! A table of counters with a fixed number of places: keys that attackers invent cannot make it grow.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::{Mutex, OnceLock, PoisonError};

/// How many keys share a lock, and compete for a place when it is tight. Those of a bucket and
/// their lock fill two lines of the processor's cache.
const WAYS: usize = 7;
/// How many places for sets come into being together: a table of 100,000 keys that nobody counts
/// for yet takes 8 KiB, where one array would take 512.
const PAGE: usize = 64;

/// A key's place and name in a [`Table`]: 64 bits of a keyed hash, not zero, so that an empty slot
/// needs no mark of its own. Among a million keys, one in 2^44 shares its name with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(NonZeroU64);

/// Makes keys. The hash is SipHash, keyed at random, so that nobody can aim at another's place.
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
    /// A page takes memory when the first key of its sets comes, and so does a set. Nothing is
    /// written here afterwards: workers that count share a set's lines only.
    pages: Box<[OnceLock<Box<Page<V>>>]>,
    /// Sets over all pages, a power of two, less one.
    mask: usize,
}

type Page<V> = [OnceLock<Box<Set<V>>>; PAGE];

/// The lock stands with what it guards: both are wanted, and cold where there are many keys.
#[derive(Debug)]
#[repr(align(64))]
struct Set<V>(Mutex<[Option<(NonZeroU64, V)>; WAYS]>);

impl Key {
    fn of(hash: u64) -> Self {
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// The key of several things together. Each must be of a keyring of its own: then their hashes
    /// have nothing to do with each other, and since nobody sees them, nobody can choose things that
    /// come out as another's.
    pub(crate) fn of_all<const N: usize>(parts: [Option<Key>; N]) -> Key {
        let hashes = parts.map(|part| part.map_or(0, |Key(hash)| hash.get()));
        Key::of(hashes.into_iter().fold(0, |all, hash| all ^ hash))
    }
}

impl Keyring {
    pub(crate) fn key(&self, of: impl Hash) -> Key {
        Key::of(self.0.hash_one(of))
    }

    /// The key of these bytes and nothing else, for half of what [`Keyring::key`] costs.
    pub(crate) fn key_of(&self, bytes: &[u8]) -> Key {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        Key::of(hasher.finish())
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
        let Some(Set(set)) = self.set(key) else {
            return change(None).1;
        };
        // A set is whole between any two writes: a panic elsewhere in the holder spoils nothing.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
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

    fn set(&self, key: Key) -> Option<&Set<V>> {
        let at = usize::try_from(key.0.get()).unwrap_or(usize::MAX) & self.mask;
        let page = self.pages.get(at / PAGE)?;
        let page = page.get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        let set = page.get(at % PAGE)?;
        Some(set.get_or_init(|| Box::new(Set(Mutex::new([None; WAYS])))))
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
