//! HTTP over the admin socket: `POST` with a command, answered in JSON.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use crate::accounts::{Accounts, Origin};
use crate::admin::connection::{Answer, answer};
use crate::admin::error::OperationError;
use crate::admin::invitations::InvitationCommand;
use crate::admin::machines::MachineCommand;
use crate::admin::operation::Operation;
use crate::admin::signing_keys::SigningKeyCommand;
use crate::admin::socket::Operator;
use crate::admin::users::UserCommand;

const JSON: &str = "application/json";
/// Largest command in bytes: a part of an import, with one very long line in it.
const MOST_BODY: usize = 1024 * 1024;

/// How a command that failed is answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word.
    pub error: String,
    pub message: String,
}

pub(super) async fn respond(
    req: Request<Incoming>,
    operator: Option<Operator>,
    accounts: &Accounts,
) -> Answer {
    let Some(operator) = operator else {
        let message = "this user may not change accounts";
        return failure(StatusCode::FORBIDDEN, "forbidden", message);
    };
    let path = req.uri().path().to_owned();
    let paths = [
        UserCommand::PATH,
        MachineCommand::PATH,
        InvitationCommand::PATH,
        SigningKeyCommand::PATH,
    ];
    if !paths.contains(&&*path) {
        return failure(StatusCode::NOT_FOUND, "not_found", "try POST /users");
    }
    if req.method() != Method::POST {
        let mut res = failure(StatusCode::METHOD_NOT_ALLOWED, "method", "try POST");
        res.headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("POST"));
        return res;
    }
    let Ok(body) = Limited::new(req.into_body(), MOST_BODY).collect().await else {
        return failure(StatusCode::BAD_REQUEST, "body", "the body cannot be read");
    };
    let (body, origin) = (
        body.to_bytes(),
        Origin::operator(format!("uid {}", operator.uid)),
    );
    match &*path {
        MachineCommand::PATH => carry_out::<MachineCommand>(&body, accounts, &origin).await,
        InvitationCommand::PATH => carry_out::<InvitationCommand>(&body, accounts, &origin).await,
        SigningKeyCommand::PATH => carry_out::<SigningKeyCommand>(&body, accounts, &origin).await,
        _users => carry_out::<UserCommand>(&body, accounts, &origin).await,
    }
}

async fn carry_out<O: Operation>(body: &[u8], accounts: &Accounts, origin: &Origin) -> Answer {
    let command = match serde_json::from_slice::<O>(body) {
        Ok(command) => command,
        Err(error) => {
            // Where and of what kind, not the text: there may be a password in it.
            let message = format!(
                "not a command ({:?} error at line {}, column {})",
                error.classify(),
                error.line(),
                error.column()
            );
            return failure(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
        }
    };
    match command.perform(accounts, origin).await {
        Ok(done) => match serde_json::to_vec(&done) {
            Ok(body) => answer(StatusCode::OK, JSON, body),
            Err(error) => failure(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                error.to_string(),
            ),
        },
        Err(error) => {
            say(&error);
            failure(error.status(), error.word(), error.to_string())
        }
    }
}

/// What the operator cannot see from the answer stands in the log.
fn say(error: &OperationError) {
    match error {
        OperationError::Hash(cause) => tracing::error!(%cause, "an operator's command failed"),
        OperationError::Store(cause) => tracing::error!(%cause, "an operator's command failed"),
        OperationError::Unknown
        | OperationError::UnknownService
        | OperationError::UnknownKey
        | OperationError::NoSecondFactor
        | OperationError::NoSigningKeys
        | OperationError::KeySigns
        | OperationError::Key(_)
        | OperationError::Ambiguous
        | OperationError::Invalid { .. }
        | OperationError::Taken
        | OperationError::Password(_) => {}
    }
}

fn failure(status: StatusCode, word: &str, message: impl Into<String>) -> Answer {
    let failure = Failure {
        error: String::from(word),
        message: message.into(),
    };
    let body = serde_json::to_vec(&failure).map_or_else(|_| Bytes::new(), Bytes::from);
    answer(status, JSON, body)
}
