//! Variants: one type of event each, with its name, its schema version and its payload.

use proc_macro2::Span;
use syn::{
    Error, Fields, FieldsNamed, Ident, LitInt, LitStr, Meta, Result, Token, Type,
    meta::ParseNestedMeta, parenthesized, spanned::Spanned,
};

use crate::{
    attributes::{self, Keys},
    names, upcast,
    upcast::Step,
};

const KEYS: Keys =
    Keys { attribute: "event", place: "a variant", known: &["name", "version", "upcast"] };

/// The highest schema version: the databases store it as a signed number of 32 bits.
const MAX_VERSION: u32 = u32::MAX >> 1;

/// A variant of an enum of events.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) name: LitStr,
    pub(crate) version: u32,
    pub(crate) steps: Vec<Step>,
    pub(crate) payload: Payload<'a>,
    /// `#[serde(rename_all = ...)]` on the variant, which speaks of its fields.
    pub(crate) rename_all: Option<Meta>,
}

/// What a variant holds.
pub(crate) enum Payload<'a> {
    Unit,
    Fields(&'a FieldsNamed),
    Newtype(&'a Type),
}

impl<'a> Variant<'a> {
    /// Reads a variant of an enum whose events lie in `category`.
    pub(crate) fn read(variant: &'a syn::Variant, category: &LitStr) -> Result<Self> {
        let (mut name, mut steps) = (None, Vec::new());
        let (mut version, mut version_at) = (1, variant.ident.span());
        KEYS.read(&variant.attrs, |key, meta| {
            match key {
                "name" => name = Some(attributes::string(meta)?),
                "version" => (version, version_at) = read_version(meta)?,
                _ => steps = read_steps(meta)?,
            }
            Ok(())
        })?;
        let ident = &variant.ident;
        let Some(name) = name else {
            return Err(Error::new(
                ident.span(),
                format!(
                    "`{ident}` has no name in the log: add `#[event(name = \"{}.{}\")]`",
                    category.value(),
                    names::snake_case(&ident.to_string())
                ),
            ));
        };
        names::check_event_type(&name)?;
        upcast::check_chain(&mut steps, version, version_at)?;
        let payload = Payload::read(variant)?;
        let rename_all = attributes::serde_entry(&variant.attrs, "rename_all")?;
        let variant = Self { ident, name, version, steps, payload, rename_all };
        upcast::check_target(&variant)?;
        Ok(variant)
    }
}

impl<'a> Payload<'a> {
    fn read(variant: &'a syn::Variant) -> Result<Self> {
        for field in &variant.fields {
            Keys::refuse("event", &field.attrs, "a field takes no `#[event(...)]`")?;
        }
        match &variant.fields {
            Fields::Unit => Ok(Self::Unit),
            Fields::Named(fields) => Ok(Self::Fields(fields)),
            Fields::Unnamed(fields) => match fields.unnamed.first() {
                Some(field) if fields.unnamed.len() == 1 => {
                    let type_ = &field.ty;
                    Keys::refuse(
                        "serde",
                        &field.attrs,
                        "this field is the whole payload: put `#[serde(...)]` into its type",
                    )?;
                    Ok(Self::Newtype(type_))
                }
                _ => Err(Error::new(
                    variant.fields.span(),
                    format!(
                        "the fields of an event need names in its JSON: write `{0} {{ ... }}`, or \
                         `{0}({0})` with a struct",
                        variant.ident
                    ),
                )),
            },
        }
    }
}

fn read_version(meta: &ParseNestedMeta) -> Result<(u32, Span)> {
    let literal: LitInt = meta.value()?.parse()?;
    match literal.base10_parse()? {
        0 => Err(Error::new(literal.span(), "schema versions start at 1")),
        version if version > MAX_VERSION => {
            Err(Error::new(literal.span(), format!("schema versions end at {MAX_VERSION}")))
        }
        version => Ok((version, literal.span())),
    }
}

fn read_steps(meta: &ParseNestedMeta) -> Result<Vec<Step>> {
    let steps;
    parenthesized!(steps in meta.input);
    let steps = steps.parse_terminated(<Step as syn::parse::Parse>::parse, Token![,])?;
    Ok(steps.into_iter().collect())
}
