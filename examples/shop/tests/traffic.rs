//! `shop traffic`: who comes, and what is told of it.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::collections::BTreeMap;

use command::Folder;
use serde_json::Value;

/// How many events of each type the log holds.
fn held(folder: &Folder) -> BTreeMap<String, u64> {
    let mut held = BTreeMap::new();
    for line in folder.shop(["events", "--json"]).out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        *held.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    held
}

/// Sends visitors, and yields how many events of each type they say they have added.
fn told(folder: &Folder, more: &[&str]) -> BTreeMap<String, u64> {
    let sent = ["traffic", "--rps", "200", "--visitors", "20", "--duration", "2s", "--json"];
    let sent = folder.shop([&sent[..], more].concat()).json();
    let told: BTreeMap<String, u64> = serde_json::from_value(sent["types"].clone()).unwrap();
    assert_eq!(sent["events"].as_u64(), Some(told.values().sum()));
    told
}

/// The second time goes on behind the first, and tells what it has added itself.
#[test]
fn what_is_told_is_what_is_in_the_log() {
    let folder = Folder::new();
    let first = told(&folder, &[]);
    assert_eq!(first, held(&folder));
    assert!(first["order.placed"] > 0 && first["product.listed"] == 9, "{first:?}");
    let mut both = told(&folder, &[]);
    assert!(!both.contains_key("product.listed"), "{both:?}");
    first.into_iter().for_each(|(name, count)| *both.entry(name).or_default() += count);
    assert_eq!(both, held(&folder));
}

#[test]
fn those_come_whom_the_mix_names() {
    let folder = Folder::new();
    let browsers = told(&folder, &["--mix", "browser=1"]);
    assert!(browsers["product.viewed"] > 0, "{browsers:?}");
    assert!(!browsers.keys().any(|name| name.starts_with("cart.")), "{browsers:?}");
    let cancellers = told(&folder, &["--mix", "canceller=1"]);
    assert!(cancellers["order.cancelled"] > 0, "{cancellers:?}");

    let wrong = folder.shop(["traffic", "--mix", "thief=1"]);
    assert!(wrong.code == 2 && wrong.err.contains("browser=70"), "{wrong:?}");
    let wrong = folder.shop(["traffic", "--duration", "soon"]);
    assert!(wrong.code == 2 && wrong.err.contains("a length of time is"), "{wrong:?}");
}
