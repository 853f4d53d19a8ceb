//! What several of these test programs need.
#![allow(dead_code, reason = "not every test program uses everything")]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

pub mod serving;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of a workspace")
}

/// The folder that this build writes to, `target/debug` for example.
pub fn build_folder() -> PathBuf {
    let program = env::current_exe().expect("a test program knows where it lies");
    program.ancestors().nth(2).expect("it lies in target/debug/deps").to_owned()
}

/// Cargo, for builds within a test.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
}

/// The compiled shop.
pub fn shop() -> &'static Path {
    static SHOP: OnceLock<PathBuf> = OnceLock::new();
    SHOP.get_or_init(|| program("shop", "shop"))
}

/// The compiled command line.
pub fn headwater() -> &'static Path {
    static HEADWATER: OnceLock<PathBuf> = OnceLock::new();
    HEADWATER.get_or_init(|| program("headwater-cli", "headwater"))
}

/// A compiled program. `cargo test --workspace` has built it; where only these tests were asked for,
/// it is built now, unless it is newer than everything that it was made of.
fn program(package: &str, name: &str) -> PathBuf {
    let folder = build_folder();
    let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !is_fresh(&program) {
        let mut build = cargo();
        build.args(["build", "--quiet", "--package", package, "--bin", name]);
        build.current_dir(workspace());
        build.env("CARGO_TARGET_DIR", folder.parent().expect("target/debug lies in target"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let built = build.status().expect("cargo can be run");
        assert!(built.success(), "{name} could not be built");
    }
    program
}

/// Whether a program is newer than the sources that cargo has noted beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let Some(built) = changed(program) else { return false };
    let Ok(sources) = fs::read_to_string(program.with_extension("d")) else { return false };
    let newer = |source: SystemTime| source > built;
    sources
        .split_whitespace()
        .skip(1)
        .all(|source| changed(Path::new(source)).is_some_and(|source| !newer(source)))
}
