//! The hasher, with hashes that cost little.

use std::num::NonZeroUsize;

use super::*;

fn settings(threads: usize, queue: usize) -> HashSettings {
    HashSettings {
        cost: Cost::new(64, 1, 1).unwrap(),
        threads: NonZeroUsize::new(threads).unwrap(),
        queue: NonZeroUsize::new(queue).unwrap(),
    }
}

fn password(text: &str) -> PlainPassword {
    PlainPassword::parse(text).unwrap()
}

async fn is_right(hasher: &Hasher, typed: &str, hash: &PasswordHash) -> bool {
    let checked = hasher.verify(&password(typed), hash).await;
    checked.unwrap().is_right
}

#[tokio::test]
async fn a_password_matches_its_own_hash_only() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let hash = hasher.hash(&password("right")).await.unwrap();
    assert!(hash.as_phc().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    assert!(is_right(&hasher, "right", &hash).await);
    assert!(!is_right(&hasher, "Right", &hash).await);
    assert!(!is_right(&hasher, "right ", &hash).await);
}

#[tokio::test]
async fn a_hash_of_the_reference_implementation_verifies() {
    // From the test vectors of the reference implementation (phc-winner-argon2, test.c).
    let hash = PasswordHash::from_phc(String::from(
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ));
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    assert!(is_right(&hasher, "password", &hash).await);
    assert_eq!(hasher.memory(), 0, "a dear hash keeps no memory");
}

#[tokio::test]
async fn nobody_costs_the_same_one_hash_as_somebody() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let hash = hasher.hash(&password("right")).await.unwrap();
    let before = hasher.hashes();
    assert!(!is_right(&hasher, "wrong", &hash).await);
    assert_eq!(hasher.hashes(), before + 1);
    let nobody = hasher.verify_nobody(&password("wrong")).await.unwrap();
    assert!(!nobody.is_right);
    assert_eq!(hasher.hashes(), before + 2);
    assert_eq!(hash.scheme(), hasher.nobody.scheme());
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_what_waits_is_done() {
    let (hasher, crew) = Hasher::prepare(&settings(2, 3));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move { hasher.hash(&password("x")).await })
        })
        .collect();
    while hasher.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        let refused = hasher.hash(&password("x")).await;
        assert!(matches!(refused, Err(HashError::Busy { .. })));
    }
    assert_eq!(hasher.waiting(), 3);
    assert_eq!(hasher.memory(), 0);

    crew.start().unwrap();
    for hash in waiting {
        assert!(hash.await.unwrap().is_ok());
    }
    assert_eq!(hasher.hashes(), 3);
    assert!(
        hasher.memory() <= 2 * 64 * 1024,
        "one piece of memory a thread"
    );
}

#[tokio::test]
async fn the_memory_goes_back_when_nobody_logs_in() {
    let hasher = Hasher::start(&settings(2, 4)).unwrap();
    assert_eq!(hasher.memory(), 0, "none before the first hash");
    hasher.hash(&password("x")).await.unwrap();
    while hasher.memory() > 0 {
        tokio::task::yield_now().await;
    }
    hasher.hash(&password("x")).await.unwrap();
}

#[tokio::test]
async fn who_went_away_is_not_worked_for() {
    let (hasher, crew) = Hasher::prepare(&settings(1, 3));
    let gone = tokio::spawn({
        let hasher = hasher.clone();
        async move { hasher.hash(&password("x")).await }
    });
    while hasher.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.is_err());
    crew.start().unwrap();
    hasher.hash(&password("y")).await.unwrap();
    assert_eq!(hasher.hashes(), 1);
}

#[tokio::test]
async fn a_stored_hash_that_would_exhaust_memory_is_not_computed() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    for text in [
        "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=64,t=4000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$2b$12$abcdefghijklmnopqrstuv",
        "",
    ] {
        let hash = PasswordHash::from_phc(text.to_owned());
        let answer = hasher.verify(&password("x"), &hash).await;
        assert_eq!(answer, Err(HashError::Unreadable), "{text}");
    }
    assert_eq!(hasher.hashes(), 0);
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_outdated() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let own = hasher.hash(&password("x")).await.unwrap();
    let dearer = pool::unmatched(Cost::new(128, 1, 1).unwrap());
    assert!(!hasher.is_outdated(&own));
    assert!(hasher.is_outdated(&dearer));
}

#[tokio::test]
async fn a_hash_of_the_default_cost_is_up_to_date() {
    let defaults = HashSettings {
        threads: NonZeroUsize::MIN,
        ..HashSettings::default()
    };
    let hasher = Hasher::start(&defaults).unwrap();
    let hash = hasher.hash(&password("x")).await.unwrap();
    assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!hasher.is_outdated(&hash));
}

/// Hashes of the password below as other programs wrote them: the program, a tab, the hash.
const FOREIGN: &str = include_str!("foreign.txt");
const FOREIGN_PASSWORD: &str = "correct horse бат 7";

#[tokio::test]
async fn hashes_of_other_programs_verify_and_are_outdated() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let lines: Vec<_> = FOREIGN.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(lines.len(), 18, "every line is a test");
    for line in lines {
        let (_, text) = line.split_once('\t').unwrap();
        let hash = PasswordHash::import(text).unwrap();
        assert!(is_right(&hasher, FOREIGN_PASSWORD, &hash).await, "{line}");
        assert!(
            !is_right(&hasher, "correct horse бат 8", &hash).await,
            "{line}"
        );
        assert!(hasher.is_outdated(&hash), "{line}");
        let took = hasher.measure(&hash.scheme().unwrap()).await.unwrap();
        assert!(!took.is_zero(), "{line}");
    }
}

#[tokio::test]
async fn bcrypt_looks_at_72_octets_and_django_goes_around_that() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let typed = "x".repeat(100);
    // bcrypt 5.0.0 of Python, with the first 72 octets; Django 5.2.19.
    let cut = "$2b$04$pnKLTto6jHZ69Ni0kyCuieU8xQYvp99ogHbAiCsVN39WZcaYi0QYi";
    let whole = "bcrypt_sha256$$2b$04$Nl8kqNz4QWsmnw9CDslvj.qk8SKlCJWkmgcRpHI2ukdVOU/XL5I16";
    let [cut, whole] = [cut, whole].map(|text| PasswordHash::import(text).unwrap());
    for length in [72, 73, 100] {
        assert!(is_right(&hasher, &typed[..length], &cut).await, "{length}");
    }
    assert!(!is_right(&hasher, &typed[..71], &cut).await);
    assert!(is_right(&hasher, &typed, &whole).await);
    assert!(!is_right(&hasher, &typed[..99], &whole).await);
    let empty = "$2b$04$cp/TUJDJ8jH2j6hs3PTwm.vX6UEo08UupeoL61O/.XU3tpfKDaYsu";
    let empty = PasswordHash::import(empty).unwrap();
    assert!(is_right(&hasher, "", &empty).await);
}

#[test]
fn what_is_no_hash_or_too_dear_is_not_imported() {
    let rest = "abcdefghijklmnopqrstuuFKhMjTfYIxfni2dgpLeG8mwBJGseVrG";
    for text in [
        String::new(),
        String::from("hunter2"),
        String::from("5f4dcc3b5aa765d61d8327deb882cf99"),
        String::from("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99"),
        String::from("$1$salt$hash"),
        String::from("!DwWog5QBBbBYyvr12t9bzvvHEQ366bbkNZWM0ZNR"),
        format!("$2x$12${rest}"),
        format!("$2b$12${rest}a"),
        format!("$2b$12${}", &rest[..52]),
        format!("$2b$12$é{}", &rest[..51]),
        format!("bcrypt$$argon2id$v=19$m=64,t=1,p=1${rest}"),
        String::from(
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
        String::from("$scrypt$ln=10,r=8,p=2$AAECAwQFBgcICQoLDA0ODw$XG7vdw"),
        String::from("scrypt$1000$salt$8$5$Cm51e11DKgWPu5i+Prc4vpRAkdlfTty4Y9qIGjjtkVk="),
        String::from("pbkdf2_sha256$10$salt$more$xUV+VYc5sCh2+GMOuiD9wOzjhUOlg7Xq4r3lM9Pd9BY="),
        format!("pbkdf2_sha256$10${}$AAAA", "s".repeat(600)),
    ] {
        let refused = PasswordHash::import(&text).err();
        assert_eq!(refused, Some(NotImportable::Unknown), "{text}");
    }
    for text in [
        format!("$2b$31${rest}"),
        format!("bcrypt_sha256$$2b$20${rest}"),
        String::from("pbkdf2_sha256$4000000000$s$xUV+VYc5sCh2+GMOuiD9wOzjhUOlg7Xq4r3lM9Pd9BY="),
        String::from("scrypt$1073741824$s$8$5$xUV+VYc5sCh2+GMOuiD9wOzjhUOlg7Xq4r3lM9Pd9BY="),
        String::from(
            "$argon2id$v=19$m=1048576,t=64,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
    ] {
        let refused = PasswordHash::import(&text).err();
        assert!(matches!(refused, Some(NotImportable::TooDear(_))), "{text}");
    }
}

/// How nice a thread of this process is.
fn niceness(task: &std::path::Path) -> i32 {
    let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
    // After the name, which may hold anything: the state, and sixteen fields later this one.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
    let nice = fields.and_then(|fields| fields.split(' ').nth(16)?.parse().ok());
    nice.unwrap_or(i32::MIN)
}

#[tokio::test]
async fn hashing_threads_give_way_to_those_that_serve() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    hasher.hash(&password("a")).await.unwrap();
    let own = niceness(std::path::Path::new("/proc/thread-self"));
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nicer = tasks.map(|task| task.unwrap().path()).any(|task| {
        // Threads of other tests come and go.
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.starts_with("hasher") && niceness(&task) == (own + 5).min(19)
    });
    assert!(nicer);
}
