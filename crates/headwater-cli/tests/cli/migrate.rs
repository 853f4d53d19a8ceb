use serde_json::json;

use crate::support::Place;

#[test]
fn migrate_brings_an_empty_place_to_the_newest_schema_and_then_changes_nothing() {
    let place = Place::empty();
    let first = place.json(&["migrate"]);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["from"], 0);
    let newest = first[0]["to"].as_u64().unwrap();
    assert!(newest > 0);
    assert_eq!(place.json(&["migrate"]), [json!({"from": newest, "to": newest})]);
    assert_eq!(place.ok(&["migrate"]), format!("the schema is up to date ({newest})\n"));
}

#[test]
fn migrate_says_in_words_what_it_did() {
    let said = Place::empty().ok(&["migrate"]);
    assert!(said.starts_with("the schema was brought from 0 to "), "{said}");
}

#[test]
fn nothing_else_makes_or_changes_a_schema() {
    let place = Place::empty();
    for command in [&["events"][..], &["streams"], &["projections", "status"]] {
        let ended = place.run(command);
        assert_eq!(ended.exit, 1, "{ended:?}");
        assert!(ended.stderr.contains("headwater migrate"), "{ended:?}");
    }
    let place = place.run(&["migrate", "--json"]);
    assert!(place.stdout.contains("\"from\":0"), "{place:?}");
}
