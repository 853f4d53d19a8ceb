//! The clicks of a made-up shop: 31,106 in 3,605 sessions, with 19 names of events.
//!
//! A session is a stream, and its clicks keep the order of the file: the times were drawn one by one
//! and contradict it. From the Python package retentioneering (Apache-2.0).

use chrono::{DateTime, NaiveDateTime, Utc};
use csv::StringRecord;
use headwater::{Append, Event};
use serde::{Deserialize, Serialize};

use super::{
    Dataset,
    ids::{Ids, begin},
};

/// What visitors do on the pages of a shop.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "session")]
pub enum TelemetryEvent {
    /// A page was opened.
    #[event(name = "page.loaded")]
    PageLoaded(Click),
    /// A button was pressed.
    #[event(name = "button.clicked")]
    ButtonClicked(Click),
    /// A product was looked at.
    #[event(name = "product.viewed")]
    ProductViewed(Click),
    /// Something was searched for.
    #[event(name = "search.performed")]
    SearchPerformed(Click),
}

/// A click, and who clicked where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Click {
    /// The data set's own name of the event, such as `shipping_details`.
    pub name: String,
    /// The visitor.
    pub user: String,
    /// `desktop`, `mobile` or `tablet`.
    pub platform: String,
    /// How the visitor was won, such as `email`.
    pub channel: String,
    /// The month of the first visit.
    pub cohort: String,
    /// `new`, `returning` or `loyal`.
    pub lifecycle: String,
}

/// The data set.
pub(super) struct Ecom;

/// A click of a session.
pub(super) struct Line {
    session: String,
    at: DateTime<Utc>,
    click: Click,
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
            click: Click {
                name: field(2),
                user: field(0),
                platform: field(4),
                channel: field(5),
                cohort: field(6),
                lifecycle: field(7),
            },
        })
    }

    fn group(line: &Line) -> String {
        line.session.clone()
    }

    // Rows may be the same in session, event and second: the ordinal in the session tells them apart.
    fn appends(ids: Ids, lines: &[Line]) -> headwater::Result<Vec<Append>> {
        let Some(first) = lines.first() else { return Ok(Vec::new()) };
        let id = ids.id("session", &first.session, first.at);
        let events = lines.iter().map(|line| (line.at, event(line.click.clone())));
        Ok(vec![begin("session", id, events)?])
    }
}

fn event(click: Click) -> TelemetryEvent {
    match &*click.name {
        "product_view" => TelemetryEvent::ProductViewed(click),
        "search" | "filter_results" => TelemetryEvent::SearchPerformed(click),
        "add_to_cart" | "wishlist_add" | "compare" | "purchase" => {
            TelemetryEvent::ButtonClicked(click)
        }
        _ => TelemetryEvent::PageLoaded(click),
    }
}
