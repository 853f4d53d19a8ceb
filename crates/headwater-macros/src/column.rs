//! Columns: how a field of a read model stands in its table.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, Field, GenericArgument, Ident, PathArguments, Result, Type, ext::IdentExt,
    spanned::Spanned,
};

use crate::{
    attributes::{self, Keys},
    names,
};

const KEYS: Keys = Keys { attribute: "column", place: "a field", known: &["text", "json", "name"] };

/// The column that the store adds to every read model.
const POSITION: &str = "position";

/// A field with its column.
pub(crate) struct Column<'a> {
    pub(crate) field: &'a Ident,
    pub(crate) type_: &'a Type,
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) key: bool,
    form: Form,
}

/// What becomes of the value.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// What `ColumnValue` makes of it.
    Value,
    /// `Display` and `FromStr`.
    Text,
    /// serde.
    Json,
}

impl<'a> Column<'a> {
    /// Reads a named field.
    pub(crate) fn read(field: &'a Field, ident: &'a Ident) -> Result<Self> {
        let (mut name, mut span, mut form) = (ident.unraw().to_string(), ident.span(), Form::Value);
        KEYS.read(&field.attrs, |key, meta| {
            let wanted = match key {
                "name" => {
                    let literal = attributes::string(meta)?;
                    (name, span) = (literal.value(), literal.span());
                    return Ok(());
                }
                "text" => Form::Text,
                _ => Form::Json,
            };
            if form != Form::Value {
                let reason = "a column is `text` or `json`: keep one of them";
                return Err(Error::new_spanned(&meta.path, reason));
            }
            form = wanted;
            Ok(())
        })?;
        let mut key = false;
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("key")) {
            if attribute.meta.require_path_only().is_err() {
                return Err(Error::new_spanned(
                    attribute,
                    "`#[key]` takes nothing: its order is the fields'",
                ));
            }
            key = true;
        }
        let column = Self { field: ident, type_: &field.ty, name, span, key, form };
        column.check()?;
        Ok(column)
    }

    fn check(&self) -> Result<()> {
        if let Some(reason) = names::misnamed("column", &self.name) {
            return Err(Error::new(self.span, reason));
        }
        if self.name == POSITION {
            return Err(Error::new(
                self.span,
                "the store adds a column `position` to every read model, the position of the event \
                 that last touched the row: give this field another name, or \
                 `#[column(name = \"...\")]`",
            ));
        }
        if self.key && self.form == Form::Json {
            return Err(Error::new(
                self.field.span(),
                "a key is compared, and JSON documents are not: use `#[column(text)]`",
            ));
        }
        if self.key && optional(self.type_).is_some() {
            return Err(Error::new_spanned(self.type_, "a key is never null: drop the `Option`"));
        }
        Ok(())
    }

    /// The `Column` of the table.
    pub(crate) fn definition(&self) -> TokenStream {
        let Self { type_, name, key, .. } = self;
        let nullable = optional(type_).is_some();
        let column_value = quote_spanned! {type_.span()=>
            <#type_ as ::headwater::__private::core::ColumnValue>
        };
        let (column_type, nullable) = match self.form {
            Form::Value => (quote!(#column_value::TYPE), quote!(#column_value::NULLABLE)),
            Form::Text => {
                (quote!(::headwater::__private::core::ColumnType::Text), quote!(#nullable))
            }
            Form::Json => {
                (quote!(::headwater::__private::core::ColumnType::Json), quote!(#nullable))
            }
        };
        quote! {
            ::headwater::__private::core::Column {
                name: #name,
                column_type: #column_type,
                key: #key,
                nullable: #nullable,
            }
        }
    }

    /// An expression for the `Value` of what `reference` points to.
    pub(crate) fn to_value(&self, reference: &TokenStream) -> TokenStream {
        let Self { type_, name, .. } = self;
        let inner = optional(type_);
        let held = inner.unwrap_or(type_);
        let one = match self.form {
            Form::Value => {
                return quote_spanned! {type_.span()=>
                    <#type_ as ::headwater::__private::core::ColumnValue>::to_value(#reference)
                };
            }
            Form::Text => quote_spanned! {held.span()=>
                |held: &#held| ::headwater::__private::core::Value::Text(
                    ::std::string::ToString::to_string(held),
                )
            },
            Form::Json => {
                let impossible = format!("column {name} cannot be written as JSON");
                quote_spanned! {held.span()=>
                    |held: &#held| ::headwater::__private::core::Value::Json(
                        ::headwater::__private::serde_json::to_string(held).expect(#impossible),
                    )
                }
            }
        };
        match inner {
            None => quote!((#one)(#reference)),
            Some(_) => quote! {
                ::std::option::Option::map_or(
                    ::std::option::Option::as_ref(#reference),
                    ::headwater::__private::core::Value::Null,
                    #one,
                )
            },
        }
    }

    /// An expression that takes the next of `values`, or returns from the function.
    pub(crate) fn take_value(&self) -> TokenStream {
        let Self { type_, name, .. } = self;
        let read = match optional(type_) {
            Some(inner) if self.form != Form::Value => {
                let read = self.read_held(inner);
                quote! {
                    match value {
                        ::headwater::__private::core::Value::Null => {
                            ::std::option::Option::Some(::std::option::Option::None)
                        }
                        value => #read.map(::std::option::Option::Some),
                    }
                }
            }
            _ => self.read_held(type_),
        };
        quote! {
            ::std::iter::Iterator::next(&mut values)
                .and_then(|value| #read)
                .ok_or_else(|| ::headwater::__private::core::ValueError {
                    column: ::std::convert::Into::into(#name),
                    wanted: ::std::any::type_name::<#type_>(),
                })?
        }
    }

    fn read_held(&self, held: &Type) -> TokenStream {
        let parse = match self.form {
            Form::Value => {
                return quote_spanned! {held.span()=>
                    <#held as ::headwater::__private::core::ColumnValue>::from_value(value)
                };
            }
            Form::Text => quote!(<#held as ::std::str::FromStr>::from_str(&text)),
            Form::Json => quote!(::headwater::__private::serde_json::from_str::<#held>(&text)),
        };
        quote_spanned! {held.span()=>
            <::std::string::String as ::headwater::__private::core::ColumnValue>::from_value(value)
                .and_then(|text| #parse.ok())
        }
    }
}

/// The type in an `Option`, by its spelling: an alias of `Option` cannot be seen through.
fn optional(type_: &Type) -> Option<&Type> {
    let Type::Path(path) = type_ else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}
