use headwater_testkit::postgres::direct;

use crate::support::{Ended, Place};

fn at(url: &str, arguments: &[&str]) -> Ended {
    let place = Place::empty();
    place.command(arguments).env("DATABASE_URL", url).output().unwrap().into()
}

/// A port that was free a moment ago, on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_store_that_cannot_be_reached_is_to_be_tried_again_and_shows_no_password() {
    let url = format!("postgres://app:s3cret@127.0.0.1:{}/shop", closed_port());
    for command in [&["events"][..], &["migrate"], &["projections", "status"]] {
        let ended = at(&url, command);
        assert_eq!(ended.exit, 3, "{ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
        assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
        let ended = at(&url, &[command, &["--json"]].concat());
        assert_eq!(ended.exit, 3);
        assert_eq!(ended.error()["code"], "unavailable");
        assert_eq!(ended.error()["kind"], "retry");
        assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
    }
}

#[test]
fn no_password_is_shown_wherever_it_stands() {
    let url = "postgres://app:s3cret@127.0.0.1:1/shop";
    for arguments in [
        &["--help"][..],
        &["events", "--help"],
        &["projections", "rebuild", "--help"],
        &[url],
        &["events", url],
        &["events", "--json", url],
        &["--database-url", url, "evnts"],
        &["events", "--limit", url],
        &["events", "--database-url", "postgres://app:s3cret@[/shop"],
        &["events", "--database-url", "mysql://app:s3cret@127.0.0.1/shop"],
        &["events", "--database-url", "postgres://127.0.0.1:1/shop?password=s3cret"],
    ] {
        let place = Place::empty();
        let mut command = place.command(arguments);
        command.env("DATABASE_URL", url).env("HEADWATER_LOG", "trace");
        let ended = Ended::from(command.output().unwrap());
        assert!(!format!("{ended:?}").contains("s3cret"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_database_that_is_not_named_is_bad_usage() {
    let ended = at("", &["events", "--json"]);
    assert_eq!(ended.exit, 2);
    assert_eq!(ended.error()["code"], "no-database");
    let ended = at("", &["events"]);
    assert!(ended.stderr.contains("hint: ") && ended.stderr.contains("DATABASE_URL"), "{ended:?}");
}

#[test]
fn bad_usage_is_reported_in_the_wanted_form() {
    let place = Place::empty();
    let people = place.run(&["evnts"]);
    assert_eq!(people.exit, 2);
    assert!(people.stderr.starts_with("error: ") && people.stderr.contains("Usage:"), "{people:?}");
    let program = place.run(&["evnts", "--json"]);
    assert_eq!(program.exit, 2);
    assert_eq!(program.stderr.lines().count(), 1, "{program:?}");
    assert_eq!(program.error()["code"], "usage");
    for arguments in [&["events", "--backward", "--follow"][..], &["stream", "show"]] {
        assert_eq!(place.run(arguments).exit, 2, "{arguments:?}");
    }
}

#[test]
fn where_no_command_was_chosen_the_help_shows_what_there_is() {
    let place = Place::empty();
    for (arguments, usage, examples) in [
        (&[][..], "Usage: headwater [OPTIONS] <COMMAND>", "headwater migrate"),
        (&["projections"], "Usage: headwater projections [OPTIONS] <COMMAND>", "rebuild"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.exit, 2);
        assert!(ended.stderr.contains(usage) && ended.stderr.contains(examples), "{ended:?}");
    }
}

#[test]
fn a_file_that_is_no_log_is_one_sentence() {
    let place = Place::empty();
    let ended = at("sqlite:///no/such/folder/log.db", &["migrate"]);
    assert!([1, 2, 3].contains(&ended.exit), "{ended:?}");
    assert!(ended.stderr.starts_with("error: ") && !ended.stderr.contains("panicked"), "{ended:?}");
    // A slip in the name must not leave an empty file behind.
    assert_eq!(place.run(&["events"]).exit, 1);
    let migrated = place.json(&["migrate"]);
    assert_eq!(migrated[0]["from"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_and_acts_that_the_database_does_not_answer_end_within_six_seconds() {
    let place = Place::in_postgres().await;
    place.ok(&["migrate"]);
    place.fill("cart-1", "cart.opened", 1);
    let place = place.into_service();
    let mut blocker = direct(&place.url()).await;
    let lock =
        "begin; lock table headwater.checkpoints, headwater.subscriptions, headwater.operations";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let asks = |command: &&&[&str]| ["projections", "subscriptions"].contains(&command[0]);
    // It waits for as long as it takes.
    let quick = |command: &&&[&str]| command[1] != "run";
    let ask = |command: &&[&str]| {
        let begun = std::time::Instant::now();
        let ended = place.run(command);
        let took = begun.elapsed();
        assert_eq!(ended.exit, 3, "{command:?}: {ended:?}");
        assert!(took < std::time::Duration::from_secs(6), "{command:?} took {took:?}: {ended:?}");
    };
    let commands: Vec<_> = COMMANDS.iter().filter(asks).filter(quick).copied().collect();
    four_at_a_time(&commands, ask);
    sqlx::raw_sql("rollback").execute(&mut blocker).await.unwrap();
    let lock = "begin; lock table headwater.leases, headwater.instances";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let builds = |command: &&&[&str]| ["rebuild", "verify"].contains(&command[1]);
    let builds: Vec<_> = commands.into_iter().filter(|command| builds(&command)).collect();
    four_at_a_time(&builds, ask);
    sqlx::raw_sql("rollback").execute(&mut blocker).await.unwrap();
    assert_eq!(place.run(&["projections", "history"]).exit, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_locked_the_table_of_migrations_is_named() {
    let place = Place::in_postgres().await;
    place.ok(&["migrate"]);
    let mut blocker = direct(&place.url()).await;
    let number = "select pg_backend_pid()";
    let number: i32 = sqlx::query_scalar(number).fetch_one(&mut blocker).await.unwrap();
    let lock = "begin; lock table headwater.migrations";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    for command in [["streams"], ["doctor"]] {
        let begun = std::time::Instant::now();
        let ended = place.run(&command);
        assert!(begun.elapsed() < std::time::Duration::from_secs(6), "{:?}", begun.elapsed());
        assert_eq!(ended.exit, 3, "{ended:?}");
        assert!(ended.stderr.contains(&format!("connection {number} ")), "{ended:?}");
        assert!(ended.stderr.contains(" has locked migrations, "), "{ended:?}");
    }
    sqlx::raw_sql("rollback").execute(&mut blocker).await.unwrap();
    assert_eq!(place.run(&["streams"]).exit, 0);
}

fn four_at_a_time<T: Sync>(all: &[T], ask: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for four in all.chunks(4) {
            let asked: Vec<_> = four.iter().map(|one| scope.spawn(|| ask(one))).collect();
            asked.into_iter().for_each(|asked| asked.join().unwrap());
        }
    });
}

/// The commands that open a log, with what they need.
const COMMANDS: &[&[&str]] = &[
    &["migrate"],
    &["race"],
    &["serve", "--port", "0"],
    &["subscriptions", "list"],
    &["subscriptions", "seek", "mailer", "0", "--yes"],
    &["subscriptions", "rm", "mailer", "--yes"],
    &["subscriptions", "history"],
    &["projections", "run"],
    &["projections", "run", "--once"],
    &["append", "cart-1", "cart.opened", "--data", "{}"],
    &["events"],
    &["streams"],
    &["stream", "show", "cart-1"],
    &["export"],
    &["import", "/dev/null"],
    &["verify"],
    &["doctor"],
    &["projections", "list"],
    &["projections", "status"],
    &["projections", "rebuild", "currencies"],
    &["projections", "verify", "--all"],
    &["projections", "promote", "currencies"],
    &["projections", "rollback", "currencies"],
    &["projections", "drop", "currencies", "--generation", "1", "--yes"],
    &["projections", "pause", "currencies"],
    &["projections", "resume", "currencies"],
    &["projections", "retry", "currencies"],
    &[
        "projections",
        "skip",
        "currencies",
        "--event",
        "00000000-0000-0000-0000-000000000000",
        "--yes",
    ],
    &["projections", "seek", "currencies", "1", "--yes"],
    &["projections", "parked"],
    &["projections", "history"],
];

#[test]
fn of_a_database_that_is_down_or_silent_every_command_says_so_within_five_seconds() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (address.port(), silent)).unwrap();
    for port in [closed_port(), silent.0] {
        let url = format!("postgres://headwater@127.0.0.1:{port}/shop");
        let ask = |arguments: &&[&'static str]| {
            let arguments = [*arguments, &["--json", "--database-url", &url]].concat();
            // These are of the bare binary, the others of every service.
            let place = Place::empty();
            let bare = ["import", "serve"].contains(&arguments[0]);
            let place = if bare { place } else { place.into_service() };
            let begun = std::time::Instant::now();
            let ended = place.run(&arguments);
            assert_eq!(ended.exit, 3, "{arguments:?}: {ended:?}");
            assert_eq!(ended.error()["code"], "unavailable", "{arguments:?}");
            assert_eq!((&*ended.stdout, ended.stderr.lines().count()), ("", 1), "{ended:?}");
            let took = begun.elapsed();
            assert!(took < std::time::Duration::from_secs(5), "{arguments:?} took {took:?}");
        };
        four_at_a_time(COMMANDS, ask);
    }
}
