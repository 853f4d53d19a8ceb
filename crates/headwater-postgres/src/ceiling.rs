//! The readable ceiling, kept between looks: what is settled, and whom the next step waits for.

use std::time::Duration;

use headwater_core::{Ceiling, Position, Result, task::shielded};
use sqlx::Row as _;
use tokio::time::{Instant, sleep};

use crate::{
    errors::{is_answer, of_statement},
    sql::checked,
    store::PostgresStore,
};

/// How long the first look of a process waits for the writers that it finds.
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
    /// What was last published, and when the next time is.
    published: Option<(i64, Instant)>,
    /// What the last look found, and for whom: those who asked until then.
    looked: Option<(Instant, Result<Ceiling>)>,
}

impl PostgresStore {
    pub(crate) async fn look_at_ceiling(&self) -> Result<Ceiling> {
        let (store, asked) = (self.clone(), Instant::now());
        // Held over the look: two looks at once would wait for two sets of writers. Taken before
        // the shield, so that a look nobody waits for any more leaves the queue.
        let mut settling = self.inner.settling.clone().lock_owned().await;
        // However many readers wait behind a look, the next one is for all of them. One that failed
        // is for those as well who came meanwhile: one after the other, each would wait for a
        // connection anew.
        if let Some((since, looked)) = &settling.looked
            && *since >= asked
        {
            return looked.clone();
        }
        shielded(async move {
            let begun = Instant::now();
            let looked = store.look_well(&mut settling).await;
            let since = if looked.is_ok() { begun } else { Instant::now() };
            settling.looked = Some((since, looked.clone()));
            looked
        })
        .await
    }

    /// A first look while others write settles nothing by itself: taken for an answer, it would
    /// make of a busy log an old one, or an empty one.
    async fn look_well(&self, settling: &mut Settling) -> Result<Ceiling> {
        let first = settling.settled.is_none().then(Instant::now);
        let mut ceiling = self.look(settling).await?;
        if let (Some(begun), Some(candidate)) = (first, settling.candidate) {
            while ceiling.position < Position::from_i64(candidate) && begun.elapsed() < FIRST {
                sleep(PAUSE).await;
                ceiling = self.look(settling).await?;
            }
        }
        self.publish(settling);
        Ok(ceiling)
    }

    async fn look(&self, settling: &mut Settling) -> Result<Ceiling> {
        let look = || {
            sqlx::query(checked(&self.inner.statements.ceiling))
                .bind(settling.settled)
                .bind(settling.candidate)
                .bind(&settling.writers)
        };
        let looks = &self.inner.looks;
        let row = match looks.acquire().await?.fetch_one(look()).await {
            // One that was not asked whether it still lives: the next one is new.
            Err(error) if !is_answer(&error) => looks.acquire().await?.fetch_one(look()).await,
            looked => looked,
        };
        let row = row.map_err(of_statement)?;
        let settled: i64 = row.try_get(0).map_err(of_statement)?;
        let writers: Option<Vec<String>> = row.try_get(2).map_err(of_statement)?;
        settling.candidate = row.try_get(1).map_err(of_statement)?;
        settling.writers = writers.unwrap_or_default();
        settling.settled = Some(settled);
        Ok(Ceiling {
            position: Position::from_i64(settled),
            unsettled: settling.candidate.is_some(),
        })
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
