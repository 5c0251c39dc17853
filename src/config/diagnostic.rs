//! What is wrong with a configuration file: where, what was expected, and what is near.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong, at its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The key with its section: `tokens.lifetime`, `route[2].path`.
    pub key: String,
    pub problem: String,
    pub help: Option<String>,
    place: Option<Place>,
}

/// A line of the file, without the value that stands in it: values may be secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    shown: String,
    width: usize,
}

/// Everything that is wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    file: PathBuf,
    found: Vec<Diagnostic>,
}

impl Diagnostic {
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            help: None,
            place: None,
        }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn at(mut self, text: &str, span: Range<usize>) -> Self {
        self.place = Some(Place::find(text, span));
        self
    }

    /// The line in the file, counted from one.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }
}

impl Place {
    fn find(text: &str, span: Range<usize>) -> Self {
        let start = span.start.min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let head = before.rfind('\n').map_or(0, |at| at + 1);
        let tail = text
            .get(head..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let key_end = tail.find('=').unwrap_or(tail.len());
        let shown = match tail.get(key_end..) {
            Some(value) if !value.is_empty() => {
                format!("{} = …", tail.get(..key_end).unwrap_or_default().trim_end())
            }
            Some(_) | None => tail.to_owned(),
        };
        let column = text.get(head..start).unwrap_or_default().chars().count();
        // A value is not shown, so a mark under it stands under its ellipsis instead.
        let (column, width) = if column >= key_end {
            (shown.chars().count().saturating_sub(1), 1)
        } else {
            let end = span.end.min(head + key_end);
            let marked = text.get(start..end).unwrap_or_default().trim_end();
            (column, marked.chars().count().max(1))
        };
        Self {
            line,
            column: column + 1,
            shown,
            width,
        }
    }
}

impl Diagnostics {
    pub fn new(file: &Path, mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|d| d.line().unwrap_or(usize::MAX));
        Self {
            file: file.to_owned(),
            found,
        }
    }

    pub fn found(&self) -> &[Diagnostic] {
        &self.found
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.found {
            writeln!(f, "error: {}", diagnostic.problem)?;
            let file = self.file.display();
            match &diagnostic.place {
                Some(at) => {
                    let margin = at.line.to_string().len();
                    writeln!(f, "{:margin$}--> {file}:{}:{}", "", at.line, at.column)?;
                    writeln!(f, "{:margin$} |", "")?;
                    writeln!(f, "{} | {}", at.line, at.shown)?;
                    let indent = at.column - 1;
                    writeln!(f, "{:margin$} | {:indent$}{}", "", "", "^".repeat(at.width))?;
                }
                None => writeln!(f, " --> {file}")?,
            }
            if !diagnostic.key.is_empty() {
                writeln!(f, "  = key: {}", diagnostic.key)?;
            }
            if let Some(help) = &diagnostic.help {
                writeln!(f, "  = help: {help}")?;
            }
            writeln!(f)?;
        }
        let count = self.found.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(f, "{}: {count} {noun}", self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_the_key_and_never_the_value() {
        let text = "[a]\nsecret = \"hunter2\"\n";
        let found = Diagnostic::new("a.secret", "no plain secrets").at(text, 13..22);
        let shown = Diagnostics::new(Path::new("p.toml"), vec![found]).to_string();
        assert!(shown.contains("p.toml:2:"), "{shown}");
        assert!(shown.contains("2 | secret = …"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_mark_stands_under_the_key() {
        let text = "lifetimee = 1\n";
        let found = Diagnostic::new("lifetimee", "unknown key").at(text, 0..9);
        let shown = Diagnostics::new(Path::new("p.toml"), vec![found]).to_string();
        assert!(shown.contains("  | ^^^^^^^^^\n"), "{shown}");
    }
}
