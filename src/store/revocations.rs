//! Revocations in the database, and the end of what has expired.

use std::collections::BTreeSet;
use std::time::Duration;

use super::sql::{Connection, Query, Row, query};
use super::{Change, Store, rows};
use crate::accounts::Revocation;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{Revoked, Sweep};

/// What was revoked, and the place up to where it was read.
#[derive(Clone, Debug, Default)]
pub struct RevocationNews {
    pub revocations: Revoked,
    /// How long ago each of them was made, by the database's clock; `None`: it was not noted.
    pub ages: Vec<Option<Duration>>,
    pub place: Place,
}

/// Up to where the table of revocations was read; the default is before everything.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Whatever comes later stands at this number or after it.
    from: i64,
    /// The rows at or after `from` that were read all the same.
    seen: BTreeSet<i64>,
}

#[cfg(test)]
impl Place {
    /// Where whatever comes stands at `from` or after it.
    pub(super) fn at(from: i64) -> Self {
        let seen = BTreeSet::new();
        Self { from, seen }
    }
}

impl Store {
    /// The revocations after this place, in the order of their numbers.
    pub async fn revocations(&self, place: &Place) -> Result<RevocationNews, StoreError> {
        let mut news = RevocationNews {
            revocations: Revoked::new(),
            ages: Vec::new(),
            place: Place {
                from: place.from,
                seen: BTreeSet::new(),
            },
        };
        for row in self
            .revocations_query()
            .bind(place.from)
            .fetch_all(self)
            .await?
        {
            news.place.from = row.try_get("next")?;
            // The row that only says how far the reading came.
            let Some(id) = row.try_get::<Option<i64>>("id")? else {
                continue;
            };
            if row.try_get::<i64>("position")? >= news.place.from {
                news.place.seen.insert(id);
            }
            if !place.seen.contains(&id) {
                news.revocations.push(revocation(&row)?);
                news.ages.push(age(&row)?);
            }
        }
        if news.place.from < place.from {
            // Not the server whose transactions were counted: a copy that took its place.
            return Box::pin(self.revocations(&Place::default())).await;
        }
        Ok(news)
    }

    fn revocations_query(&self) -> Query {
        match self {
            // One writer at a time: an id that is seen has no lower one still to come.
            Self::Sqlite(_) => query(
                "SELECT id, id AS position, id + 1 AS next, \
                 session_id, subject, issued_until, expires_at, revoked_at, \
                 CAST(unixepoch('subsec') * 1000 AS INTEGER) AS read_at \
                 FROM revocations WHERE id >= $1 ORDER BY id",
            ),
            // Ids are committed out of order, so the place is a number of a transaction: of the
            // oldest that still ran when this snapshot was taken. Whatever commits later has that
            // number or a higher one; what was read from there on is read again and known.
            Self::Postgres(_) => query(
                "SELECT r.id, r.transaction_id AS position, s.next, \
                 r.session_id, r.subject, r.issued_until, r.expires_at, r.revoked_at, \
                 (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS read_at \
                 FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS next) s \
                 LEFT JOIN revocations r ON r.transaction_id >= $1 ORDER BY r.id",
            ),
        }
    }
}

fn revocation(row: &Row) -> Result<(Revocation, Timestamp), StoreError> {
    let subject: Option<String> = row.try_get("subject")?;
    let revocation = match subject {
        Some(subject) => Revocation::Subject {
            subject,
            until: Timestamp::from_millis(row.try_get("issued_until")?),
        },
        None => Revocation::Session(rows::session_id(row, "session_id")?),
    };
    let forget_at = Timestamp::from_millis(row.try_get("expires_at")?);
    Ok((revocation, forget_at))
}

fn age(row: &Row) -> Result<Option<Duration>, StoreError> {
    let revoked_at: Option<i64> = row.try_get("revoked_at")?;
    let read_at = Timestamp::from_millis(row.try_get("read_at")?);
    Ok(revoked_at.map(|at| read_at.since(Timestamp::from_millis(at))))
}

/// Adds a revocation to the transaction of the change that it belongs to.
pub(super) async fn write(
    connection: &mut Connection<'_>,
    revocation: &Revocation,
    forget_at: Timestamp,
) -> Result<(), StoreError> {
    let (session, subject, until) = match revocation {
        Revocation::Session(session) => (Some(session.to_string()), None, None),
        Revocation::Subject { subject, until } => (None, Some(subject), Some(until.millis())),
    };
    query(match connection {
        Connection::Sqlite(_) => {
            "INSERT INTO revocations (session_id, subject, issued_until, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, CAST(unixepoch('subsec') * 1000 AS INTEGER))"
        }
        Connection::Postgres(_) => {
            "INSERT INTO revocations (session_id, subject, issued_until, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
        }
    })
    .bind(session)
    .bind(subject)
    .bind(until)
    .bind(forget_at.millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of an account's sessions that have not ended are revoked.
pub(super) struct Whose<'a> {
    pub account: &'a str,
    pub only: Option<&'a str>,
    pub but: Option<&'a str>,
}

/// Adds the revocations of an account's sessions that have not ended: by one statement, since
/// there may be very many that have expired, or are from before there was a bound, and a change must
/// end within its time all the same.
pub(super) async fn write_sessions(
    connection: &mut Connection<'_>,
    whose: &Whose<'_>,
    forget_at: Timestamp,
) -> Result<(), StoreError> {
    query(match connection {
        Connection::Sqlite(_) => {
            "INSERT INTO revocations (session_id, expires_at, revoked_at) \
             SELECT id, $4, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM sessions \
             WHERE account_id = $1 AND ended_at IS NULL \
             AND ($2 IS NULL OR id = $2) AND ($3 IS NULL OR id <> $3)"
        }
        Connection::Postgres(_) => {
            "INSERT INTO revocations (session_id, expires_at, revoked_at) \
             SELECT id, $4, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM sessions \
             WHERE account_id = $1 AND ended_at IS NULL \
             AND ($2 IS NULL OR id = $2) AND ($3 IS NULL OR id <> $3)"
        }
    })
    .bind(whose.account)
    .bind(whose.only)
    .bind(whose.but)
    .bind(forget_at.millis())
    .execute(connection)
    .await?;
    Ok(())
}

impl Change for Sweep {
    type Output = u64;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        let sessions = query("DELETE FROM sessions WHERE expires_at < $1")
            .bind(self.sessions_before.millis())
            .execute(&mut *connection)
            .await?;
        let keys = query("DELETE FROM api_keys WHERE revoked_at < $1 OR expires_at < $1")
            .bind(self.sessions_before.millis())
            .execute(&mut *connection)
            .await?;
        let revocations = query("DELETE FROM revocations WHERE expires_at < $1")
            .bind(self.now.millis())
            .execute(&mut *connection)
            .await?;
        let invitations = query("DELETE FROM invitations WHERE expires_at < $1 OR used >= uses")
            .bind(self.now.millis())
            .execute(&mut *connection)
            .await?;
        let codes = query("DELETE FROM login_codes WHERE expires_at < $1")
            .bind(self.now.millis())
            .execute(&mut *connection)
            .await?;
        let offers =
            query("DELETE FROM second_factors WHERE confirmed_at IS NULL AND offered_at < $1")
                .bind(self.offers_before.millis())
                .execute(&mut *connection)
                .await?;
        Ok(sessions + keys + revocations + invitations + codes + offers)
    }
}
