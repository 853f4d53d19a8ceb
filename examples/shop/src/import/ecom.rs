//! The clicks of a made-up shop: 31,106 in 3,605 sessions, with 19 names of events.
//!
//! A session is a stream, and its clicks keep the order of the file: the times were drawn one by one
//! and contradict it. From the Python package retentioneering (Apache-2.0).

use chrono::{DateTime, NaiveDateTime, Utc};
use csv::StringRecord;
use headwater::Append;

use super::{
    Dataset,
    ids::{Ids, begin},
};
use crate::domain::session::{Context, SessionEvent};

/// What the file says of a visitor: where he comes from, and how the shop won him.
const FURTHER: [&str; 4] = ["platform", "channel", "cohort", "lifecycle"];

/// The data set.
pub(super) struct Ecom;

/// A click of a session.
pub(super) struct Line {
    session: String,
    at: DateTime<Utc>,
    /// What the data set calls it, such as `shipping_details`.
    name: String,
    context: Context,
}

impl Dataset for Ecom {
    const NAME: &'static str = "ecom";
    const DELIMITER: u8 = b',';
    const COLUMNS: &'static [&'static str] = &[
        "user_id",
        "session_id",
        "event",
        "timestamp",
        "platform",
        "acquisition_channel",
        "user_cohort",
        "user_lifecycle",
    ];
    type Line = Line;

    fn read(_row: u64, fields: &StringRecord) -> Result<Line, String> {
        let field = |index| fields.get(index).unwrap_or_default().to_owned();
        let at = NaiveDateTime::parse_from_str(&field(3), "%Y-%m-%d %H:%M:%S");
        if field(1).is_empty() || field(2).is_empty() {
            return Err("session_id and event must not be empty".into());
        }
        Ok(Line {
            session: field(1),
            at: at.map_err(|_| "timestamp is not a time")?.and_utc(),
            name: field(2),
            context: Context {
                visitor: Some(field(0)),
                extra: FURTHER
                    .iter()
                    .zip(4..)
                    .map(|(name, i)| ((*name).into(), field(i).into()))
                    .collect(),
                ..Context::default()
            },
        })
    }

    fn at(line: &Line) -> DateTime<Utc> {
        line.at
    }

    fn group(line: &Line) -> String {
        line.session.clone()
    }

    // Rows may be the same in session, event and second: the ordinal in the session tells them apart.
    fn appends(ids: Ids, lines: &[Line]) -> headwater::Result<Vec<Append>> {
        let Some(first) = lines.first() else { return Ok(Vec::new()) };
        let id = ids.id("session", &first.session, first.at);
        let events = lines.iter().map(|line| (line.at, event(&line.name, line.context.clone())));
        Ok(vec![begin("session", id, events)?])
    }
}

fn event(name: &str, context: Context) -> SessionEvent {
    match name {
        "product_view" => SessionEvent::ProductViewed { sku: None, context },
        "search" | "filter_results" => {
            let description = Some(name.into());
            SessionEvent::SearchPerformed(Context { description, ..context })
        }
        "add_to_cart" | "wishlist_add" | "compare" | "purchase" => {
            SessionEvent::ButtonClicked { button_id: name.into(), context }
        }
        _ => SessionEvent::PageLoaded { url: name.into(), user_agent: None, context },
    }
}
