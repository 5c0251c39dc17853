//! What operators and other processes do.

use super::*;

#[tokio::test]
async fn what_operators_do_is_done_at_once() {
    let world = World::new().await;
    let ann = world.ann().await;
    for status in [Status::Locked, Status::Disabled] {
        let session = world.opened(&ann).await;
        world
            .accounts
            .set_status(ann.id, status, &origin())
            .await
            .unwrap();
        assert!(world.is_revoked(&session), "{status}");
        assert!(matches!(
            world.refresh(&session.refresh).await,
            Err(RefreshError::Invalid)
        ));
        assert!(
            world
                .accounts
                .open_session(&Proof::by_password(ann.clone()), device())
                .await
                .is_err()
        );
        world
            .accounts
            .set_status(ann.id, Status::Active, &origin())
            .await
            .unwrap();
        assert!(world.is_revoked(&session), "{status} once, for good");
    }
    let session = world.opened(&ann).await;
    let reset = world
        .accounts
        .set_password(ann.id, &plain("set by an operator"), &origin())
        .await;
    reset.unwrap();
    assert!(world.is_revoked(&session));
    let ann = world.check("annlee", "set by an operator").await.unwrap();

    let session = world.opened(&ann).await;
    world.accounts.delete(ann.id, &origin()).await.unwrap();
    assert!(world.is_revoked(&session));
    assert_eq!(world.accounts.find(ann.id).await.unwrap(), None);
    assert!(world.accounts.list(None, 10).await.unwrap().is_empty());
    let again = world.accounts.delete(ann.id, &origin()).await;
    assert!(matches!(again, Err(OperateError::Unknown)));
    assert!(
        world
            .accounts
            .register(super::ann(), &origin())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_after_a_restart() {
    let world = World::new().await;
    let ann = world.ann().await;
    let (ended, live) = (world.opened(&ann).await, world.opened(&ann).await);
    world
        .accounts
        .end_session(ann.id, ended.id, &origin())
        .await
        .unwrap();
    world.accounts.close().await;

    let reopened = world.beside().await;
    assert!(is_revoked(&reopened, &ended));
    assert!(!is_revoked(&reopened, &live));
    assert!(
        reopened
            .refresh(live.refresh.expose(), &device())
            .await
            .is_ok(),
        "the same key"
    );
}

#[tokio::test]
async fn what_another_process_revokes_is_noticed() {
    let world = World::new().await;
    let ann = world.ann().await;
    let session = world.opened(&ann).await;
    let following = tokio::spawn(world.accounts.clone().follow());

    let command_line = world.beside().await;
    let locked = command_line
        .set_status(ann.id, Status::Locked, &Origin::operator("root"))
        .await;
    locked.unwrap();
    command_line.close().await;

    let noticed = async {
        while !world.is_revoked(&session) {
            tokio::task::yield_now().await;
        }
    };
    let bound = Duration::from_secs(60);
    assert!(tokio::time::timeout(bound, noticed).await.is_ok());
    following.abort();
}

#[tokio::test]
async fn while_the_database_is_away_the_revocations_grow_stale_and_the_answer_is_an_error() {
    let world = World::new().await;
    world.ann().await;
    world.accounts.close().await;
    world.clock.advance(Duration::from_secs(60));
    assert!(world.accounts.catch_up(News::Old).await.is_err());
    assert_eq!(
        world.accounts.revocations().staleness(),
        Duration::from_secs(60)
    );
    assert!(world.accounts.ping().await.is_err());
    let name = LoginName::parse("annlee").unwrap();
    let found = world.accounts.look_up(&name).await;
    assert!(found.is_err(), "not a wrong password");
}

#[tokio::test]
async fn another_issuers_tokens_stay_revoked_longer_than_ours_live() {
    let world = World::new().await;
    let ann = world.ann().await;
    world
        .accounts
        .set_status(ann.id, Status::Disabled, &origin())
        .await
        .unwrap();
    let month = SessionRules::default().longest_token;
    world.clock.advance(2 * month);
    world.accounts.sweep(world.accounts.now()).await;
    let revocations = world.beside().await.revocations().clone();
    let from_before = ann.created_at;
    assert!(revocations.is_revoked(None, &ann.id.to_string(), from_before));
}

#[tokio::test]
async fn a_database_that_takes_no_changes_is_noticed_although_it_is_read() {
    let world = World::new().await;
    let ann = world.ann().await;
    assert_eq!(world.accounts.writes_fail(), None);
    let file = world.folder.path().join("accounts.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut beside = sqlx::ConnectOptions::connect(&options).await.unwrap();
    for (sql, fails) in [
        ("ALTER TABLE sessions RENAME TO hidden", true),
        ("ALTER TABLE hidden RENAME TO sessions", false),
    ] {
        sqlx::query(sql).execute(&mut beside).await.unwrap();
        let opened = world
            .accounts
            .open_session(&Proof::by_password(ann.clone()), device())
            .await;
        assert_eq!(opened.is_err(), fails);
        let why = world.accounts.writes_fail();
        assert_eq!(why.is_some_and(|why| why.contains("sessions")), fails);
        world.accounts.ping().await.unwrap();
    }
}

/// Workers believe what they once read of a session, for longer than short tokens live.
#[tokio::test]
async fn a_revocation_is_remembered_for_hours_however_short_tokens_live() {
    let mut rules = Rules::default();
    rules.sessions.longest_token = Duration::from_secs(60);
    let world = World::with(rules).await;
    let ann = world.ann().await;
    let session = world.opened(&ann).await;
    let from = origin();
    let ended = world.accounts.end_session(ann.id, session.id, &from);
    assert_eq!(ended.await.unwrap(), 1);
    world.clock.advance(REMEMBERED - Duration::from_secs(1));
    world.accounts.sweep(world.accounts.now()).await;
    assert!(is_revoked(&world.beside().await, &session));
}

#[tokio::test]
async fn what_can_concern_nobody_is_swept_away() {
    let world = World::new().await;
    let ann = world.ann().await;
    let session = world.opened(&ann).await;
    world
        .accounts
        .end_session(ann.id, session.id, &origin())
        .await
        .unwrap();
    world.accounts.sweep(world.accounts.now()).await;
    assert!(
        is_revoked(&world.beside().await, &session),
        "too early to forget"
    );
    let rules = SessionRules::default();
    world
        .clock
        .advance(rules.idle + rules.longest_token + Duration::from_secs(1));
    world.accounts.sweep(world.accounts.now()).await;
    assert!(world.beside().await.revocations().is_empty());
}
