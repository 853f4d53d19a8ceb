//! Streams: their versions and times, one by one or by category.

use std::collections::VecDeque;

use futures_util::{TryStreamExt as _, stream};
use headwater_core::{Result, StreamInfo, StreamInfos, StreamName, task::shielded};
use sqlx::{Row as _, postgres::PgRow};

use crate::{errors::of_statement, sql::checked, store::PostgresStore};

/// How many streams one page of a listing holds.
const PAGE: i64 = 1_000;

impl PostgresStore {
    pub(crate) async fn find_stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let (store, stream) = (self.clone(), stream.as_str().to_owned());
        shielded(async move {
            let info = sqlx::query(checked(&store.inner.statements.stream_info)).bind(stream);
            let row = store.inner.looks.acquire().await?.fetch_optional(info).await;
            let row = row.map_err(of_statement)?;
            row.as_ref().map(decode).transpose().map_err(of_statement)
        })
        .await
    }

    pub(crate) fn list_streams(&self, category: Option<&str>) -> StreamInfos {
        let store = self.clone();
        let (first, last) = StreamName::bounds(category);
        let pages = stream::try_unfold(Some(first), move |after| {
            let (store, last) = (store.clone(), last.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = store.page_of_streams(after, last).await?;
                let next = page.back().map(|last| last.stream.as_str().to_owned());
                Ok::<_, headwater_core::Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(pages.try_flatten())
    }

    async fn page_of_streams(&self, after: String, last: String) -> Result<VecDeque<StreamInfo>> {
        let store = self.clone();
        shielded(async move {
            let page = sqlx::query(checked(&store.inner.statements.streams))
                .bind(after)
                .bind(last)
                .bind(PAGE);
            let rows = store.inner.looks.acquire().await?.fetch_all(page).await;
            let rows = rows.map_err(of_statement)?;
            rows.iter().map(decode).collect::<Result<_, _>>().map_err(of_statement)
        })
        .await
    }
}

fn decode(row: &PgRow) -> Result<StreamInfo, sqlx::Error> {
    let version: i64 = row.try_get(1)?;
    Ok(StreamInfo {
        stream: StreamName::from_store(row.try_get(0)?),
        version: u64::try_from(version).unwrap_or(0),
        first_at: row.try_get(2)?,
        last_at: row.try_get(3)?,
    })
}
