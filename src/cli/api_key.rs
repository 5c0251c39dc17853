//! `portcullis api-key`: keys for programs, through the running gateway or in its database.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::accounts::WrittenBinding;
use crate::admin::machines::{KeyView, MachineAnswer, MachineCommand, OwnerName};
use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::{operate, output, service};
use crate::config::units::parse_duration;

#[derive(Args)]
pub(super) struct ApiKey {
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
    /// Make a key and show it, this once
    Create {
        #[command(flatten)]
        owner: Owner,
        /// What it is for
        #[arg(long)]
        name: String,
        /// How long it lives, such as 90d; without, until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires: Option<Duration>,
        /// A word for rules on the claim `scopes`; may be given more than once
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// A network that it may be used from; may be given more than once
        #[arg(long = "network", value_name = "CIDR")]
        networks: Vec<String>,
        /// A route, by name, that takes it; may be given more than once
        #[arg(long = "route", value_name = "NAME")]
        routes: Vec<String>,
        /// A configured limit, by name, under which it has its own budget; may be given more than once
        #[arg(long = "limit", value_name = "NAME")]
        limits: Vec<String>,
    },
    /// List keys in the order of their ids
    List {
        #[command(flatten)]
        owner: AnyOwner,
        /// The id after which to go on
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many, 1000 at most
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u32>,
    },
    /// Show a key, but for its secret
    Show {
        /// Its id, as `list` shows it
        key: String,
    },
    /// Make the successor of a key and show it, this once
    Rotate {
        /// Its id, as `list` shows it
        key: String,
        /// How long the old key works on; 0s ends it at once
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
        overlap: Duration,
    },
    /// End a key at once
    Revoke {
        /// Its id, as `list` shows it
        key: String,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// Whose: an id, an e-mail address or a username
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Whose: the name of a service account
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

#[derive(Args)]
#[group(required = false, multiple = false)]
struct AnyOwner {
    /// Of this user only
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Of this service account only
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

pub(super) fn run(key: ApiKey) -> Result<(), Failure> {
    let answer = operate::operate(&key.file.config, key.verb.command()?)?;
    let text = match key.json {
        true => json(&answer)?,
        false => shown(&answer),
    };
    output::print(&text)
}

pub(super) fn json(answer: &MachineAnswer) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(answer);
    Ok(json.map_err(|error| Failure::other(&error))? + "\n")
}

impl Verb {
    fn command(self) -> Result<MachineCommand, Failure> {
        Ok(match self {
            Verb::Create {
                owner,
                name,
                expires,
                scopes,
                networks,
                routes,
                limits,
            } => MachineCommand::KeyCreate {
                owner: name_of(owner.user, owner.service)
                    .ok_or_else(|| Failure::Other(String::from("error: a key needs an owner")))?,
                name,
                binding: WrittenBinding {
                    scopes,
                    routes,
                    networks,
                    limits,
                },
                lifetime: expires.map(|expires| expires.as_secs()),
            },
            Verb::List {
                owner,
                after,
                limit,
            } => MachineCommand::KeyList {
                owner: name_of(owner.user, owner.service),
                after,
                limit,
            },
            Verb::Show { key } => MachineCommand::KeyShow { key },
            Verb::Rotate { key, overlap } => MachineCommand::KeyRotate {
                key,
                overlap: overlap.as_secs(),
            },
            Verb::Revoke { key } => MachineCommand::KeyRevoke { key },
        })
    }
}

fn name_of(user: Option<String>, service: Option<String>) -> Option<OwnerName> {
    let user = user.map(OwnerName::User);
    user.or_else(|| service.map(OwnerName::Service))
}

/// A duration in whole seconds, as the configuration writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| duration.subsec_nanos() == 0)
        .ok_or_else(|| String::from("expected a duration such as 30m, 24h or 90d"))
}

pub(super) fn shown(answer: &MachineAnswer) -> String {
    match answer {
        MachineAnswer::Key(key) => whole(key),
        MachineAnswer::Issued { secret, key } => {
            format!(
                "{}\nkey       {secret}\nIt is not shown again.\n",
                whole(key).trim_end()
            )
        }
        MachineAnswer::Keys(keys) => keys.iter().map(row).collect(),
        MachineAnswer::Service(one) => service::row(one),
        MachineAnswer::Services(services) => services.iter().map(service::row).collect(),
        MachineAnswer::Deleted(id) => format!("deleted {id}\n"),
    }
}

/// One key on one line, its fields apart by tabs.
fn row(key: &KeyView) -> String {
    let state = match (&key.revoked_at, &key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => String::from("no end"),
    };
    format!(
        "{}\t{}\t{}\t{state}\tlast used {}\n",
        key.id,
        owner(key),
        key.name,
        key.last_used_at.as_deref().unwrap_or("never"),
    )
}

fn owner(key: &KeyView) -> String {
    match &key.owner {
        OwnerName::User(id) => format!("user {id}"),
        OwnerName::Service(id) => format!("service {id}"),
    }
}

fn whole(key: &KeyView) -> String {
    let list = |items: &[String], without: &str| match items.is_empty() {
        true => without.to_owned(),
        false => items.join(", "),
    };
    let WrittenBinding {
        scopes,
        routes,
        networks,
        limits,
    } = &key.binding;
    format!(
        "id        {}\nname      {}\nowner     {}\nscopes    {}\nroutes    {}\nnetworks  {}\n\
         limits    {}\ncreated   {}\nexpires   {}\nrevoked   {}\nlast used {}\n",
        key.id,
        key.name,
        owner(key),
        list(scopes, "-"),
        list(routes, "every one that takes API keys"),
        list(networks, "every one"),
        list(limits, "-"),
        key.created_at,
        key.expires_at.as_deref().unwrap_or("-"),
        key.revoked_at.as_deref().unwrap_or("-"),
        key.last_used_at.as_deref().unwrap_or("-"),
    )
}
