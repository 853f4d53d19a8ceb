//! Builds of several projections at once: rebuilds and verifications that a program does by itself, beside
//! the instances that run.

use std::{num::NonZeroU32, sync::Arc, vec};

use headwater_core::{Error, Log, Result, Work};
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    app::App,
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

/// How the builds of several projections have ended, in the order in which the projections were added.
#[derive(Debug)]
#[must_use = "each of them may have failed"]
pub struct Builds(Vec<Ended>);

type Ended = (String, Result<Rebuilt>);

impl Builds {
    fn in_order(projectors: &[Arc<dyn Projector>], mut ended: Vec<Ended>) -> Self {
        ended.sort_by_key(|(name, _)| projectors.iter().position(|p| p.definition().name == *name));
        Self(ended)
    }

    /// What was built, where nothing has failed.
    ///
    /// # Errors
    ///
    /// That of the first one that has failed; the others have been built all the same.
    pub fn into_result(self) -> Result<Vec<Rebuilt>> {
        self.into_iter().map(|(_, rebuilt)| rebuilt).collect()
    }
}

impl IntoIterator for Builds {
    type Item = Ended;
    type IntoIter = vec::IntoIter<Ended>;

    /// The name of each projection, with what was built or why that has failed.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl App {
    /// Compares read models (no names: all) with what a fold of the log makes: brings each up to date, builds it
    /// anew beside the one in service and whatever else is built, and removes what was built. It yields for each
    /// what differs ([`Rebuilt::verified`]), or why it could not be compared.
    ///
    /// What is compared lacks the events that an operator has had left out ([`Operator::skip`](crate::Operator::skip)),
    /// and those that it sets aside itself by the projection's policy ([`Rebuilt::parked`]): rows without them do
    /// not differ.
    ///
    /// For the comparison itself the one in service stands still, and so does every writer on SQLite. Bringing it up
    /// to date does what its runner would do, by its policy. An inline one changes after the appends from then
    /// on, until an instance lets it join them again.
    ///
    /// When it is dropped or killed, an instance that runs removes what was built, or the next verification.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProjection`] and [`Error::RebuildUnderWay`] (another verification is), before anything is
    /// begun. Of each by itself: [`Error::NoGeneration`] where none is in service or somebody has removed what was
    /// built, [`Error::ProjectionChanged`] where other code has built the one in service,
    /// [`Error::ProjectionPaused`] where it is behind and paused, [`Error::Mismatch`] where an operator had events
    /// left out meanwhile, and why it stands still where it does.
    pub async fn verify(
        &self,
        log: &Log,
        names: &[String],
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Builds> {
        let projectors = self.named(names)?;
        let leases = self.take(log, &projectors, Work::verifying).await?;
        let verified = each(log, &projectors, leases.owner(), progress, Rebuild::verify).await;
        leases.end().await;
        Ok(Builds::in_order(&projectors, verified))
    }

    /// The projections of these names, or all, in the order in which they were added.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<Arc<dyn Projector>>> {
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

    /// Takes the leases on this work for each of these.
    async fn take(
        &self,
        log: &Log,
        projectors: &[Arc<dyn Projector>],
        work: fn(String) -> Work,
    ) -> Result<HeldLeases> {
        let work = projectors.iter().map(|p| work(p.definition().name.clone())).collect();
        let instance = process::instance(&self.instance, Vec::new());
        HeldLeases::take(log, instance, work, self.lease).await
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
    /// [`Error::UnknownProjection`] and [`Error::RebuildUnderWay`], before anything is begun; the first failure of a
    /// rebuild, after the others have ended: [`Error::BuildWaits`] where a build is held back by an operator's word,
    /// [`Error::PromoteBlocked`] where readers held an old generation for two minutes.
    pub async fn rebuild(
        &self,
        log: &Log,
        names: &[String],
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Vec<Rebuilt>> {
        self.rebuild_with(log, names, &RebuildOptions::default(), progress).await?.into_result()
    }

    /// The same with options; it yields for each projection how its rebuild ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProjection`] and [`Error::RebuildUnderWay`], before anything is begun; [`Error::BuildWaits`]
    /// where a build is to be held back that an instance keeps up to date already.
    pub async fn rebuild_with(
        &self,
        log: &Log,
        names: &[String],
        options: &RebuildOptions,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Builds> {
        let projectors = self.named(names)?;
        // Unless this one is to be held back as well.
        let waiting = if options.hold { Vec::new() } else { held_back(log, &projectors).await? };
        let free = |projector: &&Arc<dyn Projector>| {
            !waiting.iter().any(|(name, _)| *name == projector.definition().name)
        };
        let free: Vec<_> = projectors.iter().filter(free).cloned().collect();
        let leases = match self.take(log, &free, Work::building).await {
            Err(Error::RebuildUnderWay { projection, owner }) => {
                // An instance has the lease also on one that it keeps up to date until it is promoted.
                let kept = held_back(log, &free).await?.into_iter();
                let waits = kept.filter(|(name, _)| *name == projection).find_map(|(_, w)| w.err());
                return Err(waits.unwrap_or(Error::RebuildUnderWay { projection, owner }));
            }
            taken => taken?,
        };
        let run = |build: Rebuild| build.how(options.clone()).run(WhenHeld::Leave);
        let mut built = each(log, &free, leases.owner(), progress, run).await;
        leases.end().await;
        built.extend(waiting);
        Ok(Builds::in_order(&projectors, built))
    }
}

/// Why those wait whose build is held back.
async fn held_back(log: &Log, projectors: &[Arc<dyn Projector>]) -> Result<Vec<Ended>> {
    let all = log.store().checkpoints().await?;
    let waits = |projector: &Arc<dyn Projector>| {
        let generations = Generations::among(&all, projector.definition());
        let held = generations.building().filter(|building| building.held_back)?;
        Some((held.projection.clone(), Err(generation::waits(held)?)))
    };
    Ok(projectors.iter().filter_map(waits).collect())
}

/// Runs a build of each of these together, under leases of the owner's; yields how each has ended.
async fn each<F>(
    log: &Log,
    projectors: &[Arc<dyn Projector>],
    owner: Uuid,
    progress: &(dyn Fn(&Progress) + Send + Sync),
    run: impl Fn(Rebuild) -> F,
) -> Vec<Ended>
where
    F: Future<Output = Result<Rebuilt>> + Send + 'static,
{
    let (reading, turns) = (SharedReading::new(log.clone()), rebuild::turns());
    let (report, mut reports) = mpsc::unbounded_channel();
    let begin = |projector: &Arc<dyn Projector>| {
        let (reading, turns, name) =
            (reading.clone(), turns.clone(), projector.definition().name.clone());
        let build = Rebuild::new(log.clone(), reading, turns, projector.clone(), owner);
        let running = run(build.report_to(report.clone()));
        async move { (name, running.await) }
    };
    let running: JoinSet<_> = projectors.iter().map(begin).collect();
    drop((report, reading));
    while let Some(report) = reports.recv().await {
        progress(&report);
    }
    running.join_all().await
}
