//! `projections history` and `subscriptions history`: what operators have done, newest first.

use headwater::{Error, Log, Row};
use serde_json::{Value, json};

use crate::{Failure, Output, envelope::time};

/// All that was done to projections, or to subscriptions, or to one of them.
const ACTS: &str = "\
    select done_at, action, projection as name, generation, detail, done_by
    from {all_operations}
    where (action in ('seek subscription', 'remove subscription')) = $1 and ($2 = '' or projection = $2)
    order by id desc";

/// What was done to projections, or to one that is there or was.
pub(super) async fn of_projections(
    log: &Log,
    name: Option<&str>,
    out: &mut Output,
) -> Result<(), Failure> {
    let acts = acts(log, name, false).await?;
    if let Some(name) = name.filter(|_| acts.is_empty()) {
        let checkpoints = log.checkpoints().await?;
        if !checkpoints.iter().any(|checkpoint| checkpoint.is_of(name)) {
            let known: Vec<_> = checkpoints.iter().map(|c| c.projection.as_str()).collect();
            return Err(Error::unknown_projection(name, &known).into());
        }
    }
    show("projection", &acts, out)
}

/// What was done to subscriptions, or to one that is there or was.
pub(super) async fn of_subscriptions(
    log: &Log,
    name: Option<&str>,
    out: &mut Output,
) -> Result<(), Failure> {
    let acts = acts(log, name, true).await?;
    if let Some(name) = name.filter(|_| acts.is_empty())
        && !log.subscriptions().await?.iter().any(|at| at.subscription == name)
    {
        return Err(log.unknown_subscription(name).await?.into());
    }
    show("subscription", &acts, out)
}

async fn acts(
    log: &Log,
    name: Option<&str>,
    of_subscriptions: bool,
) -> headwater::Result<Vec<Row>> {
    log.query(ACTS, &[of_subscriptions.into(), name.unwrap_or_default().into()]).await
}

fn show(of: &str, acts: &[Row], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        return acts.iter().try_for_each(|act| out.object(&object(of, act)?));
    }
    if acts.is_empty() {
        return out.line("nothing was done yet");
    }
    let header = ["DONE AT", "ACTION", &of.to_uppercase(), "DETAIL", "BY"];
    let rows = acts.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    out.table(&header, rows)
}

fn object(of: &str, act: &Row) -> headwater::Result<Value> {
    Ok(json!({
        "done_at": time(act.get("done_at")?),
        "action": act.get::<String>("action")?,
        of: act.get::<String>("name")?,
        "generation": act.get::<Option<i64>>("generation")?,
        "detail": act.get::<Option<String>>("detail")?,
        "done_by": act.get::<String>("done_by")?,
    }))
}

fn line(act: &Row) -> headwater::Result<[String; 5]> {
    let generation =
        act.get::<Option<i64>>("generation")?.map(|number| format!("generation {number}"));
    let details = [generation, act.get("detail")?];
    Ok([
        time(act.get("done_at")?),
        act.get("action")?,
        act.get("name")?,
        details.into_iter().flatten().collect::<Vec<_>>().join(": "),
        act.get("done_by")?,
    ])
}
