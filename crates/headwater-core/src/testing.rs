//! Given, when, then: tests of decisions, without a store.
//!
//! ```
//! # use headwater_core::{testing::given, Aggregate, Event, EventType};
//! # #[derive(Clone, Debug, PartialEq)] enum Lamp { On, Off }
//! # impl Event for Lamp {
//! #     fn types() -> Vec<EventType> { vec![] }
//! #     fn event_type(&self) -> (&'static str, u32) { ("lamp", 1) }
//! #     fn encode(&self) -> Result<String, serde_json::Error> { Ok("{}".into()) }
//! #     fn decode(_: &str, _: &str) -> Option<Result<Self, serde_json::Error>> { None }
//! # }
//! # #[derive(Clone, Debug, Default)] struct Switch { on: bool }
//! # impl Aggregate for Switch {
//! #     const CATEGORY: &'static str = "switch";
//! #     type Id = u32;
//! #     type Event = Lamp;
//! #     fn apply(&mut self, event: &Lamp) { self.on = *event == Lamp::On; }
//! # }
//! # impl Switch {
//! #     fn press(&self) -> Result<Vec<Lamp>, String> {
//! #         Ok(vec![if self.on { Lamp::Off } else { Lamp::On }])
//! #     }
//! # }
//! given::<Switch>([Lamp::On]).when(|switch| switch.press()).then([Lamp::Off]);
//! ```

use std::fmt::Debug;

use crate::Aggregate;

/// The state after these events.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in events {
        state.apply(&event);
    }
    Given { state }
}

/// State on which a decision is to be tested.
#[derive(Clone, Debug)]
pub struct Given<A> {
    state: A,
}

impl<A: Aggregate> Given<A> {
    /// Makes the decision.
    pub fn when<R>(
        self,
        decide: impl FnOnce(&A) -> Result<Vec<A::Event>, R>,
    ) -> Decided<A::Event, R> {
        Decided { result: decide(&self.state) }
    }

    /// The state itself.
    pub fn state(&self) -> &A {
        &self.state
    }
}

/// A decision that was made.
#[derive(Debug)]
pub struct Decided<E, R> {
    result: Result<Vec<E>, R>,
}

impl<E: PartialEq + Debug, R: PartialEq + Debug> Decided<E, R> {
    /// It yields exactly these events.
    ///
    /// # Panics
    ///
    /// Where it yields others, or refuses.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = E>) {
        assert_eq!(self.result, Ok(events.into_iter().collect()));
    }

    /// It yields no event, and does not refuse.
    ///
    /// # Panics
    ///
    /// Where it yields one, or refuses.
    #[track_caller]
    pub fn then_nothing(self) {
        assert_eq!(self.result, Ok(Vec::new()));
    }

    /// It refuses, with this reason.
    ///
    /// # Panics
    ///
    /// Where it yields events, or refuses with another reason.
    #[track_caller]
    pub fn then_refused(self, reason: R) {
        assert_eq!(self.result, Err(reason));
    }
}
