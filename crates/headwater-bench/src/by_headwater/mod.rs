//! The subject `headwater`: used as its documentation shows, with the settings that it has by itself.

mod domain;
mod read_models;

use std::ops::Range;

use futures_util::TryStreamExt as _;
use headwater::{
    Append, Decoder, ExpectedVersion, Filter, Limits, Log, NewEvent, Position, Repository,
    Snapshots, StreamName,
};

use crate::shared::{
    job::Outcome,
    live::Seen,
    sale::{self, Sale},
    subject::Subject,
};
use domain::{Cart, CartEvent};

/// A log, and the carts in it.
pub struct Headwater {
    log: Log,
    carts: Repository<Cart>,
    decoder: Decoder<CartEvent>,
}

impl Headwater {
    /// Opens the log at `url`, whose repository remembers the carts that it has loaded.
    pub async fn open(url: &str) -> headwater::Result<Self> {
        let log = headwater::connect(url).await?;
        let carts = Repository::new(&log)?;
        Ok(Self { log, carts, decoder: Decoder::new()? })
    }

    /// With a repository that remembers nothing: each load reads the log.
    pub fn cold(self) -> Self {
        Self { carts: self.carts.cache(0), ..self }
    }

    /// With a repository that reads the newest snapshot and what follows on it.
    pub fn snapshots(self) -> Self {
        Self { carts: self.carts.snapshots(Snapshots::default()), ..self }
    }

    /// Writes carts of more events than an append may hold.
    async fn fill_long(&self, carts: Range<u64>, length: u64) -> Outcome<()> {
        let largest = Limits::default().events;
        for cart in carts {
            let stream = StreamName::new("cart", sale::filled_cart(cart))?;
            for part in sale::lines(cart, length).chunks(largest) {
                self.log.append(&stream, ExpectedVersion::Any, events_of(part)?).await?;
            }
        }
        Ok(())
    }

    async fn append_to(&self, cart: String, sales: &[Sale]) -> Outcome<()> {
        self.log.append_all([new_cart(cart, sales)?]).await?;
        Ok(())
    }
}

fn new_cart(cart: String, sales: &[Sale]) -> headwater::Result<Append> {
    Ok(Append::new(StreamName::new("cart", cart)?, ExpectedVersion::None, events_of(sales)?))
}

fn events_of(sales: &[Sale]) -> headwater::Result<Vec<NewEvent>> {
    sales.iter().map(|sale| NewEvent::of(&CartEvent::ItemAdded(sale.clone()))).collect()
}

impl Subject for Headwater {
    async fn append(&self, cart: String, sales: Vec<Sale>) -> Outcome<()> {
        self.append_to(cart, &sales).await
    }

    async fn command(&self, cart: String, sale: Sale) -> Outcome<()> {
        self.carts.execute(&cart, |cart| cart.add(&sale)).await?;
        Ok(())
    }

    async fn load(&self, cart: String) -> Outcome<i64> {
        Ok(self.carts.load(&cart).await?.state.pieces)
    }

    async fn replay(&self) -> Outcome<u64> {
        let mut events = self.log.read(Filter::all(), Position::START);
        let mut count = 0;
        while let Some(event) = events.try_next().await? {
            let CartEvent::ItemAdded(sale) = self.decoder.decode(event)?.event;
            count += u64::from(sale.quantity > 0);
        }
        Ok(count)
    }

    async fn project(&self, read_models: usize) -> Outcome<i64> {
        read_models::app(read_models)?.rebuild(&self.log, &[], &|_| ()).await?;
        let sql = "select cast(sum(pieces) as bigint) as pieces from {customer_totals}";
        let rows = self.log.query(sql, &[]).await?;
        let row = rows.first().ok_or("a sum has one row")?;
        Ok(row.get("pieces")?)
    }

    async fn follow(&self, seen: Seen) -> Outcome<()> {
        let mut cursor = self.log.subscribe(Filter::all(), Position::START);
        loop {
            let CartEvent::ItemAdded(sale) = self.decoder.decode(cursor.next().await?)?.event;
            seen.note(sale.number);
        }
    }

    async fn fill(&self, carts: Range<u64>, length: u64) -> Outcome<()> {
        if length > Limits::default().events as u64 {
            return self.fill_long(carts, length).await;
        }
        let carts = carts.map(|cart| new_cart(sale::filled_cart(cart), &sale::lines(cart, length)));
        self.log.append_all(carts.collect::<headwater::Result<Vec<_>>>()?).await?;
        Ok(())
    }
}
