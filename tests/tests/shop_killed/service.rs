//! Processes of the shop.

use std::process::{Output, Stdio};

use headwater_testkit::within;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::shop;

fn command(url: &str, arguments: &[&str]) -> Command {
    with(Command::new(shop()), url, arguments)
}

/// The rest of a command of the shop, which begins with the program.
fn with(mut command: Command, url: &str, arguments: &[&str]) -> Command {
    for variable in ["HEADWATER_SCHEMA", "HEADWATER_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.args(arguments).env("DATABASE_URL", url).kill_on_drop(true);
    command
}

/// Runs a command of the shop to its end, and yields what it said, an object a line.
pub async fn run(url: &str, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--json"]].concat();
    let output = within("a command of the shop", command(url, &arguments).output()).await.unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}");
    let out = String::from_utf8(out).unwrap();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts a command of the shop that is to be killed.
pub fn start(url: &str, arguments: &[&str]) -> Child {
    command(url, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a command.
pub async fn ends(process: Child) -> Output {
    process.wait_with_output().await.unwrap()
}

/// Ends a process by SIGKILL; `false` where it had ended well before.
pub async fn kill(process: &mut Child) -> bool {
    let ended = process.try_wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "it failed: {ended:?}");
    process.kill().await.unwrap();
    ended.is_none()
}

/// Starts the shop as a service, and yields where it listens.
pub async fn serve(url: &str) -> (Child, String) {
    serve_by(Command::new(shop()), url).await
}

/// The same, by a command that begins with the program.
pub async fn serve_by(program: Command, url: &str) -> (Child, String) {
    let mut service = with(program, url, &["web", "--port", "0", "--json"]);
    let mut process = service.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = within("the shop listens", lines.next_line()).await.unwrap().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let address = said["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    (process, address.to_owned())
}
