//! `shop demo`: the service with visitors, on a log of its own.

use std::{
    io,
    path::{Path, PathBuf},
};

use headwater_cli::{Exit, Failure, Options};

use crate::{
    traffic::TrafficOptions,
    web::{WebArgs, serve},
};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop demo
  shop demo --port 3001 --rps 100";

/// The arguments of `shop demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    web: WebArgs,
    #[command(flatten)]
    traffic: TrafficOptions,
}

/// Runs `shop demo`: everything, with visitors, on a file of the user's unless told otherwise.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn run(options: &Options, args: DemoArgs) -> Result<(), Failure> {
    if options.database_url().is_ok() {
        return serve(options, args.web, Some(args.traffic)).await;
    }
    let file = data_file()?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    }
    let options = options.clone().or_database_url(sqlite_url(&file));
    serve(&options, args.web, Some(args.traffic)).await
}

/// The log of the demo: what the other commands look at where no log is named.
pub fn demo_log() -> Option<String> {
    data_file().ok().map(|file| sqlite_url(&file))
}

/// The demo's file in the folder where this system keeps the data of a user's programs.
fn data_file() -> Result<PathBuf, Failure> {
    let variable =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || variable("HOME");
    let folder = if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share")))
    };
    let missing = || {
        Failure::new(Exit::BadInput, "no-home", "the user has no home directory for the demo's log")
            .with_hint("give --database-url sqlite://shop.db")
    };
    Ok(folder.ok_or_else(missing)?.join("headwater-shop").join("shop.db"))
}

/// The URL of a SQLite file; what means something in a URL is escaped.
fn sqlite_url(file: &Path) -> String {
    let path = file.to_string_lossy();
    format!("sqlite://{}", path.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
}

fn unusable(folder: &Path, error: &io::Error) -> Failure {
    let folder = folder.display();
    Failure::new(Exit::Failed, "io", format!("the folder {folder} cannot be made ({error})"))
        .with_hint("give --database-url sqlite://shop.db")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        assert_eq!(sqlite_url(Path::new("/a b/50%?#.db")), "sqlite:///a b/50%25%3F%23.db");
    }
}
