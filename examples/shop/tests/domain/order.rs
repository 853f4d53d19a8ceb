use headwater::{
    Event as _,
    testing::{Given, given},
};
use shop::domain::{
    ids::CartId,
    line::OrderLine,
    order::{Order, OrderError, OrderEvent, OrderStatus, Placed, RejectReason},
};
use uuid::Uuid;

use super::{offer, usd};

fn goods() -> Placed {
    let kit = offer("the-chemex-kit");
    let lines = vec![OrderLine::new(kit.sku, kit.title, 2, kit.price)];
    Placed { cart_id: CartId(Uuid::nil()), customer: None, lines, total: usd(79_392) }
}

fn rejected() -> OrderEvent {
    OrderEvent::Rejected { reason: RejectReason::OutOfStock, order: goods() }
}

fn cancelled() -> OrderEvent {
    OrderEvent::Cancelled { by: "ann".into(), reason: None, order: goods() }
}

/// An order in this status; `None` is one that was never placed.
fn order(status: Option<OrderStatus>) -> Given<Order> {
    let placed = OrderEvent::Placed(goods());
    given(match status {
        None => vec![],
        Some(OrderStatus::Placed) => vec![placed],
        Some(OrderStatus::Confirmed) => vec![placed, OrderEvent::Confirmed],
        Some(OrderStatus::Rejected) => vec![placed, rejected()],
        Some(OrderStatus::Cancelled) => vec![placed, cancelled()],
        Some(OrderStatus::Shipped) => vec![placed, OrderEvent::Confirmed, OrderEvent::Shipped],
    })
}

type Action = fn(&Order) -> Result<Vec<OrderEvent>, OrderError>;

/// Every action in every status: what it yields, or that it is refused.
#[test]
fn the_table_of_states_is_whole() {
    use OrderStatus::{Confirmed, Placed};
    let actions: [(Action, &[OrderStatus], OrderEvent); 4] = [
        (|order| order.confirm(), &[Placed], OrderEvent::Confirmed),
        (|order| order.reject(RejectReason::OutOfStock), &[Placed], rejected()),
        (|order| order.cancel("ann".into(), None), &[Placed, Confirmed], cancelled()),
        (|order| order.ship(), &[Confirmed], OrderEvent::Shipped),
    ];
    for (action, allowed, event) in actions {
        order(None).when(action).then_refused(OrderError::Unknown);
        for status in OrderStatus::ALL {
            let decided = order(Some(status)).when(action);
            if allowed.contains(&status) {
                decided.then([event.clone()]);
            } else {
                decided.then_refused(OrderError::WrongStatus(status));
            }
        }
    }
}

#[test]
fn an_order_is_placed_once() {
    let place = |order: &Order| order.place(goods());
    order(None).when(place).then([OrderEvent::Placed(goods())]);
    for status in OrderStatus::ALL {
        order(Some(status)).when(place).then_refused(OrderError::AlreadyPlaced);
    }
}

#[test]
fn an_order_needs_goods() {
    let empty = Placed { lines: Vec::new(), ..goods() };
    order(None).when(|order: &Order| order.place(empty)).then_refused(OrderError::Empty);
}

#[test]
fn a_status_reads_what_it_prints() {
    for status in OrderStatus::ALL {
        assert_eq!(status.to_string().parse(), Ok(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
    }
}

#[test]
fn a_fallen_order_tells_its_readers_what_falls() {
    let json: serde_json::Value = serde_json::from_str(&rejected().encode().unwrap()).unwrap();
    assert_eq!(json["reason"], "out_of_stock");
    assert_eq!(json["order"]["total"]["amount"], 79_392);
}
