use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use serde_json::json;

use crate::support::{Place, ends_within, lines, signal};

fn service() -> Place {
    let place = Place::new().into_service();
    for (stream, currency) in [("cart-1", "GBP"), ("cart-2", "USD"), ("cart-3", "GBP")] {
        let data = json!({"currency": currency}).to_string();
        place.ok(&["append", stream, "cart.opened", "--data", &data]);
    }
    place
}

#[test]
fn a_program_without_projections_says_that_it_cannot_rebuild() {
    let place = Place::new();
    for command in [&["rebuild", "--all"][..], &["rebuild", "carts"], &["run"]] {
        let refused = place.run(&[&["projections"], command, &["--json"]].concat());
        assert_eq!(refused.exit, 2, "{refused:?}");
        assert_eq!(refused.error()["code"], "needs-service");
        assert!(refused.error()["message"].as_str().unwrap().contains("service's own binary"));
    }
    assert_eq!(place.ok(&["projections", "list"]), "there are no projections yet\n");
    assert!(place.json(&["projections", "status"]).is_empty());
}

#[test]
fn rebuild_wants_names_or_all_of_them() {
    let place = service();
    for arguments in [&["projections", "rebuild"][..], &["projections", "rebuild", "a", "--all"]] {
        assert_eq!(place.run(arguments).exit, 2);
    }
    let unknown = place.run(&["projections", "rebuild", "curencies", "--json"]);
    assert_eq!(unknown.exit, 2);
    assert_eq!(unknown.error()["code"], "unknown-projection");
}

#[test]
fn projections_run_once_and_show_where_they_stand() {
    let place = service();
    let before = &place.json(&["projections", "list"])[0];
    assert_eq!(
        (&before["projection"], &before["state"]),
        (&"currencies".into(), &"not-begun".into())
    );
    place.ok(&["projections", "run", "--once"]);
    let rows = place.json(&["currencies"]);
    assert_eq!(
        rows,
        [json!({"currency": "GBP", "carts": 2}), json!({"currency": "USD", "carts": 1})]
    );
    let expected = json!({
        "projection": "currencies", "generation": 1, "state": "live",
        "position": 3, "head": 3, "lag": 0, "inline": false, "paused": false, "held_back": false, "parked": 0, "skips": 0,
        "owner": null, "failure": null,
    });
    assert_eq!(place.json(&["projections", "status"]), [expected]);
    assert!(place.ok(&["projections", "status"]).contains("up to date"));
}

#[test]
fn the_bare_binary_knows_projections_by_their_checkpoints() {
    let place = service();
    place.ok(&["projections", "run", "--once"]);
    let by_service = place.json(&["projections", "status"]);
    let bare = place.into_bare();
    assert_eq!(bare.json(&["projections", "status"]), by_service);
    let listed = &bare.json(&["projections", "list"])[0];
    assert_eq!((&listed["projection"], &listed["generation"]), (&"currencies".into(), &1.into()));
    assert_eq!((&listed["failed"], &listed["position"]), (&false.into(), &3.into()));
    assert!(listed["updated_at"].is_string());
}

#[test]
fn rebuild_makes_the_next_generation_and_says_so() {
    let place = service();
    place.ok(&["projections", "run", "--once"]);
    let before = place.json(&["currencies"]);
    let ended = place.run(&["projections", "rebuild", "--all", "--json"]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    let rebuilt = &lines(&ended.stdout)[0];
    assert_eq!((&rebuilt["projection"], &rebuilt["generation"]), (&"currencies".into(), &2.into()));
    assert_eq!((&rebuilt["events"], &rebuilt["resumed"]), (&3.into(), &false.into()));
    assert!(rebuilt["seconds"].is_number() && rebuilt["events_per_second"].is_number());
    assert!(ended.stderr.contains("currencies: 3 events in "), "{ended:?}");
    assert_eq!(place.json(&["currencies"]), before);
    let quiet = place.run(&["projections", "rebuild", "currencies", "--no-progress"]);
    assert_eq!((quiet.exit, quiet.stderr.as_str()), (0, ""));
    assert!(quiet.stdout.starts_with("PROJECTION"), "{quiet:?}");
}

#[test]
fn a_projection_that_stands_still_is_an_exit_code_with_its_position() {
    let place = service();
    place.ok(&["append", "cart-4", "cart.opened", "--data", "{\"secret\":1}"]);
    let run = place.run(&["projections", "run", "--once", "--json"]);
    assert_eq!(run.exit, 5, "{run:?}");
    let status = place.run(&["projections", "status", "--json"]);
    assert_eq!(status.exit, 5, "{status:?}");
    let error = status.error();
    assert_eq!(error["code"], "projection-failed");
    assert!(error["message"].as_str().unwrap().contains("currencies stands still at position 4"));
    let failure = &lines(&status.stdout)[0]["failure"];
    assert_eq!((&failure["position"], &failure["code"]), (&4.into(), &"decode".into()));
    assert!(failure["event_id"].is_string() && failure["error"].is_string());
    let people = place.run(&["projections", "status"]);
    assert!(people.stdout.contains("stands still"), "{people:?}");
    let rebuild = place.run(&["projections", "rebuild", "--all", "--json"]);
    assert_eq!(rebuild.exit, 5, "{rebuild:?}");
    for ended in [run, status, people, rebuild] {
        assert!(!ended.stderr.contains("secret") && !ended.stdout.contains("secret"), "{ended:?}");
    }
}

#[test]
fn a_rebuild_that_is_interrupted_goes_on_when_it_is_run_again() {
    let place = Place::new().into_service();
    place.fill_with_carts(50);
    let rebuild = ["projections", "rebuild", "--all"];
    let mut command = place.command(&rebuild);
    command.arg("--json");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut progress = String::new();
    stderr.read_line(&mut progress).unwrap();
    assert!(progress.starts_with("currencies: "), "{progress}");
    signal(&child, "INT");
    let ended = ends_within(child, Duration::from_secs(2));
    let said = stderr.lines().last().unwrap().unwrap();
    assert_eq!((ended.exit, ended.stdout.as_str()), (130, ""), "{said}");
    assert!(said.contains("\"interrupted\"") && said.contains("goes on"), "{said}");
    let rebuilt = place.json(&rebuild);
    assert_eq!(rebuilt[0]["resumed"], true);
    assert_eq!(place.json(&["currencies"]), [json!({"currency": "GBP", "carts": 50_000})]);
}

#[test]
fn beside_a_build_that_is_held_back_no_other_one_comes_into_service() {
    let place = service();
    place.ok(&["projections", "run", "--once"]);
    let held = place.json(&["projections", "rebuild", "currencies", "--hold"]);
    assert_eq!((&held[0]["generation"], &held[0]["held_back"]), (&json!(2), &json!(true)));
    for command in ["rebuild", "rollback"] {
        let refused = place.run(&["projections", command, "currencies", "--json"]);
        assert_eq!((refused.exit, &refused.error()["code"]), (2, &json!("build-waits")));
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("`projections promote`") && message.contains("`projections drop"));
    }
    let verified = place.json(&["projections", "verify", "--all"]);
    assert_eq!((&verified[0]["identical"], &verified[0]["generation"]), (&json!(true), &json!(1)));
    assert_eq!(
        place.run(&["projections", "rebuild", "currencies", "--hold"]).exit,
        0,
        "it goes on"
    );
    let acts = place.json(&["projections", "history"]);
    let details = acts.iter().map(|act| {
        assert_eq!((&act["action"], &act["generation"]), (&json!("rebuild"), &json!(2)));
        act["detail"].as_str().unwrap()
    });
    assert_eq!(
        details.collect::<Vec<_>>(),
        [
            "of a build that was left, to be held back",
            "by a program beside the instances, to be held back"
        ]
    );
}

#[test]
fn a_projection_that_an_operator_has_moved_is_told_of_until_it_is_rebuilt() {
    let place = service();
    place.ok(&["projections", "run", "--once"]);
    assert_eq!(place.run(&["projections", "status"]).exit, 0);
    place.ok(&["projections", "seek", "currencies", "1", "--yes"]);
    let status = place.run(&["projections", "status", "currencies", "--json"]);
    assert_eq!((status.exit, &status.error()["code"]), (5, &json!("events-skipped")));
    let found = place.json(&["doctor"]);
    assert!(found.iter().any(|one| one["finding"] == "events-skipped"), "{found:?}");
    place.ok(&["projections", "run", "--once"]);
    place.ok(&["projections", "rebuild", "currencies"]);
    assert_eq!(place.run(&["projections", "status"]).exit, 0);
    let found = place.json(&["doctor"]);
    assert!(!found.iter().any(|one| one["finding"] == "events-skipped"), "{found:?}");
}
