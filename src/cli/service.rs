//! `portcullis service`: accounts of programs, through the running gateway or in its database.

use clap::{Args, Subcommand};

use crate::admin::machines::{MachineCommand, ServiceView};
use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::{api_key, operate, output, user};

#[derive(Args)]
pub(super) struct Service {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Add a service account; `api-key create --service NAME` makes keys for it
    Add {
        /// Of the service account
        name: String,
        /// May be given more than once
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// List service accounts
    List,
    /// Disable a service account; its keys are dead at once
    Disable {
        /// Of the service account
        name: String,
    },
    /// Make a disabled service account active again
    Enable {
        /// Of the service account
        name: String,
    },
    /// Give a service account these roles and no others
    Role {
        /// Of the service account
        name: String,
        /// None: all are taken away
        #[arg(value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Delete a service account and its keys
    Delete {
        /// Of the service account
        name: String,
    },
}

pub(super) fn run(service: Service) -> Result<(), Failure> {
    let answer = operate::operate(&service.file.config, service.verb.command())?;
    let text = match service.json {
        true => api_key::json(&answer)?,
        false => api_key::shown(&answer),
    };
    output::print(&text)
}

impl Verb {
    fn command(self) -> MachineCommand {
        match self {
            Verb::Add { name, roles } => MachineCommand::ServiceAdd { name, roles },
            Verb::List => MachineCommand::ServiceList,
            Verb::Disable { name } => MachineCommand::ServiceDisable { service: name },
            Verb::Enable { name } => MachineCommand::ServiceEnable { service: name },
            Verb::Role { name, roles } => MachineCommand::ServiceRole {
                service: name,
                roles,
            },
            Verb::Delete { name } => MachineCommand::ServiceDelete { service: name },
        }
    }
}

/// One service on one line, its fields apart by tabs.
pub(super) fn row(service: &ServiceView) -> String {
    format!(
        "{}\t{}\t{}\t{}\n",
        service.id,
        service.status,
        service.name,
        user::listed(&service.roles, ","),
    )
}
