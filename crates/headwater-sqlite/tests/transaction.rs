//! Transactions over checkpoints and read models.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use common::{all, append, file, memory};
use futures_util::FutureExt as _;
use headwater_core::{
    Checkpoint, Column, ColumnType, Definition, Error, ExpectedVersion, Failure, GenerationState,
    Position, ProjectionStore as _, Settings, Store as _, StoreTx, Table, TableDefinition, Value,
};
use headwater_sqlite::SqliteStore;
use uuid::Uuid;

use GenerationState::{Building, Live, Retired};

fn column(name: &'static str, column_type: ColumnType) -> Column {
    Column { name, column_type, key: false, nullable: true }
}

/// A column of every type, a key of two, and a keyword for a name.
fn table() -> Table {
    let key =
        |name, column_type| Column { key: true, nullable: false, ..column(name, column_type) };
    let columns = vec![
        key("cart", ColumnType::Text),
        key("order", ColumnType::Int),
        column("open", ColumnType::Bool),
        column("ratio", ColumnType::Float),
        column("id", ColumnType::Uuid),
        column("at", ColumnType::Time),
        column("day", ColumnType::Date),
        column("lines", ColumnType::Json),
    ];
    Table { name: "group", columns }
}

fn definition() -> Definition {
    let raw = TableDefinition::Sql {
        name: "totals".into(),
        create: "create table {totals} (sku text primary key, units integer not null); \
                 create index {totals}_units on {totals} (units)"
            .into(),
    };
    Definition::new("carts", 1, [], vec![TableDefinition::Columns(table()), raw])
}

fn row(cart: &str, order: i64, text: &str) -> Vec<Value> {
    vec![
        Value::Text(cart.into()),
        Value::Int(order),
        Value::Bool(order % 2 == 0),
        Value::Float(0.1),
        Value::Uuid(Uuid::from_u128(7)),
        Value::Time("2026-01-02T03:04:05.000006Z".parse::<DateTime<Utc>>().unwrap()),
        Value::Date(NaiveDate::from_ymd_opt(2026, 1, 2).unwrap()),
        Value::Json(text.into()),
    ]
}

async fn live(store: &SqliteStore) -> Checkpoint {
    let mut tx = store.begin().await.unwrap();
    let checkpoint = tx.create_generation(&definition(), 1, Live).await.unwrap();
    tx.commit().await.unwrap();
    checkpoint
}

async fn count(store: &SqliteStore, name: &str) -> i64 {
    let rows = store.query(&format!("select count(*) as n from {{{name}}}"), &[]).await.unwrap();
    rows[0].get("n").unwrap()
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_were() {
    let store = memory().await;
    live(&store).await;
    let mut rows = vec![
        row("a", i64::MAX, "{\"b\": 1.10, \"a\": \"\\u0000\"}"),
        row("a", i64::MIN, "[]"),
        row("with ü and '\"", 0, "null"),
    ];
    rows.push(row("nulls", 1, "null"));
    for value in &mut rows[3][2..] {
        *value = Value::Null;
    }
    // Among these are many that SQLite's reading of decimal numbers gets wrong.
    let floats = [f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, -0.0, 5e-324, 1.0 / 3.0];
    let more = (0..300).map(|n| (f64::from(n) + 0.7).powi(101 - n));
    for (number, float) in (0..).zip(floats.into_iter().chain(more)) {
        rows.push(row("float", number, "null"));
        rows.last_mut().unwrap()[3] = Value::Float(float);
    }
    let keys = || rows.iter().map(|row| row[..2].to_vec()).collect::<Vec<_>>();

    let mut tx = store.begin().await.unwrap();
    let positions = rows.iter().cloned().map(|row| (row, Position(3)));
    tx.save(&table(), 1, positions.collect()).await.unwrap();
    let mut loaded = tx.load(&table(), 1, keys()).await.unwrap();
    let place = |row: &Vec<Value>| rows.iter().position(|other| other[..2] == row[..2]).unwrap();
    loaded.sort_by_key(place);
    assert_eq!(loaded, rows);
    assert!(tx.load(&table(), 1, vec![row("a", 1, "")[..2].to_vec()]).await.unwrap().is_empty());
    assert!(tx.load(&table(), 1, Vec::new()).await.unwrap().is_empty());

    tx.save(&table(), 1, vec![(row("a", i64::MAX, "[1]"), Position(9))]).await.unwrap();
    tx.remove(&table(), 1, keys().split_off(1)).await.unwrap();
    tx.commit().await.unwrap();
    let found = store.query("select lines, position from {group}", &[]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].get::<String>("lines").unwrap(), "[1]");
    assert_eq!(found[0].get::<i64>("position").unwrap(), 9);
}

#[tokio::test]
async fn a_batch_of_any_size_is_written_read_and_removed() {
    let store = memory().await;
    live(&store).await;
    let rows: Vec<_> = (0..10_007).map(|n| (row("a", n, "{}"), Position(1))).collect();
    let keys: Vec<_> = rows.iter().map(|(row, _)| row[..2].to_vec()).collect();
    let mut tx = store.begin().await.unwrap();
    tx.save(&table(), 1, rows.clone()).await.unwrap();
    tx.save(&table(), 1, rows).await.unwrap();
    assert_eq!(tx.load(&table(), 1, keys.clone()).await.unwrap().len(), 10_007);
    tx.remove(&table(), 1, keys[1..].to_vec()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&store, "group").await, 1);
}

#[tokio::test]
async fn a_users_statements_reach_the_generation_that_is_being_written() {
    let store = memory().await;
    live(&store).await;
    let mut tx = store.begin().await.unwrap();
    let insert = "insert into {totals} values ($1, $2) \
                  on conflict (sku) do update set units = units + $2";
    for _ in 0..2 {
        let changed = tx.execute(1, insert, &["apple".into(), Value::Int(i64::MAX / 2)]).await;
        assert_eq!(changed.unwrap(), 1);
    }
    let rows = tx.fetch(1, "select *, 1.5 as r, null as n from {totals}", &[]).await.unwrap();
    assert_eq!(*rows[0].columns, ["sku", "units", "r", "n"]);
    let units = Value::Int(i64::MAX - 1);
    assert_eq!(rows[0].values, ["apple".into(), units, Value::Float(1.5), Value::Null]);
    tx.commit().await.unwrap();
    assert_eq!(count(&store, "totals").await, 1);
}

#[tokio::test]
async fn a_checkpoint_moves_only_from_where_it_is() {
    let store = memory().await;
    let first = live(&store).await;
    assert_eq!((first.position, first.state), (Position(0), Live));
    let two = append(1, ExpectedVersion::Any, 2);
    let last = two.events[1].id;
    store.append(vec![two]).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.advance(&first, Position(7)).await.unwrap();
    tx.commit().await.unwrap();
    let second = store.checkpoints().await.unwrap().remove(0);
    assert_eq!((second.position, second.event_position), (Position(7), Position(2)));
    assert_eq!(second.event_id, Some(last));
    assert!(second.updated_at >= first.updated_at);

    let wrong = [
        first,
        Checkpoint { epoch: second.epoch + 1, ..second.clone() },
        Checkpoint { state: Building, ..second.clone() },
        Checkpoint { generation: 2, ..second.clone() },
    ];
    for from in wrong {
        let mut tx = store.begin().await.unwrap();
        let moved = tx.advance(&from, Position(9)).await;
        assert_eq!(moved, Err(Error::CheckpointMoved { projection: "carts".into() }));
        assert!(tx.commit().await.is_err(), "a refused step was committed");
    }
    let mut tx = store.begin().await.unwrap();
    tx.advance(&second, Position(9)).await.unwrap();
    let held = tx.hold("carts", 1).await.unwrap().unwrap();
    assert_eq!((held.position, held.event_id), (Position(9), Some(last)));
    assert_eq!(tx.hold("carts", 2).await.unwrap(), None);
    tx.rollback().await.unwrap();
    assert_eq!(store.checkpoints().await.unwrap(), [second]);
}

#[tokio::test]
async fn a_failure_is_noted_and_goes_when_the_checkpoint_moves() {
    let store = memory().await;
    let at = live(&store).await;
    let (event_id, code) = (Some(Uuid::max()), "decode".into());
    let failure = Failure { position: Position(3), event_id, code, error: "no".into() };
    let noted = async || store.checkpoints().await.unwrap().remove(0).failure;
    let zombie = Checkpoint { epoch: -1, ..at.clone() };
    store.record_failure(&zombie, Some(&failure)).await.unwrap();
    assert_eq!(noted().await, None);
    store.record_failure(&at, Some(&failure)).await.unwrap();
    assert_eq!(noted().await.as_ref(), Some(&failure));
    store.record_failure(&at, None).await.unwrap();
    assert_eq!(noted().await, None);
    store.record_failure(&at, Some(&failure)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.advance(&at, Position(3)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(noted().await, None);
}

#[tokio::test]
async fn a_rebuilt_generation_takes_the_place_of_the_one_before() {
    let store = memory().await;
    live(&store).await;
    let mut tx = store.begin().await.unwrap();
    tx.save(&table(), 1, vec![(row("old", 1, "1"), Position(1))]).await.unwrap();
    tx.create_generation(&definition(), 2, Building).await.unwrap();
    tx.save(&table(), 2, (0..3).map(|n| (row("new", n, "1"), Position(1))).collect())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&store, "group").await, 1);

    let mut tx = store.begin().await.unwrap();
    let again = tx.create_generation(&definition(), 3, Building).await;
    assert!(matches!(again, Err(Error::CheckpointMoved { .. })), "{again:?}");
    drop(tx);

    let mut tx = store.begin().await.unwrap();
    tx.promote(&definition(), 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&store, "group").await, 3);
    let states: Vec<_> = store.checkpoints().await.unwrap().iter().map(|c| c.state).collect();
    assert_eq!(states, [Retired, Live]);

    let mut tx = store.begin().await.unwrap();
    assert!(tx.drop_generation(&definition(), 2).await.is_err(), "it was dropped in service");
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    tx.drop_generation(&definition(), 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.checkpoints().await.unwrap().len(), 1);
    assert_eq!(count(&store, "group").await, 3);
}

#[tokio::test]
async fn a_promotion_may_change_the_columns_that_a_query_sees() {
    let file = file().await;
    let generation = |columns: &str| {
        let create = format!("create table {{plain}} ({columns})");
        let plain = TableDefinition::Sql { name: "plain".into(), create };
        Definition::new("plain", 1, [], vec![plain])
    };
    let mut tx = file.store.begin().await.unwrap();
    tx.create_generation(&generation("a integer"), 1, Live).await.unwrap();
    tx.execute(1, "insert into {plain} values (1)", &[]).await.unwrap();
    tx.create_generation(&generation("a integer, b integer"), 2, Building).await.unwrap();
    tx.execute(2, "insert into {plain} values (1, 2)", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let columns = async || {
        let rows = file.store.query("select * from {plain}", &[]).await.unwrap();
        rows[0].columns.len()
    };
    assert_eq!(columns().await, 1);
    let mut tx = file.store.begin().await.unwrap();
    tx.promote(&generation("a integer, b integer"), 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(columns().await, 2);
}

#[tokio::test]
async fn a_statement_that_makes_no_table_is_refused() {
    let store = memory().await;
    let table = TableDefinition::Sql { name: "x".into(), create: "create table y (a)".into() };
    let mut tx = store.begin().await.unwrap();
    let made = tx.create_generation(&Definition::new("x", 1, [], vec![table]), 1, Live).await;
    assert!(matches!(made, Err(Error::InvalidInput(_))), "{made:?}");
}

#[tokio::test]
async fn a_transaction_that_is_dropped_changes_nothing_and_frees_the_writer() {
    let file = file().await;
    for store in [memory().await, file.store.clone()] {
        for polls in 0..5 {
            let mut tx = store.begin().await.unwrap();
            tx.create_generation(&definition(), 1, Live).await.unwrap();
            let rows = (0..5_000).map(|n| (row("a", n, "1"), Position(1))).collect();
            let table = table();
            let mut save = tx.save(&table, 1, rows);
            for _ in 0..polls {
                assert!(save.as_mut().now_or_never().is_none());
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            drop(save);
            drop(tx);
            let appended = store.append(vec![append(polls, ExpectedVersion::None, 1)]);
            let patience = Duration::from_secs(10);
            tokio::time::timeout(patience, appended).await.unwrap().unwrap();
            assert!(store.checkpoints().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_step_that_was_dropped_half_way_cannot_be_committed() {
    let store = memory().await;
    live(&store).await;
    let mut tx = store.begin().await.unwrap();
    let rows = (0..5_000).map(|n| (row("a", n, "1"), Position(1))).collect();
    let table = table();
    let mut save = tx.save(&table, 1, rows);
    assert!(save.as_mut().now_or_never().is_none());
    drop(save);
    assert!(tx.commit().await.is_err());
    assert_eq!(count(&store, "group").await, 0);
}

#[test]
fn a_transaction_that_outlives_its_runtime_is_rolled_back() {
    let file = tokio::runtime::Runtime::new().unwrap().block_on(file());
    let begun: Box<dyn StoreTx> = {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut tx = file.store.begin().await.unwrap();
            tx.create_generation(&definition(), 1, Live).await.unwrap();
            tx
        })
    };
    drop(begun);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        file.store.append(vec![append(1, ExpectedVersion::Any, 1)]).await.unwrap();
        assert!(file.store.checkpoints().await.unwrap().is_empty());
    });
}

#[tokio::test]
async fn the_log_can_be_read_while_a_transaction_is_open() {
    let file = file().await;
    for store in [memory().await, file.store.clone()] {
        store.append(vec![append(1, ExpectedVersion::Any, 200)]).await.unwrap();
        let tx = store.begin().await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(2), all(&store)).await;
        assert_eq!(read.expect("the reader waits for the transaction").len(), 200);
        assert_eq!(store.look(None).await.unwrap().ceiling.position, Position(200));
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_in_another_process_delays_and_then_refuses() {
    let file = file().await;
    let other = SqliteStore::connect(&file.url, Settings::default()).await.unwrap();
    let tx = other.begin().await.unwrap();
    let store = file.store.clone();
    let waiting =
        tokio::spawn(async move { store.append(vec![append(1, ExpectedVersion::Any, 1)]).await });
    tokio::task::yield_now().await;
    tx.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();

    let _tx = other.begin().await.unwrap();
    let refused = file.store.append(vec![append(1, ExpectedVersion::Any, 1)]).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn text_that_postgresql_could_not_hold_is_refused_here_as_well() {
    let store = memory().await;
    live(&store).await;
    let refused = store.query("select $1", &["\0".into()]).await;
    assert!(matches!(refused, Err(Error::InvalidInput(_))), "{refused:?}");
    let mut tx = store.begin().await.unwrap();
    let refused = tx.save(&table(), 1, vec![(row("a\0", 1, "1"), Position(1))]).await;
    assert!(matches!(refused, Err(Error::InvalidInput(_))), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_query_is_the_databases_error() {
    let store = memory().await;
    for sql in ["select nothing from nowhere", "select * from {No Name}"] {
        let error = store.query(sql, &[]).await.unwrap_err();
        assert!(matches!(error, Error::Database { .. }), "{error:?}");
    }
}
