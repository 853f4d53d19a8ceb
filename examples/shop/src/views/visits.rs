//! `visits`: how far each visitor has come, from a look to an order.
//!
//! A visit is a conversation: what its pages tell bears its id as the correlation id, and so does what is done to its cart
//! and its order.

use chrono::{DateTime, Utc};
use headwater::{Fold, ReadModel, Recorded};
use uuid::Uuid;

use super::ActivityEvent;
use crate::domain::{cart::CartEvent, order::OrderEvent, session::SessionEvent};

/// A visit. It has come as far as its furthest event says, whatever order they came in.
#[derive(Clone, Debug, PartialEq, ReadModel)]
#[read_model(table = "visits")]
pub struct Visit {
    /// The visit.
    #[key]
    pub visit: Uuid,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// Whether a product was looked at.
    pub viewed: bool,
    /// Whether one was put into a cart.
    pub added: bool,
    /// Whether goods were ordered.
    pub ordered: bool,
}

impl Fold for Visit {
    type Event = ActivityEvent;

    fn keys(event: &Recorded<ActivityEvent>) -> Vec<Uuid> {
        let own = || match &event.event {
            ActivityEvent::Session(_) => event.stream.id().parse().ok(),
            _ => None,
        };
        event.correlation_id.or_else(own).into_iter().collect()
    }

    fn fold(row: Option<Self>, visit: &Uuid, event: &Recorded<ActivityEvent>) -> Option<Self> {
        let begins = Self {
            visit: *visit,
            began_at: event.occurred_at,
            viewed: false,
            added: false,
            ordered: false,
        };
        let mut visit = row.unwrap_or(begins);
        visit.began_at = visit.began_at.min(event.occurred_at);
        match &event.event {
            ActivityEvent::Session(SessionEvent::ProductViewed { .. }) => visit.viewed = true,
            ActivityEvent::Session(SessionEvent::ButtonClicked { button_id, .. }) => {
                // As the pages of other shops tell it, whose clicks may be imported.
                visit.added |= button_id == "add_to_cart";
                visit.ordered |= button_id == "purchase";
            }
            ActivityEvent::Cart(CartEvent::ItemAdded(_)) => visit.added = true,
            ActivityEvent::Order(OrderEvent::Placed(_)) => visit.ordered = true,
            _ => {}
        }
        Some(visit)
    }
}
