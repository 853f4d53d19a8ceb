//! The names in the documentation are those of the code.

use std::{collections::BTreeSet, fs, path::Path};

use headwater::metrics::ALL;

fn read(page: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(workspace.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

#[test]
fn the_page_of_the_metrics_has_each_with_its_kind_labels_and_meaning() {
    let page = read("docs/metrics.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `headwater_")).collect();
    let row = |metric: &headwater::metrics::Metric| {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
    };
    let expected: Vec<_> = ALL.iter().map(row).collect();
    assert_eq!(rows, expected, "the table should be:\n{}", expected.join("\n"));
}

/// Each name that begins like one of ours, without the endings that Prometheus gives to histograms.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("headwater_"));
    let known = |name: &str| ALL.iter().any(|metric| metric.name == name);
    let plain = |word: &str| {
        let of_histogram = ["_bucket", "_sum", "_count"];
        let stem = of_histogram.iter().find_map(|ending| word.strip_suffix(ending));
        stem.filter(|stem| known(stem)).unwrap_or(word).to_owned()
    };
    words.map(plain).collect()
}

#[test]
fn the_dashboard_shows_each_metric_and_no_other() {
    let text = read("docs/grafana/headwater.json");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let known: BTreeSet<_> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(names(&text), known);
}
