//! PostgreSQL: the suite of every store, and what is special about a server.

use std::sync::Arc;

use super::test_server::{PASSWORD, Stop, TestServer};
use super::*;
use crate::secret::Secret;
use crate::store::{Database, Store, conformance};

fn settings(server: &TestServer, database: &str) -> PostgresSettings {
    PostgresSettings {
        address: PostgresAddress::parse(&server.address(database)).unwrap(),
        password: Some(Secret::new(PASSWORD.as_bytes().to_vec())),
        encryption: Encryption::Off,
        connections: 5,
        connect_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
    }
}

async fn open(settings: PostgresSettings) -> Result<Store, OpenError> {
    Store::open(&Database::Postgres(Box::new(settings))).await
}

async fn fresh() -> (Store, (Arc<TestServer>, String)) {
    let server = TestServer::shared();
    let database = server.database();
    let store = open(settings(&server, &database)).await.unwrap();
    (store, (server, database))
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms() {
    conformance::run(fresh).await;
}
