//! The history of a stream, in the one form in which events leave the shop.

use axum::Json;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use headwater::{Aggregate, Decoder, Event, Position, Recorded, Repository};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{Kind, Problem};
use crate::Shop;

/// An event as it leaves the shop, with its data in the current schema.
#[derive(Serialize)]
struct Envelope {
    position: Position,
    stream: String,
    version: u64,
    event_id: Uuid,
    #[serde(rename = "type")]
    event_type: &'static str,
    schema: u32,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    data: Box<RawValue>,
}

/// Which part of a history is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default = "first")]
    from: u64,
    #[serde(default = "most")]
    limit: u16,
}

fn first() -> u64 {
    1
}

fn most() -> u16 {
    1000
}

impl Page {
    /// The events of one aggregate, oldest first, and a link to those behind them.
    pub(super) async fn read<A: Aggregate>(
        &self,
        shop: &Shop,
        repository: &Repository<A>,
        id: &A::Id,
        path: String,
    ) -> Result<Json<Value>, Problem> {
        let (stream, limit) = (repository.stream(id)?, usize::from(self.limit.clamp(1, most())));
        let decoder = Decoder::<A::Event>::new()?;
        let mut stored = shop.log.read_stream(&stream, self.from.max(1));
        let (mut events, mut next) = (Vec::new(), None);
        while let Some(event) = stored.try_next().await? {
            if events.len() == limit {
                next = Some(format!("{path}?from={}&limit={limit}", event.version));
                break;
            }
            events.push(Envelope::new(decoder.decode(event)?)?);
        }
        if events.is_empty() && shop.log.stream_info(&stream).await?.is_none() {
            return Err(Problem::new(Kind::NotFound, "there is no such history"));
        }
        Ok(Json(json!({ "events": events, "next": next })))
    }
}

impl Envelope {
    fn new<E: Event>(event: Recorded<E>) -> headwater::Result<Self> {
        let (event_type, schema) = event.event.event_type();
        let encode = || RawValue::from_string(event.event.encode()?);
        let data =
            encode().map_err(|_| headwater::Error::Encode { event_type: event_type.into() })?;
        Ok(Self {
            position: event.position,
            stream: event.stream.to_string(),
            version: event.version,
            event_id: event.id,
            event_type,
            schema,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            data,
        })
    }
}
