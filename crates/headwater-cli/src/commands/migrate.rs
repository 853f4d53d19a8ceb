//! `migrate`: the one command that is there to change the schema.

use headwater::{Error, Migrated, Settings};
use serde::Serialize;

use super::close;
use crate::{Failure, Options, Output};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater migrate
  headwater migrate --database-url postgres://owner@db/shop --schema tenant_7";

#[derive(Serialize)]
struct Answer {
    from: u32,
    to: u32,
}

pub(super) async fn run(options: &Options, out: &mut Output) -> Result<(), Failure> {
    let Migrated { from, to } = migrate(options).await?;
    if out.is_json() {
        out.object(&Answer { from, to })
    } else if from == to {
        out.line(format_args!("the schema is up to date ({to})"))
    } else {
        out.line(format_args!("the schema was brought from {from} to {to}"))
    }
}

/// Opening a log brings its schema up to date as well, and does not say from where: so it is opened
/// as it is first.
async fn migrate(options: &Options) -> Result<Migrated, Failure> {
    let url = options.database_url()?;
    let (log, migrated) = match options.open_as_is(url, Settings::default()).await {
        Ok(log) => {
            let migrated = log.migrate().await?;
            (log, migrated)
        }
        Err(Error::SchemaTooOld { found, known }) => {
            (options.open_and_migrate(url).await?, Migrated { from: found, to: known })
        }
        Err(error) => return Err(error.into()),
    };
    close(&log).await;
    Ok(migrated)
}
