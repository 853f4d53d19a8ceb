//! `projections parked`: the events that projections have set aside, and why.

use futures_util::TryStreamExt as _;
use headwater::{GenerationState, Log, Parked};
use serde::Serialize;
use uuid::Uuid;

use crate::{Failure, Output, envelope::time};

#[derive(Serialize)]
struct SetAside<'a> {
    projection: &'a str,
    generation: u32,
    position: u64,
    event_id: Uuid,
    stream: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    bytes: u64,
    attempts: u32,
    code: &'a str,
    error: &'a str,
    retry: bool,
    parked_at: String,
}

pub(super) async fn list(log: &Log, name: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    let checkpoints = log.checkpoints().await?;
    let wanted = checkpoints
        .iter()
        .filter(|c| name.is_none_or(|name| c.is_of(name) || c.projection == name))
        .filter(|c| c.state != GenerationState::Verifying);
    let (mut all, mut known) = (Vec::new(), false);
    for checkpoint in wanted {
        known |= checkpoint.state == GenerationState::Live;
        all.push((checkpoint, log.parked(checkpoint).try_collect::<Vec<_>>().await?));
    }
    if let Some(name) = name.filter(|_| !known) {
        let known: Vec<_> = checkpoints.iter().map(|c| c.projection.as_str()).collect();
        return Err(headwater::Error::unknown_projection(name, &known).into());
    }
    let rows = all.iter().flat_map(|(checkpoint, parked)| {
        parked.iter().map(|p| set_aside(&checkpoint.projection, checkpoint.generation, p))
    });
    if out.is_json() {
        return rows.into_iter().try_for_each(|row| out.object(&row));
    }
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return out.line("no event is set aside");
    }
    let header = ["PROJECTION", "GENERATION", "POSITION", "EVENT", "STREAM", "ATTEMPTS", "WHY"];
    out.table(&header, rows.into_iter().map(row))
}

fn set_aside<'a>(projection: &'a str, generation: u32, parked: &'a Parked) -> SetAside<'a> {
    SetAside {
        projection,
        generation,
        position: parked.position.0,
        event_id: parked.event_id,
        stream: parked.stream.as_str(),
        event_type: &parked.event_type,
        bytes: parked.bytes,
        attempts: parked.attempts,
        code: &parked.code,
        error: &parked.error,
        retry: parked.retry,
        parked_at: time(parked.parked_at),
    }
}

fn row(set_aside: SetAside<'_>) -> [String; 7] {
    [
        set_aside.projection.to_owned(),
        set_aside.generation.to_string(),
        set_aside.position.to_string(),
        set_aside.event_id.to_string(),
        set_aside.stream.to_owned(),
        set_aside.attempts.to_string(),
        set_aside.error.to_owned(),
    ]
}
