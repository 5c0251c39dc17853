//! Real nodes under steady traffic while what they stand on is killed, hung and brought back: `make torture`.
//!
//! Three nodes run over one Redis and one PostgreSQL, before two backends of which one fails on command.
//! What is thrown at them (`faults.rs`), one or two at a time, in an order that the seed gives:
//!
//! | at | |
//! |---|---|
//! | a node | `kill -9`; SIGTERM; SIGHUP with other routes, limits and certificate; SIGHUP with a mistake |
//! | Redis | killed, and back empty; hung |
//! | PostgreSQL | crashed, and back; hung; at times for longer than `max_staleness` |
//! | a backend | dead; hung; answering garbage; cutting its answers |
//! | the clients' side, always (`rude.rs`) | resets, half-closes, slow and unread and broken exchanges, bursts |
//!
//! What is promised all the while. Whoever asks for it knows what its answer must be, and the backends judge each
//! request by what its client knew when it sent it:
//!
//! 1. No request without a good credential reaches a backend behind a protected route; no forged identity
//!    arrives anywhere (`backend.rs`, `strangers.rs`).
//! 2. What was acknowledged is kept: accounts, sessions, log-outs, passwords (`people.rs`, `audit.rs`). A live session is
//!    never refused; at worst it is told that something is away.
//! 3. A session that was ended is refused by every node within two seconds in which there was a database, and
//!    never comes back; its streams end within five (`strangers.rs`, `people.rs`).
//! 4. No more wrong passwords are looked at than documented, over all nodes, and never at the victim's cost.
//! 5. A limit is exceeded by no more than documented, over all nodes (both `strangers.rs`).
//! 6. Every answer is complete, well-formed and to the request that asked, or the connection breaks; and it
//!    breaks only where what it needs is not well (`world.rs`).
//! 7. After a fault all is well again within a bound, without a restart (`faults.rs`).
//! 8. In the end nothing has grown, no node has panicked or written an unexpected error, and all drain in
//!    time (`audit.rs`).
//!
//! `MINUTES=60 SEED=7 make torture` for another run. Where the machine stands still, what is due then is given the
//! time for which it stood (`weather.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "suite"]
mod suite {
    #[allow(dead_code, unused_imports)]
    pub mod harness;
}

mod torture {
    pub mod audit;
    pub mod backend;
    pub mod dice;
    pub mod faults;
    pub mod findings;
    pub mod people;
    pub mod rude;
    pub mod sessions;
    pub mod strangers;
    pub mod weather;
    pub mod world;
}

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use torture::audit::{self, Size};
use torture::dice::Dice;
use torture::people::Person;
use torture::world::World;
use torture::{faults, rude, strangers};

const PEOPLE: u64 = 24;

/// What must have been seen for a run to have shown anything.
const TRIED: [&str; 12] = [
    "registered",
    "served",
    "refreshed",
    "logged out",
    "password changed",
    "old passwords refused",
    "streams ended",
    "forgeries",
    "ended sessions refused",
    "guessers",
    "grabs",
    "faults",
];

#[test]
#[ignore = "takes minutes: make torture"]
fn what_users_rely_on_holds_while_everything_fails_in_turn() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        tokio::select! {
            () = run() => {}
            _ = tokio::signal::ctrl_c() => panic!("interrupted"),
        }
    });
}

/// A number from the environment.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

async fn run() {
    let minutes = given("MINUTES").unwrap_or(10);
    let by_time = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let seed = given("SEED").unwrap_or_else(by_time);
    let world = Arc::new(World::start().await);
    world
        .findings
        .say(&format!("MINUTES={minutes} SEED={seed} make torture"));
    let before = Size::of(&world).await;

    let mut people = JoinSet::new();
    for number in 0..PEOPLE {
        people.spawn(Person::new(&world, Dice::new(seed, 100 + number)).live());
    }
    let mut strangers = JoinSet::new();
    let at = |actor: u64| (Arc::clone(&world), Dice::new(seed, actor));
    for number in 0..2 {
        let ((forger, dice), (ghost, fate)) = (at(10 + number), at(20 + number));
        strangers.spawn(strangers::forge(forger, dice));
        strangers.spawn(strangers::haunt(ghost, fate));
        let (boor, dice) = at(30 + number);
        strangers.spawn(rude::misbehave(boor, dice));
    }
    let (guesser, dice) = at(40);
    strangers.spawn(strangers::guess(guesser, dice));
    strangers.spawn(strangers::grab(Arc::clone(&world)));

    let memory = Arc::new(Mutex::new(Vec::new()));
    let watch = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.weather.watch_the_machine().await }
    });
    let scale = tokio::spawn({
        let (world, memory) = (Arc::clone(&world), Arc::clone(&memory));
        async move {
            let mut beat = tokio::time::interval(Duration::from_secs(5));
            while world.goes_on() {
                beat.tick().await;
                let now = Size::of(&world).await;
                memory.lock().unwrap().push(now.memory);
            }
        }
    });

    let until = Instant::now() + Duration::from_secs(60 * minutes);
    faults::rage(&world, Dice::new(seed, 1), until).await;
    world.is_over.store(true, Ordering::Relaxed);
    let accounts = people.join_all().await.into_iter().flatten().collect();
    strangers.join_all().await;
    scale.await.unwrap();
    world.findings.say("the traffic has ended");

    audit::what_was_acknowledged(&world, accounts, Dice::new(seed, 2)).await;
    let memory = memory.lock().unwrap().clone();
    audit::what_has_grown(&world, before, &memory).await;
    audit::what_is_left(&world).await;
    watch.abort();
    world.findings.conclude(&TRIED);
}
