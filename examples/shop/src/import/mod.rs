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
mod speed;
mod write;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use csv::StringRecord;
use headwater::{Append, Log};
use headwater_cli::{Exit, Failure, Interrupt, Options, Output};
use serde::Serialize;

use self::{groups::Groups, ids::Ids, progress::Progress, speed::Speed};

/// Shown below the help of the command.
pub const EXAMPLES: &str = "\
Examples:
  shop import online-retail online-retail.csv.gz
  shop import cdnow examples/shop/data/CDNOW_master.txt.gz --json
  shop import ecom examples/shop/data/ecom.csv.gz --speed 86400x   # a day in a second, for `shop web --clock log`";

/// The arguments of `shop import`.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The data set
    dataset: DatasetName,
    /// Its file, plain or packed with gzip
    file: PathBuf,
    /// How fast: max, realtime, or so many times that; what was imported before is waited for as well
    #[arg(long, default_value = "max", value_name = "SPEED")]
    speed: Speed,
}

/// A data set that the shop can read.
#[derive(Clone, Copy, clap::ValueEnum)]
enum DatasetName {
    /// A year of a British web shop: 25,900 invoices
    OnlineRetail,
    /// Eighteen months of a record shop: 69,659 orders
    Cdnow,
    /// Clicks of a made-up shop: 3,605 sessions
    Ecom,
}

/// How the lines of a data set are read, and which events they become.
trait Dataset: Send + Sync + 'static {
    /// Its name, which all ids are derived from: never change it.
    const NAME: &'static str;
    /// What stands between columns; blanks may be several.
    const DELIMITER: u8;
    /// The columns that the first line of the file names.
    const COLUMNS: &'static [&'static str];
    /// A line that was understood.
    type Line: Send;

    /// Reads a line; `row` is its number, from 1. The error says what is wrong with it.
    fn read(row: u64, fields: &StringRecord) -> Result<Self::Line, String>;

    /// When it happened.
    fn at(line: &Self::Line) -> DateTime<Utc>;

    /// What the lines that belong together have in common.
    fn group(line: &Self::Line) -> String;

    /// What the lines of one group become; nothing where they are not trade.
    fn appends(ids: Ids, lines: &[Self::Line]) -> headwater::Result<Vec<Append>>;
}

/// What an import added to the log.
#[derive(Default, Serialize)]
struct Imported {
    events: u64,
    streams: u64,
    /// Groups of lines, such as invoices, that are no trade; whether or not they were read before.
    ignored: u64,
    seconds: f64,
}

/// Runs `shop import`.
///
/// # Errors
///
/// What went wrong, with its exit code: a sentence with the line that is wrong, or the log's own.
pub async fn run(options: &Options, args: ImportArgs) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen(Exit::Interrupted)?;
    let log = options.connect().await?;
    let (file, speed, progress) = (&*args.file, args.speed, options.progress());
    let imported = async {
        match args.dataset {
            DatasetName::OnlineRetail => {
                import::<online_retail::OnlineRetail>(&log, file, speed, progress).await
            }
            DatasetName::Cdnow => import::<cdnow::Cdnow>(&log, file, speed, progress).await,
            DatasetName::Ecom => import::<ecom::Ecom>(&log, file, speed, progress).await,
        }
    };
    let imported = tokio::select! {
        () = interrupt.requested() => Err(Failure::new(
            Exit::Interrupted,
            "interrupted",
            "interrupted: what was imported is whole, and the same command imports the rest",
        )),
        imported = imported => imported,
    };
    log.close().await;
    print(&imported?, &mut Output::new(options))
}

async fn import<D: Dataset>(
    log: &Log,
    file: &Path,
    speed: Speed,
    show: bool,
) -> Result<Imported, Failure> {
    let groups = Groups::<D>::of(file)?;
    let mut progress = Progress::begin(groups.total(), show);
    let ids = Ids::of(D::NAME);
    let appends = |lines: Result<Vec<D::Line>, Failure>| Ok(D::appends(ids, &lines?)?);
    let written = if speed.plays() {
        let groups = by_time::<D>(groups)?.into_iter().map(Ok);
        write::write(log, groups.map(appends), speed, &mut progress).await
    } else {
        write::write(log, groups.map(appends), speed, &mut progress).await
    };
    progress.end();
    Ok(Imported { seconds: progress.seconds(), ..written? })
}

/// All groups, in the order in which the last of each happened, whatever that of the file is.
fn by_time<D: Dataset>(groups: Groups<D>) -> Result<Vec<Vec<D::Line>>, Failure> {
    let mut groups = groups.collect::<Result<Vec<_>, _>>()?;
    groups.sort_by_cached_key(|lines| lines.iter().map(D::at).max());
    Ok(groups)
}

fn print(imported: &Imported, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        out.object(imported)?;
    } else {
        let Imported { events, streams, ignored, seconds } = imported;
        out.line(format!("{events} events in {streams} streams were added in {seconds:.1} s"))?;
        out.line(format!("{ignored} groups of lines, such as invoices, are no trade"))?;
    }
    out.flush()
}
