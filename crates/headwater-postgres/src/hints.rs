//! Hints that the log has grown: at once within the process, by NOTIFY to other processes.
//!
//! Nothing depends on a hint; readers look by themselves once a second. NOTIFY is never sent inside
//! an append, where it would serialise the commits of all writers (it takes a lock on the whole
//! cluster), but debounced, afterwards, on another connection.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use headwater_core::Result;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    connections::{Connections, Route, in_time},
    errors::of_statement,
};

/// How long after a NOTIFY appends are gathered for the next one.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// How long a broken listener waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long a listener may hear nothing before it asks whether its connection still lives, and how
/// long it waits for any answer.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// Sends hints in this process and to others, and passes on those of others.
pub(crate) struct Hints {
    sent: watch::Sender<Instant>,
    outward: Arc<Notify>,
    channel: Channel,
    route: Route,
    notifier: Task,
    listener: OnceLock<Task>,
}

/// Where the processes of a log hear of each other, and what tells this one from the others: its own hints
/// were sent when they come back.
#[derive(Clone)]
struct Channel {
    name: String,
    me: String,
}

impl Hints {
    /// Hints for the log in `schema`: sent over `looks`, and heard over a connection of their own.
    pub(crate) fn new(schema: &str, route: Route, looks: Connections) -> Self {
        let outward = Arc::new(Notify::new());
        let channel =
            Channel { name: format!("{schema}_appended"), me: Uuid::now_v7().to_string() };
        let notifier = Task(tokio::spawn(notify(looks, channel.clone(), outward.clone())));
        let sent = watch::Sender::new(Instant::now());
        Self { sent, outward, channel, route, notifier, listener: OnceLock::new() }
    }

    /// Says that an append was committed.
    pub(crate) fn send(&self) {
        headwater_core::send_hint(&self.sent);
        self.outward.notify_one();
    }

    /// Hints from now on; the first reader starts the listener. Behind a pooler there is none: it would
    /// listen in a session that is another's by then.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Instant> {
        if !self.route.pooled {
            self.listener.get_or_init(|| {
                let (options, channel) = (self.route.options.clone(), self.channel.clone());
                Task(tokio::spawn(listen(options, channel, self.sent.clone())))
            });
        }
        self.sent.subscribe()
    }

    /// Ends the listener and the notifier.
    pub(crate) fn close(&self) {
        self.notifier.0.abort();
        if let Some(listener) = self.listener.get() {
            listener.0.abort();
        }
    }
}

async fn notify(looks: Connections, channel: Channel, outward: Arc<Notify>) {
    loop {
        outward.notified().await;
        if let Err(error) = notify_once(&looks, &channel).await {
            tracing::debug!(%error, "other processes were not notified; their poll finds the events");
        }
        sleep(DEBOUNCE).await;
    }
}

async fn notify_once(looks: &Connections, channel: &Channel) -> Result<()> {
    let notify = sqlx::query(include_str!("notify.sql")).bind(&channel.name).bind(&channel.me);
    looks.acquire().await?.execute(notify).await.map(drop).map_err(of_statement)
}

async fn listen(options: PgConnectOptions, channel: Channel, sent: watch::Sender<Instant>) {
    loop {
        if let Err(error) = listen_once(&options, &channel, &sent).await {
            tracing::debug!(%error, "the listener broke; readers poll until it is back");
        }
        sleep(RECONNECT).await;
    }
}

async fn listen_once(
    options: &PgConnectOptions,
    channel: &Channel,
    sent: &watch::Sender<Instant>,
) -> Result<()> {
    // The driver listens through a pool; one of its own goes down with a connection that has died.
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let listener = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel.name).await?;
        Ok(listener)
    };
    let mut listener = in_time(ANSWER, listener).await.map_err(of_statement)?;
    // Nobody has heard what was sent before.
    headwater_core::send_hint(sent);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(heard) => match heard.map_err(of_statement)? {
                Some(heard) if heard.payload() == channel.me => {}
                // From another process; or the connection was lost, and with it what was sent.
                _ => headwater_core::send_hint(sent),
            },
            Err(_silence) => {
                let ping = sqlx::query("select 1").execute(&mut listener);
                in_time(ANSWER, ping).await.map_err(of_statement)?;
            }
        }
    }
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
