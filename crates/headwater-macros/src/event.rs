//! `#[derive(Event)]`: an enum of events, or an enum of such enums.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Ident, LitStr, Result};

use crate::{
    attributes::{self, Keys},
    names,
    payload::{self, Container},
    union, upcast,
    variant::Variant,
};

const KEYS: Keys = Keys { attribute: "event", place: "an enum", known: &["category"] };

/// Writes the implementation of `Event`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "`Event` is derived on an enum: each of its variants is one type of event",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "an event has no generic parameters"));
    }
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), "an enum of events needs a variant"));
    }
    let mut category = None;
    KEYS.read(&input.attrs, |_, meta| {
        category = Some(attributes::string(meta)?);
        Ok(())
    })?;
    match category {
        Some(category) => events(input, data, &category),
        None => union::derive(&input.ident, data),
    }
}

/// The error, beside an implementation that nobody can call: without one, each place that uses the
/// type would have an error of its own, and bury this one.
pub(crate) fn refused(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    if !input.generics.params.is_empty() {
        return error;
    }
    let ident = &input.ident;
    let core = quote!(::headwater::__private::core);
    let json_error = quote!(::headwater::__private::serde_json::Error);
    quote! {
        #error
        #[automatically_derived]
        impl #core::Event for #ident {
            fn types() -> ::std::vec::Vec<#core::EventType> {
                ::std::unreachable!()
            }

            fn event_type(&self) -> (&'static str, u32) {
                ::std::unreachable!()
            }

            fn encode(&self) -> ::std::result::Result<::std::string::String, #json_error> {
                ::std::unreachable!()
            }

            fn decode(
                _: &str,
                _: &str,
            ) -> ::std::option::Option<::std::result::Result<Self, #json_error>> {
                ::std::unreachable!()
            }
        }
    }
}

fn events(input: &DeriveInput, data: &DataEnum, category: &LitStr) -> Result<TokenStream> {
    names::check_category(category)?;
    let read = data.variants.iter().map(|variant| Variant::read(variant, category));
    let variants = attributes::all(read)?;
    check_unique(&variants)?;
    let container = Container::read(&input.attrs)?;
    let encoded = payload::encoded(&input.ident, &container, &variants);
    let decoded = variants.iter().map(|variant| payload::decoded(&container, variant));
    let support = upcast::support(&variants);
    let implementation = implementation(&input.ident, category, &variants);
    Ok(quote! {
        #[allow(dead_code, deprecated)]
        const _: () = {
            #encoded
            #(#decoded)*
            #support
            #implementation
        };
    })
}

fn check_unique(variants: &[Variant]) -> Result<()> {
    let mut names = variants.iter().enumerate();
    let twice = names.find_map(|(place, variant)| {
        let named_alike = |other: &&Variant| other.name.value() == variant.name.value();
        Some((variant, variants[..place].iter().find(named_alike)?))
    });
    match twice {
        Some((variant, first)) => Err(Error::new(
            variant.name.span(),
            format!(
                "`{}` is the name of `{}` already: each type of event has a name of its own",
                variant.name.value(),
                first.ident
            ),
        )),
        None => Ok(()),
    }
}

fn implementation(ident: &Ident, category: &LitStr, variants: &[Variant]) -> TokenStream {
    let idents: Vec<_> = variants.iter().map(|variant| variant.ident).collect();
    let names: Vec<_> = variants.iter().map(|variant| &variant.name).collect();
    let versions: Vec<_> = variants.iter().map(|variant| variant.version).collect();
    let upcasters = variants.iter().map(upcast::list);
    let decodes = variants.iter().map(payload::decode);
    quote! {
        #[automatically_derived]
        impl ::headwater::__private::core::Event for #ident {
            fn types() -> ::std::vec::Vec<::headwater::__private::core::EventType> {
                ::std::vec![#(
                    ::headwater::__private::core::EventType {
                        name: #names,
                        version: #versions,
                        category: #category,
                        upcasters: #upcasters,
                    }
                ),*]
            }

            fn event_type(&self) -> (&'static str, u32) {
                match self {
                    #(Self::#idents { .. } => (#names, #versions)),*
                }
            }

            fn encode(
                &self,
            ) -> ::std::result::Result<
                ::std::string::String,
                ::headwater::__private::serde_json::Error,
            > {
                ::headwater::__private::serde_json::to_string(&__Encoded(self))
            }

            fn decode(
                name: &str,
                data: &str,
            ) -> ::std::option::Option<
                ::std::result::Result<Self, ::headwater::__private::serde_json::Error>,
            > {
                ::std::option::Option::Some(match name {
                    #(#names => #decodes,)*
                    _ => return ::std::option::Option::None,
                })
            }
        }
    }
}
