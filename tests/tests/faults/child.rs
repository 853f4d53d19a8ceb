//! Processes to be killed: this test program itself, started anew for one test of its own.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child as Process, ChildStdout, Command},
};

/// What a started process is to do; the test that it runs reads it.
pub const DATABASE: &str = "HEADWATER_FAULTS_DATABASE";

/// A process that runs one test of this program on a database.
pub struct Child {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts the test of this name.
    pub fn start(test: &str, url: &str) -> Self {
        let mut process = command(test, url).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next thing that it says under `word`; `None` where it has ended.
    pub async fn says(&mut self, word: &str) -> Option<String> {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            // The test harness writes the test's name in front of its first line.
            if let Some((_, said)) = line.split_once(word) {
                return Some(said.trim().to_owned());
            }
        }
        None
    }

    /// Ends it by SIGKILL; `false` where it had ended before.
    pub async fn kill(&mut self) -> bool {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "the process failed: {ended:?}");
        self.process.kill().await.unwrap();
        ended.is_none()
    }
}

/// What starts the test of this name in a process of its own, which ends with this one.
pub fn command(test: &str, url: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(DATABASE, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The database of this process, where it is such a child. A child ends with its parent, however
/// that one ends.
pub fn database() -> Option<String> {
    let url = std::env::var(DATABASE).ok()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    Some(url)
}
