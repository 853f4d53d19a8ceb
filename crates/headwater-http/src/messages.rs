//! The messages of the feeds: the newest are written once for all who follow the log, and then copied.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use headwater::{Position, StoredEvent};
use uuid::Uuid;

use crate::sse;

/// How many messages are kept.
const KEPT: u64 = 1_024;

/// The largest message that is kept, in bytes: all of them are 4 MiB at most.
const LARGEST: usize = 4 << 10;

/// The messages that were written last, each in the place that its position tells.
pub(crate) struct Messages(Box<[Mutex<Kept>]>);

#[derive(Default)]
struct Kept {
    /// The id and the time as well, since a log that was restored may hold another event there, or that one again.
    of: Option<(Position, Uuid, DateTime<Utc>)>,
    text: String,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self((0..KEPT).map(|_| Mutex::default()).collect())
    }

    /// Adds the message of `event` to `text`.
    ///
    /// # Errors
    ///
    /// Where the event holds no JSON, which no append takes.
    pub(crate) fn write(&self, event: &StoredEvent, text: &mut String) -> serde_json::Result<()> {
        let place = usize::try_from(event.position.0 % KEPT).unwrap_or(0);
        let mut kept = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        let of = Some((event.position, event.id, event.recorded_at));
        if kept.of == of {
            text.push_str(&kept.text);
            return Ok(());
        }
        let begun = text.len();
        sse::write(text, Some(event.position), &event.event.event_type, &event.to_json()?);
        let written = &text[begun..];
        // One that is behind does not take the place of what the others are about to send.
        let newer = kept.of.is_none_or(|(position, ..)| position <= event.position);
        if newer && written.len() <= LARGEST {
            *kept = Kept { of, text: written.to_owned() };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use headwater::{Recorded, Stored, StreamName};

    use super::*;

    fn event(position: u64, id: u128, data: &str) -> StoredEvent {
        let at = DateTime::UNIX_EPOCH;
        Recorded {
            position: Position(position),
            stream: StreamName::from_store("cart-1"),
            version: 1,
            id: Uuid::from_u128(id),
            event: Stored {
                event_type: "cart.opened".into(),
                schema_version: 1,
                data: data.into(),
            },
            metadata: None,
            correlation_id: None,
            causation_id: None,
            occurred_at: at,
            recorded_at: at,
        }
    }

    #[test]
    fn an_event_is_never_sent_as_another_one_in_its_place() {
        let messages = Messages::new();
        let large = format!("\"{}\"", "x".repeat(LARGEST));
        // Each place is taken again: by a later event, by one of a log that was restored, by an earlier one.
        for (position, id, data) in [
            (7, 1, "1"),
            (7, 1, "1"),
            (7 + KEPT, 2, "2"),
            (7 + KEPT, 3, "3"),
            (7, 1, "1"),
            (8, 4, &large),
        ] {
            let event = event(position, id, data);
            let mut text = String::from("before\n\n");
            messages.write(&event, &mut text).expect("it is JSON");
            let json = event.to_json().expect("it is JSON");
            let expected =
                format!("before\n\nid: {position}\nevent: cart.opened\ndata: {json}\n\n");
            assert_eq!(text, expected);
        }
        let mut text = String::from("before\n\n");
        messages.write(&event(9, 5, "{"), &mut text).expect_err("it is no JSON");
        assert_eq!(text, "before\n\n");
    }
}
