//! `#[derive(ReadModel)]`: a struct as a row of a table.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DataStruct, DeriveInput, Error, Fields, Ident, LitStr, Result};

use crate::{
    attributes::{self, Keys},
    column::Column,
    names,
};

const KEYS: Keys = Keys { attribute: "read_model", place: "a struct", known: &["table"] };

/// Writes the implementation of `ReadModel`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "`ReadModel` is derived on a struct with named fields: each of them is a column",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a read model has no generic parameters"));
    }
    let table = read_table(input)?;
    let columns = fields.named.iter().filter_map(|field| {
        let ident = field.ident.as_ref()?;
        Some(Column::read(field, ident))
    });
    let columns = attributes::all(columns)?;
    check_unique(&columns)?;
    if !columns.iter().any(|column| column.key) {
        return Err(Error::new(
            input.ident.span(),
            "a read model needs a key: put `#[key]` on the field, or the fields, that tell its rows \
             apart",
        ));
    }
    Ok(implementation(&input.ident, &table, &columns))
}

fn read_table(input: &DeriveInput) -> Result<LitStr> {
    let mut table = None;
    KEYS.read(&input.attrs, |_, meta| {
        table = Some(attributes::string(meta)?);
        Ok(())
    })?;
    let Some(table) = table else {
        let proposal = names::snake_case(&input.ident.to_string());
        return Err(Error::new(
            input.ident.span(),
            format!("a read model needs a table: add `#[read_model(table = \"{proposal}\")]`"),
        ));
    };
    match names::misnamed("table", &table.value()) {
        Some(reason) => Err(Error::new(table.span(), reason)),
        None => Ok(table),
    }
}

fn check_unique(columns: &[Column]) -> Result<()> {
    for (place, column) in columns.iter().enumerate() {
        if columns[..place].iter().any(|earlier| earlier.name == column.name) {
            return Err(Error::new(
                column.span,
                format!("there is another column `{}`: give one of them another name", column.name),
            ));
        }
    }
    Ok(())
}

fn implementation(ident: &Ident, table: &LitStr, columns: &[Column]) -> TokenStream {
    let fields: Vec<_> = columns.iter().map(|column| column.field).collect();
    let definitions = columns.iter().map(Column::definition);
    let values = columns.iter().map(|column| {
        let field = column.field;
        column.to_value(&quote!(&self.#field))
    });
    let reads = columns.iter().map(Column::take_value);
    let key = key(columns);
    quote! {
        #[automatically_derived]
        #[allow(deprecated, clippy::expect_used)]
        impl ::headwater::__private::core::ReadModel for #ident {
            #key

            fn table() -> ::headwater::__private::core::Table {
                ::headwater::__private::core::Table {
                    name: #table,
                    columns: ::std::vec![#(#definitions),*],
                }
            }

            fn to_values(&self) -> ::std::vec::Vec<::headwater::__private::core::Value> {
                ::std::vec![#(#values),*]
            }

            fn from_values(
                values: ::std::vec::Vec<::headwater::__private::core::Value>,
            ) -> ::std::result::Result<Self, ::headwater::__private::core::ValueError> {
                let mut values = ::std::iter::IntoIterator::into_iter(values);
                ::std::result::Result::Ok(Self { #(#fields: #reads),* })
            }
        }
    }
}

/// The type of the key, and what turns a row into a key and a key into values.
fn key(columns: &[Column]) -> TokenStream {
    let keys: Vec<_> = columns.iter().filter(|column| column.key).collect();
    let fields = keys.iter().map(|column| column.field);
    let types: Vec<_> = keys.iter().map(|column| column.type_).collect();
    let parts: Vec<_> = (0..keys.len()).map(|place| format_ident!("part_{place}")).collect();
    let values = keys.iter().zip(&parts).map(|(column, part)| column.to_value(&quote!(#part)));
    let clones = fields.map(|field| quote!(::std::clone::Clone::clone(&self.#field)));
    let (type_, pattern, clones) = match keys.len() {
        1 => (quote!(#(#types)*), quote!(#(#parts)*), quote!(#(#clones)*)),
        _ => (quote!((#(#types),*)), quote!((#(#parts),*)), quote!((#(#clones),*))),
    };
    quote! {
        type Key = #type_;

        fn key(&self) -> Self::Key {
            #clones
        }

        fn key_values(key: &Self::Key) -> ::std::vec::Vec<::headwater::__private::core::Value> {
            let #pattern = key;
            ::std::vec![#(#values),*]
        }
    }
}
