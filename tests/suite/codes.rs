//! Codes of a second factor: good once, wherever they are shown, and guessed in vain.

use std::task::Poll;

use serde_json::json;

use super::accounts::{PASSWORD, register, text};
use super::harness::redis::Redis;
use super::harness::{Answer, Config, Gateway, tokens};
use super::nodes::nodes_by;
use super::operators::user;
use super::second_factor::{App, app, challenge, codes, enrol, password, post, second, word};

/// Under the key that all nodes have.
const SECOND_FACTOR: &str = "[second_factor]\nmaster = [{ file = \"jwt.secret\" }]";

/// What all of these answer, at one time.
async fn futures_of<F: Future<Output = Answer>>(calls: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
        match calls.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    answers
}

#[tokio::test]
pub async fn a_code_is_good_once_also_the_one_that_set_it_up() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (_, mut phone) = enrol(&client, text(&ann, "access_token")).await;

    phone.next -= 30;
    let of_setup = phone.code();
    let first = challenge(&client).await;
    second(&client, &first, &of_setup).await.expect(403);
    let code = phone.code();
    second(&client, &first, &code).await.expect(200);
    second(&client, &first, &code).await.expect(403);
    let another = challenge(&client).await;
    second(&client, &another, &code).await.expect(403);
}

#[tokio::test]
pub async fn of_one_code_shown_many_times_at_once_one_is_taken() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (_, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let (challenge, code) = (challenge(&client).await, phone.code());
    let tries = (0..5).map(|_| second(&client, &challenge, &code));
    let answers = futures_of(tries).await;
    let granted = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(granted.count(), 1);
}

#[tokio::test]
async fn codes_are_guessed_five_times_and_not_in_parallel_either() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let challenge = challenge(&client).await;
    let guesses: Vec<String> = (0..12).map(|n| format!("00000{}", n % 10)).collect();
    let tries = guesses
        .iter()
        .map(|guess| second(&client, &challenge, guess));
    let answers = futures_of(tries).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 403).count();
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert_eq!((looked_at, refused.len()), (5, 7));
    let told = refused[0];
    assert_eq!(word(told), "too_many_attempts");
    assert!(told.header("retry-after").is_some());
    // Nor does the right code help now; and the counter of passwords is another one.
    second(&client, &challenge, &phone.code()).await.expect(429);
    password(&client).await.expect(202);
    assert!(gateway.log().contains("\"reason\":\"second_factor\""));
    // Whoever guesses does not keep the owner's recovery codes from her.
    let recovery = &codes(&confirmed)[0];
    second(&client, &challenge, recovery).await.expect(200);
}

#[tokio::test]
async fn a_password_alone_makes_no_network_known_and_both_factors_do() {
    let lockout = "[lockout]\npair = \"9/d\"\naccount = \"6/d\"\nnetwork = \"99/d\"";
    let gateway = Config::new().toml(SECOND_FACTOR).toml(lockout);
    let gateway = gateway.start().await;
    let from = |address: &str| gateway.https().from(address);
    let ann = register(&from("127.0.0.9"), "ann@example.com").await;
    let (_, mut phone) = enrol(&from("127.0.0.9"), text(&ann, "access_token")).await;
    let (home, thief) = (from("127.0.0.10"), from("127.0.0.66"));
    let asked = challenge(&home).await;
    second(&home, &asked, &phone.code()).await.expect(200);
    challenge(&thief).await;
    for n in 20..40 {
        let body = json!({ "email": "ann@example.com", "password": "wrong" });
        let client = from(&format!("127.0.1.{n}"));
        client.post("/auth/v1/login").json(body).send().await;
    }
    password(&thief).await.expect(429);
    password(&home).await.expect(202);
}

#[tokio::test]
async fn the_code_that_sets_it_up_is_not_guessed_either() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let token = text(&ann, "access_token");
    let body = json!({ "password": PASSWORD });
    let offered = post(&client, "/auth/v1/second-factor", token, body).await;
    let mut phone = App::scan(text(&offered.expect(200).json(), "uri"));
    let confirm = async |code: &str| {
        let body = json!({ "code": code });
        post(&client, "/auth/v1/second-factor/confirm", token, body).await
    };
    for _ in 0..5 {
        confirm("000000").await.expect(403);
    }
    confirm(&phone.code()).await.expect(429);
}

#[tokio::test]
pub async fn a_recovery_code_lets_in_once_and_new_ones_replace_the_old() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let codes_of_before = codes(&confirmed);
    let asked = challenge(&client).await;
    let typed = codes_of_before[0].replace('-', " ").to_lowercase();
    let granted = second(&client, &asked, &typed).await.expect(200).json();
    second(&client, &asked, &codes_of_before[0])
        .await
        .expect(403);

    let token = text(&granted, "access_token");
    let body = json!({ "code": phone.code() });
    let path = "/auth/v1/second-factor/recovery-codes";
    let replaced = post(&client, path, token, body).await.expect(200).json();
    let fresh = codes(&replaced);
    second(&client, &asked, &codes_of_before[1])
        .await
        .expect(403);
    second(&client, &asked, &fresh[9]).await.expect(200);
    let shown = user(&gateway, &["show", "ann@example.com"]);
    assert!(shown.contains("9 recovery codes left"), "{shown}");
}

#[tokio::test]
async fn what_a_challenge_says_cannot_be_made_up_and_ends_with_the_password() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let good = challenge(&client).await;
    let mut forged = good.clone().into_bytes();
    forged[3] ^= 1;
    for text in ["", "x", &String::from_utf8(forged).unwrap()] {
        let refused = second(&client, text, "123456").await.expect(401);
        assert_eq!(word(&refused), "login_failed");
    }
    for code in ["12345", "1234567", "abcdef", "", "x"] {
        second(&client, &good, code).await.expect(422);
    }

    // A session with a second factor changes the password, and has one after that.
    let token = text(&confirmed, "access_token");
    let new = "another battery staple";
    let body = json!({ "current_password": PASSWORD, "new_password": new });
    let changed = post(&client, "/auth/v1/password", token, body)
        .await
        .expect(200)
        .json();
    let claims = tokens::read(text(&changed, "access_token"));
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
    second(&client, &good, &phone.code()).await.expect(401);
}

#[tokio::test]
async fn of_a_code_that_several_nodes_are_shown_at_once_one_takes_it_and_guesses_add_up() {
    let redis = Redis::start().await;
    let url = redis.url();
    let all = nodes_by(redis, &url, SECOND_FACTOR).await;
    let nodes = &all.nodes;
    let client = nodes[0].https();
    let ann = register(&client, "ann@example.com").await;
    let (_, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let challenge = challenge(&client).await;
    let code = phone.code();
    let clients = nodes.each_ref().map(Gateway::https);
    let [a, b, c] = clients.each_ref();
    let (a, b, c) = tokio::join!(
        second(a, &challenge, &code),
        second(b, &challenge, &code),
        second(c, &challenge, &code),
    );
    let mut statuses = [a, b, c].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403, 403]);
    // Five wrong ones are borne, wherever they are shown; those of above may have been forgotten.
    let mut borne = 0;
    for client in clients.iter().cycle().take(9) {
        let answer = second(client, &challenge, "000000").await;
        borne += u32::from(answer.status == 403);
    }
    assert!((3..=5).contains(&borne), "{borne}");
    for client in &clients {
        second(client, &challenge, "000000").await.expect(429);
    }
}
