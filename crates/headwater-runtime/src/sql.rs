//! Projections in SQL: the user's statements in the batch's transaction.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_core::{
    BatchTx, Decoder, Definition, Filter, Result, SqlProjection, StoreTx, StoredEvent,
    TableDefinition,
};

use crate::projector::{Applier, Projector, decode_all, filter_of};

/// A projection in SQL.
pub(crate) struct SqlProjector<P: SqlProjection> {
    definition: Definition,
    filter: Filter,
    applier: Arc<SqlApplier<P>>,
}

struct SqlApplier<P: SqlProjection> {
    projection: P,
    decoder: Decoder<P::Event>,
}

impl<P: SqlProjection> SqlProjector<P> {
    pub(crate) fn new(projection: P) -> Result<Self> {
        let decoder = Decoder::new()?;
        let table = |(name, create): &(&str, &str)| TableDefinition::Sql {
            name: (*name).into(),
            create: (*create).into(),
        };
        let definition =
            Definition::new(P::NAME, P::VERSION, P::TABLES.iter().map(table).collect());
        definition.check()?;
        let filter = filter_of(&decoder);
        Ok(Self { definition, filter, applier: Arc::new(SqlApplier { projection, decoder }) })
    }
}

impl<P: SqlProjection> Projector for SqlProjector<P> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn filter(&self) -> &Filter {
        &self.filter
    }

    fn begin(&self, _empty: bool) -> Box<dyn Applier> {
        Box::new(self.applier.clone())
    }
}

#[async_trait]
impl<P: SqlProjection> Applier for Arc<SqlApplier<P>> {
    async fn apply(
        &mut self,
        tx: &mut dyn StoreTx,
        generation: u32,
        events: Vec<StoredEvent>,
    ) -> Result<()> {
        let events = decode_all(&self.decoder, events)?;
        self.projection.apply(&mut BatchTx::new(tx, generation), &events).await
    }
}
