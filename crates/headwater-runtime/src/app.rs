//! The list of what runs over a log, and the ways to run it.

use std::{num::NonZeroU32, ops::RangeInclusive, sync::Arc, time::Duration};

use headwater_core::{
    Checkpoint, Definition, Error, ErrorKind, Failure, Fold, GenerationState, Leases, Log,
    Position, Result, SqlProjection, Work,
};
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::{
    fold::FoldProjector,
    gauges,
    generation::{self, Generations},
    held_leases::HeldLeases,
    inline::InlineProjection,
    keeper::Keeper,
    process,
    projector::{Projector, units},
    pulse::Pulse,
    rebuild::{self, Rebuild, WhenHeld},
    runner,
    shared_reading::SharedReading,
    sql::SqlProjector,
    status::{Progress, ProjectionStatus, Rebuilt},
};

/// The projections of a service.
pub struct App {
    projectors: Vec<Arc<dyn Projector>>,
    /// The first declaration that cannot be used; reported when the app is run.
    broken: Option<Error>,
    instance: String,
    lease: Duration,
    pub(crate) pulse: Pulse,
}

/// How often a wait for all projections looks whether one of them stands still.
const SETTLED: Duration = Duration::from_secs(1);

/// The shortest and the longest lease that can be given.
const LEASES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

impl Default for App {
    fn default() -> Self {
        let (instance, lease) = (process::name(), Duration::from_secs(10));
        Self { projectors: Vec::new(), broken: None, instance, lease, pulse: Pulse::default() }
    }
}

impl App {
    /// A service without projections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fold; its projection bears the name of its table.
    #[must_use]
    pub fn projection<F: Fold>(self) -> Self {
        self.add(FoldProjector::<F>::new())
    }

    /// Adds a projection in SQL.
    #[must_use]
    pub fn sql_projection<P: SqlProjection>(self, projection: P) -> Self {
        self.add(SqlProjector::new(projection))
    }

    /// What an operator knows this instance of the service by; the host's name and the number of the
    /// process by default.
    #[must_use]
    pub fn instance_name(self, name: impl Into<String>) -> Self {
        Self { instance: name.into(), ..self }
    }

    /// For how long an instance has a projection unless it renews its lease, which it does three times
    /// as often; 10 s by default. After a crash another takes over that much later, after a clean stop
    /// within a second. From a tenth of a second to an hour, and the same in all instances.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        if !LEASES.contains(&lease) {
            let wrong =
                "a lease is given for a tenth of a second at least, and for an hour at most";
            self.broken.get_or_insert(Error::InvalidInput(wrong.into()));
        }
        self.lease = lease;
        self
    }

    fn add(mut self, projector: Result<impl Projector + 'static>) -> Self {
        match projector {
            Ok(projector) => {
                let name = &projector.definition().name;
                if self.names().contains(&name.as_str()) {
                    let twice = format!("projection {name} is added twice");
                    self.broken.get_or_insert(Error::InvalidInput(twice));
                }
                let mut others =
                    self.projectors.iter().flat_map(|other| &other.definition().tables);
                let tables = &projector.definition().tables;
                if let Some(table) =
                    others.find(|other| tables.iter().any(|own| own.name() == other.name()))
                {
                    let shared = format!("two projections have a table {}", table.name());
                    self.broken.get_or_insert(Error::InvalidInput(shared));
                }
                self.projectors.push(Arc::new(projector));
            }
            Err(error) => {
                self.broken.get_or_insert(error);
            }
        }
        self
    }

    /// The names of the projections, in the order in which they were added.
    pub fn names(&self) -> Vec<&str> {
        self.projectors.iter().map(|projector| projector.definition().name.as_str()).collect()
    }

    /// What has a checkpoint of its own: the projections, those in partitions by their partitions.
    pub(crate) fn units(&self) -> Vec<String> {
        self.projectors.iter().flat_map(|projector| projector.definition().units()).collect()
    }

    /// Whether it has the code that this generation was built from.
    pub fn has_code_of(&self, generation: &Checkpoint) -> bool {
        self.definition_ids().contains(&generation.definition_id())
    }

    /// The ids of what was declared.
    pub(crate) fn definition_ids(&self) -> Vec<Uuid> {
        self.projectors.iter().map(|projector| projector.definition().id()).collect()
    }

    /// Checks what was declared, as every use of the app does first.
    ///
    /// # Errors
    ///
    /// The first declaration that cannot be used: [`Error::EventDeclaration`],
    /// [`Error::InvalidName`], [`Error::InvalidInput`].
    pub fn check(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Keeps the projections up to date, together with the other instances of the service: each is kept
    /// by one of them, and they share them evenly. It ends when it is dropped, and nothing is lost then.
    ///
    /// A store that is away is waited for. A projection that fails stands still, with its position,
    /// event and error in [`App::status`], and the others go on. One whose code is newer than its read
    /// model is built anew beside it, and swapped in when it has caught up.
    ///
    /// # Errors
    ///
    /// Only for what is wrong with the app itself, at once: [`Error::EventDeclaration`],
    /// [`Error::InvalidName`], [`Error::InvalidInput`].
    pub async fn run(&self, log: &Log) -> Result<()> {
        self.run_until(log, std::future::pending()).await
    }

    /// The same until `stop` is ready. Then it tells the other instances, which take over within a
    /// second, and ends; where it is dropped instead they are told as well, if there is still time.
    ///
    /// # Errors
    ///
    /// As for [`App::run`].
    pub async fn run_until(&self, log: &Log, stop: impl Future<Output = ()>) -> Result<()> {
        self.check()?;
        let projectors = self.projectors.clone();
        let mut keeper = Keeper::new(log.clone(), projectors, &self.instance, self.lease);
        let (own, pulse) = (keeper.instance(), self.pulse.begin());
        let _inline = log.store().inlines().add(InlineProjection::among(&self.projectors));
        tokio::select! {
            () = keeper.run(&pulse) => {}
            () = gauges::tell(self, log, own) => {}
            () = stop => {}
        }
        drop(pulse);
        keeper.leave().await;
        Ok(())
    }

    /// Brings every projection up to the ceiling of this moment, and ends.
    ///
    /// # Errors
    ///
    /// The first failure; the other projections are brought up all the same. A store that is away is
    /// waited for, for two minutes at most.
    pub async fn catch_up(&self, log: &Log) -> Result<()> {
        self.check()?;
        let target = log.ceiling().await?.position;
        let mut running = JoinSet::new();
        for projector in &self.projectors {
            for unit in units(projector) {
                let log = log.clone();
                running.spawn(async move { runner::catch_up(&log, &*unit, target).await });
            }
        }
        all(running).await.map(drop)
    }

    /// Waits until every projection has applied what lies at or below `position`, for as long as it takes:
    /// for tests, which then look at read models without waiting of their own.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a projection stands still before it has come so far, and
    /// [`Error::ProjectionPaused`]; [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn settled(&self, log: &Log, position: Position) -> Result<()> {
        self.check()?;
        for name in self.names() {
            while !log.wait_for(name, position, SETTLED).await? {
                let status = self.status(log).await?;
                let live =
                    |s: &&ProjectionStatus| s.is_of(name) && s.state == GenerationState::Live;
                let Some(failure) = status.iter().filter(live).find_map(|s| s.failure.as_ref())
                else {
                    continue;
                };
                let reason =
                    format!("{name} stands still at {}: {}", failure.position, failure.error);
                return Err(Error::Mismatch { reason });
            }
        }
        Ok(())
    }

    /// Where each projection stands; in an app without projections, each that the store knows. A
    /// generation that is being built has an entry of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] (try again) or [`Error::Database`].
    pub async fn status(&self, log: &Log) -> Result<Vec<ProjectionStatus>> {
        self.check()?;
        let checkpoints = log.checkpoints().await?;
        let leases = log.store().leases().await?;
        let head = log.ceiling().await?.position;
        let entry = |checkpoint: &Checkpoint| entry(checkpoint, head, &leases);
        if self.projectors.is_empty() {
            return Ok(checkpoints.iter().map(entry).collect());
        }
        let mut status = Vec::new();
        for definition in self.projectors.iter().map(|projector| projector.definition()) {
            let known = status.len();
            for checkpoint in checkpoints.iter().filter(|c| c.is_of(&definition.name)) {
                let mut entry = entry(checkpoint);
                if checkpoint.state == GenerationState::Live && entry.failure.is_none() {
                    entry.failure = misfit(log, definition, checkpoint).await?;
                }
                status.push(entry);
            }
            if status.len() == known {
                status.push(not_begun(&definition.name, head));
            }
        }
        Ok(status)
    }

    /// Compares read models (no names: all) with what a fold of the log makes: builds each anew, beside
    /// the one in service, and removes what was built.
    ///
    /// # Errors
    ///
    /// As for [`App::rebuild`].
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
    /// [`Error::UnknownProjection`] and [`Error::RebuildUnderWay`], before anything is begun; the first
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
        let built = build(log, &projectors, options, leases.owner(), progress).await;
        leases.end().await;
        built
    }
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
        if Generations::of(log, projector.definition()).await?.building().is_some() {
            let projection = projector.definition().name.clone();
            return Err(Error::RebuildUnderWay { projection, owner: None });
        }
    }
    let how = RebuildOptions { hold: true, verify: true, max_rate: None };
    let built = build(log, projectors, &how, owner, progress).await;
    for projector in projectors {
        let definition = projector.definition();
        if let Some(building) = Generations::of(log, definition).await?.building() {
            generation::remove_build(log, definition, building.generation, owner).await?;
        }
    }
    built
}

/// How a rebuild is done.
#[derive(Clone, Debug, Default)]
pub struct RebuildOptions {
    /// Whether what is built is held back when it is complete, until an operator puts it into service.
    pub hold: bool,
    /// Whether its rows are compared with those in service, at the same position, before they are
    /// swapped. The one in service stands still meanwhile, and so does every writer on SQLite.
    pub verify: bool,
    /// How many events a second each projection applies at most, until it has come to the log's end: so that a
    /// service beside it has the database to itself otherwise. A log that grows faster is never caught up with.
    pub max_rate: Option<NonZeroU32>,
}

/// Waits for all, and yields what they yielded or the first failure.
async fn all<T: 'static>(mut running: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let (mut done, mut failure) = (Vec::new(), None);
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(value)) => done.push(value),
            Ok(Err(error)) => {
                failure.get_or_insert(error);
            }
            // Only a panic ends a task here; it is passed on as it is.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    failure.map_or(Ok(done), Err)
}

fn entry(checkpoint: &Checkpoint, head: Position, leases: &Leases) -> ProjectionStatus {
    let work = Work { projection: checkpoint.projection.clone(), on: checkpoint.state };
    ProjectionStatus {
        projection: checkpoint.projection.clone(),
        generation: checkpoint.generation,
        state: checkpoint.state,
        position: checkpoint.position,
        head: head.max(checkpoint.position),
        failure: checkpoint.failure.clone().or_else(|| diverged(checkpoint)),
        paused: checkpoint.paused,
        inline: checkpoint.inline,
        held_back: checkpoint.held_back && checkpoint.state == GenerationState::Building,
        owner: leases.held(&work).map(|lease| leases.name_of(lease.owner)),
        parked: checkpoint.parked,
    }
}

/// What is wrong with a checkpoint of another log, which nobody may have tried yet.
fn diverged(checkpoint: &Checkpoint) -> Option<Failure> {
    let Checkpoint { projection, position, .. } = checkpoint.clone();
    let error = Error::LogDiverged { projection, position };
    (!checkpoint.of_this_log).then(|| stands_still(position, &error))
}

/// Why this code cannot go on with a generation that stands still for no other cause.
async fn misfit(
    log: &Log,
    definition: &Definition,
    checkpoint: &Checkpoint,
) -> Result<Option<Failure>> {
    match generation::check(log, definition, checkpoint).await {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Retry => Err(error),
        Err(error) => Ok(Some(stands_still(checkpoint.position, &error))),
    }
}

fn stands_still(position: Position, error: &Error) -> Failure {
    Failure { position, event_id: None, code: error.code().into(), error: error.to_string() }
}

fn not_begun(name: &str, head: Position) -> ProjectionStatus {
    ProjectionStatus {
        projection: name.into(),
        generation: 0,
        state: GenerationState::Building,
        position: Position::START,
        head,
        failure: None,
        paused: false,
        inline: false,
        held_back: false,
        owner: None,
        parked: 0,
    }
}
