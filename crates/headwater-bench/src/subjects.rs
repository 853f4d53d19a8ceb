//! The subjects by name: where each keeps its log, and how a process of this binary opens it.

use crate::{
    by_hand::{ByHand, Fashion},
    by_headwater::Headwater,
    shared::{
        job::{Job, Outcome},
        run,
    },
};

pub const HEADWATER: &str = "headwater";
/// Headwater with snapshots of its aggregates.
pub const SNAPSHOTS: &str = "headwater-snapshots";
/// Headwater on SQLite.
pub const SQLITE: &str = "headwater-sqlite";
pub const INSERT: &str = "insert";
pub const SQLX: &str = "sqlx";
pub const SQLX_BULK: &str = "sqlx-bulk";
pub const SQLX_STREAM: &str = "sqlx-stream";
pub const COPY: &str = "copy";
pub const CQRS_ES: &str = "cqrs-es";
pub const DISINTEGRATE: &str = "disintegrate";

/// The frameworks that others have written, which a binary of its own runs.
pub const PEERS: [&str; 2] = [CQRS_ES, DISINTEGRATE];

/// Where a subject keeps its log: subjects with one store can read what another of them has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    Headwater,
    Sqlite,
    ByHand,
    CqrsEs,
    Disintegrate,
}

impl Store {
    /// The store of a subject.
    pub fn of(subject: &str) -> Self {
        match subject {
            HEADWATER | SNAPSHOTS => Self::Headwater,
            SQLITE => Self::Sqlite,
            CQRS_ES => Self::CqrsEs,
            DISINTEGRATE => Self::Disintegrate,
            _ => Self::ByHand,
        }
    }

    /// The subject that fills such a store.
    pub fn filler(self) -> &'static str {
        match self {
            Self::Headwater => HEADWATER,
            Self::Sqlite => SQLITE,
            Self::ByHand => SQLX_BULK,
            Self::CqrsEs => CQRS_ES,
            Self::Disintegrate => DISINTEGRATE,
        }
    }

    /// The table of its events, in PostgreSQL.
    pub fn events_table(self) -> &'static str {
        match self {
            Self::Headwater | Self::Sqlite => "headwater.events",
            Self::ByHand => "by_hand.events",
            Self::CqrsEs => "public.events",
            Self::Disintegrate => "public.event",
        }
    }
}

/// Runs a job of a subject of this binary.
pub async fn answer(job: Job, url: &str) -> Outcome<()> {
    let fashion = match job.subject.as_str() {
        HEADWATER | SQLITE => return run::answer(job.clone(), open(&job, url).await?).await,
        SNAPSHOTS => {
            return run::answer(job, Headwater::open(url).await?.cold().snapshots()).await;
        }
        INSERT => Fashion::Insert,
        SQLX => Fashion::Plain,
        SQLX_BULK => Fashion::Bulk,
        SQLX_STREAM => Fashion::Stream,
        COPY => Fashion::Copy,
        other => return Err(format!("there is no subject {other}").into()),
    };
    run::answer(job, ByHand::open(url, fashion).await?).await
}

async fn open(job: &Job, url: &str) -> Outcome<Headwater> {
    use crate::shared::job::Workload;
    let subject = Headwater::open(url).await?;
    let cold = job.workload == Workload::Load { warm: false };
    Ok(if cold { subject.cold() } else { subject })
}
