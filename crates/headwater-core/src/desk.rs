//! The desk of one aggregate: where the commands to it are decided one after the other, on its state in
//! memory, and sent together.
//!
//! A command that finds nothing under way is sent at once. Those that come meanwhile are decided on the
//! state that the events under way will leave behind, and wait in one draft. It is sent as one append,
//! all or nothing, once the events before it are durable. Where those fail, it was decided on what never
//! happened: it is thrown away, and its commands come to the desk again. The same holds for a refusal:
//! it is told once what it was decided on is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::{Instrument as _, Span};

use crate::{
    Aggregate, Appended, Error, ExpectedVersion, NewEvent, Result, StreamName,
    known::{Known, Source},
};

/// How many events a draft takes from several commands.
const DRAFT_EVENTS: usize = 500;

/// How many bytes of events a draft takes from several commands.
const DRAFT_BYTES: usize = 1 << 20;

/// Where the commands to one aggregate are decided.
pub(crate) struct Desk<A: Aggregate> {
    source: Arc<Source<A>>,
    stream: StreamName,
    /// Held by whoever loads or decides.
    turn: tokio::sync::Mutex<()>,
    states: Mutex<States<A>>,
}

struct States<A> {
    /// What the log is known to have held.
    durable: Option<Known<A>>,
    /// Whether the log is likely to hold more.
    stale: bool,
    /// What was decided on the ground, and is under way.
    in_flight: Option<Draft<A>>,
    /// What was decided on that.
    pending: Option<Draft<A>>,
}

/// The events of some commands, and the state that they leave behind.
struct Draft<A> {
    known: Known<A>,
    base: u64,
    events: Vec<NewEvent>,
    bytes: usize,
    commands: usize,
    /// Whether one of its commands has an id of the caller's.
    named: bool,
    /// Whether it takes no other command.
    apart: bool,
    /// The span of its first command, which its append belongs to.
    span: Span,
    progress: watch::Sender<Progress>,
}

/// The events of a draft that is sent, and the version behind which they lie.
struct Sent {
    base: u64,
    events: Vec<NewEvent>,
    span: Span,
}

/// What has become of a draft.
#[derive(Clone)]
enum Progress {
    Waits,
    Sent,
    Ended(Ending),
}

/// How a draft has ended.
#[derive(Clone)]
pub(crate) enum Ending {
    /// Its events are in the log.
    Durable(Arc<Appended>),
    /// It was never sent, since what it was decided on never happened.
    Void,
    /// Another writer was faster.
    Conflict(Error),
    /// The log refused all of it, perhaps for the sake of one command: each is to come apart.
    Apart,
    /// Its command was carried out before.
    Repeated,
    /// The log could not take it.
    Failed(Error),
}

/// Tells what becomes of a draft.
pub(crate) struct Outcome(watch::Receiver<Progress>);

impl Outcome {
    /// Waits for the end.
    pub(crate) async fn end(mut self) -> Ending {
        drop(self.0.wait_for(|progress| matches!(progress, Progress::Ended(_))).await);
        match &*self.0.borrow() {
            Progress::Ended(ending) => ending.clone(),
            // Its task has gone with its runtime.
            Progress::Waits => Ending::Void,
            Progress::Sent => {
                let reason = "the program is shutting down".into();
                Ending::Failed(Error::OutcomeUnknown { reason })
            }
        }
    }
}

/// What came of a command at the desk.
pub(crate) enum Decided<E, V> {
    /// It yields no events. That holds where the draft that it was decided on becomes durable; where
    /// there is none, for the state that was known.
    Nothing(V, Option<Outcome>),
    /// Its events are in a draft.
    Drafted {
        /// The events.
        events: Vec<E>,
        /// The version of the last one.
        version: u64,
        /// Its index in the draft.
        last: usize,
        /// What becomes of the draft.
        outcome: Outcome,
    },
    /// The draft takes no more: come again when it has ended.
    Full(Outcome),
}

impl<A: Aggregate> Desk<A> {
    pub(crate) fn new(source: Arc<Source<A>>, stream: StreamName) -> Self {
        let states = States { durable: None, stale: false, in_flight: None, pending: None };
        Self { source, stream, turn: tokio::sync::Mutex::default(), states: Mutex::new(states) }
    }

    pub(crate) fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The right to load and decide.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn<'_, A> {
        Turn { desk: self, _turn: self.turn.lock().await }
    }

    /// What is known, without what is under way.
    pub(crate) fn known(&self) -> Option<Known<A>> {
        self.states().durable.clone()
    }

    /// Takes in what somebody has loaded, if it is news.
    pub(crate) fn learn(&self, known: Known<A>) {
        let mut states = self.states();
        let news = |durable: &Known<A>| durable.loaded.version < known.loaded.version;
        if states.durable.as_ref().is_none_or(news) {
            states.durable = Some(known);
        }
    }

    /// How much memory its states take, about.
    pub(crate) fn size(&self) -> usize {
        let states = self.states();
        let drafts =
            [&states.in_flight, &states.pending].into_iter().flatten().map(|draft| &draft.known);
        let sizes = states.durable.iter().chain(drafts).map(Known::size);
        sizes.fold(size_of::<Self>(), usize::saturating_add)
    }

    /// Sends the events of a draft, and those of the drafts that follow it, one after the other.
    fn send(self: &Arc<Self>, draft: Sent) {
        let desk = self.clone();
        // Made before the task: one whose runtime has ended is dropped at once.
        let guard = InFlight(Some(desk.clone()));
        tokio::spawn(async move {
            let mut draft = Some(draft);
            while let Some(Sent { base, events, span }) = draft {
                let expected = ExpectedVersion::Exact(base);
                let append = desk.source.log.append(&desk.stream, expected, events);
                draft = desk.land(append.instrument(span).await);
            }
            guard.end();
        });
    }

    /// Takes in how the append has ended. The next draft takes its place, and is to be sent, or is void.
    fn land(&self, appended: Result<Appended>) -> Option<Sent> {
        let mut states = self.states();
        let mut in_flight = states.in_flight.take()?;
        states.stale = true;
        let ending = match appended {
            Ok(appended) if appended.version() == in_flight.known.loaded.version => {
                in_flight.known.loaded.position = appended.position();
                self.source.keep(&self.stream, &mut in_flight.known);
                states.durable = Some(in_flight.known);
                states.in_flight = states.pending.take();
                states.stale = false;
                Ending::Durable(Arc::new(appended))
            }
            Ok(_earlier) => Ending::Repeated,
            Err(error @ Error::VersionConflict { .. }) => Ending::Conflict(error),
            Err(
                error @ (Error::Unavailable { .. }
                | Error::OutcomeUnknown { .. }
                | Error::Overloaded),
            ) => Ending::Failed(error),
            Err(_) if in_flight.commands > 1 => Ending::Apart,
            Err(Error::IdempotencyConflict { .. }) if in_flight.named => Ending::Repeated,
            Err(error) => Ending::Failed(error),
        };
        in_flight.progress.send_replace(Progress::Ended(ending));
        if let Some(void) = states.pending.take() {
            void.progress.send_replace(Progress::Ended(Ending::Void));
        }
        states.in_flight.as_mut().map(Draft::take_off)
    }

    fn states(&self) -> MutexGuard<'_, States<A>> {
        // Whoever panics has taken the state that he was changing out before.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that is under way. Where it ends with its runtime, nobody may wait for it for ever.
struct InFlight<A: Aggregate>(Option<Arc<Desk<A>>>);

impl<A: Aggregate> InFlight<A> {
    fn end(mut self) {
        self.0 = None;
    }
}

impl<A: Aggregate> Drop for InFlight<A> {
    fn drop(&mut self) {
        if let Some(desk) = &self.0 {
            let mut states = desk.states();
            // Whoever waits for them learns it from their senders.
            (states.in_flight, states.pending, states.stale) = (None, None, true);
        }
    }
}

/// The right to load and decide. Nobody else decides while it lasts, but what is under way may end.
pub(crate) struct Turn<'a, A: Aggregate> {
    desk: &'a Arc<Desk<A>>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl<A: Aggregate> Turn<'_, A> {
    /// Whether there is a state to decide on, which is not known to be old.
    pub(crate) fn is_ready(&self) -> bool {
        let states = self.desk.states();
        states.durable.is_some() && (states.in_flight.is_some() || !states.stale)
    }

    /// Reads what the log holds beyond what is known; says whether there was something. Only where
    /// nothing is under way.
    pub(crate) async fn bring_up(&self) -> Result<bool> {
        let Desk { source, stream, .. } = &**self.desk;
        let known = self.desk.known();
        let (known, moved) = match known {
            Some(mut known) => {
                let moved = source.bring_up(stream, &mut known).await?;
                (known, moved)
            }
            None => (source.load(stream, u64::MAX).await?, true),
        };
        let mut states = self.desk.states();
        states.durable = Some(known);
        states.stale = false;
        Ok(moved)
    }

    /// Decides a command on the newest state, and puts its events into the draft.
    ///
    /// `decide` gets what is known; `encode` what it has decided. A command that is `named` has an id of
    /// the caller's; one that is to be `apart` shares its draft with no other.
    pub(crate) fn decide<V>(
        &self,
        named: bool,
        apart: bool,
        decide: impl FnOnce(&Known<A>) -> Result<Vec<A::Event>, V>,
        encode: impl FnOnce(&[A::Event]) -> Result<Vec<NewEvent>>,
    ) -> Result<Decided<A::Event, V>> {
        let mut states = self.desk.states();
        let States { durable, in_flight, pending, .. } = &mut *states;
        let newest = pending.as_ref().or(in_flight.as_ref());
        let tip = newest.map(|draft| &draft.known).or(durable.as_ref());
        let tip = tip.expect("it was loaded in this turn or before");
        let events = match decide(tip) {
            Ok(events) => events,
            Err(nothing) => return Ok(Decided::Nothing(nothing, newest.map(Draft::outcome))),
        };
        let encoded = encode(&events)?;
        let bytes = encoded.iter().map(NewEvent::size).sum::<usize>();
        let count = encoded.len();
        if let Some(full) = pending.as_ref().filter(|draft| apart || !draft.has_room(count, bytes))
        {
            return Ok(Decided::Full(full.outcome()));
        }
        // Taken out: what panics in `apply` leaves no half-changed state behind.
        let new = pending.is_none().then(|| Draft::on(tip.clone()));
        let mut draft = new.or_else(|| pending.take()).expect("there is one or the other");
        draft.take_in(&events, encoded, bytes);
        draft.named |= named;
        draft.apart = apart;
        let decided = Decided::Drafted {
            events,
            version: draft.known.loaded.version,
            last: draft.events.len() - 1,
            outcome: draft.outcome(),
        };
        if in_flight.is_some() {
            *pending = Some(draft);
            return Ok(decided);
        }
        let events = draft.take_off();
        *in_flight = Some(draft);
        drop(states);
        self.desk.send(events);
        Ok(decided)
    }
}

impl<A: Aggregate> Draft<A> {
    fn on(known: Known<A>) -> Self {
        Self {
            base: known.loaded.version,
            known,
            events: Vec::new(),
            bytes: 0,
            commands: 0,
            named: false,
            apart: false,
            span: Span::current(),
            progress: watch::Sender::new(Progress::Waits),
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome(self.progress.subscribe())
    }

    /// Its events, for the log.
    fn take_off(&mut self) -> Sent {
        self.progress.send_replace(Progress::Sent);
        let (events, span) = (std::mem::take(&mut self.events), self.span.clone());
        Sent { base: self.base, events, span }
    }

    fn has_room(&self, events: usize, bytes: usize) -> bool {
        !self.apart
            && self.events.len() + events <= DRAFT_EVENTS
            && self.bytes + bytes <= DRAFT_BYTES
    }

    fn take_in(&mut self, events: &[A::Event], encoded: Vec<NewEvent>, bytes: usize) {
        for event in events {
            self.known.loaded.state.apply(event);
            self.known.loaded.version += 1;
        }
        self.known.last = encoded.last().map(|event| event.id);
        self.known.bytes += bytes;
        self.bytes += bytes;
        self.events.extend(encoded);
        if self.commands > 0 {
            Span::current().follows_from(&self.span);
        }
        self.commands += 1;
    }
}
