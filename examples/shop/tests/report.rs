//! `shop report`: the numbers of a real year, and how they are drawn.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod command;

use command::{Folder, online_retail, shop};
use headwater_testkit::postgres::direct;
use serde_json::{Value, json};
use sqlx::Connection as _;

/// Counted independently of this program, from the file.
fn check(report: &Value) {
    for (name, number) in [
        ("orders", 20_725_i64),
        ("lines", 531_282),
        ("units", 5_660_978),
        ("gross", 1_065_562_248),
        ("returns", -89_681_249),
        ("net", 975_880_999),
        ("customers", 4_339),
    ] {
        assert_eq!(report[name], number, "{name}");
    }
    let top = |name: &str, place: usize| report[name][place].clone();
    assert_eq!(top("top_gross_units", 0), json!({"sku": "23843", "units": 80_995}));
    assert_eq!(top("top_gross_units", 1), json!({"sku": "23166", "units": 78_033}));
    assert_eq!(top("top_gross_units", 2), json!({"sku": "22197", "units": 56_921}));
    // The first two were sold once, in huge numbers, and came back.
    assert_eq!(top("top_net_units", 0), json!({"sku": "22197", "units": 56_450}));
    assert_eq!(top("top_net_units", 9), json!({"sku": "21977", "units": 24_753}));
    let months = report["orders_per_month"].as_array().unwrap();
    assert_eq!(months.len(), 13);
    assert_eq!(months[11], json!({"month": "2011-11", "orders": 2_884}));
    assert_eq!(report["busiest_day"], json!({"day": "2011-11-22", "orders": 151}));
}

/// Every read model is what a fold of the log makes, and a row that was changed by hand is named.
async fn check_read_models(url: &str, alter: impl AsyncFnOnce(&'static str)) {
    let rebuild = ["projections", "rebuild", "--all", "--verify", "--json", "--no-progress"];
    let rebuilt = command::ended(shop(url).args(rebuild));
    assert_eq!(rebuilt.code, 0, "{}", rebuilt.err);
    let identical = rebuilt.out.lines().filter(|line| line.contains(r#""identical":true"#)).count();
    let all = shop::app().names().len();
    assert_eq!((identical, rebuilt.out.lines().count()), (all, all), "{}", rebuilt.out);

    alter("update sales_days__2 set gross = gross + 1 where day = '2010-12-01'").await;
    let verify = ["projections", "verify", "sales_days", "--json", "--no-progress"];
    let verified = command::ended(shop(url).args(verify));
    assert_eq!(verified.code, 5, "{}", verified.err);
    assert!(verified.err.contains("first at row 2010-12-01: 1 rows"), "{}", verified.err);
}

#[tokio::test]
async fn a_real_year_comes_to_the_numbers_that_were_counted_in_sqlite() {
    let Some(file) = online_retail() else { return };
    let folder = Folder::new();
    assert_eq!(folder.import("online-retail", &file).added(), (618_018, 45_286, 1_339));
    check(&folder.shop(["report", "--json"]).json());
    let drawn = folder.shop(["report"]).out;
    for line in drawn.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(drawn.contains("9,758,809.99 GBP") && drawn.contains('█'), "{drawn}");

    let alter = async |sql| {
        let mut connection = sqlx::SqliteConnection::connect(&folder.log()).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    check_read_models(&folder.log(), alter).await;
}

#[tokio::test]
async fn a_real_year_comes_to_the_numbers_that_were_counted_in_postgresql() {
    let Some(file) = online_retail() else { return };
    let database = headwater_testkit::postgres::database().await;
    let import = ["import", "online-retail", file.to_str().unwrap(), "--json", "--no-progress"];
    let imported = command::ended(shop(database.url()).args(import));
    assert_eq!(imported.added(), (618_018, 45_286, 1_339));
    check(&command::ended(shop(database.url()).args(["report", "--json"])).json());
    let alter = async |sql| {
        let mut connection = direct(database.url()).await;
        sqlx::query("set search_path to headwater").execute(&mut connection).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    check_read_models(database.url(), alter).await;
}

#[test]
fn a_log_without_trade_has_a_report_too() {
    let folder = Folder::new();
    let report = folder.shop(["report", "--json"]).json();
    assert_eq!((&report["orders"], &report["busiest_day"]), (&json!(0), &Value::Null));
    assert!(folder.shop(["report"]).out.contains("Nothing is sold yet"));
}
