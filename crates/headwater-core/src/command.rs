//! A command to one aggregate: how it is decided, at the aggregate's desk or by itself.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Aggregate, Appended, CommandError, Done, Error, ExpectedVersion, Loaded, NewEvent, Repository,
    Result, StreamName,
    desk::{Decided, Desk, Ending},
    known::Source,
    task,
};

type CommandResult<E, R> = Result<Done<E>, CommandError<R>>;

/// How an attempt to carry a command out has ended.
enum Ended<E, R> {
    Done(CommandResult<E, R>),
    /// Another writer was faster.
    Raced(Error),
    /// What it was decided on never happened, or there was no room.
    Again,
    /// It is to come to the desk again, and to share its append with no other.
    Apart,
    /// It may have been carried out before: the events of its stream tell.
    Alone,
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

impl<'a, A: Aggregate> Command<'a, A> {
    pub(crate) fn new(repository: &'a Repository<A>, id: &'a A::Id) -> Self {
        Self {
            repository,
            id,
            expected: None,
            command_id: None,
            metadata: None,
            correlation_id: None,
            causation_id: None,
        }
    }

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

    /// Decides on the state that is in memory or is loaded, and appends the events; after a conflict it
    /// decides again on the newer state.
    ///
    /// Where other commands of this process to the aggregate are under way, `decide` gets the state that
    /// they will leave behind, and runs again where they fail. The others wait while it runs: let it be
    /// quick, and wait for nothing.
    ///
    /// # Cancellation
    ///
    /// Once it has decided, the command is carried out although this future is dropped.
    ///
    /// # Errors
    ///
    /// [`CommandError::Refused`] with the domain's own reason; [`CommandError::Log`] with
    /// [`Error::VersionConflict`] where the expected version is not met or the retries are used up,
    /// or with another error of [`Log::append`](crate::Log::append).
    pub async fn execute<R>(
        self,
        decide: impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, CommandError<R>> {
        task::refuse_in_batch()?;
        // Without the aggregate's id, which may be a person's name or address.
        let span = tracing::info_span!(
            "command",
            category = A::CATEGORY,
            command_id = self.command_id.map(display),
            correlation_id = self.correlation_id.map(display),
        );
        self.carry_out(decide).instrument(span).await
    }

    async fn carry_out<R>(
        self,
        mut decide: impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, CommandError<R>> {
        let (stream, retry) = (self.repository.stream(self.id)?, &self.repository.retry);
        let (mut attempt, mut apart) = (0, false);
        let mut hot = self.repository.hot.as_ref();
        loop {
            let ended = match hot {
                Some(hot) => {
                    let desk = hot.desk(&self.repository.source, &stream);
                    self.at_desk(&desk, apart, &mut decide).await?
                }
                None => self.alone(&stream, &mut decide).await?,
            };
            match ended {
                Ended::Done(done) => return done,
                Ended::Again => {}
                Ended::Apart => apart = true,
                Ended::Alone => hot = None,
                Ended::Raced(_) if attempt < retry.retries => {
                    retry.pause(attempt).await;
                    attempt += 1;
                }
                Ended::Raced(error) => return Err(error.into()),
            }
        }
    }

    /// Decides at the aggregate's desk, together with the other commands of this process.
    async fn at_desk<R>(
        &self,
        desk: &Arc<Desk<A>>,
        apart: bool,
        decide: &mut impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Ended<A::Event, R>> {
        let turn = desk.turn().await;
        let mut fresh = !turn.is_ready();
        if fresh {
            turn.bring_up().await?;
        }
        loop {
            let decided = turn.decide(
                self.command_id.is_some(),
                apart,
                |known| match self.decide(&known.loaded, desk.stream(), decide) {
                    Ok(events) if events.is_empty() => Err(Ok(self.nothing(&known.loaded))),
                    decided => decided.map_err(Err),
                },
                |events| self.encode(desk.stream(), events),
            )?;
            let (outcome, result) = match decided {
                Decided::Nothing(result, None) => {
                    if fresh || !turn.bring_up().await? {
                        return Ok(self.unless_known(result));
                    }
                    // What it was decided on was old.
                    fresh = true;
                    continue;
                }
                Decided::Nothing(result, Some(outcome)) => (outcome, self.unless_known(result)),
                Decided::Full(outcome) => (outcome, Ended::Again),
                Decided::Drafted { events, version, last, outcome } => {
                    drop(turn);
                    return Ok(match outcome.end().await {
                        Ending::Durable(appended) => {
                            Ended::Done(Ok(self.done(events, version, last, &appended)))
                        }
                        Ending::Void => Ended::Again,
                        Ending::Conflict(error) => Ended::Raced(error),
                        Ending::Apart => Ended::Apart,
                        Ending::Repeated => Ended::Alone,
                        Ending::Failed(error) => return Err(error),
                    });
                }
            };
            drop(turn);
            let durable = matches!(outcome.end().await, Ending::Durable(_));
            let waits_for_it = matches!(result, Ended::Done(_));
            return Ok(if durable || !waits_for_it { result } else { Ended::Again });
        }
    }

    /// The result of a command without events, unless its id may be known to the log: then only a look
    /// at all its stream's events tells.
    fn unless_known<R>(&self, result: CommandResult<A::Event, R>) -> Ended<A::Event, R> {
        if self.command_id.is_some() { Ended::Alone } else { Ended::Done(result) }
    }

    /// Loads, decides and appends by itself; finds the first result of a command that comes again.
    async fn alone<R>(
        &self,
        stream: &StreamName,
        decide: &mut impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Ended<A::Event, R>> {
        let loaded = self.repository.source.load(stream, u64::MAX).await?.loaded;
        // Looked for after the load: what comes later is a conflict.
        if let Some(command) = self.command_id
            && let Some(done) = self.find_earlier(stream, command).await?
        {
            return Ok(Ended::Done(Ok(done)));
        }
        let events = match self.decide(&loaded, stream, decide) {
            Ok(events) => events,
            Err(error) => return Ok(Ended::Done(Err(error))),
        };
        match self.append(stream, &loaded, events).await {
            Err(error) if self.may_decide_again(&error) => Ok(Ended::Raced(error)),
            done => Ok(Ended::Done(Ok(done?))),
        }
    }

    fn decide<R>(
        &self,
        loaded: &Loaded<A>,
        stream: &StreamName,
        decide: &mut impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Vec<A::Event>, CommandError<R>> {
        match self.expected {
            Some(expected) if expected != loaded.version => {
                let (expected, actual) = (ExpectedVersion::Exact(expected), loaded.version);
                Err(Error::VersionConflict { stream: stream.clone(), expected, actual }.into())
            }
            _ => decide(&loaded.state).map_err(CommandError::Refused),
        }
    }

    fn nothing(&self, loaded: &Loaded<A>) -> Done<A::Event> {
        Done {
            version: loaded.version,
            position: loaded.position,
            events: Vec::new(),
            metadata: self.metadata.clone(),
            repeated: false,
        }
    }

    fn done(
        &self,
        events: Vec<A::Event>,
        version: u64,
        last: usize,
        appended: &Appended,
    ) -> Done<A::Event> {
        let positions = appended.streams.first().map_or(&[][..], |stream| &stream.positions);
        Done {
            version,
            position: positions.get(last).copied().unwrap_or_else(|| appended.position()),
            events,
            metadata: self.metadata.clone(),
            repeated: appended.repeated && self.command_id.is_some(),
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

    /// The first result of this command, where it was carried out before: its events lie side by side.
    async fn find_earlier(
        &self,
        stream: &StreamName,
        command: Uuid,
    ) -> Result<Option<Done<A::Event>>> {
        let Source { log, decoder, .. } = &*self.repository.source;
        let Some(first) = log.event(event_id(command, stream, 0)).await? else { return Ok(None) };
        let mut done = Done {
            version: first.version,
            position: first.position,
            events: Vec::new(),
            metadata: first.metadata,
            repeated: true,
        };
        let mut events = log.read_stream(stream, first.version);
        while let Some(stored) = events.try_next().await? {
            if stored.id != event_id(command, stream, done.events.len()) {
                break;
            }
            let event = decoder.decode(stored)?;
            (done.version, done.position) = (event.version, event.position);
            done.events.push(event.event);
        }
        Ok(Some(done))
    }

    async fn append(
        &self,
        stream: &StreamName,
        loaded: &Loaded<A>,
        events: Vec<A::Event>,
    ) -> Result<Done<A::Event>> {
        if events.is_empty() {
            return Ok(self.nothing(loaded));
        }
        let encoded = self.encode(stream, &events)?;
        let (expected, last) = (ExpectedVersion::Exact(loaded.version), encoded.len() - 1);
        let appended = self.repository.source.log.append(stream, expected, encoded).await?;
        Ok(self.done(events, appended.version(), last, &appended))
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
