//! `portcullis invite`: codes by which somebody may register.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::admin::invitations::{InvitationAnswer, InvitationCommand, InvitationView};
use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::{api_key, operate, output, user};

#[derive(Args)]
pub(super) struct Invite {
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
    /// Make an invitation and show its code, this once
    Create {
        /// Of who registers by it, in place of the configured ones; may be given more than once
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// How long it is good
        #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = api_key::duration)]
        expires: Duration,
        /// How many may register by it
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        uses: u32,
    },
    /// List the invitations that are good, the newest first
    List,
    /// Take an invitation back, by its id as `list` shows it
    Revoke {
        /// Its id
        invitation: String,
    },
}

pub(super) fn run(invite: Invite) -> Result<(), Failure> {
    let answer = operate::operate(&invite.file.config, invite.verb.command())?;
    let text = if invite.json {
        let json = serde_json::to_string_pretty(&answer);
        json.map_err(|error| Failure::other(&error))? + "\n"
    } else {
        shown(&answer)
    };
    output::print(&text)
}

impl Verb {
    fn command(self) -> InvitationCommand {
        match self {
            Verb::Create {
                roles,
                expires,
                uses,
            } => InvitationCommand::Create {
                roles,
                uses,
                lifetime: expires.as_secs(),
            },
            Verb::List => InvitationCommand::List,
            Verb::Revoke { invitation } => InvitationCommand::Revoke { invitation },
        }
    }
}

fn shown(answer: &InvitationAnswer) -> String {
    match answer {
        // The code alone, to be piped on.
        InvitationAnswer::Created { code, .. } => format!("{code}\n"),
        InvitationAnswer::Invitations(all) => all.iter().map(row).collect(),
        InvitationAnswer::Revoked(id) => format!("revoked {id}\n"),
    }
}

/// One invitation on one line, its fields apart by tabs.
fn row(invitation: &InvitationView) -> String {
    format!(
        "{}\t{}/{}\tuntil {}\t{}\n",
        invitation.id,
        invitation.used,
        invitation.uses,
        invitation.expires_at,
        user::listed(&invitation.roles, ","),
    )
}
