//! A race in SQLite: a file of its own, in a folder beside the file that was named.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use headwater::{Append, Log, Settings, sqlite::SqliteStore};
use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use tokio::{sync::Mutex, time::sleep};

use super::{
    elsewhere::Elsewhere,
    place::{Connection, End, Ended, Habits, PREFIX, Place, Track, fresh_name, of_driver},
};
use crate::{Exit, Failure};

/// How long a statement waits for another writer.
const BUSY: Duration = Duration::from_secs(10);

const ABOVE: &str = "select position from events where position > $1 order by position";

/// A folder for one race.
pub(super) struct Folder {
    path: PathBuf,
    others: Vec<String>,
}

impl Folder {
    /// Chooses a name and looks around; nothing is made yet.
    pub(super) fn choose(url: &str) -> Result<Self, Failure> {
        let parent = folder_of(url)?;
        let names = fs::read_dir(&parent).map_err(|error| of_file(&parent, &error))?;
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut others: Vec<_> = names
            .filter(|name| name.starts_with(PREFIX))
            .map(|name| parent.join(name).display().to_string())
            .collect();
        others.sort_unstable();
        Ok(Self { path: parent.join(fresh_name()), others })
    }
}

/// The folder that the file of a URL lies in; for a log in memory, the system's for what is temporary.
fn folder_of(url: &str) -> Result<PathBuf, Failure> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Ok(std::env::temp_dir());
    }
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|_| Failure::bad_input("the database URL cannot be read: sqlite://file.db"))?;
    let file = options.get_filename();
    if file.as_os_str().is_empty() {
        return Err(Failure::bad_input("the database URL names no file: sqlite://file.db"));
    }
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    Ok(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
}

fn of_file(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let failure = if error.kind() == io::ErrorKind::NotFound {
        Failure::bad_input(format!("the folder {path} does not exist"))
    } else {
        Failure::new(Exit::Failed, "io", format!("no folder can be made in {path}: {error}"))
    };
    failure.with_hint("a race makes a folder beside the file: name one where this user may write")
}

#[async_trait]
impl Place for Folder {
    fn kind(&self) -> &'static str {
        "folder"
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn others(&self) -> &[String] {
        &self.others
    }

    fn how_to_remove(&self, name: &str) -> String {
        format!("rm -r {name}")
    }

    async fn open(&self) -> Result<Box<dyn Track>, Failure> {
        fs::create_dir(&self.path).map_err(|error| of_file(&self.path, &error))?;
        let file = self.path.join("log.db");
        // What means something in a URL stands encoded in it.
        let path = file.display().to_string().replace('%', "%25").replace('?', "%3F");
        let url = format!("sqlite://{path}");
        let store = SqliteStore::connect(&url, Settings::default()).await?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .busy_timeout(BUSY)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let log = Log::new(store.clone());
        Ok(Box::new(InSqlite { url, options, store, log, turn: Arc::default() }))
    }

    async fn remove(self: Box<Self>) -> Result<(), Failure> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(of_file(&self.path, &error))
            }
            _ => Ok(()),
        }
    }
}

struct InSqlite {
    url: String,
    options: SqliteConnectOptions,
    store: SqliteStore,
    log: Log,
    /// For transactions beside the log, one at a time: SQLite lets those who wait sleep, and is not
    /// fair to them.
    turn: Arc<Mutex<()>>,
}

#[async_trait]
impl Track for InSqlite {
    fn log(&self) -> &Log {
        &self.log
    }

    async fn join(&self) -> Result<Log, Failure> {
        let settings = Settings { migrate: false, ..Settings::default() };
        Ok(Log::new(SqliteStore::connect(&self.url, settings).await?))
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Failure> {
        let connection = self.options.connect().await.map_err(of_driver)?;
        Ok(Box::new(ToSqlite { connection, store: self.store.clone(), turn: self.turn.clone() }))
    }

    async fn elsewhere(&self) -> Result<Elsewhere, Failure> {
        Ok(Elsewhere::none("no transaction elsewhere, since SQLite has one writer at a time"))
    }

    // While one is open all others wait, so they are few and short.
    fn habits(&self) -> Habits {
        Habits {
            at_once: 8,
            rolled_back: 1,
            open: Duration::from_millis(2),
            long: Duration::from_millis(20),
        }
    }
}

struct ToSqlite {
    connection: SqliteConnection,
    store: SqliteStore,
    turn: Arc<Mutex<()>>,
}

#[async_trait]
impl Connection for ToSqlite {
    async fn append_in(
        &mut self,
        append: Append,
        open: Duration,
        end: End,
    ) -> Result<Ended, Failure> {
        let _turn = self.turn.lock().await;
        sqlx::raw_sql("begin immediate").execute(&mut self.connection).await.map_err(of_driver)?;
        let begun = Instant::now();
        let appended = self.store.append_in(&mut self.connection, vec![append]).await?;
        sleep(open).await;
        sqlx::raw_sql(end.sql()).execute(&mut self.connection).await.map_err(of_driver)?;
        self.store.hint();
        Ok(Ended { appended, open: begun.elapsed() })
    }

    async fn above(&mut self, last: u64) -> Result<Vec<u64>, Failure> {
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let above = sqlx::query(ABOVE).bind(last).fetch_all(&mut self.connection).await;
        let rows = above.map_err(of_driver)?;
        rows.iter().map(|row| row.try_get(0).map(i64::unsigned_abs).map_err(of_driver)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_of_the_file() {
        for (url, folder) in [
            ("sqlite://shop.db", "."),
            ("sqlite:shop.db", "."),
            ("sqlite:///var/lib/shop.db?mode=rwc", "/var/lib"),
            ("sqlite://a%20b/shop.db", "a b"),
        ] {
            assert_eq!(folder_of(url).unwrap(), Path::new(folder), "{url}");
        }
        assert_eq!(folder_of("sqlite::memory:").unwrap(), std::env::temp_dir());
    }
}
