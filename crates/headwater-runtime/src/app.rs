//! The list of what runs over a log, and the ways to run it.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use headwater_core::{
    Checkpoint, Error, Fold, GenerationState, Log, Position, Result, SqlProjection,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    fold::FoldProjector,
    gauges,
    inline::InlineProjection,
    keeper::Keeper,
    process,
    projector::{Projector, units},
    pulse::Pulse,
    row_changes::RowChanges,
    runner,
    sql::SqlProjector,
    status::ProjectionStatus,
};

/// The projections of a service.
pub struct App {
    pub(crate) projectors: Vec<Arc<dyn Projector>>,
    /// The first declaration that cannot be used; reported when the app is run.
    broken: Option<Error>,
    pub(crate) instance: String,
    pub(crate) lease: Duration,
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
            () = keeper.run(&pulse, stop) => {}
            () = gauges::tell(self, log, own) => {}
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

    /// Follows the rows of a projection that events behind `after` change, for readers who do not know its type; who
    /// does has [`Log::changes`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProjection`], and [`Error::InvalidInput`] for a projection in SQL, of which nobody knows which
    /// rows an event changes.
    pub fn changes(&self, log: &Log, name: &str, after: Position) -> Result<RowChanges> {
        let projector = self.named(&[name.to_owned()])?.remove(0);
        let in_sql = || {
            let told = format!("{name} is a projection in SQL: only rows of folds can be followed");
            Error::InvalidInput(told)
        };
        projector.changes(log, after)?.ok_or_else(in_sql)
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
}

/// Waits for all, and yields what they yielded or the first failure.
pub(crate) async fn all<T: 'static>(mut running: JoinSet<Result<T>>) -> Result<Vec<T>> {
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
