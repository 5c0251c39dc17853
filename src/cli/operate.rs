//! Where a command on accounts is carried out: by the running gateway, or here.

use std::path::Path;

use crate::admin::users::{UserAnswer, UserCommand};
use crate::cli::failure::Failure;

pub(super) fn operate(_config: &Path, _command: UserCommand) -> Result<UserAnswer, Failure> {
    Err(Failure::Other(String::from("error: not built in yet")))
}
