//! From the headers of a request to a command, and from its outcome to an answer.

use headwater::{Aggregate, CommandError, Done, Error, Repository, Result};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Problem,
    request::{CommandHeaders, IfMatch},
};
use crate::CommandOptions;

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
        let done = options.command(repository, id).execute(decide).await;
        let done = done.map_err(|error| self.problem(error))?;
        self.check_repeated(done.repeated, done.metadata.as_deref(), &options)?;
        Ok(done)
    }

    /// What surrounds the command: the version it expects, its id, its key.
    pub(super) async fn options<A: Aggregate>(
        &self,
        repository: &Repository<A>,
        id: &A::Id,
        fingerprint: Uuid,
    ) -> Result<CommandOptions, Problem> {
        let metadata = self.key.as_ref().map(|key| {
            json!({ "idempotency_key": key.text, "fingerprint": fingerprint }).to_string()
        });
        Ok(CommandOptions {
            expected_version: self.expected_version(repository, id).await?,
            command_id: self.key.as_ref().map(|key| key.command_id),
            metadata,
            correlation_id: self.correlation_id,
        })
    }

    /// The problem of a command that failed. A conflict is the client's where he named a version.
    pub(super) fn problem<R: Into<Problem>>(&self, error: CommandError<R>) -> Problem {
        match (error, &self.if_match) {
            (
                CommandError::Log(Error::VersionConflict { actual, .. }),
                IfMatch::OneOf(versions),
            ) => Problem::version_conflict(versions.first().copied(), actual),
            (error, _) => error.into(),
        }
    }

    /// Refuses a key that came with another body before.
    pub(super) fn check_repeated(
        &self,
        repeated: bool,
        metadata: Option<&str>,
        options: &CommandOptions,
    ) -> Result<(), Problem> {
        if repeated && metadata != options.metadata.as_deref() {
            let detail = "the key came with another body before";
            return Err(Problem::new(Kind::IdempotencyKeyReused, detail));
        }
        Ok(())
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
                // No tag that can match, or a choice: it takes a look at the current version.
                _ => {
                    let current = repository.load(id).await?.version;
                    let conflict = Problem::version_conflict(versions.first().copied(), current);
                    versions.contains(&current).then_some(Some(current)).ok_or(conflict)
                }
            },
        }
    }
}
