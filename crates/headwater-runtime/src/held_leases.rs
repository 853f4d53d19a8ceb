//! The leases of a rebuild or a verification that is run by itself, beside the instances of the service.

use std::{collections::HashMap, time::Duration};

use headwater_core::{Error, Instance, Leases, Log, Result, Work};
use tokio::{task::JoinHandle, time::sleep};
use uuid::Uuid;

use crate::{
    keeper::{release, release_in_background},
    process,
};

/// How often it looks whether what another had is free.
const LOOK: Duration = Duration::from_millis(100);

/// Leases that are renewed in the background, until it is dropped; then they are given up.
pub(crate) struct HeldLeases {
    log: Log,
    instance: Instance,
    renewing: Option<JoinHandle<()>>,
    given_up: bool,
}

impl HeldLeases {
    /// Takes the leases on all this work. What is left of an instance that is gone is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::RebuildUnderWay`] where another instance is there that renews its lease.
    pub(crate) async fn take(
        log: &Log,
        instance: Instance,
        work: Vec<Work>,
        lease: Duration,
    ) -> Result<Self> {
        let mut held = Self { log: log.clone(), instance, renewing: None, given_up: false };
        if let Err(error) = held.get_all(&work, lease).await {
            if matches!(error, Error::RebuildUnderWay { .. }) {
                // Those that were free, at once: this process may be about to end.
                held.end().await;
            }
            return Err(error);
        }
        let (log, instance) = (log.clone(), held.instance.clone());
        held.renewing = Some(tokio::spawn(async move {
            loop {
                sleep(lease / 3).await;
                if let Err(error) = log.store().keep_leases(&instance, &work, lease).await {
                    tracing::debug!(%error, "the leases of a rebuild could not be renewed");
                }
            }
        }));
        Ok(held)
    }

    async fn get_all(&self, work: &[Work], lease: Duration) -> Result<()> {
        let (store, mut seen) = (self.log.store(), HashMap::new());
        loop {
            let leases = store.leases().await?;
            if process::release_ended(&self.log, &leases).await? {
                continue;
            }
            self.refuse_renewed(work, &leases, &mut seen)?;
            let granted = store.keep_leases(&self.instance, work, lease).await?;
            if granted.len() == work.len() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    /// The instance that has them.
    pub(crate) fn owner(&self) -> Uuid {
        self.instance.id
    }

    /// Gives the leases up, so that nobody has to wait for them to run out.
    pub(crate) async fn end(mut self) {
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
            let _ended = renewing.await;
        }
        if let Err(error) = release(&self.log, &self.instance).await {
            tracing::debug!(%error, "the leases of a rebuild are not given up: they run out");
        }
        self.given_up = true;
    }

    /// Refuses where the lease of another has more time left than when it was last seen.
    fn refuse_renewed(
        &self,
        work: &[Work],
        leases: &Leases,
        seen: &mut HashMap<Work, Duration>,
    ) -> Result<()> {
        for lease in work.iter().filter_map(|work| leases.held(work)) {
            if lease.owner == self.instance.id {
                continue;
            }
            let before = seen.insert(lease.work.clone(), lease.left);
            if before.is_some_and(|before| lease.left > before) {
                let owner = Some(leases.name_of(lease.owner));
                return Err(Error::RebuildUnderWay {
                    projection: lease.work.projection.clone(),
                    owner,
                });
            }
        }
        Ok(())
    }
}

impl Drop for HeldLeases {
    fn drop(&mut self) {
        if let Some(renewing) = self.renewing.take() {
            renewing.abort();
        }
        if !self.given_up {
            release_in_background(&self.log, &self.instance);
        }
    }
}
