//! What a subject must be able to do. One that cannot do a thing leaves it out, and its column stays
//! empty there.

use std::{future::Future, ops::Range};

use super::{job::Outcome, live::Seen, sale::Sale};

/// A way to do the work of an event store.
pub trait Subject: Send + Sync + 'static {
    /// Appends the events to a new cart, durably.
    fn append(&self, _cart: String, _sales: Vec<Sale>) -> impl Future<Output = Outcome<()>> + Send {
        async { cannot("append") }
    }

    /// Loads a cart, decides, appends an event; again where another writer was faster.
    fn command(&self, _cart: String, _sale: Sale) -> impl Future<Output = Outcome<()>> + Send {
        async { cannot("run a command") }
    }

    /// Loads a cart, and yields its pieces.
    fn load(&self, _cart: String) -> impl Future<Output = Outcome<i64>> + Send {
        async { cannot("load") }
    }

    /// Reads and decodes every event, and yields how many there are.
    fn replay(&self) -> impl Future<Output = Outcome<u64>> + Send {
        async { cannot("replay") }
    }

    /// Removes what an earlier projection has left; not measured.
    fn forget(&self) -> impl Future<Output = Outcome<()>> + Send {
        async { Ok(()) }
    }

    /// Builds read models from zero: the first is the totals of customers. Yields their pieces.
    fn project(&self, _read_models: usize) -> impl Future<Output = Outcome<i64>> + Send {
        async { cannot("project") }
    }

    /// Follows the log from where it is, and notes what it sees, until it is dropped.
    fn follow(&self, _seen: Seen) -> impl Future<Output = Outcome<()>> + Send {
        async { cannot("follow") }
    }

    /// Writes new carts of `length` events each, all in one statement or transaction.
    fn fill(&self, _carts: Range<u64>, _length: u64) -> impl Future<Output = Outcome<()>> + Send {
        async { cannot("fill a log") }
    }
}

fn cannot<T>(what: &str) -> Outcome<T> {
    Err(format!("this subject cannot {what}").into())
}
