//! `shop import`: what real trade becomes, and what happens to a file that is broken.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use command::{Folder, packed, shipped};
use serde_json::Value;

const HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n";

/// A sale whose lines are scattered, with the same product twice; a return; a loss; an adjustment.
const TRADE: &str = "\
536365,85123A,\"HOLDER, WHITE\",6,2010-12-01T08:26:00,2.55,17850,United Kingdom\r
C536379,D,Discount,-1,2010-12-01T09:41:00,27.5,14527,United Kingdom\r
536366,22197,POPCORN,-3,2010-12-01T09:50:00,0.0,,United Kingdom\r
536365,85123A,\"HOLDER, WHITE\",2,2010-12-01T08:27:00,0.001,17850,United Kingdom\r
A563185,B,Adjust bad debt,1,2011-08-12T14:50:00,11062.06,,United Kingdom\r
";

fn file(lines: &str) -> String {
    format!("{HEADER}{lines}")
}

/// A sale of so many lines.
fn sale(invoice: u32, lines: u32) -> String {
    let line = |n| format!("{invoice},S{n},Thing {n},1,2011-01-01T10:00:00,1.00,,France\r\n");
    (0..lines).map(line).collect()
}

#[test]
fn invoices_become_carts_orders_and_returns() {
    let folder = Folder::new();
    let imported = folder.import("online-retail", &folder.file("trade.csv", file(TRADE)));
    // opened, two items, checked out; placed, confirmed; one return. A loss and an adjustment are
    // no trade.
    assert_eq!(imported.added(), (7, 3, 2));

    let events = folder.shop(["events", "--json"]).out;
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            (text("type"), text("occurred_at")[..16].to_owned())
        })
        .collect();
    let event = |kind: &str, minute: &str| (kind.to_owned(), format!("2010-12-01T{minute}"));
    // The order of completion: the return stands between the lines of the sale.
    assert_eq!(
        seen,
        [
            event("return.recorded", "09:41"),
            event("cart.opened", "08:26"),
            event("cart.item_added", "08:26"),
            event("cart.item_added", "08:27"),
            event("cart.checked_out", "08:27"),
            event("order.placed", "08:27"),
            event("order.confirmed", "08:27"),
        ]
    );
    let placed = &events[5]["data"];
    assert_eq!(placed["customer"], "17850");
    assert_eq!(placed["total"]["amount"], 6 * 255);
    assert_eq!(placed["lines"].as_array().unwrap().len(), 2);
    assert_eq!(placed["lines"][0]["title"], "HOLDER, WHITE");
    assert_eq!(events[0]["data"]["value"]["amount"], 2750);
}

#[test]
fn a_second_import_adds_nothing_packed_or_not() {
    let folder = Folder::new();
    let plain = folder.file("trade.csv", file(TRADE));
    assert_eq!(folder.import("online-retail", &plain).added(), (7, 3, 2));
    let packed = folder.file("other name", packed(&file(TRADE)));
    assert_eq!(folder.import("online-retail", &packed).added(), (0, 0, 2));
    assert_eq!(folder.counts(), (7, 3));
}

#[test]
fn an_invoice_larger_than_an_append_is_imported_whole() {
    let folder = Folder::new();
    let lines = sale(1, 3) + &sale(2, 2_500) + &sale(3, 1);
    let sales = folder.file("sales.csv", file(&lines));
    let events = (3 + 4) + (2_500 + 4) + (1 + 4);
    assert_eq!(folder.import("online-retail", &sales).added(), (events, 6, 0));
    assert_eq!(folder.import("online-retail", &sales).added(), (0, 0, 0));
}

/// Two sales an hour apart, at an hour in a second, in the order in which they were sold; that of the file is another.
#[test]
fn a_past_is_played_at_the_speed_that_one_says() {
    let folder = Folder::new();
    let later = sale(2, 3).replace("T10:", "T11:");
    let sales = folder.file("sales.csv", file(&(later + &sale(1, 3))));
    let play = |speed| {
        let import = ["import", "online-retail", sales.to_str().unwrap(), "--json"];
        folder.shop([&import[..], &["--no-progress", "--speed", speed]].concat())
    };
    let played = play("3600x").json();
    assert_eq!((played["events"].as_i64(), played["streams"].as_i64()), (Some(14), Some(4)));
    let seconds = played["seconds"].as_f64().unwrap();
    assert!((1.0..20.0).contains(&seconds), "it took {seconds} s");
    let events = folder.shop(["events", "--json"]).out;
    let first: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert!(first["occurred_at"].as_str().unwrap().contains("T10:"), "{first}");
    assert_eq!(play("max").json()["events"], 0, "the same events at any speed");
    let wrong = play("fast");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("such as 3600x"), "{}", wrong.err);
}

#[test]
fn a_file_that_has_grown_adds_what_is_new() {
    let folder = Folder::new();
    let day = |invoices: std::ops::Range<u32>| invoices.map(|n| sale(n, 7)).collect::<String>();
    let monday = folder.file("monday.csv", file(&day(0..150)));
    assert_eq!(folder.import("online-retail", &monday).added(), (150 * 11, 300, 0));
    let tuesday = folder.file("tuesday.csv", file(&day(0..250)));
    assert_eq!(folder.import("online-retail", &tuesday).added(), (100 * 11, 200, 0));
}

#[test]
fn an_invoice_that_was_imported_with_other_lines_is_a_conflict() {
    let folder = Folder::new();
    folder.import("online-retail", &folder.file("one.csv", file(&sale(1, 2)))).json();
    let changed = folder.import("online-retail", &folder.file("two.csv", file(&sale(1, 3))));
    assert_eq!(changed.code, 4, "{changed:?}");
    assert_eq!(folder.counts(), (6, 2));
}

#[test]
fn a_broken_line_is_named_and_nothing_of_its_file_is_imported() {
    let good = "1,S1,Thing,1,2011-01-01T10:00:00,1.00,,France\r\n";
    for (bad, words) in [
        ("2,S1,Thing,1,2011-01-01T10:00:00,1.00\r\n", "6 columns instead of 8"),
        ("2,S1,Thing,one,2011-01-01T10:00:00,1.00,,France\r\n", "Quantity"),
        ("2,S1,Thing,1,yesterday,1.00,,France\r\n", "InvoiceDate"),
        ("2,S1,Thing,1,2011-01-01T10:00:00,1e3,,France\r\n", "UnitPrice"),
        ("2,,Thing,1,2011-01-01T10:00:00,1.00,,France\r\n", "StockCode"),
    ] {
        let folder = Folder::new();
        folder.import("online-retail", &folder.file("before.csv", file(&sale(7, 1)))).json();
        let broken = folder.file("broken.csv", file(&format!("{good}{bad}{good}")));
        let ended = folder.import("online-retail", &broken);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("line 3") && ended.err.contains(words), "{}", ended.err);
        assert_eq!(folder.counts(), (5, 2), "what was there before stays, and nothing is added");
    }
}

#[test]
fn text_in_another_encoding_is_refused_with_its_line() {
    let folder = Folder::new();
    let mut bytes = file(&sale(1, 1)).into_bytes();
    bytes.extend(b"2,S1,Voucher \xa340,1,2011-01-01T10:00:00,1.00,,France\r\n");
    let ended = folder.import("online-retail", &folder.file("latin.csv", bytes));
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("line 3: it is not text in UTF-8"), "{}", ended.err);
}

#[test]
fn a_file_that_was_cut_off_or_damaged_imports_nothing() {
    let folder = Folder::new();
    let whole = packed(&file(&(0..2_000).map(|n| sale(n, 3)).collect::<String>()));
    let cut = folder.file("cut.csv.gz", &whole[..whole.len() / 2]);
    let ended = folder.import("online-retail", &cut);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("it was cut off") && ended.err.contains("line "), "{}", ended.err);

    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let ended = folder.import("online-retail", &folder.file("damaged.csv.gz", damaged));
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("line "), "{}", ended.err);
    assert_eq!(folder.counts(), (0, 0));
}

#[test]
fn what_is_no_such_file_is_refused_in_a_sentence() {
    let folder = Folder::new();
    let missing = folder.import("online-retail", &folder.path().join("missing.csv"));
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("missing.csv cannot be read"), "{}", missing.err);
    let foreign = folder.import("online-retail", &shipped("ecom.csv.gz"));
    assert_eq!(foreign.code, 2);
    assert!(foreign.err.contains("line 1") && foreign.err.contains("InvoiceNo"), "{}", foreign.err);
    let empty = folder.import("cdnow", &folder.file("empty.txt", ""));
    assert_eq!(empty.code, 2);
    assert!(empty.err.contains("begins with the columns"), "{}", empty.err);
}

#[test]
fn the_clicks_of_a_shop_become_sessions() {
    let folder = Folder::new();
    let clicks = shipped("ecom.csv.gz");
    assert_eq!(folder.import("ecom", &clicks).added(), (31_106, 3_605, 0));
    assert_eq!(folder.import("ecom", &clicks).added(), (0, 0, 0));
}

#[test]
fn an_import_that_was_killed_is_completed_by_the_next() {
    let folder = Folder::new();
    let orders = shipped("CDNOW_master.txt.gz");
    let mut import = command::shop(&folder.log())
        .args(["import", "cdnow", orders.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first word comes after a second of work.
    let first = BufReader::new(import.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    import.kill().unwrap();
    import.wait().unwrap();
    assert!(first.starts_with("import: "), "{first}");
    let before = folder.counts();
    assert!((1..2 * 69_659).contains(&before.0), "it was killed too early or too late: {before:?}");

    let (events, streams, ignored) = folder.import("cdnow", &orders).added();
    let number = |n: usize| i64::try_from(n).unwrap();
    assert_eq!(number(before.0) + events, 2 * 69_659);
    assert_eq!((number(before.1) + streams, ignored), (69_659, 0));

    let report = folder.shop(["report", "--json"]).json();
    assert_eq!(report["orders"], 69_659);
    assert_eq!(report["customers"], 23_570);
    assert_eq!(report["units"], 167_881);
    assert_eq!(report["gross"], 250_031_563);
}
