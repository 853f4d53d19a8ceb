//! Hints that the log has grown: at once within the process, by NOTIFY to other processes.
//!
//! Nothing depends on a hint; readers look by themselves once a second. NOTIFY is never sent inside
//! an append, where it would serialise the commits of all writers (it takes a lock on the whole
//! cluster), but debounced, afterwards, on another connection.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::sleep,
};

/// How long appends are gathered before one NOTIFY speaks for all of them.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// How long a broken listener waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Raises hints in this process and in others, and passes on those of others.
#[derive(Debug)]
pub(crate) struct Hints {
    raised: watch::Sender<u64>,
    outward: Arc<Notify>,
    channel: String,
    pool: PgPool,
    notifier: Task,
    listener: OnceLock<Task>,
}

impl Hints {
    /// Hints for the log in `schema`, over `pool`, which needs two connections.
    pub(crate) fn new(schema: &str, pool: PgPool) -> Self {
        let outward = Arc::new(Notify::new());
        let channel = format!("{schema}_appended");
        let notifier = Task(tokio::spawn(notify(pool.clone(), channel.clone(), outward.clone())));
        let raised = watch::Sender::new(0);
        Self { raised, outward, channel, pool, notifier, listener: OnceLock::new() }
    }

    /// Says that an append was committed.
    pub(crate) fn raise(&self) {
        self.raised.send_modify(|count| *count = count.wrapping_add(1));
        self.outward.notify_one();
    }

    /// Hints from now on; the first reader starts the listener.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.listener.get_or_init(|| {
            let listen = listen(self.pool.clone(), self.channel.clone(), self.raised.clone());
            Task(tokio::spawn(listen))
        });
        self.raised.subscribe()
    }

    /// Ends the listener and the notifier, and closes their connections.
    pub(crate) async fn close(&self) {
        self.notifier.0.abort();
        if let Some(listener) = self.listener.get() {
            listener.0.abort();
        }
        self.pool.close().await;
    }
}

async fn notify(pool: PgPool, channel: String, outward: Arc<Notify>) {
    loop {
        outward.notified().await;
        sleep(DEBOUNCE).await;
        let sent = sqlx::query(include_str!("notify.sql")).bind(&channel).execute(&pool).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "other processes were not notified; their poll finds the events");
        }
    }
}

async fn listen(pool: PgPool, channel: String, raised: watch::Sender<u64>) {
    loop {
        if let Err(error) = listen_once(&pool, &channel, &raised).await {
            tracing::debug!(%error, "the listener broke; readers poll until it is back");
        }
        sleep(RECONNECT).await;
    }
}

async fn listen_once(
    pool: &PgPool,
    channel: &str,
    raised: &watch::Sender<u64>,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(channel).await?;
    loop {
        listener.recv().await?;
        raised.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
