//! Appending: expected versions, versions without holes, many streams at once.

use futures_util::future::join_all;
use headwater::{
    Append, Error,
    ExpectedVersion::{self, Any, Exact, None},
    NewEvent, Position,
};

use super::Harness;
use crate::fixtures::{all, append, append_to, collect, event, events, positions, refused, stream};

fn one(name: &str, expected: ExpectedVersion) -> Append {
    Append::new(stream(name), expected, [event(1)])
}

/// Each expected version, on a stream that does not exist and on one at version 3.
pub async fn an_append_is_applied_where_its_expected_version_holds(harness: &dyn Harness) {
    let log = harness.log();
    let cases = [Any, None, Exact(0), Exact(1), Exact(2), Exact(3), Exact(4), Exact(u64::MAX)];
    for (n, expected) in cases.into_iter().enumerate() {
        for version in [0, 3] {
            let name = format!("thing-{n}-{version}");
            if version > 0 {
                append_to(log, &name, version).await;
            }
            if expected.holds_at(version) {
                let appended = log.append_all([one(&name, expected)]).await;
                let appended = appended.unwrap_or_else(|e| panic!("{expected} at {version}: {e}"));
                assert_eq!((appended.version(), appended.repeated), (version + 1, false));
            } else {
                let error = refused(log, [one(&name, expected)]).await;
                let stream = stream(&name);
                assert_eq!(error, Error::VersionConflict { stream, expected, actual: version });
            }
        }
    }
}

/// A conflict tells the version at the moment of the append, not the one believed.
pub async fn a_conflict_leaves_no_stream_behind(harness: &dyn Harness) {
    let log = harness.log();
    refused(log, [one("thing-1", Exact(7))]).await;
    assert_eq!(log.stream_info(&stream("thing-1")).await, Ok(Option::None));
    assert_eq!(append_to(log, "thing-1", 1).await.version(), 1);
}

/// Versions count on over several appends, and a refused one takes none.
pub async fn versions_are_1_2_3_without_holes(harness: &dyn Harness) {
    let log = harness.log();
    for (count, version) in [(1, 1), (3, 4), (1, 5), (20, 25)] {
        assert_eq!(append_to(log, "thing-1", count).await.version(), version);
        refused(log, [one("thing-1", None)]).await;
    }
    let read = collect(log.read_stream(&stream("thing-1"), 1)).await;
    assert_eq!(crate::fixtures::versions(&read), (1..=25).collect::<Vec<_>>());
}

/// What the append reports is where the events are found.
pub async fn positions_rise_in_the_order_of_the_append(harness: &dyn Harness) {
    let log = harness.log();
    let first = append_to(log, "thing-1", 5).await;
    let second = append_to(log, "thing-2", 5).await;
    let reported: Vec<Position> =
        [&first, &second].iter().flat_map(|a| a.streams[0].positions.clone()).collect();
    assert!(reported.is_sorted_by(|a, b| a < b), "{reported:?}");
    assert!(reported[0] > Position::START);
    assert_eq!(positions(&all(log).await), reported.iter().map(|p| p.0).collect::<Vec<_>>());
    assert_eq!(second.position(), reported[9]);
}

/// One stream of four is elsewhere: none of the four changes, and the error names that one.
pub async fn an_append_to_many_streams_is_all_or_nothing(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-c", 2).await;
    let four = |expected| {
        [
            Append::new(stream("thing-d"), None, events(2)),
            Append::new(stream("thing-c"), expected, events(3)),
            Append::new(stream("thing-b"), Any, events(1)),
            Append::new(stream("other-a"), Exact(0), events(2)),
        ]
    };
    let error = refused(log, four(Exact(1))).await;
    let stream_c = stream("thing-c");
    assert_eq!(error, Error::VersionConflict { stream: stream_c, expected: Exact(1), actual: 2 });
    let appended = log.append_all(four(Exact(2))).await.expect("each version holds");
    let reached: Vec<_> = appended.streams.iter().map(|s| (s.version, s.positions.len())).collect();
    assert_eq!(reached, [(2, 2), (5, 3), (1, 1), (2, 2)]);
}

/// Two streams are elsewhere: the error names the first of them in the order given.
pub async fn a_conflict_names_the_first_stream_that_is_elsewhere(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-a", 1).await;
    append_to(log, "thing-z", 4).await;
    let error =
        refused(log, [one("thing-m", None), one("thing-z", Exact(3)), one("thing-a", Exact(9))])
            .await;
    let stream_z = stream("thing-z");
    assert_eq!(error, Error::VersionConflict { stream: stream_z, expected: Exact(3), actual: 4 });
}

/// Whatever order the store locks streams in, the log shows the writer's.
pub async fn events_of_one_append_lie_in_the_log_in_the_order_given(harness: &dyn Harness) {
    let log = harness.log();
    let appends = [append("thing-z", 2), append("thing-a", 2), append("other-m", 1)];
    let ids: Vec<_> = appends.iter().flat_map(|a| a.events.iter().map(|e| e.id)).collect();
    log.append_all(appends).await.expect("a plain append is applied");
    let read: Vec<_> = all(log).await.into_iter().map(|event| event.id).collect();
    assert_eq!(read, ids);
}

/// A stream may come again, so that events of several streams lie between each other.
pub async fn a_stream_that_comes_again_in_an_append_goes_on(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-a", 3).await;
    let appends = [
        Append::new(stream("thing-z"), None, events(2)),
        one("thing-a", Exact(3)),
        append("thing-z", 1),
        append("thing-a", 2),
        append("thing-z", 1),
    ];
    let ids: Vec<_> = appends.iter().flat_map(|a| a.events.iter().map(|e| e.id)).collect();
    let applied = log.append_all(appends.clone()).await.expect("it expects what is there");
    let versions = |appended: &headwater::Appended| -> Vec<_> {
        appended.streams.iter().map(|stream| stream.version).collect()
    };
    assert_eq!(versions(&applied), [2, 4, 3, 6, 4]);
    let read: Vec<_> = all(log).await.into_iter().skip(3).collect();
    assert_eq!(read.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    assert_eq!(crate::fixtures::versions(&read), [1, 2, 4, 3, 5, 6, 4]);
    let again = log.append_all(appends).await.expect("it is recognised");
    assert!(again.repeated);
    assert_eq!(again.streams, applied.streams);
    let conflict =
        refused(log, [append("thing-z", 1), one("thing-a", Exact(5)), append("thing-z", 1)]);
    let stream_a = stream("thing-a");
    assert_eq!(
        conflict.await,
        Error::VersionConflict { stream: stream_a, expected: Exact(5), actual: 6 }
    );
    assert_eq!(all(log).await.len(), 10);
}

/// Sixteen writers on one stream, each at any version.
pub async fn concurrent_appends_leave_no_hole_in_a_stream(harness: &dyn Harness) {
    let log = harness.log();
    let writer = |_| async {
        for count in 1..=10 {
            append_to(log, "thing-1", count % 3 + 1).await;
        }
    };
    join_all((0..16).map(writer)).await;
    let read = collect(log.read_stream(&stream("thing-1"), 1)).await;
    let count = u64::try_from(read.len()).expect("a test is small");
    assert_eq!(crate::fixtures::versions(&read), (1..=count).collect::<Vec<_>>());
    assert!(positions(&read).is_sorted_by(|a, b| a < b), "a later version lies further on");
}

/// Eight writers expect the same version, again and again; each round has one winner.
pub async fn of_writers_with_one_expected_version_exactly_one_wins(harness: &dyn Harness) {
    let log = harness.log();
    for version in 0..10 {
        let rivals = (0..8).map(|_| log.append_all([one("thing-1", Exact(version))]));
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(rivals).await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 7), "round {version}: {lost:?}");
        for error in lost.into_iter().filter_map(Result::err) {
            let expected = Exact(version);
            let (stream, actual) = (stream("thing-1"), version + 1);
            assert_eq!(error, Error::VersionConflict { stream, expected, actual });
        }
    }
}

/// Appends that name the same streams in opposite orders wait for each other and never for ever.
pub async fn appends_to_the_same_streams_in_opposite_orders_do_not_deadlock(harness: &dyn Harness) {
    let log = harness.log();
    let writer = |n: usize| async move {
        for _ in 0..20 {
            let mut appends =
                vec![append("thing-a", 1), append("thing-b", 1), append("thing-c", 1)];
            appends.rotate_left(n % 3);
            if n.is_multiple_of(2) {
                appends.reverse();
            }
            log.append_all(appends).await.expect("no append is the victim of another");
        }
    };
    join_all((0..12).map(writer)).await;
    for name in ["thing-a", "thing-b", "thing-c"] {
        let info = log.stream_info(&stream(name)).await.expect("the log answers");
        assert_eq!(info.map(|info| info.version), Some(240), "{name}");
    }
}

/// Appends that travel to the database together fail or succeed each for itself.
pub async fn a_refused_append_takes_no_other_with_it(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-known", 1).await;
    let taken = NewEvent::from_json("thing.happened", 1, "{}");
    log.append(&stream("thing-taken"), Any, [taken.clone()]).await.expect("it is applied");
    let mixed = (0..120_u64).map(|n| {
        let name = format!("thing-{n}");
        let append = match n % 4 {
            0 => one("thing-known", None),
            1 => Append::new(stream(&name), Any, [taken.clone()]),
            2 => Append::new(stream(&name), Any, [NewEvent::from_json("a.b", 1, "no json")]),
            _ => Append::new(stream(&name), None, events(2)),
        };
        log.append_all([append])
    });
    for (n, result) in join_all(mixed).await.into_iter().enumerate() {
        match (n % 4, result) {
            (0, Err(Error::VersionConflict { actual: 1, .. }))
            | (1, Err(Error::IdempotencyConflict { .. }))
            | (2, Err(Error::InvalidInput(_))) => {}
            (3, Ok(appended)) => assert_eq!(appended.version(), 2),
            (_, other) => panic!("append {n}: {other:?}"),
        }
    }
    assert_eq!(all(log).await.len(), 2 + 60);
}

/// A few writers send what all callers bring, and no append leaves a task of its own.
pub async fn appends_under_load_leave_no_tasks_behind(harness: &dyn Harness) {
    let (log, tasks) = (harness.log(), tokio::runtime::Handle::current().metrics());
    let callers = 200;
    let caller = async |n| {
        let mut most = 0;
        for round in 0..15 {
            append_to(log, &format!("thing-{n}-{round}"), 1).await;
            most = most.max(tasks.num_alive_tasks());
        }
        most
    };
    let most = join_all((0..callers).map(caller)).await.into_iter().max().unwrap_or(0);
    assert!(most < callers / 4, "{most} tasks for {callers} callers");
}
