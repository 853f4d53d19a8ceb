//! A projection that hangs in the middle of a rebuild, beside others that read the log with it.

use headwater::{GenerationState, connect};
use headwater_testkit::{
    conformance::shared_reading::{Hanging, fifty_thousand},
    eventually, postgres,
};

use crate::audit::app;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_the_others_up_for_a_while_only() {
    let database = postgres::database().await;
    let log = connect(database.url()).await.unwrap();
    fifty_thousand(&log).await;
    let three = app().sql_projection(Hanging::default());
    let swapped = async || {
        let status = three.status(&log).await.unwrap();
        let live = status.iter().filter(|one| one.state == GenerationState::Live).count();
        (live == 2).then_some(status)
    };
    let status = tokio::select! {
        ended = three.rebuild(&log, &[], &|_| ()) => panic!("{ended:?}"),
        status = eventually("the others are in service", swapped) => status,
    };
    let hanging = status.iter().find(|one| one.projection == "hanging").unwrap();
    assert_eq!(hanging.state, GenerationState::Building);
    log.close().await;
}
