//! Who may do what with a shop that serves: those on its machine, those in the network, pages of other sites.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use command::{Folder, Serving, shop};

const OFFER: &str =
    r#"{"sku":"tea","title":"Tea","category":"tea","price":{"amount":100,"currency":"USD"}}"#;

fn serve(folder: &Folder, more: &[&str]) -> Serving {
    Serving::start(shop(&folder.log()).args(["web", "--port", "0"]).args(more))
}

/// What is appended the shop's aggregates decide: an event of another form would stop its projections.
#[test]
fn on_its_machine_the_catalogue_is_changed_and_the_log_read_and_not_written() {
    let folder = Folder::new();
    let shop = serve(&folder, &["--origin", "https://coffee.example"]);
    assert_eq!(shop.post("/products", "application/json", OFFER), 201);
    let event = r#"{"type":"button.clicked","data":{"nope":1}}"#;
    assert_eq!(shop.post("/log/streams/session-x", "application/json", event), 403);
    assert!(shop.get("/log/all").0.contains(" 200 "));
    assert!(shop.get("/metrics").0.contains(" 200 "));
    let asked = shop.ask(
        "OPTIONS /log/all HTTP/1.1\r\nhost: localhost\r\norigin: https://coffee.example\r\n\
         access-control-request-method: GET\r\naccess-control-request-headers: last-event-id\r\n\
         connection: close\r\n\r\n",
    );
    let asked = asked.to_lowercase();
    assert!(asked.contains("access-control-allow-origin: https://coffee.example"), "{asked}");
    assert!(asked.contains("last-event-id"), "{asked}");
}

/// S-5: the first message of the feed is the first event.
#[test]
fn s_05_the_feed_begins_where_it_is_told() {
    let folder = Folder::new();
    let shop = serve(&folder, &[]);
    assert_eq!(shop.post("/products", "application/json", OFFER), 201);
    let first = shop.first_of("/feed?from=0", "id: ");
    assert_eq!(first, "id: 1");
}

#[test]
fn the_network_buys_and_does_nothing_else() {
    let folder = Folder::new();
    let shop = serve(&folder, &["--host", "0.0.0.0"]);
    assert_eq!(shop.post("/carts", "application/json", r#"{"currency":"USD"}"#), 201);
    assert_eq!(shop.post("/products", "application/json", OFFER), 403);
    for path in ["/metrics", "/log/all", "/feed?from=0", "/log/projections"] {
        let (head, body) = shop.get(path);
        assert!(head.contains(" 403 ") && body.contains("/problems/forbidden"), "{path}: {head}");
    }
    assert!(shop.get("/problems/forbidden").0.contains(" 200 "));
}
