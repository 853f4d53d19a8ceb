//! A verification: a generation that is built to compare the one in service with, and removed after that. It has a state
//! of its own, so that it is never taken for one that could come into service.

use std::collections::HashSet;

use headwater_core::{Checkpoint, Difference, Error, GenerationState, Operation, Result};
use uuid::Uuid;

use super::Rebuild;
use crate::{
    batch,
    generation::{self, Generations},
    parking::Parking,
    projector::Applier,
    runner,
    status::{Phase, Rebuilt},
    units::Units,
};

impl Rebuild {
    /// Builds, compares with what is in service, and removes what was built, however that ends. Where it is dropped,
    /// the next verification removes it, or an instance.
    pub(crate) async fn verify(mut self) -> Result<Rebuilt> {
        self.state = GenerationState::Verifying;
        self.how.verify = true;
        let (log, projector, owner) = (self.log.clone(), self.projector.clone(), self.owner);
        let verified = self.go_on().await;
        if let Err(error) = generation::remove_verified(&log, projector.definition(), owner).await {
            let projection = &projector.definition().name;
            tracing::warn!(%projection, %error, "what was built to verify it is still there");
        }
        verified
    }

    /// Begins a build to compare the one in service with, and removes one that an earlier run has left.
    pub(super) async fn prepare_to_verify(&mut self) -> Result<Checkpoint> {
        let projector = self.projector.clone();
        let definition = projector.definition();
        let generations = Generations::of(&self.log, definition).await?;
        let left = generations.verifying();
        if let Some(own) = self.generation {
            let Some(left) = left.filter(|left| left.generation == own) else {
                let lacks = "is compared any more: somebody has removed what was built";
                return Err(Error::NoGeneration { projection: definition.name.clone(), lacks });
            };
            let owner = Some(self.owner);
            return generation::take_over(&self.log, definition, left.clone(), owner).await;
        }
        if let Some(left) = left {
            generation::remove_build(&self.log, definition, left.generation, self.owner).await?;
        }
        self.bring_live_up().await?;
        let next = generations.next_number(&self.log, definition).await?;
        generation::build_to_verify(&self.log, definition, next, self.owner).await
    }

    /// Brings what is in service up to date, before it is built anew to be compared with: where it stands still, that is
    /// known at once.
    async fn bring_live_up(&mut self) -> Result<()> {
        let (mut generation, mut live) = self.in_service().await?;
        if !live.are_inline() {
            let ceiling = self.log.ceiling().await?.position;
            for unit in live.behind(ceiling) {
                runner::catch_up(&self.log, &**unit, ceiling).await?;
            }
            (generation, live) = self.in_service().await?;
        }
        self.skips = live.skips();
        let left_out =
            if self.skips > 0 { self.left_out_of(generation).await? } else { HashSet::new() };
        self.parking = Parking::without(self.projector.on_failure(), left_out);
        Ok(())
    }

    /// The generation in service and its units, where this code has built it.
    async fn in_service(&self) -> Result<(u32, Units)> {
        let definition = self.projector.definition();
        let projection = || definition.name.clone();
        let live = Units::load(&self.log, &self.projector, GenerationState::Live).await?;
        let lacks = "is in service";
        let none = || Error::NoGeneration { projection: projection(), lacks };
        let generation = live.generation().ok_or_else(none)?;
        if !live.are_by(definition) {
            return Err(Error::ProjectionChanged { projection: projection() });
        }
        Ok((generation, live))
    }

    /// The events that an operator has had a generation leave out.
    async fn left_out_of(&self, generation: u32) -> Result<HashSet<Uuid>> {
        let sql = "select detail from {all_operations}
                   where action = 'skip' and projection = $1 and generation = $2";
        let name = self.projector.definition().name.as_str();
        let rows = self.log.query(sql, &[name.into(), i64::from(generation).into()]).await?;
        let details = rows.iter().map(|row| row.get::<String>("detail"));
        let details = details.collect::<Result<Vec<_>, _>>()?;
        Ok(details.iter().filter_map(|detail| Operation::event_left_out(detail)).collect())
    }

    /// Compares the rows with those in service, at the same position.
    pub(super) async fn compare(
        &mut self,
        building: &mut Checkpoint,
        applier: &mut Box<dyn Applier>,
    ) -> Result<Vec<Difference>> {
        self.report(building, Phase::Comparing, building.position);
        loop {
            let definition = self.projector.definition();
            let verifying = self.state == GenerationState::Verifying;
            let (in_service, mut live) = match self.in_service().await {
                // What comes into service first differs from nothing.
                Err(Error::NoGeneration { .. }) if !verifying => return Ok(Vec::new()),
                found => found?,
            };
            if verifying && live.skips() != self.skips {
                let name = &definition.name;
                let reason = format!("what is left out of {name} has changed: verify it again");
                return Err(Error::Mismatch { reason });
            }
            if live.are_inline() {
                // No append is to wait for the comparison; the runner lets it change inline again.
                let mut tx = self.log.store().begin().await?;
                tx.set_inline(&definition.name, false).await?;
                tx.commit().await?;
            }
            for projector in live.behind(building.position) {
                runner::catch_up(&self.log, &**projector, building.position).await?;
            }
            let mut tx = self.log.store().begin().await?;
            // Another one came into service, or it was moved back meanwhile.
            if !live.hold(&mut *tx).await? || live.are_behind(building.position) {
                tx.rollback().await?;
                continue;
            }
            let to = live.furthest(building.position);
            let events = self.last_events(building.position, to).await?;
            let brought = live.bring_to(&mut *tx, to).await?;
            let Some(events) = events.filter(|_| brought) else {
                tx.rollback().await?;
                let parts = self.reading.alone(self.projector.filter(), building.position);
                self.catch_up(building, applier, parts).await?;
                continue;
            };
            let (applier, parking) = (&mut **applier, &self.parking);
            let applied =
                batch::apply_behind(&mut *tx, applier, parking, building, to, events).await?;
            *building = applied.0;
            let differences = tx.compare(definition, in_service, building.generation).await?;
            tx.commit().await?;
            self.compared = verifying.then_some(in_service);
            return Ok(differences);
        }
    }
}
