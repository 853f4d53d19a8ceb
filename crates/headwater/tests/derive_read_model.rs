//! `#[derive(ReadModel)]`: the table, the key, and rows on their way to the database and back.

use std::{collections::BTreeMap, fmt, num::ParseIntError, str::FromStr};

use headwater::{Column, ColumnType, ReadModel, Value, ValueError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Not `ColumnValue`, and not `Clone` where it is no key.
#[derive(Debug, PartialEq, Eq)]
struct Money(i64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} EUR", self.0)
    }
}

impl FromStr for Money {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_end_matches(" EUR").parse().map(Self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CartId(Uuid);

impl fmt::Display for CartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CartId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
}

#[derive(Debug, PartialEq, ReadModel)]
#[read_model(table = "cart_summaries")]
struct CartSummary {
    /// Which cart.
    #[key]
    #[column(text)]
    cart_id: CartId,
    items: i64,
    #[column(text, name = "total_price")]
    total: Money,
    #[column(text)]
    discount: Option<Money>,
    #[column(json)]
    lines: BTreeMap<String, Line>,
    #[column(json)]
    gift: Option<Line>,
    note: Option<String>,
    r#type: String,
}

fn summary() -> CartSummary {
    let line = Line { sku: "A-1".into(), quantity: 2 };
    CartSummary {
        cart_id: CartId(Uuid::from_u128(7)),
        items: 2,
        total: Money(1998),
        discount: None,
        lines: BTreeMap::from([("first".into(), line)]),
        gift: None,
        note: None,
        r#type: "web".into(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn the_table_has_a_column_for_each_field() {
    let table = CartSummary::table();
    let column = |name, column_type, key, nullable| Column { name, column_type, key, nullable };
    assert_eq!(table.name, "cart_summaries");
    assert_eq!(
        table.columns,
        [
            column("cart_id", ColumnType::Text, true, false),
            column("items", ColumnType::Int, false, false),
            column("total_price", ColumnType::Text, false, false),
            column("discount", ColumnType::Text, false, true),
            column("lines", ColumnType::Json, false, false),
            column("gift", ColumnType::Json, false, true),
            column("note", ColumnType::Text, false, true),
            column("type", ColumnType::Text, false, false),
        ]
    );
}

#[test]
fn a_row_reads_back_as_it_was_written() {
    let values = summary().to_values();
    assert_eq!(
        values,
        [
            text("00000000-0000-0000-0000-000000000007"),
            Value::Int(2),
            text("1998 EUR"),
            Value::Null,
            Value::Json(r#"{"first":{"sku":"A-1","quantity":2}}"#.into()),
            Value::Null,
            Value::Null,
            text("web"),
        ]
    );
    assert_eq!(CartSummary::from_values(values).unwrap(), summary());

    let full = CartSummary {
        discount: Some(Money(5)),
        gift: Some(Line { sku: "B".into(), quantity: 1 }),
        note: Some("fast".into()),
        ..summary()
    };
    let values = full.to_values();
    assert_eq!(values[3], text("5 EUR"));
    assert_eq!(values[5], Value::Json(r#"{"sku":"B","quantity":1}"#.into()));
    assert_eq!(CartSummary::from_values(values).unwrap(), full);
}

#[test]
fn one_key_field_is_the_key_itself() {
    let key: CartId = summary().key();
    assert_eq!(key, CartId(Uuid::from_u128(7)));
    assert_eq!(CartSummary::key_values(&key), [text("00000000-0000-0000-0000-000000000007")]);
}

#[test]
fn json_in_sqlite_is_text() {
    let mut values = summary().to_values();
    values[4] = text("{}");
    assert_eq!(CartSummary::from_values(values).unwrap().lines, BTreeMap::new());
}

#[test]
fn a_value_that_does_not_fit_names_its_column() {
    for (place, value, column) in [
        (0, text("seven"), "cart_id"),
        (1, text("2"), "items"),
        (2, Value::Null, "total_price"),
        (2, Value::Int(3), "total_price"),
        (3, text("five EUR"), "discount"),
        (4, text("{"), "lines"),
        (7, Value::Null, "type"),
    ] {
        let mut values = summary().to_values();
        values[place] = value;
        let error = CartSummary::from_values(values).unwrap_err();
        assert_eq!(error.column, column);
    }
    let mut short = summary().to_values();
    short.truncate(7);
    assert_eq!(
        CartSummary::from_values(short).unwrap_err(),
        ValueError { column: "type".into(), wanted: "alloc::string::String" }
    );
}

#[derive(Debug, PartialEq, ReadModel)]
#[read_model(table = "stock")]
struct Stock {
    on_hand: u32,
    #[key]
    warehouse: String,
    counted: bool,
    #[key]
    #[column(text)]
    cart: CartId,
    #[key]
    shelf: i64,
}

#[test]
fn several_key_fields_are_a_tuple_in_their_order() {
    let row = Stock {
        on_hand: 3,
        warehouse: "north".into(),
        counted: true,
        cart: CartId(Uuid::nil()),
        shelf: 9,
    };
    let key: (String, CartId, i64) = row.key();
    assert_eq!(key, ("north".into(), CartId(Uuid::nil()), 9));
    assert_eq!(
        Stock::key_values(&key),
        [text("north"), text("00000000-0000-0000-0000-000000000000"), Value::Int(9)]
    );
    let table = Stock::table();
    let keys: Vec<_> = table.key().map(|column| column.name).collect();
    assert_eq!(keys, ["warehouse", "cart", "shelf"]);
    assert_eq!(Stock::from_values(row.to_values()).unwrap(), row);
}

/// Names that the generated code must not trip over.
mod hygiene {
    #![allow(dead_code)]

    type Result<T> = std::result::Result<T, ()>;
    struct Vec;
    struct Value;
    enum Some {}

    #[derive(headwater::ReadModel)]
    #[read_model(table = "odd")]
    pub struct Odd {
        #[key]
        pub values: i64,
        pub value: std::option::Option<i64>,
        #[column(json)]
        pub key: std::option::Option<u8>,
        #[column(text)]
        #[deprecated]
        pub text: u8,
    }
}

#[test]
fn the_users_names_do_not_clash_with_generated_code() {
    let values = vec![Value::Int(1), Value::Null, Value::Null, text("4")];
    let odd = hygiene::Odd::from_values(values.clone()).unwrap();
    assert_eq!((odd.values, odd.value, odd.key), (1, None, None));
    assert_eq!(odd.to_values(), values);
}
