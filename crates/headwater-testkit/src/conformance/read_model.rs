//! Read models: rows of every type of column, written in bulk and found again.

use chrono::{DateTime, NaiveDate, Utc};
use headwater::{
    Column, ColumnType, ColumnValue, Error,
    GenerationState::Live,
    Log, Position, ReadModel as _, Table, Value,
    store::{Definition, StoreTx, TableDefinition},
};
use uuid::Uuid;

use super::Harness;
use crate::{
    account::Balance,
    fixtures::{append_to, failure},
};

const TYPES: [(&str, ColumnType); 8] = [
    ("a_bool", ColumnType::Bool),
    ("an_int", ColumnType::Int),
    ("a_float", ColumnType::Float),
    ("a_text", ColumnType::Text),
    ("a_uuid", ColumnType::Uuid),
    ("a_time", ColumnType::Time),
    ("a_date", ColumnType::Date),
    ("a_json", ColumnType::Json),
];

/// A table with a column of each type, behind a key of two columns.
fn wide() -> Table {
    let column = |name, column_type, key| Column { name, column_type, key, nullable: !key };
    let mut columns =
        vec![column("part", ColumnType::Text, true), column("number", ColumnType::Int, true)];
    columns.extend(TYPES.map(|(name, column_type)| column(name, column_type, false)));
    Table { name: "wide", columns }
}

/// A table whose only column beside the payload is its key.
fn keyed(column_type: ColumnType) -> Table {
    let column = |name, column_type, key| Column { name, column_type, key, nullable: false };
    Table {
        name: "keyed",
        columns: vec![column("id", column_type, true), column("note", ColumnType::Text, false)],
    }
}

async fn create(log: &Log, table: &Table) -> Box<dyn StoreTx> {
    let definition =
        Definition::new(table.name, 1, [], vec![TableDefinition::Columns(table.clone())]);
    let mut tx = log.store().begin().await.expect("a transaction begins");
    tx.create_generation(&definition, 1, Live).await.expect("the table is made");
    tx
}

fn time(text: &str) -> Value {
    Value::Time(text.parse::<DateTime<Utc>>().expect("it is a time"))
}

fn date(year: i32, month: u32, day: u32) -> Value {
    Value::Date(NaiveDate::from_ymd_opt(year, month, day).expect("it is a day"))
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Rows of the wide table: the extremes of each type, and null in all.
fn extremes() -> Vec<Vec<Value>> {
    let json = |json: &str| Value::Json(json.into());
    let values = [
        vec![
            Value::Bool(true),
            Value::Int(i64::MAX),
            Value::Float(f64::MAX),
            text("é 漢 😀 ' \" \\ \n \u{1}"),
            Value::Uuid(Uuid::max()),
            time("9999-12-31T23:59:59.999999Z"),
            date(9999, 12, 31),
            json("{\"b\": 1.10, \"a\": [null, \"\\u0000\"]}"),
        ],
        vec![
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Float(f64::MIN_POSITIVE),
            text(""),
            Value::Uuid(Uuid::nil()),
            time("0001-01-01T00:00:00Z"),
            date(1, 1, 1),
            json("null"),
        ],
        vec![
            Value::Bool(true),
            Value::Int(-1),
            Value::Float(-0.1),
            text(" null "),
            Value::Uuid(Uuid::from_u128(1)),
            time("1969-12-31T23:59:59.000001Z"),
            date(1970, 1, 1),
            json("18446744073709551616"),
        ],
        vec![
            Value::Bool(false),
            Value::Int(0),
            Value::Float(3.0),
            text(&"x".repeat(1 << 20)),
            Value::Uuid(Uuid::from_u128(2)),
            time("2024-02-29T12:00:00.123456Z"),
            date(2024, 2, 29),
            json("[]"),
        ],
        vec![Value::Null; 8],
    ];
    let numbers = [0, 1, -1, i64::MAX, i64::MIN];
    let with_key = |(values, number): (Vec<Value>, i64)| {
        let mut row = vec![text("é'"), Value::Int(number)];
        row.extend(values);
        row
    };
    values.into_iter().zip(numbers).map(with_key).collect()
}

fn key_of(row: &[Value]) -> Vec<Value> {
    row[..2].to_vec()
}

fn at(rows: Vec<Vec<Value>>, position: u64) -> Vec<(Vec<Value>, Position)> {
    rows.into_iter().map(|row| (row, Position(position))).collect()
}

/// The rows with these keys, sorted, each value as its column's type reads it.
async fn loaded(
    tx: &mut Box<dyn StoreTx>,
    table: &Table,
    keys: Vec<Vec<Value>>,
) -> Vec<Vec<Value>> {
    let rows = tx.load(table, 1, keys).await.expect("rows can be read");
    let typed = |row: Vec<Value>| {
        let values = row.into_iter().zip(&table.columns);
        values.map(|(value, column)| as_column(value, column.column_type)).collect()
    };
    sorted(rows.into_iter().map(typed).collect())
}

/// A store may hand out what it stores, such as 0 for false: the types of the columns read it.
fn as_column(value: Value, column_type: ColumnType) -> Value {
    fn read<T: ColumnValue>(value: Value) -> Option<Value> {
        Option::<T>::from_value(value).map(|value| value.as_ref().map_or(Value::Null, T::to_value))
    }
    let own = value.clone();
    let read = match column_type {
        ColumnType::Bool => read::<bool>(value),
        ColumnType::Int => read::<i64>(value),
        ColumnType::Float => read::<f64>(value),
        ColumnType::Text => read::<String>(value),
        ColumnType::Uuid => read::<Uuid>(value),
        ColumnType::Time => read::<DateTime<Utc>>(value),
        ColumnType::Date => read::<NaiveDate>(value),
        ColumnType::Json => read::<String>(value).map(|value| match value {
            Value::Text(json) => Value::Json(json),
            other => other,
        }),
    };
    read.unwrap_or_else(|| panic!("{own:?} is no {column_type:?}"))
}

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    rows.sort_by_key(|row| format!("{:?}", &row[..2]));
    rows
}

/// Saved, loaded in the same transaction and after the commit, by their keys.
pub async fn every_type_of_column_reads_back(harness: &dyn Harness) {
    let log = harness.log();
    let (table, rows) = (wide(), extremes());
    let keys: Vec<_> = rows.iter().map(|row| key_of(row)).collect();
    let mut tx = create(log, &table).await;
    tx.save(&table, 1, at(rows.clone(), 3)).await.expect("every value can be stored");
    assert!(
        loaded(&mut tx, &table, keys.clone()).await == sorted(rows.clone()),
        "before the commit"
    );
    tx.commit().await.expect("it commits");
    let mut tx = log.store().begin().await.expect("a transaction begins");
    let found = loaded(&mut tx, &table, keys).await;
    for (found, row) in found.iter().zip(sorted(rows)) {
        for ((found, value), column) in found.iter().zip(&row).zip(&table.columns) {
            assert!(found == value, "{} of row {:?} came back changed", column.name, row[1]);
        }
    }
    tx.rollback().await.expect("it rolls back");
}

/// A query finds each value as the type of its column, or as one that converts to it.
pub async fn every_type_of_column_can_be_queried(harness: &dyn Harness) {
    let log = harness.log();
    let (table, rows) = (wide(), extremes());
    let mut tx = create(log, &table).await;
    tx.save(&table, 1, at(rows.clone(), 3)).await.expect("every value can be stored");
    tx.commit().await.expect("it commits");
    for row in &rows {
        let sql = "select * from {wide} where part = $1 and number = $2";
        let found = log.query(sql, &key_of(row)).await.expect("it can be queried");
        assert_eq!(found.len(), 1, "{:?}", row[1]);
        let found = &found[0];
        assert_eq!(found.get::<i64>("position"), Ok(3));
        if row[2] == Value::Null {
            assert_eq!(found.get::<Option<DateTime<Utc>>>("a_time"), Ok(None));
            continue;
        }
        assert_eq!(found.get::<bool>("a_bool").map(Value::from), Ok(row[2].clone()));
        assert_eq!(found.get::<i64>("an_int").map(Value::from), Ok(row[3].clone()));
        assert_eq!(found.get::<f64>("a_float").map(Value::from), Ok(row[4].clone()));
        assert!(found.get::<String>("a_text").map(Value::from) == Ok(row[5].clone()));
        assert_eq!(found.get::<Uuid>("a_uuid").map(Value::from), Ok(row[6].clone()));
        assert_eq!(found.get::<DateTime<Utc>>("a_time").map(Value::from), Ok(row[7].clone()));
        assert_eq!(found.get::<NaiveDate>("a_date").map(Value::from), Ok(row[8].clone()));
        assert_eq!(found.get::<String>("a_json").map(Value::Text), Ok(text(&row[9].to_string())));
    }
}

/// Each type as a parameter, compared with what was stored.
pub async fn every_type_can_be_a_parameter(harness: &dyn Harness) {
    let log = harness.log();
    let (table, rows) = (wide(), extremes());
    let mut tx = create(log, &table).await;
    tx.save(&table, 1, at(rows.clone(), 3)).await.expect("every value can be stored");
    tx.commit().await.expect("it commits");
    for (index, (name, column_type)) in TYPES.into_iter().enumerate() {
        if column_type == ColumnType::Json {
            continue;
        }
        let sql = format!("select number from {{wide}} where {name} = $1 and number = $2");
        let row = &rows[2];
        let found = log.query(&sql, &[row[index + 2].clone(), row[1].clone()]).await;
        assert_eq!(found.expect("it can be queried").len(), 1, "{name}");
    }
    let sql = "select count(*) as n from {wide} where a_time < $1";
    let found = log.query(sql, &[time("1970-01-01T00:00:00Z")]).await;
    assert_eq!(found.expect("it can be queried")[0].get::<i64>("n"), Ok(2));
}

/// A key of each type finds its row again, and no other.
pub async fn a_key_may_be_of_any_type(harness: &dyn Harness) {
    let log = harness.log();
    for (column_type, keys) in [
        (ColumnType::Bool, [Value::Bool(true), Value::Bool(false)]),
        (ColumnType::Int, [Value::Int(i64::MIN), Value::Int(7)]),
        (ColumnType::Text, [text("e\u{301}"), text("\u{e9}")]),
        (ColumnType::Uuid, [Value::Uuid(Uuid::nil()), Value::Uuid(Uuid::max())]),
        (ColumnType::Time, [time("2024-01-01T00:00:00.000001Z"), time("2024-01-01T00:00:00Z")]),
        (ColumnType::Date, [date(2024, 2, 29), date(1969, 7, 20)]),
    ] {
        let table = keyed(column_type);
        let mut tx = create(log, &table).await;
        let rows: Vec<_> = keys.iter().map(|key| vec![key.clone(), text("first")]).collect();
        tx.save(&table, 1, at(rows.clone(), 1)).await.expect("rows are written");
        tx.save(&table, 1, at(vec![vec![keys[0].clone(), text("second")]], 2))
            .await
            .expect("again");
        let found = loaded(&mut tx, &table, vec![vec![keys[0].clone()]]).await;
        assert_eq!(found, [[keys[0].clone(), text("second")]], "{column_type:?}");
        tx.remove(&table, 1, vec![vec![keys[0].clone()]]).await.expect("it can be removed");
        let both = keys.iter().map(|key| vec![key.clone()]).collect();
        let found = loaded(&mut tx, &table, both).await;
        assert_eq!(found, [rows[1].clone()], "{column_type:?}");
        tx.rollback().await.expect("it rolls back");
    }
}

/// Created, saved, replaced, loaded, removed and queried.
pub async fn a_column_may_have_the_name_of_a_keyword(harness: &dyn Harness) {
    let log = harness.log();
    let column = |name, key| Column { name, column_type: ColumnType::Int, key, nullable: false };
    let columns = vec![column("order", true), column("group", false), column("user", false)];
    let table = Table { name: "keywords", columns };
    let row = |values: [i64; 3]| values.map(Value::Int).to_vec();
    let mut tx = create(log, &table).await;
    for rows in [vec![row([1, 2, 3]), row([4, 5, 6])], vec![row([1, 7, 8])]] {
        tx.save(&table, 1, at(rows, 1)).await.expect("rows are written");
    }
    let key = |number| vec![Value::Int(number)];
    assert_eq!(tx.load(&table, 1, vec![key(1)]).await, Ok(vec![row([1, 7, 8])]));
    tx.remove(&table, 1, vec![key(1)]).await.expect("it can be removed");
    tx.commit().await.expect("it commits");
    let found = log.query(r#"select "group" from {keywords} where "order" = 4"#, &[]).await;
    assert_eq!(found.expect("it can be queried")[0].get::<i64>("group"), Ok(5));
}

/// PostgreSQL's text cannot hold U+0000: a value with it is a typed error in every store.
pub async fn text_with_a_nul_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let table = keyed(ColumnType::Text);
    create(log, &table).await.commit().await.expect("it commits");
    let mut tx = log.store().begin().await.expect("a transaction begins");
    let rows = at(vec![vec![text("a\u{0}b"), text("first")]], 1);
    let error = failure(tx.save(&table, 1, rows).await);
    drop(tx);
    assert!(matches!(error, Error::InvalidInput(_) | Error::Database { .. }), "{error:?}");
    assert!(!error.to_string().contains("a\u{0}b"), "an error holds no content");
}

/// Nothing else stands in its place: neither null nor another number.
pub async fn a_value_that_its_column_cannot_hold_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    let table = Balance::table();
    create(log, &table).await.commit().await.expect("it commits");
    for cents in [text("seven"), u64::MAX.into()] {
        let mut tx = log.store().begin().await.expect("a transaction begins");
        let row = vec![text("a"), Value::Null, cents, Value::Int(1)];
        let error = failure(tx.save(&table, 1, at(vec![row], 1)).await);
        assert!(matches!(error, Error::Mismatch { .. } | Error::Database { .. }), "{error:?}");
        drop(tx);
        assert_eq!(log.find::<Balance>("", &[]).await, Ok(vec![]));
    }
}

/// A row takes the place of the one with its key; what was not asked for does not come.
pub async fn rows_are_replaced_and_removed_by_their_keys(harness: &dyn Harness) {
    let log = harness.log();
    let table = Balance::table();
    let balance = |account: &str, cents| {
        Balance { account: account.into(), owner: None, cents, bookings: 0 }.to_values()
    };
    let key = |account: &str| vec![text(account)];
    let mut tx = create(log, &table).await;
    let rows = ["a", "b", "c"].map(|account| balance(account, 1)).to_vec();
    tx.save(&table, 1, at(rows, 1)).await.expect("rows are written");
    tx.save(&table, 1, at(vec![balance("b", 2), balance("d", 2)], 2)).await.expect("again");
    tx.remove(&table, 1, vec![key("a"), key("missing")]).await.expect("rows are removed");
    let found = tx.load(&table, 1, vec![key("a"), key("b"), key("missing")]).await;
    assert_eq!(found, Ok(vec![balance("b", 2)]));
    tx.commit().await.expect("it commits");
    let found: Vec<Balance> = log
        .find("where cents > $1 order by account", &[Value::Int(1)])
        .await
        .expect("it can be queried");
    assert_eq!(found.iter().map(|row| &*row.account).collect::<Vec<_>>(), ["b", "d"]);
    let touched = log.query("select account, position from {balances} order by account", &[]).await;
    let touched: Vec<_> = touched
        .expect("it can be queried")
        .iter()
        .map(|row| (row.get::<String>("account").ok(), row.get::<i64>("position").ok()))
        .collect();
    let expected = [("b", 2), ("c", 1), ("d", 2)];
    assert_eq!(touched, expected.map(|(account, at)| (Some(account.to_owned()), Some(at))));
}

/// A batch without a row, and one with more rows than a statement takes parameters.
pub async fn a_batch_may_be_empty_or_large(harness: &dyn Harness) {
    let log = harness.log();
    let table = Balance::table();
    let mut tx = create(log, &table).await;
    tx.save(&table, 1, vec![]).await.expect("nothing is written");
    tx.remove(&table, 1, vec![]).await.expect("nothing is removed");
    assert_eq!(tx.load(&table, 1, vec![]).await, Ok(vec![]));
    let rows: Vec<_> = (0..12_000)
        .map(|n| {
            Balance { account: format!("a{n}"), owner: None, cents: n, bookings: 1 }.to_values()
        })
        .collect();
    let keys: Vec<_> = rows.iter().map(|row| row[..1].to_vec()).collect();
    tx.save(&table, 1, at(rows.clone(), 1)).await.expect("12,000 rows are written");
    tx.save(&table, 1, at(rows, 2)).await.expect("12,000 rows are replaced");
    let found = tx.load(&table, 1, keys.clone()).await.expect("they can be read");
    assert_eq!(found.len(), 12_000);
    tx.remove(&table, 1, keys[1..].to_vec()).await.expect("they can be removed");
    assert_eq!(tx.load(&table, 1, keys).await.expect("they can be read").len(), 1);
    tx.commit().await.expect("it commits");
}

/// SQL of the user's: statements and queries, over the generation's own tables.
pub async fn sql_of_the_users_runs_in_the_transaction(harness: &dyn Harness) {
    let log = harness.log();
    let create = "create table {notes} (id bigint primary key, note text)".to_owned();
    let tables = vec![TableDefinition::Sql { name: "notes".into(), create }];
    let definition = Definition::new("notes", 1, [], tables);
    let mut tx = log.store().begin().await.expect("a transaction begins");
    tx.create_generation(&definition, 1, Live).await.expect("the table is made");
    let insert = "insert into {notes} (id, note) values ($1, $2), ($3, $4)";
    let parameters = [Value::Int(1), text("one"), Value::Int(2), Value::Null];
    assert_eq!(tx.execute(1, insert, &parameters).await, Ok(2));
    assert_eq!(
        tx.execute(1, "update {notes} set note = $1 where id > $2", &[text("x"), Value::Int(1)])
            .await,
        Ok(1)
    );
    let found = tx.fetch(1, "select id, note from {notes} order by id desc", &[]).await;
    let found = found.expect("it can be queried");
    assert_eq!(found[0].get::<String>("note"), Ok("x".into()));
    assert_eq!(&*found[0].columns, ["id", "note"]);
    tx.commit().await.expect("it commits");
    let found = log.query("select note from {notes} where id = $1", &[Value::Int(1)]).await;
    assert_eq!(found.expect("it can be queried")[0].get::<String>("note"), Ok("one".into()));
}

/// The views for people, under their plain names.
pub async fn the_public_views_can_be_queried(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    let sql = "select stream, version, id, type, occurred_at from {all_events} where version > $1 order by position";
    let found = log.query(sql, &[Value::Int(1)]).await.expect("the view can be queried");
    let events = crate::fixtures::all(log).await;
    assert_eq!(found.len(), 2);
    for (row, event) in found.iter().zip(&events[1..]) {
        assert_eq!(row.get::<String>("stream"), Ok(event.stream.to_string()));
        assert_eq!(row.get::<u64>("version"), Ok(event.version));
        assert_eq!(row.get::<Uuid>("id"), Ok(event.id));
        assert_eq!(row.get::<DateTime<Utc>>("occurred_at"), Ok(event.occurred_at));
    }
}

/// A wrong query is the database's refusal, told without its parameters; the log stays usable.
pub async fn a_wrong_query_is_refused(harness: &dyn Harness) {
    let log = harness.log();
    for sql in
        ["select nonsense", "select * from {missing}", "selec 1", "select $1 + 'x'::nonsense"]
    {
        let error = failure(log.query(sql, &[text("secret")]).await);
        assert!(
            matches!(error, Error::Database { .. } | Error::InvalidInput(_)),
            "{sql}: {error:?}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for sql in ["select * from {Missing}", "select * from {a b}", "select {"] {
        let error = failure(log.query(sql, &[]).await);
        assert!(matches!(error, Error::Database { .. }), "{sql}: {error:?}");
    }
    // Braces that name no table are the query's own.
    let sql = r#"select '{"a": 1}' as json, '{A,b}' as list, '{}' as none"#;
    let found = log.query(sql, &[]).await.expect("it can be queried");
    assert_eq!(found[0].get::<String>("json"), Ok(r#"{"a": 1}"#.into()));
    assert_eq!(found[0].get::<String>("list"), Ok("{A,b}".into()));
    assert_eq!(append_to(log, "thing-1", 1).await.version(), 1);
}
