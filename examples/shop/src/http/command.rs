//! From the headers of a request to a command, and from its outcome to an answer.

use headwater::{Aggregate, CommandError, Done, Error, Repository, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Problem,
    request::{CommandHeaders, IfMatch},
};
use crate::{CheckedOut, CommandOptions};

/// What the shop records with the events of a command that has a key. It may grow: only the
/// fingerprint tells a repetition from another command.
#[derive(Deserialize, Serialize)]
struct Metadata {
    idempotency_key: String,
    fingerprint: Uuid,
}

/// What a command yields.
pub(super) trait Outcome {
    /// What was recorded with the command when it was first carried out, where that was before.
    fn earlier_metadata(&self) -> Option<&str>;
}

impl<E> Outcome for Done<E> {
    fn earlier_metadata(&self) -> Option<&str> {
        self.metadata.as_deref().filter(|_| self.repeated)
    }
}

impl Outcome for CheckedOut {
    fn earlier_metadata(&self) -> Option<&str> {
        self.metadata.as_deref().filter(|_| self.repeated)
    }
}

impl CommandHeaders {
    /// Carries a command to one aggregate out, once for each key.
    pub(super) async fn execute<A: Aggregate, R: Into<Problem>>(
        &self,
        repository: &Repository<A>,
        id: &A::Id,
        fingerprint: Uuid,
        decide: impl FnMut(&A) -> Result<Vec<A::Event>, R>,
    ) -> Result<Done<A::Event>, Problem> {
        let options = self.options(repository, id, fingerprint).await?;
        self.once(options.command(repository, id).execute(decide).await, fingerprint)
    }

    /// The outcome of a command; refuses a key that came with another body before.
    pub(super) fn once<T: Outcome, R: Into<Problem>>(
        &self,
        outcome: Result<T, CommandError<R>>,
        fingerprint: Uuid,
    ) -> Result<T, Problem> {
        let done = outcome.map_err(|error| self.problem(error))?;
        let same = |metadata: &str| {
            let earlier = serde_json::from_str::<Metadata>(metadata);
            earlier.is_ok_and(|earlier| earlier.fingerprint == fingerprint)
        };
        if done.earlier_metadata().is_none_or(same) {
            return Ok(done);
        }
        let detail = "the key came with another body before";
        Err(Problem::new(Kind::IdempotencyKeyReused, detail))
    }

    /// What surrounds the command: the version it expects, its id, its key.
    pub(super) async fn options<A: Aggregate>(
        &self,
        repository: &Repository<A>,
        id: &A::Id,
        fingerprint: Uuid,
    ) -> Result<CommandOptions, Problem> {
        let metadata = self.key.as_ref().map(|key| {
            json!(Metadata { idempotency_key: key.text.clone(), fingerprint }).to_string()
        });
        Ok(CommandOptions {
            expected_version: self.expected_version(repository, id).await?,
            command_id: self.key.as_ref().map(|key| key.command_id),
            metadata,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
        })
    }

    /// The problem of a command that failed. A conflict is the client's who named a version.
    pub(super) fn problem<R: Into<Problem>>(&self, error: CommandError<R>) -> Problem {
        match (error, &self.if_match) {
            (
                CommandError::Log(Error::VersionConflict { actual, .. }),
                IfMatch::OneOf(versions),
            ) => Problem::version_conflict(versions.first().copied(), actual),
            (error, _) => error.into(),
        }
    }

    async fn expected_version<A: Aggregate>(
        &self,
        repository: &Repository<A>,
        id: &A::Id,
    ) -> Result<Option<u64>, Problem> {
        match &self.if_match {
            IfMatch::Absent | IfMatch::Any => Ok(None),
            IfMatch::OneOf(versions) => match versions[..] {
                [version] => Ok(Some(version)),
                // No tag that can match, or a choice: it takes a look at the current version. Where
                // none is right the command goes out all the same: its key may be known.
                _ => {
                    let current = Some(repository.load(id).await?.version);
                    let right = current.filter(|current| versions.contains(current));
                    Ok(right.or(versions.first().copied()).or(Some(u64::MAX)))
                }
            },
        }
    }
}
