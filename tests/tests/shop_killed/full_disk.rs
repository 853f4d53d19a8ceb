//! The disk under the shop runs full, and has room again.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use headwater_testkit::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::{
    customer::{get, post},
    service::serve_by,
    support::shop,
};

/// How many carts are opened at most until the disk is full.
const MANY: u128 = 20_000;

/// After how many carts the disk is filled.
const FULL_AFTER: u128 = 100;

/// Mounts a disk of its own at the first argument, which only this process and its children see, and runs the others.
const MOUNT: &str = r#"mount -t tmpfs -o size=8m headwater "$0" && exec "$@""#;

/// A small disk that one process has for itself.
struct Disk(TempDir);

impl Disk {
    /// Nothing where this machine lets no process mount one.
    async fn small() -> Option<Self> {
        let disk = Self(TempDir::new().unwrap());
        let tried = disk.program("true").stderr(Stdio::null()).status().await;
        tried.is_ok_and(|status| status.success()).then_some(disk)
    }

    /// A command that has the disk, and begins with this program.
    fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT]);
        command.arg(self.0.path()).arg(program);
        command
    }

    fn database(&self) -> String {
        format!("sqlite://{}", self.0.path().join("shop.db").display())
    }

    /// The file that takes the room, as seen from outside: by way of the process that has the disk.
    fn filler(&self, process: &Child) -> PathBuf {
        let pid = process.id().unwrap();
        PathBuf::from(format!("/proc/{pid}/root{}/filler", self.0.path().display()))
    }
}

/// Fills a disk to its last byte.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    let mut piece = vec![0; 1 << 16];
    while !piece.is_empty() {
        match filler.write_all(&piece) {
            Ok(()) => {}
            Err(full) if full.kind() == ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Opens a cart; yields the status and the answer.
async fn open(address: &str, number: u128) -> (u16, Value) {
    let cart = json!({"currency": "USD", "customer": "ann"});
    let key = Uuid::from_u128(number + 1).to_string();
    post(address, "/carts", &key, &cart).await.expect("it is answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::small().await else {
        let why = "this machine lets no process mount a disk of its own";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("NOT TESTED: {why}");
        return;
    };
    let (process, address) = serve_by(disk.program(shop()), &disk.database()).await;
    let filler = disk.filler(&process);
    let (mut carts, mut refused) = (Vec::new(), None);
    for number in 0..MANY {
        if number == FULL_AFTER {
            fill(&filler);
        }
        match open(&address, number).await {
            (201, opened) => carts.push(opened),
            (503, problem) => {
                refused = Some((number, problem));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let (last, problem) = refused.expect("the disk is full");
    println!("{} carts fit: {problem}", carts.len());
    assert_eq!(open(&address, last).await.0, 503, "it stays full");

    fs::remove_file(&filler).unwrap();
    let again = async || Some(open(&address, last).await).filter(|answer| answer.0 == 201);
    carts.push(eventually("it goes on", again).await.1);
    for cart in carts {
        let path = format!("/carts/{}", cart["cart_id"].as_str().unwrap());
        let there = get(&address, &path).await;
        assert_eq!(there.map(|answer| answer.0), Some(200), "what was acknowledged is there");
    }
    let up_to_date = |line: &str| {
        line == r#"headwater_projection_lag_positions{projection="cart_views"} 0"#
            || line == r#"headwater_projection_state{projection="cart_views",state="running"} 1"#
    };
    let begun = Instant::now();
    eventually("its read model goes on", async || {
        let metrics = get(&address, "/metrics").await?.1;
        (metrics.lines().filter(|line| up_to_date(line)).count() == 2).then_some(())
    })
    .await;
    println!("and its read model was up to date {:?} later", begun.elapsed());
}
