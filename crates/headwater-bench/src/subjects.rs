//! The subjects by name: where each keeps its log, and how a process of this binary opens it.

use crate::{
    by_hand::{ByHand, Fashion},
    by_headwater::Headwater,
    shared::{
        job::{Job, Outcome, Workload},
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

/// Whether a subject is Headwater, whose memory is of interest.
pub fn is_headwater(subject: &str) -> bool {
    matches!(Store::of(subject), Store::Headwater | Store::Sqlite)
}

/// Runs a job of a subject of this binary.
pub async fn answer(job: Job, url: &str) -> Outcome<()> {
    let fashion = match job.subject.as_str() {
        HEADWATER | SNAPSHOTS | SQLITE => {
            return run::answer(headwater(&job, url).await?, job).await;
        }
        INSERT => Fashion::Insert,
        SQLX => Fashion::Plain,
        SQLX_BULK => Fashion::Bulk,
        SQLX_STREAM => Fashion::Stream,
        COPY => Fashion::Copy,
        other => return Err(format!("there is no subject {other}").into()),
    };
    run::answer(ByHand::open(url, fashion).await?, job).await
}

async fn headwater(job: &Job, url: &str) -> Outcome<Headwater> {
    let subject = Headwater::open(url).await?;
    Ok(match (job.subject.as_str(), job.workload) {
        // What is kept in memory would hide what is read from the snapshot.
        (SNAPSHOTS, _) => subject.cold().snapshots(),
        (_, Workload::Load { warm: false }) => subject.cold(),
        _ => subject,
    })
}
