//! `#[derive(Event)]`: what is stored, what is read back, and the way up from older schemas.

use std::fmt::Debug;

use headwater::{Decoder, Error, Event, NewEvent, Position, Recorded, Stored, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sku(String);

#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "cart")]
enum CartEvent {
    /// A cart is taken.
    #[event(name = "cart.opened")]
    Opened {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customer: Option<String>,
    },
    #[event(name = "cart.item_added")]
    ItemAdded {
        sku: Sku,
        /// How many.
        quantity: u32,
        #[serde(rename = "unitPrice", with = "text")]
        unit_price: i64,
        #[serde(default, skip_serializing_if = "is_default")]
        r#type: u8,
    },
    #[event(name = "cart.renamed")]
    Renamed(Renamed),
    #[event(name = "cart.abandoned")]
    Abandoned,
    #[event(name = "cart.emptied")]
    Emptied {},
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Renamed {
    to: String,
}

/// Takes the number itself, so it would not compile over a reference to the field.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A number as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn added(r#type: u8) -> CartEvent {
    CartEvent::ItemAdded { sku: Sku("A-1".into()), quantity: 2, unit_price: 1999, r#type }
}

/// Decodes what was stored under `name` with schema `version`.
fn read<E: Event>(name: &str, version: u32, data: &str) -> Result<E, Error> {
    let stored = Stored { event_type: name.into(), schema_version: version, data: data.into() };
    let written = NewEvent::from_json(name, version, data);
    let recorded = Recorded {
        position: Position::START,
        stream: StreamName::new("cart", 7)?,
        version: 1,
        id: written.id,
        event: stored,
        metadata: None,
        correlation_id: None,
        causation_id: None,
        occurred_at: Default::default(),
        recorded_at: Default::default(),
    };
    Ok(Decoder::<E>::new()?.decode(recorded)?.event)
}

fn round_trip<E: Event + PartialEq + Debug>(event: &E, json: &str) {
    let (name, version) = event.event_type();
    assert_eq!(event.encode().ok().as_deref(), Some(json));
    assert_eq!(read::<E>(name, version, json).as_ref(), Ok(event));
}

#[test]
fn the_stored_json_is_the_payload_alone() {
    round_trip(&added(3), r#"{"sku":"A-1","quantity":2,"unitPrice":"1999","type":3}"#);
    round_trip(&added(0), r#"{"sku":"A-1","quantity":2,"unitPrice":"1999"}"#);
    round_trip(&CartEvent::Opened { customer: Some("ann".into()) }, r#"{"customer":"ann"}"#);
    round_trip(&CartEvent::Opened { customer: None }, "{}");
    round_trip(&CartEvent::Renamed(Renamed { to: "gifts".into() }), r#"{"to":"gifts"}"#);
    round_trip(&CartEvent::Abandoned, "{}");
    round_trip(&CartEvent::Emptied {}, "{}");
}

#[test]
fn a_variant_is_told_by_the_name_and_not_by_the_shape() {
    assert_eq!(
        read::<CartEvent>("cart.abandoned", 1, r#"{"a":[1]}"#).unwrap(),
        CartEvent::Abandoned
    );
    assert_eq!(
        read::<CartEvent>("cart.opened", 1, r#"{"to":"gifts"}"#).unwrap(),
        CartEvent::Opened { customer: None }
    );
    assert!(CartEvent::decode("cart.closed", "{}").is_none());
    assert!(CartEvent::decode("cart.item_added", "{}").unwrap().is_err());
    assert!(CartEvent::decode("cart.abandoned", "null").unwrap().is_err());
}

#[test]
fn types_tell_name_version_and_category() {
    let types = CartEvent::types();
    let names: Vec<_> = types.iter().map(|event_type| event_type.name).collect();
    assert_eq!(
        names,
        ["cart.opened", "cart.item_added", "cart.renamed", "cart.abandoned", "cart.emptied"]
    );
    assert!(
        types.iter().all(|event_type| event_type.version == 1 && event_type.category == "cart")
    );
    assert_eq!(added(0).event_type(), ("cart.item_added", 1));
}

/// Its own serde form has a tag; what is stored has none.
#[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[event(category = "stock")]
enum StockEvent {
    #[event(name = "stock.counted")]
    Counted { on_hand: u32, counted_by: String },
    #[serde(rename = "moved!", rename_all = "SCREAMING_SNAKE_CASE")]
    #[event(name = "stock.moved")]
    Moved { from_shelf: String },
}

#[test]
fn the_enum_may_have_a_serde_form_of_its_own() {
    let counted = StockEvent::Counted { on_hand: 4, counted_by: "bo".into() };
    round_trip(&counted, r#"{"onHand":4,"countedBy":"bo"}"#);
    round_trip(&StockEvent::Moved { from_shelf: "b".into() }, r#"{"FROM_SHELF":"b"}"#);
    assert_eq!(
        serde_json::to_string(&counted).unwrap(),
        r#"{"kind":"counted","onHand":4,"countedBy":"bo"}"#
    );
    let unknown = r#"{"FROM_SHELF":"b","x":1}"#;
    assert!(StockEvent::decode("stock.moved", unknown).unwrap().is_err());
}

#[derive(Debug, PartialEq, Event)]
#[event(category = "order")]
enum OrderEvent {
    #[event(name = "order.placed", version = 2, upcast(1 = PlacedV1))]
    Placed(Placed),
    // Steps may stand in any order.
    #[event(name = "order.paid", version = 3, upcast(2 = PaidV2, 1 = PaidV1))]
    Paid(Paid),
    #[event(name = "order.sent", version = 3, upcast(1 = fn carrier_into_object, 2 = fn upcasters::add_weight))]
    Sent { carrier: String, weight: u32 },
    #[event(name = "order.returned", version = 4, upcast(1 = ReturnedV1, 2 = fn upcasters::split, 3 = ReturnedV3))]
    Returned(Returned),
    #[event(name = "order.lost", version = 2, upcast(1 = fn upcasters::forget))]
    Lost,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Placed {
    lines: Vec<String>,
}

#[derive(Deserialize)]
struct PlacedV1 {
    line: String,
}

impl From<PlacedV1> for Placed {
    fn from(v1: PlacedV1) -> Self {
        Self { lines: vec![v1.line] }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Paid {
    cents: i64,
    currency: String,
}

#[derive(Deserialize)]
struct PaidV1 {
    euros: i64,
}

#[derive(Serialize, Deserialize)]
struct PaidV2 {
    cents: i64,
}

impl From<PaidV1> for PaidV2 {
    fn from(v1: PaidV1) -> Self {
        Self { cents: v1.euros * 100 }
    }
}

impl From<PaidV2> for Paid {
    fn from(v2: PaidV2) -> Self {
        Self { cents: v2.cents, currency: "EUR".into() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Returned {
    reasons: Vec<String>,
    refund: bool,
}

#[derive(Deserialize)]
struct ReturnedV1(String);

#[derive(Serialize, Deserialize)]
struct ReturnedV2 {
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct ReturnedV3 {
    reasons: Vec<String>,
}

impl From<ReturnedV1> for ReturnedV2 {
    fn from(v1: ReturnedV1) -> Self {
        Self { reason: v1.0 }
    }
}

impl From<ReturnedV3> for Returned {
    fn from(v3: ReturnedV3) -> Self {
        Self { reasons: v3.reasons, refund: true }
    }
}

fn carrier_into_object(v1: String) -> Value {
    json!({ "carrier": v1 })
}

mod upcasters {
    use super::*;

    pub fn add_weight(mut v2: Value) -> Value {
        v2["weight"] = json!(0);
        v2
    }

    pub fn split(v2: ReturnedV2) -> ReturnedV3 {
        ReturnedV3 { reasons: v2.reason.split(' ').map(Into::into).collect() }
    }

    pub fn forget(_: Value) -> Value {
        json!({})
    }
}

#[test]
fn an_old_schema_climbs_by_types() {
    let placed = OrderEvent::Placed(Placed { lines: vec!["a".into()] });
    assert_eq!(read::<OrderEvent>("order.placed", 1, r#"{"line":"a"}"#).unwrap(), placed);
    assert_eq!(read::<OrderEvent>("order.placed", 2, r#"{"lines":["a"]}"#).unwrap(), placed);

    let paid = OrderEvent::Paid(Paid { cents: 500, currency: "EUR".into() });
    assert_eq!(read::<OrderEvent>("order.paid", 1, r#"{"euros":5}"#).unwrap(), paid);
    assert_eq!(read::<OrderEvent>("order.paid", 2, r#"{"cents":500}"#).unwrap(), paid);
    let v3 = r#"{"cents":500,"currency":"EUR"}"#;
    assert_eq!(read::<OrderEvent>("order.paid", 3, v3).unwrap(), paid);
}

#[test]
fn an_old_schema_climbs_by_functions() {
    let sent = OrderEvent::Sent { carrier: "DHL".into(), weight: 0 };
    assert_eq!(read::<OrderEvent>("order.sent", 1, r#""DHL""#).unwrap(), sent);
    assert_eq!(read::<OrderEvent>("order.sent", 2, r#"{"carrier":"DHL"}"#).unwrap(), sent);
    assert_eq!(read::<OrderEvent>("order.lost", 1, r#"[1,2]"#).unwrap(), OrderEvent::Lost);
}

#[test]
fn types_and_functions_may_take_turns() {
    let returned =
        OrderEvent::Returned(Returned { reasons: vec!["too".into(), "big".into()], refund: true });
    for (version, data) in [
        (1, r#""too big""#),
        (2, r#"{"reason":"too big"}"#),
        (3, r#"{"reasons":["too","big"]}"#),
        (4, r#"{"reasons":["too","big"],"refund":true}"#),
    ] {
        assert_eq!(read::<OrderEvent>("order.returned", version, data).unwrap(), returned);
    }
}

#[test]
fn each_step_climbs_one_version() {
    let returned = OrderEvent::types().into_iter().find(|t| t.name == "order.returned").unwrap();
    let steps: Vec<_> = returned.upcasters.iter().map(|step| (step.from, step.to)).collect();
    assert_eq!((returned.version, steps), (4, vec![(1, 2), (2, 3), (3, 4)]));
}

#[test]
fn a_misfit_in_an_old_schema_is_an_error_without_its_content() {
    let error = read::<OrderEvent>("order.paid", 1, r#"{"euros":"secret"}"#).unwrap_err();
    assert!(matches!(error, Error::Decode { schema_version: 1, .. }), "{error}");
    assert!(error.to_string().contains("upcaster from v1"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[derive(Debug, PartialEq, Event)]
enum ShopEvent {
    Cart(CartEvent),
    Order(OrderEvent),
}

/// A union may be a member of another one.
#[derive(Debug, PartialEq, Event)]
enum EveryEvent {
    Stock(StockEvent),
    Shop(ShopEvent),
}

#[test]
fn a_union_covers_the_types_of_its_members() {
    round_trip(&ShopEvent::Cart(CartEvent::Abandoned), "{}");
    round_trip(&ShopEvent::Order(OrderEvent::Lost), "{}");
    let paid = EveryEvent::Shop(ShopEvent::Order(OrderEvent::Paid(Paid {
        cents: 500,
        currency: "EUR".into(),
    })));
    assert_eq!(paid.event_type(), ("order.paid", 3));
    assert_eq!(read::<EveryEvent>("order.paid", 1, r#"{"euros":5}"#).unwrap(), paid);
    assert!(EveryEvent::decode("order.unheard_of", "{}").is_none());

    let decoder = Decoder::<EveryEvent>::new().unwrap();
    let names: Vec<_> = decoder.types().iter().map(|event_type| event_type.name).collect();
    assert_eq!(names.len(), 5 + 5 + 2);
    assert_eq!((names[0], names[11]), ("cart.abandoned", "stock.moved"));
}

#[derive(Debug, Event)]
#[event(category = "cart")]
enum OtherCartEvent {
    #[event(name = "cart.opened")]
    Opened,
}

#[derive(Debug, Event)]
enum Clash {
    One(CartEvent),
    Two(OtherCartEvent),
}

#[test]
fn a_name_in_two_members_of_a_union_is_found_at_start() {
    let clash = Clash::Two(OtherCartEvent::Opened);
    assert_eq!(
        clash.event_type().0,
        Clash::One(CartEvent::Opened { customer: None }).event_type().0
    );
    match Decoder::<Clash>::new() {
        Err(Error::EventDeclaration { event_type, .. }) => assert_eq!(event_type, "cart.opened"),
        other => panic!("the clash was not found: {other:?}"),
    }
}

/// Names that the generated code must not trip over.
mod hygiene {
    #![allow(dead_code, unused_imports)]

    type Result<T> = std::result::Result<T, ()>;
    struct String;
    struct Vec;
    enum Option {}
    enum Serialize {}

    #[derive(headwater::Event)]
    #[event(category = "odd")]
    pub enum Odd {
        #[event(name = "odd.ok")]
        Ok,
        #[event(name = "odd.none")]
        None { name: u8, data: u8, payload: u8, serializer: u8 },
        #[event(name = "odd.some")]
        #[deprecated]
        Some(u8),
    }

    pub use Odd::*;
}

#[test]
fn the_users_names_do_not_clash_with_generated_code() {
    let odd = hygiene::Odd::None { name: 1, data: 2, payload: 3, serializer: 4 };
    assert_eq!(odd.encode().unwrap(), r#"{"name":1,"data":2,"payload":3,"serializer":4}"#);
}
