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
    let well = rebuilt.err.split("these have ended well: ").nth(1).unwrap();
    assert!(well.contains("catalogue_views") && !well.contains("cart_views"), "{well}");
}
