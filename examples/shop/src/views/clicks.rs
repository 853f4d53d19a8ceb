//! `button_clicks` and `click_days`: what visitors press and open, for each button and for each day.

use chrono::NaiveDate;
use headwater::{Fold, ReadModel, Recorded};

use crate::domain::session::SessionEvent;

/// How often a button was pressed.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "button_clicks")]
pub struct ButtonClicks {
    /// The button.
    #[key]
    pub button_id: String,
    /// How often it was pressed.
    pub clicks: i64,
}

impl Fold for ButtonClicks {
    type Event = SessionEvent;

    fn keys(event: &Recorded<SessionEvent>) -> Vec<String> {
        match &event.event {
            SessionEvent::ButtonClicked { button_id, .. } => vec![button_id.clone()],
            _ => Vec::new(),
        }
    }

    fn fold(row: Option<Self>, button: &String, _: &Recorded<SessionEvent>) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { button_id: button.clone(), clicks })
    }
}

/// The clicks and page loads of a day, in UTC, by the clocks of the browsers.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "click_days")]
pub struct ClickDay {
    /// The day.
    #[key]
    pub day: NaiveDate,
    /// How often a button was pressed.
    pub clicks: i64,
    /// How often a page was opened.
    pub loads: i64,
}

impl Fold for ClickDay {
    type Event = SessionEvent;

    fn keys(event: &Recorded<SessionEvent>) -> Vec<NaiveDate> {
        vec![event.occurred_at.date_naive()]
    }

    fn fold(row: Option<Self>, day: &NaiveDate, event: &Recorded<SessionEvent>) -> Option<Self> {
        let mut counts = row.unwrap_or(Self { day: *day, clicks: 0, loads: 0 });
        match &event.event {
            SessionEvent::ButtonClicked { .. } => counts.clicks += 1,
            SessionEvent::PageLoaded { .. } => counts.loads += 1,
            SessionEvent::ProductViewed { .. } | SessionEvent::SearchPerformed(_) => {}
        }
        Some(counts)
    }
}
