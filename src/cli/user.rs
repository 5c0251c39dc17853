//! `portcullis user`: accounts, through the running gateway or in its database.

use std::fmt::Write;

use clap::{Args, Subcommand};

use crate::admin::users::{UserAnswer, UserCommand, UserView};
use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::output::Format;
use crate::cli::{import, operate, output, password};

#[derive(Args)]
pub(super) struct User {
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
    #[command(flatten)]
    Single(Single),
    /// Add the accounts of another program, with their ids and password hashes
    Import(import::Import),
}

/// One command on one account, or on a page of them.
#[derive(Subcommand)]
enum Single {
    /// Add an account; its password is read from standard input
    Add {
        email: String,
        /// A second name to log in with
        #[arg(long)]
        username: Option<String>,
        /// As others see it; without, what stands before the @ of the address
        #[arg(long)]
        name: Option<String>,
        /// May be given more than once
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// List accounts in the order of their ids
    List {
        /// The id after which to go on
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many, 1000 at most
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
    },
    /// Show an account and its sessions
    Show(Whose),
    /// Lock an account; its sessions end
    Lock(Whose),
    /// Make a locked or disabled account active again, or let it wait for approval again
    Unlock(Whose),
    /// Disable an account; its sessions end
    Disable(Whose),
    /// Let an account in that waits for approval
    Approve(Whose),
    /// Mark an account's e-mail address as verified
    Verify(Whose),
    /// Delete an account and its data; its names are free again
    Delete(Whose),
    /// Give an account these roles and no others
    Role {
        /// An id, an e-mail address or a username
        user: String,
        /// None: all are taken away
        #[arg(value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Set a password, read from standard input; the account's sessions end
    Password(Whose),
    /// Remove a second factor that its owner has lost; the account's sessions end
    RemoveSecondFactor(Whose),
    /// Set an attribute, or remove it; where it had another value, the account's sessions end
    SetAttribute {
        /// An id, an e-mail address or a username
        user: String,
        /// Of the attribute
        name: String,
        /// JSON where it reads as JSON (42, true, ["a","b"]), else text; absent or null: removed
        #[arg(allow_negative_numbers = true)]
        value: Option<String>,
    },
}

/// The account that a command is about.
#[derive(Args)]
struct Whose {
    /// An id, an e-mail address or a username
    user: String,
}

pub(super) fn run(user: User) -> Result<(), Failure> {
    let config = &user.file.config;
    let format = match user.json {
        true => Format::Json,
        false => Format::Text,
    };
    let answer = match user.verb {
        Verb::Single(single) => operate::operate(config, single.command()?)?,
        Verb::Import(import) => return import::run(&import, config, format),
    };
    let text = match format {
        Format::Json => output::json(&answer)?,
        Format::Text => shown(&answer),
    };
    output::print(&text)
}

impl Single {
    fn command(self) -> Result<UserCommand, Failure> {
        Ok(match self {
            Single::Add {
                email,
                username,
                name,
                roles,
            } => UserCommand::Add {
                email,
                password: password::read()?,
                username,
                name,
                roles,
            },
            Single::List { after, limit } => UserCommand::List { after, limit },
            Single::Show(Whose { user }) => UserCommand::Show { user },
            Single::Lock(Whose { user }) => UserCommand::Lock { user },
            Single::Unlock(Whose { user }) => UserCommand::Unlock { user },
            Single::Disable(Whose { user }) => UserCommand::Disable { user },
            Single::Approve(Whose { user }) => UserCommand::Approve { user },
            Single::Verify(Whose { user }) => UserCommand::Verify { user },
            Single::Delete(Whose { user }) => UserCommand::Delete { user },
            Single::Role { user, roles } => UserCommand::Role { user, roles },
            Single::Password(Whose { user }) => UserCommand::Password {
                user,
                password: password::read()?,
            },
            Single::RemoveSecondFactor(Whose { user }) => UserCommand::RemoveSecondFactor { user },
            Single::SetAttribute { user, name, value } => UserCommand::SetAttribute {
                user,
                name,
                value: value.map(|text| serde_json::from_str(&text).unwrap_or(text.into())),
            },
        })
    }
}

pub(super) fn shown(answer: &UserAnswer) -> String {
    match answer {
        UserAnswer::User(user) => whole(user),
        UserAnswer::Users(users) => users.iter().map(row).collect(),
        UserAnswer::Deleted(id) => format!("deleted {id}\n"),
        UserAnswer::Imported(report) => import::shown(report),
    }
}

/// One account on one line, its fields apart by tabs.
fn row(user: &UserView) -> String {
    format!(
        "{}\t{}\t{}\t{}\t{}\n",
        user.id,
        user.status,
        user.email,
        user.username.as_deref().unwrap_or("-"),
        listed(&user.roles, ","),
    )
}

/// Names on one line; `-` where there are none.
pub(super) fn listed(names: &[String], between: &str) -> String {
    match names {
        [] => String::from("-"),
        names => names.join(between),
    }
}

fn whole(user: &UserView) -> String {
    let verified = if user.email_verified {
        " (verified)"
    } else {
        ""
    };
    let mut text = format!(
        "id        {}\nemail     {}{verified}\nusername  {}\nname      {}\nroles     {}\n\
         status    {}\ncreated   {}\nupdated   {}\n",
        user.id,
        user.email,
        user.username.as_deref().unwrap_or("-"),
        user.name,
        listed(&user.roles, ", "),
        user.status,
        user.created_at,
        user.updated_at,
    );
    for (name, value) in &user.attributes {
        let written = writeln!(text, "attribute {name} = {value}");
        debug_assert!(written.is_ok());
    }
    if let Some(factor) = &user.second_factor {
        let (since, left) = (&factor.since, factor.recovery_codes);
        let written = writeln!(
            text,
            "second factor since {since}, {left} recovery codes left"
        );
        debug_assert!(written.is_ok());
    }
    for session in user.sessions.iter().flatten() {
        // Writing to memory does not fail.
        let written = writeln!(
            text,
            "session   {} from {}, last used {}, until {}",
            session.device,
            session.client.as_deref().unwrap_or("-"),
            session.last_used_at,
            session.expires_at,
        );
        debug_assert!(written.is_ok());
    }
    text
}
