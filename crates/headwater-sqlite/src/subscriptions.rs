//! Subscriptions whose place the log keeps.

use headwater_core::{Operation, Position, Result, SubscriptionCheckpoint, task::shielded};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    errors::of_statement,
    operation,
    rows::{Statement, fetch_all},
    store::{SqliteStore, now},
    values::time,
};

impl SqliteStore {
    pub(crate) async fn list_subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionCheckpoint>> {
        let mut connection = self.inner.connections.reader().await?;
        let list = sqlx::query(include_str!("subscriptions.sql")).bind(name);
        let rows = fetch_all(&mut connection, list).await?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
    }

    pub(crate) async fn add_subscription(&self, name: &str, start: Position) -> Result<()> {
        let open = sqlx::query(include_str!("subscription_open.sql"))
            .bind(name.to_owned())
            .bind(start.to_i64())
            .bind(now().timestamp_micros());
        self.change_subscriptions(open).await.map(drop)
    }

    pub(crate) async fn move_subscription_on(
        &self,
        at: &SubscriptionCheckpoint,
        to: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<Option<SubscriptionCheckpoint>> {
        let acknowledge = sqlx::query(include_str!("subscription_acknowledge.sql"))
            .bind(at.subscription.clone())
            .bind(at.id)
            .bind(at.position.to_i64())
            .bind(to.to_i64())
            .bind(seen.map(|(_, id)| id))
            .bind(seen.map(|(position, _)| position.to_i64()))
            .bind(now().timestamp_micros());
        let rows = self.change_subscriptions(acknowledge).await?;
        rows.first().map(decode).transpose().map_err(of_statement)
    }

    pub(crate) async fn operate_subscription(
        &self,
        to: Option<Position>,
        operation: &Operation,
    ) -> Result<bool> {
        let (store, operation) = (self.clone(), operation.clone());
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let mut connection = transaction.connection().await?;
            let name = operation.projection.clone();
            // Nothing was changed where there is none: dropped, it is rolled back.
            let Some(was) = find(&mut connection, &name).await? else { return Ok(false) };
            let (change, detail) = match to {
                Some(to) => (
                    sqlx::query(include_str!("subscription_seek.sql"))
                        .bind(name)
                        .bind(to.to_i64())
                        .bind(now().timestamp_micros()),
                    Operation::moved(was.position, to),
                ),
                None => (
                    sqlx::query(include_str!("subscription_remove.sql")).bind(name),
                    format!("from position {}", was.position),
                ),
            };
            change.execute(&mut *connection).await.map_err(of_statement)?;
            let operation = Operation { detail: Some(detail), ..operation };
            operation::record(&mut connection, &operation).await?;
            transaction.commit(connection).await?;
            Ok(true)
        })
        .await
    }

    /// Runs a statement; yields the rows that it has changed.
    async fn change_subscriptions(&self, change: Statement<'static>) -> Result<Vec<SqliteRow>> {
        let store = self.clone();
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let mut connection = transaction.connection().await?;
            let changed = fetch_all(&mut connection, change).await?;
            transaction.commit(connection).await?;
            Ok(changed)
        })
        .await
    }
}

async fn find(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<SubscriptionCheckpoint>> {
    let list = sqlx::query(include_str!("subscriptions.sql")).bind(name.to_owned());
    let rows = fetch_all(connection, list).await?;
    rows.first().map(decode).transpose().map_err(of_statement)
}

fn decode(row: &SqliteRow) -> Result<SubscriptionCheckpoint, sqlx::Error> {
    Ok(SubscriptionCheckpoint {
        subscription: row.try_get("name")?,
        position: Position::from_i64(row.try_get("position")?),
        id: row.try_get("id")?,
        of_this_log: row.try_get("of_this_log")?,
        updated_at: time(row.try_get("updated_at")?),
    })
}
