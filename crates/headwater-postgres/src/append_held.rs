//! Appends to streams that another transaction holds: they wait in lanes of their own, a lane a stream, and
//! hold up no others.

use std::{collections::BTreeSet, time::Duration};

use headwater_core::{
    Error,
    batcher::{Lane, Waiting},
};
use sqlx::Row as _;
use tokio::time::sleep;

use crate::{
    append::{SHORT, refuse},
    connections::Held,
    sql::checked,
    store::PostgresStore,
};

/// How often those in a lane look whether its stream is free again.
const PAUSE: Duration = Duration::from_millis(25);

impl PostgresStore {
    /// Takes those out of a group who wait for a stream that another transaction holds, into its lane.
    /// What else is in the way of the others, such as a lock of the table, is waited for.
    pub(crate) async fn append_held(&self, connection: &mut Held, group: Vec<Waiting>) {
        let appends = group.iter().flat_map(|waiting| &waiting.appends);
        let streams = appends.map(|append| append.stream.as_str().to_owned()).collect();
        let held = self.held_streams(connection, streams).await;
        let (rest, lanes) = self.inner.batcher.set_apart(group, held);
        for lane in lanes {
            let store = self.clone();
            tokio::spawn(async move { store.append_lane(lane).await });
        }
        let held = self.append_group(connection, rest, self.patience()).await;
        refuse(held, &held_too_long());
    }

    /// Which of these streams another transaction holds; none where that cannot be learnt, since an
    /// append finds it out by itself.
    async fn held_streams(&self, connection: &mut Held, streams: BTreeSet<String>) -> Vec<String> {
        let streams: Vec<_> = streams.into_iter().collect();
        let look = sqlx::query(checked(&self.inner.statements.held_streams)).bind(streams);
        let held = connection.fetch_all(look).await;
        let held = held.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        held.unwrap_or_default()
    }

    /// Appends what waits in a lane, each time that its stream is free for a moment. It is looked at
    /// alone before, since an append that waits for it would hold its other streams meanwhile.
    async fn append_lane(&self, mut lane: Lane) {
        while let Some(mut group) = lane.take() {
            while !group.is_empty() {
                sleep(PAUSE).await;
                match self.inner.held_appends.acquire().await {
                    Ok(mut connection) => {
                        let stream = BTreeSet::from([lane.stream().to_owned()]);
                        if self.held_streams(&mut connection, stream).await.is_empty() {
                            group = self.append_group(&mut connection, group, SHORT).await;
                        }
                    }
                    Err(error) => refuse(std::mem::take(&mut group), &error),
                }
                let late = |waiting: &Waiting| waiting.since.elapsed() > self.patience();
                let (late, rest) = group.into_iter().partition(late);
                refuse(late, &held_too_long());
                group = rest;
            }
        }
    }

    /// How long an append waits for a stream that another transaction holds: it ends before the
    /// statement's deadline, after which nobody would know whether it was applied.
    fn patience(&self) -> Duration {
        self.inner.statement_timeout / 4 * 3
    }
}

/// Nothing was applied.
fn held_too_long() -> Error {
    let reason = "another transaction holds one of its streams, or the table of events: try again";
    Error::Unavailable { reason: reason.into() }
}
