//! What is measured: something that appends, replays and projects sales.

use std::error::Error;

use futures_util::{TryStreamExt as _, future::BoxFuture};
use headwater::{
    App, Append, Event, ExpectedVersion, Filter, Fold, Log, NewEvent, Position, ReadModel,
    Recorded, StreamName,
};
use serde::{Deserialize, Serialize};

/// The result of a measured act.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A line of a cart: the event of all workloads, about 100 bytes of JSON.
#[derive(Clone, Debug, Event)]
#[event(category = "cart")]
pub enum CartEvent {
    /// An item was added.
    #[event(name = "cart.item_added")]
    ItemAdded(ItemAdded),
}

/// What was added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemAdded {
    /// The product.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// How many.
    pub quantity: i64,
    /// Pennies.
    pub unit_price: i64,
}

/// The nth event.
pub fn item(number: u64) -> ItemAdded {
    ItemAdded {
        sku: format!("sku-{}", number % 4_000),
        title: "WHITE HANGING HEART T-LIGHT HOLDER".into(),
        quantity: 1 + i64::try_from(number % 12).unwrap_or(0),
        unit_price: 255,
    }
}

/// A way to do the same work.
pub trait Subject: Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;
    /// Appends `count` events to a new stream, durably.
    fn append(&self, stream: u64, count: u64) -> BoxFuture<'_, Outcome<()>>;
    /// Reads and decodes every event, and yields how many there are.
    fn replay(&self) -> BoxFuture<'_, Outcome<u64>>;
    /// Builds the totals for each product from zero, and yields the pieces in all.
    fn project(&self) -> BoxFuture<'_, Outcome<i64>>;
}

/// Headwater, used as its documentation shows.
pub struct Headwater {
    name: &'static str,
    log: Log,
    app: App,
}

impl Headwater {
    /// Opens the log at `url`.
    pub async fn open(name: &'static str, url: &str) -> headwater::Result<Self> {
        let log = headwater::connect(url).await?;
        Ok(Self { name, log, app: App::new().projection::<ProductTotal>() })
    }
}

impl Subject for Headwater {
    fn name(&self) -> &'static str {
        self.name
    }

    fn append(&self, stream: u64, count: u64) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(async move {
            let events = (0..count)
                .map(|number| NewEvent::of(&CartEvent::ItemAdded(item(number))))
                .collect::<headwater::Result<Vec<_>>>()?;
            let stream = StreamName::new("cart", stream)?;
            self.log.append_all([Append::new(stream, ExpectedVersion::None, events)]).await?;
            Ok(())
        })
    }

    fn replay(&self) -> BoxFuture<'_, Outcome<u64>> {
        Box::pin(async move {
            let decoder = headwater::Decoder::<CartEvent>::new()?;
            let mut events = self.log.read(Filter::all(), Position::START);
            let mut count = 0;
            while let Some(event) = events.try_next().await? {
                let CartEvent::ItemAdded(item) = decoder.decode(event)?.event;
                count += u64::from(item.quantity > 0);
            }
            Ok(count)
        })
    }

    fn project(&self) -> BoxFuture<'_, Outcome<i64>> {
        Box::pin(async move {
            self.app.rebuild(&self.log, &[], &|_| ()).await?;
            let sql = "select cast(sum(pieces) as bigint) as pieces from {product_totals}";
            let rows = self.log.query(sql, &[]).await?;
            Ok(rows[0].get("pieces")?)
        })
    }
}

/// The totals of a product.
#[derive(ReadModel)]
#[read_model(table = "product_totals")]
struct ProductTotal {
    #[key]
    sku: String,
    pieces: i64,
    value: i64,
}

impl Fold for ProductTotal {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        let CartEvent::ItemAdded(item) = &event.event;
        vec![item.sku.clone()]
    }

    fn fold(row: Option<Self>, sku: &String, event: &Recorded<CartEvent>) -> Option<Self> {
        let CartEvent::ItemAdded(item) = &event.event;
        let mut row = row.unwrap_or(Self { sku: sku.clone(), pieces: 0, value: 0 });
        row.pieces += item.quantity;
        row.value += item.quantity * item.unit_price;
        Some(row)
    }
}
