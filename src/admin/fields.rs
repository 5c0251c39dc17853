//! The fields of operators' commands, read into the program's own types.

use super::error::OperationError;
use crate::accounts::Role;

pub(super) fn optional<T, E: std::error::Error>(
    field: &'static str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, OperationError> {
    text.map(|text| read(field, parse(&text))).transpose()
}

pub(super) fn read<T, E: std::error::Error>(
    field: &'static str,
    parsed: Result<T, E>,
) -> Result<T, OperationError> {
    parsed.map_err(|error| OperationError::Invalid {
        field,
        reason: error.to_string(),
    })
}

pub(super) fn parse_roles(roles: &[String]) -> Result<Vec<Role>, OperationError> {
    roles
        .iter()
        .map(|role| read("roles", Role::parse(role)))
        .collect()
}
