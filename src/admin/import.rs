//! Accounts to be imported, as an operator's file says them: read line by line, each by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use super::error::OperationError;
use crate::accounts::{
    AccountId, Accounts, Arrival, Attributes, DisplayName, EmailAddress, ImportError, ImportMode,
    ImportedAccount, Origin, PasswordHash, Role, Status, Username,
};
use crate::clock::Timestamp;

/// Accounts imported at one time: the database makes several changes with one wait for the disk.
const AT_ONCE: usize = 32;

/// What an account may say.
pub const FIELDS: [&str; 10] = [
    "id",
    "email",
    "email_verified",
    "username",
    "name",
    "password_hash",
    "roles",
    "attributes",
    "status",
    "created_at",
];

/// One account of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// The members are [`FIELDS`].
    pub account: Map<String, Value>,
}

/// What became of accounts that were to be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    pub added: u64,
    /// They were there already and were left alone.
    pub present: u64,
    pub refused: Vec<RefusedLine>,
    /// How the passwords of those that were added are hashed: `$2b$12`, or `none`.
    pub passwords: BTreeMap<String, u64>,
}

/// A line that was not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLine {
    pub line: u64,
    pub reason: String,
}

/// What is wrong with one line: the field and the reason, never the value, since it may be secret.
type Reason = String;

impl ImportReport {
    /// Adds what became of other lines.
    pub fn merge(&mut self, other: Self) {
        self.added += other.added;
        self.present += other.present;
        self.refused.extend(other.refused);
        for (scheme, count) in other.passwords {
            *self.passwords.entry(scheme).or_default() += count;
        }
    }

    pub fn refuse(&mut self, line: u64, reason: impl Into<String>) {
        let reason = reason.into();
        self.refused.push(RefusedLine { line, reason });
    }
}

/// Imports these accounts. A line that cannot be imported is in the report; the others are kept.
///
/// # Errors
/// The database does not answer: some lines may be done, and are found there next time.
pub(super) async fn perform(
    accounts: &Accounts,
    origin: &Origin,
    (lines, mode): (Vec<ImportLine>, ImportMode),
) -> Result<ImportReport, OperationError> {
    let mut report = ImportReport::default();
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let mut under_way = JoinSet::new();
        for ImportLine { line, account } in lines.by_ref().take(AT_ONCE) {
            let new = match read(&account) {
                Ok(new) => new,
                Err(reason) => {
                    report.refuse(line, reason);
                    continue;
                }
            };
            let (accounts, origin) = (accounts.clone(), origin.clone());
            let hash = new.password.as_ref();
            let scheme = hash.map_or_else(|| Some(String::from("none")), PasswordHash::scheme);
            under_way.spawn(async move {
                let arrival = accounts.import(new, mode, &origin).await;
                (line, scheme.unwrap_or_default(), arrival)
            });
        }
        while let Some(done) = under_way.join_next().await {
            let Ok((line, scheme, arrival)) = done else {
                continue;
            };
            match arrival {
                Ok(Arrival::Added) => {
                    report.added += 1;
                    *report.passwords.entry(scheme).or_default() += 1;
                }
                Ok(Arrival::Present) => report.present += 1,
                Err(ImportError::Store(error)) => return Err(OperationError::Store(error)),
                Err(
                    error @ (ImportError::Taken
                    | ImportError::ForeignUsername
                    | ImportError::Future
                    | ImportError::Deleted),
                ) => report.refuse(line, error.to_string()),
            }
        }
    }
    report.refused.sort_by_key(|refused| refused.line);
    Ok(report)
}

/// Reads an account. Members that are `null` are not there.
fn read(account: &Map<String, Value>) -> Result<ImportedAccount, Reason> {
    if let Some(unknown) = account.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let help = match unknown.as_str() {
            "password" => "a hash is `password_hash`; plain passwords are not imported",
            _ => "beyond the known fields there are `attributes`",
        };
        return Err(format!("`{unknown}` is not a field of an account: {help}"));
    }
    let field = |name: &'static str| account.get(name).filter(|value| !value.is_null());
    let text = |name: &'static str| field(name).map(|value| text(name, value)).transpose();
    let email = text("email")?.ok_or("email: missing")?;
    Ok(ImportedAccount {
        id: field("id").map(id).transpose()?,
        email: parsed("email", EmailAddress::parse(email))?,
        email_verified: match field("email_verified") {
            None => false,
            Some(Value::Bool(verified)) => *verified,
            Some(_) => return Err(String::from("email_verified: expected true or false")),
        },
        username: optional("username", text("username")?, Username::parse)?,
        name: optional("name", text("name")?, DisplayName::parse)?,
        roles: field("roles").map(roles).transpose()?,
        attributes: match field("attributes") {
            None => Attributes::default(),
            Some(Value::Object(object)) => parsed("attributes", Attributes::parse(object))?,
            Some(_) => return Err(String::from("attributes: expected an object")),
        },
        status: match text("status")? {
            None => Status::Active,
            Some(word) => Status::parse(word)
                .ok_or("status: expected `active`, `pending`, `locked` or `disabled`")?,
        },
        created_at: field("created_at").map(instant).transpose()?,
        // Django writes `!` and something random for an account without password.
        password: optional(
            "password_hash",
            text("password_hash")?.filter(|hash| !hash.starts_with('!')),
            PasswordHash::import,
        )?,
    })
}

fn text<'a>(name: &'static str, value: &'a Value) -> Result<&'a str, Reason> {
    value
        .as_str()
        .ok_or_else(|| format!("{name}: expected text"))
}

/// Absent and empty are the same: CSV does not tell them apart.
fn optional<T, E: std::error::Error>(
    name: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Reason> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| parsed(name, parse(text))).transpose()
}

fn parsed<T, E: std::error::Error>(name: &'static str, parsed: Result<T, E>) -> Result<T, Reason> {
    parsed.map_err(|error| format!("{name}: {error}"))
}

/// Many old backends count their users.
fn id(value: &Value) -> Result<AccountId, Reason> {
    match value {
        Value::Number(number) if number.is_u64() => {
            parsed("id", AccountId::parse(&number.to_string()))
        }
        value => parsed("id", AccountId::parse(text("id", value)?)),
    }
}

fn roles(value: &Value) -> Result<Vec<Role>, Reason> {
    let names = value.as_array().ok_or("roles: expected a list")?;
    let role = |name| parsed("roles", Role::parse(text("roles", name)?));
    names.iter().map(role).collect()
}

/// RFC 3339, also with a blank for the `T`, hours only for the offset, and UTC where it says
/// nothing; or whole seconds since 1970.
fn instant(value: &Value) -> Result<Timestamp, Reason> {
    const EXPECTED: &str =
        "created_at: expected RFC 3339, such as 2019-05-03T10:00:00Z, or seconds";
    if let Some(seconds) = value.as_i64().filter(|seconds| *seconds >= 0) {
        return Ok(Timestamp::from_seconds(seconds));
    }
    let written = value.as_str().ok_or(EXPECTED)?.trim();
    if let Ok(seconds) = written.parse::<u32>() {
        return Ok(Timestamp::from_seconds(i64::from(seconds)));
    }
    let (day, rest) = written.split_at_checked(10).ok_or(EXPECTED)?;
    let time = rest.strip_prefix(['T', 't', ' ']).ok_or(EXPECTED)?;
    let offset = time.find(['+', '-']).map(|at| time.len() - at);
    let zone = match offset {
        None if time.ends_with(['Z', 'z']) => "",
        None => "Z",
        Some(3) => ":00",
        Some(_) => "",
    };
    let at = OffsetDateTime::parse(&format!("{day}T{time}{zone}"), &Rfc3339);
    let millis = at.map_err(|_| EXPECTED)?.unix_timestamp_nanos() / 1_000_000;
    let millis = i64::try_from(millis).map_err(|_| EXPECTED)?;
    Ok(Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(value: Value) -> Result<ImportedAccount, Reason> {
        read(value.as_object().unwrap())
    }

    #[test]
    fn an_account_is_read_whole() {
        let hash = "$2b$06$4Zr3YKS.Cg6SIEFloohLM.76RzNanBTqqPWTljJ8./YdTlcNLAATy";
        let read = read_json(json!({
            "id": 42, "email": "Ann@Example.com", "email_verified": true, "username": "ann",
            "name": "Ann Lee", "password_hash": hash, "roles": ["admin", "member"],
            "attributes": { "team": "blue" }, "status": "locked",
            "created_at": "2019-05-03T10:00:00Z",
        }));
        let read = read.unwrap();
        assert_eq!(read.id.unwrap().to_string(), "42");
        assert_eq!(read.email.as_str(), "Ann@example.com");
        assert_eq!(read.roles.unwrap().len(), 2);
        assert_eq!(read.attributes.to_string(), r#"{"team":"blue"}"#);
        assert_eq!((read.status, read.email_verified), (Status::Locked, true));
        assert_eq!(
            read.created_at,
            Some(Timestamp::from_seconds(1_556_877_600))
        );
        assert_eq!(read.password.unwrap().scheme().as_deref(), Some("$2b$06"));
    }

    #[test]
    fn all_but_the_address_may_be_absent() {
        let read = read_json(json!({ "email": "a@x.org", "roles": null, "username": "" }));
        let read = read.unwrap();
        assert!(read.id.is_none() && read.roles.is_none() && read.password.is_none());
        let unusable = json!({ "email": "a@x.org", "password_hash": "!DwWog5QBBbBYyvr12t9bzv" });
        assert!(read_json(unusable).unwrap().password.is_none());
        let none = read_json(json!({ "email": "a@x.org", "roles": [] })).unwrap();
        assert_eq!(none.roles, Some(Vec::new()));
    }

    #[test]
    fn dates_are_read_as_databases_write_them() {
        let second = Timestamp::from_seconds(1_556_877_600);
        for written in [
            json!("2019-05-03T10:00:00Z"),
            json!("2019-05-03T12:00:00+02:00"),
            json!("2019-05-03 10:00:00+00"),
            json!("2019-05-03 07:00:00-03"),
            json!("2019-05-03 10:00:00"),
            json!("2019-05-03T10:00:00.000000"),
            json!(1_556_877_600),
            json!("1556877600"),
        ] {
            assert_eq!(instant(&written), Ok(second), "{written}");
        }
        for written in [
            json!("yesterday"),
            json!("2019-05-03"),
            json!("2019-13-03T10:00:00Z"),
            json!("03.05.2019 10:00:00"),
            json!(-1),
            json!(1.5),
            json!(true),
        ] {
            assert!(instant(&written).is_err(), "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (field, value, said) in [
            (
                "email",
                json!("hunter2"),
                "email: An email address must have an @-sign.",
            ),
            ("email", json!(7), "email: expected text"),
            ("id", json!("a b"), "id: an id is"),
            ("id", json!(-1), "id: expected text"),
            ("username", json!("a b"), "username:"),
            ("name", json!("a\nb"), "name:"),
            ("roles", json!("admin"), "roles: expected a list"),
            ("roles", json!(["a,b"]), "roles: a role is"),
            ("attributes", json!([]), "attributes: expected an object"),
            (
                "attributes",
                json!({ "a": {} }),
                "attributes: the attribute `a`",
            ),
            ("status", json!("deleted"), "status: expected"),
            ("email_verified", json!("yes"), "email_verified: expected"),
            (
                "password_hash",
                json!("hunter2"),
                "password_hash: not a hash",
            ),
            ("password", json!("hunter2"), "plain passwords"),
            ("is_staff", json!(true), "`is_staff` is not a field"),
        ] {
            let mut account = Map::from_iter([(String::from("email"), json!("a@x.org"))]);
            account.insert(String::from(field), value);
            let reason = read(&account).unwrap_err();
            assert!(reason.contains(said), "{field}: {reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
        assert_eq!(read(&Map::new()).unwrap_err(), "email: missing");
    }
}
