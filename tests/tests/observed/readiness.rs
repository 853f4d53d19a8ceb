//! What makes an instance that is not ready, beside a database that is away.

use std::{sync::Arc, time::Duration};

use headwater::{App, Log, connect};
use headwater_testkit::{
    eventually,
    postgres::{self, direct},
};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

async fn obstacle(app: &App, log: &Log) -> Option<String> {
    app.readiness(log).await.obstacles.first().cloned()
}

#[tokio::test]
async fn an_instance_under_a_newer_schema_is_not_ready() {
    let database = postgres::database().await;
    let (log, app) = (connect(database.url()).await.unwrap(), App::new());
    assert_eq!(obstacle(&app, &log).await, None);
    let mut newer = direct(database.url()).await;
    let migrate = "insert into headwater.migrations (number, name) \
                   select max(number) + 1, 'newer' from headwater.migrations";
    newer.execute(migrate).await.unwrap();
    let obstacle = obstacle(&app, &log).await.expect("the schema is another one");
    assert!(obstacle.contains("schema"), "{obstacle}");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_cannot_look_at_its_leases_is_not_ready_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("log.db").display());
    let log = connect(&url).await.unwrap();
    // Renewed all the time, so that somebody who holds the file is soon in the way.
    let app = Arc::new(crate::projections::app().lease(Duration::from_millis(300)));
    let runs = {
        let (app, log) = (app.clone(), log.clone());
        tokio::spawn(async move { app.run(&log).await })
    };
    eventually("the projections are there", async || {
        (log.checkpoints().await.unwrap().len() == app.names().len()).then_some(())
    })
    .await;
    assert_eq!(obstacle(&app, &log).await, None);
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let obstacle_now = eventually("it is not ready", async || obstacle(&app, &log).await).await;
    assert!(obstacle_now.contains("leases"), "{obstacle_now}");
    other.execute("rollback").await.unwrap();
    eventually("it is ready again", async || obstacle(&app, &log).await.is_none().then_some(()))
        .await;
    runs.abort();
    let _aborted = runs.await;
    assert_eq!(obstacle(&app, &log).await, None, "nobody runs it, so that nobody has to look");
    log.close().await;
}
