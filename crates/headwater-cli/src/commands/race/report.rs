//! The report of a race: a table and a sentence for people, one object for programs, and a failure
//! where the promise was broken.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use super::{
    RaceArgs,
    course::{Finish, Reader},
    verdict::{Lag, Verdict},
};
use crate::{Exit, Failure, Output};

/// What there is to say of the place beside the race itself.
pub(super) struct Surroundings {
    /// Where it was run, such as `schema headwater_race_5f0c1d2e`.
    pub(super) place: String,
    /// Whether that has gone.
    pub(super) removed: bool,
    /// Places of other races, each with the way to remove it.
    pub(super) others: Vec<(String, String)>,
    pub(super) seed: u64,
}

#[derive(Serialize)]
struct Answer<'a> {
    database: &'a str,
    place: &'a str,
    removed: bool,
    seed: u64,
    seconds: f64,
    writers: u32,
    followers: u32,
    events: u64,
    appends: u64,
    late: u64,
    rolled_back: u64,
    longest_open_ms: f64,
    meanwhile: &'a str,
    missed: u64,
    doubled: u64,
    inverted: u64,
    lag_p50_ms: f64,
    lag_p99_ms: f64,
    by_hand_missed: u64,
    readers: Vec<Row>,
    others: Vec<&'a str>,
}

#[derive(Serialize)]
struct Row {
    reader: String,
    events: u64,
    missed: u64,
    doubled: u64,
    inverted: u64,
    lag_p50_ms: Option<f64>,
    lag_p99_ms: Option<f64>,
}

/// The worst that any reader of the log had to bear.
struct Worst {
    verdict: Verdict,
    by_hand_missed: u64,
}

impl Worst {
    fn of(verdicts: &[(Reader, Verdict)]) -> Self {
        let mut worst = Self { verdict: Verdict::default(), by_hand_missed: 0 };
        let Verdict { missed, doubled, inverted, lag, .. } = &mut worst.verdict;
        for (reader, verdict) in verdicts {
            if *reader == Reader::ByHand {
                worst.by_hand_missed = verdict.missed;
                continue;
            }
            *missed = verdict.missed.max(*missed);
            *doubled = verdict.doubled.max(*doubled);
            *inverted = verdict.inverted.max(*inverted);
            if let Some(of_reader) = lag_of(*reader, verdict) {
                lag.p50 = lag.p50.max(of_reader.p50);
                lag.p99 = lag.p99.max(of_reader.p99);
            }
        }
        worst
    }
}

/// Writes the report; fails where a reader of the log was not given each event once and in order.
pub(super) fn report(
    finish: &Finish,
    args: &RaceArgs,
    around: &Surroundings,
    out: &mut Output,
) -> Result<(), Failure> {
    let worst = Worst::of(&finish.verdicts);
    if out.is_json() {
        out.object(&answer(finish, args, around, &worst))?;
    } else {
        write(finish, args, around, out)?;
        if worst.verdict.is_clean() {
            out.line(format_args!("\n{}", conclusion(finish, &worst)))?;
        }
    }
    if worst.verdict.is_clean() { Ok(()) } else { Err(broken(finish, around, &worst.verdict)) }
}

fn answer<'a>(
    finish: &'a Finish,
    args: &RaceArgs,
    around: &'a Surroundings,
    worst: &Worst,
) -> Answer<'a> {
    let (known, verdict) = (&finish.known, &worst.verdict);
    Answer {
        database: &finish.database,
        place: &around.place,
        removed: around.removed,
        seed: around.seed,
        seconds: (finish.took.as_secs_f64() * 10.0).round() / 10.0,
        writers: args.writers,
        followers: args.followers,
        events: known.committed.len() as u64,
        appends: known.appends,
        late: known.late,
        rolled_back: known.rolled_back,
        longest_open_ms: millis(known.longest_open),
        meanwhile: &finish.elsewhere,
        missed: verdict.missed,
        doubled: verdict.doubled,
        inverted: verdict.inverted,
        lag_p50_ms: millis(verdict.lag.p50),
        lag_p99_ms: millis(verdict.lag.p99),
        by_hand_missed: worst.by_hand_missed,
        readers: finish.verdicts.iter().map(|(reader, verdict)| row(*reader, verdict)).collect(),
        others: around.others.iter().map(|(name, _)| name.as_str()).collect(),
    }
}

fn row(reader: Reader, verdict: &Verdict) -> Row {
    let lag = lag_of(reader, verdict);
    Row {
        reader: name(reader),
        events: verdict.events,
        missed: verdict.missed,
        doubled: verdict.doubled,
        inverted: verdict.inverted,
        lag_p50_ms: lag.map(|lag| millis(lag.p50)),
        lag_p99_ms: lag.map(|lag| millis(lag.p99)),
    }
}

/// The lag of one who was there from the beginning; others replay what is old.
fn lag_of(reader: Reader, verdict: &Verdict) -> Option<Lag> {
    matches!(reader, Reader::Follower(_) | Reader::ByHand).then_some(verdict.lag)
}

fn name(reader: Reader) -> String {
    match reader {
        Reader::Follower(number) => format!("follower {number}"),
        Reader::Late(after) => format!("follower after {} s", after.as_secs_f64()),
        Reader::Whole => "reading at the end".into(),
        Reader::ByHand => "position > last".into(),
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn write(
    finish: &Finish,
    args: &RaceArgs,
    around: &Surroundings,
    out: &mut Output,
) -> Result<(), Failure> {
    let Surroundings { place, removed, others, seed } = around;
    let known = &finish.known;
    let fate = if *removed { "removed" } else { "still there" };
    let (seconds, writers) = (finish.took.as_secs_f64(), args.writers);
    let [events, appends, late, rolled_back] =
        [known.committed.len() as u64, known.appends, known.late, known.rolled_back]
            .map(HumanCount);
    out.line(format_args!("{}, {place} ({fate})", finish.database))?;
    out.line(format_args!("{writers} writers for {seconds:.1} s, seed {seed}: {events} events"))?;
    out.line(format_args!(
        "in {appends} appends, {late} of them committed late, and {rolled_back} more rolled back"
    ))?;
    out.line(format_args!(
        "the longest transaction was open for {} ms",
        known.longest_open.as_millis()
    ))?;
    out.line(format_args!("meanwhile: {}", finish.elsewhere))?;
    for (other, remove) in others {
        out.line(format_args!(
            "of another race, running or killed: {other}; to remove it: {remove}"
        ))?;
    }
    out.line("")?;
    let header = ["READER", "EVENTS", "MISSED", "DOUBLED", "INVERTED", "LAG P50", "LAG P99"];
    out.table(&header, finish.verdicts.iter().map(|(reader, verdict)| cells(*reader, verdict)))
}

fn cells(reader: Reader, verdict: &Verdict) -> [String; 7] {
    let Verdict { events, missed, doubled, inverted, .. } = verdict;
    let [events, missed, doubled, inverted] =
        [events, missed, doubled, inverted].map(|count| HumanCount(*count).to_string());
    let lag = lag_of(reader, verdict);
    let shown = |of: fn(Lag) -> Duration| {
        lag.map(|lag| format!("{} ms", of(lag).as_millis())).unwrap_or_default()
    };
    let (p50, p99) = (shown(|lag| lag.p50), shown(|lag| lag.p99));
    [name(reader), events, missed, doubled, inverted, p50, p99]
}

fn conclusion(finish: &Finish, worst: &Worst) -> String {
    let events = HumanCount(finish.known.committed.len() as u64);
    let p99 = worst.verdict.lag.p99.as_millis();
    let by_hand = match worst.by_hand_missed {
        0 => "missed none".to_owned(),
        missed => format!("missed {}", HumanCount(missed)),
    };
    format!(
        "Every reader of the log got each of the {events} events once and in order,\n\
         99 of 100 within {p99} ms of their commit; `position > last` {by_hand} in the same run."
    )
}

fn broken(finish: &Finish, around: &Surroundings, worst: &Verdict) -> Failure {
    let Verdict { missed, doubled, inverted, .. } = worst;
    let (events, seed) = (finish.known.committed.len(), around.seed);
    let message = format!(
        "the promise is broken: of {events} events, a reader of the log missed {missed} at worst, \
         got {doubled} too often and {inverted} out of order"
    );
    Failure::new(Exit::Failed, "promise-broken", message)
        .with_hint(format!("report it with the output above; --seed {seed} draws the same lots"))
}
