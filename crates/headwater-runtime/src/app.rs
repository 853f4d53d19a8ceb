//! The list of what runs over a log.

use headwater_core::{Fold, Log, Result, SqlProjection};

use crate::{Progress, ProjectionStatus, Rebuilt};

/// The projections of a service: what runs over its log.
#[derive(Default)]
pub struct App {}

impl App {
    /// A service without projections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fold.
    #[must_use]
    pub fn projection<F: Fold>(self) -> Self {
        todo!()
    }

    /// Adds a projection in SQL.
    #[must_use]
    pub fn sql_projection<P: SqlProjection>(self, _projection: P) -> Self {
        todo!()
    }

    /// The names of the projections.
    pub fn names(&self) -> Vec<&str> {
        todo!()
    }

    /// Keeps every projection up to date until the future is dropped or all have failed.
    ///
    /// # Errors
    ///
    /// The first failure, when all projections stand still.
    pub async fn run(&self, _log: &Log) -> Result<()> {
        todo!()
    }

    /// Brings every projection up to the ceiling of this moment, and ends.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub async fn catch_up(&self, _log: &Log) -> Result<()> {
        todo!()
    }

    /// Where each projection stands; a generation that is being built is listed as well.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn status(&self, _log: &Log) -> Result<Vec<ProjectionStatus>> {
        todo!()
    }

    /// Rebuilds projections (no names: all) from position zero beside the ones in service, and swaps.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub async fn rebuild(
        &self,
        _log: &Log,
        _names: &[String],
        _progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Rebuilt>> {
        todo!()
    }
}
