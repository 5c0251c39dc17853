//! Service accounts in the database.

use super::sql::{Connection, Row, query};
use super::{Change, Store, api_keys, audit, revocations, rows};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{AccountId, KeyOwner, Revocation, ServiceAccount, ServiceName, Status};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{
    CreateService, Created, DeleteService, Ending, Revoked, SetServiceRoles, SetServiceStatus,
};

impl Store {
    pub async fn service(&self, id: AccountId) -> Result<Option<ServiceAccount>, StoreError> {
        query(
            "SELECT id, name, roles, status, created_at, updated_at FROM service_accounts \
             WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self)
        .await?
        .map(|row| service(&row))
        .transpose()
    }

    pub async fn service_by_name(
        &self,
        name: &ServiceName,
    ) -> Result<Option<ServiceAccount>, StoreError> {
        query(
            "SELECT id, name, roles, status, created_at, updated_at FROM service_accounts \
             WHERE name_key = $1",
        )
        .bind(name.key())
        .fetch_optional(self)
        .await?
        .map(|row| service(&row))
        .transpose()
    }

    pub async fn services(&self) -> Result<Vec<ServiceAccount>, StoreError> {
        query(
            "SELECT id, name, roles, status, created_at, updated_at FROM service_accounts \
             ORDER BY name_key",
        )
        .fetch_all(self)
        .await?
        .iter()
        .map(service)
        .collect()
    }
}

impl Change for CreateService {
    type Output = Created;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Created, StoreError> {
        let service = &self.service;
        let added = query(
            "INSERT INTO service_accounts (id, name, name_key, roles, status, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name_key) DO NOTHING",
        )
        .bind(service.id.to_string())
        .bind(service.name.as_str())
        .bind(service.name.key())
        .bind(rows::join_roles(&service.roles))
        .bind(service.status.word())
        .bind(service.created_at.millis())
        .bind(service.updated_at.millis())
        .execute(&mut *connection)
        .await?;
        if added == 0 {
            return Ok(Created::Taken);
        }
        audit::write(connection, &self.entry, service.created_at).await?;
        Ok(Created::Done)
    }
}

impl Change for SetServiceStatus {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let set = query("UPDATE service_accounts SET status = $2, updated_at = $3 WHERE id = $1")
            .bind(self.service.to_string())
            .bind(self.status.word())
            .bind(self.ending.at.millis())
            .execute(&mut *connection)
            .await?;
        if set == 0 {
            return Ok(None);
        }
        let event = Event::StatusChanged(self.status);
        changed(connection, (self.service, event), &self.ending).await
    }
}

impl Change for SetServiceRoles {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let set = query("UPDATE service_accounts SET roles = $2, updated_at = $3 WHERE id = $1")
            .bind(self.service.to_string())
            .bind(rows::join_roles(&self.roles))
            .bind(self.ending.at.millis())
            .execute(&mut *connection)
            .await?;
        if set == 0 {
            return Ok(None);
        }
        let event = Event::RolesChanged(self.roles.clone());
        changed(connection, (self.service, event), &self.ending).await
    }
}

impl Change for DeleteService {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        api_keys::delete_all(connection, KeyOwner::Service(self.service)).await?;
        let deleted = query("DELETE FROM service_accounts WHERE id = $1")
            .bind(self.service.to_string())
            .execute(&mut *connection)
            .await?;
        if deleted == 0 {
            return Ok(None);
        }
        changed(connection, (self.service, Event::Deleted), &self.ending).await
    }
}

/// Whether a key may be made for it.
pub(super) async fn is_active(
    connection: &mut Connection<'_>,
    id: AccountId,
) -> Result<bool, StoreError> {
    let row = query("SELECT 1 FROM service_accounts WHERE id = $1 AND status = 'active'")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Says that a service is not what it was: whoever remembers it looks again.
async fn changed(
    connection: &mut Connection<'_>,
    (service, event): (AccountId, Event),
    ending: &Ending,
) -> Result<Option<Revoked>, StoreError> {
    let entry = Entry {
        event,
        account: Some(service),
        session: None,
        origin: ending.origin.clone(),
    };
    audit::write(connection, &entry, ending.at).await?;
    let revocation = Revocation::Subject {
        subject: service.to_string(),
        until: ending.at,
    };
    revocations::write(connection, &revocation, ending.forget_at).await?;
    Ok(Some(vec![(revocation, ending.forget_at)]))
}

fn service(row: &Row) -> Result<ServiceAccount, StoreError> {
    let status: &str = row.try_get("status")?;
    let status = Status::parse(status).ok_or(StoreError::Unreadable("service_accounts.status"))?;
    Ok(ServiceAccount {
        id: rows::account_id(row, "id")?,
        name: ServiceName::stored(row.try_get("name")?),
        roles: rows::split_roles(row.try_get("roles")?),
        status,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        updated_at: Timestamp::from_millis(row.try_get("updated_at")?),
    })
}
