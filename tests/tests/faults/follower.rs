//! A subscriber that follows a log through every fault, and keeps what it was given.

use std::sync::{Arc, Mutex};

use headwater::{ErrorKind, Filter, Log, Position};
use headwater_testkit::eventually;
use tokio::{
    task::JoinHandle,
    time::{Duration, sleep},
};
use uuid::Uuid;

use crate::audit::Audit;

pub struct Follower {
    seen: Arc<Mutex<Vec<Uuid>>>,
    task: JoinHandle<()>,
}

impl Follower {
    pub fn start(log: &Log) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(follow(log.clone(), seen.clone()));
        Self { seen, task }
    }

    /// Waits until it has come to the end of the log, and checks that it was given each event once
    /// and in order.
    pub async fn agrees_with(self, audit: &Audit) {
        eventually("the follower has come to the log's end", async || {
            assert!(!self.task.is_finished(), "the follower has ended");
            (self.seen.lock().unwrap().len() >= audit.events.len()).then_some(())
        })
        .await;
        let ids: Vec<_> = audit.events.iter().map(|event| event.id).collect();
        assert!(*self.seen.lock().unwrap() == ids, "the follower saw something else than the log");
        self.task.abort();
    }
}

async fn follow(log: Log, seen: Arc<Mutex<Vec<Uuid>>>) {
    let mut cursor = log.subscribe(Filter::all(), Position::START);
    loop {
        match cursor.next_batch(100).await {
            Ok(batch) => seen.lock().unwrap().extend(batch.events.iter().map(|event| event.id)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
