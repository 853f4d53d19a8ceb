//! Attributes: the keys that a user writes in `#[event(...)]`, `#[read_model(...)]` and `#[column(...)]`.
//!
//! Every attribute is read here, so that a misspelt key or one given twice is never passed over.

use syn::{
    Attribute, Error, LitStr, Meta, Result, Token, meta::ParseNestedMeta, punctuated::Punctuated,
};

/// Which keys an attribute may hold, at one place of the user's code.
pub(crate) struct Keys {
    /// The name of the attribute.
    pub(crate) attribute: &'static str,
    /// What the attribute stands on.
    pub(crate) place: &'static str,
    /// The keys.
    pub(crate) known: &'static [&'static str],
}

impl Keys {
    /// Hands each key to `read`, which takes its value.
    pub(crate) fn read(
        &self,
        attributes: &[Attribute],
        mut read: impl FnMut(&str, &ParseNestedMeta) -> Result<()>,
    ) -> Result<()> {
        let mut seen = Vec::new();
        for attribute in attributes.iter().filter(|a| a.path().is_ident(self.attribute)) {
            attribute.parse_nested_meta(|meta| {
                let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                if !self.known.contains(&key.as_str()) {
                    return Err(Error::new_spanned(&meta.path, self.unknown(&key)));
                }
                if seen.contains(&key) {
                    return Err(Error::new_spanned(
                        &meta.path,
                        format!("`{key}` is given twice: keep one of them"),
                    ));
                }
                read(&key, &meta)?;
                seen.push(key);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Refuses the attribute where it means nothing.
    pub(crate) fn refuse(attribute: &str, attributes: &[Attribute], reason: &str) -> Result<()> {
        match attributes.iter().find(|a| a.path().is_ident(attribute)) {
            Some(misplaced) => Err(Error::new_spanned(misplaced, reason)),
            None => Ok(()),
        }
    }

    fn unknown(&self, key: &str) -> String {
        let Self { attribute, place, known } = self;
        let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
        format!("unknown key `{key}`: `#[{attribute}(...)]` on {place} takes {}", known.join(", "))
    }
}

/// The string behind `key =`.
pub(crate) fn string(meta: &ParseNestedMeta) -> Result<LitStr> {
    meta.value()?.parse()
}

/// The `#[serde(...)]` attributes among `attributes`.
pub(crate) fn serde(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("serde"))
}

/// The entry `key` of the `#[serde(...)]` attributes.
pub(crate) fn serde_entry(attributes: &[Attribute], key: &str) -> Result<Option<Meta>> {
    for attribute in serde(attributes) {
        let entries = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
        if let Some(entry) = entries.into_iter().find(|entry| entry.path().is_ident(key)) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Keeps what went well and joins the errors, so that a user sees all of them at once.
pub(crate) fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut good, mut errors) = (Vec::new(), None::<Error>);
    for result in results {
        match (result, &mut errors) {
            (Ok(value), _) => good.push(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), none) => *none = Some(error),
        }
    }
    errors.map_or(Ok(good), Err)
}
