//! `button_minutes`: how often each button was pressed in each minute.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};

use super::MINUTES;
use crate::domain::session::SessionEvent;

/// The clicks of a button in a minute, by the clocks of the browsers.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "button_minutes")]
pub struct ButtonMinute {
    /// When it begins.
    #[key]
    pub minute: DateTime<Utc>,
    /// The button.
    #[key]
    pub button_id: String,
    /// How often it was pressed.
    pub clicks: i64,
}

impl Fold for ButtonMinute {
    type Event = SessionEvent;

    fn keys(event: &Recorded<SessionEvent>) -> Vec<(DateTime<Utc>, String)> {
        match &event.event {
            SessionEvent::ButtonClicked { button_id, .. } => {
                vec![(MINUTES.start(event.occurred_at), button_id.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn fold(
        row: Option<Self>,
        (minute, button): &(DateTime<Utc>, String),
        _: &Recorded<SessionEvent>,
    ) -> Option<Self> {
        let clicks = row.map_or(0, |row| row.clicks) + 1;
        Some(Self { minute: *minute, button_id: button.clone(), clicks })
    }
}
