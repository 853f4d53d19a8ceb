//! The shop as code uses it: its aggregates over one log, and how a command reaches them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use headwater::{Aggregate, Command, CommandError, Done, Log, Repository, Result, RetryPolicy};
use uuid::Uuid;

use crate::{
    app,
    domain::{
        cart::{Cart, CartError, CartEvent},
        catalogue::{CatalogueError, Product},
        ids::{CartId, Sku},
        order::{Order, OrderError},
    },
};

/// The shop. Cloning is cheap.
#[derive(Clone)]
pub struct Shop {
    /// The log that everything lies in.
    pub log: Log,
    /// The carts.
    pub carts: Repository<Cart>,
    /// The orders.
    pub orders: Repository<Order>,
    /// The products.
    pub products: Repository<Product>,
    /// Whether all read models were seen.
    built: Arc<AtomicBool>,
}

/// What surrounds a command: all of it may be left out.
#[derive(Clone, Debug, Default)]
pub struct CommandOptions {
    /// The version that the aggregate must have. Such a command is not tried again by itself.
    pub expected_version: Option<u64>,
    /// The command's own id: when it comes again, it yields its first result.
    pub command_id: Option<Uuid>,
    /// A JSON object to record with each event.
    pub metadata: Option<String>,
    /// The conversation that the events belong to.
    pub correlation_id: Option<Uuid>,
    /// The event that the command follows from, such as the press of a button.
    pub causation_id: Option<Uuid>,
}

/// Why a command that concerns several aggregates is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cart refuses.
    #[error(transparent)]
    Cart(#[from] CartError),
    /// The catalogue refuses.
    #[error(transparent)]
    Product(#[from] CatalogueError),
    /// The order refuses.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// How often a command is decided anew before its caller hears of the crowd.
pub(crate) const RETRIES: u32 = 3;

impl Shop {
    /// The shop in `log`.
    ///
    /// # Errors
    ///
    /// [`EventDeclaration`](headwater::Error::EventDeclaration) where an event is declared in a way that cannot be read back.
    pub fn new(log: &Log) -> Result<Self> {
        let retry = RetryPolicy { retries: RETRIES, ..RetryPolicy::default() };
        Ok(Self {
            log: log.clone(),
            carts: Repository::new(log)?.retry(retry.clone()),
            orders: Repository::new(log)?.retry(retry.clone()),
            products: Repository::new(log)?.retry(retry),
            built: Arc::default(),
        })
    }

    /// Whether the read models are there. A shop that has just begun is making them.
    pub(crate) async fn is_built(&self) -> Result<bool> {
        if !self.built.load(Ordering::Relaxed) {
            let known = self.log.checkpoints().await?;
            let built = |name: &&str| known.iter().any(|known| known.projection == *name);
            self.built.store(app().names().iter().all(built), Ordering::Relaxed);
        }
        Ok(self.built.load(Ordering::Relaxed))
    }

    /// Puts so many of a product into a cart, at the price that the catalogue says now.
    ///
    /// # Errors
    ///
    /// [`CommandError::Refused`] by the catalogue or by the cart; [`CommandError::Log`] with what the
    /// log reports.
    pub async fn add_item(
        &self,
        cart: &CartId,
        sku: &Sku,
        quantity: u32,
        options: &CommandOptions,
    ) -> Result<Done<CartEvent>, CommandError<Refusal>> {
        let product = self.products.load(sku).await?.state;
        let decide = |cart: &Cart| Ok(cart.add_item(product.offer()?, quantity)?);
        options.command(&self.carts, cart).execute(decide).await
    }
}

impl CommandOptions {
    /// A command to one aggregate, with these options.
    pub fn command<'a, A: Aggregate>(
        &self,
        repository: &'a Repository<A>,
        id: &'a A::Id,
    ) -> Command<'a, A> {
        let mut command = repository.command(id);
        if let Some(version) = self.expected_version {
            command = command.expect_version(version);
        }
        if let Some(id) = self.command_id {
            command = command.command_id(id);
        }
        if let Some(metadata) = &self.metadata {
            command = command.metadata(metadata);
        }
        if let Some(id) = self.correlation_id {
            command = command.correlation_id(id);
        }
        if let Some(id) = self.causation_id {
            command = command.causation_id(id);
        }
        command
    }
}
