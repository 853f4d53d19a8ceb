//! The aggregates of one kind, and where commands to them begin.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Aggregate, Command, CommandError, Decoder, Done, Error, Log, Position, Result, RetryPolicy,
    Snapshots, StreamName, hot::Hot, known::Source, snapshot::Snapshotter,
};

/// The aggregates of one kind: loads them, and carries their decisions into the log.
///
/// It keeps the states of those that were used last. Commands to one aggregate are decided one
/// after the other on the state in memory, and share an append where they come together; what another
/// process has written is noticed by the log, and decided upon anew. So have one repository for a kind
/// of aggregate, and clone it, which is cheap: two that do not know of each other are two writers.
#[derive(Clone)]
pub struct Repository<A: Aggregate> {
    pub(crate) source: Arc<Source<A>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) hot: Option<Arc<Hot<A>>>,
}

/// How many bytes of states a repository keeps, unless it is told otherwise.
const CACHE: usize = 16 << 20;

/// An aggregate's state, and how far it was loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// The version of the stream's last event; 0 where there is no stream.
    pub version: u64,
    /// The position of that event.
    pub position: Position,
}

impl<A: Aggregate> Repository<A> {
    /// The aggregates in `log`.
    ///
    /// # Errors
    ///
    /// [`Error::EventDeclaration`] where the events of `A` are declared in a way that cannot be
    /// read back, or for another category than the one of `A`: mend the declaration.
    pub fn new(log: &Log) -> Result<Self> {
        let decoder = Decoder::<A::Event>::new()?;
        // Readers of the events' own category would never see those of such an aggregate.
        if let Some(stray) = decoder.types().into_iter().find(|kind| kind.category != A::CATEGORY) {
            let reason = format!(
                "its category is {}, and its aggregate's is {}",
                stray.category,
                A::CATEGORY
            );
            return Err(Error::EventDeclaration { event_type: stray.name.into(), reason });
        }
        Ok(Self {
            source: Arc::new(Source { log: log.clone(), decoder, snapshots: None }),
            retry: RetryPolicy::default(),
            hot: Some(Arc::new(Hot::new(CACHE))),
        })
    }

    /// Sets how many bytes of states it keeps in memory; 16 MiB by default. With 0 it keeps none, and
    /// each command loads and appends by itself.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.hot = (bytes > 0).then(|| Arc::new(Hot::new(bytes)));
        self
    }

    /// Takes snapshots: of an aggregate with many events only those since its last snapshot are read.
    ///
    /// They are written beside the commands, and never trusted: one that was folded by other code,
    /// cannot be read or does not fit the log is left aside with a warning, and replaced.
    #[must_use]
    pub fn snapshots(mut self, snapshots: Snapshots) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        let Source { log, decoder, .. } = &*self.source;
        let (log, decoder) = (log.clone(), decoder.clone());
        let snapshots = Some(Snapshotter::new(snapshots, &decoder));
        self.source = Arc::new(Source { log, decoder, snapshots });
        // The states in memory belong to desks that know of no snapshots.
        self.hot = self.hot.map(|hot| Arc::new(Hot::new(hot.bound())));
        self
    }

    /// Sets how often a decision is made anew after a conflict.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The stream of the aggregate `id`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] where the id cannot be a part of a stream's name.
    pub fn stream(&self, id: &A::Id) -> Result<StreamName> {
        StreamName::new(A::CATEGORY, id)
    }

    /// Loads an aggregate; one that has no events yet is at version 0.
    ///
    /// One that is kept in memory is compared with the log first, and brought up to it.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] where an event does not fit, [`Error::Unavailable`] (try again).
    pub async fn load(&self, id: &A::Id) -> Result<Loaded<A>> {
        let stream = self.stream(id)?;
        let (known, news) = match self.hot.as_ref().and_then(|hot| hot.find(&stream)?.known()) {
            Some(mut known) => {
                let news = self.source.bring_up(&stream, &mut known).await?;
                (known, news)
            }
            None => (self.source.load(&stream, u64::MAX).await?, true),
        };
        if let Some(hot) = self.hot.as_ref().filter(|_| news) {
            hot.desk(&self.source, &stream).learn(known.clone());
        }
        Ok(known.loaded)
    }

    /// Loads an aggregate as it was at `version`: time travel.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`].
    pub async fn load_until(&self, id: &A::Id, version: u64) -> Result<Loaded<A>> {
        Ok(self.source.load(&self.stream(id)?, version).await?.loaded)
    }

    /// Loads, decides, appends; after a conflict it decides again on the newer state.
    ///
    /// # Errors
    ///
    /// As for [`Command::execute`].
    pub async fn execute<R>(
        &self,
        id: &A::Id,
        decide: impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, CommandError<R>> {
        self.command(id).execute(decide).await
    }

    /// Makes several decisions, each on the state that the ones before made, and appends all their
    /// events at once. A refusal of one refuses all.
    ///
    /// # Errors
    ///
    /// As for [`Command::execute`].
    pub async fn execute_all<C, R>(
        &self,
        id: &A::Id,
        commands: impl IntoIterator<Item = C>,
        mut decide: impl FnMut(&A, &C) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, CommandError<R>> {
        let commands: Vec<C> = commands.into_iter().collect();
        self.execute(id, move |state| {
            let mut state = state.clone();
            let mut events = Vec::new();
            for command in &commands {
                let decided = decide(&state, command)?;
                decided.iter().for_each(|event| state.apply(event));
                events.extend(decided);
            }
            Ok(events)
        })
        .await
    }

    /// A command with more to say than its decision: an expected version, ids, metadata.
    pub fn command<'a>(&'a self, id: &'a A::Id) -> Command<'a, A> {
        Command::new(self, id)
    }
}
