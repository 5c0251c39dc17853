//! Second factors under a clock that the test turns.

use super::*;
use crate::secret::{MasterRing, Secret};

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

fn rules(masters: &[u8]) -> Rules {
    let secret = |byte: &u8| Secret::new(vec![*byte; 32]);
    let secrets: Vec<_> = masters.iter().map(secret).collect();
    Rules {
        second_factor: Some(SecondFactorRules {
            masters: MasterRing::new(&secrets).unwrap(),
            issuer: String::from("Example"),
        }),
        ..Rules::default()
    }
}

/// Ann's app, and the clock that it goes by.
struct App<'a>(totp_rs::Totp, &'a Clock);

impl App<'_> {
    fn code(&self) -> ShownCode {
        let now = u64::try_from(self.1.now().seconds()).unwrap();
        ShownCode::parse(&self.0.generate(now).to_string()).unwrap()
    }
}

/// Ann as she is once her second factor is set up.
async fn enrolled(world: &World) -> (Account, App<'_>) {
    let ann = world.ann().await;
    let accounts = &world.accounts;
    let offered = accounts.offer_second_factor(&ann).await.unwrap();
    let app = App(totp_rs::Totp::from_url(&offered.uri).unwrap(), &world.clock);
    let (code, by) = (app.code(), origin());
    let confirmed = accounts.confirm_second_factor(ann.id, &code, &by).await;
    assert_eq!(confirmed.unwrap().len(), 10);
    (accounts.find(ann.id).await.unwrap().unwrap(), app)
}

async fn used(world: &World, ann: &Account, code: &ShownCode) -> bool {
    let by = origin();
    match world.accounts.use_second_factor(ann.id, code, &by).await {
        Ok(()) => true,
        Err(SecondFactorError::Wrong) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_code_is_good_for_half_a_minute_around_its_own_and_never_again() {
    let world = World::with(rules(&[1])).await;
    let (ann, app) = enrolled(&world).await;
    assert!(!used(&world, &ann, &app.code()).await, "it set it up");
    world.clock.advance(HALF_A_MINUTE);
    let early = app.code();
    world.clock.advance(HALF_A_MINUTE);
    let late = app.code();
    world.clock.advance(HALF_A_MINUTE);
    assert!(!used(&world, &ann, &early).await, "a minute ago");
    assert!(used(&world, &ann, &late).await);
    assert!(!used(&world, &ann, &late).await);
    assert!(used(&world, &ann, &app.code()).await);
    assert!(!used(&world, &ann, &late).await);
}

#[tokio::test]
async fn a_challenge_is_good_for_five_minutes_and_for_the_account_as_it_was() {
    let world = World::with(rules(&[1])).await;
    let (ann, _) = enrolled(&world).await;
    let accounts = &world.accounts;
    let (challenge, lifetime) = accounts.challenge(&ann).unwrap();
    let stands = async |text: &str| accounts.challenged(text).await.unwrap().is_some();
    assert!(stands(&challenge).await);
    world.clock.advance(lifetime - Duration::from_secs(1));
    assert!(stands(&challenge).await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!stands(&challenge).await);

    let (challenge, _) = accounts.challenge(&ann).unwrap();
    accounts
        .remove_second_factor(ann.id, &origin())
        .await
        .unwrap();
    assert!(!stands(&challenge).await, "the account has changed");
    let ann = accounts.find(ann.id).await.unwrap().unwrap();
    let (challenge, _) = accounts.challenge(&ann).unwrap();
    accounts
        .set_status(ann.id, Status::Locked, &origin())
        .await
        .unwrap();
    assert!(!stands(&challenge).await, "the account is locked");
    // What another ring of ours sealed is no challenge.
    let device = accounts.device_ring().seal(b"x").unwrap();
    assert!(!stands(&device).await);
}

#[tokio::test]
async fn only_whoever_has_both_factors_gets_a_session() {
    let world = World::with(rules(&[1])).await;
    let (ann, _) = enrolled(&world).await;
    let accounts = &world.accounts;
    let by_one = Proof::by_password(ann.clone());
    let refused = accounts.open_session(&by_one, device()).await;
    assert!(matches!(refused, Err(OpenSessionError::NotActive)));
    let by_two = Proof {
        account: ann,
        factors: Factors::Two,
    };
    let opened = accounts.open_session(&by_two, device()).await.unwrap();
    assert_eq!(opened.factors, Factors::Two);
    let refreshed = world.refresh(&opened.refresh).await.unwrap();
    assert_eq!(refreshed.factors, Factors::Two);
}

#[tokio::test]
async fn a_secret_opens_for_its_account_under_a_key_that_is_configured() {
    let world = World::with(rules(&[1])).await;
    let (ann, app) = enrolled(&world).await;
    let sealed_by = async || {
        let found = world.accounts.store().second_factor(ann.id).await;
        found.unwrap().unwrap().sealed.master
    };
    let first = sealed_by().await;
    world.accounts.use_rules(rules(&[2]));
    world.clock.advance(HALF_A_MINUTE);
    let code = app.code();
    let by = origin();
    let without = world.accounts.use_second_factor(ann.id, &code, &by).await;
    assert!(matches!(without, Err(SecondFactorError::Sealed)));

    world.accounts.use_rules(rules(&[2, 1]));
    assert!(used(&world, &ann, &code).await);
    assert_ne!(sealed_by().await, first);
    world.accounts.use_rules(rules(&[2]));
    world.clock.advance(HALF_A_MINUTE);
    assert!(used(&world, &ann, &app.code()).await);
}

#[tokio::test]
async fn an_offer_that_was_replaced_is_not_confirmed() {
    let world = World::with(rules(&[1])).await;
    let ann = world.ann().await;
    let accounts = &world.accounts;
    let offer = async || {
        let offered = accounts.offer_second_factor(&ann).await.unwrap();
        App(totp_rs::Totp::from_url(&offered.uri).unwrap(), &world.clock)
    };
    let (first, second) = (offer().await, offer().await);
    let confirm = async |code: &ShownCode| {
        let by = origin();
        let confirmed = accounts.confirm_second_factor(ann.id, code, &by).await;
        confirmed.map(drop)
    };
    let wrong = confirm(&first.code()).await;
    assert!(matches!(wrong, Err(SecondFactorError::Wrong)), "{wrong:?}");
    confirm(&second.code()).await.unwrap();
    let again = confirm(&second.code()).await;
    assert!(matches!(again, Err(SecondFactorError::Exists)), "{again:?}");
    let offered = accounts.offer_second_factor(&ann).await;
    assert!(matches!(offered, Err(SecondFactorError::Exists)));
}

#[tokio::test]
async fn what_apps_and_people_show_is_not_printed() {
    let world = World::with(rules(&[1])).await;
    let ann = world.ann().await;
    let offered = world.accounts.offer_second_factor(&ann).await.unwrap();
    assert!(!format!("{offered:?}").contains(&offered.secret));
    let code = ShownCode::parse("123456").unwrap();
    assert!(!format!("{code:?}").contains("123456"));
}
