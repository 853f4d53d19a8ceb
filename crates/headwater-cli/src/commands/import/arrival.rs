//! Where an import has come: what its batches find in the log, and what they add.
//!
//! The order of the lines is the order of the log, or the import is refused: so what the log holds already
//! must be the beginning of the lines, and nothing but that.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use headwater::{Appended, Error, Log, Position, StoredEvent, StreamName};

use super::batch::{Arriving, Batch, appends};
use crate::{Exit, Failure};

/// The log, and how much of the import it holds.
pub(super) struct Arrival<'a> {
    log: &'a Log,
    events: u64,
    appended: u64,
    /// The position of the last event.
    last: Position,
    /// The line of the first event that was added.
    first_added: Option<u64>,
}

impl<'a> Arrival<'a> {
    pub(super) fn at(log: &'a Log) -> Self {
        Self { log, events: 0, appended: 0, last: Position::START, first_added: None }
    }

    /// How many events of the import the log holds.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// How many of them the import has added.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Sees that the log holds the events of a batch.
    pub(super) async fn take(&mut self, batch: Batch) -> Result<(), Failure> {
        let events = batch.into_events();
        match self.log.append_all(appends(&events)).await {
            Ok(appended) if appended.repeated => self.found_again(&events, &appended),
            Ok(appended) => {
                self.added(&events, &appended);
                Ok(())
            }
            // Some of it may be there, or all, in another cut or with a time that its writer left open.
            Err(Error::VersionConflict { .. } | Error::IdempotencyConflict { .. }) => {
                self.take_rest(events).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn take_rest(&mut self, events: Vec<Arriving>) -> Result<(), Failure> {
        let there = self.find(&events).await?;
        let found = |arriving: &Arriving| there.get(&(arriving.stream.clone(), arriving.version));
        let mut rest = events.iter().position(|arriving| found(arriving).is_none());
        let rest = rest.get_or_insert(events.len());
        for (index, arriving) in events.iter().enumerate() {
            let Some(there) = found(arriving) else { continue };
            if !arriving.is(there) {
                let Arriving { stream, version, .. } = arriving;
                let reason =
                    format!("stream {stream} holds another event than its at version {version}");
                return Err(conflict(arriving, &reason));
            }
            let missing = (index > *rest).then(|| events[*rest].line).or(self.first_added);
            self.pass(arriving, there.position, missing)?;
        }
        self.events += *rest as u64;
        let rest = &events[*rest..];
        if rest.is_empty() {
            return Ok(());
        }
        match self.log.append_all(appends(rest)).await {
            Ok(appended) if appended.repeated => self.found_again(rest, &appended),
            Ok(appended) => {
                self.added(rest, &appended);
                Ok(())
            }
            Err(Error::VersionConflict { stream, actual, .. }) => {
                let of_stream = rest.iter().find(|arriving| arriving.stream == stream);
                let arriving = of_stream.unwrap_or(&rest[0]);
                let version = arriving.version;
                let reason = format!(
                    "its version {version} of stream {stream} does not fit: it is at {actual}"
                );
                Err(conflict(arriving, &reason))
            }
            Err(Error::IdempotencyConflict { event_id }) => {
                let of_id = rest.iter().find(|arriving| arriving.event.id == event_id);
                let reason =
                    format!("its event id {event_id} is taken by another event of the log");
                Err(conflict(of_id.unwrap_or(&rest[0]), &reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the log holds in the places of these events.
    async fn find(
        &self,
        events: &[Arriving],
    ) -> Result<HashMap<(StreamName, u64), StoredEvent>, Failure> {
        let mut ranges = HashMap::new();
        for Arriving { stream, version, .. } in events {
            ranges.entry(stream).or_insert((*version, *version)).1 = *version;
        }
        let mut found = HashMap::new();
        for (stream, (first, last)) in ranges {
            let mut there = self.log.read_stream(stream, first);
            while let Some(event) = there.try_next().await? {
                let version = event.version;
                found.insert((stream.clone(), version), event);
                if version >= last {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The whole of a batch is there, of an earlier import.
    fn found_again(&mut self, events: &[Arriving], appended: &Appended) -> Result<(), Failure> {
        let runs = events.chunk_by(|a, b| a.stream == b.stream);
        for (run, there) in runs.zip(&appended.streams) {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            if last.version != there.version {
                let (version, stream) = (last.version, &last.stream);
                let reason = format!(
                    "its event is version {} of stream {stream}, and not {version}",
                    there.version
                );
                return Err(conflict(first, &reason));
            }
            for (arriving, position) in run.iter().zip(&there.positions) {
                self.pass(arriving, *position, self.first_added)?;
            }
        }
        self.events += events.len() as u64;
        Ok(())
    }

    fn added(&mut self, events: &[Arriving], appended: &Appended) {
        self.first_added = self.first_added.or(Some(events[0].line));
        self.events += events.len() as u64;
        self.appended += events.len() as u64;
        self.last = appended.position();
    }

    /// Goes past an event that is there. It must lie behind all those of the lines before.
    fn pass(
        &mut self,
        arriving: &Arriving,
        position: Position,
        missing: Option<u64>,
    ) -> Result<(), Failure> {
        if let Some(line) = missing {
            let reason =
                format!("its event is in the log, and that of line {line} before it was not");
            return Err(conflict(arriving, &reason));
        }
        if position <= self.last {
            return Err(conflict(
                arriving,
                "its event lies in the log before that of a line before",
            ));
        }
        self.last = position;
        Ok(())
    }
}

fn conflict(arriving: &Arriving, reason: &str) -> Failure {
    let message = format!("line {} cannot be imported: {reason}", arriving.line);
    Failure::new(Exit::Conflict, "import-conflict", message)
}
