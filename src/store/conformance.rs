//! What every store must do: one suite, run against each of them.

mod accounts;
mod invitations;
mod login_codes;
mod machines;
mod second_factors;
mod sessions;
mod signing_keys;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::accounts::audit::{Entry, Event, Origin};
use crate::accounts::{
    Account, AccountId, Attributes, Device, DisplayName, EmailAddress, Factors, LoginName,
    PasswordHash, Revocation, Role, SessionId, Status, Username,
};
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::secret::Secret;

pub(super) use sessions::{is_successor, rotate, try_rotate};

pub(super) const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);
const IDLE: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);
/// More sessions than any test opens, unless it is about that.
const MANY: u32 = 1000;

/// Runs the suite against stores that are empty: `fresh` gives a new one each time.
pub async fn run<F: Future<Output = (Store, G)>, G>(fresh: impl Fn() -> F) {
    accounts::an_account_is_found_by_each_of_its_names(&fresh().await.0).await;
    accounts::a_login_name_belongs_to_one_account(&fresh().await.0).await;
    accounts::accounts_are_listed_page_by_page(&fresh().await.0).await;
    accounts::an_account_and_its_first_session_are_made_together(&fresh().await.0).await;
    sessions::a_refresh_token_is_good_once_and_once_more_within_the_grace(&fresh().await.0).await;
    sessions::a_used_refresh_token_ends_its_session(&fresh().await.0).await;
    sessions::many_refreshes_at_one_time_rotate_once(&fresh().await.0).await;
    sessions::sessions_expire_and_slide_up_to_their_end(&fresh().await.0).await;
    sessions::a_session_in_use_lives_on_up_to_its_end(&fresh().await.0).await;
    sessions::a_session_says_how_it_stands(&fresh().await.0).await;
    sessions::a_session_too_many_takes_the_place_of_the_one_unused_for_longest(&fresh().await.0)
        .await;
    sessions::ended_sessions_are_revoked_and_read_in_order(&fresh().await.0).await;
    accounts::an_account_that_changes_loses_its_sessions(&fresh().await.0).await;
    sessions::what_has_expired_is_swept_away(&fresh().await.0).await;
    accounts::attributes_are_set_and_a_lost_one_ends_the_sessions(&fresh().await.0).await;
    accounts::the_schemes_of_passwords_are_those_in_use(&fresh().await.0).await;
    machines::a_key_is_kept_whole_and_found_by_its_id(&fresh().await.0).await;
    machines::a_key_needs_an_active_owner_and_is_one_of_so_many(&fresh().await.0).await;
    machines::a_revoked_key_is_news_once(&fresh().await.0).await;
    machines::a_rotated_key_ends_after_its_overlap(&fresh().await.0).await;
    machines::uses_are_noted_an_hour_apart(&fresh().await.0).await;
    machines::a_service_changes_and_goes_with_its_keys(&fresh().await.0).await;
    machines::keys_go_with_their_user_and_when_they_are_long_dead(&fresh().await.0).await;
    accounts::an_address_is_verified_once(&fresh().await.0).await;
    accounts::what_is_unlocked_is_what_it_was(&fresh().await.0).await;
    invitations::an_invitation_is_used_as_often_as_it_says(&fresh().await.0).await;
    login_codes::a_code_is_good_once_where_it_is_meant_for(&fresh().await.0).await;
    login_codes::of_many_that_show_a_code_at_one_time_one_has_it(&fresh().await.0).await;
    login_codes::a_code_is_worth_no_more_than_its_session(&fresh().await.0).await;
    login_codes::a_session_has_few_codes_at_a_time(&fresh().await.0).await;
    signing_keys::of_keys_of_one_number_the_first_stays(&fresh().await.0).await;
    signing_keys::a_wish_for_a_new_key_is_for_a_successor_of_the_newest(&fresh().await.0).await;
    signing_keys::a_key_is_retired_once_a_later_one_signs(&fresh().await.0).await;
    second_factors::a_factor_counts_once_its_owner_has_shown_a_code(&fresh().await.0).await;
    second_factors::only_an_active_account_is_offered_a_factor(&fresh().await.0).await;
    second_factors::a_step_is_taken_once_and_no_earlier_one_after_it(&fresh().await.0).await;
    second_factors::of_many_that_show_a_code_at_one_time_one_is_let_in(&fresh().await.0).await;
    second_factors::a_recovery_code_is_good_once_and_until_it_is_replaced(&fresh().await.0).await;
    second_factors::a_removed_factor_takes_its_codes_and_the_sessions_along(&fresh().await.0).await;
    second_factors::a_factor_is_sealed_anew_once(&fresh().await.0).await;
    second_factors::no_session_is_opened_without_a_factor_that_is_confirmed(&fresh().await.0).await;
    second_factors::no_session_slips_in_while_a_factor_is_confirmed(&fresh().await.0).await;
    second_factors::factors_go_with_their_account_and_offers_after_a_while(&fresh().await.0).await;
}

pub(super) fn account(email: &str) -> Account {
    let email = EmailAddress::parse(email).unwrap();
    Account {
        id: AccountId::random(),
        name: DisplayName::from_email(&email),
        email,
        email_verified: false,
        username: None,
        roles: vec![
            Role::parse("member").unwrap(),
            Role::parse("editor").unwrap(),
        ],
        attributes: Attributes::default(),
        status: Status::Active,
        created_at: T0,
        updated_at: T0,
    }
}

fn origin() -> Origin {
    Origin::client(client())
}

fn client() -> ClientIp {
    ClientIp::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
}

fn device() -> Device {
    Device::new(Some("test/1"), Some(client()))
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::from_phc(text.to_owned())
}

fn entry(event: Event, account: AccountId) -> Entry {
    Entry {
        event,
        account: Some(account),
        session: None,
        origin: origin(),
    }
}

pub(super) fn ending(at: Timestamp) -> Ending {
    Ending {
        at,
        forget_at: at + 24 * IDLE,
        origin: origin(),
    }
}

pub(super) async fn create(store: &Store, account: &Account) -> Created {
    store.commit(creation(account)).await.unwrap()
}

fn creation(account: &Account) -> CreateAccount {
    CreateAccount {
        account: account.clone(),
        password: hash("first"),
        invitation: None,
        entry: entry(Event::Registered, account.id),
    }
}

pub(super) async fn created(store: &Store, email: &str) -> Account {
    let account = account(email);
    assert_eq!(create(store, &account).await, Created::Done);
    account
}

pub(super) async fn opened(store: &Store, account: &Account) -> SessionId {
    let open = opening(account);
    let id = open.session.id;
    store.commit(open).await.unwrap().expect("an open session");
    id
}

fn opening(account: &Account) -> OpenSession {
    OpenSession {
        session: NewSession {
            id: SessionId::random(),
            account: account.id,
            device: device(),
            at: T0,
            expires_at: T0 + IDLE,
            ends_at: T0 + 3 * IDLE,
            factors: Factors::One,
        },
        unless_changed_from: T0,
        entry: entry(Event::LoggedIn, account.id),
        most: MANY,
        ending: ending(T0),
    }
}
