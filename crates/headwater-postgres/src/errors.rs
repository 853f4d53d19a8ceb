//! From the driver's errors to Headwater's, by SQLSTATE and kind, never by text.
//!
//! The database's detail lines can quote rows, so only its primary message goes on.

use headwater_core::Error;
use sqlx::error::DatabaseError;

/// The error of a statement before a commit: what the connection loses, was not applied.
pub(crate) fn of_statement(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(refused) => of_database(&*refused),
        other if is_unreadable(&other) => Error::Mismatch { reason: other.to_string() },
        other => unavailable(other),
    }
}

/// The error of an append that was sent, or of a commit: what the connection loses, may have been
/// applied.
pub(crate) fn of_commit(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(refused) if is_answer_code(&code_of(&*refused)) => {
            of_database(&*refused)
        }
        sqlx::Error::Database(refused) => Error::OutcomeUnknown { reason: in_words(&*refused) },
        other => Error::OutcomeUnknown { reason: other.to_string() },
    }
}

/// Whether a row came that does not fit the program: of somebody who changed the tables, or a fault
/// of ours. Trying again finds it again.
fn is_unreadable(error: &sqlx::Error) -> bool {
    use sqlx::Error::{
        ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Decode, Encode, RowNotFound,
        TypeNotFound,
    };
    matches!(
        error,
        ColumnDecode { .. }
            | ColumnIndexOutOfBounds { .. }
            | ColumnNotFound(_)
            | Decode(_)
            | Encode(_)
            | RowNotFound
            | TypeNotFound { .. }
    )
}

/// The error of getting a connection.
pub(crate) fn unavailable(error: sqlx::Error) -> Error {
    let reason = match &error {
        sqlx::Error::Database(refused) if is_misconfigured(&code_of(&**refused)) => {
            return of_database(&**refused);
        }
        sqlx::Error::Database(refused) => in_words(&**refused),
        other => other.to_string(),
    };
    Error::Unavailable { reason }
}

/// Whether the statement failed on this constraint of uniqueness.
pub(crate) fn is_unique_violation(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().is_some_and(|refused| {
        refused.is_unique_violation() && refused.constraint() == Some(constraint)
    })
}

/// Whether the statement failed with this SQLSTATE.
pub(crate) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().is_some_and(|refused| code_of(refused) == code)
}

/// Whether the server has answered, so that its connection can be used again. One that became a
/// standby refuses writes for ever: the next connection may reach the new primary.
pub(crate) fn is_answer(error: &sqlx::Error) -> bool {
    let answer = |refused| is_answer_code(&code_of(refused)) && code_of(refused) != "25006";
    error.as_database_error().is_some_and(answer)
}

fn of_database(refused: &dyn DatabaseError) -> Error {
    let code = code_of(refused);
    if is_transient(&code) {
        Error::Unavailable { reason: in_words(refused) }
    } else {
        Error::Database { code, message: refused.message().to_owned() }
    }
}

fn in_words(refused: &dyn DatabaseError) -> String {
    format!("{} ({})", refused.message(), code_of(refused))
}

fn code_of(refused: &dyn DatabaseError) -> String {
    refused.code().unwrap_or_default().into_owned()
}

// Classes of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
fn is_transient(code: &str) -> bool {
    // Connections, resources, serialization failures and deadlocks, locks not granted, shutdown.
    ["08", "53", "40"].contains(&code.get(..2).unwrap_or_default())
        || code == "55P03"
        || code == "57014"
        || ends_session(code)
}

// Not where the session ended meanwhile, or a pooler between lost the server (class 08).
fn is_answer_code(code: &str) -> bool {
    !ends_session(code) && !code.starts_with("08") && code != "40003"
}

fn ends_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
}

// Wrong password, unknown role or database, missing right: waiting does not help.
fn is_misconfigured(code: &str) -> bool {
    ["28", "3D", "42"].contains(&code.get(..2).unwrap_or_default())
}
