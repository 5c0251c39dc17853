//! What one node holds of a budget that many share, and when it asks for more.
//!
//! A lease is taken from the budget before it is spent, and made whole again while half of it is
//! left. So whatever a node admits in a span of time was taken in that span, or is the lease that it
//! held before: all nodes together admit at most burst + rate × span + nodes × lease.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::shared::{Bucket, Expiring, Taken, nanos};

/// The leases of all nodes together are this part of the burst, however many nodes there are: by so
/// much it may be exceeded, and by so much fall short while leases lie unused.
const LEASED_PART: u32 = 10;

/// Who found too little lets a lease grow back before asking again, or this long: a budget that is
/// used up costs a few commands a second and not one a request.
const LONGEST_LULL: Duration = Duration::from_millis(100);

/// The terms of all leases of one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub bucket: Bucket,
    /// The most that a node holds of one budget. Nothing: every charge is asked for.
    pub lease: u32,
    /// When an answer of Redis has come, or does not come any more.
    pub patience: Duration,
}

/// What a node holds of one budget. Times are nanoseconds of [`crate::clock::Clock::steady`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    /// So many may be admitted without asking. They are taken, and do not lapse.
    left: u32,
    /// What the budget had besides when it was asked last.
    beyond: u32,
    rest: Rest,
    /// When the budget would be full again if nobody took anything.
    full: u64,
}

/// What is known of the rest of the budget.
#[derive(Clone, Copy, Debug, Default)]
enum Rest {
    #[default]
    Unknown,
    /// More has been asked for. After this time whoever asked is gone.
    Asked { until: u64 },
    /// There is too little before this time, whoever asks: nobody gives back.
    Short { until: u64 },
}

/// What a charge finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Enough {
        remaining: u32,
    },
    /// Enough for this one, and more is to be asked for behind its back.
    Low {
        remaining: u32,
        wish: Wish,
    },
    /// Nothing: the charge has to wait for what it asks for.
    Nothing(Wish),
    Refused {
        until: u64,
    },
}

/// What a charge gets that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Admitted { remaining: u32 },
    Refused { until: u64 },
}

/// What is asked of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// For the charge that waits and no more: rules without leases, and while one is on its way.
    One,
    /// A lease, of which the charge that waits is met.
    Lease(u32),
    /// What makes a lease whole; nobody waits.
    Renewal(u32),
}

impl Terms {
    /// How much a node holds of a budget of `burst`.
    pub(super) fn lease(burst: u32, nodes: NonZeroU32) -> u32 {
        match burst / LEASED_PART / nodes {
            // Held for a charge that does not come, one is a part of so small a budget.
            0 | 1 => 0,
            lease => lease,
        }
    }
}

impl Lease {
    /// Charges one to what is held.
    pub(super) fn spend(&mut self, terms: &Terms, now: u64) -> Found {
        let may_ask = self.rest.may_be_asked(now);
        let asked = Rest::Asked {
            until: now.saturating_add(nanos(terms.patience)),
        };
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let remaining = left.saturating_add(self.beyond);
            if !may_ask || left > terms.lease / 2 {
                return Found::Enough { remaining };
            }
            self.rest = asked;
            let wish = Wish::Renewal(terms.lease.saturating_sub(left));
            return Found::Low { remaining, wish };
        }
        match self.rest {
            Rest::Short { until } if !may_ask => Found::Refused { until },
            Rest::Unknown | Rest::Asked { .. } | Rest::Short { .. } => {
                if !may_ask || terms.lease == 0 {
                    return Found::Nothing(Wish::One);
                }
                self.rest = asked;
                Found::Nothing(Wish::Lease(terms.lease))
            }
        }
    }

    /// Takes up what a wish was answered with, and says what whoever waits for it gets.
    pub(super) fn settle(
        &mut self,
        terms: &Terms,
        (wish, taken): (Wish, Taken),
        now: u64,
    ) -> Settled {
        let interval = nanos(terms.bucket.interval);
        let times = |many: u32| interval.saturating_mul(u64::from(many));
        let want = wish.want();
        let lull = times(want.saturating_sub(taken.taken.saturating_add(1)));
        let lull = lull.min(nanos(LONGEST_LULL));
        let until = now.saturating_add(nanos(taken.wait)).saturating_add(lull);
        if taken.taken < want {
            self.rest = Rest::Short { until };
        } else {
            match wish {
                Wish::Lease(_) | Wish::Renewal(_) => self.rest = Rest::Unknown,
                // Somebody else's wish may still be on its way.
                Wish::One => {}
            }
        }
        self.beyond = taken.left;
        self.full = now.saturating_add(times(terms.bucket.burst.saturating_sub(taken.left)));
        let held = self.left.saturating_add(taken.taken);
        let Some(left) = held.checked_sub(wish.waits()) else {
            return Settled::Refused { until };
        };
        // An answer that was late beyond all patience may find a lease that was asked for since.
        self.left = left.min(terms.lease);
        Settled::Admitted {
            remaining: self.left.saturating_add(self.beyond),
        }
    }

    /// Whether it need not be remembered: exact rules hold nothing.
    pub(super) fn says_nothing(&self) -> bool {
        self.left == 0 && matches!(self.rest, Rest::Unknown)
    }

    /// Whether there is nothing to be had, as far as is known, and until when.
    pub(super) fn empty_until(&self, now: u64) -> Option<u64> {
        match self.rest {
            Rest::Short { until } if self.left == 0 && until > now => Some(until),
            Rest::Short { .. } | Rest::Asked { .. } | Rest::Unknown => None,
        }
    }
}

impl Rest {
    fn may_be_asked(self, now: u64) -> bool {
        match self {
            Rest::Unknown => true,
            Rest::Asked { until } | Rest::Short { until } => until <= now,
        }
    }
}

impl Wish {
    pub(super) fn want(self) -> u32 {
        match self {
            Wish::One => 1,
            Wish::Lease(want) | Wish::Renewal(want) => want,
        }
    }

    /// How many charges wait for the answer.
    fn waits(self) -> u32 {
        match self {
            Wish::One | Wish::Lease(_) => 1,
            Wish::Renewal(_) => 0,
        }
    }
}

impl Expiring for Lease {
    fn until(&self) -> u64 {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Ten a second, a hundred at once, five of them held by a node.
    const TERMS: Terms = Terms {
        bucket: Bucket {
            interval: Duration::from_millis(100),
            burst: 100,
        },
        lease: 5,
        patience: Duration::from_millis(200),
    };

    fn taken(taken: u32, left: u32) -> Taken {
        let wait = match taken {
            0 => Duration::from_millis(40),
            1.. => Duration::ZERO,
        };
        Taken { taken, left, wait }
    }

    #[test]
    fn a_lease_is_a_tenth_of_the_budget_for_all_nodes_together() {
        for (burst, nodes, lease) in [
            (1_000, 1, 100),
            (1_000, 3, 33),
            (1_000, 100, 0),
            (19, 1, 0),
            (20, 1, 2),
            (u32::MAX, 1, 429_496_729),
        ] {
            let nodes = NonZeroU32::new(nodes).unwrap();
            assert_eq!(Terms::lease(burst, nodes), lease, "{burst} of {nodes}");
        }
    }

    #[test]
    fn one_charge_waits_for_a_lease_and_the_next_ones_ask_for_themselves() {
        let mut lease = Lease::default();
        assert_eq!(lease.spend(&TERMS, 0), Found::Nothing(Wish::Lease(5)));
        assert_eq!(lease.spend(&TERMS, 0), Found::Nothing(Wish::One));
        let mine = lease.settle(&TERMS, (Wish::Lease(5), taken(5, 95)), 0);
        assert_eq!(mine, Settled::Admitted { remaining: 99 });
        assert_eq!(lease.spend(&TERMS, 0), Found::Enough { remaining: 98 });
        let other = lease.settle(&TERMS, (Wish::One, taken(1, 94)), 0);
        assert_eq!(other, Settled::Admitted { remaining: 97 });
    }

    #[test]
    fn it_is_made_whole_while_half_of_it_is_left_and_asked_for_once() {
        let mut lease = Lease::default();
        let _ = lease.spend(&TERMS, 0);
        let _ = lease.settle(&TERMS, (Wish::Lease(5), taken(5, 90)), 0);
        assert_eq!(lease.spend(&TERMS, 0), Found::Enough { remaining: 93 });
        let (remaining, wish) = (92, Wish::Renewal(3));
        assert_eq!(lease.spend(&TERMS, 0), Found::Low { remaining, wish });
        assert_eq!(lease.spend(&TERMS, 0), Found::Enough { remaining: 91 });
        let _ = lease.settle(&TERMS, (wish, taken(3, 87)), 0);
        assert_eq!((lease.left, lease.beyond), (4, 87));
    }

    #[test]
    fn who_asked_and_is_gone_is_waited_for_as_long_as_an_answer_may_take() {
        let mut lease = Lease::default();
        assert_eq!(lease.spend(&TERMS, 0), Found::Nothing(Wish::Lease(5)));
        let late = nanos(TERMS.patience);
        assert_eq!(lease.spend(&TERMS, late - 1), Found::Nothing(Wish::One));
        assert_eq!(lease.spend(&TERMS, late), Found::Nothing(Wish::Lease(5)));
    }

    #[test]
    fn an_empty_budget_is_not_asked_before_a_lease_has_grown_back_or_a_lull_is_over() {
        let mut lease = Lease::default();
        let _ = lease.spend(&TERMS, 0);
        let until = 40_000_000 + 100_000_000;
        let refused = lease.settle(&TERMS, (Wish::Lease(5), taken(0, 0)), 0);
        assert_eq!(refused, Settled::Refused { until });
        assert_eq!(lease.spend(&TERMS, 0), Found::Refused { until });
        assert_eq!(lease.empty_until(until - 1), Some(until));
        assert_eq!(lease.empty_until(until), None);
        assert_eq!(lease.spend(&TERMS, until), Found::Nothing(Wish::Lease(5)));
    }

    #[test]
    fn an_exact_rule_holds_nothing_and_is_told_to_the_moment_when_there_is_one() {
        let exact = Terms { lease: 0, ..TERMS };
        let mut lease = Lease::default();
        assert_eq!(lease.spend(&exact, 0), Found::Nothing(Wish::One));
        let _ = lease.settle(&exact, (Wish::One, taken(1, 7)), 0);
        assert!(lease.says_nothing());
        let until = 40_000_000;
        let refused = lease.settle(&exact, (Wish::One, taken(0, 0)), 0);
        assert_eq!(refused, Settled::Refused { until });
        assert_eq!(lease.spend(&exact, until), Found::Nothing(Wish::One));
    }

    /// The budget in Redis, as `take.lua` counts it.
    #[derive(Default)]
    struct Shelf {
        full: u64,
        taken: u32,
    }

    impl Shelf {
        fn take(&mut self, want: u32, now: u64) -> Taken {
            let (interval, burst) = (nanos(TERMS.bucket.interval), TERMS.bucket.burst);
            let full = self.full.max(now);
            let spent = u32::try_from((full - now).div_ceil(interval)).unwrap();
            let Some(room) = burst.checked_sub(spent).filter(|room| *room > 0) else {
                let wait = full - now - u64::from(burst - 1) * interval;
                let wait = Duration::from_nanos(wait);
                return Taken {
                    taken: 0,
                    left: 0,
                    wait,
                };
            };
            let taken = room.min(want);
            self.full = full + u64::from(taken) * interval;
            self.taken += taken;
            let (left, wait) = (room - taken, Duration::ZERO);
            Taken { taken, left, wait }
        }
    }

    /// A charge at one of three nodes, some time after the one before; what it asks for is answered
    /// after some more charges, or never.
    #[derive(Clone, Debug)]
    struct Charge {
        node: usize,
        after: u64,
        answered: Option<usize>,
    }

    fn charges() -> impl Strategy<Value = Vec<Charge>> {
        let after = prop_oneof![6 => 0..SECOND / 100, 1 => 0..20 * SECOND];
        let answered = prop::option::weighted(0.9, 0..4_usize);
        let charge = (0..3_usize, after, answered);
        let charge = charge.prop_map(|(node, after, answered)| Charge {
            node,
            after,
            answered,
        });
        prop::collection::vec(charge, 1..400)
    }

    proptest! {
        /// Whoever charges when, and whichever answers are late or lost.
        #[test]
        fn in_no_span_of_time_more_is_admitted_than_the_bound(charges in charges()) {
            let (mut shelf, mut nodes) = (Shelf::default(), [Lease::default(); 3]);
            let (mut now, mut admitted) = (0, Vec::new());
            let mut on_their_way: Vec<(usize, usize, Wish)> = Vec::new();
            for (at, charge) in charges.iter().enumerate() {
                now += charge.after;
                let (due, later) = on_their_way.into_iter().partition(|(when, ..)| *when <= at);
                on_their_way = later;
                for (_, node, wish) in due {
                    let answer = (wish, shelf.take(wish.want(), now));
                    let settled = nodes[node].settle(&TERMS, answer, now);
                    if wish.waits() == 1 && matches!(settled, Settled::Admitted { .. }) {
                        admitted.push(now);
                    }
                    prop_assert!(nodes[node].left <= TERMS.lease);
                }
                let found = nodes[charge.node].spend(&TERMS, now);
                if matches!(found, Found::Enough { .. } | Found::Low { .. }) {
                    admitted.push(now);
                }
                if let Found::Low { wish, .. } | Found::Nothing(wish) = found {
                    match charge.answered {
                        Some(later) => on_their_way.push((at + 1 + later, charge.node, wish)),
                        // Lost on the way back: what was taken is gone.
                        None => drop(shelf.take(wish.want(), now)),
                    }
                }
                prop_assert!(admitted.len() <= usize::try_from(shelf.taken).unwrap());
            }
            let interval = nanos(TERMS.bucket.interval);
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let grown = usize::try_from((to - from) / interval).unwrap() + 1;
                    prop_assert!(last - first < 100 + grown + 3 * 5);
                }
            }
        }
    }
}
