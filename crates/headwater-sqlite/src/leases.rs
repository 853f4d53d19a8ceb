//! Leases: who works on which projection, by the clock of this machine, which all who open the file share.

use std::time::Duration;

use headwater_core::{GenerationState, Instance, Lease, Leases, Result, Work, task::shielded};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    errors::of_statement,
    rows::fetch_all,
    store::{SqliteStore, now},
};

/// After how long a lease that ran out, and an instance that is gone, is forgotten.
const FORGOTTEN: i64 = 60_000_000;

impl SqliteStore {
    pub(crate) async fn list_leases(&self) -> Result<Leases> {
        let mut connection = self.inner.connections.reader().await?;
        let list = sqlx::query(include_str!("leases.sql")).bind(now().timestamp_micros());
        let rows = fetch_all(&mut connection, list).await?;
        let mut leases = Leases::default();
        rows.iter().try_for_each(|row| take_in(row, &mut leases)).map_err(of_statement)?;
        Ok(leases)
    }

    pub(crate) async fn keep(
        &self,
        instance: &Instance,
        wanted: &[Work],
        lease: Duration,
    ) -> Result<Vec<Work>> {
        let (store, instance) = (self.clone(), instance.clone());
        let wanted = wanted.iter().map(|work| (&*work.projection, work.on.as_str()));
        let wanted = serde_json::to_string(&wanted.collect::<Vec<_>>()).unwrap_or_default();
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let mut connection = transaction.connection().await?;
            let kept = keep(&mut connection, &instance, &wanted, lease).await?;
            transaction.commit(connection).await?;
            Ok(kept)
        })
        .await
    }
}

async fn keep(
    connection: &mut SqliteConnection,
    instance: &Instance,
    wanted: &str,
    lease: Duration,
) -> Result<Vec<Work>> {
    // Asked with the writer held: however long it was waited for, the lease begins now.
    let now = now().timestamp_micros();
    let until = now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
    let runs: Vec<u8> = instance.runs.iter().flat_map(|id| *id.as_bytes()).collect();
    let save = sqlx::query(include_str!("instance_save.sql"))
        .bind(instance.id)
        .bind(&instance.name)
        .bind(&instance.process)
        .bind(runs)
        .bind(until);
    let forget =
        sqlx::query(include_str!("instances_forget.sql")).bind(instance.id).bind(now - FORGOTTEN);
    let give_up = sqlx::query(include_str!("leases_give_up.sql"))
        .bind(instance.id)
        .bind(now - FORGOTTEN)
        .bind(wanted);
    for statement in [save, forget, give_up] {
        statement.execute(&mut *connection).await.map_err(of_statement)?;
    }
    let take = sqlx::query(include_str!("leases_take.sql"))
        .bind(instance.id)
        .bind(until)
        .bind(wanted)
        .bind(now);
    let rows = fetch_all(connection, take).await?;
    rows.iter().map(work).collect::<Result<_, _>>().map_err(of_statement)
}

/// Takes in a row of `leases.sql`: one without a projection is an instance.
fn take_in(row: &SqliteRow, leases: &mut Leases) -> Result<(), sqlx::Error> {
    let owner = row.try_get("owner")?;
    if row.try_get::<Option<&str>, _>("projection")?.is_none() {
        let runs: Vec<u8> = row.try_get("runs")?;
        let runs = runs.as_chunks().0.iter().map(|id| Uuid::from_bytes(*id)).collect();
        let (name, process) = (row.try_get("name")?, row.try_get("process")?);
        leases.instances.push(Instance { id: owner, name, process, runs });
        return Ok(());
    }
    let left: i64 = row.try_get("micros_left")?;
    let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
    leases.leases.push(Lease { work: work(row)?, owner, left });
    Ok(())
}

fn work(row: &SqliteRow) -> Result<Work, sqlx::Error> {
    let on = GenerationState::from_store(row.try_get("work")?);
    Ok(Work { projection: row.try_get("projection")?, on })
}
