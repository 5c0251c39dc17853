//! The house rules that no compiler holds: what only one file may do, and how a file looks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Most lines of code in a file, without its tests, comments and empty lines.
const MOST_CODE: usize = 450;

struct File {
    /// From the top of the repository: `src/authn/keys.rs`.
    name: String,
    text: String,
}

impl File {
    /// The lines before the file's own tests, numbered from 1; a file of tests has none.
    fn code(&self) -> Vec<(usize, &str)> {
        if self.name.ends_with("/tests.rs") || self.name.contains("/tests/") {
            return Vec::new();
        }
        let mut all: Vec<_> = self
            .text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .collect();
        if let Some(end) = all
            .iter()
            .position(|(_, line)| line.trim_end() == "#[cfg(test)]")
        {
            // `#[cfg(test)] mod tests;` names a file; only a module with a body ends the code.
            if all
                .get(end + 1)
                .is_some_and(|(_, line)| line.starts_with("mod ") && line.ends_with('{'))
            {
                all.truncate(end);
            }
        }
        all.retain(|(_, line)| !line.trim_start().starts_with("//") && !line.trim().is_empty());
        all
    }
}

fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push(File {
                    name,
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn sources() -> Vec<File> {
    let files = files("src");
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

/// Fails with every line of code that has one of `words`, outside the files that may have it.
#[track_caller]
fn only_in(places: &[&str], words: &[&str]) {
    let files = sources();
    for place in places {
        assert!(
            files.iter().any(|file| file.name.starts_with(place)),
            "{place} is not there any more"
        );
    }
    let mut wrong = Vec::new();
    for file in files
        .iter()
        .filter(|file| !places.iter().any(|place| file.name.starts_with(place)))
    {
        for (number, line) in file.code() {
            if words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{number}: {}", file.name, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "only {places:?} may have {words:?}:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_policy_makes_a_permit() {
    let files = sources();
    let authz = files
        .iter()
        .find(|file| file.name == "src/authz.rs")
        .expect("src/authz.rs");
    let made: Vec<_> = authz
        .code()
        .into_iter()
        .filter(|(_, line)| line.contains("Permit {"))
        .collect();
    assert!(
        authz.text.contains("    caller: Caller,\n}"),
        "the field of a Permit is private"
    );
    // Its definition, its own methods, and the one place that makes it.
    assert!(made.len() <= 4, "{made:?}");
    only_in(&["src/authz.rs"], &["Permit {", "Permit{"]);
}

#[test]
fn a_doctest_shows_that_a_permit_cannot_be_made_elsewhere() {
    let files = sources();
    let shown = files
        .iter()
        .any(|file| file.text.contains("compile_fail") && file.text.contains("Permit"));
    assert!(shown, "no compile_fail example speaks of a Permit");
}

#[test]
fn only_the_clock_asks_the_time() {
    only_in(
        &["src/clock.rs"],
        &[
            "SystemTime::now",
            "Instant::now",
            "OffsetDateTime::now_utc",
            "OffsetDateTime::now_local",
            "UtcDateTime::now",
            "clock_gettime",
        ],
    );
}

#[test]
fn only_the_outbound_headers_write_identity_headers() {
    only_in(
        &["src/outbound/", "src/config/headers.rs", "src/outbound.rs"],
        &[
            "\"x-user-",
            "\"x-forwarded-proto\", ",
            "\"x-auth-",
            "from_static(\"x-user",
            "\"x-authenticated-user\"",
        ],
    );
}

#[test]
fn only_the_rejection_chooses_a_failures_status() {
    only_in(
        &["src/rejection", "src/admin"],
        &[
            "StatusCode::UNAUTHORIZED",
            "StatusCode::FORBIDDEN",
            "StatusCode::TOO_MANY_REQUESTS",
        ],
    );
}

#[test]
fn only_the_secret_module_draws_randomness() {
    // A signature draws its own nonce from what the library is handed.
    only_in(
        &["src/secret.rs", "src/authn/keys/"],
        &["rand::", "getrandom", "SystemRandom", "thread_rng"],
    );
}

#[test]
fn no_part_knows_the_configuration() {
    let may = [
        "src/config",
        "src/cli",
        "src/main.rs",
        "src/demo",
        "src/process",
        "src/snapshot.rs",
    ];
    let mut wrong = Vec::new();
    for file in sources()
        .iter()
        .filter(|file| !may.iter().any(|place| file.name.starts_with(place)))
    {
        for (number, line) in file.code() {
            if line.contains("crate::config") {
                wrong.push(format!("{}:{number}: {}", file.name, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_first_what_it_answers_for() {
    let mut wrong = Vec::new();
    for file in sources().iter().chain(&files("tests")) {
        let first = file.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 12 || first.contains("To be written") {
            wrong.push(format!("{}: {first:?}", file.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_named_after_the_domain() {
    let mut wrong = Vec::new();
    for file in sources() {
        let code = file.code().len();
        if code > MOST_CODE {
            wrong.push(format!("{}: {code} lines of code", file.name));
        }
        let stem = Path::new(&file.name)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if [
            "utils", "util", "helpers", "helper", "common", "types", "misc", "mod",
        ]
        .contains(&stem.as_str())
        {
            wrong.push(format!("{}: a name that says nothing", file.name));
        }
    }
    for file in files("tests") {
        if file.text.lines().count() > MOST_CODE {
            wrong.push(format!(
                "{}: {} lines",
                file.name,
                file.text.lines().count()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_to_be_done_or_commented_out() {
    let mut wrong = Vec::new();
    for file in sources()
        .iter()
        .chain(&files("tests"))
        .filter(|file| file.name != "tests/tidy.rs")
    {
        for (at, line) in file.text.lines().enumerate() {
            let marks = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!("];
            if marks.iter().any(|mark| line.contains(mark))
                || line.trim_start().starts_with("// let ")
            {
                wrong.push(format!("{}:{}: {}", file.name, at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_release_and_nothing_else_is_laid_out_after_the_profile() {
    let compiled = |options: &[&str]| {
        let mut wrapper = Command::new("scripts/rustc");
        let said = wrapper.arg("echo").args(options).output().unwrap().stdout;
        String::from_utf8(said).unwrap().trim_end().to_owned()
    };
    assert!(Path::new("scripts/release.profdata").is_file());
    for options in [&["-C", "lto=fat"][..], &["-C", "linker-plugin-lto"]] {
        let expected = format!(
            "{} -C profile-use=scripts/release.profdata",
            options.join(" ")
        );
        assert_eq!(compiled(options), expected);
    }
    for options in [&["-C", "opt-level=3"][..], &["-C", "lto=off"], &["-vV"]] {
        assert_eq!(compiled(options), options.join(" "));
    }
}

#[test]
fn tests_do_not_sleep() {
    let waits = concat!("::", "sleep(");
    let mut wrong = Vec::new();
    for file in files("tests") {
        for (at, line) in file.text.lines().enumerate() {
            if line.contains(waits) {
                wrong.push(format!("{}:{}: {}", file.name, at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_attack_is_answered_with_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let files = files("tests").into_iter().chain(sources());
    let all: String = files.map(|file| file.text).collect();
    let mut named = 0;
    let mut missing = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| C")) {
        let tests = line.rsplit('|').nth(1).unwrap_or_default();
        for test in tests.split('`').skip(1).step_by(2) {
            named += 1;
            let name = test.rsplit("::").next().unwrap_or_default();
            if !all.contains(&format!("fn {name}(")) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(named > 40, "only {named} tests are named");
    assert!(
        missing.is_empty(),
        "docs/attacks.md names tests that are not there: {missing:?}"
    );
}
