//! Folds: rows of a whole batch loaded at once, folded in memory, written back at once.
//!
//! Rows are kept between batches. That is safe because rows change only together with the
//! checkpoint, whose compare-and-set refuses this runner as soon as another one has moved it.

use std::{collections::HashMap, marker::PhantomData, sync::Arc};

use async_trait::async_trait;
use headwater_core::{
    Decoder, Definition, Error, FailurePolicy, Filter, Fold, Lifecycle, Log, Position, ReadModel,
    Recorded, Result, RowTx, TableDefinition, Value, partition::of_key,
};

use crate::{
    projector::{Applier, Events, Projector},
    row_changes::RowChanges,
};

/// How many rows are kept between batches.
const KEPT: usize = 100_000;

/// A projection that is a fold.
pub(crate) struct FoldProjector<F: Fold> {
    definition: Definition,
    filter: Filter,
    decoder: Arc<Decoder<F::Event>>,
    /// The partition whose rows it changes; all of them without one.
    partition: Option<u32>,
}

impl<F: Fold> FoldProjector<F> {
    pub(crate) fn new() -> Result<Self> {
        let table = F::table();
        let decoder = Decoder::new()?;
        let definition = Definition::new(
            table.name,
            F::VERSION,
            decoder.types(),
            vec![TableDefinition::Columns(table)],
        );
        definition.check()?;
        if F::PARTITIONS == 0 {
            let none = format!("{} has no partition: declare one at least", definition.name);
            return Err(Error::InvalidInput(none));
        }
        if F::PARTITIONS > 1 && F::LIFECYCLE == Lifecycle::Inline {
            let both = format!("{} is inline: it cannot have partitions as well", definition.name);
            return Err(Error::InvalidInput(both));
        }
        let definition = definition.partitioned(F::PARTITIONS);
        let (filter, decoder) = (decoder.filter(), Arc::new(decoder));
        Ok(Self { definition, filter, decoder, partition: None })
    }
}

impl<F: Fold> Projector for FoldProjector<F> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn filter(&self) -> &Filter {
        &self.filter
    }

    fn on_failure(&self) -> FailurePolicy {
        F::ON_FAILURE
    }

    fn lifecycle(&self) -> Lifecycle {
        F::LIFECYCLE
    }

    fn partitions(&self) -> Vec<Arc<dyn Projector>> {
        if F::PARTITIONS == 1 {
            return Vec::new();
        }
        let part = |partition| Self {
            definition: self.definition.of_partition(partition),
            filter: self.filter.clone(),
            decoder: self.decoder.clone(),
            partition: Some(partition),
        };
        (0..F::PARTITIONS)
            .map(|partition| Arc::new(part(partition)) as Arc<dyn Projector>)
            .collect()
    }

    fn changes(&self, log: &Log, after: Position) -> Result<Option<RowChanges>> {
        log.changes::<F>(after).map(|changes| Some(RowChanges::of(changes)))
    }

    fn begin(&self, empty: bool) -> Box<dyn Applier> {
        Box::new(FoldApplier::<F> {
            partition: self.partition,
            decoder: self.decoder.clone(),
            events: Vec::new(),
            rows: HashMap::new(),
            complete: empty,
            fold: PhantomData,
        })
    }
}

struct FoldApplier<F: Fold> {
    partition: Option<u32>,
    decoder: Arc<Decoder<F::Event>>,
    /// The batch.
    events: Vec<Keyed<F>>,
    rows: HashMap<F::Key, Slot<F>>,
    /// Whether a row that is not kept does not exist, since nothing was there and all was kept.
    complete: bool,
    fold: PhantomData<F>,
}

/// An event, and the keys of the rows it touches.
type Keyed<F> = (Recorded<<F as Fold>::Event>, Vec<<F as ReadModel>::Key>);

type Written = (Vec<(Vec<Value>, Position)>, Vec<Vec<Value>>);

struct Slot<F> {
    row: Option<F>,
    /// The event of this batch that last touched the row.
    touched: Option<Position>,
}

#[async_trait]
impl<F: Fold> Applier for FoldApplier<F> {
    fn decode(&mut self, events: Events<'_>) -> Result<()> {
        let keyed = |event| {
            let event = self.decoder.decode(event)?;
            let mut keys = F::keys(&event);
            if let Some(partition) = self.partition {
                keys.retain(|key| of_key(&F::key_values(key), F::PARTITIONS) == partition);
            }
            Ok((event, keys))
        };
        self.events = events.map(keyed).collect::<Result<_>>()?;
        Ok(())
    }

    async fn apply(&mut self, tx: &mut dyn RowTx, generation: u32) -> Result<()> {
        self.load(tx, generation).await?;
        let touched = self.fold()?;
        self.write(tx, generation, touched).await?;
        if self.rows.len() > KEPT {
            self.rows = HashMap::new();
            self.complete = false;
        }
        Ok(())
    }
}

impl<F: Fold> FoldApplier<F> {
    async fn load(&mut self, tx: &mut dyn RowTx, generation: u32) -> Result<()> {
        let mut missing = Vec::new();
        for key in self.events.iter().flat_map(|(_, keys)| keys) {
            if !self.rows.contains_key(key) {
                self.rows.insert(key.clone(), Slot { row: None, touched: None });
                missing.push(F::key_values(key));
            }
        }
        if self.complete || missing.is_empty() {
            return Ok(());
        }
        for values in tx.load(&F::table(), generation, missing).await? {
            let row = F::from_values(values)?;
            if !self.rows.contains_key(&row.key()) {
                let reason =
                    format!("a key of {} does not read back as it was written", F::table().name);
                return Err(Error::Mismatch { reason });
            }
            self.rows.insert(row.key(), Slot { row: Some(row), touched: None });
        }
        Ok(())
    }

    /// Folds the batch, and yields the keys that it touched.
    fn fold(&mut self) -> Result<Vec<F::Key>> {
        let mut touched = Vec::new();
        for (event, keys) in std::mem::take(&mut self.events) {
            for key in keys {
                let slot = self.rows.get_mut(&key).expect("load has made a slot for each key");
                // A key that the event names twice.
                if slot.touched == Some(event.position) {
                    continue;
                }
                slot.row = F::fold(slot.row.take(), &key, &event);
                if slot.row.as_ref().is_some_and(|row| row.key() != key) {
                    let reason = format!(
                        "the fold of {} made a row with another key than it was asked for",
                        F::table().name
                    );
                    return Err(Error::Mismatch { reason });
                }
                if slot.touched.replace(event.position).is_none() {
                    touched.push(key);
                }
            }
        }
        Ok(touched)
    }

    /// The rows to save, and the keys of those to remove.
    fn written(&mut self, touched: &[F::Key]) -> Written {
        let (mut saved, mut removed) = (Vec::new(), Vec::new());
        for key in touched {
            let slot = self.rows.get_mut(key).expect("a touched key has its slot");
            match (&slot.row, slot.touched.take()) {
                (Some(row), Some(position)) => saved.push((row.to_values(), position)),
                _ => removed.push(F::key_values(key)),
            }
        }
        (saved, removed)
    }

    async fn write(
        &mut self,
        tx: &mut dyn RowTx,
        generation: u32,
        touched: Vec<F::Key>,
    ) -> Result<()> {
        let (saved, removed) = self.written(&touched);
        let table = F::table();
        if !saved.is_empty() {
            tx.save(&table, generation, saved).await?;
        }
        if !removed.is_empty() {
            tx.remove(&table, generation, removed).await?;
        }
        Ok(())
    }
}
