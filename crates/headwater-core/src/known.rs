//! What is known of an aggregate, and how it is brought up to what the log holds.

use futures_util::TryStreamExt as _;
use uuid::Uuid;

use crate::{Aggregate, Decoder, Loaded, Log, Position, Recorded, Result, StreamName};

/// A state, and the event that it ends with.
#[derive(Clone)]
pub(crate) struct Known<A> {
    pub(crate) loaded: Loaded<A>,
    /// The id of the event at that version.
    pub(crate) last: Option<Uuid>,
    /// The bytes of the events in it.
    pub(crate) bytes: usize,
}

impl<A: Aggregate> Known<A> {
    /// An aggregate without events.
    pub(crate) fn nothing() -> Self {
        let loaded = Loaded { state: A::default(), version: 0, position: Position::START };
        Self { loaded, last: None, bytes: 0 }
    }

    /// How much memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.loaded.state.size().unwrap_or(self.bytes)
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
}

impl<A: Aggregate> Source<A> {
    /// The aggregate of a stream as it was at `until`, or as it is.
    pub(crate) async fn load(&self, stream: &StreamName, until: u64) -> Result<Known<A>> {
        let mut known = Known::nothing();
        self.read_on(stream, &mut known, until).await?;
        Ok(known)
    }

    /// Brings what is known up to the end of its stream, and says whether it was not there.
    ///
    /// The last event that is known is read once more: a log that was restored, or has lost its newest
    /// events in a failover, may hold another one there, and then all is read anew.
    pub(crate) async fn bring_up(&self, stream: &StreamName, known: &mut Known<A>) -> Result<bool> {
        let version = known.loaded.version;
        self.read_on(stream, known, u64::MAX).await?;
        Ok(known.loaded.version != version)
    }

    async fn read_on(&self, stream: &StreamName, known: &mut Known<A>, until: u64) -> Result<()> {
        let mut events = self.log.read_stream(stream, known.loaded.version.max(1));
        if known.last.is_some() {
            let there = events.try_next().await?.map(|event| event.id);
            if there != known.last {
                *known = Known::nothing();
                events = self.log.read_stream(stream, 1);
            }
        }
        while known.loaded.version < until
            && let Some(stored) = events.try_next().await?
        {
            let bytes = stored.event.data.len();
            known.take_in(&self.decoder.decode(stored)?, bytes);
        }
        Ok(())
    }
}
