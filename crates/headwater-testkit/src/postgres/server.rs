//! A server from local binaries, in a directory of its own, which can be killed and started again.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};

use super::{
    guardian::Guardian,
    local::{self, User},
};

/// A PostgreSQL server of one test, for tests that kill it.
///
/// It keeps its port and its directory over [`Server::kill`] and [`Server::restart`], and is gone
/// when this is dropped or the test process ends.
pub struct Server {
    guardian: Guardian,
    binaries: PathBuf,
    port: u16,
    password: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts a server that no other test uses, from local binaries.
    ///
    /// # Panics
    ///
    /// Where there are none, naming what to install.
    pub async fn start_private() -> Self {
        let started = match local::find() {
            Ok(binaries) => Self::start(&binaries).await,
            Err(reason) => Err(reason),
        };
        started.unwrap_or_else(|reason| {
            panic!(
                "this test kills its PostgreSQL server and needs local binaries ({reason}): install \
                 PostgreSQL 15 or newer (Debian: apt-get install postgresql)"
            )
        })
    }

    /// The URL of a database on this server; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Creates a database and yields its URL.
    pub async fn create_database(&self, name: &str) -> String {
        super::create_database(&self.url("postgres"), name).await;
        self.url(name)
    }

    /// Ends all processes of the server at once by SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        let answer = self.guardian.ask("kill");
        assert_eq!(answer.as_deref(), Ok("killed"), "the server could not be killed");
    }

    /// Starts the killed server again, and waits until it has recovered.
    pub async fn restart(&mut self) {
        let answer = self.guardian.ask("start");
        assert_eq!(answer.as_deref(), Ok("started"), "the server could not be started again");
        if let Err(reason) = self.wait_until_ready().await {
            panic!("the server did not come back: {reason}");
        }
    }

    /// What `pg_dump` makes of a database of this server.
    ///
    /// # Panics
    ///
    /// Where it fails.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let program = self.binaries.join("pg_dump");
        let dumped = Command::new(program).arg(self.url(database)).output();
        let dumped = dumped.expect("pg_dump lies beside the server");
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        dumped.stdout
    }

    /// Restores a dump into a new database of this server, and yields its URL.
    ///
    /// # Panics
    ///
    /// Where it fails.
    pub async fn restore(&self, database: &str, dump: &[u8]) -> String {
        let url = self.create_database(database).await;
        let mut psql = Command::new(self.binaries.join("psql"))
            .args(["--quiet", "--set", "ON_ERROR_STOP=1", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql lies beside the server");
        psql.stdin.take().expect("it is piped").write_all(dump).expect("psql reads");
        assert!(psql.wait().expect("it ends").success(), "the dump cannot be restored");
        url
    }

    pub(super) async fn start(binaries: &Path) -> Result<Self, String> {
        let mut tried = Self::try_start(binaries).await;
        // Another process may take the free port between our look and the server's.
        for _ in 0..2 {
            if tried.is_ok() {
                break;
            }
            tried = Self::try_start(binaries).await;
        }
        tried
    }

    async fn try_start(binaries: &Path) -> Result<Self, String> {
        let port = free_port().map_err(|error| format!("there is no free port: {error}"))?;
        let password = super::random_password();
        let binaries = binaries.to_owned();
        let begin = {
            let (binaries, password) = (binaries.clone(), password.clone());
            move || begin(&binaries, port, &password)
        };
        let guardian = tokio::task::spawn_blocking(begin).await.map_err(|e| e.to_string())??;
        let mut server = Self { guardian, binaries, port, password };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let Err(error) = PgConnection::connect(&self.url("postgres")).await else {
                return Ok(());
            };
            if Instant::now() > deadline {
                let log = self.guardian.ask("log").unwrap_or_default();
                return Err(format!("{error}; its log ends with: {log}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Makes the directory and the guardian, which runs `initdb` and the server in it.
fn begin(binaries: &Path, port: u16, password: &str) -> Result<Guardian, String> {
    let directory = make_directory().map_err(|error| format!("no temporary directory: {error}"))?;
    let guardian = guard(binaries, &directory, port, password);
    if guardian.is_err() {
        let _ = fs::remove_dir_all(&directory);
    }
    guardian
}

// Kept by the guardian and not by a `TempDir`, since only the guardian outlives this process.
pub(super) fn make_directory() -> std::io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("headwater-postgres-").tempdir()?.keep())
}

fn guard(binaries: &Path, directory: &Path, port: u16, password: &str) -> Result<Guardian, String> {
    let user = User::choose(directory)?;
    let file = directory.join("password");
    fs::write(&file, "").map_err(|error| error.to_string())?;
    user.own(&file, 0o600)?;
    fs::write(&file, password).map_err(|error| error.to_string())?;
    user.own(directory, 0o700)?;
    let arguments = [
        "-c",
        include_str!("guardian.sh"),
        "guardian",
        &binaries.to_string_lossy(),
        &directory.to_string_lossy(),
        &port.to_string(),
    ];
    let mut guardian = Guardian::start(user.command("/bin/sh", &arguments)?)?;
    match guardian.answer()?.as_str() {
        "started" => Ok(guardian),
        "" => Err("the server's shell ended at once".into()),
        failed => Err(failed.to_owned()),
    }
}

pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
