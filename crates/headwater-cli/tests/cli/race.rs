use std::{process::Stdio, time::Duration};

use crate::support::{Place, ends_within, lines, signal};

/// What lies in the folder of a place.
fn files(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.folder()).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_race_loses_nothing_and_leaves_the_file_alone() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 1);
    let before = files(&place);
    let arguments = ["race", "--seconds", "2", "--writers", "8", "--followers", "2", "--seed", "7"];
    let ended = place.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(ended.exit, 0, "{ended:?}");
    let answer = &lines(&ended.stdout)[0];
    for key in ["missed", "doubled", "inverted", "by_hand_missed"] {
        assert_eq!(answer[key], 0, "{key}: {answer}");
    }
    assert!(answer["events"].as_u64().unwrap() > 0, "{answer}");
    assert!(answer["late"].as_u64().unwrap() > 0, "{answer}");
    assert_eq!(answer["readers"].as_array().unwrap().len(), 5);
    assert!(ended.stderr.contains("race: 1 of 2 s, "), "{ended:?}");
    assert_eq!(files(&place), before);
    assert_eq!(place.json(&["events"]).len(), 1);
}

#[test]
fn a_log_that_is_not_there_yet_is_not_made() {
    let place = Place::empty();
    std::fs::create_dir(place.folder().join("headwater_race_0")).unwrap();
    let said = place.run(&["race", "--seconds", "1", "--writers", "2", "--no-progress"]);
    assert_eq!((said.exit, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.contains("rm -r ./headwater_race_0"), "{said:?}");
    assert!(said.stdout.contains("`position > last` missed none"), "{said:?}");
    assert_eq!(files(&place), ["headwater_race_0"]);
}

#[test]
fn a_race_that_is_interrupted_removes_its_folder() {
    let place = Place::empty();
    let mut command = place.command(&["race", "--seconds", "60", "--json", "--no-progress"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while files(&place).is_empty() {
        assert!(std::time::Instant::now() < deadline, "the race has not begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "INT");
    let ended = ends_within(child, Duration::from_secs(20));
    assert_eq!((ended.exit, ended.stdout.as_str()), (130, ""), "{ended:?}");
    assert_eq!(ended.error()["code"], "interrupted");
    let refused = place.run(&["race", "--database-url", "sqlite:///no/such/folder/log.db"]);
    assert!(refused.stderr.contains("\nhint: "), "{refused:?}");
    assert!(files(&place).is_empty());
}

#[test]
fn bad_input_is_refused_before_anything_is_made() {
    let place = Place::empty();
    for arguments in [
        ["race", "--writers", "0"],
        ["race", "--writers", "1001"],
        ["race", "--followers", "0"],
        ["race", "--seconds", "0"],
        ["race", "--seconds", "601"],
        ["race", "--seed", "often"],
        ["race", "--database-url", "mysql://127.0.0.1/shop"],
        ["race", "--database-url", "sqlite://"],
        ["race", "--database-url", "sqlite:///no/such/folder/log.db"],
    ] {
        let refused = place.run(&arguments);
        assert_eq!((refused.exit, refused.stdout.as_str()), (2, ""), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.starts_with("error: "), "{refused:?}");
    }
    let refused = place.run(&["race", "--database-url", "sqlite:///no/such/folder/log.db"]);
    assert!(refused.stderr.contains("\nhint: "), "{refused:?}");
    assert!(files(&place).is_empty());
}
