//! What the section `[tokens]` takes and refuses.

use std::path::Path;

use super::forms::end_date;
use super::*;
use crate::clock::Timestamp;
use crate::config::reader;

/// Reads a whole file; what was found wrong, or the tokens.
fn section(text: &str) -> Result<Tokens, String> {
    whole(text).map(|section| section.tokens)
}

fn whole(text: &str) -> Result<TokensSection, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in [
        ("strong", "kT9-vGq2_Zx8Lw4Rf7Nc1Hs6Yd3Mb5Pj0\n"),
        ("sample", "dev-secret-change-me\n"),
        (
            "long-sample",
            "dev-secret-key-change-in-production-f8a7b2c1\n",
        ),
        ("short", "Zx8Lw4Rf7Nc1Hs6Yd3\n"),
        (
            "encoded",
            "base64:eW91ci1zZWN1cmUtc2VjcmV0LWJhc2U2NC1lbmNvZGVk\n",
        ),
        ("rubbish", "rubbish\n"),
        (
            "ed.pem",
            "-----BEGIN PRIVATE KEY-----\n\
             MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
             -----END PRIVATE KEY-----\n",
        ),
        (
            "ed.pub",
            "-----BEGIN PUBLIC KEY-----\n\
             MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
             -----END PUBLIC KEY-----\n",
        ),
    ] {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    let file = folder.path().join("portcullis.toml");
    reader::read(&file, text, |mut root| {
        root.optional::<bool>("development");
        let tokens = read(&mut root);
        root.finish();
        tokens
    })
    .map_err(|wrong| wrong.to_string())
}

const STRONG: &str = r#"secret = { file = "strong" }"#;

fn one_key(rest: &str) -> String {
    format!("[tokens]\n[[tokens.key]]\nid = \"a\"\n{rest}\n")
}

#[test]
fn a_single_key_signs() {
    let tokens = section(&one_key(&format!("algorithm = \"HS256\"\n{STRONG}"))).unwrap();
    assert_eq!(tokens.ring.signing().unwrap().id.as_str(), "a");
    assert_eq!(tokens.leeway, DEFAULT_LEEWAY);
    assert_eq!(tokens.lifetimes, Lifetimes::default());
}

#[test]
fn what_a_worker_remembers_has_a_size_within_bounds() {
    let key = one_key(&format!("algorithm = \"HS256\"\n{STRONG}"));
    let with = |size| key.replacen("[tokens]", &format!("[tokens]\nremembered = {size}"), 1);
    assert_eq!(whole(&key).unwrap().remembered, CacheSize::default());
    let larger = whole(&with("\"64MiB\"")).unwrap().remembered;
    assert_eq!(larger, CacheSize::of_bytes(64 << 20));
    for wrong in ["\"1KiB\"", "0", "\"17GiB\"", "\"many\""] {
        let shown = whole(&with(wrong)).unwrap_err();
        assert!(shown.contains("tokens.remembered"), "{wrong}: {shown}");
    }
}

#[test]
fn a_full_section_is_read() {
    let tokens = section(
        r#"
[tokens]
lifetime = "5m"
lifetimes = { praisonai = "7d", rag-modulo = "2h" }
leeway = "10s"
issuer = "https://api.example.com"
audience = ["backend"]
max_staleness = "1m"
[[tokens.key]]
id = "2026-11"
use = "sign"
algorithm = "EdDSA"
key = { file = "ed.pem" }
[[tokens.key]]
id = "legacy"
algorithm = "HS256"
secret = { file = "strong" }
origin = "foreign"
audience = ["old"]
not_after = 2027-01-31
"#,
    )
    .unwrap();
    assert_eq!(tokens.lifetimes.standard, Duration::from_secs(300));
    assert_eq!(tokens.lifetimes.praisonai, Duration::from_secs(7 * 86_400));
    assert_eq!(tokens.lifetimes.rag_modulo, Duration::from_secs(7_200));
    assert_eq!(tokens.leeway, Duration::from_secs(10));
    assert_eq!(tokens.issuer.as_deref(), Some("https://api.example.com"));
    assert_eq!(tokens.max_staleness, Duration::from_secs(60));
    assert_eq!(tokens.ring.signing().unwrap().id.as_str(), "2026-11");
    let jwks = String::from_utf8(tokens.ring.jwks().to_vec()).unwrap();
    assert!(
        jwks.contains("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        "{jwks}"
    );
    assert!(!jwks.contains("legacy"), "{jwks}");
}

#[test]
fn what_cannot_be_trusted_is_refused_with_its_place() {
    let hs = |file: &str| {
        one_key(&format!(
            "algorithm = \"HS256\"\nsecret = {{ file = \"{file}\" }}"
        ))
    };
    let ed = |rest: &str| one_key(&format!("algorithm = \"EdDSA\"\n{rest}"));
    for (text, expected) in [
        (String::new(), "no key signs tokens"),
        (String::from("[tokens]\n"), "no key signs tokens"),
        (hs("sample"), "a sample that documents print"),
        (hs("encoded"), "a sample that documents print"),
        (hs("short"), "fewer than 32 bytes"),
        (hs("missing"), "cannot read file"),
        (hs("ed.pub"), "a PEM or JWK key file, not a shared secret"),
        (ed("key = { file = \"rubbish\" }"), "not a PEM file"),
        (ed("key = { file = \"ed.pub\" }"), "only a public key"),
        (ed(STRONG), "takes a PEM or JWK key"),
        (ed(""), "neither `secret`"),
        (
            ed("key = { file = \"ed.pem\" }\nnot_after = 2027-01-31"),
            "cannot have an end date",
        ),
        (
            ed("key = { file = \"ed.pem\" }\nissuer = \"x\""),
            "needs `origin = \"foreign\"`",
        ),
        (
            ed("use = \"verify\"\nkey = { file = \"ed.pub\" }\norigin = \"foreign\""),
            "needs `issuer` and `audience`",
        ),
        (
            one_key(&format!("algorithm = \"none\"\n{STRONG}")),
            "expected HS256",
        ),
        (
            one_key(&format!("algoritm = \"HS256\"\n{STRONG}")),
            "did you mean `algorithm`?",
        ),
        (
            format!("[tokens]\n[[tokens.key]]\nalgorithm = \"HS256\"\n{STRONG}\n"),
            "the key has no `id`",
        ),
        (
            format!("{}lifetime = \"0s\"\n", "[tokens]\n"),
            "a second at least",
        ),
        (
            format!("{}max_staleness = \"1s\"\n", "[tokens]\n"),
            "shorter than 2 seconds",
        ),
    ] {
        let shown = section(&text).map(|_| ()).expect_err(&text);
        assert!(shown.contains(expected), "{text}\n{shown}");
        assert!(!shown.contains("dev-secret"), "{shown}");
    }
}

#[test]
fn development_mode_takes_weak_secrets_and_makes_up_missing_keys() {
    for text in [
        "development = true\n",
        "development = true\n[tokens]\nlifetime = \"1m\"\n",
        "development = true\n[[tokens.key]]\nid = \"a\"\nalgorithm = \"HS256\"\n",
        "development = true\n[[tokens.key]]\nid = \"a\"\nalgorithm = \"HS256\"\nsecret = \"secret\"\n",
    ] {
        assert!(section(text).is_ok(), "{text}");
    }
    let empty =
        "development = true\n[[tokens.key]]\nid = \"a\"\nalgorithm = \"HS256\"\nsecret = \"\"\n";
    assert!(section(empty).is_err());
    let first = section("development = true\n").unwrap();
    let second = section("development = true\n").unwrap();
    assert_eq!(
        first.ring.jwks(),
        second.ring.jwks(),
        "a reload keeps the key"
    );
}

#[test]
fn an_end_date_is_a_day_or_a_moment() {
    for (text, seconds) in [
        ("2027-01-31", Some(1_801_353_600)),
        ("2027-01-31T12:00:00Z", Some(1_801_396_800)),
        ("2027-01-31T12:00:00+01:00", Some(1_801_393_200)),
        ("2027-01-31T12:00:00", None),
        ("2027-02-31", None),
        ("soon", None),
    ] {
        assert_eq!(
            end_date(text),
            seconds.map(Timestamp::from_seconds),
            "{text}"
        );
    }
}

#[test]
fn an_upstreams_minter_is_read() {
    let read_one = |text: &str| {
        reader::read(Path::new("p.toml"), text, |mut root| {
            root.optional::<bool>("development");
            let minter = read_minter(root.table("mint")?);
            root.finish();
            minter
        })
    };
    let good =
        "development = true\n[mint]\nalgorithm = \"HS256\"\nsecret = \"x\"\naudience = \"b\"\n";
    assert!(read_one(good).is_ok());
    assert!(read_one("[mint]\nalgorithm = \"HS256\"\n").is_err());
}

#[test]
fn managed_keys_take_the_place_of_a_key_that_signs() {
    let managed = "[tokens.managed]\nmaster = [{ file = \"strong\" }]\n";
    let read = whole(managed).unwrap();
    assert!(read.tokens.ring.signing().is_none());
    let settings = read.managed.unwrap();
    assert_eq!(settings.algorithm, Algorithm::Es256);
    let day = Duration::from_secs(86_400);
    assert_eq!((settings.rotate, settings.publish), (90 * day, day));
    // A key beside them verifies.
    let beside = one_key(&format!("algorithm = \"HS256\"\n{STRONG}"));
    let read = whole(&format!("{beside}{managed}")).unwrap();
    assert!(read.tokens.ring.signing().is_none());

    for (text, said) in [
        ("[tokens.managed]\n", "nothing seals"),
        (
            "[tokens.managed]\nmaster = [{ file = \"short\" }]\n",
            "fewer than 32 bytes",
        ),
        (
            "[tokens.managed]\nmaster = [{ file = \"long-sample\" }]\n",
            "a sample that documents print",
        ),
        (
            &format!("{managed}publish = \"1s\"\n"),
            "2 seconds at least",
        ),
        (
            &format!("{managed}rotate = \"1h\"\npublish = \"40m\"\n"),
            "less than twice",
        ),
        (
            &format!("{managed}algorihtm = \"ES256\"\n"),
            "did you mean `algorithm`?",
        ),
        (
            &format!("{beside}use = \"sign\"\n{managed}"),
            "managed keys sign",
        ),
    ] {
        let said_so = whole(text).err().unwrap();
        assert!(said_so.contains(said), "{text}: {said_so}");
    }
}
