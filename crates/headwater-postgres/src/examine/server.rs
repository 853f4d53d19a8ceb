//! The server, the database and the role: what is made of them, without I/O.

use std::time::Duration;

use chrono::{NaiveDate, Utc};
use headwater_core::{Finding, Pools, Severity, finding};

use super::settings::Settings;

/// How far the clocks of the server and of this machine may be apart.
const SKEW: Duration = Duration::from_secs(5);

/// At which age of its oldest transaction a database is in danger, and when it nearly stops: at 2^31.
const XID_AGE: (i64, i64) = (1_000_000_000, 1_600_000_000);

/// Until when PostgreSQL is supported: <https://www.postgresql.org/support/versioning/>.
const SUPPORTED: [(i32, (i32, u32, u32)); 4] =
    [(15, (2027, 11, 11)), (16, (2028, 11, 9)), (17, (2029, 11, 8)), (18, (2030, 11, 14))];

/// How long before the end of support it is worth a word, in days.
const NOTICE: i64 = 180;

/// The server, the database and the role.
pub(crate) struct Server {
    pub(crate) version: String,
    pub(crate) number: i32,
    pub(crate) standby: bool,
    pub(crate) skew: Duration,
    pub(crate) size: u64,
    pub(crate) xid_age: i64,
    pub(crate) multixact_age: i64,
    pub(crate) database_limit: i64,
    pub(crate) role_limit: i64,
    pub(crate) connections: i64,
    pub(crate) schema_number: i32,
}

impl Server {
    pub(crate) fn findings(&self, settings: &Settings, pooled: bool) -> Vec<Finding> {
        let (version, schema) = (&self.version, self.schema_number);
        let size = finding::size(self.size);
        let mut all = vec![Finding::note(
            "database",
            format!(
                "PostgreSQL {version}, schema {schema} of the log, {size} in the whole database"
            ),
        )];
        if self.standby {
            all.push(
                Finding::error("standby", "the server is a standby")
                    .means(
                        "it cannot tell which events are settled, so nobody can follow the \
                        log on it",
                    )
                    .cure("connect to the primary"),
            );
        }
        all.extend(self.support(Utc::now().date_naive()));
        if self.skew > SKEW {
            let apart = finding::span(self.skew);
            all.push(
                Finding::warning(
                    "clock",
                    format!("the clocks of the server and of this machine are {apart} apart"),
                )
                .means(
                    "recorded_at and occurred_at of one event do not fit each other; \
                        nothing is ordered by them",
                )
                .cure("see that both machines keep their time by NTP"),
            );
        }
        for (age, what) in [(self.xid_age, "transaction"), (self.multixact_age, "multixact")] {
            all.extend(of_age(age, what));
        }
        all.extend(self.room(settings));
        if pooled {
            all.push(
                Finding::note("pooler", "a pooler in transaction mode stands before the server")
                    .means(
                        "no statement stays prepared, whether the pooler supports that or \
                        not, and what others append is found by the poll, within a second",
                    )
                    .cure("give services a direct connection where you can"),
            );
        }
        all
    }

    fn support(&self, today: NaiveDate) -> Option<Finding> {
        let major = self.number / 10_000;
        let (_, (year, month, day)) = SUPPORTED.into_iter().find(|(known, _)| *known == major)?;
        let end = NaiveDate::from_ymd_opt(year, month, day)?;
        let left = (end - today).num_days();
        let (severity, what) = match left {
            ..0 => (Severity::Warning, "is not supported any more, since"),
            0..NOTICE => (Severity::Note, "is supported only until"),
            _ => return None,
        };
        Some(
            Finding::new(severity, "server-version", format!("PostgreSQL {major} {what} {end}"))
                .means("faults of the server are not mended any more behind that day")
                .cure("plan an upgrade of the server"),
        )
    }

    /// Whether the server lets in as many connections as a log may take.
    fn room(&self, settings: &Settings) -> Option<Finding> {
        let Pools { appends, held_appends, transactions, readings, looks, queries } =
            Pools::default();
        let needed =
            i64::from(appends + held_appends + transactions + readings + looks + queries) + 1;
        let all = settings.number("max_connections")?
            - settings.number("superuser_reserved_connections")?;
        let limits = [
            ("the server allows", all),
            ("the database allows", self.database_limit),
            ("the role may have", self.role_limit),
        ];
        let meaning = format!(
            "a process with the default Settings::pools opens up to {needed} when it needs them"
        );
        let cure = "raise the limit, give smaller Settings::pools, or put PgBouncer in between";
        let too_small = limits.into_iter().find(|(_, limit)| (0..needed).contains(limit));
        if let Some((who, limit)) = too_small {
            let what = format!("{who} {limit} connections");
            return Some(Finding::warning("connections", what).means(meaning).cure(cure));
        }
        (self.connections + needed > all).then(|| {
            let what = format!("{} of {all} connections are in use", self.connections);
            Finding::warning("connections", what).means(meaning).cure(cure)
        })
    }
}

fn of_age(age: i64, what: &str) -> Option<Finding> {
    let severity = match age {
        age if age >= XID_AGE.1 => Severity::Error,
        age if age >= XID_AGE.0 => Severity::Warning,
        _ => return None,
    };
    let what = format!("the oldest {what} id of the database is {} million old", age / 1_000_000);
    Some(
        Finding::new(severity, "wraparound", what)
            .means("at 2,000 million the server refuses to write")
            .cure(
                "look for transactions, prepared transactions and replication slots that stay \
                open, then run `vacuum freeze`",
            ),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::settings::usual, *};

    fn server() -> Server {
        Server {
            version: "17.1".into(),
            number: 170_001,
            standby: false,
            skew: Duration::ZERO,
            size: 5 << 20,
            xid_age: 1_000,
            multixact_age: 1_000,
            database_limit: -1,
            role_limit: -1,
            connections: 3,
            schema_number: 8,
        }
    }

    fn found(findings: &[Finding]) -> Vec<(&str, Severity)> {
        findings.iter().map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn a_server_in_good_order_is_worth_a_note() {
        assert_eq!(found(&server().findings(&usual(&[]), false)), [("database", Severity::Note)]);
    }

    #[test]
    fn what_is_wrong_with_a_server_is_found() {
        let rest = |change: fn(&mut Server), pooled| {
            let mut server = server();
            change(&mut server);
            let findings = server.findings(&usual(&[]), pooled);
            found(&findings).into_iter().skip(1).map(|(c, s)| (c.to_owned(), s)).collect::<Vec<_>>()
        };
        let one = |code: &str, severity| vec![(code.to_owned(), severity)];
        assert_eq!(rest(|s| s.standby = true, false), one("standby", Severity::Error));
        assert_eq!(
            rest(|s| s.skew = Duration::from_secs(6), false),
            one("clock", Severity::Warning)
        );
        assert_eq!(rest(|s| s.xid_age = XID_AGE.0, false), one("wraparound", Severity::Warning));
        assert_eq!(
            rest(|s| s.multixact_age = XID_AGE.1, false),
            one("wraparound", Severity::Error)
        );
        assert_eq!(rest(|s| s.connections = 79, false), one("connections", Severity::Warning));
        assert_eq!(rest(|s| s.role_limit = 18, false), one("connections", Severity::Warning));
        assert_eq!(rest(|s| s.database_limit = 19, false), vec![]);
        assert_eq!(rest(|_| {}, true), one("pooler", Severity::Note));
    }

    #[test]
    fn the_end_of_support_is_told_half_a_year_before() {
        let on = |year, month, day| {
            let finding = server().support(NaiveDate::from_ymd_opt(year, month, day).unwrap());
            finding.map(|finding| finding.severity)
        };
        assert_eq!(on(2029, 5, 1), None);
        assert_eq!(on(2029, 6, 1), Some(Severity::Note));
        assert_eq!(on(2029, 11, 8), Some(Severity::Note));
        assert_eq!(on(2029, 11, 9), Some(Severity::Warning));
    }
}
