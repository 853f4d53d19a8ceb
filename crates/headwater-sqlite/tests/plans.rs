//! The plans of the statements that read the log: in order, by an index, and never by sorting.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{file, fill};
use sqlx::{AssertSqlSafe, Row as _};

async fn plan(pool: &sqlx::SqlitePool, sql: &str) -> String {
    let rows =
        sqlx::query(AssertSqlSafe(format!("explain query plan {sql}"))).fetch_all(pool).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
}

#[tokio::test]
async fn no_reading_sorts_and_each_uses_its_index() {
    let file = file().await;
    fill(&file.store, 20, 5_000).await;
    for analysed in [false, true] {
        if analysed {
            sqlx::query("analyze").execute(file.store.pool()).await.unwrap();
        }
        for (sql, path) in [
            (include_str!("../src/read_log.sql"), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (
                include_str!("../src/read_log_backward.sql"),
                "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            ),
            (
                include_str!("../src/read_correlation.sql"),
                "INDEX events_correlation (correlation_id=? AND position>? AND position<?)",
            ),
            (
                include_str!("../src/read_correlation_backward.sql"),
                "INDEX events_correlation (correlation_id=? AND position>? AND position<?)",
            ),
            (include_str!("../src/read_event.sql"), "INDEX sqlite_autoindex_events_1 (id=?)"),
            (
                include_str!("../src/read_stream.sql"),
                "INDEX sqlite_autoindex_events_2 (stream=? AND version>?)",
            ),
            (
                include_str!("../src/read_stream_backward.sql"),
                "INDEX sqlite_autoindex_events_2 (stream=? AND version<?)",
            ),
            (
                include_str!("../src/read_time_range.sql"),
                "COVERING INDEX events_recorded_at (recorded_at>? AND recorded_at<?)",
            ),
            (include_str!("../src/append_find_ids.sql"), "INDEX sqlite_autoindex_events_1 (id=?)"),
            (include_str!("../src/append_find_tail.sql"), "PRIMARY KEY (stream=?)"),
            (include_str!("../src/streams.sql"), "PRIMARY KEY (stream>? AND stream<?)"),
        ] {
            let plan = plan(file.store.pool(), sql).await;
            assert!(!plan.contains("ORDER BY"), "{sql} sorts:\n{plan}");
            assert!(plan.contains(path), "{sql} does not use {path}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn what_looks_for_faults_sorts_nothing_but_them() {
    let file = file().await;
    fill(&file.store, 20, 5_000).await;
    for (sql, index) in [
        (include_str!("../src/faults_versions.sql"), "sqlite_autoindex_events_2"),
        (include_str!("../src/faults_streams.sql"), "sqlite_autoindex_events_2"),
        (include_str!("../src/faults_ids.sql"), "sqlite_autoindex_events_1"),
    ] {
        let plan = plan(file.store.pool(), sql).await;
        assert!(plan.contains(&format!("COVERING INDEX {index}")), "{sql}:\n{plan}");
        assert_eq!(plan.matches("TEMP B-TREE").count(), 1, "{sql} sorts more:\n{plan}");
    }
}
