//! What is known of an aggregate, and how it is brought up to what the log holds.

use futures_util::TryStreamExt as _;
use uuid::Uuid;

use crate::{
    Aggregate, Decoder, Loaded, Log, Position, Recorded, Result, StreamName, snapshot::Snapshotter,
};

/// A state, and the event that it ends with.
#[derive(Clone)]
pub(crate) struct Known<A> {
    pub(crate) loaded: Loaded<A>,
    /// The id of the event at that version.
    pub(crate) last: Option<Uuid>,
    /// The bytes of the events in it.
    pub(crate) bytes: usize,
    /// The version of its snapshot; 0 where there is none.
    pub(crate) kept: u64,
    /// Whether there is one that does not fit.
    pub(crate) replaces: bool,
}

impl<A: Aggregate> Known<A> {
    /// An aggregate without events.
    pub(crate) fn nothing() -> Self {
        let loaded = Loaded { state: A::default(), version: 0, position: Position::START };
        Self { loaded, last: None, bytes: 0, kept: 0, replaces: false }
    }

    /// How much memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>().saturating_add(self.loaded.state.size().unwrap_or(self.bytes))
    }

    pub(crate) fn take_in(&mut self, event: &Recorded<A::Event>, bytes: usize) {
        let loaded = &mut self.loaded;
        loaded.state.apply(&event.event);
        (loaded.version, loaded.position) = (event.version, event.position);
        self.last = Some(event.id);
        self.bytes += bytes;
    }
}

/// Where aggregates of one kind are loaded from.
pub(crate) struct Source<A: Aggregate> {
    pub(crate) log: Log,
    pub(crate) decoder: Decoder<A::Event>,
    pub(crate) snapshots: Option<Snapshotter<A>>,
}

impl<A: Aggregate> Source<A> {
    /// The aggregate of a stream as it was at `until`, or as it is.
    pub(crate) async fn load(&self, stream: &StreamName, until: u64) -> Result<Known<A>> {
        let mut known = match &self.snapshots {
            Some(snapshots) => snapshots.find(&self.log, stream, until).await,
            None => Known::nothing(),
        };
        self.read_on(stream, &mut known, until).await?;
        Ok(known)
    }

    /// Brings what is known up to the end of its stream, and says whether it was not there.
    pub(crate) async fn bring_up(&self, stream: &StreamName, known: &mut Known<A>) -> Result<bool> {
        let last = known.last;
        self.read_on(stream, known, u64::MAX).await?;
        Ok(known.last != last)
    }

    /// Keeps a snapshot of it where it is time to, in a task of its own.
    pub(crate) fn keep(&self, stream: &StreamName, known: &mut Known<A>) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.keep(&self.log, stream, known);
        }
    }

    /// Reads what follows on what is known.
    ///
    /// Its last event is read once more: a log that was restored, or has lost its newest events in a
    /// failover, may hold another one there, and then all is read anew.
    async fn read_on(&self, stream: &StreamName, known: &mut Known<A>, until: u64) -> Result<()> {
        let mut events = self.log.read_stream(stream, known.loaded.version.max(1));
        if known.last.is_some() {
            let there = events.try_next().await?.map(|event| event.id);
            if there != known.last {
                tracing::warn!(%stream, version = known.loaded.version, "the log holds another event than the state that was kept: all is read anew");
                *known = Known { replaces: known.kept > 0, ..Known::nothing() };
                events = self.log.read_stream(stream, 1);
            }
        }
        while known.loaded.version < until
            && let Some(stored) = events.try_next().await?
        {
            let bytes = stored.event.data.len();
            known.take_in(&self.decoder.decode(stored)?, bytes);
        }
        if until == u64::MAX {
            self.keep(stream, known);
        }
        Ok(())
    }
}
