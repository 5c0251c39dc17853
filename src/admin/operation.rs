//! A command that travels over the admin socket: users' and machines'.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::OperationError;
use super::invitations::{self, InvitationAnswer, InvitationCommand};
use super::machines::{self, MachineAnswer, MachineCommand};
use super::signing_keys::{self, SigningKeyAnswer, SigningKeyCommand};
use super::users::{self, UserAnswer, UserCommand};
use crate::accounts::{Accounts, Origin};

/// Something that an operator can have done.
pub trait Operation: Serialize + DeserializeOwned + Send {
    /// Where it is posted.
    const PATH: &'static str;
    type Answer: Serialize + DeserializeOwned;

    /// Does it, in the name of `origin`, wholly or not at all.
    fn perform(
        self,
        accounts: &Accounts,
        origin: &Origin,
    ) -> impl Future<Output = Result<Self::Answer, OperationError>> + Send;
}

impl Operation for UserCommand {
    const PATH: &'static str = "/users";
    type Answer = UserAnswer;

    async fn perform(
        self,
        accounts: &Accounts,
        origin: &Origin,
    ) -> Result<UserAnswer, OperationError> {
        users::perform(accounts, origin, self).await
    }
}

impl Operation for MachineCommand {
    const PATH: &'static str = "/machines";
    type Answer = MachineAnswer;

    async fn perform(
        self,
        accounts: &Accounts,
        origin: &Origin,
    ) -> Result<MachineAnswer, OperationError> {
        machines::perform(accounts, origin, self).await
    }
}

impl Operation for InvitationCommand {
    const PATH: &'static str = "/invitations";
    type Answer = InvitationAnswer;

    async fn perform(
        self,
        accounts: &Accounts,
        origin: &Origin,
    ) -> Result<InvitationAnswer, OperationError> {
        invitations::perform(accounts, origin, self).await
    }
}

impl Operation for SigningKeyCommand {
    const PATH: &'static str = "/signing-keys";
    type Answer = SigningKeyAnswer;

    async fn perform(
        self,
        accounts: &Accounts,
        _: &Origin,
    ) -> Result<SigningKeyAnswer, OperationError> {
        signing_keys::perform(accounts, self).await
    }
}
