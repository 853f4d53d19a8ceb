//! Units of work in tasks of their own, which a dropped caller cannot cancel: for stores.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

use crate::{Error, EventStream, Result, StoredEvent};

/// Runs a unit of work to its end, also where its caller goes away.
///
/// A driver loses its place, and acknowledged writes with it, when a future of its own is dropped in
/// the middle of a transaction (sqlx issues 4385 and 4393).
///
/// # Errors
///
/// Those of the work; [`Error::OutcomeUnknown`] where it panicked.
pub async fn shielded<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let ended = |error: JoinError| Error::OutcomeUnknown { reason: not_ended(&error) };
    tokio::spawn(work).await.unwrap_or_else(|error| Err(ended(error)))
}

tokio::task_local! {
    /// Set while code of the user's works in the transaction of a batch.
    static IN_BATCH: ();
}

/// Runs code of the user's that works in the transaction of a batch.
pub async fn in_batch<T>(work: impl Future<Output = T>) -> T {
    IN_BATCH.scope((), work).await
}

/// Refuses, inside [`in_batch`], what would wait there for the transaction of the batch itself, or
/// would be done again by each rebuild.
pub(crate) fn refuse_in_batch() -> Result<()> {
    if IN_BATCH.try_with(|()| ()).is_err() {
        return Ok(());
    }
    let reason = "a projection writes and queries through the transaction of its batch alone";
    Err(Error::InvalidInput(reason.into()))
}

/// Events that a task reads, in chunks, at most `ahead` of them before its reader.
///
/// The task begins when the stream is first asked, and learns from its sender that the reader has
/// gone away. The stream ends only where the task ended well: a reader that took a broken reading
/// for the end of the log would skip events for ever.
pub fn read_ahead<W>(
    ahead: usize,
    work: impl FnOnce(mpsc::Sender<Vec<StoredEvent>>) -> W + Send + 'static,
) -> EventStream
where
    W: Future<Output = Result<()>> + Send + 'static,
{
    let begin = stream::once(async move {
        let (chunks, read) = mpsc::channel(ahead);
        let reading = tokio::spawn(work(chunks));
        stream::try_unfold((read, reading), |(mut read, reading)| async move {
            match read.recv().await {
                Some(chunk) => Ok::<_, Error>(Some((chunk, (read, reading)))),
                None => ended(reading).await.map(|()| None),
            }
        })
    });
    let events = |chunk: Vec<StoredEvent>| stream::iter(chunk.into_iter().map(Ok::<_, Error>));
    Box::pin(begin.flatten().map_ok(events).try_flatten())
}

/// The result of a reading that has sent its last.
///
/// # Errors
///
/// Those of the reading; [`Error::Unavailable`] where it panicked.
pub async fn ended(reading: JoinHandle<Result<()>>) -> Result<()> {
    let ended = |error: JoinError| Error::Unavailable { reason: not_ended(&error) };
    reading.await.unwrap_or_else(|error| Err(ended(error)))
}

fn not_ended(error: &JoinError) -> String {
    format!("the unit of work did not end: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_that_breaks_off_never_looks_like_the_end() {
        let events: Result<Vec<_>> =
            read_ahead(1, |_chunks| async { panic!("on purpose") }).try_collect().await;
        assert!(matches!(events, Err(Error::Unavailable { .. })), "{events:?}");
        let failure = Error::Unavailable { reason: "gone".into() };
        let fails = failure.clone();
        let events: Result<Vec<_>> =
            read_ahead(1, |_chunks| async { Err(fails) }).try_collect().await;
        assert_eq!(events.unwrap_err(), failure);
        let events: Result<Vec<_>> = read_ahead(1, |_chunks| async { Ok(()) }).try_collect().await;
        assert_eq!(events.unwrap().len(), 0);
    }
}
