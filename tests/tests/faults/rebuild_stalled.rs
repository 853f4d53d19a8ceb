//! A projection that hangs in the middle of a rebuild, beside others that read the log with it.

use headwater::{Position, Progress, connect};
use headwater_testkit::{
    hanging::{Hanging, fill},
    postgres, within,
};

use crate::audit::app;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_the_others_up_for_a_while_only_and_misses_nothing() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fill(&log, 120).await;
    let hanging = Hanging::default();
    let three = app().sql_projection(hanging.clone());
    // By then the reading has gone on without it.
    let tell = |progress: &Progress| {
        if progress.projection == "balances" && progress.position >= Position(80_000) {
            hanging.open();
        }
    };
    let rebuilt = within("the others go on", three.rebuild(&log, &[], &tell)).await;
    let events: Vec<_> = rebuilt.unwrap().iter().map(|one| one.events).collect();
    assert_eq!(events, [120_000, 120, 120_000]);
    log.close().await;
}
