//! Eight projections alike, for tests of how instances share them.

use async_trait::async_trait;
use headwater::{App, BatchTx, Recorded, Result, SqlProjection};

use crate::account::AccountEvent;

/// The names of the projections, and of their tables.
pub const NAMES: [&str; 8] =
    ["eight_0", "eight_1", "eight_2", "eight_3", "eight_4", "eight_5", "eight_6", "eight_7"];

const TABLES: [[(&str, &str); 1]; 8] = [
    [(NAMES[0], "create table {eight_0} (stream text primary key, events bigint not null)")],
    [(NAMES[1], "create table {eight_1} (stream text primary key, events bigint not null)")],
    [(NAMES[2], "create table {eight_2} (stream text primary key, events bigint not null)")],
    [(NAMES[3], "create table {eight_3} (stream text primary key, events bigint not null)")],
    [(NAMES[4], "create table {eight_4} (stream text primary key, events bigint not null)")],
    [(NAMES[5], "create table {eight_5} (stream text primary key, events bigint not null)")],
    [(NAMES[6], "create table {eight_6} (stream text primary key, events bigint not null)")],
    [(NAMES[7], "create table {eight_7} (stream text primary key, events bigint not null)")],
];

/// Counts the events of each account.
struct Eighth<const N: usize>;

#[async_trait]
impl<const N: usize> SqlProjection for Eighth<N> {
    type Event = AccountEvent;
    const NAME: &'static str = NAMES[N];
    const TABLES: &'static [(&'static str, &'static str)] = &TABLES[N];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountEvent>]) -> Result<()> {
        let name = NAMES[N];
        let count = format!(
            "insert into {{{name}}} values ($1, 1) on conflict (stream) do update set events = {{{name}}}.events + 1"
        );
        for event in events {
            tx.execute(&count, &[event.stream.as_str().into()]).await?;
        }
        Ok(())
    }
}

/// An app with all eight.
pub fn app() -> App {
    App::new()
        .sql_projection(Eighth::<0>)
        .sql_projection(Eighth::<1>)
        .sql_projection(Eighth::<2>)
        .sql_projection(Eighth::<3>)
        .sql_projection(Eighth::<4>)
        .sql_projection(Eighth::<5>)
        .sql_projection(Eighth::<6>)
        .sql_projection(Eighth::<7>)
}
