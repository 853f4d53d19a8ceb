//! A transaction over checkpoints and read models; dropped without a commit, it changes nothing.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use headwater_core::{
    Checkpoint, Definition, Difference, Error, GenerationState, Operation, Parked, Position,
    Result, Row, RowTx, StoreTx, StoredEvent, StreamName, Table, Value, expand_generation,
    task::shielded,
};
use sqlx::Row as _;
use uuid::Uuid;

use crate::{
    checkpoint::{self, decode, generation as number},
    compare,
    connections::{Held, Statement, away},
    errors::{of_commit, of_statement},
    read, read_model,
    sql::checked,
    store::PostgresStore,
    values,
};

/// How long one that is to change inline waits for the appends under way.
const LOCK_WAIT: &str = "set local lock_timeout = '100ms'";

impl PostgresStore {
    pub(crate) async fn begin_transaction(&self) -> Result<Box<dyn StoreTx>> {
        let store = self.clone();
        shielded(async move {
            let mut connection = store.inner.transactions.acquire().await?;
            connection.begin().await.map_err(of_statement)?;
            let session = Session::Own(connection);
            let tx = PostgresTx { store, connection: Some(session), begun: 0, done: 0 };
            Ok(Box::new(tx) as Box<dyn StoreTx>)
        })
        .await
    }
}

/// The connection of a transaction.
enum Session<'c> {
    Own(Held),
    /// Whoever has lent it ends the transaction.
    Lent(&'c mut Held),
}

impl Deref for Session<'_> {
    type Target = Held;

    fn deref(&self) -> &Held {
        match self {
            Self::Own(held) => held,
            Self::Lent(held) => held,
        }
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut Held {
        match self {
            Self::Own(held) => held,
            Self::Lent(held) => held,
        }
    }
}

/// The transaction; it has its connection until it ends.
pub(crate) struct PostgresTx<'c> {
    store: PostgresStore,
    connection: Option<Session<'c>>,
    /// Statements that were begun, and that ended well. Where they differ, one was refused, and
    /// `commit` would roll back and report success, or dropped half-way.
    begun: usize,
    done: usize,
}

impl<'c> PostgresTx<'c> {
    /// The transaction that is open on this connection.
    pub(crate) fn on(store: PostgresStore, connection: &'c mut Held) -> Self {
        Self { store, connection: Some(Session::Lent(connection)), begun: 0, done: 0 }
    }

    /// The connection, for one more statement; [`PostgresTx::done`] takes in how it ended.
    fn step(&mut self) -> &mut Held {
        self.begun += 1;
        self.connection.as_deref_mut().expect("it has its connection until it is consumed")
    }

    async fn execute_query(&mut self, query: Statement<'_>) -> Result<u64> {
        let done = self.step().execute(query).await;
        self.done(done.map_err(of_statement))
    }

    fn done<T>(&mut self, result: Result<T>) -> Result<T> {
        self.done += usize::from(result.is_ok());
        result
    }

    /// Locks a checkpoint, the one in service where no generation is given, and reads it then: a statement that
    /// has waited for the lock sees the row as it is now, and all other tables as they were before.
    async fn find(
        &mut self,
        projection: &str,
        generation: Option<u32>,
    ) -> Result<Option<Checkpoint>> {
        let store = self.store.clone();
        let lock = sqlx::query(checked(&store.inner.statements.checkpoint_lock))
            .bind(projection.to_owned())
            .bind(generation.map(number));
        let locked = self.step().fetch_optional(lock).await;
        let Some(locked) = self.done(locked.map_err(of_statement))? else { return Ok(None) };
        let generation: i32 = locked.try_get("generation").map_err(of_statement)?;
        self.read(projection, Some(generation)).await
    }

    /// Reads a checkpoint, the one in service where no generation is given.
    async fn read(
        &mut self,
        projection: &str,
        generation: Option<i32>,
    ) -> Result<Option<Checkpoint>> {
        let store = self.store.clone();
        let read = checkpoint::read(&store.inner.statements, Some(projection), generation);
        let row = self.step().fetch_optional(read).await;
        let row = self.done(row.map_err(of_statement))?;
        row.as_ref().map(decode).transpose().map_err(of_statement)
    }

    /// Gives each partition a checkpoint where the first one's is.
    async fn split(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        for unit in definition.units().skip(1) {
            let store = self.store.clone();
            // What is set aside is so for the rows of each.
            for split in
                [&store.inner.statements.checkpoint_split, &store.inner.statements.parked_split]
            {
                let query = sqlx::query(checked(split))
                    .bind(definition.name.clone())
                    .bind(number(generation))
                    .bind(unit.clone());
                self.execute_query(query).await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self, statement: &'static str) -> Result<()> {
        let Some(Session::Own(mut connection)) = self.connection.take() else { return Ok(()) };
        shielded(async move { connection.end(statement).await.map_err(of_commit) }).await
    }

    fn is_broken(&self) -> bool {
        self.connection.as_deref().is_some_and(Held::is_broken)
    }

    /// A connection that broke is not asked: the server rolls back where its client is gone or, where it
    /// cannot learn that, after a while (see `BEGIN`).
    async fn roll_back(&mut self) -> Result<()> {
        if self.is_broken() {
            self.connection = None;
        }
        self.end("rollback").await
    }
}

#[async_trait]
impl RowTx for PostgresTx<'_> {
    async fn load(
        &mut self,
        table: &Table,
        generation: u32,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>> {
        let store = self.store.clone();
        let rows =
            read_model::load(self.step(), &store.inner.statements, table, generation, keys).await;
        self.done(rows)
    }

    async fn save(
        &mut self,
        table: &Table,
        generation: u32,
        rows: Vec<(Vec<Value>, Position)>,
    ) -> Result<()> {
        let store = self.store.clone();
        let saved =
            read_model::save(self.step(), &store.inner.statements, table, generation, rows).await;
        self.done(saved)
    }

    async fn remove(
        &mut self,
        table: &Table,
        generation: u32,
        keys: Vec<Vec<Value>>,
    ) -> Result<()> {
        let store = self.store.clone();
        let removed =
            read_model::remove(self.step(), &store.inner.statements, table, generation, keys).await;
        self.done(removed)
    }

    async fn execute(&mut self, generation: u32, sql: &str, parameters: &[Value]) -> Result<u64> {
        let sql = expand_generation(sql, &self.store.inner.statements.prefix, generation);
        self.execute_query(values::bind(sql, parameters)).await
    }

    async fn fetch(
        &mut self,
        generation: u32,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Vec<Row>> {
        let sql = expand_generation(sql, &self.store.inner.statements.prefix, generation);
        let rows = self.step().fetch_all(values::bind(sql, parameters)).await;
        values::decode(self.done(rows.map_err(of_statement))?)
    }
}

#[async_trait]
impl StoreTx for PostgresTx<'_> {
    async fn create_generation(
        &mut self,
        definition: &Definition,
        generation: u32,
        state: GenerationState,
    ) -> Result<Checkpoint> {
        definition.check()?;
        let store = self.store.clone();
        let created = self
            .execute_query(
                sqlx::query(checked(&store.inner.statements.checkpoint_create))
                    .bind(definition.name.clone())
                    .bind(number(generation))
                    .bind(state.as_str())
                    .bind(definition.fingerprint.clone()),
            )
            .await?;
        if created == 0 {
            return Err(moved(&definition.name));
        }
        let connection = self.step();
        let made =
            read_model::create(connection, &store.inner.statements, definition, generation, state);
        let made = made.await;
        self.done(made)?;
        if state == GenerationState::Live {
            self.split(definition, generation).await?;
        }
        self.hold(&definition.name, generation).await?.ok_or_else(|| moved(&definition.name))
    }

    async fn drop_generation(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let store = self.store.clone();
        let dropped = self
            .execute_query(
                sqlx::query(checked(&store.inner.statements.checkpoint_drop))
                    .bind(definition.name.clone())
                    .bind(number(generation)),
            )
            .await?;
        if dropped == 0 {
            return Err(moved(&definition.name));
        }
        let connection = self.step();
        let gone =
            read_model::drop(connection, &store.inner.statements, definition, generation).await;
        self.done(gone)
    }

    async fn hold(&mut self, projection: &str, generation: u32) -> Result<Option<Checkpoint>> {
        self.find(projection, Some(generation)).await
    }

    async fn live(&mut self, projection: &str) -> Result<Option<Checkpoint>> {
        self.read(projection, None).await
    }

    async fn hold_live(&mut self, projection: &str) -> Result<Option<Checkpoint>> {
        match self.find(projection, None).await? {
            Some(live) => Ok(Some(live)),
            // Another one came into service while this waited for it.
            None => self.find(projection, None).await,
        }
    }

    async fn events_behind(&mut self, after: Position, limit: u32) -> Result<Vec<StoredEvent>> {
        let query = sqlx::query(checked(&self.store.clone().inner.statements.events_behind))
            .bind(after.to_i64())
            .bind(i64::from(limit));
        let rows = self.step().fetch_all(query).await;
        let rows = self.done(rows.map_err(of_statement))?;
        rows.iter().map(read::decode).collect::<Result<_, _>>().map_err(of_statement)
    }

    async fn set_inline(&mut self, projection: &str, inline: bool) -> Result<()> {
        let store = self.store.clone();
        let statements = &store.inner.statements;
        if inline {
            let waits = self.step().control(LOCK_WAIT).await;
            self.done(waits.map_err(of_statement))?;
            // Each append has a weaker lock of the table until its transaction ends.
            self.execute_query(sqlx::query(checked(&statements.inline_lock))).await?;
        }
        let set = if inline { &statements.inline_set } else { &statements.inline_unset };
        self.execute_query(sqlx::query(checked(set)).bind(projection.to_owned())).await.map(drop)
    }

    async fn advance(&mut self, from: &Checkpoint, to: Position) -> Result<Checkpoint> {
        let query = sqlx::query(checked(&self.store.clone().inner.statements.checkpoint_advance))
            .bind(from.projection.clone())
            .bind(number(from.generation))
            .bind(from.state.as_str())
            .bind(from.epoch)
            .bind(from.position.to_i64())
            .bind(to.to_i64());
        let row = self.step().fetch_optional(query).await;
        let row = self.done(row.map_err(of_statement))?;
        let row = row.ok_or_else(|| moved(&from.projection))?;
        let event_position: i64 = row.try_get("event_position").map_err(of_statement)?;
        Ok(Checkpoint {
            position: to,
            event_id: row.try_get("event_id").map_err(of_statement)?,
            event_position: Position::from_i64(event_position),
            failure: None,
            ..from.clone()
        })
    }

    async fn amend(
        &mut self,
        from: &Checkpoint,
        to: &Checkpoint,
        owner: Option<Uuid>,
    ) -> Result<Checkpoint> {
        let failure = to.failure.as_ref();
        let query = sqlx::query(checked(&self.store.clone().inner.statements.checkpoint_amend))
            .bind(from.projection.clone())
            .bind(number(from.generation))
            .bind(from.epoch)
            .bind(from.position.to_i64())
            .bind(to.state.as_str())
            .bind(to.position.to_i64())
            .bind(to.event_id)
            .bind(to.event_position.to_i64())
            .bind(to.fingerprint.clone())
            .bind(failure.map(|failure| failure.position.to_i64()))
            .bind(failure.and_then(|failure| failure.event_id))
            .bind(failure.map(|failure| failure.error.clone()))
            .bind(to.paused)
            .bind(to.held_back)
            .bind(to.rebuild_asked)
            .bind(owner)
            .bind(to.of_this_log)
            .bind(failure.map(|failure| failure.code.clone()))
            .bind(i64::try_from(to.skips).unwrap_or(i64::MAX));
        if self.execute_query(query).await? != 1 {
            return Err(moved(&from.projection));
        }
        if owner.is_none() {
            let store = self.store.clone();
            let revoke = sqlx::query(checked(&store.inner.statements.lease_revoke))
                .bind(from.projection.clone())
                .bind(from.state.as_str());
            self.execute_query(revoke).await?;
        }
        Ok(Checkpoint { epoch: from.epoch + 1, ..to.clone() })
    }

    async fn merge_partitions(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let query = sqlx::query(checked(&self.store.clone().inner.statements.checkpoint_merge))
            .bind(definition.name.clone())
            .bind(number(generation));
        self.execute_query(query).await.map(drop)
    }

    async fn record(&mut self, operation: &Operation) -> Result<()> {
        let Operation { id, action, projection, generation, detail, by } = operation.clone();
        let query = sqlx::query(checked(&self.store.clone().inner.statements.operation_record))
            .bind(id)
            .bind(action)
            .bind(projection)
            .bind(generation.map(number))
            .bind(detail)
            .bind(by);
        self.execute_query(query).await.map(drop)
    }

    async fn compare(
        &mut self,
        definition: &Definition,
        first: u32,
        second: u32,
    ) -> Result<Vec<Difference>> {
        let store = self.store.clone();
        let statements = &store.inner.statements;
        let found = compare::compare(self.step(), statements, definition, first, second).await;
        self.done(found)
    }

    async fn promote(&mut self, definition: &Definition, generation: u32) -> Result<()> {
        let store = self.store.clone();
        let retire = sqlx::query(checked(&store.inner.statements.checkpoint_retire))
            .bind(definition.name.clone());
        let retired = self.step().fetch_optional(retire).await.map_err(of_statement);
        // A projection that an operator has paused stays so.
        let paused = self.done(retired)?.map_or(Ok(false), |row| row.try_get("paused"));
        let promote = sqlx::query(checked(&store.inner.statements.checkpoint_promote))
            .bind(definition.name.clone())
            .bind(number(generation))
            .bind(paused.map_err(of_statement)?);
        if self.execute_query(promote).await? == 0 {
            return Err(moved(&definition.name));
        }
        self.split(definition, generation).await?;
        // Last, since it locks the view against readers until the commit.
        let connection = self.step();
        let shown =
            read_model::show(connection, &store.inner.statements, definition, generation).await;
        self.done(shown)
    }

    async fn park(&mut self, at: &Checkpoint, events: &[Parked]) -> Result<()> {
        let store = self.store.clone();
        for event in events.iter().cloned() {
            let park = sqlx::query(checked(&store.inner.statements.parked_save))
                .bind(at.projection.clone())
                .bind(number(at.generation))
                .bind(event.position.to_i64())
                .bind(event.event_id)
                .bind(event.stream.as_str().to_owned())
                .bind(event.event_type)
                .bind(i64::try_from(event.bytes).unwrap_or(i64::MAX))
                .bind(i32::try_from(event.attempts).unwrap_or(i32::MAX))
                .bind(event.error)
                .bind(event.retry)
                .bind(event.code);
            self.execute_query(park).await?;
        }
        Ok(())
    }

    async fn retry_parked(&mut self, at: &Checkpoint, stream: Option<&StreamName>) -> Result<()> {
        let retry = sqlx::query(checked(&self.store.clone().inner.statements.parked_retry))
            .bind(at.projection.clone())
            .bind(number(at.generation))
            .bind(stream.map(|stream| stream.as_str().to_owned()));
        self.execute_query(retry).await.map(drop)
    }

    async fn unpark(&mut self, at: &Checkpoint, event: Uuid) -> Result<bool> {
        let unpark = sqlx::query(checked(&self.store.clone().inner.statements.parked_remove))
            .bind(at.projection.clone())
            .bind(number(at.generation))
            .bind(event);
        Ok(self.execute_query(unpark).await? > 0)
    }

    fn is_whole(&self) -> bool {
        self.begun == self.done
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        if !self.is_whole() {
            let broken = self.is_broken();
            self.roll_back().await?;
            let gone = || away("the connection broke before the commit");
            return Err(if broken { gone() } else { Error::unfinished() });
        }
        self.end("commit").await
    }

    async fn rollback(mut self: Box<Self>) -> Result<()> {
        self.roll_back().await
    }
}

fn moved(projection: &str) -> Error {
    Error::CheckpointMoved { projection: projection.into() }
}
