//! The derive macros of Headwater. Semver exempt: depend on `headwater`, which re-exports them.
//!
//! `#[derive(Event)]` turns an enum into a set of types of event, each with a name, a schema
//! version and its upcasters. `#[derive(ReadModel)]` turns a struct into the row of a table. What
//! can be wrong with a declaration is a compile error that says what to write instead.

mod attributes;
mod column;
mod event;
mod names;
mod payload;
mod read_model;
mod union;
mod upcast;
mod variant;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Makes an enum a set of types of event, or a union of such sets.
///
/// # An enum of events
///
/// `#[event(category = "cart")]` on the enum names the category of the streams in which the events
/// lie: not empty, and without a hyphen. Each variant is one type of event, with these keys in its
/// `#[event(...)]`:
///
/// | key | meaning |
/// |---|---|
/// | `name = "cart.item_added"` | The name that is stored with each event. Required, and never changed once events are stored: the Rust name of the variant may change, this one may not. |
/// | `version = 2` | The current version of the payload's schema, from 1, which is the default. |
/// | `upcast(1 = ItemAddedV1)` | The way up from each older version: exactly one step from each of `1` to `version - 1`. |
///
/// A variant holds its payload in one of three ways, and the stored JSON is that payload alone:
///
/// | variant | stored JSON |
/// |---|---|
/// | `ItemAdded { sku: Sku, quantity: u32 }` | `{"sku":"A-1","quantity":2}` |
/// | `ItemAdded(ItemAdded)` | what the type `ItemAdded` is in serde |
/// | `Abandoned` | `{}`; any object is read |
///
/// Field types implement serde's `Serialize` and `Deserialize`; the enum itself needs neither, and
/// may have them for purposes of its own. `#[serde(...)]` attributes on named fields count here
/// too, as do `rename_all` on a variant, and `rename_all_fields` and `deny_unknown_fields` on the
/// enum. Other serde attributes of the enum and its variants, such as `tag` and `rename`, do not
/// touch what is stored.
///
/// # Upcasters
///
/// A step of `upcast(...)` is either of
///
/// - a type that reads its version (`Deserialize`). It becomes, by `From`, what the next step
///   reads: the type of the next step, the argument of the next step's function, or, after the last
///   step, the type that the variant holds. So `ItemAdded(ItemAdded)` with
///   `version = 3, upcast(1 = ItemAddedV1, 2 = ItemAddedV2)` needs `From<ItemAddedV1>` for
///   `ItemAddedV2` and `From<ItemAddedV2>` for `ItemAdded`, and `Serialize` on the latter two.
/// - a function, written `1 = fn path::to::function`, from anything that is `Deserialize` to
///   anything that is `Serialize`, such as `fn(serde_json::Value) -> serde_json::Value`. A variant
///   with named fields, or without any, has no type that could be made `From` another: its last
///   step is a function.
///
/// Upcasters are pure: they see an event's JSON and nothing else.
///
/// # An enum of event enums
///
/// Without a category, each variant holds another event type, as in
/// `enum ShopEvent { Cart(CartEvent), Order(OrderEvent) }`, and there are no further attributes.
/// Its types of event are those of all members; a reader that covers several categories takes it.
/// That no name occurs in two members is checked when a `Decoder` is made.
#[proc_macro_derive(Event, attributes(event, serde))]
pub fn event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(|error| event::refused(&input, &error)).into()
}

/// Makes a struct with named fields the row of a read model.
///
/// `#[read_model(table = "cart_summaries")]` on the struct names the table under which users query
/// the rows. Each field is a column of its own name. Names of tables and columns match
/// `^[a-z_][a-z0-9_]{0,50}$`; the column `position` is the store's own.
///
/// On fields:
///
/// | attribute | meaning |
/// |---|---|
/// | `#[key]` | A part of the primary key; at least one field has it. `ReadModel::Key` is the type of that field, or the tuple of their types in the order of the fields. A key is neither null nor JSON. |
/// | `#[column(text)]` | Stored as text: what `Display` prints, read by `FromStr`. For newtypes and enums. |
/// | `#[column(json)]` | Stored as a JSON document, through serde. |
/// | `#[column(name = "total")]` | The name of the column where it is not the field's. |
///
/// A field without `text` or `json` has a type that implements `ColumnValue`: `bool`, whole and
/// floating point numbers, `String`, UUIDs, times and dates, or your own.
///
/// An `Option` is a column that may be null, and `None` is null in it, also with `text` and `json`.
/// The macro knows an `Option` by its spelling, so for those two write it out instead of an alias.
///
/// # Panics
///
/// Writing a row panics where `#[column(json)]` stands on a value that serde cannot write as JSON,
/// such as a map whose keys are structs.
#[proc_macro_derive(ReadModel, attributes(read_model, key, column))]
pub fn read_model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    read_model::derive(&input).unwrap_or_else(Error::into_compile_error).into()
}
