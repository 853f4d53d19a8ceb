//! Upcasters: the steps of `upcast(1 = ItemAddedV1, 2 = fn rename_title)`, from old schemas to new.
//!
//! A step is a type, which reads its version and becomes what the next step reads by `From`, or a
//! function from the one to the other. Gaps are found here, before any old event is met.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, ExprPath, LitInt, Result, Token, Type,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

use crate::variant::{Payload, Variant};

/// One step: `1 = ItemAddedV1` or `1 = fn rename_title`.
pub(crate) struct Step {
    from: u32,
    span: Span,
    way: Way,
}

enum Way {
    Type(Type),
    Function(ExprPath),
}

impl Parse for Step {
    fn parse(input: ParseStream) -> Result<Self> {
        let from: LitInt = input.parse()?;
        input.parse::<Token![=]>()?;
        let way = if input.parse::<Option<Token![fn]>>()?.is_some() {
            Way::Function(input.parse()?)
        } else {
            Way::Type(input.parse()?)
        };
        Ok(Self { from: from.base10_parse()?, span: from.span(), way })
    }
}

/// Sorts the steps and sees that there is one for each version below `version`, and no other.
pub(crate) fn check_chain(steps: &mut [Step], version: u32, declared_at: Span) -> Result<()> {
    for (place, step) in steps.iter().enumerate() {
        let from = step.from;
        let reason = if from == 0 {
            "schema versions start at 1, so there is no upcaster from version 0".into()
        } else if from >= version {
            format!(
                "an upcaster from version {from} leads nowhere, since the schema is at version \
                 {version}: raise `version` to {}, or remove it",
                u64::from(from) + 1
            )
        } else if steps[..place].iter().any(|earlier| earlier.from == from) {
            format!("there is another upcaster from version {from}: keep one of them")
        } else {
            continue;
        };
        return Err(Error::new(step.span, reason));
    }
    steps.sort_by_key(|step| step.from);
    match (1..version).find(|from| steps.iter().all(|step| step.from != *from)) {
        Some(missing) => Err(Error::new(
            declared_at,
            format!(
                "there is no upcaster from version {missing}: add `upcast({missing} = ...)` with a \
                 type that reads version {missing}, or with a function as `{missing} = fn path`"
            ),
        )),
        None => Ok(()),
    }
}

/// Refuses a last step that is a type where the variant's payload is none.
pub(crate) fn check_target(variant: &Variant) -> Result<()> {
    let (Some(Step { way: Way::Type(older), .. }), false) =
        (variant.steps.last(), matches!(variant.payload, Payload::Newtype(_)))
    else {
        return Ok(());
    };
    let ident = variant.ident;
    let reason = format!(
        "the payload of `{ident}` is not a type of its own, so nothing can be made `From` this one: \
         move its fields into a struct and write `{ident}({ident})`, or give a function as \
         `{} = fn path`",
        variant.version - 1
    );
    Err(Error::new_spanned(older, reason))
}

/// The list of `Upcaster`s of a variant.
pub(crate) fn list(variant: &Variant) -> TokenStream {
    let steps = variant.steps.iter().enumerate().map(|(place, step)| {
        let (from, to) = (step.from, step.from + 1);
        let convert = convert(variant, &step.way, variant.steps.get(place + 1));
        quote! {
            ::headwater::__private::core::Upcaster {
                from: #from,
                to: #to,
                upcast: |data| ::headwater::__private::core::codec::upcast(#convert, data),
            }
        }
    });
    quote!(::std::vec![#(#steps),*])
}

fn convert(variant: &Variant, way: &Way, next: Option<&Step>) -> TokenStream {
    let older = match way {
        Way::Function(path) => return quote!(#path),
        Way::Type(older) => older,
    };
    let newer = match (next.map(|step| &step.way), &variant.payload) {
        // The function's argument has a type that only the compiler can tell.
        (Some(Way::Function(path)), _) => {
            return quote_spanned!(older.span()=> __into_argument::<#older, _, _, _>(#path));
        }
        (Some(Way::Type(newer)), _) => newer,
        (None, Payload::Newtype(newer)) => newer,
        // Refused by `check_target`.
        (None, _) => return TokenStream::new(),
    };
    quote_spanned!(older.span()=> <#newer as ::std::convert::From<#older>>::from)
}

/// What the lists of `variants` call.
pub(crate) fn support(variants: &[Variant]) -> TokenStream {
    let mixed = |steps: &[Step]| {
        steps.windows(2).any(|pair| {
            matches!(pair, [Step { way: Way::Type(_), .. }, Step { way: Way::Function(_), .. }])
        })
    };
    if !variants.iter().any(|variant| mixed(&variant.steps)) {
        return TokenStream::new();
    }
    quote! {
        fn __into_argument<A, B, C, F>(_: F) -> fn(A) -> B
        where
            F: ::std::ops::FnOnce(B) -> C,
            B: ::std::convert::From<A>,
        {
            <B as ::std::convert::From<A>>::from
        }
    }
}
