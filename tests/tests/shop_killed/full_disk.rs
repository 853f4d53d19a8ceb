//! The disk under the shop runs full, and has room again.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::Path,
    process::Stdio,
    time::Instant,
};

use headwater_testkit::eventually;
use serde_json::json;
use tokio::process::Command;
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

/// A disk of its own, which only the process and its children see.
const MOUNT: &str = r#"mount -t tmpfs -o size=8m headwater "$0" && exec "$@""#;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path();
    let on_it = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT]).arg(disk);
        command
    };
    let can = on_it().arg("true").stderr(Stdio::null()).status().await;
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: this machine lets no process mount a disk of its own");
        return;
    }
    let url = format!("sqlite://{}", disk.join("shop.db").display());
    let mut program = on_it();
    program.arg(shop());
    let (process, address) = serve_by(program, &url).await;
    let seen = format!("/proc/{}/root{}", process.id().unwrap(), disk.display());
    let filler = Path::new(&seen).join("filler");

    let open = async |n: u128| {
        let key = Uuid::from_u128(n + 1);
        let cart = json!({"currency": "USD", "customer": "ann"});
        post(&address, "/carts", &key.to_string(), &cart).await.expect("it is answered")
    };
    let (mut carts, mut refused) = (Vec::new(), None);
    for n in 0..MANY {
        if n == FULL_AFTER {
            fill(&filler);
        }
        match open(n).await {
            (201, opened) => carts.push(opened["cart_id"].as_str().unwrap().to_owned()),
            (503, problem) => {
                refused = Some((n, problem));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let (last, problem) = refused.expect("the disk is full");
    println!("{} carts fit: {problem}", carts.len());
    assert_eq!(open(last).await.0, 503, "it stays full");

    std::fs::remove_file(&filler).unwrap();
    let same =
        eventually("it goes on", async || Some(open(last).await).filter(|a| a.0 == 201)).await;
    carts.push(same.1["cart_id"].as_str().unwrap().to_owned());
    for cart in carts {
        let there = get(&address, &format!("/carts/{cart}")).await;
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
