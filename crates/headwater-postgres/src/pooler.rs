//! Finds out whether a pooler in transaction mode stands before the server.
//!
//! Such a pooler lends the server's sessions for a transaction each: named statements are gone with the
//! next one, and so is whatever a session remembers. Nothing in the protocol tells. But two connections
//! meet the same session one after the other, or one meets two, which never happens without it. Where
//! many use the pooler at once that may need some tries.

use std::time::Duration;

use headwater_core::Result;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{
    connections::{PATIENCE, away},
    errors::unavailable,
};

/// How long a statement may take that needs no work.
const ANSWER: Duration = Duration::from_secs(2);

/// How often the two connections try to meet.
const TRIES: usize = 12;

/// Connects once, without patience: a server that is not there is told at once.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    timeout(PATIENCE, PgConnection::connect_with(options))
        .await
        .map_err(|_| away(&format!("the server at {} does not answer", place(options))))?
        .map_err(|error| match error {
            sqlx::Error::Io(error) => {
                away(&format!("the server at {} cannot be reached: {error}", place(options)))
            }
            error => unavailable(error),
        })
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Whether `first` goes through a pooler in transaction mode, and `first` itself where it can still be
/// used. Where that cannot be told, as where the server lets no second connection in, it does not.
pub(crate) async fn stands_before(
    options: &PgConnectOptions,
    mut first: PgConnection,
) -> (bool, Option<PgConnection>) {
    let Ok(mut second) = connect(options).await else { return (false, Some(first)) };
    let (found, first) = match timeout(ANSWER, meet(&mut first, &mut second)).await {
        Ok(Ok(found)) => (found, Some(first)),
        Ok(Err(_broken)) => (false, None),
        // Where the pooler has one session for both, the second one holds it.
        Err(_silent) => (true, None),
    };
    let _gone_anyway = timeout(ANSWER, second.close()).await;
    (found, first)
}

async fn meet(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    for _ in 0..TRIES {
        // Of a pooler that lends the session which came back last, the second one gets this one, unless somebody
        // else was quicker. It is held for a statement of the first one, which meets another one meanwhile.
        let before = session(first, "select pg_backend_pid()").await?;
        let held = session(second, "begin; select pg_backend_pid()").await?;
        let now = session(first, "select pg_backend_pid()").await?;
        second.execute("rollback").await?;
        if held == before || held == now || now != before {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn session(connection: &mut PgConnection, sql: &'static str) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)
}
