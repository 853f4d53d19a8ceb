use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use headwater_testkit::{eventually, postgres::direct};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Ended, Place, lines};

fn doctor(place: &Place) -> (i32, Vec<Value>) {
    let ended = place.run(&["doctor", "--json"]);
    (ended.exit, lines(&ended.stdout))
}

fn named<'a>(findings: &'a [Value], name: &str) -> Option<&'a Value> {
    findings.iter().find(|finding| finding["finding"] == name)
}

/// Every finding of this log but the notes.
fn complaints(findings: &[Value]) -> Vec<&str> {
    let bad = findings.iter().filter(|finding| finding["severity"] != "note");
    // Other tests share the server.
    let bad = bad.filter(|finding| finding["finding"] != "connections");
    bad.map(|finding| finding["finding"].as_str().unwrap()).collect()
}

/// All that a reader could see of the database, and the files of its folder.
async fn state(place: &Place) -> (Vec<String>, Vec<u8>) {
    let names = fs::read_dir(place.folder()).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name == "log.db");
    (names, fs::read(place.folder().join("log.db")).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_with_a_new_log_and_nothing_changes() {
    for postgres in [false, true] {
        let place = if postgres { Place::in_postgres().await } else { Place::new() };
        place.fill("cart-1", "cart.opened", 2);
        let before = state(&place).await;
        let (exit, findings) = doctor(&place);
        assert_eq!((exit, complaints(&findings)), (0, vec![]), "{findings:?}");
        let database = named(&findings, "database").unwrap()["what"].as_str().unwrap();
        assert!(database.starts_with(if postgres { "PostgreSQL 1" } else { "SQLite 3." }));
        let said = place.ok(&["doctor", "--thorough"]);
        assert!(said.ends_with("all is well\n"), "{said}");
        assert_eq!(state(&place).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_holds_readers_back_is_named_with_its_connection_and_its_age() {
    let place = Place::in_postgres_directly().await;
    let mut open = direct(&place.url()).await;
    let begin = "set application_name = 'the till'; begin;
        insert into headwater.events (stream, category, version, id, type, schema_version, data)
        values ('cart-9', 'cart', 1, gen_random_uuid(), 'cart.opened', 1, '{\"secret\":1}')";
    sqlx::raw_sql(begin).execute(&mut open).await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut open).await.unwrap();
    // The statement behind it is the last one.
    sqlx::raw_sql("select 'secret'").execute(&mut open).await.unwrap();
    let finding = eventually("the transaction to be old enough", || async {
        let (exit, findings) = doctor(&place);
        assert_eq!(exit, 0, "a warning is no error: {findings:?}");
        named(&findings, "ceiling-held").cloned()
    })
    .await;
    let what = finding["what"].as_str().unwrap();
    for part in [
        &format!("connection {pid} (application the till, role postgres"),
        "idle in transaction",
        "last statement: select",
        "holds readers back for ",
        " s, since 2",
    ] {
        assert!(what.contains(part), "{part}: {what}");
    }
    assert!(!finding.to_string().contains("secret"), "{finding}");
    assert!(finding["cure"].as_str().unwrap().contains(&format!("pg_terminate_backend({pid})")));
    sqlx::raw_sql("rollback").execute(&mut open).await.unwrap();
    assert!(named(&doctor(&place).1, "ceiling-held").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_locks_tables_of_the_log_or_waits_to_is_named_in_time() {
    let place = Place::in_postgres_directly().await;
    place.fill("cart-1", "cart.opened", 1);
    let look = || {
        let begun = Instant::now();
        let (exit, findings) = doctor(&place);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let told = findings.into_iter().filter(|finding| finding["finding"] == "locked");
        (exit, told.map(|f| format!("{} {}", f["severity"], f["what"])).collect::<Vec<_>>())
    };
    let (mut first, mut second) = (direct(&place.url()).await, direct(&place.url()).await);
    let number = "select pg_backend_pid()";
    let first_id: i32 = sqlx::query_scalar(number).fetch_one(&mut first).await.unwrap();
    let second_id: i32 = sqlx::query_scalar(number).fetch_one(&mut second).await.unwrap();
    let share = "begin; lock table headwater.streams in share mode";
    sqlx::raw_sql(share).execute(&mut first).await.unwrap();
    let (exit, told) = look();
    assert_eq!((exit, told.len()), (0, 1), "{told:?}");
    assert!(told[0].starts_with(&format!("\"warning\" \"connection {first_id} ")), "{told:?}");
    assert!(told[0].contains(" has locked streams, in a transaction that is open for "));

    let waits = tokio::spawn(async move {
        let all = "begin; lock table headwater.events, headwater.streams";
        sqlx::raw_sql(all).execute(&mut second).await.unwrap();
        second
    });
    let told = eventually("the second waits", || async {
        let (exit, told) = look();
        (exit == 1 && told.len() == 2).then_some(told)
    })
    .await;
    assert!(told[0].starts_with(&format!("\"error\" \"connection {second_id} ")), "{told:?}");
    assert!(
        told[0].contains(&format!(" has locked events and waits for {first_id} to lock streams, ")),
        "{told:?}"
    );
    sqlx::raw_sql("rollback").execute(&mut first).await.unwrap();
    let mut second = waits.await.unwrap();
    let (exit, told) = look();
    assert_eq!((exit, told.len()), (1, 1), "{told:?}");
    assert!(told[0].contains(" has locked events, streams, "), "{told:?}");
    sqlx::raw_sql("rollback").execute(&mut second).await.unwrap();
    assert_eq!(look(), (0, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_sees_who_holds_readers_back_and_not_a_passing_append() {
    let place = Place::in_postgres_directly().await;
    // Roles are the server's: this one goes with its database's name.
    let role = place.url().rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned() + "_r";
    let grants = format!(
        "create role {role} login password 'reader';
         grant usage on schema headwater to {role};
         grant select on all tables in schema headwater to {role}"
    );
    place.sql(&grants).await;
    let (scheme, rest) =
        place.url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let host = rest.split_once('@').unwrap().1.to_owned();
    let url = format!("{scheme}://{role}:reader@{host}");
    let look = || {
        let ended: Ended =
            place.command(&["doctor", "--json"]).env("DATABASE_URL", &url).output().unwrap().into();
        (ended.exit, lines(&ended.stdout))
    };
    let (exit, findings) = look();
    assert_eq!((exit, complaints(&findings)), (0, vec!["rights", "rights"]), "{findings:?}");
    let mut open = direct(&place.url()).await;
    sqlx::raw_sql("begin; lock table headwater.events in row exclusive mode")
        .execute(&mut open)
        .await
        .unwrap();
    let begun = Instant::now();
    let (_, findings) = look();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let what = named(&findings, "ceiling-held").unwrap()["what"].as_str().unwrap().to_owned();
    assert!(what.contains("only pg_monitor sees how long"), "{what}");
    drop(open);
    let append = || {
        let mut command = place.command(&["append", "cart-1", "cart.opened", "--data", "{}"]);
        command.env("DATABASE_URL", &url).output().unwrap().status.code()
    };
    assert_eq!(append(), Some(1), "it may only read");
    let grants = format!(
        "grant insert on headwater.events to {role};
         grant insert, update on headwater.streams to {role};
         grant update on headwater.inline_projections to {role}"
    );
    place.sql(&grants).await;
    assert_eq!(append(), Some(0));
    assert_eq!(complaints(&look().1), ["rights"], "it runs no projections");
    place.sql(&format!("revoke select on headwater.events from {role}")).await;
    let (exit, findings) = look();
    assert_eq!(exit, 1, "{findings:?}");
    let what = findings[0]["what"].as_str().unwrap();
    assert!(what.contains("lacks select on events"), "{what}");
    place.sql(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_guards_that_are_off_are_errors() {
    let place = Place::in_postgres_directly().await;
    let role = "set search_path = headwater;";
    for (broken, mended, name, severity) in [
        (
            "do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$",
            "do $$ begin execute format('alter database %I reset synchronous_commit', current_database()); end $$",
            "synchronous-commit",
            "error",
        ),
        (
            "alter table events disable trigger append_only",
            "alter table events enable always trigger append_only",
            "guard",
            "error",
        ),
        (
            "alter table events enable trigger append_only",
            "alter table events enable always trigger append_only",
            "guard",
            "error",
        ),
        (
            "alter table events drop constraint events_id",
            "alter table events add constraint events_id unique (id)",
            "key",
            "error",
        ),
        (
            "alter table events alter column position set cache 20",
            "alter table events alter column position set cache 1",
            "sequence",
            "error",
        ),
        (
            "alter table streams set (autovacuum_enabled = off)",
            "alter table streams reset (autovacuum_enabled)",
            "autovacuum",
            "warning",
        ),
    ] {
        place.sql(&format!("{role} {broken}")).await;
        let (exit, findings) = doctor(&place);
        assert_eq!(complaints(&findings), [name], "{broken}");
        assert_eq!(findings[0]["severity"], severity, "the worst comes first: {findings:?}");
        assert_eq!(exit, i32::from(severity == "error"), "{broken}");
        place.sql(&format!("{role} {mended}")).await;
        assert_eq!(doctor(&place).0, 0);
    }
    place.fill("cart-1", "cart.opened", 2);
    place
        .sql(&format!("{role} select setval(pg_get_serial_sequence('events', 'position'), 1)"))
        .await;
    let (exit, findings) = doctor(&place);
    assert_eq!((exit, complaints(&findings)), (1, vec!["sequence"]), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_found_and_left_as_it_is() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 1);
    let file = place.folder().join("log.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, findings) = doctor(&place);
    assert_eq!((exit, complaints(&findings)), (0, vec!["file-mode"]), "{findings:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let mut writing = SqliteConnection::connect(&place.url()).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut writing).await.unwrap();
    let (exit, findings) = doctor(&place);
    assert_eq!((exit, complaints(&findings)), (0, vec!["writer-held"]), "{findings:?}");
    sqlx::raw_sql("rollback").execute(&mut writing).await.unwrap();
    writing.close().await.unwrap();

    place.sql("drop trigger events_refuse_delete; pragma journal_mode = delete").await;
    let (exit, findings) = doctor(&place);
    assert_eq!((exit, complaints(&findings)), (1, vec!["journal-mode", "guard"]), "{findings:?}");
    assert!(findings[1]["what"].as_str().unwrap().contains("events_refuse_delete"));
    assert_eq!(complaints(&doctor(&place).1), ["journal-mode", "guard"], "it was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_found_by_a_thorough_look() {
    let place = Place::new();
    place.fill("cart-1", "cart.opened", 3);
    // The index of the ids loses an entry: its table is another one for a moment.
    let damage = "pragma writable_schema = on;
        create table ids (id blob not null unique) strict;
        update sqlite_schema
        set rootpage = (select rootpage from sqlite_schema where name = 'sqlite_autoindex_ids_1')
        where name = 'sqlite_autoindex_events_1'";
    place.sql(damage).await;
    let ended = place.run(&["doctor", "--thorough", "--json"]);
    assert_eq!(ended.exit, 1, "{ended:?}");
    assert!(named(&lines(&ended.stdout), "damaged").is_some(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_stands_still_is_an_error_with_its_cause() {
    let place = Place::new();
    place.fill_with_carts(1);
    let place = place.into_service();
    place.ok(&["projections", "run", "--once"]);
    assert_eq!(doctor(&place).0, 0);
    place.sql("update checkpoints set failed_position = 7, error = 'it does not fit'").await;
    let (exit, findings) = doctor(&place);
    assert_eq!(exit, 1, "{findings:?}");
    let what = named(&findings, "projection-failed").unwrap()["what"].as_str().unwrap();
    assert!(what.contains("stands still at position 7: it does not fit"), "{what}");
    let ended = place.run(&["doctor"]);
    assert!(ended.stderr.starts_with("error: the doctor found "), "{ended:?}");
    place
        .sql("update checkpoints set error = null, failed_position = null, position = 1, updated_at = 0;
              drop trigger events_refuse_update; update events set recorded_at = 0")
        .await;
    let (_, findings) = doctor(&place);
    assert!(complaints(&findings).contains(&"projection-idle"), "{findings:?}");
}

#[test]
fn a_log_that_cannot_be_used_is_a_finding() {
    let place = Place::empty();
    let (exit, findings) = doctor(&place);
    assert_eq!((exit, complaints(&findings)), (1, vec!["schema-too-old"]), "{findings:?}");
    assert!(!place.folder().join("log.db").exists());
}

#[test]
fn a_database_that_is_down_or_silent_is_one_sentence_within_five_seconds() {
    let place = Place::empty();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for port in [closed, silent_port] {
        let url = format!("postgres://app:s3cret@127.0.0.1:{port}/shop");
        let begun = Instant::now();
        let mut command = place.command(&["doctor", "--json"]);
        let ended: Ended = command.env("DATABASE_URL", &url).output().unwrap().into();
        assert_eq!((ended.exit, ended.stdout.as_str()), (3, ""), "{ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert_eq!(ended.error()["code"], "unavailable");
        assert!(!format!("{ended:?}").contains("s3cret"), "{ended:?}");
    }
}
