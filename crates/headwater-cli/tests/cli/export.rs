use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{Place, lines};

fn names(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.folder()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("log.db")).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_export_is_the_log_in_its_order_an_event_a_line() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 2);
    place.fill("cart-2", "cart.opened", 1);
    let ended = place.run(&["export"]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let events = lines(&ended.stdout);
    assert_eq!(events.len(), 3);
    for (event, (stream, version, position)) in
        events.iter().zip([("cart-1", 1, 1), ("cart-1", 2, 2), ("cart-2", 1, 3)])
    {
        assert_eq!((&event["stream"], &event["version"]), (&stream.into(), &version.into()));
        assert_eq!((&event["position"], &event["schema_version"]), (&position.into(), &1.into()));
        assert_eq!(event["occurred_at"], event["recorded_at"]);
    }
    assert_eq!(events[1]["data"], serde_json::json!({"number": 1}));
    assert!(ended.stderr.starts_with("exported 3 events in "), "{ended:?}");
    let told = place.run(&["export", "--json"]);
    assert_eq!(told.stdout, ended.stdout);
    let told = &lines(&told.stderr)[0];
    assert_eq!((&told["events"], &told["position"]), (&3.into(), &3.into()));
    let checksum = told["checksum"].as_str().unwrap();
    assert!(ended.stderr.contains(checksum) && checksum.starts_with("sha256:"), "{checksum}");
}

#[test]
fn a_file_is_whole_or_not_there_and_is_replaced_only_by_force() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 1);
    let answer = &place.json(&["export", "log.ndjson"])[0];
    assert_eq!((&answer["file"], &answer["events"]), (&"log.ndjson".into(), &1.into()));
    let file = place.folder().join("log.ndjson");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(&file).unwrap();
    place.fill("cart-1", "cart.opened", 1);
    let refused = place.run(&["export", "log.ndjson", "--json"]);
    assert_eq!((refused.exit, &refused.error()["code"]), (2, &"file-exists".into()));
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    place.ok(&["export", "log.ndjson", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
    // As a device would, it is there for others.
    let _socket = std::os::unix::net::UnixListener::bind(place.folder().join("socket")).unwrap();
    for no_file in [".", "socket", "no/such/folder/file", ".."] {
        let refused = place.run(&["export", no_file, "--force"]);
        assert_eq!(refused.exit, 2, "{refused:?}");
    }
    assert_eq!(names(&place), ["log.ndjson", "socket"]);
    assert!(!fs::metadata(place.folder().join("socket")).unwrap().is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 1);
    place.sql("drop trigger events_refuse_update; update events set data = '{secret'").await;
    let failed = place.run(&["export", "log.ndjson", "--json"]);
    assert_eq!((failed.exit, &failed.error()["code"]), (1, &"not-json".into()));
    assert!(!failed.stderr.contains("secret"), "{failed:?}");
    assert!(names(&place).is_empty());
}

#[test]
fn a_reader_that_has_seen_enough_ends_an_export_quietly() {
    let place = Place::new();
    place.fill_with_carts(2);
    let mut command = place.command(&["export", "--no-progress"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = crate::support::ends_within(child, std::time::Duration::from_secs(20));
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""), "{ended:?}");
}
