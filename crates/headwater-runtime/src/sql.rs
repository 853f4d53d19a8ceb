//! Projections in SQL: the user's statements in the batch's transaction.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_core::{
    BatchTx, Decoder, Definition, FailurePolicy, Filter, Lifecycle, Log, Position, Recorded,
    Result, RowTx, SqlProjection, TableDefinition, task,
};

use crate::{
    projector::{Applier, Events, Projector},
    row_changes::RowChanges,
};

/// A projection in SQL.
pub(crate) struct SqlProjector<P: SqlProjection> {
    definition: Definition,
    filter: Filter,
    code: Arc<Code<P>>,
}

struct Code<P: SqlProjection> {
    projection: P,
    decoder: Decoder<P::Event>,
}

struct SqlApplier<P: SqlProjection> {
    code: Arc<Code<P>>,
    events: Vec<Recorded<P::Event>>,
}

impl<P: SqlProjection> SqlProjector<P> {
    pub(crate) fn new(projection: P) -> Result<Self> {
        let decoder = Decoder::new()?;
        let table = |(name, create): &(&str, &str)| TableDefinition::Sql {
            name: (*name).into(),
            create: (*create).into(),
        };
        let definition = Definition::new(
            P::NAME,
            P::VERSION,
            decoder.types(),
            P::TABLES.iter().map(table).collect(),
        );
        definition.check()?;
        let filter = decoder.filter();
        Ok(Self { definition, filter, code: Arc::new(Code { projection, decoder }) })
    }
}

impl<P: SqlProjection> Projector for SqlProjector<P> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn filter(&self) -> &Filter {
        &self.filter
    }

    fn on_failure(&self) -> FailurePolicy {
        P::ON_FAILURE
    }

    fn lifecycle(&self) -> Lifecycle {
        P::LIFECYCLE
    }

    fn partitions(&self) -> Vec<Arc<dyn Projector>> {
        Vec::new()
    }

    fn changes(&self, _: &Log, _: Position) -> Result<Option<RowChanges>> {
        Ok(None)
    }

    fn begin(&self, _empty: bool) -> Box<dyn Applier> {
        Box::new(SqlApplier { code: self.code.clone(), events: Vec::new() })
    }
}

#[async_trait]
impl<P: SqlProjection> Applier for SqlApplier<P> {
    fn decode(&mut self, events: Events<'_>) -> Result<()> {
        let decoded = events.map(|event| self.code.decoder.decode(event));
        self.events = decoded.collect::<Result<_>>()?;
        Ok(())
    }

    async fn apply(&mut self, tx: &mut dyn RowTx, generation: u32) -> Result<()> {
        let events = std::mem::take(&mut self.events);
        task::in_batch(self.code.projection.apply(&mut BatchTx::new(tx, generation), &events)).await
    }
}
