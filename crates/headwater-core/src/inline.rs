//! Inline projections: read models that change in the transaction of the append itself.
//!
//! The store serialises all appends while there is one of them (the table `inline_projections`), so that
//! nothing can be committed below what an append has written. An append applies its own events, where
//! the projection has applied all before them; what is left out is applied by the instance that keeps
//! the projection up to date.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;

use crate::{Appended, Error, ErrorKind, Position, Result, StoreTx, StoredEvent};

/// When a projection changes its read model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Soon after the append, by the instance that has the projection.
    #[default]
    Async,
    /// In the transaction of the append: whoever has appended finds it in the read model. All appends of
    /// the log wait for each other then, those of other processes as well.
    Inline,
}

/// A projection that can change in the transaction of an append.
#[async_trait]
pub trait Inline: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Whether an append goes on without it where it cannot apply the events, instead of being refused.
    fn goes_without(&self) -> bool;

    /// Applies what an append has written, in the append's transaction.
    async fn apply(&self, tx: &mut dyn StoreTx, written: &mut Written) -> Result<()>;
}

/// The inline projections of a process; a store has one such list.
#[derive(Default)]
pub struct Inlines(RwLock<Arc<[Arc<dyn Inline>]>>);

impl Inlines {
    /// Adds projections, until what it yields is dropped.
    pub fn add(self: &Arc<Self>, projections: Vec<Arc<dyn Inline>>) -> Inlined {
        self.change(|all| all.extend(projections.iter().cloned()));
        Inlined { all: self.clone(), own: projections }
    }

    /// Those of this moment.
    pub fn now(&self) -> Arc<[Arc<dyn Inline>]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<dyn Inline>>)) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = now.to_vec();
        change(&mut all);
        // In the same order everywhere, so that no two appends wait for each other.
        all.sort_by(|a, b| a.name().cmp(b.name()));
        *now = all.into();
    }
}

impl fmt::Debug for Inlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.now().iter().map(|inline| inline.name())).finish()
    }
}

/// Projections that are applied inline for as long as this lives.
#[must_use]
pub struct Inlined {
    all: Arc<Inlines>,
    own: Vec<Arc<dyn Inline>>,
}

impl Drop for Inlined {
    fn drop(&mut self) {
        let is_own = |one: &Arc<dyn Inline>| self.own.iter().any(|own| Arc::ptr_eq(own, one));
        self.all.change(|all| all.retain(|one| !is_own(one)));
    }
}

impl fmt::Debug for Inlined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.own.iter().map(|inline| inline.name())).finish()
    }
}

/// What a group of appends has written in the transaction that is open.
#[derive(Debug)]
pub struct Written {
    last: Position,
    count: usize,
    /// What lies behind this position.
    read: Option<(Position, Vec<StoredEvent>)>,
}

impl Written {
    /// What these appends have written, if anything.
    pub fn by(outcomes: &[Result<Appended>]) -> Option<Self> {
        let new = outcomes.iter().flatten().filter(|appended| !appended.repeated);
        let positions =
            || new.clone().flat_map(|a| &a.streams).flat_map(|stream| &stream.positions);
        let last = *positions().max()?;
        Some(Self { last, count: positions().count(), read: None })
    }

    /// The position of the last event.
    pub fn last(&self) -> Position {
        self.last
    }

    /// All events behind `after`; [`None`] where these are not just those that were written.
    ///
    /// # Errors
    ///
    /// Those of the transaction.
    pub async fn behind(
        &mut self,
        tx: &mut dyn StoreTx,
        after: Position,
    ) -> Result<Option<&[StoredEvent]>> {
        if self.read.as_ref().is_none_or(|(read, _)| *read != after) {
            // One more would be somebody else's.
            let limit = u32::try_from(self.count).unwrap_or(u32::MAX).saturating_add(1);
            self.read = Some((after, tx.events_behind(after, limit).await?));
        }
        let events = self.read.as_ref().map(|(_, events)| events.as_slice());
        Ok(events.filter(|events| events.len() == self.count))
    }
}

/// Why a group of appends could not be applied inline: nothing of it may be committed.
#[derive(Debug)]
pub struct Refused {
    /// The projection.
    pub projection: String,
    /// What came in the way.
    pub error: Error,
    /// Whether a single append goes on without the projection.
    pub goes_without: bool,
}

impl Refused {
    /// Whether only something else was in the way, such as a lock: the same may succeed when it is tried
    /// again, and an append is not refused for it.
    pub fn is_transient(&self) -> bool {
        self.error.kind() == ErrorKind::Retry
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        if refused.is_transient() {
            return refused.error;
        }
        let Refused { projection, error, .. } = refused;
        Self::InlineRefused { projection, reason: error.to_string() }
    }
}

/// Applies what a group of appends has written to the inline projections, without those in `without`.
///
/// # Errors
///
/// [`Refused`]: roll back.
pub async fn apply(
    projections: &[Arc<dyn Inline>],
    tx: &mut dyn StoreTx,
    outcomes: &[Result<Appended>],
    without: &[String],
) -> Result<(), Refused> {
    let Some(mut written) = Written::by(outcomes) else { return Ok(()) };
    for inline in projections {
        if without.iter().any(|name| name == inline.name()) {
            continue;
        }
        let mut applied = inline.apply(tx, &mut written).await;
        if applied.is_ok() && !tx.is_whole() {
            // Its code went on after a statement that was refused.
            applied = Err(Error::unfinished());
        }
        applied.map_err(|error| Refused {
            projection: inline.name().to_owned(),
            goes_without: inline.goes_without(),
            error,
        })?;
    }
    Ok(())
}
