//! Goods that came back: `return-<id>`.
//!
//! A return is a fact that an importer brings in; nothing is decided, so there is no aggregate.

use headwater::{Event, StreamName};

use super::{ids::ReturnId, line::OrderLine, money::Money};

/// What happens to a return.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "return")]
pub enum ReturnEvent {
    /// Goods came back.
    #[event(name = "return.recorded")]
    Recorded {
        /// Who brought them back, where it is known.
        customer: Option<String>,
        /// The goods, with positive quantities and totals.
        lines: Vec<OrderLine>,
        /// The sum of the lines.
        value: Money,
    },
}

impl ReturnId {
    /// The stream of this return.
    ///
    /// # Errors
    ///
    /// None that can happen: a UUID always fits a stream's name.
    pub fn stream(self) -> headwater::Result<StreamName> {
        StreamName::new("return", self)
    }
}
