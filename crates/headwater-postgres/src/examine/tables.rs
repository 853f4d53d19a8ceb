//! The tables of the log: what keeps them as they must be, who may use them, and what has died in them;
//! without I/O.

use headwater_core::{Finding, Severity};

/// What keeps the table of events as it must be.
pub(crate) struct Guard {
    pub(crate) trigger: Option<String>,
    pub(crate) missing_keys: Vec<String>,
    pub(crate) cache: i64,
    pub(crate) highest: i64,
    pub(crate) cycle: bool,
    /// None where nothing was drawn yet, or this role may not see it.
    pub(crate) drawn: Option<i64>,
    pub(crate) head: i64,
}

impl Guard {
    /// The column `position` draws from no sequence.
    pub(crate) fn missing() -> Vec<Finding> {
        let what = "the column position of events draws from no sequence";
        vec![Finding::error("sequence", what).means("nothing can be appended").cure(RESTORE)]
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        let state = match self.trigger.as_deref() {
            Some("A") => None,
            Some("D") => Some("is disabled"),
            Some(_) => Some("does not guard sessions with session_replication_role = replica"),
            None => Some("is missing"),
        };
        if let Some(state) = state {
            all.push(
                Finding::error("guard", format!("the trigger append_only of events {state}"))
                    .means("events can be changed or removed")
                    .cure(
                        "`alter table events enable always trigger append_only`, then \
                        `headwater verify`",
                    ),
            );
        }
        if !self.missing_keys.is_empty() {
            let what = format!("events lacks the key {}", self.missing_keys.join(", "));
            all.push(
                Finding::error("key", what)
                    .means("two events can have one id, one version of a stream or one position")
                    .cure("`headwater verify`, then make the key again"),
            );
        }
        if self.cache != 1 || self.cycle {
            let what = "the sequence of positions has a cache, or begins anew at its end";
            all.push(
                Finding::error("sequence", what)
                    .means("positions do not rise within a stream, and readers miss events")
                    .cure(
                        "`alter table events alter column position set cache 1 set no cycle`, \
                        then `headwater verify`",
                    ),
            );
        }
        if self.drawn.is_some_and(|drawn| drawn < self.head) {
            let what = "the sequence of positions is behind the events";
            all.push(
                Finding::error("sequence", what)
                    .means("appends are refused, or lie before events that readers have passed")
                    .cure(format!(
                        "`select setval(pg_get_serial_sequence('events', 'position'), {})`",
                        self.head
                    )),
            );
        }
        if self.drawn.is_some_and(|drawn| drawn > self.highest / 10 * 9) {
            let what = "the sequence of positions is near its end";
            all.push(
                Finding::error("sequence", what)
                    .means("soon nothing can be appended")
                    .cure(RESTORE),
            );
        }
        all
    }
}

const RESTORE: &str = "import an export of the log into a new one";

/// A table, and what may be done with it.
type Right = (&'static str, &'static str);

/// The rights of the role: of a table, one right, and whether the role has it.
pub(crate) fn of_rights(rights: &[(String, String, bool)]) -> Vec<Finding> {
    let lacks = |table: &str, right: &str| {
        rights.iter().any(|(name, which, held)| name == table && which == right && !held)
    };
    let list = |wanted: &[Right]| -> Vec<String> {
        let missing = wanted.iter().filter(|(table, right)| lacks(table, right));
        missing.map(|(table, right)| format!("{right} on {table}")).collect()
    };
    let groups: [(Severity, &str, &[Right]); 5] = [
        (
            Severity::Error,
            "it cannot read the log",
            &[
                ("events", "select"),
                ("streams", "select"),
                ("checkpoints", "select"),
                ("settled", "select"),
                ("identity", "select"),
                ("leases", "select"),
                ("instances", "select"),
                ("parked", "select"),
                ("inline_projections", "select"),
                ("subscriptions", "select"),
            ],
        ),
        (
            Severity::Warning,
            "it cannot append; right for one that only reads",
            &[
                ("events", "insert"),
                ("streams", "insert"),
                ("streams", "update"),
                ("inline_projections", "update"),
            ],
        ),
        (
            Severity::Warning,
            "it cannot run projections; right for one that only reads or appends",
            &[
                ("checkpoints", "insert"),
                ("checkpoints", "update"),
                ("checkpoints", "delete"),
                ("leases", "insert"),
                ("leases", "update"),
                ("leases", "delete"),
                ("instances", "insert"),
                ("instances", "update"),
                ("instances", "delete"),
                ("parked", "insert"),
                ("parked", "update"),
                ("parked", "delete"),
                ("inline_projections", "insert"),
                ("inline_projections", "delete"),
                ("operations", "insert"),
            ],
        ),
        (
            Severity::Note,
            "it cannot keep the places of subscriptions",
            &[
                ("subscriptions", "insert"),
                ("subscriptions", "update"),
                ("subscriptions", "delete"),
            ],
        ),
        (
            Severity::Note,
            "it keeps no snapshots, or leaves to others to publish the ceiling",
            &[
                ("snapshots", "select"),
                ("snapshots", "insert"),
                ("snapshots", "update"),
                ("settled", "update"),
            ],
        ),
    ];
    let findings = groups.into_iter().filter_map(|(severity, meaning, wanted)| {
        let missing = list(wanted);
        let what = format!("the role lacks {}", missing.join(", "));
        (!missing.is_empty()).then(|| {
            Finding::new(severity, "rights", what)
                .means(meaning)
                .cure("`grant` them, or connect as another role")
        })
    });
    findings.collect()
}

/// A table, and what has died in it.
pub(crate) struct Wear {
    pub(crate) table: String,
    pub(crate) live: i64,
    pub(crate) dead: i64,
    pub(crate) neglected: bool,
}

impl Wear {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let Self { table, live, dead, .. } = self;
        let mut all = Vec::new();
        if self.neglected {
            let what = format!("autovacuum is off for the table {table}");
            all.push(
                Finding::warning("autovacuum", what)
                    .means("it grows, and its statistics grow old")
                    .cure(format!("`alter table {table} reset (autovacuum_enabled)`")),
            );
        }
        if *dead > 100_000 && *dead > 2 * live {
            let what = format!("the table {table} holds {dead} dead rows beside {live} live ones");
            all.push(
                Finding::warning("dead-rows", what)
                    .means(
                        "each look at it takes longer; vacuum does not keep up, or a \
                        transaction that stays open holds it up",
                    )
                    .cure(format!("end transactions that stay open, then `vacuum {table}`")),
            );
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_events_as_they_are_is_missed_where_it_is_gone() {
        let with = |change: fn(&mut Guard)| {
            let mut guard = Guard {
                trigger: Some("A".into()),
                missing_keys: vec![],
                cache: 1,
                highest: i64::MAX,
                cycle: false,
                drawn: Some(7),
                head: 7,
            };
            change(&mut guard);
            guard.findings().into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert!(with(|_| {}).is_empty());
        assert!(with(|guard| guard.drawn = None).is_empty());
        for trigger in [None, Some("D"), Some("O"), Some("R")] {
            let change: fn(&mut Guard) = match trigger {
                None => |guard| guard.trigger = None,
                Some("D") => |guard| guard.trigger = Some("D".into()),
                Some("O") => |guard| guard.trigger = Some("O".into()),
                _ => |guard| guard.trigger = Some("R".into()),
            };
            assert_eq!(with(change), ["guard"], "{trigger:?}");
        }
        assert_eq!(with(|guard| guard.missing_keys = vec!["events_id".into()]), ["key"]);
        assert_eq!(with(|guard| guard.cache = 20), ["sequence"]);
        assert_eq!(with(|guard| guard.drawn = Some(6)), ["sequence"]);
        assert_eq!(with(|guard| guard.drawn = Some(i64::MAX - 1)), ["sequence"]);
    }

    #[test]
    fn rights_are_told_by_what_they_are_for() {
        let right = |table: &str, right: &str| (table.to_owned(), right.to_owned(), false);
        let found = of_rights(&[
            right("events", "select"),
            right("streams", "update"),
            right("snapshots", "insert"),
            ("events".into(), "insert".into(), true),
        ]);
        let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Note]);
        assert_eq!(found[1].what, "the role lacks update on streams");
    }

    #[test]
    fn dead_rows_count_where_they_are_many_and_most() {
        let wear = |live, dead, neglected| Wear { table: "streams".into(), live, dead, neglected };
        assert!(wear(10, 100_000, false).findings().is_empty());
        assert!(wear(100_000, 200_000, false).findings().is_empty());
        assert_eq!(wear(10, 100_001, false).findings()[0].code, "dead-rows");
        assert_eq!(wear(10, 10, true).findings()[0].code, "autovacuum");
    }
}
