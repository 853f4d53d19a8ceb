//! `doctor`: what is wrong with the database of the log, or will be, what it means and what cures it.

mod projections;

use headwater::{Error, Finding, Log, Settings, Severity};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::close;
use crate::{
    Exit, Failure, Options, Output,
    options::{PATIENCE, no_answer},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  headwater doctor
  headwater doctor --thorough
  headwater doctor --json | jq 'select(.severity == \"error\")'";

/// What `doctor` takes.
#[derive(clap::Args)]
pub struct DoctorArgs {
    /// Read an SQLite file to its end, which may take minutes
    #[arg(long)]
    thorough: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    finding: &'a str,
    severity: &'a str,
    what: &'a str,
    meaning: &'a str,
    cure: &'a str,
}

pub(super) async fn run(
    options: &Options,
    args: DoctorArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut findings = look(options, args.thorough).await?;
    // The worst first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in &findings {
        show(finding, out)?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let told = format!("{errors} errors, {warnings} warnings");
    if errors > 0 {
        return Err(Failure::new(Exit::Failed, "unhealthy", format!("the doctor found {told}")));
    }
    match (out.is_json(), warnings) {
        (true, _) => Ok(()),
        (false, 0) => out.line("all is well"),
        (false, _) => out.line(told),
    }
}

/// A log that cannot be opened is a finding by itself, unless its database is away.
async fn look(options: &Options, thorough: bool) -> Result<Vec<Finding>, Failure> {
    let url = &as_it_is(options.database_url()?);
    let settings = Settings {
        schema: options.schema().into(),
        migrate: false,
        statement_timeout: if thorough { Settings::default().statement_timeout } else { PATIENCE },
        ..Settings::default()
    };
    let deadline = Instant::now() + PATIENCE;
    let log = match timeout_at(deadline, headwater::connect_with(url, settings)).await {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => return of_opening(error).map(|finding| vec![finding]),
        Err(_elapsed) => return Err(no_answer(PATIENCE).into()),
    };
    let mut findings = Vec::new();
    let examined = examine(&log, thorough, &mut findings);
    let examined = if thorough {
        examined.await
    } else {
        timeout_at(deadline, examined)
            .await
            .unwrap_or_else(|_elapsed| Err(no_answer(PATIENCE).into()))
    };
    close(&log).await;
    match examined {
        // What has been found says more than that there is more to look at.
        Err(_) if findings.iter().any(|finding| finding.severity == Severity::Error) => {}
        examined => examined?,
    }
    Ok(findings)
}

/// SQLite brings a file into write-ahead mode when it is opened to write.
fn as_it_is(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    match url.starts_with("sqlite:") {
        true => format!("{url}{separator}mode=ro"),
        false => url.to_owned(),
    }
}

async fn examine(log: &Log, thorough: bool, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    findings.extend(log.store().examine(thorough).await?);
    // Whoever has locked what the log is read by would be waited for.
    let locked =
        |finding: &Finding| finding.code == "locked" && finding.severity == Severity::Error;
    if !findings.iter().any(locked) {
        findings.extend(projections::findings(log).await?);
    }
    Ok(())
}

fn of_opening(error: Error) -> Result<Finding, Failure> {
    let (code, cure) = match &error {
        Error::SchemaTooOld { .. } => {
            ("schema-too-old", "`headwater migrate`, as a role that may change tables")
        }
        Error::SchemaTooNew { .. } => ("schema-too-new", "start a newer version of this program"),
        Error::Unsupported { .. } => ("unsupported", "upgrade the database"),
        _ => return Err(error.into()),
    };
    let finding = Finding::error(code, error.to_string()).means("this program cannot use the log");
    Ok(finding.cure(cure))
}

fn show(finding: &Finding, out: &mut Output) -> Result<(), Failure> {
    let Finding { code, severity, what, meaning, cure, .. } = finding;
    if out.is_json() {
        let severity = severity.as_str();
        return out.object(&Answer { finding: code, severity, what, meaning, cure });
    }
    out.line(format_args!("{severity:<8} {code}: {what}"))?;
    for (head, text) in [("means", meaning), ("cure", cure)] {
        if !text.is_empty() {
            out.line(format_args!("{:<8} {head}: {text}", ""))?;
        }
    }
    Ok(())
}
