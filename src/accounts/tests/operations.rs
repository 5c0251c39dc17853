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
        assert!(world.accounts.open_session(&ann, device()).await.is_err());
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
    let bound = Duration::from_secs(2);
    assert!(tokio::time::timeout(bound, noticed).await.is_ok());
    following.abort();
}

#[tokio::test]
async fn while_the_database_is_away_the_revocations_grow_stale_and_the_answer_is_an_error() {
    let world = World::new().await;
    world.ann().await;
    world.accounts.close().await;
    world.clock.advance(Duration::from_secs(60));
    assert!(world.accounts.catch_up().await.is_err());
    assert_eq!(
        world.accounts.revocations().staleness(),
        Duration::from_secs(60)
    );
    assert!(world.accounts.ping().await.is_err());
    let name = LoginName::parse("annlee").unwrap();
    let checked = world.accounts.check_password(&name, &plain(PASSWORD)).await;
    assert!(
        matches!(checked, Err(CheckError::Store(_))),
        "not a wrong password"
    );
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
    world.accounts.sweep().await;
    assert!(
        is_revoked(&world.beside().await, &session),
        "too early to forget"
    );
    let rules = SessionRules::default();
    world
        .clock
        .advance(rules.idle + rules.longest_token + Duration::from_secs(1));
    world.accounts.sweep().await;
    assert!(world.beside().await.revocations().is_empty());
}
