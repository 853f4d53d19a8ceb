//! Subscriptions whose place the log keeps.

use headwater_core::{Operation, Position, Result, SubscriptionCheckpoint, task::shielded};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    errors::{of_commit, of_statement},
    sql::checked,
    store::PostgresStore,
};

impl PostgresStore {
    pub(crate) async fn list_subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionCheckpoint>> {
        let (store, name) = (self.clone(), name.map(str::to_owned));
        shielded(async move {
            let list = sqlx::query(checked(&store.inner.statements.subscriptions)).bind(name);
            let rows = store.inner.looks.acquire().await?.fetch_all(list).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }

    pub(crate) async fn add_subscription(&self, name: &str, start: Position) -> Result<()> {
        let (store, name) = (self.clone(), name.to_owned());
        shielded(async move {
            let open = sqlx::query(checked(&store.inner.statements.subscription_open))
                .bind(name)
                .bind(start.to_i64());
            let done = store.inner.transactions.acquire().await?.execute(open).await;
            done.map(drop).map_err(of_statement)
        })
        .await
    }

    pub(crate) async fn move_subscription_on(
        &self,
        at: &SubscriptionCheckpoint,
        to: Position,
        seen: Option<(Position, Uuid)>,
    ) -> Result<Option<SubscriptionCheckpoint>> {
        let (store, at) = (self.clone(), at.clone());
        shielded(async move {
            let acknowledge =
                sqlx::query(checked(&store.inner.statements.subscription_acknowledge))
                    .bind(at.subscription)
                    .bind(at.id)
                    .bind(at.position.to_i64())
                    .bind(to.to_i64())
                    .bind(seen.map(|(_, id)| id))
                    .bind(seen.map(|(position, _)| position.to_i64()));
            let row = store.inner.transactions.acquire().await?.fetch_optional(acknowledge).await;
            row.map_err(of_statement)?.as_ref().map(decode).transpose().map_err(of_statement)
        })
        .await
    }

    pub(crate) async fn operate_subscription(
        &self,
        to: Option<Position>,
        operation: &Operation,
    ) -> Result<bool> {
        let (store, operation) = (self.clone(), operation.clone());
        shielded(async move {
            let Operation { id, action, projection: name, by, .. } = operation;
            let statements = &store.inner.statements;
            let change = match to {
                Some(to) => {
                    sqlx::query(checked(&statements.subscription_seek)).bind(name).bind(to.to_i64())
                }
                None => sqlx::query(checked(&statements.subscription_remove)).bind(name),
            };
            let change = change.bind(id).bind(action).bind(by);
            let done = store.inner.transactions.acquire().await?.execute(change).await;
            // Tried again it would be done, and recorded, twice.
            done.map(|done| done > 0).map_err(of_commit)
        })
        .await
    }
}

fn decode(row: &PgRow) -> Result<SubscriptionCheckpoint, sqlx::Error> {
    Ok(SubscriptionCheckpoint {
        subscription: row.try_get("name")?,
        position: Position::from_i64(row.try_get("position")?),
        id: row.try_get("id")?,
        of_this_log: row.try_get("of_this_log")?,
        updated_at: row.try_get("updated_at")?,
    })
}
