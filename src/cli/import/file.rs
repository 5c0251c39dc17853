//! A file of accounts, line by line: a broken line breaks no other.

use std::io::{self, BufRead, Read};

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use crate::admin::import::FIELDS;
use crate::cli::failure::Failure;

/// Longest line in octets: an account with everything that it may have, many times over.
const MAX_LINE: u64 = 64 * 1024;

/// One line that is not blank.
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    pub(super) octets: usize,
    /// The account's members, or what is wrong with the line.
    pub(super) account: Result<Map<String, Value>, String>,
}

/// The accounts of a file.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    form: Form,
}

enum Form {
    /// The names in the first line.
    Csv(Vec<String>),
    Json,
}

/// Why no line of a file can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    #[error("the first line does not name the fields: {0}")]
    Head(String),
}

impl<R: BufRead> Lines<R> {
    /// One JSON object a line.
    pub(super) fn json(source: R) -> Self {
        Self {
            source,
            number: 0,
            form: Form::Json,
        }
    }

    /// RFC 4180, but for fields that go over the end of a line: no account has one, and a quote
    /// that is never closed would swallow all lines after it. The first line names the fields.
    pub(super) fn csv(source: R) -> Result<Self, HeadError> {
        let mut lines = Self::json(source);
        let head = lines.next_text().map_err(HeadError::Read)?;
        let head = head.unwrap_or(Ok(String::new())).map_err(HeadError::Head)?;
        let names = cells(head.trim_start_matches('\u{feff}')).map_err(HeadError::Head)?;
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        for (at, name) in names.iter().enumerate() {
            let is_attribute = name
                .strip_prefix("attributes.")
                .is_some_and(|name| !name.is_empty());
            if !is_attribute && !FIELDS.contains(&name.as_str()) {
                let known = FIELDS.join(", ");
                let problem = format!("`{name}` is none of {known}, attributes.NAME");
                return Err(HeadError::Head(problem));
            }
            if names.iter().take(at).any(|earlier| earlier == name) {
                return Err(HeadError::Head(format!("`{name}` stands there twice")));
            }
        }
        if !names.iter().any(|name| name == "email") {
            return Err(HeadError::Head(String::from("`email` is missing")));
        }
        lines.form = Form::Csv(names);
        Ok(lines)
    }

    /// The next line without its end, or what is wrong with it.
    fn next_text(&mut self) -> io::Result<Option<Result<String, String>>> {
        let mut octets = Vec::new();
        let mut line = self.source.by_ref().take(MAX_LINE);
        if line.read_until(b'\n', &mut octets)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.limit() == 0 && !octets.ends_with(b"\n") {
            self.source.skip_until(b'\n')?;
            return Ok(Some(Err(format!("longer than {MAX_LINE} octets"))));
        }
        let end = octets.trim_ascii_end().len();
        octets.truncate(end);
        let text = String::from_utf8(octets);
        Ok(Some(text.map_err(|_| String::from("not UTF-8"))))
    }

    fn read(&self, text: &str) -> Result<Map<String, Value>, String> {
        match &self.form {
            Form::Json => json(text),
            Form::Csv(names) => csv(names, &cells(text)?),
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = match self.next_text() {
                Ok(text) => text?,
                Err(error) => return Some(Err(Failure::other(&error))),
            };
            if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
                continue;
            }
            return Some(Ok(Line {
                number: self.number,
                octets: text.as_ref().map_or(0, String::len),
                account: text.and_then(|text| self.read(&text)),
            }));
        }
    }
}

fn json(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Value::Object(account)) => Ok(account),
        Ok(_) => Err(String::from("not a JSON object")),
        // Where, not what: it may be somebody's password hash.
        Err(error) => Err(format!("not JSON, from column {} on", error.column())),
    }
}

/// One line of CSV taken apart.
fn cells(text: &str) -> Result<StringRecord, String> {
    // In whole lines quotes come in pairs, those inside of fields too.
    if text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err(String::from("a quote is not closed on its line"));
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record),
        Err(_) => Err(String::from("not CSV")),
    }
}

/// An account from the cells under these names. Empty cells say nothing, but for no roles.
fn csv(names: &[String], cells: &StringRecord) -> Result<Map<String, Value>, String> {
    if cells.len() != names.len() {
        let (found, expected) = (cells.len(), names.len());
        return Err(format!(
            "{found} fields, and the first line names {expected}"
        ));
    }
    let mut account = Map::new();
    let mut attributes = Map::new();
    for (name, cell) in names.iter().zip(cells) {
        if let Some(attribute) = name.strip_prefix("attributes.") {
            if !cell.is_empty() {
                attributes.insert(attribute.to_owned(), cell.into());
            }
            continue;
        }
        match name.as_str() {
            "roles" => {
                let roles = cell.split([',', ';', ' ']).filter(|role| !role.is_empty());
                account.insert(name.clone(), roles.collect());
            }
            _ if cell.is_empty() => {}
            "email_verified" => {
                account.insert(name.clone(), truth(cell)?.into());
            }
            "attributes" => {
                attributes.extend(json(cell).map_err(|problem| format!("attributes: {problem}"))?)
            }
            _ => drop(account.insert(name.clone(), cell.into())),
        }
    }
    if !attributes.is_empty() {
        account.insert(String::from("attributes"), attributes.into());
    }
    Ok(account)
}

/// As databases and spreadsheets write it.
fn truth(cell: &str) -> Result<bool, String> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "1" => Ok(true),
        "false" | "f" | "no" | "0" => Ok(false),
        _ => Err(String::from("email_verified: expected true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<(u64, Result<String, String>)>;

    fn read<R: BufRead>(lines: Lines<R>) -> Read {
        lines
            .map(|line| line.unwrap())
            .map(|line| {
                (
                    line.number,
                    line.account.map(|a| Value::from(a).to_string()),
                )
            })
            .collect()
    }

    fn csv_lines(text: &str) -> Read {
        read(Lines::csv(text.as_bytes()).unwrap())
    }

    #[test]
    fn csv_is_read_as_spreadsheets_write_it() {
        let text = "\u{feff}email,name,roles,email_verified,attributes,attributes.team\r\n\
                    a@x.org,\"Lee, Ann \"\"A\"\"\",\"admin,member\",T,\"{\"\"seat\"\":7}\",blue\r\n\
                    \r\n\
                    b@x.org,,,,,\r\n";
        let ann = r#"{"attributes":{"seat":7,"team":"blue"},"email":"a@x.org","email_verified":true,"name":"Lee, Ann \"A\"","roles":["admin","member"]}"#;
        let bob = r#"{"email":"b@x.org","roles":[]}"#;
        let expected = [(2, Ok(ann.to_owned())), (4, Ok(bob.to_owned()))];
        assert_eq!(csv_lines(text), expected);
    }

    #[test]
    fn a_broken_line_breaks_no_other() {
        let long = "x".repeat(70_000);
        let text =
            format!("email,name\n\"a@x.org,A\nb@x.org\nc@x.org,C,C\nd@x.org,{long}\ne@x.org,E");
        let read = csv_lines(&text);
        let reasons: Vec<_> = read
            .iter()
            .map(|(line, read)| (*line, read.as_ref().map_err(String::as_str).err()))
            .collect();
        let expected = [
            (2, Some("a quote is not closed on its line")),
            (3, Some("1 fields, and the first line names 2")),
            (4, Some("3 fields, and the first line names 2")),
            (5, Some("longer than 65536 octets")),
            (6, None),
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn json_lines_are_read_one_by_one() {
        let text = b"{\"email\":\"a@x.org\"}\n[1]\n{\"email\":\n\xff\n\n{\"id\":1}\n";
        let read = read(Lines::json(&text[..]));
        let good: Vec<_> = read.iter().filter(|(_, read)| read.is_ok()).collect();
        assert_eq!(good.len(), 2);
        let reasons: Vec<_> = read
            .iter()
            .filter_map(|(line, read)| Some((*line, read.as_ref().err()?.as_str())))
            .collect();
        let expected = [
            (2, "not a JSON object"),
            (3, "not JSON, from column 9 on"),
            (4, "not UTF-8"),
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn a_first_line_that_names_something_else_stops_it() {
        for (head, said) in [
            ("", "`email` is missing"),
            ("name", "`email` is missing"),
            ("email,password", "`password` is none of"),
            ("email,email", "twice"),
            ("email,attributes.", "is none of"),
            ("\"email", "quote"),
        ] {
            let refused = Lines::csv(head.as_bytes()).err().unwrap().to_string();
            assert!(refused.contains(said), "{head}: {refused}");
        }
    }
}
