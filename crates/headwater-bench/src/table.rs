//! The figures as a table for people, and as lines of JSON.

use comfy_table::{CellAlignment, Table, presets};

use crate::{figures::Figures, subjects::SQLX};

/// Prints one JSON object a line.
pub fn print_json(rows: &[Figures]) -> serde_json::Result<()> {
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}

/// Prints the figures, each with its ratio to hand-written SQL.
pub fn print(rows: &[Figures]) {
    let mut table = plain([
        "workload", "callers", "subject", "a second", "min", "max", "p50 ms", "p99 ms", "MiB",
        "to sqlx",
    ]);
    let mut before = None;
    for row in rows {
        // The name of a workload stands once, at its first row.
        let workload = (row.workload.as_str(), row.callers);
        let (name, callers) = if before == Some(workload) {
            (String::new(), String::new())
        } else {
            (row.workload.clone(), row.callers.to_string())
        };
        before = Some(workload);
        table.add_row([
            name,
            callers,
            row.subject.into(),
            format!("{:.0}", row.per_second),
            format!("{:.0}", row.per_second_min),
            format!("{:.0}", row.per_second_max),
            format!("{:.2}", row.p50_ms),
            format!("{:.2}", row.p99_ms),
            row.peak_mib.map_or(String::new(), |peak| format!("{peak:.0}")),
            to_sqlx(row, rows).map_or(String::new(), |ratio| format!("{ratio:.2}x")),
        ]);
    }
    for column in table.column_iter_mut().filter(|column| ![0, 2].contains(&column.index)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// A table without lines, with these headings.
pub fn plain<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    table
}

fn to_sqlx(row: &Figures, rows: &[Figures]) -> Option<f64> {
    let of_sqlx = rows.iter().find(|other| {
        other.subject == SQLX && (&other.workload, other.callers) == (&row.workload, row.callers)
    })?;
    (row.subject != SQLX).then(|| row.per_second / of_sqlx.per_second)
}
