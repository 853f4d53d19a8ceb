//! A projection that hangs in the middle of a rebuild, beside one that reads the log with it.

use headwater::{App, Position, Progress, connect};
use headwater_testkit::{
    account::Balance,
    hanging::{Hanging, fill},
    postgres, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_another_up_for_a_while_only_and_misses_nothing() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fill(&log, 120).await;
    let hanging = Hanging::default();
    let both = App::new().projection::<Balance>().sql_projection(hanging.clone());
    // By then the reading has gone on without it.
    let tell = |progress: &Progress| {
        if progress.projection == "balances" && progress.position >= Position(80_000) {
            hanging.open();
        }
    };
    let rebuilt = within("the other one goes on", both.rebuild(&log, &[], &tell)).await;
    let events: Vec<_> = rebuilt.unwrap().iter().map(|one| one.events).collect();
    assert_eq!(events, [120_000, 120_000]);
    log.close().await;
}
