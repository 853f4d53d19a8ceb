//! Slow commits, as slow disks and synchronous standbys make them: a deferred constraint trigger that
//! sleeps. Like a wait for a disk it comes last, holds the locks of its transaction, and does not keep
//! other transactions from committing meanwhile.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::shared::job::Outcome;

/// Makes the commits of all transactions slow that write to `table`.
pub async fn slow_down(url: &str, table: &str, delay: Duration) -> Outcome<()> {
    let sql = include_str!("commit_delay.sql")
        .replace("{table}", table)
        .replace("{seconds}", &delay.as_secs_f64().to_string());
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
