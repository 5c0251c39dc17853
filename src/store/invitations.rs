//! Invitations in the database.

use super::sql::{Connection, Row, query};
use super::{Change, Store, audit, rows};
use crate::accounts::{Invitation, InvitationDigest};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{CreateInvitation, RevokeInvitation};

impl Store {
    pub async fn invitation(
        &self,
        digest: &InvitationDigest,
    ) -> Result<Option<Invitation>, StoreError> {
        query(
            "SELECT digest, roles, uses, used, created_at, expires_at FROM invitations \
             WHERE digest = $1",
        )
        .bind(digest.as_str())
        .fetch_optional(self)
        .await?
        .map(|row| invitation(&row))
        .transpose()
    }

    /// Those that are good at `now`, the newest first.
    pub async fn invitations(&self, now: Timestamp) -> Result<Vec<Invitation>, StoreError> {
        query(
            "SELECT digest, roles, uses, used, created_at, expires_at FROM invitations \
             WHERE used < uses AND expires_at > $1 ORDER BY created_at DESC, digest",
        )
        .bind(now.millis())
        .fetch_all(self)
        .await?
        .iter()
        .map(invitation)
        .collect()
    }
}

impl Change for CreateInvitation {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        let Self { invitation, entry } = self;
        query(
            "INSERT INTO invitations (digest, roles, uses, used, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(invitation.digest.as_str())
        .bind(rows::join_roles(&invitation.roles))
        .bind(i64::from(invitation.uses))
        .bind(i64::from(invitation.used))
        .bind(invitation.created_at.millis())
        .bind(invitation.expires_at.millis())
        .execute(&mut *connection)
        .await?;
        audit::write(connection, entry, invitation.created_at).await
    }
}

impl Change for RevokeInvitation {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let gone = query("DELETE FROM invitations WHERE digest = $1")
            .bind(self.digest.as_str())
            .execute(&mut *connection)
            .await?;
        if gone == 0 {
            return Ok(false);
        }
        audit::write(connection, &self.entry, self.at).await?;
        Ok(true)
    }
}

/// Uses an invitation once, when it is good at `now`: this statement alone decides, however many ask
/// at one time and on whichever node.
pub(super) async fn use_once(
    connection: &mut Connection<'_>,
    digest: &InvitationDigest,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let used = query(
        "UPDATE invitations SET used = used + 1 \
         WHERE digest = $1 AND used < uses AND expires_at > $2",
    )
    .bind(digest.as_str())
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(used > 0)
}

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    let count = |column| {
        let number: i64 = row.try_get(column)?;
        u32::try_from(number).map_err(|_| StoreError::Unreadable("the uses of an invitation"))
    };
    Ok(Invitation {
        digest: InvitationDigest::stored(row.try_get("digest")?),
        roles: rows::split_roles(row.try_get("roles")?),
        uses: count("uses")?,
        used: count("used")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
    })
}
