//! disintegrate with disintegrate-postgres: commands through its decision maker, appends with a query
//! that guards them, a listener for what follows the log.

use std::{
    convert::Infallible,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ::disintegrate::{
    Decision, DecisionError, Event, EventListener, EventSourcedStateStore, EventStore as _,
    LoadState as _, NoSnapshot, PersistedEvent, StateMutate, StateQuery, StreamItem, StreamQuery,
    query, serde::json::Json,
};
use async_trait::async_trait;
use disintegrate_postgres::{
    Error as StoreError, PgDecisionMaker, PgEventId, PgEventListener, PgEventListenerConfig,
    PgEventStore, decision_maker,
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::shared::{
    job::Outcome,
    live::Seen,
    sale::{self, Sale},
    subject::Subject,
};

/// What happens to a cart.
#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
#[stream(CartEvent, [ItemAdded])]
pub enum DomainEvent {
    ItemAdded {
        #[id]
        cart_id: String,
        sale: Sale,
    },
}

/// What decisions are made on.
#[derive(Clone, Default, StateQuery, Serialize, Deserialize)]
#[state_query(CartEvent)]
struct Cart {
    #[id]
    cart_id: String,
    pieces: i64,
    value: i64,
}

impl Cart {
    fn new(cart_id: String) -> Self {
        Self { cart_id, ..Self::default() }
    }
}

impl StateMutate for Cart {
    fn mutate(&mut self, event: CartEvent) {
        let CartEvent::ItemAdded { sale, .. } = event;
        self.pieces += sale.quantity;
        self.value += sale.value();
    }
}

/// The decision to add an item.
struct AddItem {
    cart_id: String,
    sale: Sale,
}

impl Decision for AddItem {
    type Event = DomainEvent;
    type StateQuery = Cart;
    type Error = Infallible;

    fn state_query(&self) -> Cart {
        Cart::new(self.cart_id.clone())
    }

    fn process(&self, _: &Cart) -> Result<Vec<DomainEvent>, Infallible> {
        Ok(vec![event(&self.cart_id, self.sale.clone())])
    }
}

fn event(cart: &str, sale: Sale) -> DomainEvent {
    DomainEvent::ItemAdded { cart_id: cart.to_owned(), sale }
}

type Store = PgEventStore<DomainEvent, Json<DomainEvent>>;

/// The subject.
pub struct Disintegrate {
    pool: PgPool,
    store: Store,
    states: EventSourcedStateStore<PgEventId, DomainEvent, Store, NoSnapshot>,
    decisions: PgDecisionMaker<DomainEvent, Json<DomainEvent>, NoSnapshot>,
}

impl Disintegrate {
    /// Makes the tables.
    pub async fn open(pool: PgPool) -> Outcome<Self> {
        let store = match PgEventStore::try_new(pool.clone(), Json::default()).await {
            Ok(store) => store,
            // One of its functions is written in the SQL of PostgreSQL 16. By hand, as it describes for
            // a database without the rights to make tables, it runs on 15 as well.
            Err(_) => {
                sqlx::raw_sql(include_str!("disintegrate_15.sql")).execute(&pool).await?;
                PgEventStore::new_uninitialized(pool.clone(), Json::default())
            }
        };
        Ok(Self {
            states: EventSourcedStateStore::new(store.clone(), NoSnapshot),
            decisions: decision_maker(store.clone(), NoSnapshot),
            store,
            pool,
        })
    }
}

/// Whether somebody else was faster; the database says so at the commit, or before.
fn raced(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::Concurrency) => true,
        Some(StoreError::Database(sqlx::Error::Database(error))) => {
            error.code().as_deref() == Some("40001")
        }
        _ => false,
    }
}

impl Subject for Disintegrate {
    async fn append(&self, cart: String, sales: Vec<Sale>) -> Outcome<()> {
        let events: Vec<_> = sales.into_iter().map(|sale| event(&cart, sale)).collect();
        loop {
            let guard = query!(DomainEvent; cart_id == cart);
            match self.store.append(events.clone(), guard, 0).await {
                Err(error) if raced(&error) => {}
                done => return Ok(done.map(drop)?),
            }
        }
    }

    async fn command(&self, cart: String, sale: Sale) -> Outcome<()> {
        loop {
            let decision = AddItem { cart_id: cart.clone(), sale: sale.clone() };
            match self.decisions.make(decision).await {
                Err(DecisionError::StateStore(error)) if raced(&*error) => {}
                done => return Ok(done.map(drop)?),
            }
        }
    }

    async fn load(&self, cart: String) -> Outcome<i64> {
        Ok(self.states.load(Cart::new(cart)).await?.state().pieces)
    }

    async fn replay(&self) -> Outcome<u64> {
        let all = query!(DomainEvent);
        let mut events = self.store.stream::<DomainEvent>(&all);
        let mut count = 0;
        while let Some(item) = events.next().await {
            if let StreamItem::Event(event) = item? {
                let DomainEvent::ItemAdded { sale, .. } = event.into_inner();
                count += u64::from(sale.quantity > 0);
            }
        }
        Ok(count)
    }

    async fn forget(&self) -> Outcome<()> {
        sqlx::raw_sql(
            "create table if not exists customer_totals (
                 customer text primary key, pieces bigint not null, value bigint not null);
             truncate customer_totals;
             drop table if exists event_listener",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn project(&self, read_models: usize) -> Outcome<i64> {
        if read_models != 1 {
            return Err("there is one listener".into());
        }
        let events = sqlx::query_scalar("select count(*) from event").fetch_one(&self.pool).await?;
        let done = Arc::new(Notify::new());
        let listener = CustomerTotals {
            query: query!(DomainEvent),
            pool: self.pool.clone(),
            left: AtomicI64::new(events),
            done: done.clone(),
        };
        let poller = PgEventListenerConfig::poller(Duration::from_secs(5));
        PgEventListener::builder(self.store.clone())
            .register_listener(listener, poller)
            .start_with_shutdown(async move { done.notified().await })
            .await?;
        let sum = "select sum(pieces)::bigint from customer_totals";
        Ok(sqlx::query_scalar(sum).fetch_one(&self.pool).await?)
    }

    async fn follow(&self, seen: Seen) -> Outcome<()> {
        let listener = Watcher { query: query!(DomainEvent), seen };
        let poller = PgEventListenerConfig::poller(Duration::from_secs(1)).with_notifier();
        PgEventListener::builder(self.store.clone())
            .register_listener(listener, poller)
            .start()
            .await?;
        Ok(())
    }

    async fn fill(&self, carts: Range<u64>, length: u64) -> Outcome<()> {
        let mut all = Vec::new();
        for cart in carts {
            let name = sale::filled_cart(cart);
            all.extend(sale::lines(cart, length).into_iter().map(|sale| event(&name, sale)));
        }
        self.store.append_without_validation(all).await?;
        Ok(())
    }
}

/// Keeps the totals of customers.
struct CustomerTotals {
    query: StreamQuery<PgEventId, DomainEvent>,
    pool: PgPool,
    left: AtomicI64,
    done: Arc<Notify>,
}

#[async_trait]
impl EventListener<PgEventId, DomainEvent> for CustomerTotals {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        "customer_totals"
    }

    fn query(&self) -> &StreamQuery<PgEventId, DomainEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, DomainEvent>) -> sqlx::Result<()> {
        let DomainEvent::ItemAdded { sale, .. } = event.into_inner();
        sqlx::query(
            "insert into customer_totals as t values ($1, $2, $3) on conflict (customer) do update
             set pieces = t.pieces + excluded.pieces, value = t.value + excluded.value",
        )
        .bind(&sale.customer)
        .bind(sale.quantity)
        .bind(sale.value())
        .execute(&self.pool)
        .await?;
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
        Ok(())
    }
}

/// Notes what it sees.
struct Watcher {
    query: StreamQuery<PgEventId, DomainEvent>,
    seen: Seen,
}

#[async_trait]
impl EventListener<PgEventId, DomainEvent> for Watcher {
    type Error = Infallible;

    fn id(&self) -> &'static str {
        "watcher"
    }

    fn query(&self) -> &StreamQuery<PgEventId, DomainEvent> {
        &self.query
    }

    async fn handle(
        &self,
        event: PersistedEvent<PgEventId, DomainEvent>,
    ) -> Result<(), Infallible> {
        let DomainEvent::ItemAdded { sale, .. } = event.into_inner();
        self.seen.note(sale.number);
        Ok(())
    }
}
