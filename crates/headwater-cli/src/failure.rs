//! Why a command failed, for people, for programs, and as an exit code.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use headwater::{CommandError, Error, ErrorKind};

use crate::redact;

/// The exit codes, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// It failed, and somebody must look.
    Failed = 1,
    /// The command or its input is wrong.
    BadInput = 2,
    /// The store cannot be reached or is busy: the same command may succeed later.
    TryAgain = 3,
    /// A stream is at another version than expected, or an event id is taken.
    Conflict = 4,
    /// A projection stands still.
    ProjectionFailed = 5,
    /// Ctrl-C or a signal ended it before it was done.
    Interrupted = 130,
}

/// Why a command failed.
///
/// Its message never holds a password, and must never hold an event's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    code: &'static str,
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with a stable name for machines and a sentence for people.
    pub fn new(exit: Exit, code: &'static str, message: impl AsRef<str>) -> Self {
        let kind = match exit {
            Exit::BadInput => "fix-input",
            Exit::TryAgain | Exit::Conflict | Exit::Interrupted => "retry",
            Exit::Success | Exit::Failed | Exit::ProjectionFailed => "call-operator",
        };
        Self { exit, code, kind, message: redact(message.as_ref()), hint: None }
    }

    /// Input that cannot be used.
    pub fn bad_input(message: impl AsRef<str>) -> Self {
        Self::new(Exit::BadInput, "invalid-input", message)
    }

    /// A rebuild or a run that ended at an event, at a projection's code or at its tables.
    ///
    /// What the caller can cure, such as a name that is not known, keeps its own exit code.
    pub fn of_projection(error: Error) -> Self {
        let mut failure = Self::from(error);
        if failure.exit == Exit::Failed {
            failure.exit = Exit::ProjectionFailed;
        }
        failure
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(redact(hint.as_ref()));
        self
    }

    /// The same in other words.
    pub(crate) fn told_as(self, message: impl AsRef<str>) -> Self {
        Self { message: redact(message.as_ref()), ..self }
    }

    /// Adds to what there is to do about it.
    pub(crate) fn and_hint(mut self, more: impl AsRef<str>) -> Self {
        let before = self.hint.take().map(|hint| hint + "; ").unwrap_or_default();
        self.with_hint(before + more.as_ref())
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable name for machines.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Writes it to standard error: one JSON object, or a sentence and what to do about it.
    ///
    /// A reader that went away is not worth a word.
    pub fn report(&self, json: bool) {
        if self.exit == Exit::Success {
            return;
        }
        let text = if json {
            let Self { code, kind, message, hint, .. } = self;
            let error =
                serde_json::json!({"code": code, "kind": kind, "message": message, "hint": hint});
            serde_json::json!({ "error": error }).to_string()
        } else {
            let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
            format!("error: {}{}", self.message, hint.unwrap_or_default())
        };
        // Standard error may be closed as well: then there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, kind) = match error.kind() {
            ErrorKind::Retry => (Exit::TryAgain, "retry"),
            ErrorKind::FixInput => (Exit::BadInput, "fix-input"),
            ErrorKind::GiveUp => (Exit::Failed, "give-up"),
            _ => (Exit::Failed, "call-operator"),
        };
        let exit = match error {
            Error::VersionConflict { .. } | Error::IdempotencyConflict { .. } => Exit::Conflict,
            _ => exit,
        };
        let hint = match error {
            Error::VersionConflict { .. } => Some("read the stream again, and decide anew"),
            Error::Unavailable { .. } => Some(
                "see that the database runs and has room, and try again; where it runs, `doctor` names who holds it up",
            ),
            _ => None,
        };
        let failure = Self::new(exit, error.code(), error.to_string());
        Self { kind, hint: hint.map(str::to_owned), ..failure }
    }
}

/// A command that the domain refused, in its own words.
impl<R: fmt::Display> From<CommandError<R>> for Failure {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Refused(reason) => {
                Self::new(Exit::BadInput, "refused", reason.to_string())
            }
            CommandError::Log(error) => error.into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // `head` has seen enough: the reader ended well, and so does the writer.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Success, "closed-pipe", "the reader of the output went away");
        }
        Self::new(Exit::Failed, "io", error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use headwater::{ExpectedVersion, StreamName};

    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let stream = StreamName::parse("cart-7").unwrap();
        let reason = || "gone".to_owned();
        for (error, exit) in [
            (Error::Unavailable { reason: reason() }, Exit::TryAgain),
            (Error::OutcomeUnknown { reason: reason() }, Exit::TryAgain),
            (Error::InvalidInput(reason()), Exit::BadInput),
            (
                Error::VersionConflict { stream, expected: ExpectedVersion::None, actual: 1 },
                Exit::Conflict,
            ),
            (Error::IdempotencyConflict { event_id: uuid::Uuid::nil() }, Exit::Conflict),
            (Error::SchemaTooNew { found: 9, known: 2 }, Exit::Failed),
        ] {
            assert_eq!(Failure::from(error.clone()).exit(), exit, "{error}");
        }
    }

    #[test]
    fn a_message_never_holds_a_password() {
        let failure = Failure::bad_input("postgres://u:s3cret@h/d").with_hint("a://u:s3cret@h");
        assert!(!format!("{failure:?}").contains("s3cret"));
    }
}
