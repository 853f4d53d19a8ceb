//! A cart: `cart-<id>`.
//!
//! Its events say how many pieces and how much money each step moves, so that readers need no
//! memory of the lines to keep a cart's total.

use std::collections::BTreeMap;

use headwater::{Aggregate, Event};
use serde::{Deserialize, Serialize};

use super::{
    NAME_BYTES,
    catalogue::Offer,
    ids::{CartId, OrderId, Sku},
    is_name,
    line::OrderLine,
    money::{Currency, Money},
    order::Placed,
};

/// What happens to a cart.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "cart")]
pub enum CartEvent {
    /// Somebody takes a cart.
    #[event(name = "cart.opened")]
    Opened {
        /// Who, where it is known.
        customer: Option<String>,
        /// The one currency of everything in it.
        currency: Currency,
    },
    /// So many of a product are put in.
    #[event(name = "cart.item_added", version = 2, upcast(1 = ItemAddedV1))]
    ItemAdded(ItemAdded),
    /// There shall be so many of a product.
    #[event(name = "cart.quantity_set")]
    QuantitySet {
        /// The product.
        sku: Sku,
        /// How many there were.
        from: u32,
        /// How many there are now.
        to: u32,
        /// What the line cost.
        old_total: Money,
        /// What the line costs now.
        new_total: Money,
    },
    /// A product is taken out.
    #[event(name = "cart.item_removed")]
    ItemRemoved {
        /// The product.
        sku: Sku,
        /// How many there were.
        quantity: u32,
        /// What they cost.
        total: Money,
    },
    /// The cart becomes an order, and is closed.
    #[event(name = "cart.checked_out")]
    CheckedOut {
        /// The order.
        order_id: OrderId,
        /// What was in the cart.
        lines: Vec<OrderLine>,
        /// The sum of the lines.
        total: Money,
    },
    /// Nobody has touched the cart for a while.
    #[event(name = "cart.abandoned")]
    Abandoned {
        /// For how long, in seconds.
        idle_seconds: u64,
        /// What was in it.
        value: Money,
    },
    /// Somebody came back to it after all.
    #[event(name = "cart.revived")]
    Revived,
}

/// So many of a product are put into a cart, at the price of that moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemAdded {
    /// The product.
    pub sku: Sku,
    /// What it was called.
    pub title: String,
    /// How many.
    pub quantity: u32,
    /// What one cost.
    pub unit_price: Money,
}

/// `cart.item_added` as it was written before carts showed titles. Stored events keep this form for
/// ever; they are brought to the newer one as they are read.
#[derive(Clone, Debug, Deserialize)]
pub struct ItemAddedV1 {
    sku: Sku,
    quantity: u32,
    unit_price: Money,
}

impl From<ItemAddedV1> for ItemAdded {
    fn from(old: ItemAddedV1) -> Self {
        let ItemAddedV1 { sku, quantity, unit_price } = old;
        Self { title: sku.to_string(), sku, quantity, unit_price }
    }
}

/// A cart.
#[derive(Clone, Debug, Default)]
pub struct Cart {
    status: CartStatus,
    customer: Option<String>,
    currency: Option<Currency>,
    lines: BTreeMap<Sku, OrderLine>,
}

/// Where a cart stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CartStatus {
    /// There is no such cart.
    #[default]
    Unknown,
    /// It takes goods.
    Open,
    /// It was left alone, and takes goods again when somebody comes back.
    Abandoned,
    /// It became this order.
    CheckedOut(OrderId),
}

impl CartStatus {
    /// The word for it outside the code; a cart that does not exist has none.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Open => "open",
            Self::Abandoned => "abandoned",
            Self::CheckedOut(_) => "checked_out",
        }
    }
}

/// Why a cart refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CartError {
    /// There is no such cart.
    #[error("there is no such cart")]
    Unknown,
    /// The customer's name cannot be used.
    #[error("a customer has between 1 and {NAME_BYTES} bytes, and no control characters")]
    Customer,
    /// The id belongs to a cart already.
    #[error("there is a cart of this id already")]
    AlreadyOpened,
    /// It became an order.
    #[error("the cart is closed: it became order {0}")]
    Closed(OrderId),
    /// It holds nothing to order.
    #[error("the cart is empty")]
    Empty,
    /// The product is not in it.
    #[error("the product is not in the cart")]
    NoSuchLine,
    /// Too few or too many of a product.
    #[error("a cart takes between 1 and {} of a product", Cart::QUANTITY)]
    Quantity,
    /// Too many different products.
    #[error("a cart takes at most {} different products", Cart::LINES)]
    TooManyLines,
    /// The product is priced in another currency.
    #[error("the cart is in {cart}, and the product is priced in {product}")]
    Currency {
        /// The cart's currency.
        cart: Currency,
        /// The product's currency.
        product: Currency,
    },
}

impl Aggregate for Cart {
    const CATEGORY: &'static str = "cart";
    type Id = CartId;
    type Event = CartEvent;

    fn apply(&mut self, event: &CartEvent) {
        match event {
            CartEvent::Opened { customer, currency } => {
                self.status = CartStatus::Open;
                self.customer.clone_from(customer);
                self.currency = Some(*currency);
            }
            CartEvent::ItemAdded(item) => self.put_in(item),
            CartEvent::QuantitySet { sku, to, new_total, .. } => {
                if let Some(line) = self.lines.get_mut(sku) {
                    (line.quantity, line.total) = (*to, *new_total);
                }
            }
            CartEvent::ItemRemoved { sku, .. } => {
                self.lines.remove(sku);
            }
            CartEvent::CheckedOut { order_id, .. } => {
                self.status = CartStatus::CheckedOut(*order_id);
            }
            CartEvent::Abandoned { .. } => self.status = CartStatus::Abandoned,
            CartEvent::Revived => self.status = CartStatus::Open,
        }
    }
}

impl Cart {
    /// How many of one product it takes.
    pub const QUANTITY: u32 = 9999;

    /// How many different products it takes.
    pub const LINES: usize = 200;

    /// Where it stands.
    pub fn status(&self) -> CartStatus {
        self.status
    }

    /// Who took it, where it is known.
    pub fn customer(&self) -> Option<&str> {
        self.customer.as_deref()
    }

    /// What is in it, by sku.
    pub fn lines(&self) -> impl Iterator<Item = &OrderLine> {
        self.lines.values()
    }

    /// What it costs; `None` where there is no such cart.
    pub fn total(&self) -> Option<Money> {
        let zero = Money::zero(self.currency?);
        Some(self.lines().fold(zero, |sum, line| sum.plus(line.total)))
    }

    /// Takes a cart.
    ///
    /// # Errors
    ///
    /// [`CartError::AlreadyOpened`], [`CartError::Customer`].
    pub fn open(
        &self,
        customer: Option<String>,
        currency: Currency,
    ) -> Result<Vec<CartEvent>, CartError> {
        if self.status != CartStatus::Unknown {
            return Err(CartError::AlreadyOpened);
        }
        if customer.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(CartError::Customer);
        }
        Ok(vec![CartEvent::Opened { customer, currency }])
    }

    /// Puts in so many of a product, at the price of this moment.
    ///
    /// # Errors
    ///
    /// [`CartError::Unknown`], [`CartError::Closed`], [`CartError::Quantity`],
    /// [`CartError::TooManyLines`], [`CartError::Currency`].
    pub fn add_item(&self, offer: &Offer, quantity: u32) -> Result<Vec<CartEvent>, CartError> {
        let (cart, product) = (self.in_use()?, offer.price.currency);
        if cart != product {
            return Err(CartError::Currency { cart, product });
        }
        let there = self.lines.get(&offer.sku);
        if there.is_none() && self.lines.len() >= Self::LINES {
            return Err(CartError::TooManyLines);
        }
        let sum = there.map_or(0, |line| line.quantity).checked_add(quantity);
        if quantity == 0 || sum.is_none_or(|sum| sum > Self::QUANTITY) {
            return Err(CartError::Quantity);
        }
        let Offer { sku, title, price, .. } = offer.clone();
        let item = ItemAdded { sku, title, quantity, unit_price: price };
        Ok(self.awake(CartEvent::ItemAdded(item)))
    }

    /// Makes it so many of a product, each at the price at which it was last put in. The number
    /// that is there changes nothing; zero takes the product out.
    ///
    /// # Errors
    ///
    /// [`CartError::Unknown`], [`CartError::Closed`], [`CartError::NoSuchLine`],
    /// [`CartError::Quantity`].
    pub fn set_quantity(&self, sku: &Sku, to: u32) -> Result<Vec<CartEvent>, CartError> {
        if to == 0 {
            return self.remove_item(sku);
        }
        self.in_use()?;
        let line = self.lines.get(sku).ok_or(CartError::NoSuchLine)?;
        if to > Self::QUANTITY {
            return Err(CartError::Quantity);
        }
        if to == line.quantity {
            return Ok(Vec::new());
        }
        Ok(self.awake(CartEvent::QuantitySet {
            sku: sku.clone(),
            from: line.quantity,
            to,
            old_total: line.total,
            new_total: line.unit_price.times(to),
        }))
    }

    /// Takes a product out.
    ///
    /// # Errors
    ///
    /// [`CartError::Unknown`], [`CartError::Closed`], [`CartError::NoSuchLine`].
    pub fn remove_item(&self, sku: &Sku) -> Result<Vec<CartEvent>, CartError> {
        self.in_use()?;
        let line = self.lines.get(sku).ok_or(CartError::NoSuchLine)?;
        let (quantity, total) = (line.quantity, line.total);
        Ok(self.awake(CartEvent::ItemRemoved { sku: sku.clone(), quantity, total }))
    }

    /// Makes it an order.
    ///
    /// # Errors
    ///
    /// [`CartError::Unknown`], [`CartError::Closed`], [`CartError::Empty`].
    pub fn check_out(&self, order_id: OrderId) -> Result<Vec<CartEvent>, CartError> {
        let (lines, total) = self.contents()?;
        Ok(self.awake(CartEvent::CheckedOut { order_id, lines, total }))
    }

    /// The order that it becomes if it is checked out now.
    ///
    /// # Errors
    ///
    /// As for [`Cart::check_out`].
    pub fn to_order(&self, cart_id: CartId) -> Result<Placed, CartError> {
        let (lines, total) = self.contents()?;
        Ok(Placed { cart_id, customer: self.customer.clone(), lines, total })
    }

    /// Notes that nobody has touched it for so long; only an open cart can be abandoned.
    ///
    /// # Errors
    ///
    /// [`CartError::Unknown`].
    pub fn abandon(&self, idle_seconds: u64) -> Result<Vec<CartEvent>, CartError> {
        let value = self.total().ok_or(CartError::Unknown)?;
        match self.status {
            CartStatus::Open => Ok(vec![CartEvent::Abandoned { idle_seconds, value }]),
            _ => Ok(Vec::new()),
        }
    }

    fn in_use(&self) -> Result<Currency, CartError> {
        match self.status {
            CartStatus::CheckedOut(order) => Err(CartError::Closed(order)),
            _ => self.currency.ok_or(CartError::Unknown),
        }
    }

    fn contents(&self) -> Result<(Vec<OrderLine>, Money), CartError> {
        let currency = self.in_use()?;
        if self.lines.is_empty() {
            return Err(CartError::Empty);
        }
        let total = self.total().unwrap_or(Money::zero(currency));
        Ok((self.lines().cloned().collect(), total))
    }

    /// The event, behind a revival where the cart had been abandoned.
    fn awake(&self, event: CartEvent) -> Vec<CartEvent> {
        match self.status {
            CartStatus::Abandoned => vec![CartEvent::Revived, event],
            _ => vec![event],
        }
    }

    fn put_in(&mut self, item: &ItemAdded) {
        let ItemAdded { sku, title, quantity, unit_price } = item.clone();
        let added = OrderLine::new(sku, title, quantity, unit_price);
        match self.lines.get_mut(&item.sku) {
            Some(line) => {
                let total = line.total.plus(added.total);
                let quantity = line.quantity.saturating_add(quantity);
                *line = OrderLine { quantity, total, ..added };
            }
            None => {
                self.lines.insert(added.sku.clone(), added);
            }
        }
    }
}
