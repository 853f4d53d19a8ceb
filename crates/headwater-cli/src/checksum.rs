//! The checksum of a log: SHA-256 over what its writers gave, in the order of the log.
//!
//! Not over positions, which have holes, nor over the times of recording, which are the store's: so that
//! the same events have the same checksum in another log. docs/cli.md describes the bytes.

use headwater::StoredEvent;
use sha2::{Digest as _, Sha256};

/// The checksum of the events so far.
pub(crate) struct Checksum {
    hash: Sha256,
    events: u64,
}

impl Checksum {
    /// That of no events.
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), events: 0 }
    }

    /// Takes in the next event.
    pub(crate) fn add(&mut self, event: &StoredEvent) {
        self.events += 1;
        self.bytes(event.stream.as_str().as_bytes());
        self.hash.update(event.version.to_be_bytes());
        self.hash.update(event.id.as_bytes());
        self.bytes(event.event.event_type.as_bytes());
        self.hash.update(event.event.schema_version.to_be_bytes());
        self.bytes(event.event.data.as_bytes());
        self.optional(event.metadata.as_deref().map(str::as_bytes));
        self.optional(event.correlation_id.as_ref().map(|id| id.as_bytes().as_slice()));
        self.optional(event.causation_id.as_ref().map(|id| id.as_bytes().as_slice()));
        self.hash.update(event.occurred_at.timestamp_micros().to_be_bytes());
    }

    /// How many events it has taken in.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The checksum in words, such as `sha256:e3b0...`.
    pub(crate) fn finish(self) -> String {
        let digits = self.hash.finalize().into_iter().map(|byte| format!("{byte:02x}"));
        digits.fold("sha256:".to_owned(), |text, digit| text + &digit)
    }

    /// With their length before them, so that what ends one part cannot begin the next.
    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.hash.update([u8::from(bytes.is_some())]);
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }
}

#[cfg(test)]
pub(crate) fn of(events: &[StoredEvent]) -> String {
    let mut checksum = Checksum::new();
    events.iter().for_each(|event| checksum.add(event));
    checksum.finish()
}

/// An event with every member, for tests.
#[cfg(test)]
pub(crate) fn example() -> StoredEvent {
    use headwater::{Position, Recorded, Stored, StreamName};
    use uuid::Uuid;
    let time = |micros| chrono::DateTime::from_timestamp_micros(micros).unwrap();
    Recorded {
        position: Position(7),
        stream: StreamName::new("cart", 1).unwrap(),
        version: 2,
        id: Uuid::from_u128(3),
        event: Stored { event_type: "cart.opened".into(), schema_version: 1, data: "{}".into() },
        metadata: None,
        correlation_id: None,
        causation_id: Some(Uuid::from_u128(4)),
        occurred_at: time(1_000_001),
        recorded_at: time(2_000_002),
    }
}

#[cfg(test)]
mod tests {
    use headwater::{Position, StreamName};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_checksum_of_an_event_is_this_one_for_ever() {
        assert_eq!(
            of(&[]),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            of(&[example()]),
            "sha256:f34e1b7832348318edbcb7370b0b4b08d6382ea59cbbcd20daa503f481642a97"
        );
    }

    #[test]
    fn whatever_a_writer_gives_changes_it_and_nothing_of_the_store_does() {
        let same = |change: fn(&mut StoredEvent)| {
            let mut changed = example();
            change(&mut changed);
            of(&[changed]) == of(&[example()])
        };
        assert!(same(|event| event.position = Position(8)));
        assert!(same(|event| event.recorded_at = event.occurred_at));
        for change in [
            (|event| event.stream = StreamName::new("cart", 2).unwrap()) as fn(&mut StoredEvent),
            |event| event.version += 1,
            |event| event.id = Uuid::from_u128(9),
            |event| event.event.event_type.push('x'),
            |event| event.event.schema_version += 1,
            |event| event.event.data.push(' '),
            |event| event.metadata = Some(String::new()),
            |event| event.correlation_id = event.causation_id.take(),
            |event| event.causation_id = None,
            |event| event.occurred_at += chrono::TimeDelta::microseconds(1),
        ] {
            assert!(!same(change));
        }
    }
}
