//! `click_seconds`: how often a button was pressed and a page opened in each second.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded, Windows};

use crate::domain::session::SessionEvent;

const SECONDS: Windows = Windows::tumbling(1);

/// The clicks and page loads of a second, by the clocks of the browsers.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "click_seconds")]
pub struct ClickSecond {
    /// When it begins.
    #[key]
    pub second: DateTime<Utc>,
    /// How often a button was pressed.
    pub clicks: i64,
    /// How often a page was opened.
    pub loads: i64,
}

impl Fold for ClickSecond {
    type Event = SessionEvent;

    fn keys(event: &Recorded<SessionEvent>) -> Vec<DateTime<Utc>> {
        match &event.event {
            SessionEvent::ButtonClicked { .. } | SessionEvent::PageLoaded { .. } => {
                vec![SECONDS.start(event.occurred_at)]
            }
            SessionEvent::ProductViewed { .. } | SessionEvent::SearchPerformed(_) => Vec::new(),
        }
    }

    fn fold(
        row: Option<Self>,
        second: &DateTime<Utc>,
        event: &Recorded<SessionEvent>,
    ) -> Option<Self> {
        let mut counts = row.unwrap_or(Self { second: *second, clicks: 0, loads: 0 });
        match &event.event {
            SessionEvent::ButtonClicked { .. } => counts.clicks += 1,
            _ => counts.loads += 1,
        }
        Some(counts)
    }
}
