//! `migrate`: the one command that is there to change the schema.

use headwater::Migrated;
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
    let (log, migrated) = options.connect_migrated().await?;
    let migrated = match migrated {
        Some(migrated) => Ok(migrated),
        None => log.migrate().await,
    };
    close(&log).await;
    let Migrated { from, to } = migrated?;
    if out.is_json() {
        out.object(&Answer { from, to })
    } else if from == to {
        out.line(format_args!("the schema is up to date ({to})"))
    } else {
        out.line(format_args!("the schema was brought from {from} to {to}"))
    }
}
