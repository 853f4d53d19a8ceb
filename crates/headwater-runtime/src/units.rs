//! The units of a generation: its one checkpoint, or those of its partitions, which stand at places of their
//! own. Where the generation is looked at as a whole, they are held together and brought to one position.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _};
use headwater_core::{
    Checkpoint, Definition, Direction, Error, Filter, GenerationState, Log, Position, Reading,
    Result, StoreTx, StoredEvent,
};

use crate::{
    batch,
    parking::Parking,
    projector::{self, Projector},
};

/// How many events one transaction applies at most beside something else, and how many bytes of them.
const FEW: (usize, usize) = (10_000, 4 << 20);

/// All units of one generation.
pub(crate) struct Units {
    log: Log,
    all: Vec<Unit>,
}

struct Unit {
    at: Checkpoint,
    /// The code that it is kept up to date by, where this program has it.
    projector: Option<Arc<dyn Projector>>,
    parking: Parking,
    /// Where the events lie that it has set aside.
    parked: BTreeSet<Position>,
}

impl Units {
    /// Those of the projection's generation in this state. Not within a transaction, which a look at what is
    /// set aside would wait for.
    pub(crate) async fn load(
        log: &Log,
        projector: &Arc<dyn Projector>,
        state: GenerationState,
    ) -> Result<Self> {
        let definition = projector.definition();
        let own = projector::units(projector);
        let mut checkpoints = log.store().checkpoints().await?;
        checkpoints.retain(|c| c.is_of(&definition.name) && c.state == state);
        let mut all = Vec::new();
        for at in checkpoints {
            let same_code = at.fingerprint == definition.fingerprint;
            let projector = own.iter().find(|p| same_code && p.definition().name == at.projection);
            let mut parking = Parking::new(projector.map(|p| p.on_failure()).unwrap_or_default());
            let mut parked = BTreeSet::new();
            if at.parked > 0 {
                parking.load(log, &at).await?;
                parked = log.parked(&at).map_ok(|parked| parked.position).try_collect().await?;
            }
            all.push(Unit { at, projector: projector.cloned(), parking, parked });
        }
        Ok(Self { log: log.clone(), all })
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The number of the generation, if there is one.
    pub(crate) fn generation(&self) -> Option<u32> {
        self.all.first().map(|unit| unit.at.generation)
    }

    /// Whether this code has built all of them.
    pub(crate) fn are_by(&self, definition: &Definition) -> bool {
        self.all.iter().all(|unit| unit.at.fingerprint == definition.fingerprint)
    }

    /// Whether the same events are set aside in each, at one position of all.
    pub(crate) fn have_parked_the_same(&self) -> bool {
        self.all.iter().all(|unit| unit.parked == self.all[0].parked)
    }

    /// How often an operator had events left out, or moved it.
    pub(crate) fn skips(&self) -> u64 {
        self.all.iter().map(|unit| unit.at.skips).sum()
    }

    /// Whether they change with the appends.
    pub(crate) fn are_inline(&self) -> bool {
        self.all.iter().any(|unit| unit.at.inline)
    }

    /// The position of the one that has come furthest, if it is behind `start`.
    pub(crate) fn furthest(&self, start: Position) -> Position {
        self.all.iter().map(|unit| unit.at.position).fold(start, Position::max)
    }

    /// Whether one of them has not come to this position.
    pub(crate) fn are_behind(&self, position: Position) -> bool {
        self.all.iter().any(|unit| unit.at.position < position)
    }

    /// The code of those that have not come to this position.
    pub(crate) fn behind(&self, position: Position) -> impl Iterator<Item = &Arc<dyn Projector>> {
        let behind = self.all.iter().filter(move |unit| unit.at.position < position);
        behind.filter_map(|unit| unit.projector.as_ref())
    }

    /// Holds them, as they are now; `false` where one of them is not what it was any more.
    pub(crate) async fn hold(&mut self, tx: &mut dyn StoreTx) -> Result<bool> {
        for unit in &mut self.all {
            let before = &unit.at;
            match tx.hold(&before.projection, before.generation).await? {
                Some(now) if (now.state, now.parked) == (before.state, before.parked) => {
                    unit.at = now;
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Brings them to one position, in the transaction that holds them; `false` where one is too far behind.
    pub(crate) async fn bring_to(&mut self, tx: &mut dyn StoreTx, to: Position) -> Result<bool> {
        for unit in self.all.iter_mut().filter(|unit| unit.at.position < to) {
            let Some(projector) = &unit.projector else { return Ok(false) };
            let events = few_events(&self.log, projector.filter(), unit.at.position, to).await?;
            let Some(events) = events else { return Ok(false) };
            let (mut applier, parking) = (projector.begin(false), &unit.parking);
            let applied =
                batch::apply_behind(tx, &mut *applier, parking, &unit.at, to, events).await?;
            unit.parked.extend(applied.1.iter().map(|parked| parked.position));
            unit.at = applied.0;
        }
        Ok(true)
    }

    /// Brings them to one position, in batches.
    pub(crate) async fn catch_up(&mut self, to: Position) -> Result<()> {
        for unit in &mut self.all {
            while unit.at.position < to {
                let projection = unit.at.projection.clone();
                let changed = || Error::ProjectionChanged { projection };
                let projector = unit.projector.as_ref().ok_or_else(changed)?;
                let (filter, after) = (projector.filter().clone(), unit.at.position);
                let direction = Direction::Forward;
                let reading = Reading::Log { filter, after, until: to, direction };
                let events = self.log.store().read(reading).take(FEW.0);
                let mut events: Vec<_> = events.try_collect().await?;
                let last = events.last().map_or(to, |event| event.position);
                let end = if events.len() < FEW.0 { to } else { last };
                let held = unit.parking.hold_back(&mut events);
                let mut applier = projector.begin(false);
                unit.at =
                    batch::apply(&self.log, &mut *applier, &unit.at, end, events, &held).await?;
            }
        }
        Ok(())
    }
}

/// The events behind `after` up to `until`; `None` where they are too many for one transaction.
pub(crate) async fn few_events(
    log: &Log,
    filter: &Filter,
    after: Position,
    until: Position,
) -> Result<Option<Vec<StoredEvent>>> {
    let filter = filter.clone();
    let reading = Reading::Log { filter, after, until, direction: Direction::Forward };
    let mut read = log.store().read(reading);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(event) = read.try_next().await? {
        if events.len() == FEW.0 || bytes >= FEW.1 {
            return Ok(None);
        }
        bytes += event.size();
        events.push(event);
    }
    Ok(Some(events))
}
