//! The readable ceiling, kept between looks: what is settled, and whom the next step waits for.

use headwater_core::{Ceiling, Error, Position, Result, task::shielded};
use sqlx::Row as _;
use tokio::time::Instant;

use crate::{
    errors::{of_statement, unavailable},
    sql::checked,
    store::PostgresStore,
};

/// What earlier looks found; the algorithm stands in the function `ceiling`.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    settled: i64,
    candidate: Option<i64>,
    writers: Vec<String>,
    /// When and how a look last failed.
    failure: Option<(Instant, Error)>,
}

impl PostgresStore {
    pub(crate) async fn look_at_ceiling(&self) -> Result<Ceiling> {
        let (store, asked) = (self.clone(), Instant::now());
        // Held over the look: two looks at once would wait for two sets of writers. Taken before
        // the shield, so that a look nobody waits for any more leaves the queue.
        let mut settling = self.inner.settling.clone().lock_owned().await;
        // Where the server is away, those who waited behind a look share its failure: one after the
        // other, each would wait for a connection anew.
        if let Some((failed, error)) = &settling.failure
            && *failed >= asked
        {
            return Err(error.clone());
        }
        shielded(async move {
            let looked = store.look(&mut settling).await;
            if let Err(error) = &looked {
                settling.failure = Some((Instant::now(), error.clone()));
            }
            looked
        })
        .await
    }

    async fn look(&self, settling: &mut Settling) -> Result<Ceiling> {
        let mut connection = self.inner.looks.acquire().await.map_err(unavailable)?;
        let row = sqlx::query(checked(&self.inner.statements.ceiling))
            .bind(settling.candidate)
            .bind(&settling.writers)
            .fetch_one(&mut *connection)
            .await
            .map_err(of_statement)?;
        let newly: Option<i64> = row.try_get(0).map_err(of_statement)?;
        let writers: Option<Vec<String>> = row.try_get(2).map_err(of_statement)?;
        settling.settled = settling.settled.max(newly.unwrap_or(0));
        settling.candidate = row.try_get(1).map_err(of_statement)?;
        settling.writers = writers.unwrap_or_default();
        Ok(Ceiling {
            position: Position::from_i64(settling.settled),
            unsettled: settling.candidate.is_some(),
        })
    }
}
