//! Streams: their versions and times, one by one or by category.

use futures_util::{TryStreamExt as _, stream};
use headwater_core::{Error, Result, StreamInfo, StreamInfos, StreamName};
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{errors::of_statement, rows::fetch_all, store::SqliteStore, values::time};

/// How many streams one page of a listing holds.
const PAGE: i64 = 1_000;

impl SqliteStore {
    pub(crate) async fn find_stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let mut connection = self.inner.connections.log_reader().await?;
        let statement = sqlx::query(include_str!("stream_info.sql")).bind(stream.as_str());
        let rows = fetch_all(&mut connection, statement).await?;
        rows.first().map(decode).transpose().map_err(of_statement)
    }

    pub(crate) fn list_streams(&self, category: Option<&str>) -> StreamInfos {
        let store = self.clone();
        let (first, last) = StreamName::bounds(category);
        let pages = stream::try_unfold(Some(first), move |after| {
            let (store, last) = (store.clone(), last.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = store.page_of_streams(&after, &last).await?;
                let next = page.last().map(|last| last.stream.as_str().to_owned());
                Ok::<_, Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    async fn page_of_streams(&self, after: &str, last: &str) -> Result<Vec<StreamInfo>> {
        let mut connection = self.inner.connections.log_reader().await?;
        let statement = sqlx::query(include_str!("streams.sql")).bind(after).bind(last).bind(PAGE);
        let rows = fetch_all(&mut connection, statement).await?;
        rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
    }
}

fn decode(row: &SqliteRow) -> Result<StreamInfo, sqlx::Error> {
    let version: i64 = row.try_get(1)?;
    Ok(StreamInfo {
        stream: StreamName::from_store(row.try_get(0)?),
        version: u64::try_from(version).unwrap_or(0),
        first_at: time(row.try_get(2)?),
        last_at: time(row.try_get(3)?),
    })
}
