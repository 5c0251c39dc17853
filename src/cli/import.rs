//! `portcullis user import`: accounts of another program from a file, line by line.

mod file;

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use self::file::{Line, Lines};
use crate::admin::import::{ImportLine, ImportReport};
use crate::admin::users::{UserAnswer, UserCommand};
use crate::cli::failure::Failure;
use crate::cli::operate::{self, Door};
use crate::cli::output::{self, Format};

/// Most accounts that are handed over at one time.
const PART: usize = 200;
/// Octets of file after which a part is handed over: well below what the admin socket takes.
const PART_OCTETS: usize = 256 * 1024;

#[derive(Args)]
pub(super) struct Import {
    /// CSV with a line of names first, or one JSON object a line
    file: PathBuf,
    /// How to read the file, when its name does not end in .csv, .jsonl or .ndjson
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Change nothing, and say what would become of each line
    #[arg(long)]
    dry_run: bool,
}

/// How a file of accounts is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Csv,
    Jsonl,
}

pub(super) fn run(import: &Import, config: &Path, format: Format) -> Result<(), Failure> {
    let lines = import.open()?;
    let report = operate::with_door(config, async |door| {
        let mut batch = Batch::new(import.dry_run);
        for line in lines {
            batch.take(line?, door).await?;
        }
        batch.hand_over(door).await?;
        Ok(batch.report)
    })?;
    let refused = report.refused.len();
    let answer = UserAnswer::Imported(report);
    output::print(&match (&answer, format) {
        (_, Format::Json) => output::json(&answer)?,
        (UserAnswer::Imported(report), Format::Text) if import.dry_run => {
            format!("dry run: nothing is changed\n{}", shown(report))
        }
        (_, Format::Text) => super::user::shown(&answer),
    })?;
    match refused {
        0 => Ok(()),
        _ => Err(Failure::Other(format!(
            "error: {refused} lines were refused; mend them and run it again: what is there is skipped"
        ))),
    }
}

impl Import {
    fn open(&self) -> Result<Lines<BufReader<File>>, Failure> {
        let extension = self.file.extension().and_then(|end| end.to_str());
        let kind = match (self.format, extension) {
            (Some(kind), _) => kind,
            (None, Some("csv")) => Kind::Csv,
            (None, Some("jsonl" | "ndjson")) => Kind::Jsonl,
            (None, _) => {
                return Err(Failure::Other(String::from(
                    "error: how is the file written? give --format csv or --format jsonl",
                )));
            }
        };
        let named = |error: &dyn std::fmt::Display| {
            Failure::Other(format!("error: {}: {error}", self.file.display()))
        };
        let file = File::open(&self.file).map_err(|error| named(&error))?;
        let file = BufReader::new(file);
        match kind {
            Kind::Csv => Lines::csv(file).map_err(|error| named(&error)),
            Kind::Jsonl => Ok(Lines::json(file)),
        }
    }
}

/// The report as a person reads it.
pub(super) fn shown(report: &ImportReport) -> String {
    let mut text = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| {
        // Writing to memory does not fail.
        let written = writeln!(text, "{line}");
        debug_assert!(written.is_ok());
    };
    for refused in &report.refused {
        say(format_args!("line {}: {}", refused.line, refused.reason));
    }
    say(format_args!(
        "added {}, already there {}, refused {}",
        report.added,
        report.present,
        report.refused.len()
    ));
    for (scheme, count) in &report.passwords {
        say(format_args!("password {scheme}: {count}"));
    }
    text
}

/// Lines on their way to the accounts, and what became of those before.
struct Batch {
    dry_run: bool,
    part: Vec<ImportLine>,
    octets: usize,
    /// By what accounts are told apart, and the line that said it first.
    seen: HashMap<String, u64>,
    report: ImportReport,
}

impl Batch {
    fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            part: Vec::new(),
            octets: 0,
            seen: HashMap::new(),
            report: ImportReport::default(),
        }
    }

    async fn take(&mut self, line: Line, door: &mut Door<'_>) -> Result<(), Failure> {
        let account = match line.account {
            Ok(account) => account,
            Err(reason) => {
                self.report.refuse(line.number, reason);
                return Ok(());
            }
        };
        if let Some(first) = self.repeats(line.number, &account) {
            let reason = format!("its id, address or username stands in line {first} too");
            self.report.refuse(line.number, reason);
            return Ok(());
        }
        self.octets += line.octets;
        self.part.push(ImportLine {
            line: line.number,
            account,
        });
        if self.part.len() >= PART || self.octets >= PART_OCTETS {
            self.hand_over(door).await?;
        }
        Ok(())
    }

    /// The earlier line that means the same account, if there is one.
    fn repeats(&mut self, number: u64, account: &Map<String, Value>) -> Option<u64> {
        let login = |name| Some(account.get(name)?.as_str()?.trim().to_lowercase());
        let id = account.get("id").filter(|id| !id.is_null());
        let id = id.map(|id| format!("id {}", id.to_string().trim_matches('"')));
        let mut names = vec![login("email"), login("username")];
        // A username may be the account's own address.
        names.dedup();
        let keys = names.into_iter().flatten().filter(|name| !name.is_empty());
        let keys: Vec<String> = keys.chain(id).collect();
        if let Some(first) = keys.iter().find_map(|key| self.seen.get(key)) {
            return Some(*first);
        }
        self.seen.extend(keys.into_iter().map(|key| (key, number)));
        None
    }

    async fn hand_over(&mut self, door: &mut Door<'_>) -> Result<(), Failure> {
        self.octets = 0;
        let accounts = std::mem::take(&mut self.part);
        let Some(first) = accounts.first().map(|line| line.line) else {
            return Ok(());
        };
        let command = UserCommand::Import {
            accounts,
            dry_run: self.dry_run,
        };
        match door.carry_out(command).await {
            Ok(UserAnswer::Imported(report)) => {
                self.report.merge(report);
                self.report.refused.sort_by_key(|refused| refused.line);
                Ok(())
            }
            Ok(_) => Err(stopped(first, "the gateway's answer is of another kind")),
            Err(Failure::Other(message)) => Err(stopped(first, &message)),
            Err(failure @ Failure::Configuration(_)) => Err(failure),
        }
    }
}

fn stopped(line: u64, why: &str) -> Failure {
    Failure::Other(format!(
        "{why}\nthe import stopped at line {line}; run it again: what is there is skipped"
    ))
}
