//! A session that was just opened or refreshed, and the access token that names it.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{EndpointContext, EndpointRequest, Profile, device, reply};
use crate::accounts::{Account, NewAccount, Opened, Proof, Registered};
use crate::authn::AccessTokenClaims;
use crate::body::Body;
use crate::rejection::Rejection;

/// What somebody gets who has proved who they are.
pub(super) struct Grant {
    pub access_token: String,
    pub lifetime: Duration,
    pub opened: Opened,
    /// The cookie by which the device is known at its next login.
    device: Option<HeaderValue>,
}

/// What somebody gets who has registered.
pub(super) enum Admitted {
    In(Box<Grant>),
    /// Nothing, until an operator has approved the account.
    Waits(Box<Account>),
}

impl Grant {
    /// Makes an account and opens its first session: an answer that is not a success has left nothing
    /// behind.
    pub async fn register(
        context: &EndpointContext,
        request: &EndpointRequest,
        new: NewAccount,
        profile: Profile,
    ) -> Result<Admitted, Rejection> {
        let accounts = &context.accounts;
        let by = (request.device(), &request.origin());
        match accounts.register_and_open(new, by).await? {
            Registered::Pending(account) => Ok(Admitted::Waits(account)),
            Registered::Opened(opened) => {
                let device = device::remember(context, &opened.account);
                let grant = Self::of(context, *opened, profile)?;
                Ok(Admitted::In(Box::new(Self { device, ..grant })))
            }
        }
    }

    /// Opens a session for somebody who has proved who they are; a session of before is never
    /// reused.
    pub async fn open(
        context: &EndpointContext,
        request: &EndpointRequest,
        proof: &Proof,
        profile: Profile,
    ) -> Result<Self, Rejection> {
        let opened = context
            .accounts
            .open_session(proof, request.device())
            .await?;
        let device = device::remember(context, &proof.account);
        let grant = Self::of(context, opened, profile)?;
        Ok(Self { device, ..grant })
    }

    /// An access token for a session, with what the account is now.
    pub fn of(
        context: &EndpointContext,
        opened: Opened,
        profile: Profile,
    ) -> Result<Self, Rejection> {
        let lifetime = profile.lifetime(&context.tokens.lifetimes);
        let carried = &context.tokens.attributes;
        let claims = AccessTokenClaims::of(&opened.account, (opened.id, opened.factors), carried);
        let now = context.clock.now();
        let access_token = context
            .tokens
            .issue(&claims, lifetime, now)
            .map_err(super::EndpointError::from)?;
        Ok(Self {
            access_token,
            lifetime,
            opened,
            device: None,
        })
    }

    /// The answer that hands it out.
    pub fn answer(
        &self,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Response<Body>, Rejection> {
        let mut response = reply::json(status, body)?;
        if let Some(cookie) = &self.device {
            response
                .headers_mut()
                .append(header::SET_COOKIE, cookie.clone());
        }
        Ok(response)
    }
}
