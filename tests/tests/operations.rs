//! docs/operations.md does as it says: its commands are run against a shop at work, and print what stands
//! there, but for numbers, times and names of hosts.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use headwater_testkit::postgres;
use support::{headwater, shop, workspace};

/// A command of the page, and what it prints.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The commands of the page, in their order.
fn steps() -> Vec<Step> {
    let page = fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(mark) => inside = mark == "console",
            None if !inside => {}
            None => match line.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { command: command.into(), expected: Vec::new() });
                }
                None => steps.last_mut().unwrap().expected.push(line.into()),
            },
        }
    }
    steps
}

/// A line without what is another one each time.
fn masked(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let other = word.contains("sha256:") || word.contains(".db") || word.contains(':');
        if !plain && other && !word.ends_with(':') {
            return "*".to_owned();
        }
        let mut masked = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if masked.ends_with('#') => {}
                '0'..='9' => masked.push('#'),
                other => masked.push(other),
            }
        }
        masked
    });
    words.collect::<Vec<_>>().join(" ").replace("#.#", "#").replace("#.#", "#")
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The environment of an operator.
fn environment(command: &mut Command, folder: &Path, url: &str) {
    let bins = [headwater(), shop()].map(|bin| bin.parent().unwrap().to_owned());
    let old = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(bins.into_iter().chain(std::env::split_paths(&old))).unwrap();
    command.current_dir(folder).env("PATH", path).env("DATABASE_URL", url).env("USER", "ada");
    for variable in ["HEADWATER_SCHEMA", "HEADWATER_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
}

fn start(folder: &Path, url: &str) -> Service {
    let mut command = Command::new(shop());
    command.args(["web", "--port", "0", "--json"]).stdout(Stdio::piped());
    environment(&mut command, folder, url);
    let mut service = command.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("url"), "{said}");
    Service(service)
}

/// Runs a line of the page as a shell does; yields what it prints.
fn run(command: &str, folder: &Path, url: &str) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    environment(&mut shell, folder, url);
    let output = shell.output().unwrap();
    let mut lines: Vec<_> = [output.stdout, output.stderr]
        .iter()
        .flat_map(|text| {
            String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    if let Some(code) = output.status.code().filter(|code| *code != 0) {
        lines.push(format!("exit code {code}"));
    }
    lines
}

/// Runs the page. A command is given until it prints what it should, since the service works beside it.
fn follow(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let _service = start(folder.path(), url);
    let traffic = "shop traffic --seed 7 --rps 200 --duration 2s --no-progress";
    run(traffic, folder.path(), url);
    let steps = steps();
    assert!(steps.len() > 15, "there are {} commands", steps.len());
    for Step { command, expected } in steps {
        let expected: Vec<_> = expected.iter().map(|line| masked(line)).collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found: Vec<_> =
                run(&command, folder.path(), url).iter().map(|line| masked(line)).collect();
            // What a doctor notes of the database depends on it.
            let noted = command.contains("doctor") && found.last() == expected.last();
            if found == expected || noted {
                break;
            }
            let reads = ["status", "doctor", "parked", "history"];
            let again = reads.iter().any(|word| command.contains(word));
            assert!(
                again && Instant::now() < deadline,
                "{command}\n  should print {expected:#?}\n  but prints {found:#?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn the_page_for_operators_is_true_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    follow(&format!("sqlite://{}", folder.path().join("shop.db").display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_operators_is_true_of_postgresql() {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    tokio::task::spawn_blocking(move || follow(&url)).await.unwrap();
}
