//! `POST /produceClickMessage` and `POST /producePageLoad`: what the pages of the coffee shop send becomes events of
//! the visit, under the addresses and in the form of the reference system that this shop stands beside.
//!
//! It answers when the event is committed. Clicks that arrive together share a commit: the log sees to that.

use axum::{
    Json,
    extract::State,
    http::HeaderValue,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use headwater::{ExpectedVersion, NewEvent, StreamName};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Kind, POSITION, Problem, request::Beacon};
use crate::{
    Shop,
    domain::{
        ids::Sku,
        is_name,
        session::{Context, SessionEvent},
    },
};

/// How far the clock of a browser may be ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// The longest text of a message, in bytes.
const TEXT_BYTES: usize = 2_000;

/// Takes one message in: a click or a page load, as its topic says.
pub(super) async fn produce(
    State(shop): State<Shop>,
    Beacon(message): Beacon<Map<String, Value>>,
) -> Result<Response, Problem> {
    let (stream, event) = Message(message, "").into_event(Utc::now())?;
    let appended = shop.log.append(&stream, ExpectedVersion::Any, [event]).await;
    let appended = appended.map_err(Problem::of_relay)?;
    let position = HeaderValue::from(appended.position().0);
    Ok(([(POSITION, position)], Json(json!({ "message": "Success!" }))).into_response())
}

/// The members of an object that are not yet taken, and the pointer to it.
struct Message(Map<String, Value>, &'static str);

impl Message {
    fn into_event(mut self, now: DateTime<Utc>) -> Result<(StreamName, NewEvent), Problem> {
        let topic: String = self.needs("topic")?;
        let visit: Uuid = self.needs("uuid")?;
        let at: Option<i64> = self.take("event_timestamp")?;
        let id: Option<Uuid> = self.take("event_id")?;
        let mut properties = Message(self.needs("properties")?, "/properties");
        let event = properties.event(&topic)?;
        let mut context =
            Context { description: properties.text("description")?, ..Context::default() };
        // What the shop does not know is kept beside what it knows; of two members of one name, both.
        context.extra = self.0;
        for (name, value) in properties.0 {
            let taken = context.extra.contains_key(&name);
            context.extra.insert(if taken { format!("properties.{name}") } else { name }, value);
        }
        // Nothing of the request itself: one that comes again with its id is the same event.
        let mut event = NewEvent::of(&event(context))?.correlation_id(visit);
        if let Some(millis) = at {
            event = event.occurred_at(occurred_at(millis, now)?);
        }
        if let Some(id) = id {
            event = event.id(id);
        }
        Ok((StreamName::new("session", visit)?, event))
    }

    /// The event of a topic, once it has its context.
    fn event(&mut self, topic: &str) -> Result<Box<dyn FnOnce(Context) -> SessionEvent>, Problem> {
        // While it is developed, the reference system's pages name topics of their own.
        match topic.strip_suffix("-local").unwrap_or(topic) {
            "edm-ui-click" => {
                let button_id: String = self.needs("button_id")?;
                if !is_name(&button_id) {
                    return Err(
                        self.wrong("button_id", "it has 1 to 200 bytes, and no control characters")
                    );
                }
                Ok(Box::new(|context| SessionEvent::ButtonClicked { button_id, context }))
            }
            "edm-ui-pageload" => {
                let (url, user_agent) = (self.text("url")?, self.text("user_agent")?);
                let url = url.unwrap_or_default();
                Ok(Box::new(|context| SessionEvent::PageLoaded { url, user_agent, context }))
            }
            "shop-product-view" => {
                let sku: Sku = self.needs("sku")?;
                Ok(Box::new(|context| SessionEvent::ProductViewed { sku: Some(sku), context }))
            }
            _ => Err(Problem::new(
                Kind::UnknownTopic,
                "the topics are edm-ui-click, edm-ui-pageload and shop-product-view",
            )),
        }
    }

    fn text(&mut self, member: &str) -> Result<Option<String>, Problem> {
        let text: Option<String> = self.take(member)?;
        if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES) {
            return Err(self.wrong(member, format!("it has more than {TEXT_BYTES} bytes")));
        }
        Ok(text)
    }

    fn needs<T: DeserializeOwned>(&mut self, member: &str) -> Result<T, Problem> {
        self.take(member)?.ok_or_else(|| self.wrong(member, "it is missing"))
    }

    fn take<T: DeserializeOwned>(&mut self, member: &str) -> Result<Option<T>, Problem> {
        let value = self.0.remove(member).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| self.wrong(member, error.to_string()))
    }

    fn wrong(&self, member: &str, what: impl Into<String>) -> Problem {
        Problem::validation(&format!("{}/{member}", self.1), what)
    }
}

/// When it happened by the browser's clock, in milliseconds since 1970; it may be long ago.
fn occurred_at(millis: i64, now: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let time = Some(millis).filter(|millis| *millis >= 0).and_then(DateTime::from_timestamp_millis);
    time.filter(|at| *at <= now + AHEAD).ok_or_else(|| {
        let wrong = "it is no time since 1970, or more than ten minutes ahead";
        Problem::validation("/event_timestamp", wrong)
    })
}
