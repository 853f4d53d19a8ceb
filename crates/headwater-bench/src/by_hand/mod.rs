//! What a good engineer writes by hand with sqlx on PostgreSQL, in some fashions.
//!
//! A pool of 16 connections, statements that stay prepared, a unique key against concurrent writers.
//! Where two fashions do a thing alike, they share the code.

mod append;
mod bulk;
mod copy;
mod project;
mod read;

use std::ops::Range;

use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::shared::{
    job::Outcome,
    sale::{self, Sale},
    subject::Subject,
};

/// The way in which the work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fashion {
    /// One bare INSERT, by itself: the least that a durable append can be.
    Insert,
    /// A transaction, an INSERT an event, pages, an upsert a row.
    Plain,
    /// One INSERT of many rows from arrays; rows folded in memory and upserted together.
    Bulk,
    /// One query, whose rows are taken as they come.
    Stream,
    /// COPY out, in its binary format.
    Copy,
}

/// Hand-written SQL in a schema of its own.
pub struct ByHand {
    pool: PgPool,
    fashion: Fashion,
}

/// How many connections.
const POOL: u32 = 16;

impl ByHand {
    /// Makes the tables.
    pub async fn open(url: &str, fashion: Fashion) -> Outcome<Self> {
        let options = PgPoolOptions::new()
            .max_connections(POOL)
            // By default each use begins with a round trip that asks whether the connection lives.
            .test_before_acquire(false);
        let pool = options.connect(url).await?;
        sqlx::raw_sql(include_str!("schema.sql")).execute(&pool).await?;
        Ok(Self { pool, fashion })
    }
}

/// A row of the log.
pub struct Row {
    stream: String,
    version: i64,
    sale: Sale,
}

fn rows(cart: &str, behind: i64, sales: Vec<Sale>) -> Vec<Row> {
    let stream = stream(cart);
    let row = |(sale, version)| Row { stream: stream.clone(), version, sale };
    sales.into_iter().zip(behind + 1..).map(row).collect()
}

fn stream(cart: &str) -> String {
    format!("cart-{cart}")
}

impl Subject for ByHand {
    async fn append(&self, cart: String, sales: Vec<Sale>) -> Outcome<()> {
        let rows = rows(&cart, 0, sales);
        match self.fashion {
            Fashion::Insert => append::bare(&self.pool, &rows).await?,
            Fashion::Plain | Fashion::Stream => append::one_by_one(&self.pool, &rows).await?,
            Fashion::Bulk => bulk::insert(&self.pool, &rows).await?,
            Fashion::Copy => return Err("COPY in is not measured".into()),
        }
        Ok(())
    }

    async fn command(&self, cart: String, sale: Sale) -> Outcome<()> {
        loop {
            let state = read::load(&self.pool, &stream(&cart)).await?;
            // The decision: anything goes.
            let row = Row { stream: stream(&cart), version: state.version + 1, sale: sale.clone() };
            match append::one_by_one(&self.pool, &[row]).await {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
                done => return Ok(done?),
            }
        }
    }

    async fn load(&self, cart: String) -> Outcome<i64> {
        let loaded = match self.fashion {
            Fashion::Stream => read::load_streaming(&self.pool, &stream(&cart)).await?,
            _ => read::load(&self.pool, &stream(&cart)).await?,
        };
        Ok(loaded.pieces)
    }

    async fn replay(&self) -> Outcome<u64> {
        match self.fashion {
            Fashion::Stream => read::replay_streaming(&self.pool).await,
            Fashion::Copy => copy::replay(&self.pool).await,
            _ => read::replay(&self.pool).await,
        }
    }

    async fn forget(&self) -> Outcome<()> {
        project::forget(&self.pool).await
    }

    async fn project(&self, read_models: usize) -> Outcome<i64> {
        match self.fashion {
            Fashion::Bulk => bulk::project(&self.pool, read_models).await?,
            _ => project::row_by_row(&self.pool, read_models).await?,
        }
        project::pieces(&self.pool).await
    }

    async fn fill(&self, carts: Range<u64>, length: u64) -> Outcome<()> {
        let of_cart = |cart| rows(&sale::filled_cart(cart), 0, sale::lines(cart, length));
        let rows: Vec<_> = carts.flat_map(of_cart).collect();
        Ok(bulk::insert(&self.pool, &rows).await?)
    }
}
