//! A read model as of any position, folded in memory.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt as _;

use crate::{Decoder, Direction, Fold, Log, Position, Result};

/// The rows of a fold as they were when the log ended at a position; it stores nothing.
///
/// It goes forward by folding what lies between, and back by folding from the start of the log. [`Log::position_at`]
/// tells the position of a time.
///
/// ```
/// # use headwater_core::{Fold, Log, Position, Replay, Result};
/// async fn play<F: Fold>(log: &Log) -> Result<()> {
///     let mut replay = Replay::<F>::new(log)?;
///     for position in [100, 200, 300] {
///         replay.go_to(Position(position)).await?;
///         println!("{} rows at {position}", replay.rows().len());
///     }
///     Ok(())
/// }
/// ```
pub struct Replay<F: Fold> {
    log: Log,
    decoder: Decoder<F::Event>,
    rows: HashMap<F::Key, F>,
    /// Everything at or below is in the rows.
    position: Position,
}

impl<F: Fold> Replay<F> {
    /// Before the first event of the log.
    ///
    /// # Errors
    ///
    /// [`Error::EventDeclaration`](crate::Error::EventDeclaration): mend the code.
    pub fn new(log: &Log) -> Result<Self> {
        let (log, decoder) = (log.clone(), Decoder::new()?);
        Ok(Self { log, decoder, rows: HashMap::new(), position: Position::START })
    }

    /// Goes to a position; no further than the log can be read.
    ///
    /// Where it is dropped half way it has come as far as [`Replay::position`] says.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`](crate::Error::Decode) (mend the code), [`Error::Unavailable`](crate::Error::Unavailable) (try
    /// again) or [`Error::Database`](crate::Error::Database).
    pub async fn go_to(&mut self, position: Position) -> Result<()> {
        let position = position.min(self.log.ceiling().await?.position);
        if position < self.position {
            (self.rows, self.position) = (HashMap::new(), Position::START);
        }
        let (filter, direction) = (self.decoder.filter(), Direction::Forward);
        let mut events = self.log.read_below_ceiling(filter, self.position, position, direction);
        while let Some(event) = events.try_next().await? {
            let event = self.decoder.decode(event)?;
            let keys: HashSet<_> = F::keys(&event).into_iter().collect();
            for key in keys {
                let row = F::fold(self.rows.remove(&key), &key, &event);
                self.rows.extend(row.map(|row| (key, row)));
            }
            self.position = event.position;
        }
        self.position = position;
        Ok(())
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The rows at this position, by their keys.
    pub fn rows(&self) -> &HashMap<F::Key, F> {
        &self.rows
    }

    /// The same, to keep.
    pub fn into_rows(self) -> HashMap<F::Key, F> {
        self.rows
    }
}
