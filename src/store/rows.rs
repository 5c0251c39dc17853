//! What a row means.

use std::net::IpAddr;

use crate::accounts::{
    Account, AccountId, Attributes, Device, DisplayName, EmailAddress, Factors, PasswordHash, Role,
    Session, SessionId, Status, Username,
};
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::store::StoreError;
use crate::store::sql::Row;

/// Reads `id, status, email, username, name, password, roles, email_verified_at, created_at,
/// updated_at, attributes` of an account that is not deleted.
pub(super) fn account(row: &Row) -> Result<(Account, PasswordHash), StoreError> {
    let status: String = row.try_get("status")?;
    let username: Option<String> = row.try_get("username")?;
    let email_verified_at: Option<i64> = row.try_get("email_verified_at")?;
    let account = Account {
        id: account_id(row, "id")?,
        email: EmailAddress::stored(row.try_get("email")?),
        email_verified: email_verified_at.is_some(),
        username: username.map(Username::stored),
        name: DisplayName::stored(row.try_get("name")?),
        roles: split_roles(row.try_get("roles")?),
        status: Status::parse(&status).ok_or(StoreError::Unreadable("accounts.status"))?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        updated_at: Timestamp::from_millis(row.try_get("updated_at")?),
        attributes: Attributes::stored(row.try_get("attributes")?)
            .ok_or(StoreError::Unreadable("accounts.attributes"))?,
    };
    Ok((account, PasswordHash::from_phc(row.try_get("password")?)))
}

/// Reads `id, account_id, device, client, created_at, last_used_at, expires_at` of a session.
pub(super) fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: session_id(row, "id")?,
        account: account_id(row, "account_id")?,
        device: Device {
            name: row.try_get("device")?,
            client: client(row)?,
        },
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        last_used_at: Timestamp::from_millis(row.try_get("last_used_at")?),
        expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
    })
}

pub(super) fn account_id(row: &Row, column: &'static str) -> Result<AccountId, StoreError> {
    let text: &str = row.try_get(column)?;
    AccountId::parse(text).map_err(|_| StoreError::Unreadable("the id of an account"))
}

pub(super) fn session_id(row: &Row, column: &'static str) -> Result<SessionId, StoreError> {
    let text: &str = row.try_get(column)?;
    SessionId::parse(text).map_err(|_| StoreError::Unreadable("the id of a session"))
}

/// Reads `second_factor` of a session: by how many it was opened.
pub(super) fn factors(row: &Row) -> Result<Factors, StoreError> {
    Ok(match row.try_get::<i64>("second_factor")? {
        0 => Factors::One,
        _other => Factors::Two,
    })
}

fn client(row: &Row) -> Result<Option<ClientIp>, StoreError> {
    let text: Option<&str> = row.try_get("client")?;
    text.map(|text| {
        text.parse::<IpAddr>()
            .map(ClientIp::new)
            .map_err(|_| StoreError::Unreadable("the address of a client"))
    })
    .transpose()
}

pub(super) fn client_text(client: Option<ClientIp>) -> Option<String> {
    client.map(|client| client.address().to_string())
}

pub(super) fn split_roles(text: &str) -> Vec<Role> {
    text.split(',')
        .filter(|role| !role.is_empty())
        .map(|role| Role::stored(role.to_owned()))
        .collect()
}

pub(super) fn join_roles(roles: &[Role]) -> String {
    roles.iter().map(Role::as_str).collect::<Vec<_>>().join(",")
}
