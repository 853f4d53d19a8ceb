//! A log in a file of its own, and the programs to run on it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use headwater::{ExpectedVersion, NewEvent, StreamName};
use headwater_testkit::postgres::{TestDatabase, database, direct, direct_database};
use serde_json::Value;
use sqlx::Connection as _;
use tempfile::TempDir;

/// An empty folder in which a log may lie.
pub struct Place {
    folder: TempDir,
    program: PathBuf,
    url: String,
    /// Goes with the place.
    _database: Option<TestDatabase>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// Nothing there yet, for the `headwater` binary.
    pub fn empty() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_headwater")).to_owned();
        let url = "sqlite://log.db".into();
        Self { folder: TempDir::new().unwrap(), program, url, _database: None }
    }

    /// A migrated log, for the `headwater` binary.
    pub fn new() -> Self {
        let place = Self::empty();
        place.ok(&["migrate"]);
        place
    }

    /// A migrated log in PostgreSQL.
    pub async fn in_postgres() -> Self {
        Self::in_database(database().await)
    }

    /// The same without a pooler, whatever the other tests have.
    pub async fn in_postgres_directly() -> Self {
        Self::in_database(direct_database().await)
    }

    fn in_database(database: TestDatabase) -> Self {
        let place = Self { url: database.url().into(), _database: Some(database), ..Self::empty() };
        place.ok(&["migrate"]);
        place
    }

    /// The URL of its log, from wherever.
    pub fn url(&self) -> String {
        let folder = self.folder.path().display();
        self.url.replace("sqlite://", &format!("sqlite://{folder}/"))
    }

    /// The same log, for the service in `examples/service.rs`.
    pub fn into_service(self) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_headwater")).with_file_name("examples/service");
        assert!(program.exists(), "`cargo test` without --test builds {}", program.display());
        Self { program, ..self }
    }

    /// The same log, for the `headwater` binary.
    pub fn into_bare(self) -> Self {
        Self { program: Self::empty().program, ..self }
    }

    /// Where the log lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command on the log in this place.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).current_dir(self.folder.path());
        for variable in ["HEADWATER_SCHEMA", "HEADWATER_LOG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("DATABASE_URL", &self.url);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a command that must succeed, and yields what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.exit, 0, "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// Runs a command with `--json` that must succeed, and yields each line.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.ok(&[arguments, &["--json"]].concat()))
    }

    /// Runs a command with something on its standard input.
    pub fn piped(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs statements on the database by hand.
    pub async fn sql(&self, statements: &str) {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
        if self.url.starts_with("sqlite:") {
            let mut connection = sqlx::SqliteConnection::connect(&self.url()).await.unwrap();
            statements.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = direct(&self.url).await;
            statements.execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// Appends `count` events to one stream.
    pub fn fill(&self, stream: &str, event_type: &str, count: usize) {
        for number in 0..count {
            let data = format!("{{\"number\":{number}}}");
            self.ok(&["append", stream, event_type, "--data", &data]);
        }
    }

    /// Opens so many thousand carts in pounds.
    pub fn fill_with_carts(&self, thousands: usize) {
        let carts = async {
            let log = headwater::connect(&self.url()).await.unwrap();
            for thousand in 0..thousands {
                let stream = StreamName::new("cart", thousand).unwrap();
                let opened = || NewEvent::from_json("cart.opened", 1, r#"{"currency":"GBP"}"#);
                let events = std::iter::repeat_with(opened).take(1_000);
                log.append(&stream, ExpectedVersion::None, events).await.unwrap();
            }
            log.close().await;
        };
        block_on(carts);
    }
}

/// On a thread of its own, since a test may be in a runtime already.
fn block_on(work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Runtime::new().unwrap().block_on(work);
        scope.spawn(run).join().unwrap();
    });
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// The object under `error` on standard error.
    pub fn error(&self) -> Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"));
        let error = object["error"].clone();
        for key in ["code", "kind", "message"] {
            assert!(error[key].is_string(), "{key} is missing: {line}");
        }
        error
    }
}

/// Reads one JSON value from each line.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits until a process ends, at most so long; one that does not is killed and fails the test.
pub fn ends_within(mut child: Child, patience: Duration) -> Ended {
    let deadline = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it still ran after {patience:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap().into()
}
