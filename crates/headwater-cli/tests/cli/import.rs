use std::{fs, process::Stdio, time::Duration};

use futures_util::TryStreamExt as _;
use headwater::{
    Append,
    ExpectedVersion::{Any, Exact},
    Filter, Limits, Log, NewEvent, Position, Settings, StoredEvent, StreamName,
};
use uuid::Uuid;

use crate::support::{Ended, Place, ends_within, lines, signal};

/// What is not the same any more once somebody parses it, or breaks lines at it.
const DELICATE: [&str; 10] = [
    "null",
    "{}",
    r#"{"nul":"\u0000","half":"\ud800","whole":"\ud83d\ude00"}"#,
    r#"{"b":1.10,"a":18446744073709551616,"c":1e400,"a":-0}"#,
    "[ 1 ,\t2 ]",
    "{\n  \"a\": 1,\r\n  \"b\": 2\r}",
    " {} ",
    "\n[]\n",
    "\"\u{2028}\u{85} ü 😀\"",
    r#""{\"a\":\"\\n\"}""#,
];

async fn open(place: &Place) -> Log {
    headwater::connect(&place.url()).await.unwrap()
}

async fn all(place: &Place) -> Vec<StoredEvent> {
    let log = open(place).await;
    let events = log.read(Filter::all(), Position::START).try_collect().await.unwrap();
    log.close().await;
    events
}

fn stream(name: &str) -> StreamName {
    StreamName::parse(name).unwrap()
}

/// Events of two streams, one by one, with all that an event can have.
async fn fill(place: &Place) {
    let log = open(place).await;
    let time = chrono::DateTime::from_timestamp_micros(-1_234_567).unwrap();
    for (number, json) in DELICATE.into_iter().enumerate() {
        let mut event = NewEvent::from_json("cart.änderung", 3, json);
        event.metadata = (number % 2 == 0).then(|| format!("{{ \"by\":{json}}}"));
        event.correlation_id = (number % 3 == 0).then(Uuid::now_v7);
        event.causation_id = (number % 4 == 0).then(Uuid::now_v7);
        event.occurred_at = (number % 5 == 0).then_some(time);
        let name = if number % 2 == 0 { "cart-ü" } else { "cart-0" };
        log.append(&stream(name), Any, [event]).await.unwrap();
    }
    log.close().await;
}

/// What an import keeps.
fn kept(events: Vec<StoredEvent>) -> Vec<StoredEvent> {
    let without = |event: StoredEvent| StoredEvent {
        position: Position::START,
        recorded_at: event.occurred_at,
        ..event
    };
    events.into_iter().map(without).collect()
}

fn export(place: &Place) -> (String, String) {
    let ended = place.run(&["export", "--json", "--no-progress"]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    (ended.stdout, lines(&ended.stderr)[0]["checksum"].as_str().unwrap().to_owned())
}

fn import(place: &Place, text: &str) -> Ended {
    place.piped(&["import", "--json"], text)
}

/// How many events it appended, and how many were there before.
fn counts(ended: &Ended) -> (u64, u64) {
    assert_eq!(ended.exit, 0, "{ended:?}");
    let answer = &lines(&ended.stdout)[0];
    (answer["appended"].as_u64().unwrap(), answer["there_before"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_store_takes_from_each_what_was_written_byte_for_byte() {
    for from_postgres in [false, true] {
        let from = if from_postgres { Place::in_postgres().await } else { Place::new() };
        fill(&from).await;
        let written = all(&from).await;
        let data: Vec<_> = written.iter().map(|event| event.event.data.as_str()).collect();
        assert_eq!(data, DELICATE);
        let (text, checksum) = export(&from);
        for to_postgres in [false, true] {
            let to = if to_postgres { Place::in_postgres().await } else { Place::new() };
            let imported = import(&to, &text);
            assert_eq!(counts(&imported), (10, 0), "{from_postgres} {to_postgres}");
            assert_eq!(kept(all(&to).await), kept(written.clone()));
            assert_eq!(lines(&imported.stdout)[0]["checksum"], checksum);
            assert_eq!(export(&to).1, checksum);
            // Again, whole and in another cut.
            assert_eq!(counts(&import(&to, &text)), (0, 10));
            let start: String = text.split_inclusive('\n').take(7).collect();
            assert_eq!(counts(&import(&to, &start)), (0, 7));
            assert_eq!(all(&to).await.len(), 10);
        }
        // Into the log itself, which holds no time of its own for some of them.
        assert_eq!(counts(&import(&from, &text)), (0, 10));
        assert_eq!(all(&from).await, written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_where_one_before_has_ended() {
    let from = Place::new();
    let log = open(&from).await;
    for number in 0..1_500 {
        let streams = [format!("cart-{}", number % 7), "till-1".into()];
        let event = || NewEvent::from_json("cart.opened", 1, format!("{{\"n\":{number}}}"));
        let appends = streams.map(|name| Append::new(stream(&name), Any, [event()]));
        log.append_all(appends).await.unwrap();
    }
    log.close().await;
    let (text, checksum) = export(&from);
    let to = Place::new();
    for length in [1, 999, 1_001, 2_222, 3_000] {
        let before = all(&to).await.len() as u64;
        let start: String = text.split_inclusive('\n').take(length).collect();
        assert_eq!(counts(&import(&to, &start)), (length as u64 - before, before));
    }
    assert_eq!(export(&to).1, checksum);
    assert_eq!(kept(all(&to).await), kept(all(&from).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_interrupted_can_be_run_again() {
    let from = Place::new();
    from.fill_with_carts(3);
    let (text, checksum) = export(&from);
    let to = Place::new();
    let mut command = to.command(&["import", "--json", "--no-progress"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let half: String = text.split_inclusive('\n').take(1_500).collect();
    std::io::Write::write_all(&mut input, half.as_bytes()).unwrap();
    let arrived = headwater_testkit::eventually("a first batch", || async {
        let events = all(&to).await.len();
        (events > 0).then_some(events)
    });
    assert_eq!(arrived.await, 1_000);
    signal(&child, "INT");
    let ended = ends_within(child, Duration::from_secs(20));
    assert_eq!((ended.exit, &ended.error()["code"]), (130, &"interrupted".into()));
    let hint = ended.error()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("its first 1000 events are in the log"), "{hint}");
    drop(input);
    assert_eq!(counts(&import(&to, &text)), (2_000, 1_000));
    assert_eq!(export(&to).1, checksum);
}

#[test]
fn a_bad_line_is_named_and_not_shown() {
    let from = Place::new();
    from.fill("cart-1", "cart.opened", 3);
    let (text, _) = export(&from);
    let good: Vec<_> = text.lines().collect();
    for (bad, told) in [
        ("secret".to_owned(), "line 3 is not JSON at column 1"),
        ("{\"secret\":".into(), "line 3 is no event: what ends at column 9 is unknown"),
        (good[2].replace("\"version\":3,", ""), "line 3 has no member `version`"),
        (good[2].replace("\"version\":3", "\"version\":5"), "which follows 2"),
        (good[2].replace("\"version\":3", "\"version\":0"), "line 3 has a version that no"),
        (good[2].replace("{\"number\":2}", "[secret]"), "line 3 is not JSON at column"),
        (good[2].replace("cart.opened", ""), "line 3 cannot be appended: event type name"),
        (good[2].replace("\"data\":", "\"metadata_text\":\"secret\",\"data\":"), "is not JSON"),
        (good[1].replace("\"version\":2", "\"version\":3"), "line 3 has the event id"),
    ] {
        let to = Place::new();
        let refused = import(&to, &[good[0], good[1], &bad].join("\n"));
        assert_eq!((refused.exit, &refused.error()["code"]), (2, &"bad-line".into()), "{bad}");
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(told) && message.contains("line 3 "), "{message}");
        assert!(!refused.stderr.contains("secret"), "{refused:?}");
        assert!(refused.stderr.contains("its first 2 events are in the log"), "{refused:?}");
        // The same line mended.
        assert_eq!(counts(&import(&to, &text)), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_log_is_refused_at_its_line() {
    let from = Place::new();
    from.fill("cart-1", "cart.opened", 1);
    from.fill("cart-2", "cart.opened", 1);
    from.fill("cart-1", "cart.opened", 2);
    let (text, _) = export(&from);
    let ids: Vec<Uuid> = all(&from).await.iter().map(|event| event.id).collect();
    let other = || NewEvent::from_json("cart.opened", 1, "{}");
    let with = |id| NewEvent { id, ..other() };
    let read = lines(&text);
    let same = |index: usize| {
        let mut event = NewEvent::from_json("cart.opened", 1, read[index]["data"].to_string());
        event.id = ids[index];
        event.occurred_at = Some(read[index]["occurred_at"].as_str().unwrap().parse().unwrap());
        event
    };
    // What the log holds before, the line, and how much of the import it holds afterwards.
    type Held = Vec<(&'static str, NewEvent)>;
    let cases: [(Held, &str, &str); 6] = [
        (vec![("cart-1", other())], "line 1 ", "another event than its at version 1"),
        (vec![("cart-1", same(0)), ("cart-1", other())], "line 3 ", "at version 2"),
        (vec![("cart-9", with(ids[1]))], "line 2 ", "is taken by another event"),
        (vec![("cart-2", same(1))], "line 2 ", "and that of line 1 before it was not"),
        (vec![("cart-2", same(1)), ("cart-1", same(0))], "line 2 ", "lies in the log before"),
        (vec![("cart-1", other()), ("cart-1", same(0))], "line 1 ", "another event than its"),
    ];
    for (postgres, (held, line, told)) in [false, true].into_iter().cycle().zip(cases.clone()) {
        let to = if postgres { Place::in_postgres().await } else { Place::new() };
        let log = open(&to).await;
        for (name, event) in &held {
            log.append(&stream(name), Any, [event.clone()]).await.unwrap();
        }
        log.close().await;
        let refused = import(&to, &text);
        assert_eq!((refused.exit, &refused.error()["code"]), (4, &"import-conflict".into()));
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(line) && message.contains(told), "{message}");
        assert_eq!(all(&to).await.len(), held.len(), "{message}");
    }
    // All of it is there, one version further.
    let to = Place::new();
    let log = open(&to).await;
    log.append(&stream("cart-1"), Any, [other(), same(0)]).await.unwrap();
    log.close().await;
    let refused = import(&to, text.lines().next().unwrap());
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("line 1 ") && message.contains("is version 2 of"), "{message}");
    // A stream that is not as far as the line needs.
    let to = Place::new();
    let rest: Vec<_> = text.lines().skip(2).collect();
    let refused = import(&to, &rest.join("\n"));
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("line 1 ") && message.contains("it is at 0"), "{message}");
    // Streams of others are in nobody's way.
    let log = open(&to).await;
    log.append(&stream("till-1"), Exact(0), [other()]).await.unwrap();
    log.close().await;
    assert_eq!(counts(&import(&to, &text)), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_with_larger_limits_took_goes_into_any() {
    let from = Place::new();
    let limits = Limits { event_data: 8 << 20, metadata: 1 << 20, depth: 100, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let log = headwater::connect_with(&from.url(), settings).await.unwrap();
    let mut events = vec![
        NewEvent::from_json("cart.opened", 1, format!("\"{}\"", "x".repeat(5 << 20))),
        NewEvent::from_json("cart.opened", 1, "[".repeat(100) + &"]".repeat(100)),
    ];
    events[0].metadata = Some(format!("{{\n\"a\":\"{}\"}}", "\u{e9}".repeat(200 << 10)));
    for event in events {
        log.append(&stream("cart-1"), Any, [event]).await.unwrap();
    }
    log.close().await;
    let (text, checksum) = export(&from);
    for to in [Place::new(), Place::in_postgres().await] {
        assert_eq!(counts(&import(&to, &text)), (2, 0));
        assert_eq!(export(&to).1, checksum);
    }
}

#[test]
fn what_is_no_input_is_said_before_anything_is_opened() {
    let place = Place::empty();
    for file in ["no/such/file", "."] {
        let refused = place.run(&["import", file]);
        assert_eq!((refused.exit, refused.stdout.as_str()), (2, ""), "{refused:?}");
    }
    fs::write(place.folder().join("empty"), "\n").unwrap();
    assert_eq!(place.run(&["import", "empty"]).exit, 1, "there is no log");
    place.ok(&["migrate"]);
    assert_eq!(counts(&place.run(&["import", "empty", "--json"])), (0, 0));
}
