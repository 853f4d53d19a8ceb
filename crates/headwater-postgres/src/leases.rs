//! Leases: who works on which projection, by the server's clock.

use std::time::Duration;

use headwater_core::{GenerationState, Instance, Lease, Leases, Result, Work, task::shielded};
use sqlx::{Row as _, postgres::PgRow, postgres::types::PgInterval};

use crate::{errors::of_statement, sql::checked, store::PostgresStore};

impl PostgresStore {
    pub(crate) async fn list_leases(&self) -> Result<Leases> {
        let store = self.clone();
        shielded(async move {
            let list = sqlx::query(checked(&store.inner.statements.leases));
            let rows = store.inner.looks.acquire().await?.fetch_all(list).await;
            let rows = rows.map_err(of_statement)?;
            let mut leases = Leases::default();
            rows.iter().try_for_each(|row| take_in(row, &mut leases)).map_err(of_statement)?;
            Ok(leases)
        })
        .await
    }

    pub(crate) async fn keep(
        &self,
        instance: &Instance,
        wanted: &[Work],
        lease: Duration,
    ) -> Result<Vec<Work>> {
        let (store, instance) = (self.clone(), instance.clone());
        let (projections, works): (Vec<_>, Vec<_>) =
            wanted.iter().map(|work| (work.projection.clone(), work.on.as_str())).unzip();
        shielded(async move {
            let microseconds = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
            let keep = sqlx::query(checked(&store.inner.statements.leases_keep))
                .bind(instance.id)
                .bind(instance.name)
                .bind(instance.runs)
                .bind(PgInterval { months: 0, days: 0, microseconds })
                .bind(projections)
                .bind(works)
                .bind(instance.process);
            let rows = store.inner.looks.acquire().await?.fetch_all(keep).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(work).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }
}

/// Takes in a row of `leases.sql`: one without a projection is an instance.
fn take_in(row: &PgRow, leases: &mut Leases) -> Result<(), sqlx::Error> {
    let owner = row.try_get("owner")?;
    if row.try_get::<Option<&str>, _>("projection")?.is_none() {
        let (name, process) = (row.try_get("name")?, row.try_get("process")?);
        let runs = row.try_get("runs")?;
        leases.instances.push(Instance { id: owner, name, process, runs });
        return Ok(());
    }
    let left: f64 = row.try_get("seconds_left")?;
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::ZERO);
    leases.leases.push(Lease { work: work(row)?, owner, left });
    Ok(())
}

fn work(row: &PgRow) -> Result<Work, sqlx::Error> {
    let on = GenerationState::from_store(row.try_get("work")?);
    Ok(Work { projection: row.try_get("projection")?, on })
}
