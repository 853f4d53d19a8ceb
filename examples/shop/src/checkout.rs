//! Checkout: a cart becomes an order.
//!
//! Both streams change in one append, so that no crash leaves a closed cart without its order. Once
//! stock and payment are asked, a process takes the place of the immediate confirmation.

use futures_util::TryStreamExt as _;
use headwater::{
    Aggregate as _, Append, CommandError, Error, Event, ExpectedVersion, Loaded, NewEvent,
    Position, Result,
};
use uuid::Uuid;

use crate::{
    domain::{
        cart::{Cart, CartError, CartStatus},
        ids::{CartId, OrderId},
        order::{Order, OrderError, OrderEvent, Placed},
    },
    shop::{CommandOptions, RETRIES, Refusal, Shop},
};

/// A cart that became an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The order.
    pub order_id: OrderId,
    /// The types of the events, in their order.
    pub events: Vec<String>,
    /// The position of the last event.
    pub position: Position,
    /// The metadata that the events were recorded with.
    pub metadata: Option<String>,
    /// Whether the command had been carried out before, and this is its first result.
    pub repeated: bool,
}

type Outcome<T> = Result<T, CommandError<Refusal>>;

impl Shop {
    /// Closes the cart, places its order and confirms it: all or nothing.
    ///
    /// Without an `order_id` the order's id is derived from the cart's.
    ///
    /// # Errors
    ///
    /// [`CommandError::Refused`] where the cart is closed, empty or unknown, or the order's id is
    /// taken; [`CommandError::Log`] with [`Error::VersionConflict`] where the expected version is not
    /// met or the retries are used up, and with what else the log reports.
    pub async fn check_out(
        &self,
        cart_id: CartId,
        order_id: Option<OrderId>,
        options: &CommandOptions,
    ) -> Outcome<CheckedOut> {
        let command_id = options.command_id.unwrap_or_else(Uuid::now_v7);
        let options = CommandOptions { command_id: Some(command_id), ..options.clone() };
        let order_id = order_id.unwrap_or_else(|| cart_id.order());
        for attempt in 0.. {
            let cart = self.carts.load(&cart_id).await?;
            if let CartStatus::CheckedOut(order_id) = cart.state.status() {
                return self.earlier(order_id, command_id).await;
            }
            let appends = self.decide(cart_id, &cart, order_id, &options)?;
            let events = appends.iter().flat_map(|append| &append.events);
            let events = events.map(|event| event.event_type.clone()).collect();
            match self.log.append_all(appends).await {
                Ok(appended) => {
                    let (position, metadata) = (appended.position(), options.metadata);
                    let repeated = appended.repeated;
                    return Ok(CheckedOut { order_id, events, position, metadata, repeated });
                }
                Err(Error::VersionConflict { stream, .. }) if stream.category() == "order" => {
                    return Err(refused(OrderError::AlreadyPlaced));
                }
                Err(error) if attempt < RETRIES && decide_again(&error, &options) => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The end of the cart and the begin of the order.
    fn decide(
        &self,
        cart_id: CartId,
        cart: &Loaded<Cart>,
        order_id: OrderId,
        options: &CommandOptions,
    ) -> Outcome<[Append; 2]> {
        let stream = self.carts.stream(&cart_id)?;
        let expected = ExpectedVersion::Exact(options.expected_version.unwrap_or(cart.version));
        if !expected.holds_at(cart.version) {
            let actual = cart.version;
            return Err(Error::VersionConflict { stream, expected, actual }.into());
        }
        let closed = cart.state.check_out(order_id).map_err(refused)?;
        let order = cart.state.to_order(cart_id).map_err(refused)?;
        let placed = confirmed(order).map_err(refused)?;
        let mut cause = options.causation_id;
        let closed = encode(&closed, &mut cause, options)?;
        let placed = encode(&placed, &mut cause, options)?;
        Ok([
            Append::new(stream, expected, closed),
            Append::new(self.orders.stream(&order_id)?, ExpectedVersion::None, placed),
        ])
    }

    /// The result of the checkout that closed the cart, if it was this same command.
    async fn earlier(&self, order_id: OrderId, command_id: Uuid) -> Outcome<CheckedOut> {
        let events = self.log.read_stream(&self.orders.stream(&order_id)?, 1);
        let events: Vec<_> = events.try_collect().await?;
        let own = |event: &&headwater::StoredEvent| {
            event.id == event_id(command_id, &event.event.event_type)
        };
        let last = events.iter().rfind(own).ok_or_else(|| refused(CartError::Closed(order_id)))?;
        let (position, metadata) = (last.position, last.metadata.clone());
        let closed = ["cart.checked_out".to_owned()];
        let placed = events.iter().filter(own).map(|event| event.event.event_type.clone());
        let events = closed.into_iter().chain(placed).collect();
        Ok(CheckedOut { order_id, events, position, metadata, repeated: true })
    }
}

/// A new order, placed and confirmed.
fn confirmed(order: Placed) -> Result<Vec<OrderEvent>, OrderError> {
    let mut state = Order::default();
    let mut events = state.place(order)?;
    events.iter().for_each(|event| state.apply(event));
    events.extend(state.confirm()?);
    Ok(events)
}

/// Whether somebody else was faster, be it with this same command.
fn decide_again(error: &Error, options: &CommandOptions) -> bool {
    match error {
        Error::IdempotencyConflict { .. } => true,
        Error::VersionConflict { .. } => options.expected_version.is_none(),
        _ => false,
    }
}

/// Each event is caused by the one before: the order by the cart that was closed, its confirmation by its being placed.
fn encode<E: Event>(
    events: &[E],
    cause: &mut Option<Uuid>,
    options: &CommandOptions,
) -> Result<Vec<NewEvent>> {
    let encode = |event: &E| {
        let new = NewEvent::of(event)?;
        let id = options.command_id.map_or(new.id, |id| event_id(id, &new.event_type));
        Ok(NewEvent {
            id,
            metadata: options.metadata.clone(),
            correlation_id: options.correlation_id,
            causation_id: cause.replace(id),
            ..new
        })
    };
    events.iter().map(encode).collect()
}

/// The id of a checkout's event, derived so that a second try is recognised: no type comes twice.
fn event_id(command_id: Uuid, event_type: &str) -> Uuid {
    Uuid::new_v5(&command_id, event_type.as_bytes())
}

fn refused(reason: impl Into<Refusal>) -> CommandError<Refusal> {
    CommandError::Refused(reason.into())
}
