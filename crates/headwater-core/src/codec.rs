//! The one place where a user's events become bytes and bytes become events, through the upcasters.
//!
//! Aggregates, folds and feeds all decode here. An event that was written with an older schema is
//! brought to the newest one by a chain of pure functions, one for each step, before it meets the
//! user's type.

use std::{collections::HashMap, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Filter, NewEvent, Recorded, Result, Stored, StoredEvent, limits};

/// A type whose values are domain events; usually written by `#[derive(Event)]`.
///
/// An enum of event enums is an event as well: its types are those of its members, so a reader may
/// cover several categories.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event",
    note = "declare it with `#[derive(Event)]`"
)]
pub trait Event: Sized + Send + Sync + 'static {
    /// Every type of event that this Rust type can be.
    fn types() -> Vec<EventType>;

    /// The name and the current schema version of this event's type.
    fn event_type(&self) -> (&'static str, u32);

    /// The payload as JSON.
    ///
    /// # Errors
    ///
    /// What `Serialize` of the payload reports.
    fn encode(&self) -> Result<String, serde_json::Error>;

    /// Reads a payload of the type `name` in its current schema; `None` where the type is foreign.
    fn decode(name: &str, data: &str) -> Option<Result<Self, serde_json::Error>>;
}

/// One type of event: its name, its current schema version, and the way up from older schemas.
#[derive(Clone, Debug)]
pub struct EventType {
    /// The name that is stored with each event, such as `cart.item_added`.
    pub name: &'static str,
    /// The current version of the schema, from 1.
    pub version: u32,
    /// The category of the streams in which events of this type lie.
    pub category: &'static str,
    /// One step for each older version.
    pub upcasters: Vec<Upcaster>,
}

/// A step from an older schema of an event to a newer one: a pure function over its JSON.
#[derive(Clone, Copy, Debug)]
pub struct Upcaster {
    /// The schema version that the step reads.
    pub from: u32,
    /// The schema version that the step writes.
    pub to: u32,
    /// The step itself.
    pub upcast: fn(&str) -> Result<String, serde_json::Error>,
}

/// Runs a typed step: reads the older form, converts it, writes the newer form.
///
/// # Errors
///
/// What reading the older form or writing the newer one reports.
pub fn upcast<A: DeserializeOwned, B: Serialize>(
    step: impl FnOnce(A) -> B,
    data: &str,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&step(serde_json::from_str(data)?))
}

pub(crate) fn encode<E: Event>(event: &E) -> Result<NewEvent> {
    let (name, version) = event.event_type();
    let data = event.encode().map_err(|_| Error::Encode { event_type: name.into() })?;
    Ok(NewEvent::from_json(name, version, data))
}

/// Turns stored events into the reader's type `E`.
///
/// Making one checks the whole declaration of `E`, so that a missing upcaster is found at start and
/// not at the first old event.
#[derive(Debug)]
pub struct Decoder<E> {
    types: HashMap<&'static str, EventType>,
    event: PhantomData<fn() -> E>,
}

impl<E> Clone for Decoder<E> {
    fn clone(&self) -> Self {
        Self { types: self.types.clone(), event: PhantomData }
    }
}

impl<E: Event> Decoder<E> {
    /// Checks the declaration of `E`.
    ///
    /// # Errors
    ///
    /// [`Error::EventDeclaration`] where a name is declared twice, or a chain of upcasters has a
    /// gap, a cycle or two steps from one version: mend the declaration.
    pub fn new() -> Result<Self> {
        let mut types = HashMap::new();
        for event_type in E::types() {
            check_declaration(&event_type)?;
            if let Some(twice) = types.insert(event_type.name, event_type) {
                return Err(declaration(twice.name, "it is declared twice".into()));
            }
        }
        Ok(Self { types, event: PhantomData })
    }

    /// The types of event that `E` covers, sorted by name.
    pub fn types(&self) -> Vec<&EventType> {
        let mut types: Vec<_> = self.types.values().collect();
        types.sort_by_key(|event_type| event_type.name);
        types
    }

    /// The filter that lets these types through.
    pub fn filter(&self) -> Filter {
        let mut filter = Filter::all();
        for event_type in self.types() {
            filter.types.push(event_type.name.into());
            if !filter.categories.iter().any(|category| category == event_type.category) {
                filter.categories.push(event_type.category.into());
            }
        }
        filter
    }

    /// Decodes one event, through the upcasters where it was written with an older schema.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] where the type is foreign to `E`, the schema is newer than this program, or
    /// the JSON does not fit: deploy code that knows the event.
    pub fn decode(&self, stored: StoredEvent) -> Result<Recorded<E>> {
        let Stored { event_type, schema_version, data } = &stored.event;
        match self.payload(event_type, *schema_version, data) {
            Ok(event) => Ok(stored.with(event)),
            Err(reason) => Err(Error::Decode {
                position: stored.position,
                event_id: stored.id,
                event_type: event_type.clone(),
                schema_version: *schema_version,
                reason,
            }),
        }
    }

    fn payload(&self, name: &str, version: u32, data: &str) -> Result<E, String> {
        let declared = self.types.get(name).ok_or("this program does not know the type")?;
        if version > declared.version {
            return Err(format!("this program knows the schema up to v{}", declared.version));
        }
        let upcast = climb(declared, version, data)?;
        E::decode(name, upcast.as_deref().unwrap_or(data))
            .ok_or("this program does not know the type")?
            .map_err(|error| misfit(&error))
    }
}

fn climb(declared: &EventType, mut version: u32, data: &str) -> Result<Option<String>, String> {
    let mut upcast: Option<String> = None;
    while version < declared.version {
        let step = declared.upcasters.iter().find(|step| step.from == version);
        let step = step.ok_or_else(|| format!("there is no upcaster from v{version}"))?;
        let newer = (step.upcast)(upcast.as_deref().unwrap_or(data));
        upcast =
            Some(newer.map_err(|error| format!("upcaster from v{version}: {}", misfit(&error)))?);
        version = step.to;
    }
    Ok(upcast)
}

// serde's own message quotes the content, which must not reach logs.
fn misfit(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "the JSON does not fit the type",
        _ => "it is not JSON",
    };
    format!("{what} (line {} column {})", error.line(), error.column())
}

fn declaration(name: &str, reason: String) -> Error {
    Error::EventDeclaration { event_type: name.into(), reason }
}

fn check_declaration(event_type: &EventType) -> Result<()> {
    let EventType { name, version, category, upcasters } = event_type;
    limits::check_name("event type", name)?;
    limits::check_name("category", category)?;
    if category.contains('-') {
        return Err(declaration(name, format!("its category {category} holds a hyphen")));
    }
    if *version == 0 {
        return Err(declaration(name, "schema versions start at 1".into()));
    }
    for step in upcasters {
        if step.to <= step.from {
            let reason = format!("the upcaster from v{} leads back to v{}", step.from, step.to);
            return Err(declaration(name, reason));
        }
        if upcasters.iter().filter(|other| other.from == step.from).count() > 1 {
            return Err(declaration(name, format!("two upcasters start from v{}", step.from)));
        }
    }
    for from in 1..*version {
        let mut reached = from;
        while reached < *version {
            let step = upcasters.iter().find(|step| step.from == reached);
            let step = step.ok_or_else(|| {
                declaration(name, format!("the upcaster from v{reached} is missing"))
            })?;
            reached = step.to;
        }
        if reached > *version {
            let reason = format!("an upcaster leads to v{reached}, beyond v{version}");
            return Err(declaration(name, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(data: &str) -> Result<String, serde_json::Error> {
        Ok(data.into())
    }

    fn declared(version: u32, steps: &[(u32, u32)]) -> Result<()> {
        let step = |&(from, to)| Upcaster { from, to, upcast: same };
        let upcasters = steps.iter().map(step).collect();
        check_declaration(&EventType { name: "a.b", version, category: "a", upcasters })
    }

    #[test]
    fn a_whole_chain_is_taken() {
        declared(1, &[]).unwrap();
        declared(3, &[(1, 2), (2, 3)]).unwrap();
        declared(3, &[(1, 3), (2, 3)]).unwrap();
    }

    #[test]
    fn a_broken_chain_is_found_before_any_event() {
        for (version, steps, words) in [
            (2, &[][..], "from v1 is missing"),
            (3, &[(2, 3)], "from v1 is missing"),
            (3, &[(1, 2)], "from v2 is missing"),
            (3, &[(1, 2), (2, 1)], "leads back"),
            (2, &[(1, 2), (1, 2)], "two upcasters"),
            (2, &[(1, 3)], "beyond v2"),
            (0, &[], "start at 1"),
        ] {
            let error = declared(version, steps).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
