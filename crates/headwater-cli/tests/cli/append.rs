use crate::support::{Place, lines};

const ID: &str = "0199c3a0-7d52-7c8e-8a3b-5f1f4f0d2b11";

#[test]
fn append_says_where_the_event_lies() {
    let place = Place::new();
    let said = place.ok(&["append", "cart-7", "cart.opened", "--data", "{}"]);
    assert_eq!(said, "appended: cart-7 version 1, position 1\n");
    let said = place.json(&["append", "cart-7", "cart.closed", "--data", "{}", "--id", ID]);
    assert_eq!(said[0]["stream"], "cart-7");
    assert_eq!((&said[0]["version"], &said[0]["event_id"]), (&2.into(), &ID.into()));
    assert_eq!((&said[0]["position"], &said[0]["repeated"]), (&2.into(), &false.into()));
}

#[test]
fn the_same_append_again_changes_nothing_and_other_content_is_a_conflict() {
    let place = Place::new();
    let append = ["append", "cart-7", "cart.opened", "--id", ID, "--data", "{}"];
    let first = place.json(&append);
    let second = place.json(&append);
    assert_eq!(first[0]["position"], second[0]["position"]);
    assert_eq!(second[0]["repeated"], true);
    let other = ["append", "cart-7", "cart.opened", "--id", ID, "--data", "[]", "--json"];
    let refused = place.run(&other);
    assert_eq!(refused.exit, 4);
    assert_eq!(refused.error()["code"], "idempotency-conflict");
    assert_eq!(place.json(&["events"]).len(), 1);
}

#[test]
fn an_expected_version_that_does_not_hold_is_a_conflict() {
    let place = Place::new();
    let append = |expected| {
        place.run(&["append", "cart-7", "cart.opened", "--data", "{}", "--expect", expected])
    };
    assert_eq!(append("none").exit, 0);
    assert_eq!(append("1").exit, 0);
    assert_eq!(append("any").exit, 0);
    for expected in ["none", "2", "4"] {
        let refused = append(expected);
        assert_eq!(refused.exit, 4, "{refused:?}");
        assert!(refused.stderr.starts_with("error: expected "), "{refused:?}");
        assert!(refused.stderr.contains("\nhint: "), "{refused:?}");
    }
    assert_eq!(append("often").exit, 2);
    assert_eq!(place.json(&["events"]).len(), 3);
}

#[test]
fn data_come_from_standard_input_byte_for_byte() {
    let place = Place::new();
    let data = r#"{"b":1.10, "a":18446744073709551616,"nul":"\u0000","half":"\ud800"}"#;
    let ended = place.piped(&["append", "cart-7", "cart.opened"], &format!("{data}\n"));
    assert_eq!(ended.exit, 0, "{ended:?}");
    let shown = place.ok(&["events", "--json"]);
    assert!(shown.contains(&format!("\"data\":{data}")), "{shown}");
}

#[test]
fn data_over_several_lines_are_shown_on_one() {
    let place = Place::new();
    place.piped(&["append", "cart-7", "cart.opened"], "{\n  \"a\": 1,\r\n  \"b\": 2\n}\n");
    let shown = place.ok(&["events", "--json"]);
    assert_eq!(lines(&shown)[0]["data"], serde_json::json!({"a": 1, "b": 2}));
    assert_eq!(shown.lines().count(), 1);
    assert_eq!(place.ok(&["events"]).lines().count(), 2);
}

#[test]
fn every_circumstance_is_kept() {
    let place = Place::new();
    let other = "0199c3a0-7d52-7c8e-8a3b-5f1f4f0d2b22";
    let time = "2026-11-23T09:15:30.123456+01:00";
    #[rustfmt::skip]
    place.ok(&["append", "cart-7", "cart.item_added", "--data", "{}", "--schema-version", "2",
        "--metadata", r#"{"by":"me"}"#, "--correlation-id", ID, "--causation-id", other,
        "--occurred-at", time]);
    let event = &place.json(&["events"])[0];
    assert_eq!(event["schema"], 2);
    assert_eq!(event["metadata"]["by"], "me");
    assert_eq!((&event["correlation_id"], &event["causation_id"]), (&ID.into(), &other.into()));
    assert_eq!(event["occurred_at"], "2026-11-23T08:15:30.123456Z");
}

#[test]
fn bad_input_is_refused_without_showing_it() {
    let place = Place::new();
    let secret = "{\"secret\":";
    for append in [
        &["append", "cart-7", "cart.opened", "--data", secret][..],
        &["append", "cart-7", "cart.opened", "--data", "{}", "--metadata", secret],
        &["append", "cart-7", "cart.opened", "{\"secret\":1}"],
        &["append", "cart", "cart.opened", "--data", "{}"],
        &["append", "cart-7", "", "--data", "{}"],
        &["append", "cart-7", "cart.opened", "--data", "{}", "--metadata", "[1]"],
        &["append", "cart-7", "cart.opened", "--data", "{}", "--schema-version", "0"],
        &["append", "cart-7", "cart.opened", "--data", "{}", "--occurred-at", "yesterday"],
        &["append", "cart-7", "cart.opened"],
    ] {
        for json in [&[][..], &["--json"]] {
            let refused = place.run(&[append, json].concat());
            assert_eq!(refused.exit, 2, "{append:?}: {refused:?}");
            assert!(!refused.stderr.contains("secret"), "{append:?}: {refused:?}");
        }
    }
    assert!(place.json(&["streams"]).is_empty());
}
