//! What was well when: each demand on the gateway holds only where what it needs was well.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a fault is thrown at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Organ {
    Node(usize),
    Redis,
    Postgres,
    /// That PostgreSQL can be read at all: over before PostgreSQL is well again.
    News,
    /// The backend that is made to fail. The other one is always well.
    Frail,
}

/// A time in which an organ was not well; open while it lasts.
struct Trouble {
    organ: Organ,
    from: Instant,
    to: Option<Instant>,
}

/// When what was not well, and when this machine stood still.
#[derive(Default)]
pub struct Weather {
    troubles: Mutex<Vec<Trouble>>,
    stalls: Mutex<Vec<(Instant, Duration)>>,
}

/// How often it is looked whether the machine goes on.
const BEAT: Duration = Duration::from_millis(50);

/// A beat that is later than this is a stall.
const LATE: Duration = Duration::from_millis(250);

/// A stall after which nothing is expected to be well at once: connections have timed out.
const STANDSTILL: Duration = Duration::from_secs(2);

/// How long all is taken to be unwell after a standstill.
const AFTERMATH: Duration = Duration::from_secs(15);

impl Weather {
    pub fn begins(&self, organ: Organ) {
        let from = Instant::now();
        let trouble = Trouble {
            organ,
            from,
            to: None,
        };
        self.troubles.lock().unwrap().push(trouble);
    }

    pub fn is_over(&self, organ: Organ) {
        let mut troubles = self.troubles.lock().unwrap();
        let open = troubles
            .iter_mut()
            .filter(|t| t.organ == organ && t.to.is_none());
        open.for_each(|trouble| trouble.to = Some(Instant::now()));
    }

    /// Whether all of these were well from then until now, on a machine that went on.
    pub fn was_well(&self, organs: &[Organ], since: Instant) -> bool {
        let troubles = self.troubles.lock().unwrap();
        let ill = |t: &Trouble| organs.contains(&t.organ) && t.to.is_none_or(|to| to >= since);
        let still =
            |(at, length): &(Instant, Duration)| *length >= STANDSTILL && *at + AFTERMATH >= since;
        !troubles.iter().any(ill) && !self.stalls.lock().unwrap().iter().any(still)
    }

    /// Whether the organ has been ill from then until now.
    pub fn was_ill_throughout(&self, organ: Organ, since: Instant) -> bool {
        let troubles = self.troubles.lock().unwrap();
        let mut mine = troubles.iter().filter(|t| t.organ == organ);
        mine.any(|trouble| trouble.from <= since && trouble.to.is_none())
    }

    /// Whether the organ has, at some time after `at`, been well for so long, on a machine that kept up.
    pub fn had_rest(&self, organ: Organ, at: Instant, length: Duration) -> bool {
        let mut from = at;
        for trouble in self.troubles.lock().unwrap().iter() {
            if trouble.organ != organ || trouble.to.is_some_and(|to| to <= from) {
                continue;
            }
            if trouble.from >= from + length + self.lateness(from) {
                break;
            }
            let Some(to) = trouble.to else { return false };
            from = to;
        }
        Instant::now() >= from + length + self.lateness(from)
    }

    /// How often an organ fell ill or became well again since then.
    pub fn changes(&self, organ: Organ, since: Instant) -> u32 {
        let troubles = self.troubles.lock().unwrap();
        let mine = troubles.iter().filter(|t| t.organ == organ);
        mine.map(|t| u32::from(t.from >= since) + u32::from(t.to.is_none_or(|to| to >= since)))
            .sum()
    }

    /// How much later than it should the machine did what was due since then.
    pub fn lateness(&self, since: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap();
        let late = stalls.iter().filter(|(at, _)| *at >= since);
        late.map(|(_, length)| *length).sum()
    }

    /// Notes when this machine stands still, for as long as it is polled.
    pub async fn watch_the_machine(&self) {
        loop {
            let due = Instant::now() + BEAT;
            tokio::time::sleep_until(due.into()).await;
            let now = Instant::now();
            if now - due > LATE {
                self.stalls.lock().unwrap().push((now, now - due));
            }
        }
    }
}
