//! The section `[tokens]`: the keys that verify and sign, what tokens must say, how long they live.

mod forms;
mod managed;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::authn::algorithm::Algorithm;
use crate::authn::keys::{Key, KeyFile, KeyId, KeyRing, KeyUse, Material, Origin};
use crate::authn::managed::ManagedSettings;
use crate::authn::rules::{DEFAULT_LEEWAY, DEFAULT_STALENESS};
use crate::authn::{CacheSize, DEFAULT_KEY_HEADER, Lifetimes, Minter, Tokens, minter};
use crate::config::Table;
use crate::config::units::{ByteSize, ConfiguredSecret};
use crate::inbound::cookie::CookieScope;
use crate::secret::{self, Secret};

use forms::{EndDate, WrittenOrigin};

pub(super) use forms::Lifetime;

/// Longest leeway: clocks that are further apart need mending, not forgiving.
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Least staleness to bear: nodes ask twice a second for what was revoked, and no answer is newer.
const LEAST_STALENESS: Duration = Duration::from_secs(2);

/// The name of the key that development mode makes up.
const DEVELOPMENT_KEY: &str = "development";

/// What `[tokens]` says.
#[derive(Debug)]
pub struct TokensSection {
    /// Without a key that signs when the keys are managed.
    pub tokens: Tokens,
    pub managed: Option<ManagedSettings>,
    /// How much each worker remembers of the callers that it has seen.
    pub remembered: CacheSize,
}

/// Reads `[tokens]` of the file's root. Outside development mode a key that signs is demanded.
pub fn read(root: &mut Table<'_>) -> Option<TokensSection> {
    let Some(mut section) = root.table("tokens") else {
        if root.development() {
            let ring = ring(root, vec![development_key()?])?;
            return Some(TokensSection {
                tokens: Tokens::new(ring),
                managed: None,
                remembered: CacheSize::default(),
            });
        }
        if !root.has("tokens") {
            root.wrong_with_help("tokens", "no key signs tokens", ADVICE);
        }
        return None;
    };
    let tokens = read_section(&mut section);
    section.finish();
    tokens
}

const ADVICE: &str = "add managed = { … }, or [[tokens.key]] with id, algorithm and key = { file = … }; \
                      `portcullis key generate` makes one";

fn read_section(section: &mut Table<'_>) -> Option<TokensSection> {
    let is_managed = section.has("managed");
    let managed = section.table("managed").map(managed::read);
    let written = section.tables("key");
    let count = written.len();
    let alone = match (count, is_managed) {
        (1, false) => KeyUse::Sign,
        (_, _) => KeyUse::Verify,
    };
    let mut keys: Vec<Key> = written
        .into_iter()
        .filter_map(|table| read_key(table, alone))
        .collect();
    let issuer = section.optional::<String>("issuer");
    let audience = texts(section.list("audience"));
    let leeway = section.or("leeway", DEFAULT_LEEWAY);
    if leeway > LONGEST_LEEWAY {
        section.wrong("leeway", "the leeway is longer than 5 minutes");
    }
    let max_staleness = section.or("max_staleness", DEFAULT_STALENESS);
    if max_staleness < LEAST_STALENESS {
        let problem = "shorter than 2 seconds, nobody would be believed between two looks at what \
                       was revoked";
        section.wrong("max_staleness", problem);
    }
    let lifetimes = read_lifetimes(section);
    let attributes = texts(section.list("attributes"));
    let remembered = read_remembered(section);
    if count == 0 && section.development() && !is_managed {
        keys.push(development_key()?);
    } else if keys.len() < count {
        // A key that is wrong was reported: what the ring lacks without it is not news.
        return None;
    } else if count == 0 && !is_managed {
        section.wrong_with_help("key", "no key signs tokens", ADVICE);
        return None;
    }
    let ring = match is_managed {
        true => KeyRing::without_signer(keys),
        false => KeyRing::new(keys),
    };
    let ring = ring.map_err(|error| section.wrong("key", error)).ok();
    let managed = match managed {
        Some(managed) => Some(managed?),
        None if is_managed => return None,
        None => None,
    };
    let tokens = Tokens {
        issuer: issuer.map(String::into_boxed_str),
        audience,
        leeway,
        lifetimes,
        attributes,
        max_staleness,
        key_header: DEFAULT_KEY_HEADER,
        cookies: CookieScope::default(),
        managed: None,
        ring: ring?,
    };
    Some(TokensSection {
        tokens,
        managed,
        remembered,
    })
}

/// A size from 1 MiB to 16 GiB: less forgets whoever it has just seen, more is a slip of the pen.
fn read_remembered(section: &mut Table<'_>) -> CacheSize {
    section.count_at_start(&["remembered"]);
    let Some(ByteSize(bytes)) = section.optional("remembered") else {
        return CacheSize::default();
    };
    if !(1 << 20..=16 << 30).contains(&bytes) {
        section.wrong("remembered", "write a size from 1MiB to 16GiB");
    }
    CacheSize::of_bytes(bytes)
}

fn ring(table: &Table<'_>, keys: Vec<Key>) -> Option<KeyRing> {
    KeyRing::new(keys)
        .map_err(|error| table.wrong("key", error))
        .ok()
}

fn read_lifetimes(section: &mut Table<'_>) -> Lifetimes {
    let defaults = Lifetimes::default();
    let standard = section.or("lifetime", Lifetime(defaults.standard)).0;
    let Some(mut profiles) = section.table("lifetimes") else {
        return Lifetimes {
            standard,
            ..defaults
        };
    };
    let lifetimes = Lifetimes {
        standard,
        praisonai: profiles.or("praisonai", Lifetime(defaults.praisonai)).0,
        rag_modulo: profiles.or("rag-modulo", Lifetime(defaults.rag_modulo)).0,
    };
    profiles.finish();
    lifetimes
}

/// One `[[tokens.key]]`, with what it does unless it says otherwise: the only key signs.
fn read_key(mut table: Table<'_>, unless_said: KeyUse) -> Option<Key> {
    let id = table.optional::<KeyId>("id");
    let purpose = table.or("use", unless_said);
    let not_after = table.optional::<EndDate>("not_after").map(|end| end.0);
    let material = read_material(&mut table);
    let origin = read_origin(&mut table, material.as_ref().map(|(material, _)| material));
    if id.is_none() && !table.has("id") && material.as_ref().is_some_and(|(_, kid)| kid.is_none()) {
        table.wrong_with_help(
            "id",
            "the key has no `id`",
            "tokens name their key by it (`kid`)",
        );
    }
    table.finish();
    let (material, kid) = material?;
    Some(Key {
        id: id.or_else(|| KeyId::parse(&kid?).ok())?,
        material,
        purpose,
        origin: origin?,
        not_after,
    })
}

/// `algorithm` with `secret` or `key`; a JWK brings its `kid`, too.
fn read_material(table: &mut Table<'_>) -> Option<(Material, Option<String>)> {
    let algorithm = table.optional::<Algorithm>("algorithm");
    let secret = table.optional::<ConfiguredSecret>("secret");
    let file = table.optional::<ConfiguredSecret>("key");
    if table.has("algorithm") && algorithm.is_none() {
        return None;
    }
    match (algorithm, secret, file) {
        (Some(algorithm), Some(secret), None) => {
            Some((shared_secret(table, algorithm, &secret)?, None))
        }
        (None, Some(_), None) => {
            table.wrong("algorithm", "a key with a `secret` needs its `algorithm`");
            None
        }
        (algorithm, None, Some(file)) => KeyFile::parse(algorithm, file.secret.expose())
            .map(|read| (read.material, read.kid))
            .map_err(|error| table.wrong("key", format!("{}: {error}", file.origin)))
            .ok(),
        (Some(algorithm), None, None)
            if table.development()
                && algorithm.shortest_secret().is_some()
                && !table.has("secret") =>
        {
            tracing::warn!(%algorithm, "development mode: the key has no secret, one is made up");
            let secret = development_secret();
            Material::from_secret(algorithm, secret)
                .ok()
                .map(|material| (material, None))
        }
        (_, None, None) => {
            if !table.has("secret") && !table.has("key") {
                table.wrong(
                    "key",
                    "the key has neither `secret` (HS256, HS384, HS512) nor `key` (PEM or JWK)",
                );
            }
            None
        }
        (_, Some(_), Some(_)) => {
            table.wrong("key", "`secret` and `key` exclude each other");
            None
        }
    }
}

/// Only development mode takes a weak secret, and says so.
fn shared_secret(
    table: &Table<'_>,
    algorithm: Algorithm,
    configured: &ConfiguredSecret,
) -> Option<Material> {
    let error = match Material::from_secret(algorithm, &configured.secret) {
        Ok(material) => return Some(material),
        Err(error) => error,
    };
    if table.development()
        && let Ok(material) = Material::from_any_secret(algorithm, &configured.secret)
    {
        tracing::warn!(
            origin = %configured.origin,
            problem = %error,
            "development mode: a secret that anybody may know signs tokens"
        );
        return Some(material);
    }
    let problem = format!("{}: {error}", configured.origin);
    let help = "`portcullis key generate` makes a good one";
    table.wrong_with_help("secret", problem, help);
    None
}

/// Whose tokens the key signs. Another issuer whose key many services trust must be told from
/// the others by `issuer` and `audience`.
fn read_origin(table: &mut Table<'_>, material: Option<&Material>) -> Option<Origin> {
    let foreign = table.or("origin", WrittenOrigin::Ours) == WrittenOrigin::Foreign;
    let issuer = table.optional::<String>("issuer");
    let audience = texts(table.list("audience"));
    if !foreign {
        for key in ["issuer", "audience"] {
            if table.has(key) {
                let help = "tokens of ours say what [tokens] says";
                let problem = format!("`{key}` of a key needs `origin = \"foreign\"`");
                table.wrong_with_help(key, problem, help);
                return None;
            }
        }
        return Some(Origin::Ours);
    }
    if ["issuer", "audience"]
        .iter()
        .any(|key| table.is_misread(key))
    {
        return None;
    }
    let public = material.is_some_and(|m| m.algorithm().shortest_secret().is_none());
    if public && (issuer.is_none() || audience.is_empty()) {
        table.wrong(
            "origin",
            "a foreign issuer's public key needs `issuer` and `audience`: without them, tokens \
             that it made for others would be accepted here",
        );
        return None;
    }
    Some(Origin::Foreign {
        issuer: issuer.map(String::into_boxed_str),
        audience,
    })
}

/// Reads what mints tokens for one upstream under a key of its own: `algorithm` with `secret` or
/// `key`, `id`, `audience`, `lifetime`.
pub fn read_minter(mut table: Table<'_>) -> Option<Minter> {
    let id = table.optional::<KeyId>("id");
    let audience = table.optional::<String>("audience");
    let lifetime = table.or("lifetime", Lifetime(minter::DEFAULT_LIFETIME));
    let material = read_material(&mut table);
    if material.as_ref().is_some_and(|(key, _)| !key.can_sign()) {
        table.wrong("key", "a public key cannot mint: give the private key");
        return None;
    }
    table.finish();
    let (material, kid) = material?;
    let named = id.or_else(|| KeyId::parse(&kid?).ok());
    let key = Key {
        id: named.or_else(|| KeyId::parse("gateway").ok())?,
        material,
        purpose: KeyUse::Sign,
        origin: Origin::Ours,
        not_after: None,
    };
    let audience = audience.map(String::into_boxed_str);
    Some(Minter::bearer(Arc::new(key), audience, lifetime.0))
}

/// The key of development mode: made once a process, so that a reload logs nobody out.
fn development_key() -> Option<Key> {
    static DOCUMENT: OnceLock<Option<Secret>> = OnceLock::new();
    let generate = || Some(Material::generate(Algorithm::EdDsa).ok()?.1);
    tracing::warn!("development mode: no key is configured, tokens end with this process");
    let document = DOCUMENT.get_or_init(generate).as_ref()?;
    Some(Key {
        id: KeyId::parse(DEVELOPMENT_KEY).ok()?,
        material: Material::from_private_der(Algorithm::EdDsa, document.expose()).ok()?,
        purpose: KeyUse::Sign,
        origin: Origin::Ours,
        not_after: None,
    })
}

fn development_secret() -> &'static Secret {
    static SECRET: OnceLock<Secret> = OnceLock::new();
    SECRET.get_or_init(|| Secret::new(secret::random::<64>().to_vec()))
}

fn texts(list: Vec<String>) -> Vec<Box<str>> {
    list.into_iter().map(String::into_boxed_str).collect()
}

#[cfg(test)]
mod tests;
