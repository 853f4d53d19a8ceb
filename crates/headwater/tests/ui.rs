//! The errors that a user of the derives sees: part of the API, word for word.
//!
//! After a change of the words, run with `TRYBUILD=overwrite` and read the diff.

#[test]
fn a_wrong_declaration_is_refused_with_a_sentence_that_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
