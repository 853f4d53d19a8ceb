//! The shop's read models, as anybody can query them.

use std::collections::BTreeMap;

use headwater::Log;
use headwater_testkit::eventually;

use crate::service::run;

/// The rows of each read model, in words.
pub type Views = BTreeMap<String, Vec<String>>;

/// The names of the shop's read models.
pub async fn names(url: &str) -> Vec<String> {
    let listed = run(url, &["projections", "list"]).await;
    let names: Vec<_> =
        listed.iter().map(|one| one["projection"].as_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 5, "{names:?}");
    names
}

/// All rows of one read model.
pub async fn look(log: &Log, name: &str) -> headwater::Result<Vec<String>> {
    let rows = log.query(&format!("select * from {{{name}}}"), &[]).await?;
    let mut rows: Vec<_> = rows.iter().map(|row| format!("{:?}", row.values)).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// All rows of all read models.
pub async fn look_at_all(log: &Log, names: &[String]) -> Views {
    let mut views = Views::new();
    for name in names {
        views.insert(name.clone(), look(log, name).await.unwrap());
    }
    views
}

/// Waits until the shop, which runs, has brought all read models to the log's end.
pub async fn caught_up(url: &str) {
    eventually("the read models have come to the log's end", async || {
        let status = run(url, &["projections", "status"]).await;
        status.iter().all(|status| status["lag"] == 0).then_some(())
    })
    .await;
}
