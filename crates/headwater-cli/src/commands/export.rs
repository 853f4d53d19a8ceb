//! `export`: the whole log as lines, each event byte for byte as its writer gave it.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use futures_util::StreamExt as _;
use headwater::{Direction, Filter, Log, Position, store::Reading};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::split;
use crate::{
    Exit, Failure, Interrupt, Options, Output, checksum::Checksum, line, output::reader_gone,
    pace::Pace,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater export shop.ndjson
  headwater export shop.ndjson --force --json
  headwater export | zstd > shop.ndjson.zst";

/// How many events are written at once, at most.
const CHUNK: usize = 256;

/// What `export` takes.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// Where to: a file, or - for standard output
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// Replace the file where there is one
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: Option<&'a str>,
    events: u64,
    position: u64,
    checksum: &'a str,
}

pub(super) async fn run(
    log: &Log,
    args: ExportArgs,
    options: &Options,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut target = Target::open(&args)?;
    let until = log.ceiling().await?.position;
    let begun = Instant::now();
    let checksum = write_all(log, until, &mut target, options).await?;
    let events = checksum.events();
    let checksum = checksum.finish();
    let file = target.finish(args.force)?;
    let file = file.as_ref().map(|file| file.to_string_lossy());
    let answer = Answer { file: file.as_deref(), events, position: until.0, checksum: &checksum };
    let seconds = begun.elapsed().as_secs_f64();
    let sentence = format!("exported {events} events in {seconds:.1} s, checksum {checksum}");
    match (&file, options.json()) {
        (Some(_), true) => out.object(&answer),
        (Some(_), false) => out.line(sentence),
        // Standard output is the log's.
        (None, true) => say(&serde_json::to_string(&answer).map_err(io::Error::from)?),
        (None, false) => say(&sentence),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
    Ok(())
}

async fn write_all(
    log: &Log,
    until: Position,
    target: &mut Target,
    options: &Options,
) -> Result<Checksum, Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let gone = reader_gone();
    tokio::pin!(gone);
    let (mut checksum, mut lines) = (Checksum::new(), Vec::new());
    let mut pace = Pace::new(options, "export", Some(until.0));
    let mut chunks = all(log, until).ready_chunks(CHUNK);
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = interrupt.requested() => return Err(interrupted(target)),
            () = &mut gone, if target.is_output() => {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
        };
        let Some(chunk) = chunk else { break };
        let (whole, outcome) = split(chunk);
        lines.clear();
        for event in &whole {
            line::write(event, &mut lines)?;
            checksum.add(event);
        }
        target.write(&lines)?;
        outcome?;
        if let Some(last) = whole.last() {
            pace.report(checksum.events(), last.position.0);
        }
    }
    target.flush()?;
    Ok(checksum)
}

/// Every event up to a ceiling, oldest first.
pub(super) fn all(log: &Log, until: Position) -> headwater::EventStream {
    let (filter, after, direction) = (Filter::all(), Position::START, Direction::Forward);
    log.store().read(Reading::Log { filter, after, until, direction })
}

fn interrupted(target: &Target) -> Failure {
    let left = if target.is_output() { "the export is not whole" } else { "no file was written" };
    Failure::new(Exit::Interrupted, "interrupted", format!("interrupted: {left}"))
}

/// Where an export goes. A file bears its name only once it is whole.
enum Target {
    Output(BufWriter<io::Stdout>),
    File { path: PathBuf, file: BufWriter<NamedTempFile> },
}

impl Target {
    fn open(args: &ExportArgs) -> Result<Self, Failure> {
        let path = &args.file;
        if path == Path::new("-") {
            return Ok(Self::Output(BufWriter::with_capacity(64 << 10, io::stdout())));
        }
        let Some(name) = path.file_name() else { return Err(no_file(path)) };
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => return Err(no_file(path)),
            Ok(_) if !args.force => return Err(exists(path)),
            _ => {}
        }
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        // Made for its owner alone: it holds all that the log does.
        let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder(path));
        let file = file.map_err(|error| of_file(path, &error))?;
        Ok(Self::File { path: path.clone(), file: BufWriter::with_capacity(256 << 10, file) })
    }

    fn is_output(&self) -> bool {
        matches!(self, Self::Output(_))
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Output(out) => Ok(out.write_all(lines)?),
            Self::File { path, file } => {
                file.write_all(lines).map_err(|error| of_file(path, &error))
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Self::Output(out) => Ok(out.flush()?),
            Self::File { path, file } => file.flush().map_err(|error| of_file(path, &error)),
        }
    }

    /// Gives a file its name, once it is on the disk; yields it.
    fn finish(self, force: bool) -> Result<Option<PathBuf>, Failure> {
        let Self::File { path, file } = self else { return Ok(None) };
        let of_path = |error: &io::Error| of_file(&path, error);
        let file = file.into_inner().map_err(|error| of_path(error.error()))?;
        file.as_file().sync_all().map_err(|error| of_path(&error))?;
        let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        named.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => of_path(&error.error),
        })?;
        // The name is the folder's; where that cannot be synced, it is there all the same.
        let _ = File::open(folder(&path)).and_then(|folder| folder.sync_all());
        Ok(Some(path))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::BadInput, "file-exists", format!("{} is there already", path.display()))
        .with_hint("give another name, or --force to replace it")
}

fn no_file(path: &Path) -> Failure {
    Failure::bad_input(format!("{} is no file that could be written", path.display()))
        .with_hint("give the name of a file, or - for standard output")
}

fn of_file(path: &Path, error: &io::Error) -> Failure {
    let message = format!("{} cannot be written: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::bad_input(message),
        _ => Failure::new(Exit::Failed, "io", message),
    }
}
