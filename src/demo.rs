//! `portcullis demo`: the gateway with everything it needs to be tried, in one folder.

mod echo;
mod folder;
mod instructions;

pub use echo::start as start_echo;
pub use folder::{Folder, FolderError, Ports};
pub use instructions::instructions;
