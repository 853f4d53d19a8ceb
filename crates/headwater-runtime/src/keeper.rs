//! The keeper: one for each instance of a service; it sees to it that the projections are shared among
//! the instances, and that each piece of work is done by one of them.
//!
//! It looks at everybody's leases four times a second, takes its fair share, and gives up what is more. What
//! it does is renewed well before its lease runs out. It stops work only where it sees that another has
//! it: an instance that is cut off from the database can do no harm, since its checkpoints have moved to
//! an epoch of the next owner's.

use std::{
    collections::{HashMap, HashSet},
    panic::resume_unwind,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Either, select, try_join},
};
use headwater_core::{
    BuiltBy, Checkpoint, Definition, Error, ErrorKind, GenerationState, Instance, Lease, Leases,
    Log, Result, Work, partition::projection_of,
};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    generation::{self, Generations},
    process,
    projector::{Projector, units},
    pulse::Beating,
    rebuild::{self, WhenHeld},
    runner,
    share::{Doable, share},
    shared_reading::SharedReading,
};

/// How often a keeper looks at the leases, unless they are very short.
const LOOK: Duration = Duration::from_millis(250);

/// How long an instance that stops may finish its look, and how long it may then take its leave.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long that rests which could not be begun.
const REST: Duration = Duration::from_secs(10);

/// Keeps the share of one instance.
pub(crate) struct Keeper {
    log: Log,
    /// What can be built.
    projectors: Vec<Arc<dyn Projector>>,
    /// What can be kept up to date: partitions, or projections that have none.
    units: Vec<Arc<dyn Projector>>,
    instance: Instance,
    lease: Duration,
    /// What is being done.
    running: HashMap<Work, Running>,
    /// When the leases were last renewed.
    renewed: Option<Instant>,
    /// The projections whose generation in service other code has built, as their runners have found.
    changed: HashSet<String>,
    /// The projections that could not be begun at the last looks, of which the log of the process has told.
    unbegun: HashSet<String>,
    /// What failed before there was a checkpoint to note it at, and when.
    failed: HashMap<Work, Instant>,
    /// Turns to work, for what is built at the same time.
    turns: Arc<Semaphore>,
    /// Whether the last look failed.
    away: bool,
}

/// A task that ends when it is dropped; yields the error that ended it.
struct Running(JoinHandle<Option<Error>>);

impl Running {
    /// Ends it, and waits until it has ended.
    async fn end(mut self) {
        self.0.abort();
        let _ended = (&mut self.0).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    pub(crate) fn new(
        log: Log,
        projectors: Vec<Arc<dyn Projector>>,
        name: &str,
        lease: Duration,
    ) -> Self {
        let runs = projectors.iter().map(|projector| projector.definition().id()).collect();
        let units = projectors.iter().flat_map(units).collect();
        let instance = process::instance(name, runs);
        Self {
            log,
            projectors,
            units,
            instance,
            lease,
            running: HashMap::new(),
            renewed: None,
            changed: HashSet::new(),
            unbegun: HashSet::new(),
            failed: HashMap::new(),
            turns: rebuild::turns(),
            away: false,
        }
    }

    /// The id of the instance.
    pub(crate) fn instance(&self) -> Uuid {
        self.instance.id
    }

    /// Keeps its share until `stop` is ready, or it is dropped.
    pub(crate) async fn run(&mut self, pulse: &Beating, stop: impl Future<Output = ()>) {
        let pause = LOOK.min(self.lease / 4);
        let mut stop = pin!(stop);
        loop {
            let looked = match select(pin!(self.look()), stop.as_mut()).await {
                Either::Left((looked, _)) => looked,
                // One that is broken off may still renew leases, after they have been given up.
                Either::Right(((), look)) => {
                    let _ended = timeout(FAREWELL, look).await;
                    return;
                }
            };
            match looked {
                Ok(again) => {
                    pulse.beat();
                    if again {
                        continue;
                    }
                    self.away = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.away, true) {
                        tracing::warn!(%error, "the leases of the projections cannot be looked at");
                    }
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.as_mut() => return,
            }
        }
    }

    /// Ends all work, and tells the others that it may be taken.
    pub(crate) async fn leave(mut self) {
        let running = std::mem::take(&mut self.running);
        running.values().for_each(|task| task.0.abort());
        for (_, task) in running {
            task.end().await;
        }
        // Where it cannot be told, the leases run out.
        let _told = timeout(FAREWELL, release(&self.log, &self.instance)).await;
        self.renewed = None;
    }

    /// One look; `true` where it has to look again at once.
    async fn look(&mut self) -> Result<bool> {
        self.reap();
        let log = self.log.clone();
        let store = log.store();
        let (leases, checkpoints) = try_join(store.leases(), store.checkpoints()).await?;
        if process::release_ended(&log, &leases).await? {
            return Ok(false);
        }
        let (doable, missing) = self.doable(&checkpoints, &leases);
        let mut begun = false;
        for projector in missing {
            let definition = projector.definition();
            match begin(&log, definition).await {
                Ok(()) => {
                    self.unbegun.remove(&definition.name);
                    begun = true;
                }
                // The others are not held up by it, and the next look tries it again.
                Err(error) if error.kind() == ErrorKind::Retry => {
                    if self.unbegun.insert(definition.name.clone()) {
                        tracing::warn!(projection = %definition.name, %error, "it waits to be begun");
                    }
                }
                Err(error) => {
                    tracing::error!(projection = %definition.name, %error, "it cannot be begun");
                    self.failed.insert(Work::live(&definition.name), Instant::now());
                }
            }
        }
        if begun {
            return Ok(true);
        }
        let wanted = share(self.instance.id, &doable, &leases);
        // It must have ended before another may begin it; and what an operator has revoked begins anew.
        let held = self.held(&leases);
        let stays = |work: &Work| wanted.contains(work) && held.contains(work);
        self.end_all_but(stays, Some(&leases)).await;
        if !self.needs_renewal(&wanted, &leases) {
            return Ok(false);
        }
        let asked = Instant::now();
        let granted = store.keep_leases(&self.instance, &wanted, self.lease).await?;
        self.renewed = Some(asked);
        self.end_all_but(|work| granted.contains(work), None).await;
        self.begin_all(granted, &leases);
        Ok(false)
    }

    /// Whether the store must be told what this instance does.
    fn needs_renewal(&self, wanted: &[Work], leases: &Leases) -> bool {
        let held = self.held(leases);
        let done = |work| held.contains(work) && self.running.contains_key(work);
        let due = self.renewed.is_none_or(|renewed| renewed.elapsed() >= self.lease / 3);
        due || held.len() != wanted.len() || !wanted.iter().all(done)
    }

    /// What this code can do now, and the projections that nobody has ever begun.
    fn doable(
        &mut self,
        checkpoints: &[Checkpoint],
        leases: &Leases,
    ) -> (Vec<Doable>, Vec<Arc<dyn Projector>>) {
        let (mut doable, mut missing) = (Vec::new(), Vec::new());
        self.failed.retain(|_, failed| failed.elapsed() < REST);
        for projector in &self.projectors {
            let definition = projector.definition();
            let generations = Generations::among(checkpoints, definition);
            let Some(live) = generations.live() else {
                if !self.failed.contains_key(&Work::live(&definition.name)) {
                    missing.push(projector.clone());
                }
                continue;
            };
            if live.fingerprint == definition.fingerprint {
                self.changed.remove(&definition.name);
            }
            let fits = !self.changed.contains(&definition.name) && fits(definition, live);
            for unit in definition.units().filter(|_| fits) {
                let in_service = |c: &Checkpoint| {
                    c.projection == unit && c.state == GenerationState::Live && !c.paused
                };
                if checkpoints.iter().any(in_service) {
                    doable.push((Work::live(unit), definition.id()));
                }
            }
            let build = Work::building(&definition.name);
            let rests = self.failed.contains_key(&build);
            if !rests && is_to_build(definition, &generations, live, fits) {
                doable.push((build, definition.id()));
            }
            let removal = Work::verifying(&definition.name);
            let ours = |left: &Checkpoint| {
                // Other code knows other tables: it removes what nobody else can.
                left.fingerprint == definition.fingerprint || !leases.has_code(left.definition_id())
            };
            if generations.verifying().is_some_and(ours) && !self.failed.contains_key(&removal) {
                doable.push((removal, definition.id()));
            }
        }
        (doable, missing)
    }

    /// What this instance has leases on.
    fn held(&self, leases: &Leases) -> Vec<Work> {
        // One that ran out is still this instance's as long as nobody has taken it.
        let own = |lease: &&Lease| lease.owner == self.instance.id;
        leases.leases.iter().filter(own).map(|lease| lease.work.clone()).collect()
    }

    /// Ends what is done here and is not one of these; without `leases` another has been faster than the
    /// look at them.
    async fn end_all_but(&mut self, these: impl Fn(&Work) -> bool, leases: Option<&Leases>) {
        let others: Vec<_> = self.running.keys().filter(|work| !these(work)).cloned().collect();
        for work in others {
            let Some(task) = self.running.remove(&work) else { continue };
            task.end().await;
            let Work { projection, on } = &work;
            let other = |leases: &Leases| {
                let lease = leases.held(&work).filter(|lease| lease.owner != self.instance.id)?;
                Some(leases.name_of(lease.owner))
            };
            let by = leases.map_or_else(|| Some("another".into()), other);
            match by {
                Some(by) => tracing::warn!(
                    %projection, work = %on, %by,
                    "another instance has taken it over; what this one still did was refused"
                ),
                None => tracing::info!(%projection, work = %on, "given up"),
            }
        }
    }

    /// Begins what was granted and is not done yet. What is built at the same moment is read together.
    fn begin_all(&mut self, granted: Vec<Work>, leases: &Leases) {
        let new: Vec<_> =
            granted.into_iter().filter(|work| !self.running.contains_key(work)).collect();
        if new.is_empty() {
            return;
        }
        let reading = SharedReading::new(self.log.clone());
        for work in new {
            let can = match work.on {
                GenerationState::Building | GenerationState::Verifying => &self.projectors,
                GenerationState::Live | GenerationState::Retired => &self.units,
            };
            let projector = can.iter().find(|p| p.definition().name == work.projection);
            let Some(projector) = projector.cloned() else { continue };
            let before = leases.leases.iter().find(|lease| lease.work == work);
            let from = before.map(|lease| leases.name_of(lease.owner));
            let told = match work.on {
                GenerationState::Verifying => "what a verification has left is removed",
                _ => "taken over by this instance",
            };
            tracing::info!(projection = %work.projection, work = %work.on, from, "{told}");
            let (log, owner) = (self.log.clone(), self.instance.id);
            let task = match work.on {
                GenerationState::Building => {
                    let (reading, turns) = (reading.clone(), self.turns.clone());
                    tokio::spawn(async move {
                        let build = rebuild::Rebuild::new(log, reading, turns, projector, owner);
                        build.run(WhenHeld::KeepUpToDate).await.err()
                    })
                }
                GenerationState::Verifying => tokio::spawn(async move {
                    generation::remove_verified(&log, projector.definition(), owner).await.err()
                }),
                GenerationState::Live | GenerationState::Retired => {
                    tokio::spawn(async move { Some(runner::run(log, projector, owner).await) })
                }
            };
            self.running.insert(work, Running(task));
        }
    }

    /// Takes in how tasks ended by themselves.
    fn reap(&mut self) {
        let ended: Vec<_> = self
            .running
            .iter()
            .filter(|(_, task)| task.0.is_finished())
            .map(|(work, _)| work.clone())
            .collect();
        for work in ended {
            let Some(mut task) = self.running.remove(&work) else { continue };
            match (&mut task.0).now_or_never() {
                Some(Ok(Some(Error::ProjectionChanged { projection }))) => {
                    tracing::info!(%projection, "its code has changed: it is built anew beside the one in service");
                    self.changed.insert(projection_of(&projection).to_owned());
                }
                Some(Ok(Some(Error::ProjectionTooNew { projection }))) => {
                    tracing::info!(%projection, "newer code goes on with it");
                }
                // A new verification is there, or somebody reads its tables.
                Some(Ok(Some(error))) if work.on == GenerationState::Verifying => {
                    tracing::warn!(projection = %work.projection, %error, "what a verification has left is still there");
                    self.failed.insert(work, Instant::now());
                }
                Some(Ok(Some(error))) => {
                    tracing::error!(projection = %work.projection, work = %work.on, %error, "it stands still");
                    self.failed.insert(work, Instant::now());
                }
                // Only a fault of the runtime's own code can end it so, and must be seen.
                Some(Err(panic)) if panic.is_panic() => resume_unwind(panic.into_panic()),
                _ => {}
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.renewed.is_some() {
            release_in_background(&self.log, &self.instance);
        }
    }
}

/// Tells the other instances that this one does nothing any more.
pub(crate) async fn release(log: &Log, instance: &Instance) -> Result<()> {
    log.store().keep_leases(instance, &[], Duration::ZERO).await.map(drop)
}

/// The same for whoever is dropped, if there is still time.
pub(crate) fn release_in_background(log: &Log, instance: &Instance) {
    let (log, instance) = (log.clone(), instance.clone());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = release(&log, &instance).await {
                tracing::debug!(%error, "the leases are not given up: they run out");
            }
        });
    }
}

/// Makes the first generation of a projection, which another instance may do at the same moment.
async fn begin(log: &Log, definition: &Definition) -> Result<()> {
    match generation::live(log, definition).await {
        Ok(_) | Err(Error::CheckpointMoved { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether this code can keep the generation in service up to date, as far as can be seen at its
/// checkpoint.
fn fits(definition: &Definition, live: &Checkpoint) -> bool {
    let built_by = definition.built_by(&live.fingerprint);
    matches!(built_by, BuiltBy::SameCode | BuiltBy::CodeWithout(_))
}

/// Whether a next generation is to be built, or to be built on, by this code.
fn is_to_build(
    definition: &Definition,
    generations: &Generations,
    live: &Checkpoint,
    fits: bool,
) -> bool {
    if let Some(building) = generations.building() {
        match definition.built_by(&building.fingerprint) {
            // One that failed waits for an operator.
            BuiltBy::SameCode => return building.failure.is_none(),
            BuiltBy::NewerCode => return false,
            BuiltBy::CodeWithout(_) | BuiltBy::OtherCode => {}
        }
    }
    let newer = definition.built_by(&live.fingerprint) == BuiltBy::NewerCode;
    match (fits, newer) {
        (true, _) => live.rebuild_asked.is_some(),
        (false, true) => false,
        // Where there is one by this code that is retired, an operator has gone back from it.
        (false, false) => !generations.any_by(definition),
    }
}
