//! `projections history`: what operators have done, newest first.

use headwater::{Error, Log, Row};
use serde::Serialize;

use crate::{Failure, Output, envelope::time};

#[derive(Serialize)]
struct Operation {
    done_at: String,
    action: String,
    projection: String,
    generation: Option<i64>,
    detail: Option<String>,
    done_by: String,
}

pub(super) async fn show(log: &Log, name: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let sql = "select done_at, action, projection, generation, detail, done_by \
               from {all_operations} where $1 = '' or projection = $1 order by id desc";
    let rows = log.query(sql, &[name.unwrap_or_default().into()]).await?;
    if let Some(name) = name.filter(|_| rows.is_empty()) {
        // One that is gone has a history all the same.
        let checkpoints = log.checkpoints().await?;
        if !checkpoints.iter().any(|checkpoint| checkpoint.is_of(name)) {
            let known: Vec<_> = checkpoints.iter().map(|c| c.projection.as_str()).collect();
            return Err(Error::unknown_projection(name, &known).into());
        }
    }
    let operations = rows.iter().map(operation).collect::<Result<Vec<_>, _>>()?;
    if out.is_json() {
        return operations.iter().try_for_each(|operation| out.object(operation));
    }
    if operations.is_empty() {
        return out.line("nothing was done yet");
    }
    let header = ["DONE AT", "ACTION", "PROJECTION", "GENERATION", "DETAIL", "BY"];
    out.table(&header, operations.into_iter().map(row))
}

fn operation(row: &Row) -> headwater::Result<Operation> {
    Ok(Operation {
        done_at: time(row.get("done_at")?),
        action: row.get("action")?,
        projection: row.get("projection")?,
        generation: row.get("generation")?,
        detail: row.get("detail")?,
        done_by: row.get("done_by")?,
    })
}

fn row(operation: Operation) -> [String; 6] {
    [
        operation.done_at,
        operation.action,
        operation.projection,
        operation.generation.map(|generation| generation.to_string()).unwrap_or_default(),
        operation.detail.unwrap_or_default(),
        operation.done_by,
    ]
}
