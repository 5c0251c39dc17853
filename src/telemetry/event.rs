//! What is counted for the whole process: a fixed list, so that no client can lengthen it.

use crate::telemetry::exposition::{Exposition, Kind};

/// Something that is counted as it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    ReloadSucceeded,
    /// The last good configuration stays.
    ReloadFailed,
    AccessLineDropped,
    LogLineDropped,
    /// A mistake of ours, on any thread.
    Panicked,
}

/// A metric's name, its help, and the label that tells its events apart, if there are several.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
}

const RELOADS: Family = Family {
    name: "portcullis_reloads_total",
    help: "Reloads of the configuration by their outcome.",
    label: "outcome",
};
const DROPPED: Family = Family {
    name: "portcullis_log_lines_dropped_total",
    help: "Log lines lost because they could not be written in time.",
    label: "log",
};

const PANICS: Family = Family {
    name: "portcullis_panics_total",
    help: "Mistakes in the program that ended what was being done.",
    label: "",
};

impl Event {
    pub(super) const COUNT: usize = Self::ALL.len();

    /// By family: the exposition names a family once.
    const ALL: [Event; 5] = [
        Event::ReloadSucceeded,
        Event::ReloadFailed,
        Event::AccessLineDropped,
        Event::LogLineDropped,
        Event::Panicked,
    ];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    const fn described(self) -> (&'static Family, &'static str) {
        match self {
            Event::ReloadSucceeded => (&RELOADS, "succeeded"),
            Event::ReloadFailed => (&RELOADS, "failed"),
            Event::AccessLineDropped => (&DROPPED, "access"),
            Event::LogLineDropped => (&DROPPED, "program"),
            Event::Panicked => (&PANICS, ""),
        }
    }
}

pub(super) fn expose(counted: impl Fn(Event) -> u64, out: &mut Exposition) {
    let mut last = "";
    for event in Event::ALL {
        let (family, value) = event.described();
        if family.name != last {
            out.family(family.name, Kind::Counter, family.help);
            last = family.name;
        }
        match family.label {
            "" => out.sample(&[], counted(event)),
            label => out.sample(&[(label, value)], counted(event)),
        }
    }
}
