//! Sessions and refresh tokens.

use super::*;

#[tokio::test]
async fn a_refresh_token_leads_to_the_next_and_names_the_account_as_it_is_now() {
    let world = World::new().await;
    let ann = world.ann().await;
    let first = world.opened(&ann).await;
    let role = Role::parse("admin").unwrap();
    let granted = world
        .accounts
        .set_roles(ann.id, vec![role.clone()], &origin())
        .await;
    granted.unwrap();

    let second = world.refresh(&first.refresh).await.unwrap();
    assert_eq!(second.id, first.id);
    assert_eq!(second.account.roles, [role]);
    assert_ne!(second.refresh.expose(), first.refresh.expose());
    assert!(second.refresh.expose().starts_with("pcr_"));
    assert!(world.refresh(&second.refresh).await.is_ok());
    let owner = world
        .accounts
        .recognise(second.refresh.expose())
        .await
        .unwrap();
    assert_eq!(owner, Some(ann.id));
}

#[tokio::test]
async fn two_tabs_get_the_same_successor() {
    let world = World::new().await;
    let ann = world.ann().await;
    let first = world.opened(&ann).await;
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let (accounts, token) = (world.accounts.clone(), first.refresh.clone());
            tokio::spawn(async move { accounts.refresh(token.expose(), &device()).await })
        })
        .collect();
    let mut successors = std::collections::HashSet::new();
    for task in tasks {
        let opened = task.await.unwrap().unwrap();
        successors.insert(opened.refresh.expose().to_owned());
    }
    assert_eq!(successors.len(), 1);
    world.clock.advance(Duration::from_secs(10));
    let late = world.refresh(&first.refresh).await.unwrap();
    assert!(successors.contains(late.refresh.expose()));
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session_for_both() {
    let world = World::new().await;
    let ann = world.ann().await;
    let stolen = world.opened(&ann).await;
    let own = world.refresh(&stolen.refresh).await.unwrap();
    world.clock.advance(Duration::from_millis(10_001));
    assert!(!world.is_revoked(&own));
    let reused = world.refresh(&stolen.refresh).await;
    assert!(matches!(reused, Err(RefreshError::Reused)));
    assert!(world.is_revoked(&own), "its access tokens too, at once");
    for token in [&own.refresh, &stolen.refresh] {
        let refused = world.refresh(token).await;
        assert!(matches!(refused, Err(RefreshError::Invalid)));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_lengthen_the_grace() {
    let world = World::new().await;
    let ann = world.ann().await;
    let stolen = world.opened(&ann).await;
    let own = world.refresh(&stolen.refresh).await.unwrap();
    world
        .clock
        .jump(own.expires_at - 60 * SessionRules::default().idle);
    world.clock.advance(Duration::from_secs(5));
    let tab = world.refresh(&stolen.refresh).await.unwrap();
    assert_eq!(tab.refresh.expose(), own.refresh.expose());
    world.clock.advance(Duration::from_secs(21));
    let reused = world.refresh(&stolen.refresh).await;
    assert!(matches!(reused, Err(RefreshError::Reused)));
    assert!(world.is_revoked(&own));
}

#[tokio::test]
async fn a_clock_that_jumps_forward_expires_sessions_and_revives_none_when_it_is_put_right() {
    let world = World::new().await;
    let ann = world.ann().await;
    let (ended, expired) = (world.opened(&ann).await, world.opened(&ann).await);
    let before = world.clock.now();
    let origin = origin();
    let end = world.accounts.end_session(ann.id, ended.id, &origin);
    end.await.unwrap();
    world.clock.jump(expired.expires_at);
    let refused = world.refresh(&expired.refresh).await;
    assert!(matches!(refused, Err(RefreshError::Expired)));
    world.clock.jump(before);
    let refused = world.refresh(&expired.refresh).await;
    assert!(matches!(refused, Err(RefreshError::Expired)));
    assert!(world.is_revoked(&ended));
    assert!(world.refresh(&ended.refresh).await.is_err());
    let session = world.opened(&ann).await;
    assert!(
        world.refresh(&session.refresh).await.is_ok(),
        "who logs in is in"
    );
}

#[tokio::test]
async fn what_is_not_a_refresh_token_costs_no_query() {
    let world = World::new().await;
    let other = World::new().await;
    let ann = other.ann().await;
    let foreign = other.opened(&ann).await;
    world.accounts.close().await;
    for token in [
        foreign.refresh.expose(),
        "",
        "pcr_",
        "pcr_AAAA",
        "\u{0}",
        "x.y.z",
    ] {
        let refused = world.accounts.refresh(token, &device()).await;
        assert!(matches!(refused, Err(RefreshError::Invalid)), "{token}");
        assert_eq!(world.accounts.recognise(token).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_session_that_nobody_uses_expires() {
    let world = World::new().await;
    let ann = world.ann().await;
    let session = world.opened(&ann).await;
    world.clock.advance(SessionRules::default().idle);
    let refused = world.refresh(&session.refresh).await;
    assert!(matches!(refused, Err(RefreshError::Expired)));
    assert!(world.accounts.sessions(ann.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn logging_out_revokes_at_once_and_only_what_it_should() {
    let world = World::new().await;
    let ann = world.ann().await;
    let [here, phone, laptop] = [
        world.opened(&ann).await,
        world.opened(&ann).await,
        world.opened(&ann).await,
    ];
    let generation = world.accounts.revocations().generation();
    world
        .accounts
        .end_session(ann.id, phone.id, &origin())
        .await
        .unwrap();
    assert_ne!(world.accounts.revocations().generation(), generation);
    assert!(world.is_revoked(&phone));
    assert!(!world.is_revoked(&here) && !world.is_revoked(&laptop));

    let ended = world
        .accounts
        .end_other_sessions(ann.id, here.id, &origin())
        .await;
    assert_eq!(ended.unwrap(), 1);
    assert!(world.is_revoked(&laptop) && !world.is_revoked(&here));

    let ended = world.accounts.end_all_sessions(ann.id, &origin()).await;
    assert_eq!(ended.unwrap(), 1);
    assert!(world.is_revoked(&here));
    let session = world.opened(&ann).await;
    assert!(!world.is_revoked(&session), "who logs in again is in again");
    let token = session.refresh.expose();
    world
        .accounts
        .end_session_of(token, &origin())
        .await
        .unwrap();
    assert!(world.is_revoked(&session));
    world
        .accounts
        .end_session_of("garbage", &origin())
        .await
        .unwrap();
}
