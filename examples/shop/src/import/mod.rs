//! `shop import`: the trade of real shops, as events.
//!
//! A data set says how a line is read, which lines belong together, and which events they become.
//! All ids are derived from the data, so that a second import adds nothing and one that was
//! interrupted is completed by the next.

mod amount;
mod cdnow;
mod ecom;
mod groups;
mod ids;
mod online_retail;
mod progress;
mod source;
mod write;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use csv::StringRecord;
use headwater::{Append, Log};
use headwater_cli::{Exit, Failure, Interrupt, Options, Output};
use serde::Serialize;

use self::{groups::Checked, ids::Ids, progress::Progress};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop import online-retail online-retail.csv.gz
  shop import cdnow examples/shop/data/CDNOW_master.txt.gz --json
  shop import ecom examples/shop/data/ecom.csv.gz";

/// What is imported from where.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The data set
    dataset: DatasetName,
    /// Its file, plain or packed with gzip
    file: PathBuf,
}

/// A data set that the shop can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatasetName {
    /// A year of a British web shop: 25,900 invoices
    OnlineRetail,
    /// Eighteen months of a record shop: 69,659 orders
    Cdnow,
    /// Clicks of a made-up shop: 3,605 sessions
    Ecom,
}

/// How the lines of a data set are read, and which events they become.
pub trait Dataset: Send + Sync + 'static {
    /// Its name, which all ids are derived from: never change it.
    const NAME: &'static str;
    /// What stands between columns; columns between blanks may be lined up with several.
    const DELIMITER: u8;
    /// The columns that the first line of the file names.
    const COLUMNS: &'static [&'static str];
    /// A line that was understood.
    type Line: Send;

    /// Reads a line; `row` is its number, from 1. The error says what is wrong with it.
    fn read(row: u64, fields: &StringRecord) -> Result<Self::Line, String>;

    /// What the lines that belong together have in common.
    fn group(line: &Self::Line) -> String;

    /// What the lines of one group become; nothing where they are not trade.
    fn appends(ids: Ids, lines: &[Self::Line]) -> headwater::Result<Vec<Append>>;
}

/// What an import added to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Imported {
    /// Events.
    pub events: u64,
    /// Streams.
    pub streams: u64,
    /// Groups of lines, such as invoices, that the file holds and that are not trade.
    pub ignored: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Runs `shop import`.
///
/// # Errors
///
/// What went wrong, with its exit code.
pub async fn run(options: &Options, args: ImportArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let log = options.connect().await?;
    let imported = tokio::select! {
        () = interrupt.requested() => Err(interrupted()),
        imported = import(&log, args.dataset, &args.file, options.progress()) => imported,
    };
    log.close().await;
    print(&imported?, &mut Output::new(options))
}

/// Imports a file; what an earlier import wrote already is left as it is.
///
/// # Errors
///
/// A sentence with the line that is wrong, or the failure of the log.
pub async fn import(
    log: &Log,
    dataset: DatasetName,
    file: &Path,
    progress: bool,
) -> Result<Imported, Failure> {
    match dataset {
        DatasetName::OnlineRetail => {
            import_as::<online_retail::OnlineRetail>(log, file, progress).await
        }
        DatasetName::Cdnow => import_as::<cdnow::Cdnow>(log, file, progress).await,
        DatasetName::Ecom => import_as::<ecom::Ecom>(log, file, progress).await,
    }
}

async fn import_as<D: Dataset>(
    log: &Log,
    file: &Path,
    progress: bool,
) -> Result<Imported, Failure> {
    let checked = Checked::read::<D>(file)?;
    let progress = Progress::begin(file, checked.lines(), progress);
    let groups = checked.groups::<D>(progress.bytes())?;
    let ids = Ids::of(D::NAME);
    let appends = groups.map(|lines| D::appends(ids, &lines?).map_err(Failure::from));
    let written = write::write(log, appends, &progress).await;
    progress.end();
    Ok(Imported { seconds: progress.seconds(), ..written? })
}

fn interrupted() -> Failure {
    Failure::new(
        Exit::Interrupted,
        "interrupted",
        "interrupted: what was imported is whole, and the same command imports the rest",
    )
}

fn print(imported: &Imported, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        out.object(imported)?;
    } else {
        let Imported { events, streams, ignored, seconds } = imported;
        out.line(format!(
            "{events} events in {streams} streams were added in {seconds:.1} s; {ignored} records were ignored"
        ))?;
    }
    out.flush()
}
