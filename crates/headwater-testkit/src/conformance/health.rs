//! A log that looks at itself: for faults, and for what is wrong with its database.

use headwater::{
    Append,
    ExpectedVersion::{Any, Exact},
    Severity,
};

use super::Harness;
use crate::fixtures::{append, append_to, event, events, refused, stream};

/// Whatever was appended, refused and tried again: nothing contradicts anything.
pub async fn a_log_that_only_headwater_has_written_has_no_fault(harness: &dyn Harness) {
    let log = harness.log();
    assert_eq!(log.store().faults(10).await, Ok(vec![]));
    for name in ["thing-1", "thing-é", "other-1"] {
        append_to(log, name, 3).await;
    }
    let between = [append("thing-1", 1), append("thing-9", 2), append("thing-1", 1)];
    log.append_all(between.clone()).await.expect("a stream may come again");
    log.append_all(between).await.expect("the same append again is recognised");
    refused(log, [Append::new(stream("thing-1"), Exact(1), [event(1)])]).await;
    refused(log, [Append::new(stream("none-1"), Exact(1), events(2))]).await;
    log.append_all([Append::new(stream("thing-9"), Any, events(2))]).await.expect("it is applied");
    assert_eq!(log.store().faults(10).await, Ok(vec![]));
}

/// An examination finds its database, and nothing there that does not work.
pub async fn an_examination_of_a_new_log_finds_no_error(harness: &dyn Harness) {
    let log = harness.log();
    append_to(log, "thing-1", 3).await;
    for thorough in [false, true] {
        let findings = log.store().examine(thorough).await.expect("it can be examined");
        let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert!(findings.iter().any(|finding| finding.code == "database"), "{findings:?}");
    }
}
