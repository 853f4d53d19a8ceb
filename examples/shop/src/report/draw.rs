//! The report for people: sums, columns and bars of block characters that need no colour.

use super::{Month, Report, Top};

/// How many eighths of a column's height are drawn, lowest first.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The same for the length of a bar.
const BAR_EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// How many lines a column is high.
const HEIGHT: usize = 8;

/// The whole report in lines of at most `width` characters.
pub(super) fn report(report: &Report, currencies: &[String], width: usize) -> Vec<String> {
    let mut lines = sums(report, currencies);
    if report.orders == 0 {
        lines.push(String::new());
        lines.push("Nothing is sold yet: try `shop import` or `shop demo`.".into());
        return lines;
    }
    lines.extend([String::new(), "Orders per month".into()]);
    lines.extend(months(&report.orders_per_month, width));
    for (title, top) in [
        ("Top products by pieces sold", &report.top_gross_units),
        ("Top products by pieces sold and kept", &report.top_net_units),
    ] {
        lines.extend([String::new(), title.into()]);
        lines.extend(bars(top, width));
    }
    lines
}

fn sums(report: &Report, currencies: &[String]) -> Vec<String> {
    let currency = currencies.join("+");
    let money = |minor: i64| {
        let sign = if minor < 0 { "-" } else { "" };
        let (whole, rest) = (minor.unsigned_abs() / 100, minor.unsigned_abs() % 100);
        format!("{sign}{}.{rest:02} {currency}", grouped(whole))
    };
    let count = |n: i64| grouped(n.unsigned_abs());
    let mut lines: Vec<_> = [
        ("Orders", count(report.orders)),
        ("Customers", count(report.customers)),
        ("Lines", count(report.lines)),
        ("Pieces", count(report.units)),
        ("Gross", money(report.gross)),
        ("Returns", money(report.returns)),
        ("Net", money(report.net)),
    ]
    .into_iter()
    .map(|(name, value)| format!("  {name:<12}{value:>20}"))
    .collect();
    if let Some(busiest) = report.busiest_day {
        let (day, orders) = (busiest.day, count(busiest.orders));
        lines.push(format!("  {:<12}{day:>20}  with {orders} orders", "Busiest day"));
    }
    if currencies.len() > 1 {
        lines.push("  The log holds several currencies; amounts are added as they are.".into());
    }
    lines
}

/// Columns, one a month; those that the width has no room for are left out at the beginning.
fn months(months: &[Month], width: usize) -> Vec<String> {
    let most = months.iter().map(|month| month.orders).max().unwrap_or(0);
    let label = grouped(most.unsigned_abs()).len();
    let room = width.saturating_sub(label + 4);
    let months = &months[months.len().saturating_sub((room / 3).max(1))..];
    let step = (room / months.len().max(1)).clamp(3, 6);
    let column = |level: usize, month: &Month| {
        let filled = scale(month.orders, most, HEIGHT * 8).saturating_sub(level * 8).min(8);
        format!("{} ", EIGHTHS[filled].to_string().repeat(step - 1))
    };
    let mut lines: Vec<String> = (0..HEIGHT)
        .rev()
        .map(|level| {
            let axis =
                if level == HEIGHT - 1 { grouped(most.unsigned_abs()) } else { String::new() };
            let columns: String = months.iter().map(|month| column(level, month)).collect();
            format!("  {axis:>label$} {}", columns.trim_end())
        })
        .collect();
    let (mut names, mut years, mut last) = (String::new(), String::new(), "");
    for month in months {
        let (year, name) = month.month.rsplit_once('-').unwrap_or(("", &month.month));
        names += &format!("{name:<step$}");
        // A year has four digits and may be wider than its column.
        let begins = year != last && names.len() - step >= years.len();
        years = format!("{:<wide$}", years, wide = names.len() - step);
        years += if begins { year } else { "" };
        last = year;
    }
    lines.push(format!("  {:label$} {}", "", names.trim_end()));
    lines.push(format!("  {:label$} {}", "", years.trim_end()));
    lines
}

/// A bar for each product, as long as the width allows.
fn bars(products: &[Top], width: usize) -> Vec<String> {
    let most = products.iter().map(|product| product.units).max().unwrap_or(0);
    let skus = products.iter().map(|product| product.sku.chars().count()).max().unwrap_or(0);
    let names: Vec<_> = products.iter().map(|product| name(product, skus, width)).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let units: Vec<_> = products.iter().map(|product| signed(product.units)).collect();
    let digits = units.iter().map(String::len).max().unwrap_or(0);
    let room = width.saturating_sub(wide + digits + 6);
    let bar = |units: i64| {
        let eighths = scale(units, most, room * 8);
        "█".repeat(eighths / 8) + BAR_EIGHTHS[eighths % 8]
    };
    let line = |((name, units), product): ((&String, &String), &Top)| {
        format!("  {name:<wide$}  {units:>digits$}  {}", bar(product.units)).trim_end().into()
    };
    names.iter().zip(&units).zip(products).map(line).collect()
}

/// Sku and title, cut to four tenths of the width. A title may hold anything, but on a terminal
/// nothing that steers it.
fn name(product: &Top, skus: usize, width: usize) -> String {
    let full = format!("{:<skus$}  {}", product.sku, product.title);
    let shown = if product.sku == product.title { &product.sku } else { &full };
    let clean: Vec<_> = shown.chars().filter(|c| !c.is_control()).collect();
    let room = (width * 2 / 5).max(8);
    if clean.len() <= room {
        return clean.into_iter().collect();
    }
    clean[..room - 1].iter().chain(&['…']).collect()
}

/// The part of `full` that `value` is of `most`, rounded; what is not nothing is at least one.
fn scale(value: i64, most: i64, full: usize) -> usize {
    let (value, most) = (i128::from(value.max(0)), i128::from(most.max(1)));
    let full = i128::try_from(full).unwrap_or(0);
    let part = ((value * full + most / 2) / most).max(i128::from(value > 0));
    usize::try_from(part).unwrap_or(0)
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A number with a comma behind each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(sku: &str, title: &str, units: i64) -> Top {
        Top { sku: sku.into(), title: title.into(), units }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (5_660_978, "5,660,978")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn bars_end_at_the_edge_and_names_are_cut() {
        let products = [top("23843", "PAPER CRAFT , LITTLE BIRDIE", 80_995), top("b", "b", 1)];
        let lines = bars(&products, 60);
        assert_eq!(lines[0].chars().count(), 60, "{}", lines[0]);
        assert!(lines[0].contains("23843  PAPER CRAFT , LI…  80,995  ██"), "{}", lines[0]);
        assert!(lines[1].ends_with("1  ▏"), "{}", lines[1]);
    }

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        assert!(!bars(&[top("a", "\x1b[2Jgone", 1)], 80)[0].contains('\x1b'));
    }

    #[test]
    fn columns_fit_any_width() {
        let month = |n| Month { month: format!("20{:02}-{:02}", n / 12, n % 12 + 1), orders: n };
        let year: Vec<_> = (1..40).map(month).collect();
        for width in [10, 20, 40, 80, 200] {
            let lines = months(&year, width);
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{widest} of {width}\n{}", lines.join("\n"));
        }
    }
}
