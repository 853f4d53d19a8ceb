//! Runs the compiled shop, as a user does.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for a log and files, which goes with the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The URL of the log in this folder.
    pub fn log(&self) -> String {
        format!("sqlite://{}", self.path().join("shop.db").display())
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs the shop on the log of this folder.
    pub fn shop<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        ended(shop(&self.log()).args(arguments))
    }

    /// Imports a file.
    pub fn import(&self, dataset: &str, file: &Path) -> Ended {
        self.shop(["import", dataset, file.to_str().unwrap(), "--json", "--no-progress"])
    }

    /// How many events and streams the log holds, as its own commands say.
    pub fn counts(&self) -> (usize, usize) {
        let lines = |command: &str| {
            let listed = self.shop([command, "--json"]);
            assert_eq!(listed.code, 0, "{}", listed.err);
            listed.out.lines().count()
        };
        (lines("events"), lines("streams"))
    }
}

/// The command, on this log.
pub fn shop(log: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.env("DATABASE_URL", log).env_remove("HEADWATER_SCHEMA");
    command
}

/// A process that is killed when the test is through with it.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A shop that serves, until it is dropped or asked to end.
pub struct Serving {
    process: Process,
    /// Where it listens: host and port.
    pub address: String,
    /// What it said before.
    pub said: Vec<String>,
}

impl Serving {
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut said = Vec::new();
        for line in BufReader::new(process.0.stdout.take().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().unwrap().starts_with("Ctrl-C") {
                break;
            }
        }
        let shop = said.iter().find_map(|line| line.strip_prefix("The shop: http://"));
        let address = shop.unwrap_or_else(|| panic!("it does not serve: {said:?}")).to_owned();
        Self { process, address, said }
    }

    /// The port on which it listens, for another one to take its place.
    pub fn port(&self) -> String {
        self.address.rsplit_once(':').unwrap().1.to_owned()
    }

    /// The answer to a request: head, in small letters, and body.
    pub fn get(&self, path: &str) -> (String, String) {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = self.ask(&request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.into())
    }

    /// The status of the answer to a body of this kind.
    pub fn post(&self, path: &str, kind: &str, body: &str) -> u16 {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let answer = self.ask(&request);
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The answer to a request that is written out.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The first line that begins so of an answer that goes on.
    pub fn first_of(&self, path: &str, begin: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        lines.find(|line| line.starts_with(begin)).unwrap()
    }

    /// Asks it to end, and yields its exit code and how long it took.
    pub fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        (self.process.0.wait().unwrap().code(), asked.elapsed())
    }
}

/// What a command said before it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The last line as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }

    /// The numbers of an import.
    pub fn added(&self) -> (i64, i64, i64) {
        let json = self.json();
        let number = |name: &str| json[name].as_i64().unwrap();
        assert!(json["seconds"].as_f64().unwrap() >= 0.0);
        (number("events"), number("streams"), number("ignored"))
    }
}

pub fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// Packs a text with gzip.
pub fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

/// A data set that ships with the shop.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The year of Online Retail, which may not lie in this repository.
pub fn online_retail() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HEADWATER_ONLINE_RETAIL").map(PathBuf::from) {
        assert!(named.exists(), "HEADWATER_ONLINE_RETAIL: there is no {}", named.display());
        return Some(named);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let file = beside.join("online-retail.csv.gz");
    if file.exists() {
        return Some(file);
    }
    let line = "!".repeat(78);
    eprintln!(
        "{line}\nNOT TESTED on real input: there is no {}.\nFetch Online Retail as \
         examples/shop/data/NOTICE says, and set HEADWATER_ONLINE_RETAIL to the file.\n{line}",
        file.display()
    );
    None
}
