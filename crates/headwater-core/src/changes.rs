//! The changes of a read model as they come: what a push query yields elsewhere.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::sleep;

use crate::{Cursor, Decoder, Fold, Log, Position, ReadModel, Result, StoredEvent, Value, quoted};

/// How many events are read at once.
const BATCH: usize = 100;

/// How many rows are looked up by one query.
const ROWS: usize = 50;

/// How long it waits for the read model before it looks anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits where the read model stands still.
const PAUSE: Duration = Duration::from_millis(500);

/// A row of a read model that an event has changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change<F: Fold> {
    /// The event that has changed it.
    pub position: Position,
    /// Which row.
    pub key: F::Key,
    /// The row as it stands once the read model has passed this event; later events may be in it too. `None` where
    /// there is none.
    pub row: Option<F>,
    /// Whether the event has changed no other row that comes after this one: who goes on behind its position then
    /// misses none.
    pub complete: bool,
}

/// Follows the rows of a fold that change.
///
/// Each event that touches a row yields the row once the read model holds the event, in the order of positions.
/// Where several events have touched a row meanwhile, one change stands for them, at the last of them; the last
/// change of a row is how it stands. What is kept is bounded, however far it is behind. Each of those who follow reads
/// the log and the rows for itself.
///
/// An event that cannot be decoded has changed no row, and is passed over. What changes rows without a new event is not
/// told: an event that was set aside and is applied later, and another build that comes into service.
pub struct Changes<F: Fold> {
    log: Log,
    decoder: Decoder<F::Event>,
    cursor: Cursor,
    /// Touched by what was read, and not yet looked up.
    touched: Option<(Vec<Touched<F>>, Position)>,
    changes: VecDeque<Change<F>>,
}

/// A row, and the last event that has touched it.
type Touched<F> = (Position, <F as ReadModel>::Key);

impl<F: Fold> Changes<F> {
    pub(crate) fn new(log: &Log, after: Position) -> Result<Self> {
        let decoder = Decoder::new()?;
        let cursor = log.subscribe(decoder.filter(), after);
        Ok(Self { log: log.clone(), decoder, cursor, touched: None, changes: VecDeque::new() })
    }

    /// The next change; it waits for one. Dropped while it waits, it loses none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) (try again) or [`Error::Database`](crate::Error::Database).
    pub async fn next(&mut self) -> Result<Change<F>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            if self.touched.is_none() {
                let batch = self.cursor.next_batch(BATCH).await?;
                self.touched = Some((self.touched_by(batch.events), batch.position));
            }
            if let Some((touched, position)) = &self.touched {
                if !touched.is_empty() {
                    wait_for(&self.log, F::table().name, *position).await?;
                    self.changes = look_up(&self.log, touched).await?;
                }
                self.touched = None;
            }
        }
    }

    /// The rows that events touch, each at the last of them.
    fn touched_by(&self, events: Vec<StoredEvent>) -> Vec<Touched<F>> {
        let mut touched = Vec::new();
        for event in events {
            let Ok(event) = self.decoder.decode(event) else { continue };
            touched.extend(F::keys(&event).into_iter().map(|key| (event.position, key)));
        }
        let (mut seen, mut last) = (HashSet::new(), Vec::new());
        for (position, key) in touched.into_iter().rev() {
            if seen.insert(key.clone()) {
                last.push((position, key));
            }
        }
        last.reverse();
        last
    }
}

/// Waits until the read model holds everything up to here, for as long as it takes.
async fn wait_for(log: &Log, projection: &str, position: Position) -> Result<()> {
    while !log.wait_for(projection, position, PATIENCE).await? {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The rows as they stand.
async fn look_up<F: Fold>(log: &Log, touched: &[Touched<F>]) -> Result<VecDeque<Change<F>>> {
    let mut rows = HashMap::with_capacity(touched.len());
    for some in touched.chunks(ROWS) {
        let (condition, parameters) = condition::<F>(some.iter().map(|(_, key)| key));
        let found = log.find::<F>(&condition, &parameters).await?;
        rows.extend(found.into_iter().map(|row| (row.key(), row)));
    }
    let change = |(at, (position, key)): (usize, &Touched<F>)| Change {
        position: *position,
        key: key.clone(),
        row: rows.remove(key),
        complete: touched.get(at + 1).is_none_or(|next| next.0 > *position),
    };
    Ok(touched.iter().enumerate().map(change).collect())
}

/// The condition in SQL that finds the rows of these keys, with its parameters.
fn condition<'a, R: ReadModel>(keys: impl Iterator<Item = &'a R::Key>) -> (String, Vec<Value>) {
    let table = R::table();
    let (mut parameters, mut rows) = (Vec::new(), Vec::new());
    for key in keys {
        let mut equal = Vec::new();
        for (column, value) in table.key().zip(R::key_values(key)) {
            parameters.push(value);
            equal.push(format!("{} = ${}", quoted(column.name), parameters.len()));
        }
        rows.push(format!("({})", equal.join(" and ")));
    }
    (format!("where {}", rows.join(" or ")), parameters)
}
