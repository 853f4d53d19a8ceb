//! `shop projections rebuild --all` where some can be rebuilt and some cannot.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use command::Folder;

#[test]
fn each_build_that_fails_is_named_and_so_are_those_that_end_well() {
    let folder = Folder::new();
    assert_eq!(folder.shop(["projections", "run", "--once"]).code, 0);
    let broken = ["append", "cart-broken", "cart.opened", "--data", "{\"curency\":\"GBP\"}"];
    assert_eq!(folder.shop(broken).code, 0);
    let rebuilt = folder.shop(["projections", "rebuild", "--all", "--no-progress"]);
    assert_eq!(rebuilt.code, 5, "{}", rebuilt.err);
    assert!(rebuilt.err.contains("cart_views could not be rebuilt: event "), "{}", rebuilt.err);
    assert!(rebuilt.err.contains("run it again for cart_views"), "{}", rebuilt.err);
    assert!(rebuilt.out.contains("catalogue_views") && !rebuilt.out.contains("cart_views"));
}

#[test]
fn a_verification_says_of_each_what_it_is() {
    let folder = Folder::new();
    assert_eq!(folder.shop(["projections", "run", "--once"]).code, 0);
    let broken = ["append", "cart-broken", "cart.opened", "--data", "{\"curency\":\"GBP\"}"];
    assert_eq!(folder.shop(broken).code, 0);
    let verified = folder.shop(["projections", "verify", "--all", "--no-progress", "--json"]);
    assert_eq!(verified.code, 5, "{}", verified.err);
    let answers: Vec<serde_json::Value> =
        verified.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| answers.iter().find(|answer| answer["projection"] == name).unwrap();
    assert_eq!(of("catalogue_views")["identical"], true);
    assert_eq!(of("cart_views")["code"], "decode");
    let reason = "cart_views could not be compared: event ";
    assert!(verified.err.contains(reason), "{}", verified.err);
    let list = folder.shop(["projections", "list"]);
    assert!(!list.out.contains("verifying"), "{}", list.out);
}
