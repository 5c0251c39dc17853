//! Second factors: the codes of an authenticator app, and recovery codes for when it is lost.

mod challenge;
mod recovery;
mod totp;

use std::fmt;

use super::audit::{Event, Origin};
use super::{Account, AccountId, Accounts};
use crate::clock::Timestamp;
use crate::secret::MasterRing;
use crate::store::{
    ConfirmSecondFactor, OfferSecondFactor, RemoveSecondFactor, ReplaceRecoveryCodes,
    ResealSecondFactor, SealedFactor, SecondFactor, StoreError, UseRecoveryCode, UseSecondFactor,
};

pub use recovery::{RecoveryCode, RecoveryDigest};

use totp::{TotpCode, TotpSecret};

/// What holds for second factors from now on.
#[derive(Clone, Debug)]
pub struct SecondFactorRules {
    /// Seal the secrets.
    pub masters: MasterRing,
    /// Whose accounts they are, as apps show it.
    pub issuer: String,
}

/// What an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactorState {
    pub since: Timestamp,
    /// Recovery codes that are left.
    pub recovery_codes: u32,
}

/// A secret for an app, which is to prove that it has it.
pub struct OfferedFactor {
    /// As it is typed.
    pub secret: String,
    /// As a QR code holds it.
    pub uri: String,
}

/// What somebody shows as a second factor.
#[derive(Clone, Debug)]
pub struct ShownCode(Shown);

#[derive(Clone, Debug)]
enum Shown {
    Totp(TotpCode),
    Recovery(RecoveryDigest),
}

/// Why something about a second factor was not done.
#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    #[error("second factors are not offered here")]
    Off,
    #[error("the account has a second factor already")]
    Exists,
    #[error("the account has no second factor")]
    Absent,
    /// There is no secret that waits for its first code, or not the one that the code is of.
    #[error("no second factor waits to be confirmed")]
    NotOffered,
    /// Also one that was shown before.
    #[error("the code is wrong, or was used before")]
    Wrong,
    /// The configuration lacks the master key, or the database was tampered with.
    #[error("the secret of the second factor cannot be opened")]
    Sealed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl fmt::Debug for OfferedFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfferedFactor(…)")
    }
}

impl ShownCode {
    /// Whether it is short enough to be guessed.
    pub fn can_be_guessed(&self) -> bool {
        match self.0 {
            Shown::Totp(_) => true,
            Shown::Recovery(_) => false,
        }
    }

    /// Six digits of an app, or a recovery code; blanks and dashes mean nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let between = |c: char| c.is_whitespace() || c == '-';
        let text: String = text.chars().filter(|c| !between(*c)).collect();
        let totp = TotpCode::parse(&text).map(Shown::Totp);
        let recovery = || RecoveryCode::parse(&text).map(|code| Shown::Recovery(code.digest()));
        totp.or_else(recovery).map(Self)
    }
}

impl Accounts {
    /// Whether people may have one.
    pub fn offers_second_factors(&self) -> bool {
        self.rules().second_factor.is_some()
    }

    /// What the account has to show beside its password; `None`: nothing.
    pub async fn second_factor(
        &self,
        account: AccountId,
    ) -> Result<Option<FactorState>, StoreError> {
        let found = self.store().second_factor(account).await?;
        Ok(found.and_then(|found| {
            found.confirmed_at.map(|since| FactorState {
                since,
                recovery_codes: found.recovery_codes,
            })
        }))
    }

    /// A new secret for the account's app. It counts from when a code of it was shown.
    pub async fn offer_second_factor(
        &self,
        account: &Account,
    ) -> Result<OfferedFactor, SecondFactorError> {
        let rules = self.rules();
        let rules = rules.second_factor.as_ref().ok_or(SecondFactorError::Off)?;
        let secret = TotpSecret::random();
        let offer = OfferSecondFactor {
            account: account.id,
            factor: sealed(&rules.masters, account.id, &secret)?,
            at: self.now(),
        };
        match self.store().commit(offer).await? {
            true => Ok(OfferedFactor {
                secret: secret.text(),
                uri: secret.uri(&rules.issuer, account.email.as_str()),
            }),
            false => Err(SecondFactorError::Exists),
        }
    }

    /// The first code of an app shows that it has the secret. All sessions of the account end, since
    /// they were opened without it. Answers recovery codes, to be shown once.
    pub async fn confirm_second_factor(
        &self,
        account: AccountId,
        shown: &ShownCode,
        origin: &Origin,
    ) -> Result<Vec<RecoveryCode>, SecondFactorError> {
        let offered = self.store().second_factor(account).await?;
        let offered = offered.ok_or(SecondFactorError::NotOffered)?;
        if offered.confirmed_at.is_some() {
            return Err(SecondFactorError::Exists);
        }
        let Shown::Totp(code) = &shown.0 else {
            return Err(SecondFactorError::Wrong);
        };
        let step = self
            .unsealed(account, &offered.sealed)?
            .step_of(*code, self.now(), offered.last_step)
            .ok_or(SecondFactorError::Wrong)?;
        let codes = RecoveryCode::set();
        let confirm = ConfirmSecondFactor {
            account,
            factor: offered.sealed,
            step,
            recovery: codes.iter().map(RecoveryCode::digest).collect(),
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(confirm).await?;
        self.revoked(revoked.ok_or(SecondFactorError::NotOffered)?);
        self.note(Event::SecondFactorAdded, account, origin);
        Ok(codes)
    }

    /// Uses up what somebody shows as the account's second factor.
    ///
    /// # Errors
    ///
    /// [`SecondFactorError::Wrong`] also for a code that was shown before, on whichever node.
    pub async fn use_second_factor(
        &self,
        account: AccountId,
        shown: &ShownCode,
        origin: &Origin,
    ) -> Result<(), SecondFactorError> {
        let found = self.store().second_factor(account).await?;
        let factor = found.filter(|found| found.confirmed_at.is_some());
        let factor = factor.ok_or(SecondFactorError::Absent)?;
        match &shown.0 {
            Shown::Totp(code) => self.use_code(account, factor, *code).await,
            Shown::Recovery(digest) => {
                let used = UseRecoveryCode {
                    account,
                    digest: *digest,
                    at: self.now(),
                    origin: origin.clone(),
                };
                let entry = self.store().commit(used).await?;
                self.audit().stored(&entry.ok_or(SecondFactorError::Wrong)?);
                Ok(())
            }
        }
    }

    /// New recovery codes in place of those that the account has, for whoever has shown its second
    /// factor.
    pub async fn replace_recovery_codes(
        &self,
        account: AccountId,
        origin: &Origin,
    ) -> Result<Vec<RecoveryCode>, SecondFactorError> {
        let codes = RecoveryCode::set();
        let replace = ReplaceRecoveryCodes {
            account,
            recovery: codes.iter().map(RecoveryCode::digest).collect(),
            at: self.now(),
            origin: origin.clone(),
        };
        let entry = self.store().commit(replace).await?;
        self.audit()
            .stored(&entry.ok_or(SecondFactorError::Absent)?);
        Ok(codes)
    }

    /// From now on the password is enough. All sessions of the account end.
    pub async fn remove_second_factor(
        &self,
        account: AccountId,
        origin: &Origin,
    ) -> Result<(), SecondFactorError> {
        let remove = RemoveSecondFactor {
            account,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(remove).await?;
        self.revoked(revoked.ok_or(SecondFactorError::Absent)?);
        self.note(Event::SecondFactorRemoved, account, origin);
        Ok(())
    }

    async fn use_code(
        &self,
        account: AccountId,
        factor: SecondFactor,
        code: TotpCode,
    ) -> Result<(), SecondFactorError> {
        let secret = self.unsealed(account, &factor.sealed)?;
        let step = secret.step_of(code, self.now(), factor.last_step);
        let used = UseSecondFactor {
            account,
            factor: factor.sealed.clone(),
            step: step.ok_or(SecondFactorError::Wrong)?,
        };
        // Of two at one time with the same code, one is wrong.
        if !self.store().commit(used).await? {
            return Err(SecondFactorError::Wrong);
        }
        self.reseal(account, factor.sealed, &secret).await;
        Ok(())
    }

    fn unsealed(
        &self,
        account: AccountId,
        factor: &SealedFactor,
    ) -> Result<TotpSecret, SecondFactorError> {
        let rules = self.rules();
        let masters = rules.second_factor.as_ref().map(|rules| &rules.masters);
        let secret =
            masters.and_then(|m| m.open(&factor.master, &bound_to(account), &factor.sealed));
        secret.map(TotpSecret::from_secret).ok_or_else(|| {
            let (account, master) = (account.as_str(), factor.master.as_str());
            tracing::error!(account, master, "{}", SecondFactorError::Sealed);
            SecondFactorError::Sealed
        })
    }

    /// Seals the secret under the master key of today. It is a favour: whether it succeeds does not
    /// matter to whoever logs in.
    async fn reseal(&self, account: AccountId, from: SealedFactor, secret: &TotpSecret) {
        let rules = self.rules();
        let Some(rules) = &rules.second_factor else {
            return;
        };
        if rules.masters.is_first(&from.master) {
            return;
        }
        let Ok(to) = sealed(&rules.masters, account, secret) else {
            return;
        };
        let reseal = ResealSecondFactor { account, from, to };
        if let Err(error) = self.store().commit(reseal).await {
            tracing::warn!(%error, "a second factor could not be sealed under the new master key");
        }
    }
}

fn sealed(
    masters: &MasterRing,
    account: AccountId,
    secret: &TotpSecret,
) -> Result<SealedFactor, SecondFactorError> {
    let sealed = masters.seal(&bound_to(account), secret.as_secret());
    Ok(SealedFactor {
        sealed: sealed.ok_or(SecondFactorError::Sealed)?,
        master: masters.first().to_owned(),
    })
}

/// What is sealed opens for this account only, and only as this.
fn bound_to(account: AccountId) -> Vec<u8> {
    let mut bound = b"second factor\0".to_vec();
    bound.extend_from_slice(account.as_str().as_bytes());
    bound
}
