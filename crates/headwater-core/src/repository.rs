//! Load, decide, append, and decide again where somebody else was faster.

use std::{convert::Infallible, fmt, marker::PhantomData, time::Duration};

use futures_util::TryStreamExt as _;
use uuid::Uuid;

use crate::{
    Aggregate, Decoder, Error, ExpectedVersion, Log, NewEvent, Position, Recorded, Result,
    StreamName,
};

/// The aggregates of one kind: loads them, and carries their decisions into the log.
#[derive(Clone)]
pub struct Repository<A: Aggregate> {
    log: Log,
    decoder: Decoder<A::Event>,
    retry: RetryPolicy,
    aggregate: PhantomData<fn() -> A>,
}

/// How often a decision is made anew after a conflict, and how long it pauses before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often at most; 10 by default.
    pub retries: u32,
    /// The longest pause before the first retry; 2 ms by default. It doubles with each further
    /// one, and the pause taken is a random part of it, so that rivals do not meet again.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 10, pause: Duration::from_millis(2) }
    }
}

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

/// A command that was carried out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Done<E> {
    /// The stream's version after the command.
    pub version: u64,
    /// The position of the stream's last event after the command.
    pub position: Position,
    /// What the decision yielded; empty where it saw nothing to do.
    pub events: Vec<E>,
    /// The metadata that the events were recorded with.
    pub metadata: Option<String>,
    /// Whether the command had been carried out before, and this is its first result.
    pub repeated: bool,
}

/// Why a command was not carried out: `R` is the domain's own refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError<R> {
    /// The domain refuses; nothing was written.
    Refused(R),
    /// The log could not take it.
    Log(Error),
}

impl<R> From<Error> for CommandError<R> {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl<R: fmt::Display> fmt::Display for CommandError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl<R: fmt::Display + fmt::Debug> std::error::Error for CommandError<R> {}

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
            log: log.clone(),
            decoder,
            retry: RetryPolicy::default(),
            aggregate: PhantomData,
        })
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
    /// # Errors
    ///
    /// [`Error::Decode`] where an event does not fit, [`Error::Unavailable`] (try again).
    pub async fn load(&self, id: &A::Id) -> Result<Loaded<A>> {
        self.load_until(id, u64::MAX).await
    }

    /// Loads an aggregate as it was at `version`: time travel.
    ///
    /// # Errors
    ///
    /// As for [`Repository::load`].
    pub async fn load_until(&self, id: &A::Id, version: u64) -> Result<Loaded<A>> {
        let mut loaded = Loaded { state: A::default(), version: 0, position: Position::START };
        let mut events = self.log.read_stream(&self.stream(id)?, 1);
        while loaded.version < version
            && let Some(stored) = events.try_next().await?
        {
            take_in(&mut loaded, &self.decoder.decode(stored)?);
        }
        Ok(loaded)
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
        Command {
            repository: self,
            id,
            expected: None,
            command_id: None,
            metadata: None,
            correlation_id: None,
            causation_id: None,
        }
    }
}

fn take_in<A: Aggregate>(loaded: &mut Loaded<A>, event: &Recorded<A::Event>) {
    loaded.state.apply(&event.event);
    loaded.version = event.version;
    loaded.position = event.position;
}

/// A command to one aggregate, before its decision; see [`Repository::command`].
pub struct Command<'a, A: Aggregate> {
    repository: &'a Repository<A>,
    id: &'a A::Id,
    expected: Option<u64>,
    command_id: Option<Uuid>,
    metadata: Option<String>,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
}

impl<A: Aggregate> Command<'_, A> {
    /// Demands that the stream is at this version. Such a command is not tried again by itself.
    #[must_use]
    pub fn expect_version(mut self, version: u64) -> Self {
        self.expected = Some(version);
        self
    }

    /// Gives the command an id of the caller's: when it comes again, it yields its first result.
    ///
    /// The ids of its events are derived from it and the stream (UUIDv5), so a command that yields no event leaves
    /// no trace and is simply decided again.
    #[must_use]
    pub fn command_id(mut self, id: Uuid) -> Self {
        self.command_id = Some(id);
        self
    }

    /// Records this JSON object with each event.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    /// Names the conversation that the events belong to.
    #[must_use]
    pub fn correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Names the message that causes the events.
    #[must_use]
    pub fn causation_id(mut self, id: Uuid) -> Self {
        self.causation_id = Some(id);
        self
    }

    /// Loads, decides, appends; after a conflict it decides again on the newer state.
    ///
    /// # Errors
    ///
    /// [`CommandError::Refused`] with the domain's own reason; [`CommandError::Log`] with
    /// [`Error::VersionConflict`] where the expected version is not met or the retries are used up,
    /// or with another error of [`Log::append`].
    pub async fn execute<R>(
        self,
        mut decide: impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, CommandError<R>> {
        let (stream, retry) = (self.repository.stream(self.id)?, &self.repository.retry);
        let mut attempt = 0;
        loop {
            let (loaded, earlier) = self.load(&stream).await?;
            if let Some(done) = earlier {
                return Ok(done);
            }
            if let Some(expected) = self.expected
                && expected != loaded.version
            {
                let expected = ExpectedVersion::Exact(expected);
                let actual = loaded.version;
                return Err(Error::VersionConflict { stream, expected, actual }.into());
            }
            let events = decide(&loaded.state).map_err(CommandError::Refused)?;
            match self.append(&stream, &loaded, events).await {
                Err(error) if self.may_decide_again(&error) && attempt < retry.retries => {
                    retry.pause(attempt).await;
                    attempt += 1;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Whether somebody else was faster, be it with this same command: then its result will be found.
    fn may_decide_again(&self, error: &Error) -> bool {
        match error {
            Error::VersionConflict { .. } => self.expected.is_none(),
            Error::IdempotencyConflict { .. } => self.command_id.is_some(),
            _ => false,
        }
    }

    /// The state, and the first result where this command was carried out before.
    async fn load(&self, stream: &StreamName) -> Result<(Loaded<A>, Option<Done<A::Event>>)> {
        let mut loaded = Loaded { state: A::default(), version: 0, position: Position::START };
        let mut earlier: Option<Done<A::Event>> = None;
        let mut events = self.repository.log.read_stream(stream, 1);
        while let Some(stored) = events.try_next().await? {
            let event = self.repository.decoder.decode(stored)?;
            take_in(&mut loaded, &event);
            let ordinal = earlier.as_ref().map_or(0, |done| done.events.len());
            if self.command_id.is_some_and(|command| event.id == event_id(command, stream, ordinal))
            {
                let done = earlier.get_or_insert_with(|| Done {
                    version: 0,
                    position: Position::START,
                    events: Vec::new(),
                    metadata: event.metadata,
                    repeated: true,
                });
                (done.version, done.position) = (event.version, event.position);
                done.events.push(event.event);
            }
        }
        Ok((loaded, earlier))
    }

    async fn append(
        &self,
        stream: &StreamName,
        loaded: &Loaded<A>,
        events: Vec<A::Event>,
    ) -> Result<Done<A::Event>> {
        let (mut version, mut position) = (loaded.version, loaded.position);
        let mut repeated = false;
        if !events.is_empty() {
            let encoded = self.encode(stream, &events)?;
            let expected = ExpectedVersion::Exact(loaded.version);
            let appended = self.repository.log.append(stream, expected, encoded).await?;
            (version, position) = (appended.version(), appended.position());
            repeated = appended.repeated && self.command_id.is_some();
        }
        Ok(Done { version, position, events, metadata: self.metadata.clone(), repeated })
    }

    fn encode(&self, stream: &StreamName, events: &[A::Event]) -> Result<Vec<NewEvent>> {
        let encode = |(ordinal, event)| {
            let mut new = NewEvent::of(event)?;
            if let Some(command) = self.command_id {
                new.id = event_id(command, stream, ordinal);
            }
            new.metadata.clone_from(&self.metadata);
            new.correlation_id = self.correlation_id;
            new.causation_id = self.causation_id;
            Ok(new)
        };
        events.iter().enumerate().map(encode).collect()
    }
}

/// The id of the event with this ordinal, from 0, that a command to a stream yields (UUIDv5, RFC 9562).
fn event_id(command: Uuid, stream: &StreamName, ordinal: usize) -> Uuid {
    Uuid::new_v5(&command, format!("{stream}/{ordinal}").as_bytes())
}

impl RetryPolicy {
    async fn pause(&self, attempt: u32) {
        let longest = self.pause.saturating_mul(1 << attempt.min(6));
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
    }
}

impl CommandError<Infallible> {
    /// The error of a command whose decision never refuses.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(never) => match never {},
            Self::Log(error) => error,
        }
    }
}
