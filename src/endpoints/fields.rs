//! The fields that several endpoints read, with what each may hold.

use super::form::Form;
use crate::accounts::{
    DisplayName, EmailAddress, LoginName, NameError, PasswordTooLong, PlainPassword, ShownCode,
    Username,
};
use crate::rejection::Fault;

/// Longest password that is looked at at all, in bytes; the policy's bound is lower.
const LONGEST_PASSWORD: usize = 4096;

impl Form {
    /// An e-mail address.
    pub fn email(&mut self, name: &'static str) -> Option<EmailAddress> {
        self.parsed(name, |text| {
            EmailAddress::parse(text).map_err(|error| Fault::NotAnEmail(error.to_string()))
        })
    }

    /// An e-mail address or a username, as somebody types it to log in.
    pub fn login_name(&mut self, name: &'static str) -> Option<LoginName> {
        self.parsed(name, |text| LoginName::parse(text).map_err(name_fault))
    }

    pub fn username(&mut self, name: &'static str) -> Option<Username> {
        self.parsed(name, |text| Username::parse(text).map_err(name_fault))
    }

    /// A password as it was typed. It leaves the form: no fault can repeat it.
    pub fn password(&mut self, name: &'static str) -> Option<PlainPassword> {
        let text = self.text(name)?;
        match PlainPassword::parse(text) {
            Ok(password) => Some(password),
            Err(PasswordTooLong) => self.refuse(
                name,
                Fault::TooLong {
                    max: LONGEST_PASSWORD,
                },
            ),
        }
    }

    /// A code of a second factor.
    pub fn code(&mut self, name: &'static str) -> Option<ShownCode> {
        let expected =
            || Fault::Unacceptable(String::from("expected six digits, or a recovery code"));
        self.parsed(name, |text| ShownCode::parse(text).ok_or_else(expected))
    }

    /// What somebody calls a thing of theirs.
    pub fn label(&mut self, name: &'static str) -> Option<DisplayName> {
        self.parsed(name, |text| DisplayName::parse(text).map_err(name_fault))
    }

    /// A name for display: absent, null and blank are none.
    pub fn display_name(&mut self, name: &'static str) -> Option<DisplayName> {
        let text = self
            .optional_text(name)
            .filter(|text| !text.trim().is_empty())?;
        match DisplayName::parse(&text) {
            Ok(display) => Some(display),
            Err(error) => self.refuse(name, name_fault(error)),
        }
    }
}

fn name_fault(error: NameError) -> Fault {
    Fault::Unacceptable(error.to_string())
}
