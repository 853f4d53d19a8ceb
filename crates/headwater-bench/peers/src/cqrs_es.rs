//! cqrs-es with postgres-es: commands through its framework, appends through its event repository, a
//! view for the totals of customers.

use std::{collections::HashMap, convert::Infallible, ops::Range};

use async_trait::async_trait;
use cqrs_es::{
    Aggregate, AggregateError, DomainEvent, EventEnvelope, EventStore as _, Query, View,
    event_sink::EventSink,
    persist::{
        PersistedEventRepository as _, PersistedEventStore, QueryReplay, SerializedEvent,
        ViewContext, ViewRepository as _,
    },
};
use postgres_es::{PostgresCqrs, PostgresEventRepository, PostgresViewRepository, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::shared::{
    job::Outcome,
    sale::{self, Sale},
    subject::Subject,
};

/// What happens to a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CartEvent {
    ItemAdded(Sale),
}

impl DomainEvent for CartEvent {
    fn event_type(&self) -> String {
        "ItemAdded".into()
    }

    fn event_version(&self) -> String {
        "1.0".into()
    }
}

/// What decisions are made on.
#[derive(Default, Serialize, Deserialize)]
pub struct Cart {
    pieces: i64,
    value: i64,
}

impl Aggregate for Cart {
    const TYPE: &'static str = "cart";
    type Command = Sale;
    type Event = CartEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(
        &mut self,
        sale: Sale,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        sink.write(CartEvent::ItemAdded(sale), self).await;
        Ok(())
    }

    fn apply(&mut self, event: CartEvent) {
        let CartEvent::ItemAdded(sale) = event;
        self.pieces += sale.quantity;
        self.value += sale.value();
    }
}

/// The totals of a customer.
#[derive(Debug, Default, Serialize, Deserialize)]
struct CustomerTotal {
    pieces: i64,
    value: i64,
}

impl View<Cart> for CustomerTotal {
    fn update(&mut self, event: &EventEnvelope<Cart>) {
        let CartEvent::ItemAdded(sale) = &event.payload;
        self.pieces += sale.quantity;
        self.value += sale.value();
    }
}

/// Keeps the view of each customer. The query that comes with the library has a view for each aggregate
/// alone; this does the same under another key.
struct CustomerTotals {
    views: PostgresViewRepository<CustomerTotal, Cart>,
}

#[async_trait]
impl Query<Cart> for CustomerTotals {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Cart>]) {
        for event in events {
            let CartEvent::ItemAdded(Sale { customer, .. }) = &event.payload;
            let known = self.views.load_with_context(customer).await.unwrap_or_default();
            let (mut view, context) = known.unwrap_or_else(|| {
                (CustomerTotal::default(), ViewContext::new(customer.clone(), 0))
            });
            view.update(event);
            // A query cannot fail; the sum in the end tells.
            let _ = self.views.update_view(view, context).await;
        }
    }
}

/// The subject.
pub struct CqrsEs {
    pool: PgPool,
    framework: PostgresCqrs<Cart>,
    store: PersistedEventStore<PostgresEventRepository, Cart>,
    repository: PostgresEventRepository,
}

impl CqrsEs {
    /// Makes the tables.
    pub async fn open(pool: PgPool) -> Outcome<Self> {
        sqlx::raw_sql(include_str!("cqrs_es.sql")).execute(&pool).await?;
        let repository = || PostgresEventRepository::new(pool.clone());
        Ok(Self {
            framework: postgres_cqrs(pool.clone(), vec![], ()),
            store: PersistedEventStore::new_event_store(repository()),
            repository: repository(),
            pool,
        })
    }
}

fn events(cart: &str, sales: Vec<Sale>) -> Outcome<Vec<SerializedEvent>> {
    let event = |(payload, sequence)| {
        let (aggregate_id, metadata) = (cart.to_owned(), HashMap::default());
        let payload = CartEvent::ItemAdded(payload);
        let envelope = EventEnvelope::<Cart> { aggregate_id, sequence, payload, metadata };
        Ok(SerializedEvent::try_from(&envelope)?)
    };
    sales.into_iter().zip(1..).map(event).collect()
}

impl Subject for CqrsEs {
    async fn append(&self, cart: String, sales: Vec<Sale>) -> Outcome<()> {
        self.repository.persist::<Cart>(&events(&cart, sales)?, None).await?;
        Ok(())
    }

    async fn command(&self, cart: String, sale: Sale) -> Outcome<()> {
        loop {
            match self.framework.execute(&cart, sale.clone()).await {
                Err(AggregateError::AggregateConflict) => {}
                done => return Ok(done?),
            }
        }
    }

    async fn load(&self, cart: String) -> Outcome<i64> {
        Ok(self.store.load_aggregate(&cart).await?.aggregate.pieces)
    }

    async fn replay(&self) -> Outcome<u64> {
        let mut events = self.repository.stream_all_events::<Cart>().await?;
        let mut count = 0;
        while let Some(event) = events.next::<Cart>(&[]).await {
            let CartEvent::ItemAdded(sale) = event?.payload;
            count += u64::from(sale.quantity > 0);
        }
        Ok(count)
    }

    async fn forget(&self) -> Outcome<()> {
        sqlx::query("truncate customer_view").execute(&self.pool).await?;
        Ok(())
    }

    async fn project(&self, read_models: usize) -> Outcome<i64> {
        if read_models != 1 {
            return Err("there is one view".into());
        }
        let views = PostgresViewRepository::new("customer_view", self.pool.clone());
        let repository = PostgresEventRepository::new(self.pool.clone());
        QueryReplay::new(repository, CustomerTotals { views }).replay_all().await?;
        let sum = "select sum((payload->>'pieces')::bigint)::bigint from customer_view";
        Ok(sqlx::query_scalar(sum).fetch_one(&self.pool).await?)
    }

    async fn fill(&self, carts: Range<u64>, length: u64) -> Outcome<()> {
        let mut all = Vec::new();
        for cart in carts {
            all.extend(events(&sale::filled_cart(cart), sale::lines(cart, length))?);
        }
        self.repository.persist::<Cart>(&all, None).await?;
        Ok(())
    }
}
