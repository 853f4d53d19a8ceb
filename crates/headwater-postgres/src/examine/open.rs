//! Transactions that are open: whom they hold up, and how they end; without I/O.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use headwater_core::{Finding, Severity, finding};

/// How long a transaction may hold readers back before that is an error.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A transaction that is open.
pub(crate) struct Open {
    pub(crate) name: String,
    pub(crate) pid: Option<i32>,
    pub(crate) application: String,
    pub(crate) role: String,
    pub(crate) client: String,
    pub(crate) state: String,
    /// The first word of its last statement.
    pub(crate) word: Option<String>,
    pub(crate) prepared: Option<String>,
    pub(crate) since: Option<DateTime<Utc>>,
    /// None where this role may not see it.
    pub(crate) open_for: Option<Duration>,
}

/// A transaction that keeps others from tables of the log.
pub(crate) struct Locks {
    /// The tables that it has locked, and those that it waits to lock, parted by commas.
    pub(crate) held: Option<String>,
    pub(crate) awaited: Option<String>,
    /// Whether it keeps them also from reading what every look reads.
    pub(crate) hides: bool,
    /// The numbers of the connections that it waits for itself.
    pub(crate) behind: Option<String>,
    pub(crate) by: Open,
}

impl Locks {
    /// What it is known by. How long it has had its locks, nobody can see.
    pub(crate) fn lasts(&self) -> (&str, Option<Duration>) {
        (&self.by.name, None)
    }

    /// Who does what, and since when.
    pub(crate) fn in_words(&self) -> String {
        let Self { held, awaited, by, .. } = self;
        let does = [
            held.as_ref().map(|tables| format!("has locked {tables}")),
            awaited.as_ref().map(|tables| format!("waits for {} to lock {tables}", self.others())),
        ];
        let does = does.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        format!("{} {does}, in a transaction that is open {}", by.who(), by.how_long())
    }

    /// Whom it waits for itself.
    fn others(&self) -> &str {
        self.behind.as_deref().unwrap_or("others")
    }

    pub(crate) fn finding(&self) -> Finding {
        let (severity, meaning) = if self.hides {
            let meaning =
                "whoever reads or writes them waits for it, and so would the rest of this look";
            (Severity::Error, meaning)
        } else {
            (Severity::Warning, "whoever writes them waits for it")
        };
        let ending = self.by.ending();
        let cure = match self.awaited {
            Some(_) => format!("end {}, which it waits for; or {ending}", self.others()),
            None => ending,
        };
        Finding::new(severity, "locked", self.in_words()).means(meaning).cure(cure)
    }
}

impl Open {
    /// What it is known by, and how old it is.
    pub(crate) fn lasts(&self) -> (&str, Option<Duration>) {
        (&self.name, self.open_for)
    }

    /// It has appended, and readers wait below it.
    pub(crate) fn holds_ceiling(&self) -> Finding {
        let severity = match self.open_for {
            Some(time) if time >= TOO_LONG => Severity::Error,
            _ => Severity::Warning,
        };
        let what = format!("{} holds readers back {}", self.who(), self.how_long());
        Finding::new(severity, "ceiling-held", what)
            .means(
                "it has written to the log and not ended: followers and projections see \
                nothing behind it until it does; appends go on",
            )
            .cure(self.ending())
    }

    /// It is open, and nobody does anything in it.
    pub(crate) fn idles(&self) -> Finding {
        let what = format!("{} leaves a transaction idle {}", self.who(), self.how_long());
        Finding::warning("idle-in-transaction", what)
            .means(
                "rows that died since are not removed, so that the tables streams and \
                checkpoints grow",
            )
            .cure(self.ending())
    }

    fn who(&self) -> String {
        if let Some(gid) = &self.prepared {
            return format!("the prepared transaction {gid:?} of {}", self.role);
        }
        let pid = self.pid.map_or("unknown".into(), |pid| pid.to_string());
        let mut facts = Vec::new();
        for (what, value) in
            [("application", &self.application), ("role", &self.role), ("client", &self.client)]
        {
            if !value.is_empty() {
                // Names are the client's choice: a terminal obeys control characters.
                facts.push(format!("{what} {}", value.escape_debug()));
            }
        }
        if !self.state.is_empty() {
            facts.push(self.state.clone());
        }
        facts.extend(self.word.as_ref().map(|word| format!("last statement: {word}")));
        format!("connection {pid} ({})", facts.join(", "))
    }

    fn how_long(&self) -> String {
        let since = self.since.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
        match (self.open_for, since) {
            (Some(time), Some(since)) => format!("for {}, since {since}", finding::span(time)),
            _ => "for longer than a moment (only pg_monitor sees how long)".into(),
        }
    }

    fn ending(&self) -> String {
        match (&self.prepared, self.pid) {
            (Some(gid), _) => format!("`commit prepared` or `rollback prepared` {gid:?}"),
            (None, Some(pid)) => format!(
                "end it in its program, or by `select pg_terminate_backend({pid})`, which rolls it back; \
                 idle_in_transaction_session_timeout does that by itself"
            ),
            (None, None) => "see pg_locks".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_told_by_whom_and_since_when_and_not_by_its_statement() {
        let mut open = Open {
            name: "3/7".into(),
            pid: Some(42),
            application: "shop\u{1b}[2J".into(),
            role: "app".into(),
            client: "10.0.0.7".into(),
            state: "idle in transaction".into(),
            word: Some("insert".into()),
            prepared: None,
            since: DateTime::from_timestamp(1_000_000_000, 0),
            open_for: Some(Duration::from_secs(59)),
        };
        let finding = open.holds_ceiling();
        assert_eq!(
            finding.what,
            "connection 42 (application shop\\u{1b}[2J, role app, client 10.0.0.7, idle in transaction, \
             last statement: insert) holds readers back for 59 s, since 2001-09-09T01:46:40Z"
        );
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.cure.contains("pg_terminate_backend(42)"));
        open.open_for = Some(TOO_LONG);
        assert_eq!(open.holds_ceiling().severity, Severity::Error);
        assert_eq!(open.idles().severity, Severity::Warning);
        (open.pid, open.prepared) = (None, Some("tx-1".into()));
        assert!(open.holds_ceiling().what.starts_with("the prepared transaction \"tx-1\" of app"));
        assert!(open.holds_ceiling().cure.contains("rollback prepared"));
        open.open_for = None;
        assert!(open.holds_ceiling().what.contains("only pg_monitor sees how long"));
    }
}
