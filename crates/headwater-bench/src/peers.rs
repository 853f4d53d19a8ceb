//! The binary of the peers, which is built when it is asked for.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Its package.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/Cargo.toml");

/// Its name.
const BINARY: &str = "headwater-bench-peers";

/// Builds it beside this binary, `own`, in a directory of its own, and yields where it is.
///
/// # Errors
///
/// Why it cannot be had: a sentence for whoever misses the columns.
pub fn build(own: &Path) -> Result<PathBuf, String> {
    let profile = own.parent().ok_or("this binary has no directory")?;
    let target = profile.parent().ok_or("this binary has no target directory")?.join("peers");
    let binary = target.join("release").join(BINARY);
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path", MANIFEST, "--target-dir"])
        .arg(&target)
        // What cargo says goes to the error output by itself.
        .stdout(Stdio::null())
        .status();
    match built {
        Ok(status) if status.success() => Ok(binary),
        // On a machine without a toolchain, one that was brought along.
        Err(_) if binary.is_file() => Ok(binary),
        Ok(_) => Err("their binary could not be built; cargo said why".into()),
        Err(error) => Err(format!("cargo could not be started: {error}")),
    }
}
