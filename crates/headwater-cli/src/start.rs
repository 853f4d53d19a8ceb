//! From the process's arguments to its exit code: parse, log, run, report.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::error::ErrorKind;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{Exit, Failure, redact};

/// Reads the process's arguments as `C`, runs `work` on them in a runtime of its own, reports a
/// failure, and yields the exit code.
///
/// Logs go to standard error, from the level `warn` on, or as `HEADWATER_LOG` or `RUST_LOG` say. A
/// subscriber that was set before stays. Examples in the help that begin with `headwater` show the
/// program's own name instead.
pub fn start<C, F>(work: impl FnOnce(C) -> F) -> ExitCode
where
    C: clap::Parser,
    F: Future<Output = Result<(), Failure>>,
{
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Asked of the raw arguments, so that a mistake in them is reported in the wanted form too.
    let json = arguments.iter().any(|argument| argument == "--json");
    let parsed = match parse::<C>(&arguments, json) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.into(),
    };
    log_to_stderr();
    match run(work(parsed)) {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            failure.report(json);
            failure.exit().into()
        }
    }
}

fn run(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // What is left are the store's own tasks; a database that hangs must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn parse<C: clap::Parser>(arguments: &[OsString], json: bool) -> Result<C, Exit> {
    let program = arguments.first().and_then(|path| Path::new(path).file_stem()?.to_str());
    let mut command = show_program(C::command(), program.unwrap_or("headwater"));
    let parsed = command
        .try_get_matches_from_mut(arguments)
        .and_then(|mut matches| C::from_arg_matches_mut(&mut matches));
    parsed.map_err(|error| {
        let error = error.format(&mut command);
        if !error.use_stderr() {
            let _ = error.print();
            return Exit::Success;
        }
        if error.kind() == ErrorKind::MissingSubcommand && !json {
            show_help(&command, arguments);
        } else {
            report(&error, arguments, json);
        }
        Exit::BadInput
    })
}

/// Puts the program's own name into the examples of every help.
fn show_program(mut command: clap::Command, program: &str) -> clap::Command {
    if let Some(help) = command.get_after_help() {
        let help = help.to_string().replace("headwater ", &format!("{program} "));
        command = command.after_help(help);
    }
    command.mut_subcommands(|subcommand| show_program(subcommand, program))
}

/// Shows what there is to choose from, where nothing was chosen.
fn show_help(command: &clap::Command, arguments: &[OsString]) {
    let chosen = arguments
        .iter()
        .skip(1)
        .fold(command, |command, argument| command.find_subcommand(argument).unwrap_or(command));
    let _ = write!(io::stderr(), "{}", chosen.clone().render_help());
}

fn report(error: &clap::Error, arguments: &[OsString], json: bool) {
    let rendered = error.render().to_string();
    let clean = conceal(&rendered, arguments);
    if json {
        let paragraph = clean.split("\n\n").next().unwrap_or_default();
        let words: Vec<_> = paragraph.split_whitespace().collect();
        let sentence = words.join(" ");
        let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
        Failure::new(Exit::BadInput, "usage", sentence).report(true);
    } else if clean == rendered {
        // clap's own way to print has colours.
        let _ = error.print();
    } else {
        let _ = write!(io::stderr(), "{clean}");
    }
}

/// Removes what may be a password or an event's content: clap quotes an argument it cannot place.
fn conceal(message: &str, arguments: &[OsString]) -> String {
    let mut clean = redact(message);
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if argument.contains(['{', '[', '"', '\n']) {
            clean = clean.replace(argument, "...");
        }
    }
    clean
}

fn log_to_stderr() {
    let variable =
        if std::env::var_os("HEADWATER_LOG").is_some() { "HEADWATER_LOG" } else { "RUST_LOG" };
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var(variable)
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(console::colors_enabled_stderr())
        .finish();
    // The service may have a subscriber of its own.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
