//! Leases: which instance of a service does which work on a projection, and until when.
//!
//! A lease saves work, so that several instances do not do the same. It is not what keeps a read model
//! right: that is the epoch of the [`Checkpoint`](crate::Checkpoint), by which the database refuses
//! what an earlier owner still writes, however late it wakes up.

use std::time::Duration;

use uuid::Uuid;

use crate::GenerationState;

/// Work on a projection that one instance does at a time: it keeps the generation in service up to
/// date ([`GenerationState::Live`]), builds the next one ([`GenerationState::Building`]), or builds one to
/// compare the one in service with ([`GenerationState::Verifying`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Work {
    /// The projection.
    pub projection: String,
    /// What is done for it.
    pub on: GenerationState,
}

impl Work {
    /// Keeping the generation in service up to date.
    pub fn live(projection: impl Into<String>) -> Self {
        Self { projection: projection.into(), on: GenerationState::Live }
    }

    /// Building the next generation.
    pub fn building(projection: impl Into<String>) -> Self {
        Self { projection: projection.into(), on: GenerationState::Building }
    }

    /// Building a generation to compare the one in service with.
    pub fn verifying(projection: impl Into<String>) -> Self {
        Self { projection: projection.into(), on: GenerationState::Verifying }
    }
}

/// A running program that works on projections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id, new at each start.
    pub id: Uuid,
    /// What an operator knows it by, such as the host's name and the number of the process.
    pub name: String,
    /// The process that it runs in, by which others on the same host may see that it has ended.
    pub process: String,
    /// The [ids](crate::Definition::id) of the definitions that its code has.
    pub runs: Vec<Uuid>,
}

/// Who does a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The work.
    pub work: Work,
    /// The id of the instance.
    pub owner: Uuid,
    /// How long it has it for, unless it renews it; nothing where that time has passed.
    pub left: Duration,
}

/// Everybody's leases, by the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// All leases, also those that have run out.
    pub leases: Vec<Lease>,
    /// The instances that are there.
    pub instances: Vec<Instance>,
}

impl Leases {
    /// The lease on this work, if somebody has it now.
    pub fn held(&self, work: &Work) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.work == *work && !lease.left.is_zero())
    }

    /// Whether an instance is there that has the code of this definition.
    pub fn has_code(&self, definition: Uuid) -> bool {
        self.instances.iter().any(|instance| instance.runs.contains(&definition))
    }

    /// What an operator knows an instance by; its id where it is gone.
    pub fn name_of(&self, instance: Uuid) -> String {
        let known = self.instances.iter().find(|there| there.id == instance);
        known.map_or_else(|| instance.to_string(), |there| there.name.clone())
    }
}
