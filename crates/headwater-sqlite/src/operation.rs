//! Operations: what operators did, recorded in the transaction of the act.

use headwater_core::{Operation, Result};
use sqlx::SqliteConnection;

use crate::{errors::of_statement, store::now};

pub(crate) async fn record(connection: &mut SqliteConnection, operation: &Operation) -> Result<()> {
    let Operation { id, action, projection, generation, detail, by } = operation;
    let record = sqlx::query(include_str!("operation_record.sql"))
        .bind(id)
        .bind(*action)
        .bind(projection)
        .bind(generation)
        .bind(detail)
        .bind(by)
        .bind(now().timestamp_micros());
    record.execute(connection).await.map(drop).map_err(of_statement)
}
