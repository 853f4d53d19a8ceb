//! Two-phase commit: an append that was prepared outlives its connection and a crash of the server.

use headwater::{Append, ExpectedVersion::Any, Log, Settings, postgres::PostgresStore};
use headwater_testkit::{
    fixtures::{all, append, append_to, events, positions, stream},
    postgres::{Server, direct},
};
use sqlx::Executor as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_append_holds_the_ceiling_also_after_a_crash() {
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    let mut operator = direct(&url).await;
    operator.execute("alter system set max_prepared_transactions = 2").await.unwrap();
    drop(operator);
    crash(&mut server).await;
    let store = PostgresStore::connect(&url, Settings::default()).await.unwrap();
    let log = Log::new(store.clone());
    append_to(&log, "soon-1", 1).await;
    assert_eq!(positions(&all(&log).await).len(), 1);
    let mut writer = direct(&url).await;
    writer.execute("begin").await.unwrap();
    let late = Append::new(stream("late-1"), Any, events(1));
    let low = store.append_in(&mut writer, vec![late]).await.unwrap().position();
    writer.execute("prepare transaction 'late'").await.unwrap();
    append_to(&log, "soon-2", 1).await;
    for crashes in 0..2 {
        for _ in 0..5 {
            let ceiling = log.ceiling().await.unwrap().position;
            assert!(ceiling < low, "{ceiling} passes the prepared {low} after {crashes} crashes");
        }
        crash(&mut server).await;
        log.append_all([append("soon-3", 1)]).await.unwrap();
    }
    let mut operator = direct(&url).await;
    operator.execute("commit prepared 'late'").await.unwrap();
    assert_eq!(positions(&all(&log).await).len(), 5);
    log.close().await;
}

async fn crash(server: &mut Server) {
    tokio::task::block_in_place(|| server.kill());
    server.restart().await;
}
