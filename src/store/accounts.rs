//! Accounts and their login names in the database.

use super::sql::{Connection, Row, query};
use super::{Change, Store, api_keys, audit, invitations, rows, second_factors, sessions};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{Account, AccountId, KeyOwner, LoginName, PasswordHash, Role};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{
    CreateAccount, Created, Delete, Ending, Register, Rehash, Revoked, SetAttributes, SetPassword,
    SetRoles, VerifyEmail, Which,
};

impl Store {
    pub async fn account(
        &self,
        id: AccountId,
    ) -> Result<Option<(Account, PasswordHash)>, StoreError> {
        query(
            "SELECT id, status, email, username, name, password, roles, email_verified_at, \
             created_at, updated_at, attributes FROM accounts WHERE id = $1 AND status <> 'deleted'",
        )
        .bind(id.to_string())
        .fetch_optional(self)
        .await?
        .map(|row| rows::account(&row))
        .transpose()
    }

    /// Whether there was an account of this id and is none any more.
    pub async fn was_deleted(&self, id: AccountId) -> Result<bool, StoreError> {
        let found = query("SELECT 1 FROM accounts WHERE id = $1 AND status = 'deleted'")
            .bind(id.to_string())
            .fetch_optional(self)
            .await?;
        Ok(found.is_some())
    }

    pub async fn account_by_login(
        &self,
        name: &LoginName,
    ) -> Result<Option<(Account, PasswordHash)>, StoreError> {
        query(
            "SELECT a.id, a.status, a.email, a.username, a.name, a.password, a.roles, \
             a.email_verified_at, a.created_at, a.updated_at, a.attributes \
             FROM login_names n JOIN accounts a ON a.id = n.account_id \
             WHERE n.name = $1 AND a.status <> 'deleted'",
        )
        .bind(name.key())
        .fetch_optional(self)
        .await?
        .map(|row| rows::account(&row))
        .transpose()
    }

    pub async fn accounts(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        query(
            "SELECT id, status, email, username, name, password, roles, email_verified_at, \
             created_at, updated_at, attributes FROM accounts WHERE id > $1 AND status <> 'deleted' \
             ORDER BY id LIMIT $2",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(self)
        .await?
        .iter()
        .map(|row| rows::account(row).map(|(account, _)| account))
        .collect()
    }
}

impl Store {
    /// How the accounts' passwords are hashed, each scheme once: by one look into the index for
    /// each, however many accounts have it.
    pub async fn password_schemes(&self) -> Result<Vec<String>, StoreError> {
        let rows = query(
            "WITH RECURSIVE schemes (scheme) AS ( \
             SELECT min(password_scheme) FROM accounts WHERE password_scheme IS NOT NULL \
             UNION ALL \
             SELECT (SELECT min(password_scheme) FROM accounts WHERE password_scheme > scheme) \
             FROM schemes WHERE scheme IS NOT NULL) \
             SELECT scheme FROM schemes WHERE scheme IS NOT NULL",
        )
        .fetch_all(self)
        .await?;
        rows.iter().map(|row: &Row| row.try_get("scheme")).collect()
    }
}

impl Change for CreateAccount {
    type Output = Created;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Created, StoreError> {
        let account = &self.account;
        // An account that was deleted keeps its id.
        let known = query("SELECT 1 FROM accounts WHERE id = $1")
            .bind(account.id.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        if known.is_some() {
            return Ok(Created::Known);
        }
        let names = login_names(account);
        for name in &names {
            let taken = query("SELECT 1 FROM login_names WHERE name = $1")
                .bind(name.key())
                .fetch_optional(&mut *connection)
                .await?;
            if taken.is_some() {
                return Ok(Created::Taken);
            }
        }
        // Last of all: what is refused for another reason uses no invitation up.
        if let Some(digest) = &self.invitation
            && !invitations::use_once(connection, digest, account.created_at).await?
        {
            return Ok(Created::NotInvited);
        }
        query(
            "INSERT INTO accounts (id, status, email, username, name, password, roles, \
             email_verified_at, created_at, updated_at, password_changed_at, password_scheme, \
             attributes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $11, $12)",
        )
        .bind(account.id.to_string())
        .bind(account.status.word())
        .bind(account.email.as_str())
        .bind(account.username.as_ref().map(|username| username.as_str()))
        .bind(account.name.as_str())
        .bind(self.password.as_phc())
        .bind(rows::join_roles(&account.roles))
        .bind(account.email_verified.then(|| account.created_at.millis()))
        .bind(account.created_at.millis())
        .bind(account.updated_at.millis())
        .bind(self.password.scheme())
        .bind(account.attributes.to_string())
        .execute(&mut *connection)
        .await?;
        for name in &names {
            query("INSERT INTO login_names (name, account_id) VALUES ($1, $2)")
                .bind(name.key())
                .bind(account.id.to_string())
                .execute(&mut *connection)
                .await?;
        }
        audit::write(connection, &self.entry, account.updated_at).await?;
        Ok(Created::Done)
    }
}

impl Change for Register {
    type Output = Created;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Created, StoreError> {
        let created = self.create.apply(connection).await?;
        if created == Created::Done && self.open.apply(connection).await?.is_none() {
            return Err(StoreError::Unreadable("an account that was just made"));
        }
        Ok(created)
    }
}

impl Change for SetPassword {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let from = self.unless_changed_from.as_ref();
        let set = query(
            "UPDATE accounts SET password = $2, password_changed_at = $3, updated_at = $3, \
             password_scheme = $5 WHERE id = $1 AND status <> 'deleted' AND ($4 IS NULL OR password = $4)",
        )
        .bind(self.account.to_string())
        .bind(self.password.as_phc())
        .bind(self.ending.at.millis())
        .bind(from.map(PasswordHash::as_phc))
        .bind(self.password.scheme())
        .execute(&mut *connection)
        .await?;
        if set == 0 {
            return Ok(None);
        }
        note(
            connection,
            self.account,
            Event::PasswordChanged,
            &self.ending,
        )
        .await?;
        sessions::end(connection, self.account, self.end, &self.ending)
            .await
            .map(Some)
    }
}

impl Change for Rehash {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(
            "UPDATE accounts SET password = $3, password_scheme = $4 \
             WHERE id = $1 AND password = $2",
        )
        .bind(self.account.to_string())
        .bind(self.from.as_phc())
        .bind(self.to.as_phc())
        .bind(self.to.scheme())
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Change for VerifyEmail {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let account = || self.account.to_string();
        let found = query("SELECT email_verified_at FROM accounts WHERE id = $1 AND email = $2")
            .bind(account())
            .bind(self.email.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = found else {
            return Ok(false);
        };
        if row.try_get::<Option<i64>>("email_verified_at")?.is_some() {
            return Ok(true);
        }
        query("UPDATE accounts SET email_verified_at = $2, updated_at = $2 WHERE id = $1")
            .bind(account())
            .bind(self.at.millis())
            .execute(&mut *connection)
            .await?;
        let entry = Entry {
            event: Event::EmailVerified,
            account: Some(self.account),
            session: None,
            origin: self.origin.clone(),
        };
        audit::write(connection, &entry, self.at).await?;
        Ok(true)
    }
}

impl Change for SetRoles {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let Some(row) = query("SELECT roles FROM accounts WHERE id = $1 AND status <> 'deleted'")
            .bind(self.account.to_string())
            .fetch_optional(&mut *connection)
            .await?
        else {
            return Ok(None);
        };
        let before = rows::split_roles(row.try_get("roles")?);
        query("UPDATE accounts SET roles = $2, updated_at = $3 WHERE id = $1")
            .bind(self.account.to_string())
            .bind(rows::join_roles(&self.roles))
            .bind(self.ending.at.millis())
            .execute(&mut *connection)
            .await?;
        let event = Event::RolesChanged(self.roles.clone());
        note(connection, self.account, event, &self.ending).await?;
        if before.iter().all(|role: &Role| self.roles.contains(role)) {
            return Ok(Some(Revoked::new()));
        }
        sessions::end(connection, self.account, Which::All, &self.ending)
            .await
            .map(Some)
    }
}

impl Change for SetAttributes {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let set = query(
            "UPDATE accounts SET attributes = $3, updated_at = $4 \
             WHERE id = $1 AND attributes = $2 AND status <> 'deleted'",
        )
        .bind(self.account.to_string())
        .bind(self.from.to_string())
        .bind(self.to.to_string())
        .bind(self.ending.at.millis())
        .execute(&mut *connection)
        .await?;
        if set == 0 {
            return Ok(None);
        }
        let event = Event::AttributesChanged(self.to.names_changed(&self.from));
        note(connection, self.account, event, &self.ending).await?;
        if self.to.contains_all(&self.from) {
            return Ok(Some(Revoked::new()));
        }
        sessions::end(connection, self.account, Which::All, &self.ending)
            .await
            .map(Some)
    }
}

impl Change for Delete {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let deleted = query(
            "UPDATE accounts SET status = 'deleted', email = NULL, username = NULL, name = NULL, \
             password = NULL, password_scheme = NULL, roles = '', attributes = '{}', \
             email_verified_at = NULL, updated_at = $2 \
             WHERE id = $1 AND status <> 'deleted'",
        )
        .bind(self.account.to_string())
        .bind(self.ending.at.millis())
        .execute(&mut *connection)
        .await?;
        if deleted == 0 {
            return Ok(None);
        }
        query("DELETE FROM login_names WHERE account_id = $1")
            .bind(self.account.to_string())
            .execute(&mut *connection)
            .await?;
        api_keys::delete_all(connection, KeyOwner::User(self.account)).await?;
        second_factors::delete(connection, self.account).await?;
        note(connection, self.account, Event::Deleted, &self.ending).await?;
        let revoked = sessions::end(connection, self.account, Which::All, &self.ending).await?;
        // Where somebody was and with what: personal data.
        query("DELETE FROM sessions WHERE account_id = $1")
            .bind(self.account.to_string())
            .execute(&mut *connection)
            .await?;
        Ok(Some(revoked))
    }
}

/// Everything that this account logs in with.
fn login_names(account: &Account) -> Vec<LoginName> {
    let email = LoginName::from(&account.email);
    let username = account.username.as_ref().map(LoginName::from);
    let mut names = vec![email];
    names.extend(username.filter(|username| !names.contains(username)));
    names
}

pub(super) async fn note(
    connection: &mut Connection<'_>,
    account: AccountId,
    event: Event,
    ending: &Ending,
) -> Result<(), StoreError> {
    let entry = Entry {
        event,
        account: Some(account),
        session: None,
        origin: ending.origin.clone(),
    };
    audit::write(connection, &entry, ending.at).await
}

/// The account, if it is active: what a token may be issued for.
pub(super) async fn active(
    connection: &mut Connection<'_>,
    id: AccountId,
) -> Result<Option<Account>, StoreError> {
    let row = query(
        "SELECT id, status, email, username, name, password, roles, email_verified_at, \
         created_at, updated_at, attributes FROM accounts WHERE id = $1 AND status = 'active'",
    )
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| rows::account(&row).map(|(account, _)| account))
        .transpose()
}

/// Notes when somebody logged in last.
pub(super) async fn logged_in(
    connection: &mut Connection<'_>,
    id: AccountId,
    at: Timestamp,
) -> Result<(), StoreError> {
    query("UPDATE accounts SET last_login_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(at.millis())
        .execute(connection)
        .await?;
    Ok(())
}
