//! The runner: keeps one projection up to date, through every fault that waiting can cure.

use std::{sync::Arc, time::Duration};

use headwater_core::{
    Batch, Checkpoint, Cursor, Error, ErrorKind, Failure, Log, Position, Result, StoredEvent,
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    batch,
    generation::{self, Generations},
    projector::{Applier, Projector, guarded},
};

/// How many events one transaction applies at most.
const BATCH: usize = 5_000;

/// How long a checkpoint may lag behind events that its projection does not read.
const QUIET: Duration = Duration::from_millis(100);

/// How long a fault is waited out: the first pause, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Keeps the projection up to date; ends only when it is dropped.
///
/// A projection that fails stands still, with its failure noted in the store, until a rebuild or
/// another program has put a generation without failure into service.
pub(crate) async fn run(log: Log, projector: Arc<dyn Projector>) {
    loop {
        let error = match persist(&log, &*projector, None).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        let name = &projector.definition().name;
        tracing::error!(projection = %name, %error, "the projection stands still");
        sleep(PAUSE.1).await;
        while !mended(&log, &*projector).await {
            sleep(PAUSE.1).await;
        }
        tracing::info!(projection = %name, "the projection goes on");
    }
}

/// Brings the projection up to `target`; yields its failure where it fails.
pub(crate) async fn catch_up(log: &Log, projector: &dyn Projector, target: Position) -> Result<()> {
    persist(log, projector, Some(target)).await
}

/// Whether a failed projection may be tried again: a generation of this code, without a failure, is
/// in service.
async fn mended(log: &Log, projector: &dyn Projector) -> bool {
    let definition = projector.definition();
    let generations = Generations::of(log, definition).await;
    generations.is_ok_and(|generations| {
        generations.live().is_some_and(|live| {
            live.failure.is_none() && live.fingerprint == definition.fingerprint
        })
    })
}

/// Goes on through faults that waiting cures; notes the failure that ends it.
async fn persist(log: &Log, projector: &dyn Projector, target: Option<Position>) -> Result<()> {
    let mut pause = PAUSE.0;
    let mut run = Run { log, projector, target, singly_until: Position::START, at: None };
    loop {
        let before = run.position();
        let error = match guarded(&projector.definition().name, run.go()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Retry {
            if run.position() > before {
                pause = PAUSE.0;
            }
            tracing::debug!(projection = %projector.definition().name, %error, "trying again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        } else if !run.isolate() {
            run.note(&error).await;
            return Err(error);
        }
    }
}

/// One run of a projection, over as many tries as it takes.
struct Run<'a> {
    log: &'a Log,
    projector: &'a dyn Projector,
    target: Option<Position>,
    /// Up to here events are applied one by one, to find the one that fails.
    singly_until: Position,
    /// The checkpoint, and the batch that is being applied to it: its first and last event.
    at: Option<(Checkpoint, Option<(Failing, Position)>)>,
}

/// The first event of a batch.
#[derive(Clone, Copy)]
struct Failing {
    position: Position,
    event_id: uuid::Uuid,
}

impl Run<'_> {
    fn position(&self) -> Position {
        self.at.as_ref().map_or(Position::START, |(checkpoint, _)| checkpoint.position)
    }

    async fn go(&mut self) -> Result<()> {
        let mut checkpoint = match generation::live(self.log, self.projector.definition()).await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.at = None;
                return Err(error);
            }
        };
        // A failure that names no event was of the code or of the log, and both are right now.
        if checkpoint.failure.as_ref().is_some_and(|failure| failure.event_id.is_none()) {
            self.log.store().record_failure(&checkpoint, None).await?;
            checkpoint.failure = None;
        }
        let empty = checkpoint.position == Position::START;
        let mut applier = self.projector.begin(empty);
        let mut cursor = self.log.subscribe(self.projector.filter().clone(), checkpoint.position);
        self.at = Some((checkpoint, None));
        while self.target.is_none_or(|target| self.position() < target) {
            let batch = self.next_batch(&mut cursor).await?;
            self.apply(&mut *applier, batch).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, applier: &mut dyn Applier, batch: Batch) -> Result<()> {
        let Some((checkpoint, applying)) = &mut self.at else { return Ok(()) };
        *applying = batch.events.first().map(|first: &StoredEvent| {
            (Failing { position: first.position, event_id: first.id }, batch.position)
        });
        *checkpoint = batch::apply(self.log, applier, checkpoint, batch).await?;
        *applying = None;
        Ok(())
    }

    /// The next batch. One without events is held back for a moment, so that a projection that
    /// reads little does not commit for each event that it does not read.
    async fn next_batch(&self, cursor: &mut Cursor) -> Result<Batch> {
        let limit = if self.position() < self.singly_until { 1 } else { BATCH };
        let mut batch = cursor.next_batch(limit).await?;
        let deadline = Instant::now() + QUIET;
        while batch.events.is_empty() && batch.caught_up {
            match timeout_at(deadline, cursor.next_batch(limit)).await {
                Ok(next) => batch = next?,
                Err(_elapsed) => break,
            }
        }
        Ok(batch)
    }

    /// After a failed batch: whether its events can be tried one by one.
    fn isolate(&mut self) -> bool {
        match &self.at {
            Some((_, Some((first, last))))
                if first.position < *last && self.singly_until < *last =>
            {
                self.singly_until = *last;
                true
            }
            _ => false,
        }
    }

    async fn note(&self, error: &Error) {
        // Nothing is wrong with the read model, which newer code goes on with.
        if matches!(error, Error::ProjectionTooNew { .. }) {
            return;
        }
        let generations = Generations::of(self.log, self.projector.definition()).await;
        let live = generations.ok().and_then(|generations| generations.live().cloned());
        let Some(live) = live else { return };
        let failing = self.at.as_ref().and_then(|(_, applying)| applying.as_ref());
        let failure = Failure {
            position: failing.map_or(live.position, |(first, _)| first.position),
            event_id: failing.map(|(first, _)| first.event_id),
            error: error.to_string(),
        };
        if let Err(unnoted) = self.log.store().record_failure(&live, Some(&failure)).await {
            tracing::warn!(%unnoted, "the failure of a projection could not be noted");
        }
    }
}
