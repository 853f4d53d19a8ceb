//! A local installation of PostgreSQL: where its binaries are, and as whom they may run.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The oldest major version that Headwater runs on.
const OLDEST: u32 = 15;

/// Finds the directory that holds `initdb` and `postgres`: on the path, in Debian's place, or where
/// `pg_config` says.
pub(super) fn find() -> Result<PathBuf, String> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let candidates = on_path.into_iter().chain(debian()).chain(pg_config());
    // A link on the path leads to a directory that also holds everything else.
    let mut found: Vec<_> = candidates
        .filter_map(|directory| fs::canonicalize(directory.join("postgres")).ok())
        .filter_map(|postgres| postgres.parent().map(Path::to_owned))
        .filter(|directory| directory.join("initdb").is_file())
        .filter_map(|directory| Some((major_version(&directory)?, directory)))
        .collect();
    found.dedup();
    match found.iter().find(|(major, _)| *major >= OLDEST) {
        Some((_, directory)) => Ok(directory.clone()),
        None if found.is_empty() => Err("no local PostgreSQL was found".into()),
        None => Err(format!("the local PostgreSQL is older than {OLDEST}")),
    }
}

/// Debian keeps each major version apart; the newest comes first.
fn debian() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The major version of `postgres (PostgreSQL) 15.18 (Debian ...)`.
fn major_version(directory: &Path) -> Option<u32> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The user that the server runs as: PostgreSQL refuses to run as root.
pub(super) enum User {
    /// The one who runs the tests.
    Own,
    /// Another one, since that one is root.
    Other { name: &'static str, uid: u32, gid: u32 },
}

impl User {
    /// The own user, or for root `postgres` or else `nobody`.
    pub(super) fn choose(directory: &Path) -> Result<Self, String> {
        // The owner of what we have just made is who we are.
        let own = fs::metadata(directory).map_err(|error| error.to_string())?.uid();
        if own != 0 {
            return Ok(Self::Own);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some(Self::Other { name, uid: id("-u", name)?, gid: id("-g", name)? }))
            .ok_or_else(|| "root cannot run PostgreSQL, and there is no user nobody".to_owned())
    }

    /// Hands a file or directory over, readable by its owner alone.
    pub(super) fn own(&self, path: &Path, mode: u32) -> Result<(), String> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .and_then(|()| match self {
                Self::Own => Ok(()),
                Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
            })
            .map_err(|error| format!("{} could not be handed over: {error}", path.display()))
    }

    /// A command that runs `program` with `arguments` as this user.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Result<Command, String> {
        let mut command = match self {
            Self::Own => Command::new(program),
            Self::Other { name, uid, gid } if on_path("setpriv") => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
                command.args(["--clear-groups", "--", program]).env("USER", name);
                command
            }
            Self::Other { name, .. } if on_path("runuser") => {
                let mut command = Command::new("runuser");
                command.args(["-u", name, "--", program]);
                command
            }
            // `su` takes one line for a shell, and what follows it as that line's arguments.
            Self::Other { name, .. } => {
                let mut command = Command::new("su");
                let line = format!("exec {program} \"$@\"");
                command.args(["-s", "/bin/sh", "-c", &line, name, "--", program]);
                command
            }
        };
        command.args(arguments).current_dir("/");
        Ok(command)
    }
}

fn id(which: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([which, user]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}
