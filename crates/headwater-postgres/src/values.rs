//! Values of users' queries on their way to PostgreSQL and back.

use std::sync::Arc;

use headwater_core::{Error, Result, Row, Value, expand, task::shielded};
use sqlx::{
    AssertSqlSafe, Column as _, Encode, Postgres, Row as _, Type, TypeInfo as _,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, types::Oid},
};

use crate::{connections::Statement, errors::of_statement, store::PostgresStore};

impl PostgresStore {
    pub(crate) async fn query_read_models(
        &self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Row>> {
        let sql = expand(sql, |name| format!("{}{name}", self.inner.statements.prefix));
        let (store, parameters) = (self.clone(), parameters.to_vec());
        shielded(async move {
            let query = bind(sql, &parameters);
            let rows = store.inner.queries.acquire().await?.fetch_all(query).await;
            decode(rows.map_err(of_statement)?)
        })
        .await
    }
}

/// A query of the user's with its parameters; the names in its text were checked by `expand`.
pub(crate) fn bind<'q>(sql: String, parameters: &[Value]) -> Statement<'q> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for parameter in parameters {
        query = match parameter.clone() {
            Value::Null => query.bind(Untyped),
            Value::Bool(value) => query.bind(value),
            Value::Int(value) => query.bind(value),
            Value::Float(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Uuid(value) => query.bind(value),
            Value::Time(value) => query.bind(value),
            Value::Date(value) => query.bind(value),
            Value::Json(value) => query.bind(JsonText(value)),
        };
    }
    query
}

/// Null of no type of its own: the server infers one from the place where it stands.
struct Untyped;

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(705))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

/// JSON that is text already.
struct JsonText(String);

impl Type<Postgres> for JsonText {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl Encode<'_, Postgres> for JsonText {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// Rows of any query, each value by the type that the server names.
pub(crate) fn decode(rows: Vec<PgRow>) -> Result<Vec<Row>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[String]> =
        first.columns().iter().map(|column| column.name().to_owned()).collect();
    rows.iter()
        .map(|row| {
            let values =
                (0..columns.len()).map(|index| value(row, index)).collect::<Result<_>>()?;
            Ok(Row { columns: columns.clone(), values })
        })
        .collect()
}

fn value(row: &PgRow, index: usize) -> Result<Value> {
    let column = row.column(index);
    let value = match column.type_info().name() {
        "BOOL" => row.try_get::<Option<bool>, _>(index).map(Value::from),
        "INT8" => row.try_get::<Option<i64>, _>(index).map(Value::from),
        "INT4" => row.try_get::<Option<i32>, _>(index).map(Value::from),
        "INT2" => row.try_get::<Option<i16>, _>(index).map(|v| v.map(i64::from).into()),
        "FLOAT8" => row.try_get::<Option<f64>, _>(index).map(Value::from),
        "FLOAT4" => row.try_get::<Option<f32>, _>(index).map(|v| v.map(f64::from).into()),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "unknown" => {
            row.try_get::<Option<String>, _>(index).map(Value::from)
        }
        "UUID" => row.try_get::<Option<uuid::Uuid>, _>(index).map(Value::from),
        "TIMESTAMPTZ" => {
            row.try_get::<Option<chrono::DateTime<chrono::Utc>>, _>(index).map(Value::from)
        }
        "DATE" => row.try_get::<Option<chrono::NaiveDate>, _>(index).map(Value::from),
        "JSON" => row
            .try_get_unchecked::<Option<String>, _>(index)
            .map(|json| json.map_or(Value::Null, Value::Json)),
        other => {
            return Err(Error::InvalidInput(format!(
                "column {} is of type {}, which a query cannot yield: cast it, as in cast(sum(units) as bigint)",
                column.name(),
                other.to_lowercase()
            )));
        }
    };
    value.map_err(of_statement)
}
