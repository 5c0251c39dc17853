//! Reads the fields of a request body, and lists everything that is wrong with them at once.

pub(super) mod urlencoded;

use http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::rejection::{Fault, FieldFault, InvalidBody, Place};

/// The fields of one body, with the faults that were found while reading them.
///
/// Faults repeat what the client sent only for the fields in [`SHOWN`]: anything else may be a
/// password, also under a name that we do not know.
#[derive(Debug)]
pub(super) struct Form {
    fields: Map<String, Value>,
    faults: Vec<FieldFault>,
}

/// Fields whose value may be repeated in an answer.
const SHOWN: &[&str] = &["email", "username", "name"];

impl Form {
    /// A JSON object. `Content-Type` must say JSON or be absent: what a foreign page can send
    /// without asking us first (text, forms) is not read as JSON. Unknown fields are ignored.
    pub fn json(headers: &HeaderMap, body: &[u8]) -> Result<Self, InvalidBody> {
        if body.is_empty() {
            return Err(whole_body(Fault::Missing));
        }
        if media_type(headers).is_some_and(|kind| !is_json(&kind)) {
            return Err(whole_body(Fault::NotAnObject));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::of(fields)),
            Ok(Value::Null) => Err(whole_body(Fault::Missing)),
            Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(whole_body(Fault::NotAnObject))
            }
            Err(error) => Err(not_json(&error, body)),
        }
    }

    /// `application/x-www-form-urlencoded`, as OAuth's token endpoint takes it.
    pub fn urlencoded(headers: &HeaderMap, body: &[u8]) -> Result<Self, InvalidBody> {
        let is_form =
            media_type(headers).is_none_or(|kind| kind == "application/x-www-form-urlencoded");
        if !is_form {
            return Err(whole_body(Fault::NotAnObject));
        }
        let fields = urlencoded::parse(body).ok_or_else(|| whole_body(Fault::NotAnObject))?;
        Ok(Self::of(
            fields
                .into_iter()
                .map(|(k, v)| (k, Value::String(v)))
                .collect(),
        ))
    }

    fn of(fields: Map<String, Value>) -> Self {
        Self {
            fields,
            faults: Vec::new(),
        }
    }

    /// A field that must be there and be text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        match self.fields.get_mut(name) {
            // what may be a secret leaves the form: no fault can repeat it
            Some(Value::String(text)) if SHOWN.contains(&name) => Some(text.clone()),
            Some(Value::String(text)) => Some(std::mem::take(text)),
            Some(_) => self.refuse(name, Fault::NotText),
            None => {
                let fault = FieldFault::new(Place::Field(name), Fault::Missing);
                self.faults.push(fault.with_input(self.shown()));
                None
            }
        }
    }

    /// A field that may be absent or null, and is text otherwise.
    pub fn optional_text(&mut self, name: &'static str) -> Option<String> {
        match self.fields.get(name) {
            None | Some(Value::Null) => None,
            Some(_) => self.text(name),
        }
    }

    /// A list of texts, that may be absent or null: then it is empty.
    pub fn texts(&mut self, name: &'static str) -> Vec<String> {
        let items = match self.fields.get(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => &[Value::Null],
        };
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        let texts: Option<Vec<String>> = texts.collect();
        let reason = || Fault::Unacceptable(String::from("expected a list of strings"));
        texts
            .or_else(|| self.refuse(name, reason()))
            .unwrap_or_default()
    }

    /// A whole number from 1, that may be absent or null.
    pub fn optional_number(&mut self, name: &'static str) -> Option<u64> {
        match self.fields.get(name) {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_u64().filter(|number| *number > 0) {
                Some(number) => Some(number),
                None => {
                    let reason = String::from("expected a whole number from 1");
                    self.refuse(name, Fault::Unacceptable(reason))
                }
            },
        }
    }

    /// A text that `parse` makes something of.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(fault) => self.refuse(name, fault),
        }
    }

    /// Records what is wrong with a field that was read.
    pub fn refuse<T>(&mut self, name: &'static str, fault: Fault) -> Option<T> {
        let place = Place::Field(name);
        self.faults.push(
            match self.fields.get(name).filter(|v| may_be_shown(name, v)) {
                Some(value) => FieldFault::new(place, fault).with_input(value.clone()),
                None => FieldFault::new(place, fault),
            },
        );
        None
    }

    /// What was read, when every field of it is there and nothing was wrong.
    pub fn complete<T>(self, read: Option<T>) -> Result<T, InvalidBody> {
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            Some(_) | None => Err(InvalidBody::new(self.faults)),
        }
    }

    /// The fields that may be repeated, for a fault that is about the whole.
    fn shown(&self) -> Value {
        let shown = self
            .fields
            .iter()
            .filter(|(name, value)| may_be_shown(name, value));
        Value::Object(shown.map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// Lists and objects are never repeated: a secret may be anywhere in them.
fn may_be_shown(name: &str, value: &Value) -> bool {
    SHOWN.contains(&name) && !value.is_array() && !value.is_object()
}

fn whole_body(fault: Fault) -> InvalidBody {
    InvalidBody::from(FieldFault::new(Place::Body, fault))
}

fn not_json(error: &serde_json::Error, body: &[u8]) -> InvalidBody {
    let at = byte_offset(body, error.line(), error.column());
    let said = error.to_string();
    let reason = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(reason, _)| reason);
    let fault = Fault::NotJson(String::from(reason));
    InvalidBody::from(FieldFault::new(Place::Byte(at), fault))
}

/// The offset from 0 of a place counted from line 1, column 1.
fn byte_offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(body.len())
}

/// The media type without its parameters, lower case; `None`: not said.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let said = headers
        .get(header::CONTENT_TYPE)?
        .to_str()
        .unwrap_or("unreadable");
    let kind = said.split(';').next().unwrap_or(said);
    Some(kind.trim().to_ascii_lowercase())
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        headers
    }

    fn login(kind: &str, body: &str) -> Result<(String, String), Value> {
        let read = || {
            let mut form = Form::json(&headers(kind), body.as_bytes())?;
            let email = form.parsed("email", |text| {
                let bad = || Fault::NotAnEmail(String::from("no @"));
                text.contains('@')
                    .then(|| String::from(text))
                    .ok_or_else(bad)
            });
            let password = form.text("password");
            form.complete(email.zip(password))
        };
        read().map_err(|invalid: InvalidBody| {
            invalid.faults().iter().map(FieldFault::pydantic).collect()
        })
    }

    #[test]
    fn a_whole_body_is_read() {
        let read = login(
            "application/json; charset=utf-8",
            r#"{"email":"a@b","password":"p","x":1}"#,
        );
        assert_eq!(read, Ok((String::from("a@b"), String::from("p"))));
        assert!(login("", r#"{"email":"a@b","password":""}"#).is_ok());
        assert!(login("application/vnd.x+json", r#"{"email":"a@b","password":""}"#).is_ok());
    }

    #[test]
    fn each_fault_is_listed_as_pydantic_lists_it() {
        let object = "Input should be a valid dictionary or object to extract fields from";
        let cases = [
            (
                "",
                json!([{"type":"missing","loc":["body"],"msg":"Field required"}]),
            ),
            (
                "null",
                json!([{"type":"missing","loc":["body"],"msg":"Field required"}]),
            ),
            (
                "[1]",
                json!([{"type":"model_attributes_type","loc":["body"],"msg":object}]),
            ),
            (
                "\"hunter2\"",
                json!([{"type":"model_attributes_type","loc":["body"],"msg":object}]),
            ),
            (
                r#"{"email":1,"password":["hunter2"]}"#,
                json!([
                    {"type":"string_type","loc":["body","email"],"msg":"Input should be a valid string","input":1},
                    {"type":"string_type","loc":["body","password"],"msg":"Input should be a valid string"},
                ]),
            ),
            (
                r#"{"email":{"password":"hunter2"},"password":null}"#,
                json!([
                    {"type":"string_type","loc":["body","email"],"msg":"Input should be a valid string"},
                    {"type":"string_type","loc":["body","password"],"msg":"Input should be a valid string"},
                ]),
            ),
            (
                r#"{"email":"not-an-email","password":"hunter2"}"#,
                json!([{
                    "type":"value_error","loc":["body","email"],
                    "msg":"value is not a valid email address: no @",
                    "input":"not-an-email","ctx":{"reason":"no @"},
                }]),
            ),
            (
                r#"{"email":"a@b","Password":"hunter2"}"#,
                json!([{"type":"missing","loc":["body","password"],"msg":"Field required","input":{"email":"a@b"}}]),
            ),
            (
                r#"{"password":"hunter2"}"#,
                json!([{"type":"missing","loc":["body","email"],"msg":"Field required","input":{}}]),
            ),
            (
                r#"{"email":"a@b",
 hunter2}"#,
                json!([{"type":"json_invalid","loc":["body",17],"msg":"JSON decode error","ctx":{"error":"key must be a string"}}]),
            ),
        ];
        for (body, expected) in cases {
            let listed = login("application/json", body).unwrap_err();
            assert_eq!(listed, expected, "{body}");
            assert!(!listed.to_string().contains("hunter2"), "{body}");
        }
    }

    #[test]
    fn what_a_foreign_page_can_send_unasked_is_not_read_as_json() {
        let body = r#"{"email":"a@b","password":"p"}"#;
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "\u{e9}",
        ] {
            assert!(login(kind, body).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_form_is_read_where_one_is_asked_for() {
        let body = b"grant_type=password&username=ada%40x.org&password=a+b%2Bc";
        let kind = headers("application/x-www-form-urlencoded");
        let mut form = Form::urlencoded(&kind, body).unwrap();
        assert_eq!(form.text("username").as_deref(), Some("ada@x.org"));
        assert_eq!(form.text("password").as_deref(), Some("a b+c"));
        assert!(Form::urlencoded(&headers("application/json"), body).is_err());
        assert!(Form::urlencoded(&kind, b"username=%ff").is_err());
    }
}
