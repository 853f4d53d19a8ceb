//! What every command takes: which log, and in which form the answer is wanted.

use std::{fmt, time::Duration};

use headwater::{Error, Log, Migrated, Settings};
use tokio::time::timeout;

use crate::{Exit, Failure, redact};

/// The options of every command; a service flattens them into its own.
#[derive(Clone, clap::Args)]
pub struct Options {
    /// The log: postgres://user@host/database or sqlite://file.db
    // clap would print the value beside the variable's name in every help, password included.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = HEADING
    )]
    database_url: Option<String>,

    /// The PostgreSQL schema that holds the log
    #[arg(
        long,
        global = true,
        env = "HEADWATER_SCHEMA",
        hide_env_values = true,
        default_value = "headwater",
        value_name = "NAME",
        help_heading = HEADING
    )]
    schema: String,

    /// Print one JSON object a line
    #[arg(long, global = true, help_heading = HEADING)]
    json: bool,

    /// Show no progress
    #[arg(long, global = true, help_heading = HEADING)]
    no_progress: bool,
}

/// How long a database may take to let somebody in, and to answer a look or an act.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

const HEADING: &str = "Options of every command";

// The URL may hold a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("database_url", &self.database_url.as_deref().map(redact))
            .field("schema", &self.schema)
            .field("json", &self.json)
            .field("no_progress", &self.no_progress)
            .finish()
    }
}

impl Options {
    /// Uses the log at `url` where neither an option nor the environment names one.
    #[must_use]
    pub fn or_database_url(mut self, url: impl Into<String>) -> Self {
        if self.given_url().is_none() {
            self.database_url = Some(url.into());
        }
        self
    }

    /// The URL of the log. It may hold a password: use [`redact`] to show it.
    ///
    /// # Errors
    ///
    /// [`Exit::BadInput`] where none was given.
    pub fn database_url(&self) -> Result<&str, Failure> {
        self.given_url().ok_or_else(|| {
            Failure::new(Exit::BadInput, "no-database", "no database is named")
                .with_hint("give --database-url or set DATABASE_URL, to sqlite://file.db or postgres://host/database")
        })
    }

    fn given_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The PostgreSQL schema that holds the log.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether JSON is wanted, one object a line.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether progress is wanted, on standard error.
    pub fn progress(&self) -> bool {
        !self.no_progress
    }

    /// Opens the log, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// Those of [`headwater::connect_with`], [`Exit::BadInput`] where no log was named, and
    /// [`Exit::TryAgain`] where the database does not answer within 4 s.
    pub async fn connect(&self) -> Result<Log, Failure> {
        Ok(self.connect_migrated().await?.0)
    }

    /// The same, and from which schema to which it was brought, where it was not up to date.
    pub(crate) async fn connect_migrated(&self) -> Result<(Log, Option<Migrated>), Failure> {
        let settings = Settings { schema: self.schema.clone(), ..Settings::default() };
        match self.open_as_is(Settings::default()).await? {
            Ok(log) => Ok((log, None)),
            Err(Error::SchemaTooOld { found, known }) => {
                // A migration may take its time.
                let log = headwater::connect_with(self.database_url()?, settings).await?;
                Ok((log, Some(Migrated { from: found, to: known })))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the log as it is: what looks at a log must not change its schema under the services
    /// that run on it.
    ///
    /// # Errors
    ///
    /// As for [`Options::connect`], and [`Exit::Failed`] where the schema is not up to date.
    pub async fn connect_as_is(&self) -> Result<Log, Failure> {
        self.connect_with(Settings::default()).await
    }

    /// The same with settings of the command's own.
    pub(crate) async fn connect_with(&self, settings: Settings) -> Result<Log, Failure> {
        Ok(self.open_as_is(settings).await??)
    }

    async fn open_as_is(&self, settings: Settings) -> Result<headwater::Result<Log>, Failure> {
        let settings = Settings { schema: self.schema.clone(), migrate: false, ..settings };
        Ok(in_time(headwater::connect_with(self.database_url()?, settings)).await)
    }
}

/// What the database answers, where it does so in time.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = headwater::Result<T>>,
) -> headwater::Result<T> {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_elapsed| Err(no_answer(PATIENCE)))
}

/// What is said of a database that does not answer within this time.
pub(crate) fn no_answer(within: Duration) -> Error {
    let reason = format!("the database does not answer within {} s", within.as_secs());
    Error::Unavailable { reason }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let command = Options::augment_args(clap::Command::new("test").no_binary_name(true));
        Options::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    #[test]
    fn debug_shows_no_password() {
        let shown =
            format!("{:?}", options(&["--database-url", "postgres://app:s3cret@localhost/shop"]));
        assert!(shown.contains("localhost/shop") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_default_url_gives_way_to_a_given_one() {
        let given = options(&["--database-url", "sqlite://a.db"]).or_database_url("sqlite://b.db");
        assert_eq!(given.database_url().unwrap(), "sqlite://a.db");
        let none = options(&["--database-url", ""]).or_database_url("sqlite://b.db");
        assert_eq!(none.database_url().unwrap(), "sqlite://b.db");
    }
}
