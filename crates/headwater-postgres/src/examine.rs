//! Examine: what is wrong with the database that holds the log, or will be. It changes nothing.
//!
//! The looks are here; what is made of them, in the modules below.

mod open;
mod server;
mod settings;
mod tables;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::Utc;
use headwater_core::{Error, Finding, Result, Severity, task::shielded};
use sqlx::{Row as _, postgres::PgRow};
use tokio::time::sleep;

use crate::{errors::of_statement, sql::checked, store::PostgresStore};

use self::{
    open::{Locks, Open},
    server::Server,
    settings::Settings,
    tables::{Guard, Wear, of_rights},
};

/// How long a transaction may hold readers back without a word; longer than any append takes.
const MOMENT: Duration = Duration::from_secs(1);

impl PostgresStore {
    pub(crate) async fn examine_all(&self) -> Result<Vec<Finding>> {
        let statements = &self.inner.statements;
        let mut findings = Vec::new();
        let server = self.look_around(&statements.examine_server, read_server).await?;
        let settings = self.look_around(&statements.examine_settings, read_setting).await?;
        let settings = Settings(settings.into_iter().collect::<HashMap<_, _>>());
        if let Some(server) = server.first() {
            findings.extend(server.findings(&settings, self.inner.pooled));
        }
        findings.extend(settings.findings());
        // A standby shows no locks of the primary's writers, and has no sequence of its own.
        if server.first().is_some_and(|server| server.standby) {
            return Ok(findings);
        }
        let rights = of_rights(&self.look_around(&statements.examine_rights, read_right).await?);
        let reads = rights.iter().all(|finding| finding.severity < Severity::Error);
        findings.extend(rights);
        if !reads {
            return Ok(findings);
        }
        let locks = self.look_for_locks().await?;
        findings.extend(locks.iter().map(Locks::finding));
        // Every further look would wait for them.
        if locks.iter().any(|locks| locks.hides) {
            return Ok(findings);
        }
        let ceiling = self.lasting(&statements.examine_ceiling, read_open, Open::lasts).await?;
        findings.extend(ceiling.iter().map(Open::holds_ceiling));
        let sessions = self.look_around(&statements.examine_sessions, read_open).await?;
        findings.extend(sessions.iter().map(Open::idles));
        let guards = self.look_around(&statements.examine_guard, read_guard).await?;
        findings.extend(guards.first().map_or_else(Guard::missing, Guard::findings));
        let wear = self.look_around(&statements.examine_wear, read_wear).await?;
        findings.extend(wear.iter().flat_map(Wear::findings));
        Ok(findings)
    }

    /// The error of a statement that has waited too long for a lock, with those who have it.
    pub(crate) async fn locked(&self, error: sqlx::Error) -> Error {
        match self.look_for_locks().await {
            Ok(locks) if !locks.is_empty() => {
                let told: Vec<_> = locks.iter().map(Locks::in_words).collect();
                Error::Unavailable { reason: told.join("; ") }
            }
            _ => of_statement(error),
        }
    }

    async fn look_for_locks(&self) -> Result<Vec<Locks>> {
        self.lasting(&self.inner.statements.examine_locks, read_locks, Locks::lasts).await
    }

    /// Those who hold others up for longer than a moment: whose name and age tell so, or who are still there after a
    /// moment where no age is known. How old somebody else's transaction is, a role without rights does not see.
    async fn lasting<T: Send + 'static>(
        &self,
        look: &Arc<str>,
        decode: fn(&PgRow) -> Result<T, sqlx::Error>,
        known: fn(&T) -> (&str, Option<Duration>),
    ) -> Result<Vec<T>> {
        let mut holders = self.look_around(look, decode).await?;
        if holders.iter().any(|holder| known(holder).1.is_none()) {
            sleep(MOMENT).await;
            let mut now = self.look_around(look, decode).await?;
            now.retain(|now| holders.iter().any(|before| known(before).0 == known(now).0));
            holders = now;
        }
        holders.retain(|holder| known(holder).1.is_none_or(|time| time >= MOMENT));
        Ok(holders)
    }

    async fn look_around<T: Send + 'static>(
        &self,
        sql: &Arc<str>,
        decode: fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>> {
        let (store, sql) = (self.clone(), sql.clone());
        shielded(async move {
            let look = sqlx::query(checked(&sql)).persistent(false);
            let rows = store.inner.looks.acquire().await?.fetch_all(look).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<Vec<_>, _>>().map_err(of_statement)
        })
        .await
    }
}

fn read_server(row: &PgRow) -> Result<Server, sqlx::Error> {
    let behind = Utc::now() - row.try_get::<chrono::DateTime<Utc>, _>("now")?;
    Ok(Server {
        version: row.try_get("version")?,
        number: row.try_get("number")?,
        standby: row.try_get("standby")?,
        skew: behind.abs().to_std().unwrap_or_default(),
        size: row.try_get::<i64, _>("size")?.unsigned_abs(),
        xid_age: row.try_get("xid_age")?,
        multixact_age: row.try_get("multixact_age")?,
        database_limit: row.try_get("database_limit")?,
        role_limit: row.try_get("role_limit")?,
        connections: row.try_get("connections")?,
        schema_number: row.try_get("schema_number")?,
    })
}

fn read_setting(row: &PgRow) -> Result<(String, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get::<Option<_>, _>(1)?.unwrap_or_default()))
}

fn read_open(row: &PgRow) -> Result<Open, sqlx::Error> {
    let seconds: Option<f64> = row.try_get("seconds")?;
    Ok(Open {
        name: row.try_get("name")?,
        pid: row.try_get("pid")?,
        application: row.try_get("application")?,
        role: row.try_get("role")?,
        client: row.try_get("client")?,
        state: row.try_get("state")?,
        word: row.try_get("word")?,
        prepared: row.try_get("prepared")?,
        since: row.try_get("since")?,
        open_for: seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    })
}

fn read_locks(row: &PgRow) -> Result<Locks, sqlx::Error> {
    Ok(Locks {
        held: row.try_get("held")?,
        awaited: row.try_get("awaited")?,
        hides: row.try_get("hides")?,
        behind: row.try_get("behind")?,
        by: read_open(row)?,
    })
}

fn read_guard(row: &PgRow) -> Result<Guard, sqlx::Error> {
    Ok(Guard {
        trigger: row.try_get("guard")?,
        missing_keys: row.try_get("keys")?,
        cache: row.try_get("cache")?,
        highest: row.try_get("highest")?,
        cycle: row.try_get("cycle")?,
        drawn: row.try_get("drawn")?,
        head: row.try_get("head")?,
    })
}

fn read_right(row: &PgRow) -> Result<(String, String, bool), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn read_wear(row: &PgRow) -> Result<Wear, sqlx::Error> {
    Ok(Wear {
        table: row.try_get("name")?,
        live: row.try_get("live")?,
        dead: row.try_get("dead")?,
        neglected: row.try_get("neglected")?,
    })
}
