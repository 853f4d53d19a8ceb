//! Opening a log by its URL.

use std::time::Duration;

use headwater::{ErrorKind, Log, Pooler, Settings, connect, connect_with};
use headwater_testkit::{
    fixtures::{append_to, failure},
    postgres::{database, direct_database, pooled},
    within,
};

fn works(log: &Log) -> impl Future<Output = ()> {
    let log = log.clone();
    async move {
        append_to(&log, "thing-1", 1).await;
        log.close().await;
    }
}

#[tokio::test]
async fn a_url_that_names_no_database_is_bad_input() {
    for url in ["", "shop", "mysql://host/shop", "http://host", "postgres", "sqlite", "sqlite:"] {
        let error = failure(within("an answer", connect(url)).await);
        assert_eq!(error.kind(), ErrorKind::FixInput, "{url:?}");
    }
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

/// Behind one, a program that takes it for the server itself meets statements that are not prepared.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_noticed() {
    // Whoever makes the log owns it, and another role goes through the pooler.
    let (direct, behind) = (direct_database().await, direct_database().await);
    for (url, pooler, found) in [
        (direct.url().to_owned(), Pooler::Detect, false),
        (pooled(&behind).await, Pooler::Detect, true),
        (pooled(&behind).await, Pooler::Present, true),
    ] {
        let settings = Settings { pooler, ..Settings::default() };
        let log = connect_with(&url, settings).await.unwrap_or_else(|error| panic!("{error}"));
        let described = log.store().describe().await.expect("the server answers");
        assert_eq!(described.ends_with("behind a pooler"), found, "{described}");
        works(&log).await;
    }
}

/// Another takes the session at which the two connections of the detection would meet, and is quiet then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pooler_is_noticed_while_others_use_it() {
    let database = direct_database().await;
    let url = pooled(&database).await;
    connect(&url).await.expect("the log is made").close().await;
    let settings = Settings { pooler: Pooler::Present, ..Settings::default() };
    let other = connect_with(&url, settings).await.expect("it opens");
    let other = tokio::spawn(async move {
        loop {
            other.store().describe().await.expect("the server answers");
            tokio::time::sleep(Duration::from_millis(12)).await;
        }
    });
    for attempt in 1..=60 {
        let log = connect(&url).await.expect("it opens");
        let described = log.store().describe().await.expect("the server answers");
        assert!(described.ends_with("behind a pooler"), "{attempt}: {described}");
        log.close().await;
    }
    assert!(!other.is_finished(), "the other client has met an error");
    other.abort();
}
