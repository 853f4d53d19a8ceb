//! The server for tests: fresh databases, and nothing that stays behind, however the process ends.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use headwater_testkit::{
    eventually,
    postgres::{Server, database, direct},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

async fn connect(url: &str) -> PgConnection {
    direct(url).await
}

async fn run(url: &str, sql: &str) {
    let mut connection = connect(url).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("sound SQL");
}

async fn text(url: &str, sql: &str) -> String {
    let mut connection = connect(url).await;
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query(sql).fetch_one(&mut connection).await.expect("sound SQL").get(0)
}

#[tokio::test]
async fn each_database_is_fresh_and_goes_with_its_handle() {
    let (first, second) = (database().await, database().await);
    run(first.url(), "create table a (id int)").await;
    run(second.url(), "create table a (id int)").await;
    let name = first.name().to_owned();
    let find = format!("select count(*)::text from pg_database where datname = '{name}'");
    assert_eq!(text(second.url(), &find).await, "1");
    drop(first);
    assert_eq!(text(second.url(), &find).await, "0");
}

#[tokio::test]
async fn the_server_is_durable_and_wants_a_password() {
    let server = Server::start_private().await;
    let url = server.url("postgres");
    for (setting, value) in
        [("fsync", "on"), ("synchronous_commit", "on"), ("max_connections", "200")]
    {
        assert_eq!(text(&url, &format!("show {setting}")).await, value, "{setting}");
    }
    let without = url.replacen("postgres://postgres:", "postgres://postgres:x", 1);
    assert!(PgConnection::connect(&without).await.is_err(), "a wrong password was taken");
    assert!(!format!("{server:?}").contains(&url[20..60]), "Debug tells the password");
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_it_acknowledged() {
    let mut server = Server::start_private().await;
    let url = server.create_database("shop").await;
    run(&url, "create table orders (id int); insert into orders values (1)").await;
    let mut open = connect(&url).await;
    sqlx::raw_sql("begin; insert into orders values (2)").execute(&mut open).await.expect("open");
    for _ in 0..2 {
        server.kill();
        assert!(PgConnection::connect(&url).await.is_err(), "it still answers");
        assert!(sqlx::raw_sql("select 1").execute(&mut open).await.is_err(), "a process lives on");
        server.restart().await;
        assert_eq!(text(&url, "select string_agg(id::text, ',') from orders").await, "1");
    }
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing_behind() {
    let server = Server::start_private().await;
    let url = server.url("postgres");
    let directory = text(&url, "show data_directory").await;
    assert!(Path::new(&directory).parent().is_some_and(Path::exists));
    drop(server);
    assert!(!Path::new(&directory).exists());
    assert!(PgConnection::connect(&url).await.is_err(), "it still answers");
}

/// Not a test of its own: what the next one starts as another process, and kills.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn a_process_with_a_server() {
    let server = Server::start_private().await;
    let url = server.url("postgres");
    println!("\nserver {} {url}", text(&url, "show data_directory").await);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_nothing_behind() {
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--ignored", "--exact", "--nocapture", "a_process_with_a_server"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let line = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("server ")?.to_owned()))
        .expect("it tells its server");
    let (directory, url) = line.split_once(' ').expect("a directory and a URL");
    connect(url).await;
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    eventually("the directory goes", || async {
        (!Path::new(directory).parent().is_some_and(Path::exists)).then_some(())
    })
    .await;
    assert!(PgConnection::connect(url).await.is_err(), "it still answers");
}
