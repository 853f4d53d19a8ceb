//! A race in PostgreSQL: a schema of its own in the database that was named.
//!
//! Its own statements outside of a transaction are sent as text: a pooler in transaction mode gives the
//! parts of a prepared one to different sessions.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use headwater::{Append, Error, Log, Settings, postgres::PostgresStore};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _,
    postgres::PgConnectOptions,
};
use tokio::time::{sleep, timeout};

use super::{
    elsewhere::Elsewhere,
    place::{Connection, End, Ended, Habits, PREFIX, Place, Track, fresh_name, of_driver},
};
use crate::{
    Failure,
    options::{PATIENCE, no_answer},
};

/// How many connections the two logs, the reader by hand, the transaction elsewhere and the one that
/// tidies up may take together, beside one for each writer.
const BESIDE_WRITERS: u32 = 30;

/// The schemas of other races, whose names begin with `{prefix}`, and how many more connections the
/// server takes.
const LOOK: &str = "\
    select array(select n.nspname::text from pg_namespace n where starts_with(n.nspname, '{prefix}') order by 1),
           current_setting('max_connections')::bigint
               - current_setting('superuser_reserved_connections')::bigint
               - (select coalesce(sum(d.numbackends), 0)::bigint from pg_stat_database d)";

/// A writer that dies in the middle must not hold its locks for long.
const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '15s'";

/// A schema for one race.
pub(super) struct Schema {
    options: PgConnectOptions,
    name: String,
    others: Vec<String>,
}

impl Schema {
    /// Chooses a name and looks around; nothing is made yet.
    pub(super) async fn choose(url: &str, writers: u32) -> Result<Self, Failure> {
        let options = PostgresStore::options(url)?;
        let options = options
            .application_name("headwater race")
            .disable_statement_logging()
            // Refused by poolers, before which no statement stays prepared.
            .extra_float_digits(None);
        let connected = timeout(PATIENCE, options.connect()).await;
        let mut connection =
            connected.map_err(|_elapsed| no_answer(PATIENCE))?.map_err(of_driver)?;
        let look = AssertSqlSafe(LOOK.replace("{prefix}", PREFIX));
        let seen = sqlx::raw_sql(look).fetch_one(&mut connection).await.map_err(of_driver)?;
        let room: i64 = seen.try_get(1).map_err(of_driver)?;
        let needed = writers + BESIDE_WRITERS;
        if room < i64::from(needed) {
            let message = format!(
                "{writers} writers need up to {needed} connections, and the server has room for {room} more"
            );
            return Err(Failure::bad_input(message)
                .with_hint("give fewer --writers, or raise max_connections of the server"));
        }
        let others = seen.try_get(0).map_err(of_driver)?;
        let _ = connection.close().await;
        Ok(Self { options, name: fresh_name(), others })
    }

    async fn execute(&self, sql: String) -> Result<(), Failure> {
        let mut connection = self.options.connect().await.map_err(of_driver)?;
        // The name is one of ours: letters, digits and underscores.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map_err(of_driver)?;
        let _ = connection.close().await;
        Ok(())
    }
}

#[async_trait]
impl Place for Schema {
    fn kind(&self) -> &'static str {
        "schema"
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn others(&self) -> &[String] {
        &self.others
    }

    fn how_to_remove(&self, name: &str) -> String {
        format!("drop schema {name} cascade")
    }

    async fn open(&self) -> Result<Box<dyn Track>, Failure> {
        let settings = Settings { schema: self.name.clone(), ..Settings::default() };
        let opened = PostgresStore::connect_with(self.options.clone(), settings.clone()).await;
        let store = opened.map_err(|error| match &error {
            Error::Database { code, .. } if code == "42501" => {
                let database = self.options.get_database().unwrap_or("DATABASE");
                Failure::from(error).with_hint(format!(
                    "a race makes a schema of its own: `grant create on database {database} to ROLE`, \
                     or connect as a role that may"
                ))
            }
            _ => error.into(),
        })?;
        // For whoever finds it after a race that was killed.
        let comment = "made by `headwater race`, which removes it; no application needs it";
        self.execute(format!("comment on schema {} is '{comment}'", self.name)).await?;
        let (options, log) = (self.options.clone(), Log::new(store.clone()));
        Ok(Box::new(InPostgres { options, settings, store, log }))
    }

    async fn remove(self: Box<Self>) -> Result<(), Failure> {
        // Connections that were cut off may still hold locks of it for a moment.
        let name = &self.name;
        self.execute(format!("set lock_timeout = '10s'; drop schema if exists {name} cascade"))
            .await
    }
}

struct InPostgres {
    options: PgConnectOptions,
    settings: Settings,
    store: PostgresStore,
    log: Log,
}

#[async_trait]
impl Track for InPostgres {
    fn log(&self) -> &Log {
        &self.log
    }

    async fn join(&self) -> Result<Log, Failure> {
        let settings = Settings { migrate: false, ..self.settings.clone() };
        Ok(Log::new(PostgresStore::connect_with(self.options.clone(), settings).await?))
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Failure> {
        let connection = self.options.connect().await.map_err(of_driver)?;
        let schema = &self.settings.schema;
        let above = format!("select position from {schema}.events where position > ");
        Ok(Box::new(ToPostgres { connection, store: self.store.clone(), above }))
    }

    async fn elsewhere(&self) -> Result<Elsewhere, Failure> {
        Elsewhere::open(&self.options).await
    }

    fn habits(&self) -> Habits {
        Habits {
            at_once: 4,
            rolled_back: 1,
            open: Duration::from_millis(60),
            long: Duration::from_millis(300),
        }
    }
}

struct ToPostgres {
    connection: PgConnection,
    store: PostgresStore,
    above: String,
}

#[async_trait]
impl Connection for ToPostgres {
    async fn append_in(
        &mut self,
        append: Append,
        open: Duration,
        end: End,
    ) -> Result<Ended, Failure> {
        sqlx::raw_sql(BEGIN).execute(&mut self.connection).await.map_err(of_driver)?;
        let begun = Instant::now();
        let appended = self.store.append_in(&mut self.connection, vec![append]).await?;
        sleep(open).await;
        sqlx::raw_sql(end.sql()).execute(&mut self.connection).await.map_err(of_driver)?;
        self.store.hint();
        Ok(Ended { appended, open: begun.elapsed() })
    }

    async fn above(&mut self, last: u64) -> Result<Vec<u64>, Failure> {
        let above = AssertSqlSafe(format!("{}{last} order by position", self.above));
        let rows = sqlx::raw_sql(above).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(of_driver)?;
        rows.iter().map(|row| row.try_get(0).map(i64::unsigned_abs).map_err(of_driver)).collect()
    }
}
