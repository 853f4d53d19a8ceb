//! Rows of a statement, with the proof that there are no more.
//!
//! Where the thread of a connection ends in the middle of a result, the driver's stream of rows ends
//! as well, without an error. Only the count behind the last row shows that it was the last: a
//! reader that took fewer rows for all of them would skip events for ever.

use futures_util::TryStreamExt as _;
use headwater_core::Result;
use sqlx::{
    Either, Executor as _, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::errors::of_statement;

/// A statement with its parameters.
pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// All rows.
pub(crate) async fn fetch_all(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
) -> Result<Vec<SqliteRow>> {
    let (mut rows, mut whole) = (Vec::new(), false);
    let mut results = connection.fetch_many(statement);
    while let Some(result) = results.try_next().await.map_err(of_statement)? {
        match result {
            Either::Left(_) => whole = true,
            Either::Right(row) => rows.push(row),
        }
    }
    if whole { Ok(rows) } else { Err(of_statement(sqlx::Error::WorkerCrashed)) }
}

/// The row of a statement that has exactly one.
pub(crate) async fn fetch_one<T>(
    connection: &mut SqliteConnection,
    statement: Statement<'_>,
    decode: impl FnOnce(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<T> {
    let rows = fetch_all(connection, statement).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound).and_then(decode).map_err(of_statement)
}
