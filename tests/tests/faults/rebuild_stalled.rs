//! A projection that hangs in the middle of a rebuild, beside others that read the log with it.

use futures_util::future::join;
use headwater::{GenerationState, connect};
use headwater_testkit::{
    eventually,
    hanging::{Hanging, fill},
    postgres,
};

use crate::audit::app;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_the_others_up_for_a_while_only_and_misses_nothing() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fill(&log, 120).await;
    let hanging = Hanging::default();
    let three = app().sql_projection(hanging.clone());
    let others_in_service = async || {
        let status = three.status(&log).await.unwrap();
        let live = status.iter().filter(|one| one.state == GenerationState::Live).count();
        (live == 2).then_some(())
    };
    let others = async {
        eventually("the others are in service", others_in_service).await;
        hanging.open();
    };
    let (rebuilt, ()) = join(three.rebuild(&log, &[], &|_| ()), others).await;
    let events: Vec<_> = rebuilt.unwrap().iter().map(|one| one.events).collect();
    assert_eq!(events, [120_000, 120, 120_000]);
    log.close().await;
}
