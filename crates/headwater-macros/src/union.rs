//! An enum of event enums: what a reader of several categories takes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DataEnum, Error, Fields, Ident, Result, Type, Variant, spanned::Spanned};

use crate::attributes::{self, Keys};

/// Writes the implementation of `Event` for an enum without a category.
pub(crate) fn derive(ident: &Ident, data: &DataEnum) -> Result<TokenStream> {
    let members = attributes::all(data.variants.iter().map(member))?;
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let types = members.iter().map(|member| {
        quote_spanned!(member.span()=> <#member as ::headwater::__private::core::Event>::types())
    });
    Ok(quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl ::headwater::__private::core::Event for #ident {
            fn types() -> ::std::vec::Vec<::headwater::__private::core::EventType> {
                let mut types = ::std::vec::Vec::new();
                #(types.extend(#types);)*
                types
            }

            fn event_type(&self) -> (&'static str, u32) {
                match self {
                    #(Self::#variants(event) => {
                        ::headwater::__private::core::Event::event_type(event)
                    })*
                }
            }

            fn encode(
                &self,
            ) -> ::std::result::Result<
                ::std::string::String,
                ::headwater::__private::serde_json::Error,
            > {
                match self {
                    #(Self::#variants(event) => {
                        ::headwater::__private::core::Event::encode(event)
                    })*
                }
            }

            fn decode(
                name: &str,
                data: &str,
            ) -> ::std::option::Option<
                ::std::result::Result<Self, ::headwater::__private::serde_json::Error>,
            > {
                #(
                    if let ::std::option::Option::Some(event) =
                        <#members as ::headwater::__private::core::Event>::decode(name, data)
                    {
                        return ::std::option::Option::Some(event.map(Self::#variants));
                    }
                )*
                ::std::option::Option::None
            }
        }
    })
}

fn member(variant: &Variant) -> Result<&Type> {
    Keys::refuse(
        "event",
        &variant.attrs,
        "this enum has no category, so its variants hold event enums and have no attributes: for an \
         enum of events put `#[event(category = \"...\")]` on the enum",
    )?;
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new(
            variant.ident.span(),
            format!(
                "this enum has no category, so each variant holds an event enum, as in \
                 `{0}({0}Event)`: for an enum of events put `#[event(category = \"...\")]` on the \
                 enum",
                variant.ident
            ),
        )),
    }
}
