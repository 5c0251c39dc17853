//! The gateway with its accounts in PostgreSQL: the same tests, and a server that goes and comes back.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::accounts::{PASSWORD, is_believed, login, refresh, register, text};
use super::harness::certs::{Authority, authority};
use super::harness::config::on_postgres;
use super::harness::postgres::{PASSWORD as DATABASE_PASSWORD, Stop, TestServer};
use super::harness::{Config, Gateway, Upstream, within};
use super::{accounts, codes, operation, operators, refreshing, second_factor, sign_on, storage};

/// Tests by name.
macro_rules! tests {
    ($area:ident: $($name:ident),* $(,)?) => {
        &[$((stringify!($name), $area::$name as fn())),*]
    };
}

#[test]
fn accounts_and_sessions_are_the_same_on_postgres() {
    on_postgres(tests!(
        accounts:
        who_registers_is_logged_in_and_is_told_apart,
        a_token_of_ours_satisfies_every_backend,
        names_are_compared_without_case_and_kept_as_they_were_written,
        refusals_are_problems_and_never_repeat_a_secret,
        an_unknown_name_and_a_wrong_password_get_the_same_bytes,
        a_logout_ends_this_session_at_once_and_no_other,
        a_logout_everywhere_ends_every_session,
        a_new_password_ends_the_other_sessions_and_the_old_password,
        a_login_makes_a_session_of_its_own_and_takes_none_over,
        any_password_of_text_is_taken_whole_and_none_is_cut,
    ));
}

#[test]
fn refresh_tokens_are_the_same_on_postgres() {
    on_postgres(tests!(
        refreshing:
        a_refresh_token_is_used_once_and_two_tabs_get_the_same_successor,
        a_refresh_token_of_two_generations_ago_ends_the_session,
        a_refresh_token_that_is_used_again_after_the_grace_ends_the_session,
        a_refresh_token_that_was_made_up_is_refused,
        many_tabs_at_once_get_one_successor,
        one_name_is_registered_once_however_many_try,
    ));
}

#[test]
fn second_factors_are_the_same_on_postgres() {
    on_postgres(tests!(
        second_factor:
        a_second_factor_is_asked_for_from_when_it_was_confirmed,
        whoever_shows_it_removes_it_and_other_sessions_end,
        an_operator_removes_what_was_lost,
    ));
}

#[test]
fn codes_of_second_factors_are_the_same_on_postgres() {
    on_postgres(tests!(
        codes:
        a_code_is_good_once_also_the_one_that_set_it_up,
        of_one_code_shown_many_times_at_once_one_is_taken,
        a_recovery_code_lets_in_once_and_new_ones_replace_the_old,
    ));
}

#[test]
fn single_sign_on_is_the_same_on_postgres() {
    on_postgres(tests!(
        sign_on:
        who_logged_in_once_is_let_in_on_every_host_that_routes_name,
        a_logout_on_one_host_ends_the_session_on_all_of_them,
        a_code_is_good_once_on_its_host_in_its_browser_and_while_its_session_lives,
    ));
}

#[test]
fn operators_are_the_same_on_postgres() {
    on_postgres(tests!(
        operators:
        a_disabled_account_is_out_at_once_and_cannot_log_in,
        a_deleted_account_is_gone_with_its_tokens,
        a_locked_account_is_unlocked_again,
        an_account_and_its_roles_are_listed_and_changed,
        a_command_without_a_socket_works_on_the_database_and_is_noticed,
        an_account_is_added_with_a_password_from_standard_input,
        tokens_of_an_old_backend_end_with_the_account_that_they_name,
    ));
}

#[test]
fn power_cuts_are_the_same_on_postgres() {
    on_postgres(tests!(
        operation:
        an_account_that_was_answered_201_survives_kill_minus_9,
        what_was_revoked_stays_revoked_after_kill_minus_9,
        of_many_accounts_under_way_at_kill_minus_9_those_answered_201_are_there,
    ));
}

#[test]
fn two_gateways_are_the_same_on_postgres() {
    on_postgres(tests!(
        storage:
        a_second_gateway_on_the_same_database_hears_of_a_logout,
    ));
}

/// A gateway on a server of the test's own, which may be stopped.
async fn on_a_server(server: &Arc<TestServer>) -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .postgres(server)
        .toml("[accounts]\nrefresh_grace = \"30s\"\n[accounts.postgres]\nconnect_timeout = \"8s\"");
    (upstream, config.start().await)
}

#[tokio::test]
async fn while_postgres_is_away_tokens_work_and_what_needs_it_is_told_to_come_back() {
    let server = Arc::new(TestServer::start(&[]));
    let (_upstream, gateway) = on_a_server(&server).await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    server.stop(Stop::Crash);

    let person = json!({ "email": "ann@example.com", "password": PASSWORD });
    let began = Instant::now();
    for round in 0..10 {
        let client = gateway.https();
        let answer = client.post("/auth/v1/login").json(person.clone());
        let answer = answer.send().await.expect(503);
        assert!(answer.header("retry-after").is_some(), "{round}");
        refresh(&gateway, text(&ann, "refresh_token"))
            .await
            .expect(503);
        assert!(is_believed(&gateway, text(&ann, "access_token")).await);
    }
    // Only the first waited for the server; twenty that wait eight seconds take minutes.
    let bound = Duration::from_secs(40);
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    within("readyz says so", async {
        while !gateway
            .admin()
            .get("/readyz")
            .send()
            .await
            .text()
            .contains("degraded")
        {}
    })
    .await;

    server.resume();
    within("readyz says that it is well again", async {
        while gateway
            .admin()
            .get("/readyz")
            .send()
            .await
            .text()
            .contains("degraded")
        {}
    })
    .await;
    refresh(&gateway, text(&ann, "refresh_token"))
        .await
        .expect(200);
    login(&gateway.https(), "ann@example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restarted_in_the_middle_of_a_refresh_leaves_one_outcome() {
    let server = Arc::new(TestServer::start(&[]));
    let (_upstream, gateway) = on_a_server(&server).await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let first = text(&ann, "refresh_token").to_owned();
    let database = gateway.config.database();

    let hold = "BEGIN; SELECT 1 FROM sessions FOR UPDATE; SELECT pg_sleep(600)";
    let mut holder = server.psql(&database);
    holder
        .args(["-c", hold])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while server.sql(&database, held) == "0" {}
    let restart = {
        let (server, database) = (Arc::clone(&server), database.clone());
        tokio::task::spawn_blocking(move || {
            while server.sql(&database, waits) == "0" {}
            server.stop(Stop::Fast);
            server.resume();
        })
    };
    let answer = refresh(&gateway, &first).await;
    restart.await.unwrap();
    let _ = holder.wait();
    match answer.status.as_u16() {
        200 => {}
        503 => assert!(answer.header("retry-after").is_some()),
        status => panic!("{status}: {}", answer.text()),
    }
    // A client that had no answer, or lost it, asks again, as often as it is told to, and gets the
    // one successor.
    let refreshed = async |token: &str| {
        within("the database is found again", async {
            loop {
                let answer = refresh(&gateway, token).await;
                if answer.status != 503 {
                    return answer.expect(200).json();
                }
            }
        })
        .await
    };
    let again = refreshed(&first).await;
    if answer.status == 200 {
        assert_eq!(answer.json()["refresh_token"], again["refresh_token"]);
    }
    let next = refreshed(text(&again, "refresh_token")).await;
    assert!(is_believed(&gateway, text(&next, "access_token")).await);
    let counted = "SELECT count(*), max(counter), count(ended_at) FROM sessions";
    assert_eq!(server.sql(&database, counted), "1|2|0");
}

#[tokio::test]
async fn a_connection_is_encrypted_and_made_only_to_who_the_server_should_be() {
    let named = authority().leaf(&["localhost"]);
    let server = Arc::new(TestServer::with_tls(&named.cert_pem, &named.key_pem));
    let with = |host: &str, rest: &str, ca: &Authority| {
        let config = Config::new().postgres(&server);
        let (port, database) = (server.port(), config.database());
        let address = format!("postgres://portcullis@{host}:{port}/{database}");
        let config = config.toml(&format!(
            "[accounts]\ndatabase = {address:?}\n[accounts.postgres]\nca = \"ca.pem\"\n{rest}"
        ));
        config.file("ca.pem", &ca.pem())
    };
    for config in [
        with("localhost", "", authority()),
        with("127.0.0.1", "sslmode = \"verify-ca\"", authority()),
    ] {
        let gateway = config.start().await;
        register(&gateway.https(), "ann@example.com").await;
        let database = gateway.config.database();
        let open = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE usename = 'portcullis'";
        assert_eq!(server.sql(&database, open), "t");
    }
    for config in [
        // Another name, and another authority.
        with("127.0.0.1", "", authority()),
        with("localhost", "", &Authority::new()),
        with("localhost", "sslmode = \"verify-ca\"", &Authority::new()),
    ] {
        let (status, said) = config.refused().await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains("cannot reach the database postgres://"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_had_is_said_at_the_start_without_the_password() {
    let server = TestServer::shared();
    let config = Config::new().postgres(&server);
    let missing = config.clone().toml(&format!(
        "[accounts]\ndatabase = {:?}",
        server.address("missing")
    ));
    let nobody = config.toml("[accounts]\ndatabase = \"postgres://portcullis@127.0.0.1:1/p\"");
    for (config, why) in [(missing, "missing"), (nobody, "refused")] {
        let (status, said) = config.refused().await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("cannot reach the database"), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains(DATABASE_PASSWORD), "{said}");
    }
}

#[tokio::test]
async fn a_deployment_that_is_copied_to_postgres_goes_on_where_it_stood() {
    let upstream = Upstream::echo().await;
    let sqlite = Config::new()
        .app(&upstream)
        .toml("[accounts]\ndatabase = \"sqlite:accounts.db\"");
    let gateway = sqlite.start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let bob = register(&gateway.https(), "bob@example.com").await;
    let left = gateway.https().post("/auth/v1/logout");
    left.bearer(text(&bob, "access_token")).send().await;
    let stopped = gateway.stop().await;

    let config = stopped.config.clone().postgres(&TestServer::shared());
    config.write(stopped.folder.path());
    let copy = |words: &[&str]| {
        let mut command = super::harness::gateway::portcullis();
        command.args(["store", "copy", "sqlite:accounts.db", "portcullis.toml"]);
        let output = command
            .args(words)
            .current_dir(&stopped.folder)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = copy(&["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2\taccounts\n") && said.contains("would be copied"),
        "{said}"
    );
    let (code, said) = copy(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2\tsessions\n") && said.contains("rows copied"),
        "{said}"
    );
    let (code, said) = copy(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not empty"), "{said}");
    assert!(!said.contains(DATABASE_PASSWORD), "{said}");

    let gateway = config.start_in(stopped.folder).await;
    assert!(is_believed(&gateway, text(&ann, "access_token")).await);
    assert!(!is_believed(&gateway, text(&bob, "access_token")).await);
    let next = refresh(&gateway, text(&ann, "refresh_token"))
        .await
        .expect(200)
        .json();
    assert_eq!(next["user"]["id"], ann["user"]["id"]);
    refresh(&gateway, text(&bob, "refresh_token"))
        .await
        .expect(401);
    login(&gateway.https(), "bob@example.com").await;
}
