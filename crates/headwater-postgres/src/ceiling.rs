//! The readable ceiling, kept between looks: what is settled, and whom the next step waits for. A look
//! brings what is new below it along.

use std::time::Duration;

use headwater_core::{Ceiling, Look, Position, Result, metrics::number, task::shielded};
use sqlx::Row as _;
use tokio::time::{Instant, sleep};

use crate::{
    errors::{is_answer, of_statement},
    read::decode,
    sql::checked,
    store::PostgresStore,
};

/// How long the first look of a process waits for the writers that it finds, or one after twice as long without any.
const FIRST: Duration = Duration::from_secs(1);

/// How often it looks again meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a process publishes what is settled, and how long it leaves that to others where it may
/// not.
const PUBLISH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What earlier looks found; the algorithm stands in the function `ceiling`.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// None before the first look.
    settled: Option<i64>,
    candidate: Option<i64>,
    writers: Vec<String>,
    /// When the last look ended.
    looked: Option<Instant>,
    /// What was last published, and when the next time is.
    published: Option<(i64, Instant)>,
}

impl PostgresStore {
    pub(crate) async fn look_at_newest(&self, after: Option<Position>) -> Result<Look> {
        let store = self.clone();
        // Held over the look: two looks at once would wait for two sets of writers. Taken before
        // the shield, so that a look nobody waits for any more leaves the queue.
        let mut settling = self.inner.settling.clone().lock_owned().await;
        shielded(async move { store.look_well(&mut settling, after).await }).await
    }

    /// A first look while others write settles nothing by itself: taken for an answer, it would
    /// make of a busy log an old one, or an empty one. So does the first one after a long time.
    async fn look_well(&self, settling: &mut Settling, after: Option<Position>) -> Result<Look> {
        let fresh = settling.looked.is_some_and(|looked| looked.elapsed() < 2 * FIRST);
        let first = (!fresh).then(Instant::now);
        let mut look = self.look_once(settling, after).await?;
        if let (Some(begun), Some(candidate)) = (first, settling.candidate) {
            let candidate = Position::from_i64(candidate);
            while look.ceiling.position < candidate && begun.elapsed() < FIRST {
                sleep(PAUSE).await;
                look = self.look_once(settling, after).await?;
            }
        }
        settling.looked = Some(Instant::now());
        self.publish(settling);
        Ok(look)
    }

    async fn look_once(&self, settling: &mut Settling, after: Option<Position>) -> Result<Look> {
        let look = || {
            sqlx::query(checked(&self.inner.statements.newest))
                .bind(settling.settled)
                .bind(settling.candidate)
                .bind(&settling.writers)
                .bind(after.map(Position::to_i64))
        };
        let looks = &self.inner.looks;
        let rows = match looks.acquire().await?.fetch_all(look()).await {
            // One that was not asked whether it still lives: the next one is new.
            Err(error) if !is_answer(&error) => looks.acquire().await?.fetch_all(look()).await,
            looked => looked,
        };
        let rows = rows.map_err(of_statement)?;
        let (ceiling, newest) =
            rows.split_first().ok_or(sqlx::Error::RowNotFound).map_err(of_statement)?;
        let settled: i64 = ceiling.try_get("settled").map_err(of_statement)?;
        let writers: Option<Vec<String>> = ceiling.try_get("writers").map_err(of_statement)?;
        settling.candidate = ceiling.try_get("candidate").map_err(of_statement)?;
        settling.writers = writers.unwrap_or_default();
        settling.settled = Some(settled);
        let position = Position::from_i64(settled);
        let drawn = settling.candidate.map_or(position, Position::from_i64);
        self.inner.ceiling_lag.set(number(drawn.0.saturating_sub(position.0)));
        let newest = newest.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)?;
        Ok(Look { ceiling: Ceiling { position, unsettled: settling.candidate.is_some() }, newest })
    }

    /// Tells processes that start later, now and then, and waits for nothing.
    fn publish(&self, settling: &mut Settling) {
        let (now, settled) = (Instant::now(), settling.settled.unwrap_or(0));
        if settling.published.is_some_and(|(last, due)| last == settled || now < due) {
            return;
        }
        settling.published = Some((settled, now + PUBLISH.0));
        let (store, settled_by) = (self.clone(), self.inner.settling.clone());
        tokio::spawn(async move {
            let publish =
                sqlx::query(checked(&store.inner.statements.publish_settled)).bind(settled);
            let published = async {
                store.inner.looks.acquire().await?.execute(publish).await.map_err(of_statement)
            };
            if let Err(error) = published.await {
                tracing::debug!(%error, "what is settled is left to others to publish");
                settled_by.lock().await.published = Some((settled, now + PUBLISH.1));
            }
        });
    }
}
