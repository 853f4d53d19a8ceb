//! What was written stays: the database itself refuses to change or remove an event.

use super::{Dialect, Harness};
use crate::fixtures::{append_to, dump};

/// Each way in which SQL can change or remove a row, tried past the store.
pub async fn events_cannot_be_changed_or_removed(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    append_to(log, "thing-2", 1).await;
    let before = dump(log).await;
    let events = harness.table("events");
    let ways = match harness.dialect() {
        Dialect::Postgres => postgres(&events),
        Dialect::Sqlite => sqlite(&events),
    };
    for sql in ways {
        match harness.execute_raw(&sql).await {
            Ok(()) => panic!("the database did it: {sql}"),
            // Who is no superuser cannot play a replica in the first place.
            Err(error) => assert!(
                error.contains("append-only") || error.contains("denied to set parameter"),
                "{sql}: {error}"
            ),
        }
        assert_eq!(dump(log).await, before, "{sql}");
    }
    assert_eq!(append_to(log, "thing-1", 1).await.version(), 4);
}

fn shared(events: &str) -> Vec<String> {
    [
        "update {} set data = '{\"n\": 9}' where version = 1",
        "update {} set version = version + 100",
        "update {} set recorded_at = recorded_at",
        "delete from {} where version = 3",
        "delete from {}",
    ]
    .map(|sql| sql.replacen("{}", events, 1))
    .to_vec()
}

/// Also in a session that replays a replication stream, where ordinary triggers do not fire.
fn postgres(events: &str) -> Vec<String> {
    let columns = "stream, category, version, id, type, schema_version, data";
    let row = format!("select {columns} from {events} where version = 1 limit 1");
    let mut ways = shared(events);
    ways.extend([
        format!("truncate {events}"),
        format!("truncate {events} restart identity cascade"),
        format!(
            "insert into {events} ({columns}) {row} \
             on conflict (id) do update set data = excluded.data"
        ),
        format!(
            "merge into {events} e using ({row}) n on e.id = n.id \
             when matched then update set data = '1'"
        ),
        format!("merge into {events} e using ({row}) n on e.id = n.id when matched then delete"),
    ]);
    let replica = |sql: &String| format!("set session_replication_role = replica; {sql}");
    ways.iter().map(replica).chain(ways.iter().cloned()).collect()
}

fn sqlite(events: &str) -> Vec<String> {
    let columns = "stream, category, version, id, type, schema_version, data, recorded_at";
    let row = format!("select {columns} from {events} where version = 1 limit 1");
    let mut ways = shared(events);
    ways.extend([
        format!("replace into {events} ({columns}) {row}"),
        format!("insert or replace into {events} (position, {columns}) \
                 select position, {columns} from {events} limit 1"),
        format!("insert or replace into {events} ({columns}) \
                 select 'other-1', 'other', 1, id, type, schema_version, '1', recorded_at from {events}"),
        format!("insert into {events} ({columns}) {row} \
                 on conflict (id) do update set data = excluded.data"),
        format!("update or replace {events} set version = 1 where stream = 'thing-1'"),
        format!("update or ignore {events} set data = '1'"),
    ]);
    ways
}
