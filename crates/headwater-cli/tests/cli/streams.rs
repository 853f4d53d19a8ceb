use crate::support::Place;

fn shop() -> Place {
    let place = Place::new();
    place.fill("cart-2", "cart.opened", 1);
    place.fill("cart-1", "cart.opened", 3);
    place.fill("order-1", "order.placed", 1);
    place
}

#[test]
fn streams_are_listed_by_name() {
    let place = shop();
    let names = |arguments: &[&str]| -> Vec<String> {
        let streams = place.json(arguments);
        streams.iter().map(|stream| stream["stream"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["streams"]), ["cart-1", "cart-2", "order-1"]);
    assert_eq!(names(&["streams", "--category", "cart"]), ["cart-1", "cart-2"]);
    assert_eq!(names(&["streams", "--limit", "2"]), ["cart-1", "cart-2"]);
    assert!(names(&["streams", "--category", "car"]).is_empty());
    let first = &place.json(&["streams"])[0];
    assert_eq!((&first["category"], &first["version"]), (&"cart".into(), &3.into()));
    assert!(first["first_at"].as_str() <= first["last_at"].as_str());
    let shown = place.ok(&["streams"]);
    assert!(shown.starts_with("STREAM ") && shown.lines().count() == 4, "{shown}");
}

#[test]
fn a_stream_is_shown_in_both_directions() {
    let place = shop();
    let versions = |more: &[&str]| -> Vec<u64> {
        let events = place.json(&[&["stream", "show", "cart-1"], more].concat());
        events.iter().map(|event| event["version"].as_u64().unwrap()).collect()
    };
    assert_eq!(versions(&[]), [1, 2, 3]);
    assert_eq!(versions(&["--from", "2"]), [2, 3]);
    assert_eq!(versions(&["--backward"]), [3, 2, 1]);
    assert_eq!(versions(&["--backward", "--from", "2"]), [2, 1]);
    assert_eq!(versions(&["--limit", "1"]), [1]);
    assert!(place.ok(&["stream", "show", "cart-1"]).contains("cart.opened"));
}

#[test]
fn a_stream_that_is_not_there_is_said_to_be_missing() {
    let ended = shop().run(&["stream", "show", "cart-9", "--json"]);
    assert_eq!(ended.exit, 2);
    assert_eq!(ended.error()["code"], "unknown-stream");
}
