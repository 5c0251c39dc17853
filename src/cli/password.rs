//! Reads a password from standard input: never from an argument, which every user of the machine
//! could see.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;

/// Reads one line. At a terminal it is asked for, unseen, and asked for again.
pub(super) fn read() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let hidden = Hidden::begin();
    let first = ask("Password: ")?;
    let again = ask("Again: ")?;
    drop(hidden);
    if first != again {
        return Err(Failure::Other(String::from(
            "error: the two passwords differ",
        )));
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<String, Failure> {
    let mut err = io::stderr();
    // A prompt that cannot be shown is no reason not to read the answer.
    drop(err.write_all(prompt.as_bytes()));
    let answer = line();
    drop(err.write_all(b"\n"));
    answer
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read {
        Ok(0) => Err(Failure::Other(String::from(
            "error: no password: write it to standard input, on one line",
        ))),
        Ok(_) => {
            let end = line.trim_end_matches(['\r', '\n']).len();
            line.truncate(end);
            Ok(line)
        }
        Err(error) => Err(Failure::Other(format!(
            "error: the password cannot be read: {error}"
        ))),
    }
}

/// The terminal shows nothing of what is typed while this lives. By stty(1): the standard library
/// cannot, and one prompt is no reason for a dependency.
struct Hidden;

impl Hidden {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(mode: &str) {
    let done = Command::new("stty")
        .arg(mode)
        .stdin(Stdio::inherit())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        drop(writeln!(io::stderr(), "the terminal cannot be set {mode}"));
    }
}
