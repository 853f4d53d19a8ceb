//! Builds of several projections at once: rebuilds and verifications that a program does by itself, beside
//! the instances that run.

use std::{num::NonZeroU32, sync::Arc};

use headwater_core::{Error, Log, Result, Work};
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    app::{App, all},
    generation::{self, Generations},
    held_leases::HeldLeases,
    process,
    projector::Projector,
    rebuild::{self, Rebuild, WhenHeld},
    shared_reading::SharedReading,
    status::{Progress, Rebuilt},
};

/// How a rebuild is done.
#[derive(Clone, Debug, Default)]
pub struct RebuildOptions {
    /// Whether what is built is held back when it is complete, until an operator puts it into service.
    pub hold: bool,
    /// Whether its rows are compared with those in service, at the same position, before they are
    /// swapped. The one in service stands still meanwhile, and so does every writer on SQLite; an inline one
    /// changes after the appends until that is done.
    pub verify: bool,
    /// How many events a second each projection applies at most, until it has come to the log's end: so that a
    /// service beside it has the database to itself otherwise. A log that grows faster is never caught up with.
    pub max_rate: Option<NonZeroU32>,
    /// Who it is done by, in words: the history of the projection then holds that it was begun, or that a build
    /// which an earlier run has left goes on.
    pub by: Option<String>,
}

impl App {
    /// Compares read models (no names: all) with what a fold of the log makes: builds each anew, beside
    /// the one in service, and removes what was built.
    ///
    /// # Errors
    ///
    /// As for [`App::rebuild`]; [`Error::BuildWaits`] also where one has failed.
    pub async fn verify(
        &self,
        log: &Log,
        names: &[String],
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Rebuilt>> {
        let projectors = self.named(names)?;
        let leases = self.take_builds(log, &projectors).await?;
        let verified = verify(log, &projectors, leases.owner(), progress).await;
        leases.end().await;
        verified
    }

    /// The projections of these names, or all, in the order in which they were added.
    fn named(&self, names: &[String]) -> Result<Vec<Arc<dyn Projector>>> {
        self.check()?;
        let known = self.names();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::unknown_projection(name, &known));
        }
        let wanted = |projector: &&Arc<dyn Projector>| {
            names.is_empty() || names.contains(&projector.definition().name)
        };
        Ok(self.projectors.iter().filter(wanted).cloned().collect())
    }

    /// Takes the leases on building these.
    async fn take_builds(
        &self,
        log: &Log,
        projectors: &[Arc<dyn Projector>],
    ) -> Result<HeldLeases> {
        let work = projectors.iter().map(|p| Work::building(&p.definition().name)).collect();
        let instance = process::instance(&self.instance, Vec::new());
        match HeldLeases::take(log, instance, work, self.lease).await {
            // An instance has the lease also on one that it keeps up to date until it is promoted.
            Err(under_way @ Error::RebuildUnderWay { .. }) => {
                refuse_held_back(log, projectors).await?;
                Err(under_way)
            }
            taken => taken,
        }
    }

    /// Removes a generation that is not in service, with its tables: a build that is not wanted, or one
    /// that was kept for a rollback. The record of it says that it was done `by` them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProjection`]; [`Error::NoGeneration`] where there is none of this number that is
    /// not in service; [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn drop_generation(
        &self,
        log: &Log,
        projection: &str,
        generation: u32,
        by: &str,
    ) -> Result<()> {
        self.check()?;
        let known = self.names();
        let own = |projector: &&Arc<dyn Projector>| projector.definition().name == projection;
        let Some(projector) = self.projectors.iter().find(own) else {
            return Err(Error::unknown_projection(projection, &known));
        };
        generation::discard(log, projector.definition(), generation, by).await
    }

    /// Rebuilds these projections (no names: all) from position zero, beside the ones in service,
    /// and swaps each one in when it is complete. It does so by itself, beside the instances that run.
    ///
    /// They share one reading of the log, at the pace of the slowest. Those that an earlier call has brought
    /// far ahead of the others, and those that take too long, read by themselves. Two or three work at a time:
    /// where as many hang, the others wait.
    ///
    /// When it is dropped or killed, the generations in service remain, and the next call, or an
    /// instance that runs, goes on with the builds that were begun.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProjection`], [`Error::RebuildUnderWay`] and [`Error::BuildWaits`] (one is held back, and
    /// this is not to be), before anything is begun; the first
    /// failure of a rebuild, after the others have ended. [`Error::PromoteBlocked`] where readers held
    /// an old generation for two minutes.
    pub async fn rebuild(
        &self,
        log: &Log,
        names: &[String],
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Rebuilt>> {
        self.rebuild_with(log, names, &RebuildOptions::default(), progress).await
    }

    /// The same with options.
    ///
    /// # Errors
    ///
    /// As for [`App::rebuild`].
    pub async fn rebuild_with(
        &self,
        log: &Log,
        names: &[String],
        options: &RebuildOptions,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Rebuilt>> {
        let projectors = self.named(names)?;
        let leases = self.take_builds(log, &projectors).await?;
        let built = async {
            if !options.hold {
                refuse_held_back(log, &projectors).await?;
            }
            build(log, &projectors, options, leases.owner(), progress).await
        };
        let built = built.await;
        leases.end().await;
        built
    }
}

/// Refuses where a build of one of them waits for an operator to put it into service.
async fn refuse_held_back(log: &Log, projectors: &[Arc<dyn Projector>]) -> Result<()> {
    let all = log.store().checkpoints().await?;
    for projector in projectors {
        let generations = Generations::among(&all, projector.definition());
        let held = generations.building().filter(|building| building.held_back);
        if let Some(waits) = held.and_then(generation::waits) {
            return Err(waits);
        }
    }
    Ok(())
}

/// Builds these together, under leases of the owner's; yields them in the same order.
async fn build(
    log: &Log,
    projectors: &[Arc<dyn Projector>],
    how: &RebuildOptions,
    owner: Uuid,
    progress: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Vec<Rebuilt>> {
    let (reading, turns) = (SharedReading::new(log.clone()), rebuild::turns());
    let (report, mut reports) = mpsc::unbounded_channel();
    let begin = |projector: &Arc<dyn Projector>| {
        let (reading, turns) = (reading.clone(), turns.clone());
        Rebuild::new(log.clone(), reading, turns, projector.clone(), owner)
            .report_to(report.clone())
            .how(how.clone())
            .run(WhenHeld::Leave)
    };
    let running: JoinSet<_> = projectors.iter().map(begin).collect();
    drop((report, reading));
    while let Some(report) = reports.recv().await {
        progress(&report);
    }
    let mut built = all(running).await?;
    built.sort_by_key(|b| projectors.iter().position(|p| p.definition().name == b.projection));
    Ok(built)
}

/// Builds these, compares them with those in service, and removes what it has built, however that ended.
async fn verify(
    log: &Log,
    projectors: &[Arc<dyn Projector>],
    owner: Uuid,
    progress: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Vec<Rebuilt>> {
    // Under the leases, so that none comes in between: it would be taken for what is to be compared.
    for projector in projectors {
        if let Some(building) = Generations::of(log, projector.definition()).await?.building() {
            let projection = building.projection.clone();
            let left = Error::RebuildUnderWay { projection, owner: None };
            return Err(generation::waits(building).unwrap_or(left));
        }
    }
    let how = RebuildOptions { hold: true, verify: true, ..RebuildOptions::default() };
    let built = build(log, projectors, &how, owner, progress).await;
    for projector in projectors {
        let definition = projector.definition();
        if let Some(building) = Generations::of(log, definition).await?.building() {
            generation::remove_build(log, definition, building.generation, owner).await?;
        }
    }
    built
}
