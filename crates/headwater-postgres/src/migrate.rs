//! Migrate: brings the schema up to date, however many starters try at the same moment.

use headwater_core::{Error, Migrated, Result, task::shielded};
use headwater_migrations::{POSTGRES, POSTGRES_FUNCTIONS};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::timeout;

use crate::{
    connections::away,
    errors::{has_code, of_statement},
    sql::place,
    store::PostgresStore,
};

/// How long opening a log waits for those who have locked its table of migrations.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

/// The number of the newest schema that this program knows.
fn known() -> u32 {
    POSTGRES.last().map_or(0, |migration| migration.number)
}

impl PostgresStore {
    pub(crate) async fn run_migrations(&self) -> Result<Migrated> {
        let store = self.clone();
        shielded(async move {
            let mut held = store.inner.transactions.acquire().await?;
            // A migration of a large log may take as long as it takes.
            let (connection, _deadline) = held.start();
            let from = look(connection, &store.inner.schema, None).await.map_err(of_statement)?;
            let mut to = from;
            while to < known() {
                to = step(connection, &store.inner.schema).await?;
            }
            held.finish(false, Ok(())).await.map_err(of_statement)?;
            if to > known() {
                return Err(Error::SchemaTooNew { found: to, known: known() });
            }
            Ok(Migrated { from, to })
        })
        .await
    }

    /// Checks that the schema is the one that this program needs.
    pub(crate) async fn check_schema(&self) -> Result<()> {
        let mut held = self.inner.looks.acquire().await?;
        let (connection, deadline) = held.start();
        let found = look(connection, &self.inner.schema, Some(LOCK_TIMEOUT));
        let found = timeout(deadline, found).await.map_err(|_| away("no answer in time"))?;
        let found = match held.finish(false, found).await {
            Err(error) if has_code(&error, "55P03") => return Err(self.locked(error).await),
            found => found.map_err(of_statement)?,
        };
        match found.cmp(&known()) {
            std::cmp::Ordering::Less => Err(Error::SchemaTooOld { found, known: known() }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Error::SchemaTooNew { found, known: known() }),
        }
    }
}

/// The number of the schema in the database; 0 where there is none. Needs no right to change it.
async fn look(
    connection: &mut PgConnection,
    schema: &str,
    setting: Option<&'static str>,
) -> Result<u32, sqlx::Error> {
    // A pooler lends a session for a transaction.
    let mut tx = connection.begin().await?;
    if let Some(setting) = setting {
        tx.execute(setting).await?;
    }
    let found = current(&mut tx, schema).await;
    tx.rollback().await?;
    found
}

/// The same in a transaction. Nothing here is prepared for a second time.
async fn current(connection: &mut PgConnection, schema: &str) -> Result<u32, sqlx::Error> {
    let exists: bool = sqlx::query(include_str!("migrations_exist.sql"))
        .persistent(false)
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))?;
    if !exists {
        return Ok(0);
    }
    let number: i32 =
        sqlx::query(AssertSqlSafe(place(include_str!("migrations_number.sql"), schema)))
            .persistent(false)
            .fetch_one(connection)
            .await
            .and_then(|row| row.try_get(0))?;
    Ok(u32::try_from(number).unwrap_or(0))
}

/// Applies the next migration, unless another starter was faster; yields where the schema is now.
async fn step(connection: &mut PgConnection, schema: &str) -> Result<u32> {
    let mut tx = connection.begin().await.map_err(of_statement)?;
    sqlx::query(include_str!("migrations_lock.sql"))
        .persistent(false)
        .bind(schema)
        .execute(&mut *tx)
        .await
        .map_err(of_statement)?;
    let current = current(&mut tx, schema).await.map_err(of_statement)?;
    let Some(next) = POSTGRES.iter().find(|migration| migration.number == current + 1) else {
        // Not left to the driver, which would send it with the connection's next statement.
        tx.rollback().await.map_err(of_statement)?;
        return Ok(current);
    };
    if current == 0 {
        run(&mut tx, schema, include_str!("migrations_schema.sql")).await?;
        run(&mut tx, schema, include_str!("migrations_table.sql")).await?;
    }
    for sql in std::iter::once(&next.sql).chain(POSTGRES_FUNCTIONS) {
        run(&mut tx, schema, sql).await?;
    }
    sqlx::query(AssertSqlSafe(place(include_str!("migrations_insert.sql"), schema)))
        .persistent(false)
        .bind(i32::try_from(next.number).unwrap_or(i32::MAX))
        .bind(next.name)
        .execute(&mut *tx)
        .await
        .map_err(of_statement)?;
    tx.commit().await.map_err(of_statement)?;
    Ok(next.number)
}

/// Runs the statements of a file.
async fn run(connection: &mut PgConnection, schema: &str, sql: &str) -> Result<()> {
    let sql = AssertSqlSafe(place(sql, schema));
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(of_statement)
}
