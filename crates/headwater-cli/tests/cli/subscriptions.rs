use serde_json::json;

use crate::support::{Place, ends_within, lines};

/// What `events` shows under the name `mailer`: the versions of a stream that nobody else writes to.
fn shown(place: &Place, limit: &str) -> Vec<u64> {
    let arguments = ["events", "--follow", "--subscription", "mailer", "--limit", limit, "--json"];
    let version = |event: &serde_json::Value| event["version"].as_u64().unwrap();
    lines(&place.ok(&arguments)).iter().map(version).collect()
}

fn place_with(events: usize) -> Place {
    let place = Place::new();
    for _ in 0..events {
        place.ok(&["append", "cart-1", "cart.opened", "--data", "{}"]);
    }
    place
}

#[test]
fn what_was_shown_under_a_name_is_not_shown_again() {
    let place = place_with(5);
    assert_eq!(place.ok(&["subscriptions", "list"]), "there are no subscriptions under a name\n");
    assert!(place.json(&["subscriptions", "list"]).is_empty());
    assert_eq!(shown(&place, "2"), [1, 2]);
    assert_eq!(shown(&place, "1"), [3]);
    let listed = &place.json(&["subs", "ls"])[0];
    assert!(listed["updated_at"].is_string(), "{listed}");
    let stands = ["subscription", "position", "lag", "of_this_log"].map(|key| &listed[key]);
    assert_eq!(stands, [&json!("mailer"), &json!(3), &json!(2), &json!(true)]);
    assert!(place.ok(&["subscriptions", "list"]).contains("mailer"));
    assert_eq!(shown(&place, "2"), [4, 5]);
    place.ok(&["append", "cart-1", "cart.opened", "--data", "{}"]);
    let rest = ["events", "--subscription", "mailer"];
    assert_eq!(place.json(&rest).len(), 1, "without --follow it ends with the log");
    assert!(place.json(&rest).is_empty());
}

#[test]
fn a_follower_goes_on_from_where_an_operator_has_put_it() {
    let place = place_with(3);
    let follow = ["events", "--follow", "--subscription", "mailer", "--limit", "5", "--json"];
    let follower = place.command(&follow).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let there = || place.json(&["subscriptions", "list"]);
    while there().first().is_none_or(|at| at["position"] != 3) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.ok(&["subscriptions", "seek", "mailer", "1", "--yes"]);
    // Nobody appends meanwhile.
    let ended = ends_within(follower, std::time::Duration::from_secs(10));
    let versions: Vec<_> = lines(&ended.stdout).iter().map(|e| e["version"].clone()).collect();
    assert_eq!((ended.exit, versions), (0, vec![1.into(), 2.into(), 3.into(), 2.into(), 3.into()]));
}

#[test]
fn a_subscription_is_moved_and_removed_with_a_record() {
    let place = place_with(3);
    assert_eq!(shown(&place, "3"), [1, 2, 3]);
    for unsure in [&["seek", "mailer", "1"][..], &["rm", "mailer"]] {
        let refused = place.run(&[&["subscriptions"], unsure, &["--json"]].concat());
        assert_eq!((refused.exit, &refused.error()["code"]), (2, &json!("invalid-input")));
    }
    let beyond = place.run(&["subscriptions", "seek", "mailer", "4", "--yes", "--json"]);
    assert_eq!((beyond.exit, &beyond.error()["code"]), (2, &json!("invalid-input")));
    let moved = place.json(&["subscriptions", "seek", "mailer", "1", "--yes"]);
    assert_eq!(moved, [json!({"subscription": "mailer", "action": "seek", "position": 1})]);
    assert_eq!(shown(&place, "2"), [2, 3]);
    assert_eq!(place.ok(&["subscriptions", "rm", "mailer", "--yes"]), "mailer is gone\n");
    assert!(place.json(&["subscriptions", "list"]).is_empty());
    let acts = place.json(&["subscriptions", "history", "mailer"]);
    let act = |act: &serde_json::Value| (act["action"].clone(), act["detail"].clone());
    let acts: Vec<_> = acts.iter().map(act).collect();
    let act = |action: &str, detail: &str| (json!(action), json!(detail));
    let removed = act("remove subscription", "from position 3");
    assert_eq!(acts, [removed, act("seek subscription", "from position 3 to 1")]);
    assert!(place.json(&["projections", "history"]).is_empty(), "it is none of theirs");
    assert_eq!(shown(&place, "3"), [1, 2, 3]);
}

#[test]
fn an_unknown_subscription_is_told_with_the_nearest_names() {
    let place = place_with(1);
    shown(&place, "1");
    place.ok(&["events", "--subscription", "archive"]);
    for act in
        [&["seek", "mialer", "0", "--yes"][..], &["rm", "mialer", "--yes"], &["history", "mialer"]]
    {
        let refused = place.run(&[&["subscriptions"], act, &["--json"]].concat());
        assert_eq!((refused.exit, &refused.error()["code"]), (2, &json!("unknown-subscription")));
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "there is no subscription mialer; known: mailer, archive");
    }
    let empty = place.run(&["events", "--follow", "--subscription", "", "--json"]);
    assert_eq!((empty.exit, &empty.error()["code"]), (2, &json!("invalid-name")));
}
