//! Opening: from a URL to connections that keep what they acknowledge.
//!
//! Write-ahead log and `synchronous = full`: a commit that was acknowledged is on the disk. SQLite
//! below 3.51.3 can lose committed data when the write-ahead log is reset, so it is refused.

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use headwater_core::{Error, Result};
use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    errors::{is_busy, of_file, of_open},
    rows::fetch_one,
};

/// How many connections readers and the user's own transactions may use together.
const CONNECTIONS: u32 = 8;

/// How long a unit of work waits for a connection of the pool.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a statement waits for a writer in another process.
const BUSY: Duration = Duration::from_secs(5);

/// How many pages the writer keeps in memory: 32 MiB, as a negative number of KiB. With less, a large append
/// writes pages that it needs again: twice the time.
const WRITER_CACHE: &str = "-32768";

/// How many pages a reader keeps: 4 MiB.
const READER_CACHE: &str = "-4096";

/// How many pages, of 4 KiB as a rule, the write-ahead log holds before they are brought into the file.
/// The pages of an index are written again and again, and brought in once.
const CHECKPOINT: &str = "8000";

/// The oldest library that keeps what it acknowledged.
const OLDEST_LIBRARY: (u32, u32, u32) = (3, 51, 3);

/// Where the log lies.
pub(crate) enum Place {
    File { path: PathBuf, read_only: bool },
    Memory,
}

impl Place {
    /// Reads `sqlite://path`, `sqlite:path` or `sqlite::memory:`, with `?mode=ro`, `rw`, `rwc` or
    /// `memory`.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("sqlite:")
            .ok_or_else(|| invalid("it must begin with sqlite: or sqlite://"))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (name, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut read_only, mut memory) = (false, name == ":memory:");
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter {
                "mode=ro" => read_only = true,
                "mode=rw" | "mode=rwc" => read_only = false,
                "mode=memory" => memory = true,
                _ => return Err(invalid("the only parameter is mode, one of ro, rw, rwc, memory")),
            }
        }
        if memory {
            return Ok(Self::Memory);
        }
        if name.is_empty() {
            return Err(invalid("it names no file"));
        }
        // The driver's parser, for its reading of percent signs.
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{name}"))
            .map_err(|_| invalid("the file's name is not UTF-8"))?;
        Ok(Self::File { path: options.get_filename().to_owned(), read_only })
    }

    /// Makes the file where there is none, for its owner alone; SQLite gives the log beside it the
    /// same mode.
    pub(crate) fn create(&self) -> Result<()> {
        let Self::File { path, read_only: false } = self else { return Ok(()) };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(of_file(path, &error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::File { path, .. } => path.exists(),
            Self::Memory => true,
        }
    }

    pub(crate) fn options(&self) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new().busy_timeout(BUSY).disable_statement_logging();
        match self {
            Self::File { path, read_only } => {
                let options = options.filename(path).read_only(*read_only);
                options
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("cache_size", WRITER_CACHE)
                    .pragma("wal_autocheckpoint", CHECKPOINT)
            }
            // A name that begins with a slash is shared within the process, and ends with its last
            // connection. There is no write-ahead log in memory.
            Self::Memory => options
                .vfs("memdb")
                .filename(format!("/headwater-{}", Uuid::now_v7()))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Memory),
        }
    }

    /// Opens the first connection, and brings a file into write-ahead mode.
    pub(crate) async fn open(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection> {
        let Self::File { path, read_only } = self else { return open(options).await };
        if path.is_dir() {
            let reason = format!("{} is a directory, not a database file", path.display());
            return Err(Error::Unavailable { reason });
        }
        let mut connection = open(options).await?;
        check_library(&mut connection).await?;
        if !*read_only {
            use_write_ahead_log(&mut connection, path).await?;
        }
        Ok(connection)
    }
}

/// Opens a further connection to a database that is open already.
pub(crate) async fn open(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    options.connect().await.map_err(|error| of_open(options.get_filename(), error))
}

/// Connections for readers and users, each opened when it is first needed.
pub(crate) fn pool(options: &SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone().pragma("cache_size", READER_CACHE))
}

/// SQLite in words, such as `SQLite 3.51.3`.
pub(crate) async fn library(connection: &mut SqliteConnection) -> Result<String> {
    fetch_one(connection, sqlx::query("select sqlite_version()"), |row| row.try_get(0)).await
}

async fn check_library(connection: &mut SqliteConnection) -> Result<()> {
    let version = library(connection).await?;
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) >= OLDEST_LIBRARY {
        return Ok(());
    }
    let (major, minor, patch) = OLDEST_LIBRARY;
    let reason = format!(
        "SQLite {major}.{minor}.{patch} or later is needed, and this is {version}, which can lose committed data"
    );
    Err(Error::Unsupported { reason })
}

/// The mode stays in the file. SQLite does not wait by itself for the lock that the change needs.
async fn use_write_ahead_log(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        let changed = sqlx::query("pragma journal_mode = wal").fetch_one(&mut *connection).await;
        match changed.and_then(|row| row.try_get::<String, _>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(of_open(path, error)),
            // A file that this program may only read keeps its mode, and can still be read.
            Ok(_) if is_read_only(path) => return Ok(()),
            Ok(mode) => {
                let reason = format!(
                    "{} stays in journal mode {mode}: write-ahead logging does not work on this file system",
                    path.display()
                );
                return Err(Error::Unsupported { reason });
            }
        }
    }
}

fn is_read_only(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().readonly())
}

fn invalid(reason: &str) -> Error {
    Error::InvalidInput(format!("the database URL cannot be used: {reason}"))
}
