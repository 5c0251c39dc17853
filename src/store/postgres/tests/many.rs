//! What there may be very many of, within the time that a change may take.

use super::*;

/// Sessions that have expired are not swept at once, and no bound holds for them: that must not keep their owner
/// from ending them.
#[tokio::test]
async fn however_many_sessions_an_account_has_they_end() {
    let server = TestServer::shared();
    let database = server.database();
    let settings = PostgresSettings {
        statement_timeout: Duration::from_secs(10),
        ..settings(&server, &database)
    };
    let store = open(&settings).await.unwrap();
    let ann = created(&store, "ann@example.com").await;
    let many = format!(
        "INSERT INTO sessions (id, account_id, counter, changed_at, created_at, last_used_at, \
         expires_at, ends_at, device) SELECT md5(number::text), '{}', 0, 0, 0, 0, \
         9000000000000, 9000000000000, '' FROM generate_series(1, 40000) number",
        ann.id
    );
    server.sql(&database, &many);
    let revoked = store.commit(end(ann.id, Which::All)).await.unwrap();
    assert_eq!(revoked.len(), 40_001);
    let news = store.revocations(&Place::default()).await.unwrap();
    assert_eq!(news.revocations.len(), 40_001);
}
