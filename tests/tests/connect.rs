//! Opening a log that cannot be opened: what the error says, and what it never says.

use headwater::{Error, ErrorKind, Log, Settings, connect, connect_with};
use headwater_testkit::{postgres::database, within};

async fn refused(url: &str) -> Error {
    match within("an answer", connect(url)).await {
        Ok(log) => panic!("{log:?} was opened"),
        Err(error) => error,
    }
}

fn works(log: &Log) -> impl Future<Output = ()> {
    let log = log.clone();
    async move {
        headwater_testkit::fixtures::append_to(&log, "thing-1", 1).await;
        log.close().await;
    }
}

#[tokio::test]
async fn a_url_that_names_no_database_is_bad_input() {
    for url in ["", "shop", "mysql://host/shop", "http://host", "postgres", "sqlite", "sqlite:"] {
        assert_eq!(refused(url).await.kind(), ErrorKind::FixInput, "{url:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let error = refused("postgres://ada:secret@127.0.0.1:1/shop").await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_server_that_refuses_is_told_without_the_password() {
    let database = database().await;
    for (from, to) in [(database.name(), "missing"), ("//postgres:", "//postgres:secret")] {
        let error = refused(&database.url().replacen(from, to, 1)).await;
        assert!(matches!(error, Error::Unavailable { .. } | Error::Database { .. }), "{error:?}");
        let password = database.url().split([':', '@']).nth(2).expect("the URL holds a password");
        assert!(!format!("{error} {error:?}").contains(password), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_says_which() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let missing = directory.path().join("missing/log.db");
    let error = refused(&format!("sqlite://{}", missing.display())).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("log.db"), "{error}");
    let foreign = directory.path().join("foreign.db");
    std::fs::write(&foreign, "no database at all, but text ".repeat(100)).expect("it is written");
    let error = refused(&format!("sqlite://{}", foreign.display())).await;
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
}

#[tokio::test]
async fn both_databases_open_by_their_urls() {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let file = directory.path().join("log.db");
    let database = database().await;
    let postgresql = database.url().replacen("postgres://", "postgresql://", 1);
    for url in
        [&format!("sqlite://{}", file.display()), "sqlite::memory:", database.url(), &postgresql]
    {
        works(&connect(url).await.unwrap_or_else(|error| panic!("{error}"))).await;
    }
    let settings = Settings { schema: "tenant_1".into(), ..Settings::default() };
    works(&connect_with(database.url(), settings).await.expect("a second log")).await;
}
