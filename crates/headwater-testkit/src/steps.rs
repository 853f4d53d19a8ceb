//! Random steps of a user of a log, and random JSON: few names and few contents, so that they meet.

use chrono::DateTime;
use headwater::{
    Append, Direction,
    ExpectedVersion::{self, Any, Exact, None as NoStream},
    Filter, NewEvent, StreamName,
};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, any, prop_oneof},
    strategy::{BoxedStrategy, Strategy},
};
use uuid::Uuid;

use crate::{fixtures::stream, model::Model};

/// The names that one case uses: two categories and a few streams.
pub(crate) struct Names {
    categories: [String; 2],
    /// Also when a case is run again to shrink it, its event ids are new to the log.
    salt: u64,
}

impl Names {
    pub(crate) fn new(case: u32) -> Self {
        Self { categories: [format!("a{case}"), format!("b{case}")], salt: rand::random() }
    }

    pub(crate) fn categories(&self) -> &[String] {
        &self.categories
    }

    pub(crate) fn filter(&self) -> Filter {
        self.categories.iter().fold(Filter::all(), Filter::category)
    }

    fn id(&self, drawn: Uuid) -> Uuid {
        Uuid::from_u128(u128::from(self.salt) << 64 | drawn.as_u128())
    }

    fn stream(&self, n: usize) -> StreamName {
        stream(&format!("{}-{}", self.categories[n % 2], n / 2))
    }
}

/// The appends of a case so far.
#[derive(Default)]
pub(crate) struct Tried {
    /// Every one.
    pub(crate) all: Vec<Vec<Append>>,
    /// Those that wrote something.
    pub(crate) applied: Vec<Vec<Append>>,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A new append, to one stream or several.
    Append(Vec<Part>),
    /// One that was tried before, once more.
    Again(usize),
    /// One that was applied before, with a change.
    Changed(usize, Change),
    /// A stream, from a version on.
    ReadStream { stream: usize, from: u64, backward: bool },
    /// The log, through a filter.
    ReadLog {
        after: Option<usize>,
        stream: Option<usize>,
        event_type: Option<usize>,
        conversation: Option<u8>,
    },
}

/// What an append gives to one stream.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    stream: usize,
    expected: Expected,
    events: Vec<NewEvent>,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    NoStream,
    /// The version that the model tells, and so one that holds.
    Right,
    Exact(u64),
}

/// What differs when an append is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Data,
    Type,
    SchemaVersion,
    Metadata,
    Correlation,
    Time,
    Stream,
    Order,
    WithoutFirst,
    WithoutLast,
    OneMore,
    OneMoreStream,
    Expected,
}

/// What a step reads.
pub(crate) enum Read {
    Stream { stream: StreamName, from: u64, direction: Direction },
    Log { filter: Filter, after: Option<usize> },
}

const TYPES: [&str; 3] = ["thing.opened", "thing.changed", "thing.ended"];
const DATA: [&str; 5] = ["{}", "{ }", "[1.10, 2]", "\"\\u0000\"", "no json"];

fn event() -> impl Strategy<Value = NewEvent> {
    // Bad data is rare, so that most appends come further than the check of their input.
    let data = prop_oneof![40 => 0..4_usize, 1 => Just(4)];
    let metadata = option::of(prop_oneof![Just("{}"), Just("{\"a\": 1.0}")]);
    let conversation = option::of(0..3_u8);
    let time = option::of(-2_000_000..2_000_000_i64);
    let id = prop_oneof![20 => any::<u64>(), 1 => 0..6_u64];
    (0..TYPES.len(), 1..3_u32, data, metadata, conversation, time, id).prop_map(
        |(event_type, version, data, metadata, conversation, time, id)| {
            let mut event = NewEvent::from_json(TYPES[event_type], version, DATA[data]);
            event.id = Uuid::from_u128(id.into());
            event.metadata = metadata.map(str::to_owned);
            event.correlation_id = conversation.map(conversation_id);
            event.occurred_at = time.and_then(DateTime::from_timestamp_micros);
            event
        },
    )
}

fn conversation_id(n: u8) -> Uuid {
    Uuid::from_u128(n.into())
}

fn part() -> impl Strategy<Value = Part> {
    let expected = prop_oneof![
        3 => Just(Expected::Any),
        1 => Just(Expected::NoStream),
        3 => Just(Expected::Right),
        1 => (0..6_u64).prop_map(Expected::Exact),
    ];
    (0..6_usize, expected, vec(event(), 1..4)).prop_map(|(stream, expected, events)| Part {
        stream,
        expected,
        events,
    })
}

fn change() -> impl Strategy<Value = Change> {
    use Change::*;
    prop_oneof![
        Just(Data),
        Just(Type),
        Just(SchemaVersion),
        Just(Metadata),
        Just(Correlation),
        Just(Time),
        Just(Stream),
        Just(Order),
        Just(WithoutFirst),
        Just(WithoutLast),
        Just(OneMore),
        Just(OneMoreStream),
        Just(Expected),
    ]
}

/// Up to thirty steps.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => vec(part(), 1..4).prop_map(Step::Append),
        2 => any::<usize>().prop_map(Step::Again),
        3 => (any::<usize>(), change()).prop_map(|(n, change)| Step::Changed(n, change)),
        1 => (0..6_usize, prop_oneof![0..8_u64, Just(u64::MAX)], any::<bool>())
            .prop_map(|(stream, from, backward)| Step::ReadStream { stream, from, backward }),
        1 => (option::of(0..20_usize), option::of(0..6_usize), option::of(0..3_usize), option::of(0..3_u8))
            .prop_map(|(after, stream, event_type, conversation)| {
                Step::ReadLog { after, stream, event_type, conversation }
            }),
    ];
    vec(step, 1..30)
}

impl Step {
    /// What the step appends, if it is one that does.
    pub(crate) fn appends(
        &self,
        names: &Names,
        model: &Model,
        tried: &Tried,
    ) -> Option<Vec<Append>> {
        let earlier = |tried: &[Vec<Append>], n: usize| {
            tried.get(n.checked_rem(tried.len()).unwrap_or(0)).cloned().unwrap_or_default()
        };
        match self {
            Self::Append(parts) => {
                Some(parts.iter().map(|part| part.append(names, model)).collect())
            }
            Self::Again(n) => Some(earlier(&tried.all, *n)),
            Self::Changed(n, change) => {
                let mut appends = earlier(&tried.applied, *n);
                change.apply(&mut appends, names);
                Some(appends)
            }
            Self::ReadStream { .. } | Self::ReadLog { .. } => None,
        }
    }

    /// What the step reads; a step that appends reads everything.
    pub(crate) fn read(&self, names: &Names) -> Read {
        match self {
            Self::ReadStream { stream, from, backward } => {
                let direction = if *backward { Direction::Backward } else { Direction::Forward };
                Read::Stream { stream: names.stream(*stream), from: *from, direction }
            }
            Self::ReadLog { after, stream, event_type, conversation } => {
                let mut filter = names.filter();
                filter.streams.extend(stream.map(|n| names.stream(n)));
                filter.types.extend(event_type.map(|n| TYPES[n].to_owned()));
                filter.correlation_id = conversation.map(conversation_id);
                Read::Log { filter, after: *after }
            }
            _ => Read::Log { filter: names.filter(), after: None },
        }
    }
}

impl Part {
    fn append(&self, names: &Names, model: &Model) -> Append {
        let stream = names.stream(self.stream);
        let expected = match self.expected {
            Expected::Any => Any,
            Expected::NoStream => NoStream,
            Expected::Right => ExpectedVersion::Exact(model.version(&stream)),
            Expected::Exact(version) => Exact(version),
        };
        let salted = |event: &NewEvent| event.clone().id(names.id(event.id));
        Append::new(stream, expected, self.events.iter().map(salted))
    }
}

impl Change {
    fn apply(self, appends: &mut Vec<Append>, names: &Names) {
        let Some(append) = appends.last_mut() else { return };
        if let Self::OneMoreStream = self {
            let event = NewEvent::from_json(TYPES[0], 1, "7");
            appends.push(Append::new(names.stream(7), Any, [event]));
            return;
        }
        match self {
            Self::Stream => append.stream = names.stream(6),
            Self::Order => append.events.reverse(),
            Self::WithoutFirst => drop(append.events.drain(..append.events.len().min(1))),
            Self::WithoutLast => drop(append.events.pop()),
            Self::OneMore => append.events.push(NewEvent::from_json(TYPES[0], 1, "7")),
            Self::Expected => append.expected = Exact(4),
            _ => {
                if let Some(event) = append.events.last_mut() {
                    self.change(event);
                }
            }
        }
    }

    fn change(self, event: &mut NewEvent) {
        match self {
            Self::Data => event.data.push(' '),
            Self::Type => event.event_type = "thing.other".into(),
            Self::SchemaVersion => event.schema_version += 1,
            Self::Metadata => event.metadata = Some("{\"other\": true}".into()),
            Self::Correlation => event.correlation_id = Some(Uuid::from_u128(99)),
            _ => event.occurred_at = DateTime::from_timestamp_micros(77),
        }
    }
}

/// Any JSON document, with its white space, its escapes and its numbers of any length.
pub(crate) fn json() -> BoxedStrategy<String> {
    let character = prop_oneof![
        4 => any::<char>().prop_filter("an escape", |c| *c >= ' ' && *c != '"' && *c != '\\')
            .prop_map(String::from),
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04X}")),
        1 => proptest::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\t"])
            .prop_map(str::to_owned),
    ];
    let text = vec(character, 0..12).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?";
    let word = proptest::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned);
    let space = "[ \t\r\n]{0,3}";
    let leaf = prop_oneof![text.clone(), number, word];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let spaced = (space, inner, space).prop_map(|(a, json, b)| format!("{a}{json}{b}"));
        let member = (space, text.clone(), space, spaced.clone())
            .prop_map(|(a, key, b, value)| format!("{a}{key}{b}:{value}"));
        prop_oneof![
            vec(spaced, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
    .boxed()
}
