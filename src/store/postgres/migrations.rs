//! The tables, version by version, beside nodes that serve meanwhile.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Error, SqlSafeStr};

use crate::store::OpenError;

/// A lock that is not had at once is asked for anew: meanwhile the statements that queue behind
/// the request for it go on.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(500);

/// Brings the tables up to date, one node at a time: sqlx holds an advisory lock. A database that
/// a newer binary has migrated is taken as it is: during an upgrade both run, and migrations never
/// take away what the version before reads.
pub(super) async fn run(connection: &mut PgConnection) -> Result<(), OpenError> {
    let migrator = migrator();
    let mut attempt = 1;
    loop {
        match migrator.run(&mut *connection).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt < ATTEMPTS && is_lock_held(&error) => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(OpenError::Migrate(error)),
        }
    }
}

fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "accounts", include_str!("0001_accounts.sql")),
        migration(2, "moving in", include_str!("0002_moving_in.sql")),
        migration(3, "machines", include_str!("0003_machines.sql")),
        migration(4, "invitations", include_str!("0004_invitations.sql")),
        migration(5, "lag", include_str!("0005_lag.sql")),
        migration(6, "signing keys", include_str!("0006_signing_keys.sql")),
        migration(7, "login codes", include_str!("0007_login_codes.sql")),
        migration(8, "rotations", include_str!("0008_rotations.sql")),
        migration(
            9,
            "codes of a session",
            include_str!("0009_codes_of_a_session.sql"),
        ),
        migration(10, "approvals", include_str!("0010_approvals.sql")),
        migration(
            11,
            "second factors",
            include_str!("0011_second_factors.sql"),
        ),
    ]);
    migrator.set_ignore_missing(true);
    migrator
}

fn migration(version: i64, name: &'static str, text: &'static str) -> Migration {
    let kind = MigrationType::Simple;
    Migration::new(version, name.into(), kind, text.into_sql_str(), false)
}

/// Whether somebody else held a lock for too long: `lock_not_available` or `deadlock_detected`.
fn is_lock_held(error: &MigrateError) -> bool {
    let (MigrateError::Execute(Error::Database(error))
    | MigrateError::ExecuteMigration(Error::Database(error), _)) = error
    else {
        return false;
    };
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.code(), "55P03" | "40P01"))
}
