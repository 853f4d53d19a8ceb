//! Examine: what is wrong with the file that holds the log, or will be. It changes nothing.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use headwater_core::{Error, Finding, Result, finding::size};
use sqlx::{Connection as _, Row as _};
use tokio::time::sleep;

use crate::{
    connect,
    errors::{is_busy, of_statement},
    rows::{fetch_all, fetch_one},
    store::SqliteStore,
};

/// How long others may hold the right to write without a word.
const MOMENT: Duration = Duration::from_secs(1);

/// How large the write-ahead log is where something keeps it from being reset.
const LARGE_LOG: u64 = 256 << 20;

/// How many faults a thorough look names.
const FAULTS: &str = "pragma quick_check(5)";

impl SqliteStore {
    pub(crate) async fn examine_all(&self, thorough: bool) -> Result<Vec<Finding>> {
        let mut connection = self.inner.connections.log_reader().await?;
        let library = connect::library(&mut connection).await?;
        let mut findings = Vec::new();
        let file = self.inner.connections.file().map(Path::to_owned);
        if let Some(path) = &file {
            let seen = File::look(path);
            findings.push(Finding::note("database", seen.describe(path, &library)));
            findings.extend(seen.findings(path));
            let mode: String =
                fetch_one(&mut connection, sqlx::query("pragma journal_mode"), |row| {
                    row.try_get(0)
                })
                .await?;
            if mode != "wal" {
                findings.push(
                    Finding::error("journal-mode", format!("the file is in journal mode {mode}"))
                        .means("readers wait for writers, and writers for readers")
                        .cure(
                            "open the log once with a program that may write to the file and \
                            its folder",
                        ),
                );
            }
        } else {
            findings.push(Finding::note("database", format!("SQLite {library}, in memory")));
        }
        let missing = sqlx::query(include_str!("examine_triggers.sql"));
        let missing = fetch_all(&mut connection, missing).await?;
        for row in missing {
            let trigger: String = row.try_get(0).map_err(of_statement)?;
            findings.push(
                Finding::error("guard", format!("the trigger {trigger} is missing"))
                    .means("events can be changed or removed")
                    .cure(
                        "`headwater verify`, then import an export into a new log, which has \
                        its triggers",
                    ),
            );
        }
        if thorough {
            findings.extend(check(fetch_all(&mut connection, sqlx::query(FAULTS)).await?)?);
        }
        drop(connection);
        if file.is_some() && self.is_write_held().await? {
            findings.push(
                Finding::warning(
                    "writer-held",
                    "another program has held the right to write for a second and more",
                )
                .means("appends wait for it, and are refused after 5 s")
                .cure(
                    "end its transaction: `fuser` or `lsof` with the name of the file \
                        tells which program has it open",
                ),
            );
        }
        Ok(findings)
    }

    /// Whether somebody keeps the right to write for longer than a moment.
    async fn is_write_held(&self) -> Result<bool> {
        let deadline = Instant::now() + MOMENT;
        let options = self.inner.connections.options().clone();
        let options = options.read_only(false).busy_timeout(Duration::ZERO);
        let mut connection = connect::open(&options).await?;
        let held = loop {
            // It takes the right, writes nothing, and gives it back.
            match sqlx::raw_sql("begin immediate; rollback").execute(&mut connection).await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(error) => break is_busy(&error),
                Ok(_) => break false,
            }
        };
        let _closed_anyway = connection.close().await;
        Ok(held)
    }
}

/// What SQLite's own check says of the file.
fn check(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<Finding>, Error> {
    let said = rows.iter().map(|row| row.try_get::<String, _>(0));
    let said = said.collect::<Result<Vec<_>, _>>().map_err(of_statement)?;
    let faults = said.into_iter().filter(|line| line != "ok");
    Ok(faults
        .map(|fault| {
            Finding::error("damaged", format!("the file is damaged: {fault}"))
                .means("events may be lost, or found by one way and not by another")
                .cure("stop its programs, keep a copy, restore a backup, and look at the disk")
        })
        .collect())
}

/// What can be seen of the file from outside.
struct File {
    size: u64,
    log: u64,
    /// The rights of others than its owner.
    others: u32,
    free: Option<u64>,
}

impl File {
    fn look(path: &Path) -> Self {
        let length = |path: &Path| path.metadata().map_or(0, |file| file.len());
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Self {
            size: length(path),
            log: length(&PathBuf::from(log)),
            others: others(path),
            free: free(path),
        }
    }

    fn describe(&self, path: &Path, library: &str) -> String {
        let free = self.free.map(|free| format!(", {} free beside it", size(free)));
        let (file, bytes) = (path.display(), size(self.size));
        format!("SQLite {library}, {bytes} in {file}{}", free.unwrap_or_default())
    }

    fn findings(&self, path: &Path) -> Vec<Finding> {
        let (mut all, file) = (Vec::new(), path.display());
        if self.others != 0 {
            all.push(
                Finding::warning(
                    "file-mode",
                    format!("others than its owner may use the file {file}"),
                )
                .means("users of this machine can read the events, or change them")
                .cure(format!("`chmod 600 {file}*`")),
            );
        }
        if self.log > LARGE_LOG {
            let log = size(self.log);
            all.push(
                Finding::warning(
                    "write-ahead-log",
                    format!("the write-ahead log beside it has {log}"),
                )
                .means(
                    "reading gets slower; it is reset once no reader holds an old state \
                        of the database",
                )
                .cure("end transactions of your own that stay open, also in a shell"),
            );
        }
        if let Some(free) = self.free {
            let needed = self.size + self.log;
            let what = format!("{} are free on the disk of the file", size(free));
            let cure = "make room, or move the file to a larger disk";
            if free < 64 << 20 {
                all.push(
                    Finding::error("disk", what)
                        .means("appends are about to be refused")
                        .cure(cure),
                );
            } else if free < 1 << 30 && free < needed {
                all.push(
                    Finding::warning("disk", what).means("less than the log has by now").cure(cure),
                );
            }
        }
        all
    }
}

#[cfg(unix)]
fn others(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().map_or(0, |file| file.permissions().mode() & 0o077)
}

#[cfg(not(unix))]
fn others(_path: &Path) -> u32 {
    0
}

/// How many bytes a program may still write beside the file, where that can be known.
#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_path: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use headwater_core::Severity;

    use super::*;

    #[test]
    fn what_is_seen_of_a_file_is_judged() {
        let with = |change: fn(&mut File)| {
            let mut file = File { size: 2 << 30, log: 1 << 20, others: 0, free: Some(5 << 30) };
            change(&mut file);
            let findings = file.findings(Path::new("log.db"));
            findings.into_iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
        };
        assert_eq!(with(|_| {}), []);
        assert_eq!(with(|file| file.free = None), []);
        assert_eq!(with(|file| file.others = 0o040), [("file-mode", Severity::Warning)]);
        assert_eq!(with(|file| file.log = LARGE_LOG + 1), [("write-ahead-log", Severity::Warning)]);
        assert_eq!(with(|file| file.free = Some(1 << 20)), [("disk", Severity::Error)]);
        assert_eq!(with(|file| file.free = Some(1 << 29)), [("disk", Severity::Warning)]);
        assert_eq!(with(|file| (file.size, file.free) = (1, Some(1 << 29))), []);
    }
}
