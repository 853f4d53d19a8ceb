//! A transaction that writes somewhere else in the server and then does nothing.
//!
//! A log that asked for the oldest transaction of the server would stand still behind it; the ceiling
//! asks only for writers of its own table.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions,
};
use tokio::time::timeout;

use super::place::of_driver;
use crate::Failure;

/// How long another database may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many other databases are tried.
const TRIES: usize = 4;

/// It needs no right but the one to make temporary tables, and leaves nothing behind.
const WRITE: &str = "\
    begin;
    set local idle_in_transaction_session_timeout = 0;
    create temporary table elsewhere (id bigint) on commit drop;
    insert into elsewhere values (1)";

/// Where no table may be made: a transaction that has drawn its id holds others up all the same.
const DRAW: &str = "\
    begin;
    set local idle_in_transaction_session_timeout = 0;
    select pg_current_xact_id()";

/// The databases of the server that this role may write in, `postgres` first.
const OTHERS: &str = "\
    select d.datname::text
    from pg_database d
    where d.datallowconn
      and not d.datistemplate
      and d.datname <> current_database()
      and has_database_privilege(d.oid, 'connect')
      and has_database_privilege(d.oid, 'temporary')
    order by d.datname <> 'postgres', d.datname";

/// The open transaction, and where it is.
pub(super) struct Elsewhere {
    connection: Option<PgConnection>,
    what: String,
}

impl Elsewhere {
    /// Of a database in a file there is no elsewhere.
    pub(super) fn none(why: &str) -> Self {
        Self { connection: None, what: why.into() }
    }

    /// Opens it in another database where the role may, or else in the same one, in no schema of the
    /// log's.
    pub(super) async fn open(options: &PgConnectOptions) -> Result<Self, Failure> {
        let mut home = options.connect().await.map_err(of_driver)?;
        let others = sqlx::raw_sql(OTHERS).fetch_all(&mut home).await.map_err(of_driver)?;
        for row in others.iter().take(TRIES) {
            let name: String = row.try_get(0).map_err(of_driver)?;
            // A database may be closed to us by the server's own rules, which no catalogue shows.
            if let Some(connection) = write_in(options.clone().database(&name)).await {
                let what =
                    format!("a writing transaction in the database {name}, open all the time");
                return Ok(Self { connection: Some(connection), what });
            }
        }
        let what = if sqlx::raw_sql(WRITE).execute(&mut home).await.is_ok() {
            "a transaction that writes a temporary table of the same database, open all the time"
        } else {
            sqlx::raw_sql("rollback").execute(&mut home).await.map_err(of_driver)?;
            sqlx::raw_sql(DRAW).execute(&mut home).await.map_err(of_driver)?;
            "a transaction with an id of its own in the same database, open all the time"
        };
        Ok(Self { connection: Some(home), what: what.into() })
    }

    /// What it is and where, for the report.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Ends it. One that the server has ended before has proved nothing, and is an error.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let Some(mut connection) = self.connection else { return Ok(()) };
        sqlx::raw_sql("rollback").execute(&mut connection).await.map_err(of_driver)?;
        let _ = connection.close().await;
        Ok(())
    }
}

async fn write_in(options: PgConnectOptions) -> Option<PgConnection> {
    let written = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql(WRITE).execute(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    timeout(PATIENCE, written).await.ok()?.ok()
}
