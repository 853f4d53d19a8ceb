//! `headwater serve` as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::headwater;

/// A process that is killed when the test is through with it.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `headwater serve`, and what its clients must know.
pub struct Service {
    pub process: Process,
    pub url: String,
    /// Shown once, by the first one in a folder.
    pub token: Option<String>,
}

/// Starts one whose tokens lie in this folder.
pub fn serve(database: &str, folder: &Path, port: &str) -> Service {
    let mut command = Command::new(headwater());
    command.args(["serve", "--json", "--tokens", "tokens", "--port", port]);
    command.current_dir(folder).env("DATABASE_URL", database).stdout(Stdio::piped());
    let mut process = Process(command.spawn().unwrap());
    let mut said = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let token = said["token"].as_str().map(str::to_owned);
    Service { process, url: said["url"].as_str().unwrap().into(), token }
}
