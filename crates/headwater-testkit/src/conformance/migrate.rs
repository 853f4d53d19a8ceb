//! The schema: brought up to date by many at once, and recognised when it does not fit.

use headwater::{Error, ErrorKind, Migrated, Settings};

use super::{Dialect, Harness, only_where_shared};
use crate::fixtures::{append_to, dump, failure};

fn without_migrating() -> Settings {
    Settings { migrate: false, ..Settings::default() }
}

async fn newest(harness: &dyn Harness) -> u32 {
    harness.log().migrate().await.expect("a schema that is up to date stays").to
}

/// Neither the schema nor what lies in it.
pub async fn migrating_again_changes_nothing(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    let before = dump(log).await;
    let newest = newest(harness).await;
    assert!(newest > 0);
    for _ in 0..2 {
        assert_eq!(log.migrate().await, Ok(Migrated { from: newest, to: newest }));
    }
    assert_eq!(dump(log).await, before);
    if harness.is_shared() {
        let other = harness.reopen(Settings::default()).await.expect("it opens a second time");
        assert_eq!(dump(&other).await, before);
        other.close().await;
    }
}

/// Sixteen instances of a service start at the same moment, on a database that is empty.
pub async fn sixteen_starts_at_once_all_succeed(harness: &dyn Harness) {
    if !harness.is_shared() {
        return only_where_shared();
    }
    let opened = harness.open_empty(Settings::default(), 16).await;
    let logs: Vec<_> = opened.into_iter().map(|log| log.expect("each of them succeeds")).collect();
    for (n, log) in logs.iter().enumerate() {
        append_to(log, &format!("thing-{n}"), 1).await;
    }
    for log in logs {
        assert_eq!(dump(&log).await.events.len(), 16, "all are the same database");
        log.close().await;
    }
}

/// A program that is older than its database.
pub async fn a_newer_schema_is_refused(harness: &dyn Harness) {
    if !harness.is_shared() {
        return only_where_shared();
    }
    let known = newest(harness).await;
    harness.pretend_schema(known + 7).await;
    let error = Error::SchemaTooNew { found: known + 7, known };
    for settings in [Settings::default(), without_migrating()] {
        assert_eq!(failure(harness.reopen(settings).await), error);
    }
    assert_eq!(harness.log().migrate().await, Err(error.clone()));
    assert_eq!(error.kind(), ErrorKind::CallOperator);
}

/// A program that may not migrate says which schema it found and what to run.
pub async fn an_older_schema_is_refused_where_it_may_not_be_migrated(harness: &dyn Harness) {
    if !harness.is_shared() {
        return only_where_shared();
    }
    let known = newest(harness).await;
    let found = failure(harness.open_empty(without_migrating(), 1).await.remove(0));
    assert_eq!(found, Error::SchemaTooOld { found: 0, known });
    assert!(found.to_string().contains("headwater migrate"));
    let log = harness.reopen(without_migrating()).await.expect("a schema that fits is taken");
    log.close().await;
    harness.pretend_schema(known - 1).await;
    let found = failure(harness.reopen(without_migrating()).await);
    assert_eq!(found, Error::SchemaTooOld { found: known - 1, known });
}

/// Two logs in one database know nothing of each other; names that could break SQL are refused.
pub async fn a_schema_is_a_log_of_its_own(harness: &dyn Harness) {
    if !harness.is_shared() {
        return only_where_shared();
    }
    for schema in ["", "Tenant", "a-b", "a\"b", "a b", "7up", "ä", &"a".repeat(52)] {
        let settings = Settings { schema: schema.into(), ..Settings::default() };
        let error = failure(harness.reopen_in(settings).await);
        assert_eq!(error.kind(), ErrorKind::FixInput, "{schema:?}: {error:?}");
    }
    if harness.dialect() == Dialect::Postgres {
        append_to(harness.log(), "thing-1", 3).await;
        let settings = Settings { schema: "second".into(), ..Settings::default() };
        let second = harness.reopen_in(settings).await.expect("a second schema is made");
        assert_eq!(append_to(&second, "thing-1", 1).await.version(), 1);
        assert_eq!(dump(&second).await.events.len(), 1);
        assert_eq!(dump(harness.log()).await.events.len(), 3);
        second.close().await;
    }
}
