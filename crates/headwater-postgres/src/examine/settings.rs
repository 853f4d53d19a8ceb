//! The server's settings: which of them lose events, or make a log slow; without I/O.

use std::collections::HashMap;

use headwater_core::Finding;

/// The server's settings, as a session of this role begins with them.
pub(crate) struct Settings(pub(crate) HashMap<String, String>);

impl Settings {
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.parse().ok()
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let is = |name: &str, value: &str| self.0.get(name).is_some_and(|found| found == value);
        let mut all = Vec::new();
        let lost = "after a crash the server loses or destroys what it acknowledged";
        for (name, bad) in [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("zero_damaged_pages", "on"),
            ("ignore_checksum_failure", "on"),
        ] {
            if is(name, bad) {
                let cure = format!("set it back in postgresql.conf: {name} = {}", other(bad));
                all.push(
                    Finding::error(name_of(name), format!("{name} is {bad}"))
                        .means(lost)
                        .cure(cure),
                );
            }
        }
        if is("synchronous_commit", "off") {
            all.push(
                Finding::error("synchronous-commit", "synchronous_commit is off")
                    .means(
                        "an append is acknowledged before it is on the disk: after a crash of \
                        the server the last of them are gone, and their positions are drawn \
                        again by others",
                    )
                    .cure(
                        "set it on, for the server, the database and the role: `alter role ... \
                        reset synchronous_commit`",
                    ),
            );
        }
        if is("default_transaction_read_only", "on") {
            all.push(
                Finding::error("read-only", "default_transaction_read_only is on")
                    .means("nothing can be appended")
                    .cure("reset it for the role, the database or the server"),
            );
        }
        if is("autovacuum", "off") {
            all.push(
                Finding::warning("autovacuum", "autovacuum is off")
                    .means(
                        "the tables streams and checkpoints grow with each append, statistics \
                        grow old, and transaction ids run out",
                    )
                    .cure("set autovacuum = on in postgresql.conf"),
            );
        }
        if is("idle_in_transaction_session_timeout", "0") {
            all.push(
                Finding::note("idle-transactions", "idle_in_transaction_session_timeout is 0")
                    .means(
                        "a program that appends in a transaction of its own and leaves it \
                        open holds readers back for as long as it lives; transactions of the log \
                        end by themselves after 15 s",
                    )
                    .cure(
                        "`alter role ... set idle_in_transaction_session_timeout = '10s'` for \
                        roles that append",
                    ),
            );
        }
        if is("data_checksums", "off") {
            all.push(
                Finding::note("data-checksums", "the server keeps no checksums of its pages")
                    .means("a disk that lies is not noticed")
                    .cure("`pg_checksums --enable`, with the server stopped"),
            );
        }
        all
    }
}

fn other(value: &str) -> &'static str {
    if value == "on" { "off" } else { "on" }
}

fn name_of(setting: &str) -> &'static str {
    match setting {
        "fsync" => "fsync",
        "full_page_writes" => "full-page-writes",
        "zero_damaged_pages" => "zero-damaged-pages",
        _ => "ignore-checksum-failure",
    }
}

#[cfg(test)]
pub(crate) fn usual(changed: &[(&str, &str)]) -> Settings {
    let usual = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("autovacuum", "on"),
        ("max_connections", "100"),
        ("superuser_reserved_connections", "3"),
        ("default_transaction_read_only", "off"),
        ("idle_in_transaction_session_timeout", "10000"),
        ("data_checksums", "on"),
        ("zero_damaged_pages", "off"),
        ("ignore_checksum_failure", "off"),
    ];
    let all = usual.iter().chain(changed);
    Settings(all.map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

#[cfg(test)]
mod tests {
    use headwater_core::Severity;

    use super::*;

    #[test]
    fn the_usual_ones_are_worth_no_word() {
        assert_eq!(usual(&[]).findings(), []);
        // Replicas need not be waited for.
        assert_eq!(usual(&[("synchronous_commit", "local")]).findings(), []);
    }

    #[test]
    fn each_setting_that_loses_events_is_an_error() {
        for (name, value, code, severity) in [
            ("fsync", "off", "fsync", Severity::Error),
            ("full_page_writes", "off", "full-page-writes", Severity::Error),
            ("synchronous_commit", "off", "synchronous-commit", Severity::Error),
            ("zero_damaged_pages", "on", "zero-damaged-pages", Severity::Error),
            ("ignore_checksum_failure", "on", "ignore-checksum-failure", Severity::Error),
            ("default_transaction_read_only", "on", "read-only", Severity::Error),
            ("autovacuum", "off", "autovacuum", Severity::Warning),
            ("idle_in_transaction_session_timeout", "0", "idle-transactions", Severity::Note),
            ("data_checksums", "off", "data-checksums", Severity::Note),
        ] {
            let findings = usual(&[(name, value)]).findings();
            let found: Vec<_> =
                findings.iter().map(|finding| (finding.code, finding.severity)).collect();
            assert_eq!(found, [(code, severity)], "{name}");
        }
    }
}
