//! From the driver's errors to Headwater's, by SQLite's extended result code, never by text.
//!
//! The codes: <https://www.sqlite.org/rescode.html>. The low byte is the primary code.

use std::path::Path;

use headwater_core::Error;

const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;

/// The error of a statement before its transaction was committed: nothing was written.
pub(crate) fn of_statement(error: sqlx::Error) -> Error {
    let Some(code) = code(&error) else { return of_driver(error) };
    let Some(refused) = error.as_database_error() else { return of_driver(error) };
    let message = match code & 0xff {
        BUSY | LOCKED => return unavailable("another process is writing to the database file"),
        NOMEM => return unavailable("SQLite ran out of memory"),
        INTERRUPT => return unavailable("the statement was interrupted"),
        FULL => return unavailable("the disk that holds the database file is full"),
        CANTOPEN => return unavailable("the database file or its log beside it cannot be opened"),
        READONLY => "the database file is read-only for this program",
        PERM | AUTH => "the program has no right to do that",
        IOERR => "reading or writing the database file failed; look at the disk",
        CORRUPT => "the database file is damaged; restore a backup",
        NOTADB => "the file is not an SQLite database",
        _ => refused.message(),
    };
    Error::Database { code: code.to_string(), message: message.into() }
}

/// The error of a `commit` that did not succeed.
///
/// What SQLite refuses before it writes was not applied. A failed write or sync leaves open whether
/// the commit is in the file, and so does a worker thread that is gone.
pub(crate) fn of_commit(error: sqlx::Error) -> Error {
    match code(&error).map(|code| code & 0xff) {
        Some(BUSY | LOCKED | NOMEM | INTERRUPT | READONLY | FULL | CONSTRAINT) => {
            of_statement(error)
        }
        _ => Error::OutcomeUnknown { reason: of_statement(error).to_string() },
    }
}

/// The error of opening the file at `path`.
pub(crate) fn of_open(path: &Path, error: sqlx::Error) -> Error {
    let file = path.display();
    match code(&error).map(|code| (code, code & 0xff)) {
        Some((_, CANTOPEN)) => {
            Error::Unavailable { reason: format!("the database file {file} cannot be opened") }
        }
        Some((code, NOTADB)) => Error::Database {
            code: code.to_string(),
            message: format!("{file} is not an SQLite database"),
        },
        _ => of_statement(error),
    }
}

/// The error of getting at the file itself, before SQLite sees it.
pub(crate) fn of_file(path: &Path, error: &std::io::Error) -> Error {
    let file = path.display();
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("the directory of the database file {file} does not exist")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("the program has no right to make the database file {file}")
        }
        kind => format!("the database file {file} cannot be made: {kind}"),
    };
    Error::Unavailable { reason }
}

/// Whether another connection was in the way, so that a pause helps.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

/// Whether it is what was written that SQLite refused, and neither the file nor the disk: an id that is taken,
/// or what a trigger of the user's does not let in.
pub(crate) fn is_of_an_append(error: &Error) -> bool {
    let Error::Database { code, .. } = error else { return false };
    let primary = code.parse().map(|code: i32| code & 0xff);
    matches!(primary, Ok(ERROR | TOOBIG | CONSTRAINT | MISMATCH))
}

/// The store is closed.
pub(crate) fn closed() -> Error {
    unavailable("the store was closed")
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable { reason: reason.into() }
}

/// The extended result code, where it is SQLite that refused.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

// What is left is of the driver: a pool that is closed or exhausted, a thread that ended, or a row
// that does not decode, which is a fault of ours or of somebody who changed the tables.
fn of_driver(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::PoolTimedOut => unavailable("no connection became free in time"),
        sqlx::Error::PoolClosed => closed(),
        sqlx::Error::WorkerCrashed => unavailable("the connection's thread has ended"),
        sqlx::Error::Io(error) => Error::Unavailable { reason: error.to_string() },
        other => Error::Mismatch { reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_statement_is_refused_with_its_code() {
        let mut connection =
            <sqlx::SqliteConnection as sqlx::Connection>::connect("sqlite::memory:").await.unwrap();
        let error = sqlx::query("select 1 from nowhere").execute(&mut connection).await;
        let error = of_statement(error.unwrap_err());
        assert!(matches!(&error, Error::Database { code, .. } if code == "1"), "{error:?}");
    }

    #[test]
    fn a_closed_or_exhausted_pool_is_unavailable() {
        for error in
            [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed]
        {
            assert!(matches!(of_statement(error), Error::Unavailable { .. }));
        }
    }

    #[test]
    fn a_commit_whose_connection_is_gone_has_an_unknown_outcome() {
        let error = of_commit(sqlx::Error::WorkerCrashed);
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
    }
}
