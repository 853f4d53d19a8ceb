use crate::support::{Place, lines};

const CLEAN: &str = "sha256:";

/// A log with three events each of two streams.
async fn place(postgres: bool) -> Place {
    let place = if postgres { Place::in_postgres().await } else { Place::new() };
    place.fill("cart-1", "cart.opened", 2);
    place.fill("cart-2", "cart.opened", 3);
    place.fill("cart-1", "cart.opened", 1);
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_whole_has_the_checksum_of_its_export() {
    for postgres in [false, true] {
        let place = place(postgres).await;
        let answer = &place.json(&["verify"])[0];
        assert_eq!((&answer["events"], &answer["position"]), (&6.into(), &6.into()));
        assert_eq!(answer["faults"], serde_json::json!([]));
        assert_eq!(answer["more_faults"], false);
        let exported = place.run(&["export", "--json"]);
        assert_eq!(answer["checksum"], lines(&exported.stderr)[0]["checksum"]);
        let said = place.ok(&["verify"]);
        assert!(said.starts_with("verified 6 events in "), "{said}");
        assert!(said.contains(CLEAN), "{said}");
    }
}

/// What takes the guards of the log away, so that it can be broken.
const UNGUARD: [&str; 2] = [
    "drop trigger events_refuse_update; drop trigger events_refuse_delete; drop trigger events_refuse_replace;",
    "set search_path = headwater; alter table events disable trigger append_only;",
];

/// What takes the keys away, too.
const UNKEY: [&str; 2] = [
    "drop view all_events; create table copy as select * from events; drop table events;
     alter table copy rename to events;",
    "alter table events drop constraint events_id, drop constraint events_stream_version;",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_fault_is_found_and_named() {
    let keyed = |sql: &str| [UNGUARD[0].to_owned() + sql, UNGUARD[1].to_owned() + sql];
    let unkeyed = |sql: &str| [0, 1].map(|store| UNGUARD[store].to_owned() + UNKEY[store] + sql);
    let cases = [
        (keyed("delete from events where position = 4"), "version", "follows version 1"),
        (keyed("delete from events where position = 1"), "version", "follows version 0"),
        (
            unkeyed("update events set version = 1 where position = 2"),
            "version",
            "version 1 of stream cart-1, at position 2, follows version 1",
        ),
        (
            keyed(
                "update events set version = version + 9 where stream = 'cart-1';
                 update events set version = 1 where position = 6;
                 update events set version = 2 where position = 2;
                 update events set version = 3 where position = 1",
            ),
            "order",
            "version 2 of stream cart-1, at position 2, lies before the version in front of it, at 6",
        ),
        (
            keyed("update streams set version = 7 where stream = 'cart-2'"),
            "stream",
            "stream cart-2 is said to be at version 7, and its last event has version 3",
        ),
        (
            keyed("delete from streams where stream = 'cart-2'"),
            "stream",
            "stream cart-2 is said to be at version 0, and its last event has version 3",
        ),
        (
            keyed("insert into streams (stream, version) values ('cart-3', 1)"),
            "stream",
            "stream cart-3 is said to be at version 1, and its last event has version 0",
        ),
        (
            unkeyed(
                "update events set id = (select id from events where position = 1) where position = 5",
            ),
            "id",
            "is there more than once, at position 1 and at 5",
        ),
    ];
    for (sql, kind, told) in cases {
        for (postgres, sql) in [false, true].into_iter().zip(sql) {
            let place = place(postgres).await;
            let before = place.json(&["verify"])[0]["checksum"].clone();
            place.sql(&sql).await;
            let ended = place.run(&["verify", "--json"]);
            assert_eq!((ended.exit, &ended.error()["code"]), (1, &"log-broken".into()), "{sql}");
            let answer = &lines(&ended.stdout)[0];
            let faults = answer["faults"].as_array().unwrap();
            let named = |fault: &serde_json::Value| {
                fault["fault"] == kind && fault["message"].as_str().unwrap().contains(told)
            };
            assert!(faults.iter().any(named), "{sql}: {answer}");
            let same = answer["checksum"] == before;
            assert_eq!(same, kind == "stream", "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_found_and_not_shown() {
    let place = place(false).await;
    let sql = format!(
        "{} update events set data = '{{secret' where position = 2;
         update events set metadata = '{{secret' where position > 4",
        UNGUARD[0]
    );
    place.sql(&sql).await;
    let ended = place.run(&["verify", "--limit", "2"]);
    assert_eq!(ended.exit, 1);
    assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
    let first = "the data of the event at position 2, of stream cart-1, are not JSON\n";
    assert!(ended.stdout.starts_with(first), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 3, "{ended:?}");
    assert!(ended.stderr.starts_with("error: the log has more than 2 faults\nhint: "), "{ended:?}");
    let ended = place.run(&["verify", "--limit", "3"]);
    assert!(ended.stderr.starts_with("error: the log has 3 faults\n"), "{ended:?}");
    assert_eq!(place.run(&["verify", "--limit", "0"]).exit, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_elsewhere_verifies_with_the_same_checksum() {
    let from = place(false).await;
    let text = from.run(&["export"]).stdout;
    let to = Place::in_postgres().await;
    assert_eq!(to.piped(&["import"], &text).exit, 0);
    let checksum = |place: &Place| place.json(&["verify"])[0]["checksum"].clone();
    assert_eq!(checksum(&from), checksum(&to));
}
