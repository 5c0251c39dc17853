//! Which of the managed keys sign and verify at a moment: the same on every node.

use std::time::Duration;

use crate::authn::keys::KeyUse;
use crate::clock::Timestamp;
use crate::store::SealedKey;

/// A node whose clock is behind, or which has not looked yet, signs with the key of before for a
/// moment longer.
const SLACK: Duration = Duration::from_secs(60);

/// What each key does now. Changes only when something about a key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(Vec<Planned>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) number: i64,
    pub(super) purpose: KeyUse,
    pub(super) not_after: Option<Timestamp>,
}

impl Plan {
    /// What `keys`, in the order of their numbers, do at `now`: the last whose time has come signs;
    /// the earlier ones verify until the longest token that they signed has expired; the later ones
    /// are published.
    pub fn of(keys: &[SealedKey], (now, longest_token): (Timestamp, Duration)) -> Self {
        // With a clock behind the others' the first one signs, rather than none.
        let signing = keys.iter().rposition(|key| key.signs_from <= now);
        let signing = signing.unwrap_or(0);
        let ends = keys.iter().skip(1).map(|next| Some(next.signs_from));
        let planned = keys.iter().zip(ends.chain([None])).enumerate();
        let planned = planned.filter_map(|(at, (key, replaced))| {
            let not_after = match at < signing {
                true => Some(replaced? + longest_token + SLACK),
                false => None,
            };
            if not_after.is_some_and(|end| end <= now) {
                return None;
            }
            Some(Planned {
                number: key.number,
                purpose: match at == signing {
                    true => KeyUse::Sign,
                    false => KeyUse::Verify,
                },
                not_after,
            })
        });
        Self(planned.collect())
    }

    pub(super) fn keys(&self) -> &[Planned] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_published_then_signs_then_verifies_then_is_forgotten() {
        let at = Timestamp::from_seconds;
        let key = |number: i64, signs_from: i64| SealedKey {
            number,
            id: number.to_string(),
            algorithm: String::new(),
            master: String::new(),
            sealed: Vec::new(),
            created_at: at(0),
            signs_from: at(signs_from),
        };
        let keys = [key(1, 100), key(2, 200), key(3, 300)];
        let life = Duration::from_secs(50);
        let (sign, verify) = (KeyUse::Sign, KeyUse::Verify);
        for (now, expected) in [
            (
                50,
                vec![(1, sign, None), (2, verify, None), (3, verify, None)],
            ),
            (
                100,
                vec![(1, sign, None), (2, verify, None), (3, verify, None)],
            ),
            (
                200,
                vec![(1, verify, Some(310)), (2, sign, None), (3, verify, None)],
            ),
            (
                300,
                vec![
                    (1, verify, Some(310)),
                    (2, verify, Some(410)),
                    (3, sign, None),
                ],
            ),
            (310, vec![(2, verify, Some(410)), (3, sign, None)]),
            (410, vec![(3, sign, None)]),
        ] {
            let plan = Plan::of(&keys, (at(now), life));
            let planned: Vec<_> = plan
                .keys()
                .iter()
                .map(|p| (p.number, p.purpose, p.not_after.map(Timestamp::seconds)))
                .collect();
            assert_eq!(planned, expected, "{now}");
        }
        assert!(Plan::of(&[], (at(0), life)).keys().is_empty());
    }
}
