//! One visitor: the plan, and its steps.

use std::time::Duration;

use headwater::{CommandError, Done, Event, ExpectedVersion, NewEvent, Result, StreamName};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use super::{
    Added, Pace,
    mix::{Kind, Mix},
};
use crate::{
    CommandOptions, Shop,
    domain::{
        cart::CartStatus,
        catalogue::COFFEE_SHOP,
        ids::{CartId, Sku},
        money::Currency,
        session::{Context, SessionEvent},
    },
};

/// How many customers the visitors are: some come back.
const CUSTOMERS: u64 = 500;

pub(super) struct Visitor {
    /// The cart; the visit has the same id.
    pub(super) cart_id: CartId,
    customer: String,
    plan: Vec<Step>,
}

/// A thing to do. Products are named by their place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Open a page, which tells so.
    Load,
    /// Look at a product.
    Look {
        product: usize,
    },
    /// Press the button that puts a product into the cart.
    Press {
        product: usize,
    },
    Open,
    Add {
        product: usize,
        quantity: u32,
    },
    Set {
        product: usize,
        quantity: u32,
    },
    /// Leave the cart alone, until the shop gives it up.
    Idle {
        seconds: u64,
    },
    CheckOut,
    Cancel,
}

impl Visitor {
    pub(super) fn new(seed: u64, mix: Mix, number: u64) -> Self {
        let crowd = format!("shop visitors {seed} {mix}");
        let crowd = Uuid::new_v5(&Uuid::NAMESPACE_URL, crowd.as_bytes());
        let id = Uuid::new_v5(&crowd, &number.to_be_bytes());
        let (high, low) = id.as_u64_pair();
        let mut random = StdRng::seed_from_u64(high ^ low);
        let customer = format!("customer-{:03}", random.random_range(0..CUSTOMERS));
        let kind = mix.draw(&mut random);
        Self { cart_id: CartId(id), customer, plan: plan(kind, &mut random) }
    }

    /// Goes through the shop, from where an earlier visit broke off.
    pub(super) async fn visit(&self, shop: &Shop, pace: &Pace, added: &Added) -> Result<()> {
        let cart = shop.carts.load(&self.cart_id).await?;
        if !matches!(cart.state.status(), CartStatus::Unknown | CartStatus::Open) {
            return Ok(());
        }
        let session = StreamName::new("session", self.cart_id)?;
        let before = shop.log.stream_info(&session).await?.map_or(0, |info| info.version);
        let (mut told, mut number, mut pressed) = (0, 0_u64, None);
        for step in &self.plan {
            if let Some(event) = step.tells()? {
                told += 1;
                pressed = Some(self.event_id(told));
                if told > before {
                    let _turn = pace.turn().await;
                    added.count(self.tell(shop, &session, told, &event).await?);
                }
                continue;
            }
            // Each step so far made an event; done again, it only yields its first result.
            let mut turn = None;
            if number >= cart.version {
                if let Step::Idle { seconds } = step {
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                turn = Some(pace.turn().await);
            }
            let command_id = Some(Uuid::new_v5(&self.cart_id.0, &number.to_be_bytes()));
            let correlation_id = Some(self.cart_id.0);
            // What is put into the cart follows from the button that was pressed for it.
            let causation_id = pressed.take();
            let options =
                CommandOptions { command_id, correlation_id, causation_id, ..Default::default() };
            added.count(self.step(shop, *step, &options).await?);
            drop(turn);
            number += 1;
        }
        Ok(())
    }

    /// The id of what is told as the nth.
    fn event_id(&self, number: u64) -> Uuid {
        Uuid::new_v5(&self.cart_id.0, format!("tells {number}").as_bytes())
    }

    /// Tells what is done on a page, as the page would. It and what follows yield the types of the events that are new.
    async fn tell(
        &self,
        shop: &Shop,
        session: &StreamName,
        number: u64,
        event: &SessionEvent,
    ) -> Result<Vec<String>> {
        let new = NewEvent::of(event)?.id(self.event_id(number)).correlation_id(self.cart_id.0);
        let appended = shop.log.append(session, ExpectedVersion::Any, [new]).await?;
        Ok(if appended.repeated { Vec::new() } else { vec![event.event_type().0.into()] })
    }

    async fn step(&self, shop: &Shop, step: Step, options: &CommandOptions) -> Result<Vec<String>> {
        let id = &self.cart_id;
        let cart = options.command(&shop.carts, id);
        match step {
            Step::Load | Step::Look { .. } | Step::Press { .. } => Ok(Vec::new()),
            Step::Open => {
                let customer = Some(self.customer.clone());
                let open = cart.execute(|cart| cart.open(customer.clone(), Currency::Usd));
                new_events(open.await)
            }
            Step::Add { product, quantity } => {
                new_events(shop.add_item(id, &sku(product)?, quantity, options).await)
            }
            Step::Set { product, quantity } => {
                let sku = sku(product)?;
                new_events(cart.execute(|cart| cart.set_quantity(&sku, quantity)).await)
            }
            Step::Idle { seconds } => new_events(cart.execute(|cart| cart.abandon(seconds)).await),
            Step::CheckOut => {
                let done = unless_refused(shop.check_out(*id, None, options).await)?;
                Ok(done.filter(|done| !done.repeated).map(|done| done.events).unwrap_or_default())
            }
            Step::Cancel => {
                let (by, order) = (&self.customer, id.order());
                let order = options.command(&shop.orders, &order);
                new_events(order.execute(|order| order.cancel(by.clone(), None)).await)
            }
        }
    }
}

impl Step {
    /// What the page tells of it; `None` of what concerns the cart or the order.
    fn tells(self) -> Result<Option<SessionEvent>> {
        let context = Context::default();
        Ok(match self {
            Self::Load => {
                let (url, user_agent) = ("/".into(), Some("a made-up visitor".into()));
                Some(SessionEvent::PageLoaded { url, user_agent, context })
            }
            Self::Look { product } => {
                Some(SessionEvent::ProductViewed { sku: Some(sku(product)?), context })
            }
            Self::Press { product } => {
                let button_id = sku(product)?.to_string();
                Some(SessionEvent::ButtonClicked { button_id, context })
            }
            _ => None,
        })
    }
}

/// Some of those who buy leave for a while first, and come back.
fn plan(kind: Kind, random: &mut StdRng) -> Vec<Step> {
    // The lower of two draws: what stands first in the catalogue sells best.
    let draw = |random: &mut StdRng| {
        let mut product = || random.random_range(0..COFFEE_SHOP.len());
        product().min(product())
    };
    let mut plan = vec![Step::Load];
    for _ in 0..random.random_range(1..=3) {
        plan.push(Step::Look { product: draw(random) });
    }
    if kind == Kind::Browser {
        return plan;
    }
    plan.push(Step::Open);
    let (mut product, mut quantity) = (0, 0);
    for _ in 0..random.random_range(1..=4) {
        (product, quantity) = (draw(random), random.random_range(1..=3));
        plan.extend([Step::Press { product }, Step::Add { product, quantity }]);
    }
    if random.random_ratio(1, 4) {
        plan.push(Step::Set { product, quantity: quantity + random.random_range(1..=2) });
    }
    let leaves = kind == Kind::Abandoner;
    if leaves || random.random_ratio(1, 8) {
        plan.push(Step::Idle { seconds: random.random_range(8..=25) });
    }
    if leaves {
        return plan;
    }
    if let Some(Step::Idle { .. }) = plan.last() {
        plan.push(Step::Add { product: draw(random), quantity: 1 });
    }
    plan.push(Step::CheckOut);
    if kind == Kind::Canceller {
        plan.push(Step::Cancel);
    }
    plan
}

fn sku(product: usize) -> Result<Sku> {
    let (sku, ..) = COFFEE_SHOP[product % COFFEE_SHOP.len()];
    sku.parse().map_err(|_| headwater::Error::InvalidInput(format!("{sku} is no sku")))
}

/// Visitors take a refusal as it is, and go on.
fn unless_refused<T, R>(outcome: Result<T, CommandError<R>>) -> Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(CommandError::Refused(_)) => Ok(None),
        Err(CommandError::Log(error)) => Err(error),
    }
}

/// The types of the events of a command that had not been carried out before.
pub(super) fn new_events<E: Event, R>(
    outcome: Result<Done<E>, CommandError<R>>,
) -> Result<Vec<String>> {
    let done = unless_refused(outcome)?.filter(|done| !done.repeated);
    let events = done.map(|done| done.events).unwrap_or_default();
    Ok(events.iter().map(|event| event.event_type().0.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_the_same_at_each_visit() {
        let visitor = |seed, mix, number| Visitor::new(seed, mix, number);
        let usual = Mix::default();
        let (one, again) = (visitor(42, usual, 7), visitor(42, usual, 7));
        assert_eq!((one.cart_id, &one.plan), (again.cart_id, &again.plan));
        assert_ne!(one.cart_id, visitor(42, usual, 8).cart_id);
        assert_ne!(one.cart_id, visitor(43, usual, 7).cart_id);
        let buyers = "buyer=1".parse().unwrap();
        assert_ne!(one.cart_id, visitor(42, buyers, 7).cart_id, "another mix, other visitors");
    }

    #[test]
    fn some_buy_and_some_give_up() {
        let mix = Mix::default();
        let plans: Vec<_> = (0..1_000).map(|number| Visitor::new(1, mix, number).plan).collect();
        let buyers = plans.iter().filter(|plan| plan.contains(&Step::CheckOut)).count();
        assert!((450..650).contains(&buyers), "{buyers} of 1,000 buy");
        let lookers = plans.iter().filter(|plan| !plan.contains(&Step::Open)).count();
        assert!((150..250).contains(&lookers), "{lookers} of 1,000 only look");
        assert!(plans.iter().all(|plan| plan[0] == Step::Load && plan.len() > 1));
    }
}
