//! A transaction over checkpoints and read models; dropped without a commit, it changes nothing.
//!
//! It has the writer to itself, so nothing else moves a checkpoint while it is open. As in
//! PostgreSQL, one step that failed, or that was dropped half-way, leaves only the rollback.

use async_trait::async_trait;
use headwater_core::{
    Checkpoint, Definition, Difference, Error, GenerationState, Operation, Parked, Position,
    Result, Row, RowTx, StoreTx, StoredEvent, StreamName, Table, Value, expand_generation,
    task::shielded,
};
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use crate::{
    checkpoint::{decode, moved},
    compare,
    connections::{Transaction, WriterConnection},
    errors::of_statement,
    operation, parked, read, read_model,
    rows::{Statement, fetch_all},
    store::{SqliteStore, now},
    values,
};

impl SqliteStore {
    pub(crate) async fn begin_transaction(&self) -> Result<Box<dyn StoreTx>> {
        let store = self.clone();
        shielded(async move {
            let connections = &store.inner.connections;
            let transaction = connections.begin(connections.turn().await).await?;
            let tx = SqliteTx { transaction, held: None, holds: false, begun: 0, done: 0 };
            Ok(Box::new(tx) as Box<dyn StoreTx>)
        })
        .await
    }
}

pub(crate) struct SqliteTx {
    transaction: Transaction,
    /// Its connection between two steps, where it `holds` that.
    held: Option<WriterConnection>,
    holds: bool,
    /// Steps that were begun, and that ended well.
    begun: usize,
    done: usize,
}

impl SqliteTx {
    /// A transaction that has written events: nobody else uses its connection until it ends, since a reader of
    /// a database in memory would see what is not committed.
    pub(crate) fn of_append(transaction: Transaction, connection: WriterConnection) -> Self {
        Self { transaction, held: Some(connection), holds: true, begun: 0, done: 0 }
    }

    /// Commits where all went well; otherwise rolls back.
    pub(crate) async fn end<E: From<Error>>(self, went: Result<(), E>) -> Result<(), E> {
        let Some(connection) = self.held else {
            // A step was dropped half-way.
            self.transaction.rollback().await;
            return went.and_then(|()| Err(Error::unfinished().into()));
        };
        if went.is_err() {
            // Before anybody else gets the connection.
            self.transaction.undo(connection).await;
            return went;
        }
        self.transaction.commit(connection).await.map_err(E::from)
    }

    async fn step(&mut self) -> Result<WriterConnection> {
        self.begun += 1;
        match self.held.take() {
            Some(connection) => Ok(connection),
            None => self.transaction.connection().await,
        }
    }

    /// Takes in how a step ended.
    fn done<T>(&mut self, connection: WriterConnection, result: Result<T>) -> Result<T> {
        self.done += usize::from(result.is_ok());
        self.held = self.holds.then_some(connection);
        result
    }
}

#[async_trait]
impl RowTx for SqliteTx {
    async fn load(
        &mut self,
        table: &Table,
        generation: u32,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>> {
        let mut connection = self.step().await?;
        let rows = read_model::load(&mut connection, table, generation, keys).await;
        self.done(connection, rows)
    }

    async fn save(
        &mut self,
        table: &Table,
        generation: u32,
        rows: Vec<(Vec<Value>, Position)>,
    ) -> Result<()> {
        let mut connection = self.step().await?;
        let saved = read_model::save(&mut connection, table, generation, rows).await;
        self.done(connection, saved)
    }

    async fn remove(
        &mut self,
        table: &Table,
        generation: u32,
        keys: Vec<Vec<Value>>,
    ) -> Result<()> {
        let mut connection = self.step().await?;
        let removed = read_model::remove(&mut connection, table, generation, keys).await;
        self.done(connection, removed)
    }

    async fn execute(&mut self, generation: u32, sql: &str, parameters: &[Value]) -> Result<u64> {
        let sql = expand_generation(sql, "", generation);
        let statement = values::user_query(sql, parameters)?;
        let mut connection = self.step().await?;
        let done = statement.execute(&mut *connection).await;
        self.done(connection, done.map(|done| done.rows_affected()).map_err(of_statement))
    }

    async fn fetch(
        &mut self,
        generation: u32,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Row>> {
        let sql = expand_generation(sql, "", generation);
        let mut connection = self.step().await?;
        let rows = values::fetch(&mut connection, sql, parameters).await;
        self.done(connection, rows)
    }
}

#[async_trait]
impl StoreTx for SqliteTx {
    async fn create_generation(
        &mut self,
        definition: &Definition,
        generation: u32,
        state: GenerationState,
    ) -> Result<Checkpoint> {
        definition.check()?;
        let mut connection = self.step().await?;
        let created = create_generation(&mut connection, definition, generation, state).await;
        self.done(connection, created)
    }

    async fn drop_generation(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let mut connection = self.step().await?;
        let dropped = drop_generation(&mut connection, definition, generation).await;
        self.done(connection, dropped)
    }

    async fn hold(&mut self, projection: &str, generation: u32) -> Result<Option<Checkpoint>> {
        let mut connection = self.step().await?;
        let held = find(&mut connection, projection, Some(generation)).await;
        self.done(connection, held)
    }

    async fn hold_live(&mut self, projection: &str) -> Result<Option<Checkpoint>> {
        self.live(projection).await
    }

    async fn live(&mut self, projection: &str) -> Result<Option<Checkpoint>> {
        let mut connection = self.step().await?;
        let held = find(&mut connection, projection, None).await;
        self.done(connection, held)
    }

    async fn events_behind(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>> {
        let mut connection = self.step().await?;
        let events = read::behind(&mut connection, after, limit).await;
        self.done(connection, events)
    }

    async fn set_inline(&mut self, projection: &str, inline: bool) -> Result<()> {
        let mut connection = self.step().await?;
        let set =
            if inline { include_str!("inline_set.sql") } else { include_str!("inline_unset.sql") };
        let set = sqlx::query(set).bind(projection).execute(&mut *connection).await;
        self.done(connection, set.map(drop).map_err(of_statement))
    }

    async fn advance(&mut self, from: &Checkpoint, to: Position) -> Result<Checkpoint> {
        let mut connection = self.step().await?;
        let advance = sqlx::query(include_str!("checkpoint_advance.sql"))
            .bind(&from.projection)
            .bind(from.generation)
            .bind(from.state.as_str())
            .bind(from.epoch)
            .bind(from.position.to_i64())
            .bind(to.to_i64())
            .bind(now().timestamp_micros());
        let advanced = async {
            let rows = fetch_all(&mut connection, advance).await?;
            let row = rows.first().ok_or_else(|| moved(&from.projection))?;
            let event_position: i64 = row.try_get(1).map_err(of_statement)?;
            Ok(Checkpoint {
                position: to,
                event_id: row.try_get(0).map_err(of_statement)?,
                event_position: Position::from_i64(event_position),
                failure: None,
                ..from.clone()
            })
        }
        .await;
        self.done(connection, advanced)
    }

    async fn amend(
        &mut self,
        from: &Checkpoint,
        to: &Checkpoint,
        owner: Option<Uuid>,
    ) -> Result<Checkpoint> {
        let failure = to.failure.as_ref();
        let mut connection = self.step().await?;
        let amend = sqlx::query(include_str!("checkpoint_amend.sql"))
            .bind(&from.projection)
            .bind(from.generation)
            .bind(from.epoch)
            .bind(from.position.to_i64())
            .bind(to.state.as_str())
            .bind(to.position.to_i64())
            .bind(to.event_id)
            .bind(to.event_position.to_i64())
            .bind(&to.fingerprint)
            .bind(failure.map(|failure| failure.position.to_i64()))
            .bind(failure.and_then(|failure| failure.event_id))
            .bind(failure.map(|failure| &failure.error))
            .bind(to.paused)
            .bind(to.held_back)
            .bind(to.rebuild_asked)
            .bind(owner)
            .bind(to.of_this_log)
            .bind(failure.map(|failure| &failure.code))
            .bind(i64::try_from(to.skips).unwrap_or(i64::MAX));
        let amended = async {
            change_one(&mut connection, &from.projection, amend).await?;
            if owner.is_none() {
                let revoke = sqlx::query(include_str!("lease_revoke.sql"))
                    .bind(&from.projection)
                    .bind(from.state.as_str());
                revoke.execute(&mut *connection).await.map_err(of_statement)?;
            }
            Ok(())
        }
        .await;
        self.done(connection, amended)?;
        Ok(Checkpoint { epoch: from.epoch + 1, ..to.clone() })
    }

    async fn merge_partitions(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let mut connection = self.step().await?;
        let merged = async {
            for merge in [include_str!("checkpoint_merge.sql"), include_str!("parked_merge.sql")] {
                let merge = sqlx::query(merge).bind(&definition.name).bind(generation);
                merge.execute(&mut *connection).await.map_err(of_statement)?;
            }
            Ok(())
        }
        .await;
        self.done(connection, merged)
    }

    async fn record(&mut self, operation: &Operation) -> Result<()> {
        let mut connection = self.step().await?;
        let recorded = operation::record(&mut connection, operation).await;
        self.done(connection, recorded)
    }

    async fn compare(
        &mut self,
        definition: &Definition,
        first: u32,
        second: u32,
    ) -> Result<Vec<Difference>> {
        let mut connection = self.step().await?;
        let found = compare::compare(&mut connection, definition, first, second).await;
        self.done(connection, found)
    }

    async fn promote(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let mut connection = self.step().await?;
        let promoted = promote(&mut connection, definition, generation).await;
        self.done(connection, promoted)
    }

    async fn park(&mut self, at: &Checkpoint, events: &[Parked]) -> Result<()> {
        let mut connection = self.step().await?;
        let parked = parked::park(&mut connection, at, events).await;
        self.done(connection, parked)
    }

    async fn retry_parked(&mut self, at: &Checkpoint, stream: Option<&StreamName>) -> Result<()> {
        let mut connection = self.step().await?;
        let retry = sqlx::query(include_str!("parked_retry.sql"))
            .bind(&at.projection)
            .bind(at.generation)
            .bind(stream.map(StreamName::as_str));
        let marked = retry.execute(&mut *connection).await;
        self.done(connection, marked.map(drop).map_err(of_statement))
    }

    async fn unpark(&mut self, at: &Checkpoint, event: Uuid) -> Result<bool> {
        let mut connection = self.step().await?;
        let unparked = parked::unpark(&mut connection, at, event).await;
        self.done(connection, unparked)
    }

    fn is_whole(&self) -> bool {
        self.begun == self.done
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        shielded(async move {
            if !self.is_whole() {
                self.transaction.rollback().await;
                return Err(Error::unfinished());
            }
            let connection = self.transaction.connection().await?;
            self.transaction.commit(connection).await
        })
        .await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        shielded(async move {
            self.transaction.rollback().await;
            Ok(())
        })
        .await
    }
}

async fn create_generation(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
    state: GenerationState,
) -> Result<Checkpoint> {
    let create = sqlx::query(include_str!("checkpoint_create.sql"))
        .bind(&definition.name)
        .bind(generation)
        .bind(state.as_str())
        .bind(&definition.fingerprint)
        .bind(now().timestamp_micros());
    change_one(connection, &definition.name, create).await?;
    read_model::create(connection, definition, generation).await?;
    if state == GenerationState::Live {
        split(connection, definition, generation).await?;
        read_model::show(connection, definition, generation).await?;
    }
    let created = find(connection, &definition.name, Some(generation)).await?;
    created.ok_or_else(|| moved(&definition.name))
}

async fn drop_generation(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    let drop =
        sqlx::query(include_str!("checkpoint_drop.sql")).bind(&definition.name).bind(generation);
    let dropped = drop.execute(&mut *connection).await.map_err(of_statement)?;
    if dropped.rows_affected() == 0 {
        return Err(moved(&definition.name));
    }
    let parked =
        sqlx::query(include_str!("parked_drop.sql")).bind(&definition.name).bind(generation);
    parked.execute(&mut *connection).await.map_err(of_statement)?;
    read_model::drop(connection, definition, generation).await
}

async fn promote(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    let retire = sqlx::query(include_str!("checkpoint_retire.sql")).bind(&definition.name);
    let retired = fetch_all(connection, retire).await?;
    // A projection that an operator has paused stays so.
    let paused = retired.first().map_or(Ok(false), |row| row.try_get(0)).map_err(of_statement)?;
    let promote = sqlx::query(include_str!("checkpoint_promote.sql"))
        .bind(&definition.name)
        .bind(generation)
        .bind(paused);
    change_one(connection, &definition.name, promote).await?;
    split(connection, definition, generation).await?;
    read_model::show(connection, definition, generation).await
}

/// Gives each partition a checkpoint where the first one's is.
async fn split(
    connection: &mut SqliteConnection,
    definition: &Definition,
    generation: u32,
) -> Result<()> {
    for unit in definition.units().skip(1) {
        // What is set aside is so for the rows of each.
        for split in [include_str!("checkpoint_split.sql"), include_str!("parked_split.sql")] {
            let split = sqlx::query(split).bind(&definition.name).bind(generation).bind(&unit);
            split.execute(&mut *connection).await.map_err(of_statement)?;
        }
    }
    Ok(())
}

async fn find(
    connection: &mut SqliteConnection,
    projection: &str,
    generation: Option<u32>,
) -> Result<Option<Checkpoint>> {
    let statement = sqlx::query(include_str!("checkpoints.sql")).bind(projection).bind(generation);
    let rows = fetch_all(connection, statement).await?;
    rows.first().map(decode).transpose().map_err(of_statement)
}

/// Changes the one checkpoint that the statement names, which another runner may have moved.
async fn change_one(
    connection: &mut SqliteConnection,
    projection: &str,
    statement: Statement<'_>,
) -> Result<()> {
    let changed = statement.execute(connection).await.map_err(of_statement)?;
    if changed.rows_affected() == 1 { Ok(()) } else { Err(moved(projection)) }
}
