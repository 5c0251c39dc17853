//! The tables, version by version.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Error, SqlSafeStr};

use crate::store::OpenError;

/// Brings the tables up to date. A database that a newer binary has migrated is taken as it is:
/// during an upgrade both run, and migrations never take away what the version before reads.
pub(super) async fn run(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrator = migrator();
    // Two processes that start at one time may both want to make the tables. Who loses looks again:
    // a step is lost once when it is read as missing, and once more when the lock is.
    let races = 2 * migrator.iter().count();
    for _ in 0..races {
        match migrator.run(&mut *connection).await {
            Err(error) if is_race(&error) => {}
            outcome => return outcome.map_err(OpenError::Migrate),
        }
    }
    migrator
        .run(&mut *connection)
        .await
        .map_err(OpenError::Migrate)
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

fn migration(version: i64, what: &'static str, sql: &'static str) -> Migration {
    let kind = MigrationType::Simple;
    Migration::new(version, what.into(), kind, sql.into_sql_str(), false)
}

/// Whether the database itself refused (the table is there already, or locked), not its content.
fn is_race(error: &MigrateError) -> bool {
    matches!(
        error,
        MigrateError::Execute(Error::Database(_))
            | MigrateError::ExecuteMigration(Error::Database(_), _)
    )
}
