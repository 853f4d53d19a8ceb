//! Events as programs read them.

use headwater::StoredEvent;

use crate::{Exit, Failure, Output};

pub(crate) use headwater::envelope::time;

/// Writes an event as one line of JSON.
pub(crate) fn write(out: &mut Output, event: &StoredEvent) -> Result<(), Failure> {
    let json = event.to_json().map_err(|_| {
        let message = format!("the event at position {} holds no JSON", event.position);
        Failure::new(Exit::Failed, "not-json", message)
    })?;
    out.line(json)
}
