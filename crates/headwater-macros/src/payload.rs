//! Payloads: the hidden types through which serde writes and reads what a variant holds.
//!
//! To write, serde sees a copy of the enum as a remote, untagged definition of it: it borrows the
//! user's fields as they are, so attributes such as `serialize_with` meet the types that they were
//! written for. To read, each variant has a struct of its own, since the type's name is known.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Field, Ident, LitStr, Meta, Result, spanned::Spanned};

use crate::{
    attributes,
    variant::{Payload, Variant},
};

/// What `#[serde(...)]` on the enum says about payloads.
pub(crate) struct Container {
    rename_all_fields: Option<Meta>,
    deny_unknown_fields: Option<Meta>,
}

impl Container {
    /// Reads the attributes of the enum.
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        Ok(Self {
            rename_all_fields: attributes::serde_entry(attributes, "rename_all_fields")?,
            deny_unknown_fields: attributes::serde_entry(attributes, "deny_unknown_fields")?,
        })
    }
}

/// `__Encoded(&event)`, which serialises as the payload alone.
pub(crate) fn encoded(ident: &Ident, container: &Container, variants: &[Variant]) -> TokenStream {
    let remote = LitStr::new(&ident.to_string(), ident.span());
    let rename_all_fields = container.rename_all_fields.iter();
    let variants = variants.iter().map(|Variant { ident, payload, rename_all, .. }| {
        let rename_all = rename_all.iter();
        let holds = match payload {
            // An object without members; a unit would become null.
            Payload::Unit => quote!({}),
            Payload::Newtype(type_) => quote!((#type_)),
            Payload::Fields(fields) => {
                let fields = fields.named.iter().map(field);
                quote!({ #(#fields),* })
            }
        };
        quote!(#(#[serde(#rename_all)])* #ident #holds)
    });
    quote! {
        #[derive(::headwater::__private::serde::Serialize)]
        #[serde(crate = "::headwater::__private::serde", remote = #remote, untagged)]
        #(#[serde(#rename_all_fields)])*
        enum __Payload { #(#variants),* }

        struct __Encoded<'a>(&'a #ident);

        impl ::headwater::__private::serde::Serialize for __Encoded<'_> {
            fn serialize<S: ::headwater::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                __Payload::serialize(self.0, serializer)
            }
        }
    }
}

/// The struct that reads a variant's JSON, where the variant has no type of its own.
pub(crate) fn decoded(container: &Container, variant: &Variant) -> TokenStream {
    let (fields, container) = match &variant.payload {
        Payload::Newtype(_) => return TokenStream::new(),
        Payload::Unit => (Vec::new(), Vec::new()),
        Payload::Fields(fields) => {
            (fields.named.iter().map(field).collect(), struct_attributes(container, variant))
        }
    };
    let ident = decoded_ident(variant.ident);
    quote! {
        #[derive(::headwater::__private::serde::Deserialize)]
        #[serde(crate = "::headwater::__private::serde")]
        #(#[serde(#container)])*
        struct #ident { #(#fields),* }
    }
}

/// An expression that reads `data` into the variant, as a result.
pub(crate) fn decode(variant: &Variant) -> TokenStream {
    let ident = variant.ident;
    let decoded = decoded_ident(ident);
    let from_str = quote!(::headwater::__private::serde_json::from_str);
    match &variant.payload {
        Payload::Newtype(type_) => quote_spanned! {type_.span()=>
            #from_str::<#type_>(data).map(Self::#ident)
        },
        Payload::Unit => quote!(#from_str::<#decoded>(data).map(|_| Self::#ident)),
        Payload::Fields(fields) => {
            let fields = fields.named.iter().map(|field| &field.ident);
            quote! {
                #from_str::<#decoded>(data)
                    .map(|payload| Self::#ident { #(#fields: payload.#fields),* })
            }
        }
    }
}

fn decoded_ident(variant: &Ident) -> Ident {
    format_ident!("__{variant}")
}

fn field(field: &Field) -> TokenStream {
    let Field { ident, ty, attrs, .. } = field;
    let attrs = attributes::serde(attrs);
    quote!(#(#attrs)* #ident: #ty)
}

fn struct_attributes(container: &Container, variant: &Variant) -> Vec<TokenStream> {
    let rename_all = match (&variant.rename_all, &container.rename_all_fields) {
        (Some(own), _) => Some(quote!(#own)),
        (None, Some(Meta::NameValue(shared))) => {
            let style = &shared.value;
            Some(quote!(rename_all = #style))
        }
        (None, Some(Meta::List(shared))) => {
            let styles = &shared.tokens;
            Some(quote!(rename_all(#styles)))
        }
        (None, _) => None,
    };
    let deny_unknown_fields = container.deny_unknown_fields.as_ref().map(|entry| quote!(#entry));
    rename_all.into_iter().chain(deny_unknown_fields).collect()
}
