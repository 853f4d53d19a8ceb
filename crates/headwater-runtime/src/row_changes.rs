//! Changes of read models without their types: what a service passes on to readers elsewhere.

use async_trait::async_trait;
use headwater_core::{Change, Changes, Fold, Position, Result};
use serde::Serialize;
use serde_json::{Map, Value};

/// A row of a read model that an event has changed, as JSON under the names of its columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowChange {
    /// The event that has changed it.
    pub position: Position,
    /// The columns of its key.
    pub key: Map<String, Value>,
    /// All columns as they stand once the read model has passed this event; `None` where there is no such row.
    pub row: Option<Map<String, Value>>,
    /// Whether no other row that this event has changed comes after it.
    #[serde(skip)]
    pub complete: bool,
}

/// Follows the rows of a projection that change, as [`Changes`] does.
pub struct RowChanges(Box<dyn Follow>);

impl RowChanges {
    pub(crate) fn of<F: Fold>(changes: Changes<F>) -> Self {
        Self(Box::new(changes))
    }

    /// The next change; it waits for one. Dropped while it waits, it loses none.
    ///
    /// # Errors
    ///
    /// As for [`Changes::next`].
    pub async fn next(&mut self) -> Result<RowChange> {
        self.0.next_change().await
    }
}

#[async_trait]
trait Follow: Send {
    async fn next_change(&mut self) -> Result<RowChange>;
}

#[async_trait]
impl<F: Fold> Follow for Changes<F> {
    async fn next_change(&mut self) -> Result<RowChange> {
        let Change { position, key, row, complete, .. } = self.next().await?;
        let table = F::table();
        let named = |values: Vec<headwater_core::Value>, only_key: bool| {
            let columns = table.columns.iter().filter(|column| column.key || !only_key);
            let pair = |(column, value): (&headwater_core::Column, headwater_core::Value)| {
                (column.name.to_owned(), value.to_json())
            };
            columns.zip(values).map(pair).collect()
        };
        let (key, row) = (F::key_values(&key), row.map(|row| row.to_values()));
        Ok(RowChange {
            position,
            key: named(key, true),
            row: row.map(|row| named(row, false)),
            complete,
        })
    }
}
