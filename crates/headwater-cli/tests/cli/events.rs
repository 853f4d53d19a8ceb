use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Place, ends_within, signal};

fn shop() -> Place {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 2);
    place.fill("order-1", "order.placed", 2);
    place.fill("cart-2", "cart.closed", 1);
    place
}

fn positions(place: &Place, filter: &[&str]) -> Vec<u64> {
    let events = place.json(&[&["events"], filter].concat());
    events.iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

#[test]
fn filters_choose_events() {
    let place = shop();
    for (filter, expected) in [
        (&[][..], &[1, 2, 3, 4, 5][..]),
        (&["--category", "cart"], &[1, 2, 5]),
        (&["--category", "cart", "--category", "order"], &[1, 2, 3, 4, 5]),
        (&["--stream", "cart-1"], &[1, 2]),
        (&["--type", "cart.closed", "--type", "order.placed"], &[3, 4, 5]),
        (&["--category", "cart", "--type", "order.placed"], &[]),
        (&["--correlation-id", "0199c3a0-7d52-7c8e-8a3b-5f1f4f0d2b11"], &[]),
        (&["--since", "2020-01-01T00:00:00Z"], &[1, 2, 3, 4, 5]),
        (&["--until", "2020-01-01T00:00:00Z"], &[]),
        (&["--from", "3"], &[4, 5]),
        (&["--from", "end"], &[]),
        (&["--limit", "2"], &[1, 2]),
        (&["--limit", "0"], &[]),
        (&["--backward", "--limit", "2"], &[5, 4]),
        (&["--backward", "--from", "3"], &[2, 1]),
        (&["--backward", "--from", "0"], &[]),
    ] {
        assert_eq!(positions(&place, filter), expected, "{filter:?}");
    }
}

#[test]
fn json_is_the_whole_envelope() {
    let events = shop().json(&["events", "--limit", "1"]);
    let event = events[0].as_object().unwrap();
    let keys: Vec<_> = event.keys().map(String::as_str).collect();
    let mut expected = [
        "position",
        "stream",
        "version",
        "event_id",
        "type",
        "schema",
        "occurred_at",
        "recorded_at",
        "correlation_id",
        "causation_id",
        "metadata",
        "data",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&event["stream"], &event["version"]), (&"cart-1".into(), &1.into()));
    assert_eq!((&event["type"], &event["schema"]), (&"cart.opened".into(), &1.into()));
    assert_eq!(event["data"]["number"], 0);
    assert_eq!(event["metadata"], Value::Null);
}

#[test]
fn people_see_a_line_for_each_event() {
    let shown = shop().ok(&["events"]);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("POSITION  STREAM"), "{shown}");
    assert!(lines[5].starts_with("5         cart-2"), "{shown}");
    assert!(lines[5].ends_with("{\"number\":0}"), "{shown}");
}

#[test]
fn follow_shows_what_comes_and_ends_well_at_an_interrupt() {
    let place = shop();
    for name in ["INT", "TERM"] {
        let mut command = place.command(&["events", "--follow", "--json", "--from", "4"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || serde_json::from_str::<Value>(&events.next().unwrap().unwrap()).unwrap();
        assert_eq!(next()["position"], 5);
        place.fill("cart-3", name, 1);
        while next()["type"] != name {}
        signal(&child, name);
        let ended = ends_within(child, Duration::from_secs(2));
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""), "{name}");
        assert!(events.next().is_none());
    }
}

#[test]
fn follow_ends_at_its_limit() {
    let events = shop().json(&["events", "--follow", "--limit", "3"]);
    assert_eq!(events.len(), 3);
}

#[test]
fn follow_ends_when_its_reader_has_gone_though_nothing_comes() {
    let place = shop();
    let mut command = place.command(&["events", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut header = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut header).unwrap();
    let ended = ends_within(child, Duration::from_secs(5));
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
}

#[test]
fn follow_ends_at_an_interrupt_though_nobody_reads_what_it_writes() {
    let place = Place::new();
    // Two events fill a pipe, which holds 64 KiB.
    let long = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..2 {
        assert_eq!(place.piped(&["append", "cart-1", "cart.opened"], &long).exit, 0);
    }
    let mut command = place.command(&["events", "--follow", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
    assert_eq!(stdout.fill_buf().unwrap(), b"{");
    signal(&child, "INT");
    let ended = ends_within(child, Duration::from_secs(4));
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let long = format!("\"{}\"", "x".repeat(100_000));
    for _ in 0..3 {
        assert_eq!(place.piped(&["append", "cart-1", "cart.opened"], &long).exit, 0);
    }
    for command in [&["events"][..], &["events", "--json"], &["stream", "show", "cart-1"]] {
        let mut command = place.command(command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = ends_within(child, Duration::from_secs(5));
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    }
}
