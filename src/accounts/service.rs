//! Service accounts: programs that call in their own name, by API keys only.

use std::fmt;

use super::audit::{Entry, Event, Origin};
use super::{AccountId, Accounts, OperateError, Role, Status};
use crate::clock::Timestamp;
use crate::store::{
    CreateService, Created, DeleteService, SetServiceRoles, SetServiceStatus, StoreError,
};

/// A program's account. It has no password and no session: only keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The claim `sub` of whoever calls with one of its keys.
    pub id: AccountId,
    pub name: ServiceName,
    pub roles: Vec<Role>,
    /// Active or disabled.
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What operators call it: unique, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName(String);

/// The text is not the name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a service is 1 to 64 letters, digits and `-_.`, beginning with a letter")]
pub struct NotAServiceName;

impl ServiceName {
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn parse(text: &str) -> Result<Self, NotAServiceName> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins || text.len() > 64 || !text.chars().all(fits) {
            return Err(NotAServiceName);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Accounts {
    /// Adds a service. `None`: its name is taken.
    pub async fn add_service(
        &self,
        name: ServiceName,
        roles: Vec<Role>,
        origin: &Origin,
    ) -> Result<Option<ServiceAccount>, StoreError> {
        let at = self.now();
        let service = ServiceAccount {
            id: AccountId::random(),
            name,
            roles,
            status: Status::Active,
            created_at: at,
            updated_at: at,
        };
        let entry = Entry {
            event: Event::ServiceAdded,
            account: Some(service.id),
            session: None,
            origin: origin.clone(),
        };
        let create = CreateService {
            service: service.clone(),
            entry: entry.clone(),
        };
        match self.store().commit(create).await? {
            Created::Taken | Created::Known | Created::NotInvited => Ok(None),
            Created::Done => {
                self.audit().stored(&entry);
                Ok(Some(service))
            }
        }
    }

    pub async fn service(&self, id: AccountId) -> Result<Option<ServiceAccount>, StoreError> {
        self.store().service(id).await
    }

    pub async fn service_by_name(
        &self,
        name: &ServiceName,
    ) -> Result<Option<ServiceAccount>, StoreError> {
        self.store().service_by_name(name).await
    }

    /// Every service, in the order of their names.
    pub async fn services(&self) -> Result<Vec<ServiceAccount>, StoreError> {
        self.store().services().await
    }

    /// Disables or activates a service: its keys are dead at once, or good again.
    pub async fn set_service_status(
        &self,
        service: AccountId,
        status: Status,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let set = SetServiceStatus {
            service,
            status,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.revoked(revoked.ok_or(OperateError::Unknown)?);
        self.note(Event::StatusChanged(status), service, origin);
        Ok(())
    }

    /// Gives a service these roles and no others: its keys have them at once.
    pub async fn set_service_roles(
        &self,
        service: AccountId,
        roles: Vec<Role>,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let set = SetServiceRoles {
            service,
            roles: roles.clone(),
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.revoked(revoked.ok_or(OperateError::Unknown)?);
        self.note(Event::RolesChanged(roles), service, origin);
        Ok(())
    }

    /// Deletes a service and its keys; its name is free again, its id is never used again.
    pub async fn delete_service(
        &self,
        service: AccountId,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let delete = DeleteService {
            service,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(delete).await?;
        self.revoked(revoked.ok_or(OperateError::Unknown)?);
        self.note(Event::Deleted, service, origin);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_plain() {
        for text in ["billing", "CI-runner.2", "a"] {
            assert!(ServiceName::parse(text).is_ok(), "{text}");
        }
        for text in ["", "2a", "-a", "a b", "a@b", "é", &"a".repeat(65)] {
            assert_eq!(ServiceName::parse(text), Err(NotAServiceName), "{text}");
        }
    }
}
