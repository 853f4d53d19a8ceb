//! What the figures were measured on.

use std::{fs, process::Command, time::Duration};

use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{databases::Database, shared::job::Outcome, subjects::Store};

/// The settings of PostgreSQL that the figures depend on.
const SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
];

/// Some lines about the machine, the versions and the databases.
pub async fn describe(time: Duration, repetitions: usize) -> Outcome<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    let memory = field("/proc/meminfo", "MemTotal:");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) { "debug build: NOT A MEASUREMENT" } else { "release" };
    let mut lines = vec![
        format!("{cores} cores of {}, memory {memory}", field("/proc/cpuinfo", "model name\t:")),
        format!("Linux {}", kernel.trim()),
        format!(
            "headwater {} ({build}), {}; medians of {repetitions} repetitions of {time:?}",
            env!("CARGO_PKG_VERSION"),
            said("rustc", "--version")
        ),
    ];
    lines.extend(postgres().await?);
    let sqlite = headwater::connect("sqlite::memory:").await?;
    lines.push(format!("{}, WAL, synchronous=FULL", sqlite.store().describe().await?));
    lines.extend(load("start"));
    Ok(lines)
}

/// How busy the machine is, with this or with something else: processes that run or wait for a disk, of
/// the last 1, 5 and 15 minutes.
pub fn load(when: &str) -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    let averages: Vec<_> = load.split_whitespace().take(3).collect();
    Some(format!("load at the {when}: {}", averages.join(" ")))
}

async fn postgres() -> Outcome<Vec<String>> {
    let database = Database::fresh(Store::ByHand).await?;
    let mut connection = PgConnection::connect(&database.url()).await?;
    let version: String = sqlx::query_scalar("select version()").fetch_one(&mut connection).await?;
    let rows = sqlx::query(
        "select name, current_setting(name) from unnest($1::text[]) with ordinality as s (name, place)
         order by place",
    )
    .bind(SETTINGS.as_slice())
    .fetch_all(&mut connection)
    .await?;
    let setting = |row: &sqlx::postgres::PgRow| {
        Ok(format!("{} {}", row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?))
    };
    let settings = rows.iter().map(setting).collect::<sqlx::Result<Vec<_>>>()?;
    connection.close().await?;
    Ok(vec![version, settings.join(", ")])
}

/// What follows `name` in a file of the system's.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or_else(|| "(unknown)".into(), |value| value.trim().into())
}

fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| format!("{program} (unknown)"))
}
