//! `projections list`: every build of every read model.

use headwater::{App, Checkpoint, Log};
use serde::Serialize;

use crate::{Failure, Output, envelope::time};

#[derive(Serialize)]
struct Listed<'a> {
    projection: &'a str,
    generation: u32,
    state: &'a str,
    position: u64,
    failed: bool,
    updated_at: Option<String>,
}

pub(super) async fn list(log: &Log, app: &App, out: &mut Output) -> Result<(), Failure> {
    let checkpoints = log.store().checkpoints().await?;
    let mut listed: Vec<_> = checkpoints.iter().map(listed).collect();
    for name in app.names() {
        if !checkpoints.iter().any(|checkpoint| checkpoint.projection == name) {
            listed.push(Listed {
                projection: name,
                generation: 0,
                state: "not-begun",
                position: 0,
                failed: false,
                updated_at: None,
            });
        }
    }
    listed.sort_by_key(|listed| (listed.projection, listed.generation));
    if out.is_json() {
        return listed.iter().try_for_each(|listed| out.object(listed));
    }
    if listed.is_empty() {
        return out.line("there are no projections yet");
    }
    let header = ["PROJECTION", "GENERATION", "STATE", "POSITION", "UPDATED AT"];
    out.table(&header, listed.into_iter().map(listed_row))
}

fn listed(checkpoint: &Checkpoint) -> Listed<'_> {
    Listed {
        projection: &checkpoint.projection,
        generation: checkpoint.generation,
        state: checkpoint.state.as_str(),
        position: checkpoint.position.0,
        failed: checkpoint.failure.is_some(),
        updated_at: Some(time(checkpoint.updated_at)),
    }
}

fn listed_row(listed: Listed<'_>) -> [String; 5] {
    [
        listed.projection.to_owned(),
        listed.generation.to_string(),
        listed.state.to_owned(),
        listed.position.to_string(),
        listed.updated_at.unwrap_or_default(),
    ]
}
