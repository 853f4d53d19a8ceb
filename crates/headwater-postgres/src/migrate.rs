//! Migrate: brings the schema up to date, however many starters try at the same moment.

use headwater_core::{Error, Migrated, Result, task::shielded};
use headwater_migrations::{Migration, POSTGRES, POSTGRES_FUNCTIONS};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::{
    errors::{of_statement, unavailable},
    sql::place,
    store::PostgresStore,
};

/// The number of the newest schema that this program knows.
fn known() -> u32 {
    POSTGRES.last().map_or(0, |migration| migration.number)
}

impl PostgresStore {
    pub(crate) async fn run_migrations(&self) -> Result<Migrated> {
        let store = self.clone();
        shielded(async move {
            let mut connection = store.inner.writers.acquire().await.map_err(unavailable)?;
            let from = current(&mut connection, &store.inner.schema).await?;
            let mut to = from;
            while to < known() {
                to = step(&mut connection, &store.inner.schema).await?;
            }
            if to > known() {
                return Err(Error::SchemaTooNew { found: to, known: known() });
            }
            Ok(Migrated { from, to })
        })
        .await
    }

    /// Checks that the schema is the one that this program needs.
    pub(crate) async fn check_schema(&self) -> Result<()> {
        let mut connection = self.inner.writers.acquire().await.map_err(unavailable)?;
        let found = current(&mut connection, &self.inner.schema).await?;
        match found.cmp(&known()) {
            std::cmp::Ordering::Less => Err(Error::SchemaTooOld { found, known: known() }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Error::SchemaTooNew { found, known: known() }),
        }
    }
}

/// The number of the schema in the database; 0 where there is none. Needs no right to change it.
async fn current(connection: &mut PgConnection, schema: &str) -> Result<u32> {
    let exists: bool = sqlx::query(
        "select exists (select from pg_tables where schemaname = $1 and tablename = 'migrations')",
    )
    .bind(schema)
    .fetch_one(&mut *connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(of_statement)?;
    if !exists {
        return Ok(0);
    }
    let number: i32 = sqlx::query(AssertSqlSafe(format!(
        "select coalesce(max(number), 0) from {schema}.migrations"
    )))
    .fetch_one(connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(of_statement)?;
    Ok(u32::try_from(number).unwrap_or(0))
}

/// Applies the next migration, unless another starter was faster; yields where the schema is now.
async fn step(connection: &mut PgConnection, schema: &str) -> Result<u32> {
    let mut tx = connection.begin().await.map_err(of_statement)?;
    // Ends with the transaction, so it works through a pooler and cannot be left behind.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("headwater.migrate.{schema}"))
        .execute(&mut *tx)
        .await
        .map_err(of_statement)?;
    let current = current(&mut tx, schema).await?;
    let Some(next) = POSTGRES.iter().find(|migration| migration.number == current + 1) else {
        return Ok(current);
    };
    if current == 0 {
        let create = format!(
            "create schema if not exists {schema}; \
             create table if not exists {schema}.migrations (\
                 number integer primary key, \
                 name text not null, \
                 applied_at timestamptz not null default clock_timestamp())"
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *tx).await.map_err(of_statement)?;
    }
    apply(&mut tx, schema, next).await?;
    tx.commit().await.map_err(of_statement)?;
    Ok(next.number)
}

async fn apply(connection: &mut PgConnection, schema: &str, next: &Migration) -> Result<()> {
    for sql in std::iter::once(&next.sql).chain(POSTGRES_FUNCTIONS) {
        let sql = AssertSqlSafe(place(sql, schema));
        sqlx::raw_sql(sql).execute(&mut *connection).await.map_err(of_statement)?;
    }
    let note = format!("insert into {schema}.migrations (number, name) values ($1, $2)");
    sqlx::query(AssertSqlSafe(note))
        .bind(i32::try_from(next.number).unwrap_or(i32::MAX))
        .bind(next.name)
        .execute(connection)
        .await
        .map_err(of_statement)?;
    Ok(())
}
