//! Spans, from a command to the projection of its events.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, OnceLock},
};

use headwater::{Aggregate, App, Event, Fold, ReadModel, Recorded, Repository, connect};
use headwater_testkit::postgres;
use serde::{Deserialize, Serialize};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};
use uuid::Uuid;

/// What no span and no message may hold.
const CONTENT: &str = "a-secret-of-ann's";

type Fields = BTreeMap<&'static str, String>;

/// A span, or a message within one.
#[derive(Clone, Debug)]
struct Seen {
    name: &'static str,
    target: &'static str,
    id: u64,
    parent: Option<u64>,
    fields: Fields,
}

/// Keeps all spans and messages of this program.
struct Capture(&'static Mutex<Vec<Seen>>);

fn capture() -> &'static Mutex<Vec<Seen>> {
    static SEEN: OnceLock<Mutex<Vec<Seen>>> = OnceLock::new();
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let seen = SEEN.get_or_init(Mutex::default);
    INSTALLED.get_or_init(|| tracing_subscriber::registry().with(Capture(seen)).init());
    seen
}

struct Reads<'a>(&'a mut Fields);

impl Visit for Reads<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reads(&mut fields));
        let parent = context.span(id).and_then(|span| Some(span.parent()?.id().into_u64()));
        let (name, target) = (attributes.metadata().name(), attributes.metadata().target());
        self.0.lock().unwrap().push(Seen { name, target, id: id.into_u64(), parent, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        // Ids are used again: the newest one is meant.
        if let Some(span) = seen.iter_mut().rev().find(|span| span.id == id.into_u64()) {
            values.record(&mut Reads(&mut span.fields));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reads(&mut fields));
        let parent = context.event_span(event).map(|span| span.id().into_u64());
        let (name, target) = ("message", event.metadata().target());
        self.0.lock().unwrap().push(Seen { name, target, id: 0, parent, fields });
    }
}

#[derive(Clone, Serialize, Deserialize, Event)]
#[event(category = "errand")]
enum ErrandEvent {
    #[event(name = "errand.noted")]
    Noted { what: String },
}

#[derive(Clone, Default)]
struct Errand;

impl Aggregate for Errand {
    const CATEGORY: &'static str = "errand";
    type Id = String;
    type Event = ErrandEvent;

    fn apply(&mut self, _: &ErrandEvent) {}
}

#[derive(ReadModel)]
#[read_model(table = "spans_errands")]
struct Errands {
    #[key]
    what: String,
    times: i64,
}

impl Fold for Errands {
    type Event = ErrandEvent;

    fn keys(event: &Recorded<ErrandEvent>) -> Vec<String> {
        let ErrandEvent::Noted { what } = &event.event;
        vec![what.clone()]
    }

    fn fold(row: Option<Self>, key: &String, _: &Recorded<ErrandEvent>) -> Option<Self> {
        Some(Self { what: key.clone(), times: row.map_or(0, |row| row.times) + 1 })
    }
}

async fn are_seen(url: &str) {
    let seen = capture();
    let log = connect(url).await.unwrap();
    let errands = Repository::<Errand>::new(&log).unwrap();
    let (command, conversation) = (Uuid::now_v7(), Uuid::now_v7());
    let noted = ErrandEvent::Noted { what: CONTENT.into() };
    let id = "ann".to_owned();
    let executed = errands.command(&id).command_id(command).correlation_id(conversation);
    let done = executed.execute(|_| Ok::<_, ()>(vec![noted.clone(), noted.clone()])).await.unwrap();
    App::new().projection::<Errands>().catch_up(&log).await.unwrap();
    log.close().await;

    let seen = seen.lock().unwrap().clone();
    let conversation = conversation.to_string();
    let of_conversation = |name: &str| {
        let own = |s: &&Seen| s.fields.get("correlation_id") == Some(&conversation);
        let found: Vec<_> = seen.iter().filter(|s| s.name == name).filter(own).collect();
        assert_eq!(found.len(), 1, "one span {name}: {found:#?}");
        found[0]
    };
    let span = of_conversation("command");
    assert_eq!(span.fields["category"], r#""errand""#);
    assert_eq!(span.fields["command_id"], command.to_string());
    let append = of_conversation("append");
    assert_eq!(append.fields["events"], "2");
    assert_eq!(append.parent, Some(span.id), "the append belongs to its command");
    let batch = of_conversation("batch");
    assert_eq!(batch.fields["projection"], "spans_errands");
    assert_eq!(batch.fields["generation"], "1");
    assert_eq!(batch.fields["position"], done.position.to_string());
    assert_eq!(batch.fields["events"], "2");
    let ours: Vec<_> = seen.iter().filter(|told| told.target.starts_with("headwater")).collect();
    let applied = |told: &&&Seen| told.fields.get("correlation_id") == Some(&conversation);
    let applied = ours.iter().filter(|told| told.name == "message").filter(applied);
    assert!(applied.clone().all(|told| told.parent == Some(batch.id)), "each belongs to its batch");
    assert_eq!(applied.count(), 2, "at the level trace each event is told");
    for told in ours {
        assert!(!format!("{told:?}").contains(CONTENT), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_postgresql_is_seen_from_its_decision_to_the_projection_of_its_events() {
    let database = postgres::database().await;
    are_seen(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_sqlite_is_seen_from_its_decision_to_the_projection_of_its_events() {
    are_seen("sqlite::memory:").await;
}
