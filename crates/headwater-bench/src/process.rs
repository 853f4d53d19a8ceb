//! A process that runs one job: this binary again, or the one of the peers.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::shared::job::{Job, Measured, Outcome, READY, URL};

/// The hidden subcommand that runs a job.
pub const RUN: &str = "run";

/// How long a job may take to prepare, and to run, beyond its own time.
const PATIENCE: Duration = Duration::from_secs(180);

/// A process with its job, ended when this is dropped.
pub struct Process {
    child: Child,
    go: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `binary` with a job, and waits until it is ready.
    pub async fn start(binary: &Path, job: &Job, url: &str) -> Outcome<Self> {
        let mut child = Command::new(binary)
            .args([RUN, &serde_json::to_string(job)?])
            .env(URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(go), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        let mut process = Self { child, go, answers: BufReader::new(answers).lines() };
        let answer = process.answer().await?;
        if answer != READY {
            return Err(format!("the process answers {answer:?} before it is ready").into());
        }
        Ok(process)
    }

    /// Lets it begin.
    pub async fn go(&mut self) -> Outcome<()> {
        self.go.write_all(b"go\n").await?;
        Ok(())
    }

    /// What it has measured.
    pub async fn end(mut self) -> Outcome<Measured> {
        let answer = self.answer().await?;
        self.child.wait().await?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// A process that fails says why on its own error output.
    async fn answer(&mut self) -> Outcome<String> {
        let line = timeout(PATIENCE, self.answers.next_line()).await;
        let line = line.map_err(|_| format!("no answer within {PATIENCE:?}"))??;
        line.ok_or_else(|| "the process has failed".into())
    }
}
