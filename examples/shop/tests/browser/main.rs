//! The shop's pages, in a real browser on the real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

#[path = "../command/mod.rs"]
mod command;
mod page;

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use chrono::Utc;
use command::{Folder, Serving, shop};
use headwater_testkit::{eventually, postgres};
use page::Page;
use serde_json::Value;

/// A shop that serves this log, with its catalogue and no visitors but the test's.
fn serve(log: &str, port: &str) -> Serving {
    let listed = command::ended(shop(log).args(["traffic", "--duration", "1s", "--rps", "1"]));
    assert_eq!(listed.code, 0, "{}", listed.err);
    Serving::start(shop(log).args(["web", "--port", port]))
}

/// A shop with visitors, whose read models are there.
async fn demo(folder: &Folder) -> Serving {
    let demo = Serving::start(shop(&folder.log()).args(["demo", "--port", "0", "--rps", "40"]));
    eventually("its read models are there", async || {
        demo.get("/api/live").0.starts_with("http/1.1 200 ").then_some(())
    })
    .await;
    demo
}

/// The events of a stream, as the command line shows them: version and type.
fn stream(log: &str, stream: &str) -> Vec<(u64, String)> {
    let shown = command::ended(shop(log).args(["stream", "show", stream, "--json"]));
    assert_eq!(shown.code, 0, "{}", shown.err);
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event["version"].as_u64().unwrap(), event["type"].as_str().unwrap().to_owned())
    };
    shown.out.lines().map(event).collect()
}

/// The name of the visit's stream, from what the page says of itself.
async fn visit(page: &mut Page) -> String {
    let look = page.text("#look").await;
    look.strip_prefix("shop stream show ").unwrap().to_owned()
}

async fn what_a_visitor_presses_is_in_the_stream_of_the_visit(log: &str) {
    let shop = serve(log, "0");
    let mut page = Page::new().await;
    page.open(&shop.address, "/").await;
    page.until_there_are(9, ".offers li.panel").await;
    for shelf in ["kits", "products", "all"] {
        page.until("it is shown", "document.querySelectorAll('#choices button').length > 1").await;
        page.click(&format!("[data-button='browse-{shelf}']")).await;
    }
    page.until_there_are(4, "#events tr").await;
    let visit = visit(&mut page).await;
    let clicked = |version| (version, "button.clicked".to_owned());
    let expected = [(1, "page.loaded".to_owned()), clicked(2), clicked(3), clicked(4)];
    assert_eq!(stream(log, &visit), expected);
    page.is_quiet(&shop.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_02_what_a_visitor_presses_is_in_the_stream_of_the_visit_on_sqlite() {
    what_a_visitor_presses_is_in_the_stream_of_the_visit(&Folder::new().log()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_02_what_a_visitor_presses_is_in_the_stream_of_the_visit_on_postgresql() {
    let database = postgres::database().await;
    what_a_visitor_presses_is_in_the_stream_of_the_visit(database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_buys_and_sees_each_step_as_it_comes() {
    let folder = Folder::new();
    let shop = serve(&folder.log(), "0");
    let mut page = Page::new().await;
    page.open(&shop.address, "/").await;
    page.click(".offers .title").await;
    page.until(
        "its history is told",
        "document.querySelector('.offers').textContent.includes('of its stream')",
    )
    .await;
    page.click("[data-button=\"the-camper's-kit\"]").await;
    page.until_there_are(1, "#lines li").await;
    page.click("[data-button='more']").await;
    page.until("there are two", "document.querySelector('#lines b').textContent === '2'").await;
    assert_eq!(page.text("#total").await, "$545.90");
    assert!(page.text("#cart-state").await.starts_with("version 3 · position "));
    page.click("#checkout").await;
    // The order goes on by itself.
    page.until_there_are(2, "#steps .done").await;
    let empty = "document.getElementById('cart-state').textContent === 'empty'";
    page.until("the cart is empty", empty).await;
    let order = page.text("#order-id").await;
    page.picture("shop").await;
    page.click("#cancel").await;
    page.until("it is called off", "document.querySelector('#steps .ended')").await;
    let types: Vec<_> = stream(&folder.log(), &format!("order-{order}"))
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(types, ["order.placed", "order.confirmed", "order.cancelled"]);
    page.is_quiet(&shop.address);
    // What is told on the page, done to the cart and ordered is one visit.
    assert_eq!(folder.shop(["projections", "run", "--once"]).code, 0);
    let (_, funnel) = shop.get("/stats/funnel?window=1h");
    let funnel: Value = serde_json::from_str(&funnel).unwrap();
    assert_eq!(
        (&funnel["added"], &funnel["ordered"]),
        (&Value::from(1), &Value::from(1)),
        "{funnel}"
    );
    assert!(funnel["viewed"].as_i64() >= Some(1), "{funnel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_without_gap_and_double_when_the_server_was_killed() {
    let folder = Folder::new();
    let shop = serve(&folder.log(), "0");
    let (address, port) = (shop.address.clone(), shop.port());
    let mut page = Page::new().await;
    page.open(&address, "/").await;
    let visit = visit(&mut page).await;
    let choose = "document.querySelector(\"[data-button='browse-all']\")";
    page.until("the shelves are there", choose).await;
    for shown in 2..5 {
        page.click("[data-button='browse-all']").await;
        page.until_there_are(shown, "#events tr").await;
    }
    shop.end("-KILL");
    // What is pressed meanwhile is sent again; what others append comes in as well.
    page.click("[data-button='browse-all']").await;
    let data = "{\"button_id\":\"elsewhere\"}";
    assert_eq!(folder.shop(["append", &visit, "button.clicked", "--data", data]).code, 0);
    let shop = serve(&folder.log(), &port);
    page.until_there_are(6, "#events tr").await;
    let versions = page.texts("#events td:nth-child(4)").await;
    assert_eq!(versions, ["6", "5", "4", "3", "2", "1"], "each once, and in order");
    assert_eq!(stream(&folder.log(), &visit).len(), 6);
    drop(shop);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_page_is_shown_as_text() {
    let folder = Folder::new();
    let shop = serve(&folder.log(), "0");
    let evil = "<img src=x onerror=alert(1)><script>document.title='taken'</script>";
    let offer = serde_json::json!({
        "sku": "evil", "title": evil, "category": evil, "price": { "amount": 100, "currency": "USD" },
    });
    let listed = ["append", "product-evil", "product.listed", "--data", &offer.to_string()];
    assert_eq!(folder.shop(listed).code, 0);
    // Every text that comes from outside: what is told by pages, customers, names of streams and types.
    let told = |topic: &str, properties: Value| {
        let visit = "24d9ab20-e4f5-11e8-9f32-f2801f1b9fd1";
        let message =
            serde_json::json!({ "topic": topic, "uuid": visit, "properties": properties });
        assert_eq!(shop.post("/producePageLoad", "application/json", &message.to_string()), 200);
    };
    let words =
        serde_json::json!({ "url": evil, "user_agent": evil, "description": evil, evil: evil });
    told("edm-ui-pageload", words);
    told("edm-ui-click", serde_json::json!({ "button_id": evil, "description": evil }));
    let cart = serde_json::json!({ "currency": "USD", "customer": evil });
    assert_eq!(shop.post("/carts", "application/json", &cart.to_string()), 201);
    let named = ["append", "elsewhere-<img src=x onerror=alert(2)>", evil, "--data", "{}"];
    assert_eq!(folder.shop(named).code, 0);
    let mut page = Page::new().await;
    for path in ["/", "/dashboard"] {
        page.open(&shop.address, path).await;
        page.until("it is shown", "document.querySelector('.offers li.panel, #events tr')").await;
        if path == "/dashboard" {
            for id in ["events", "buttons-all", "buttons-now"] {
                let shown =
                    format!("document.getElementById('{id}').textContent.includes('<img src=x')");
                page.until(id, &shown).await;
            }
            page.click("#events button").await;
            page.until("it is inspected", "document.querySelector('#inspected pre')").await;
            let at = "((at) => { at.value = at.max; at.dispatchEvent(new Event('input')); return true; })\
                      (document.getElementById('at'))";
            page.until("the slider is moved", at).await;
            let shown = "document.getElementById('at-buttons').textContent.includes('<img src=x')";
            page.until("the time machine shows it", shown).await;
        }
        assert_eq!(page.eval("document.querySelectorAll('img[src=x]').length").await, 0);
        assert!(page.text("title").await.starts_with("Headwater shop"));
    }
    page.open(&shop.address, "/").await;
    let shown =
        format!("[...document.querySelectorAll('h3')].some((e) => e.textContent === {evil:?})");
    page.until("the title is text", &shown).await;
    page.is_quiet(&shop.address);
}

/// What it shows for a position is what the log held then; it plays forward by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_machine_goes_to_any_position() {
    let folder = Folder::new();
    let sent = folder.shop(["traffic", "--duration", "3s", "--rps", "100"]);
    assert_eq!(sent.code, 0, "{}", sent.err);
    let shop = Serving::start(command::shop(&folder.log()).args(["web", "--port", "0"]));
    let clicks = |until: u64| {
        let events = folder.shop(["events", "--json"]).out;
        let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let clicked = |event: &Value| {
            event["type"] == "button.clicked" && event["position"].as_u64() <= Some(until)
        };
        events.lines().map(event).filter(clicked).count()
    };
    let mut page = Page::new().await;
    page.open(&shop.address, "/dashboard").await;
    let sum = "[...document.querySelectorAll('#at-buttons b')]\
               .reduce((sum, b) => sum + Number(b.textContent), 0)";
    page.until("it is there", "!document.getElementById('machine').hidden").await;
    let last = page.eval("Number(document.getElementById('at').max)").await.as_u64().unwrap();
    for part in [1, 2, 3, 7, 2] {
        let position = last / part;
        let go = format!(
            "((at) => {{ at.value = {position}; at.dispatchEvent(new Event('input')); return true; }})\
             (document.getElementById('at'))"
        );
        page.until("it is moved", &go).await;
        let there = format!(
            "document.getElementById('at-words').textContent.startsWith(new Intl.NumberFormat('en').format({position}) + ' ')"
        );
        page.until("it is there", &there).await;
        assert_eq!(page.eval(sum).await.as_u64(), Some(clicks(position) as u64), "{position}");
    }
    page.click("#play").await;
    let end = format!("{sum} === {}", clicks(last));
    page.until("it has played to the end", &end).await;
    page.is_quiet(&shop.address);
}

/// From the press of a button to the confirmation; also when the server was killed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_event_log_tells_where_an_event_comes_from() {
    let folder = Folder::new();
    let shop = serve(&folder.log(), "0");
    let (address, port) = (shop.address.clone(), shop.port());
    let mut page = Page::new().await;
    page.open(&address, "/").await;
    page.click("[data-button=the-chemex-kit]").await;
    page.until_there_are(1, "#lines li").await;
    page.click("#checkout").await;
    page.until_there_are(2, "#steps .done").await;

    page.open(&address, "/dashboard").await;
    page.until("all are listed", "document.querySelectorAll('#events tr').length > 10").await;
    wanted(&mut page, "order.*").await;
    page.until_there_are(2, "#events tr").await;
    assert_eq!(page.texts("#events .type").await, ["order.confirmed", "order.placed"]);
    page.click("#events tr:last-child button").await;
    page.until_there_are(4, ".tree li").await;
    let chain = page.texts(".tree button").await;
    let types: Vec<_> = chain.iter().filter_map(|name| name.split(' ').next_back()).collect();
    assert_eq!(types, ["button.clicked", "cart.checked_out", "order.placed", "order.confirmed"]);
    page.click(".tree button").await;
    page.until(
        "the press of the button is shown",
        "document.querySelector('#inspected pre').textContent.includes('\"button_id\": \"checkout\"')",
    )
    .await;
    wanted(&mut page, "or*der").await;
    page.until("why not", "document.getElementById('wanted-words').textContent.length > 20").await;
    wanted(&mut page, "session-elsewhere").await;
    page.until("there is none", "document.querySelectorAll('#events tr').length === 0").await;

    let press = |folder: &Folder, id: u32| {
        let data = format!("{{\"button_id\":\"{id}\"}}");
        let append = ["append", "session-elsewhere", "button.clicked", "--data", &data];
        assert_eq!(folder.shop(append).code, 0);
    };
    press(&folder, 1);
    page.until_there_are(1, "#events tr").await;
    shop.end("-KILL");
    press(&folder, 2);
    let refusing = port.clone();
    tokio::task::spawn_blocking(move || refuse_a_feed(&refusing)).await.unwrap();
    let shop = serve(&folder.log(), &port);
    press(&folder, 3);
    page.until_there_are(3, "#events tr").await;
    let versions = page.texts("#events td:nth-child(4)").await;
    assert_eq!(versions, ["3", "2", "1"], "each once, and in order");
    page.click("#hold").await;
    press(&folder, 4);
    page.click("#hold").await;
    page.until_there_are(4, "#events tr").await;

    // The log is gone, and another one begins.
    shop.end("-KILL");
    for file in ["shop.db", "shop.db-wal", "shop.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    let shop = serve(&folder.log(), &port);
    press(&folder, 5);
    page.until_there_are(1, "#events tr").await;
    assert_eq!(page.texts("#events td:nth-child(4)").await, ["1"]);
    drop(shop);
}

/// Refuses all that is asked for on this port, until a feed was: a browser does not ask for it again by itself.
fn refuse_a_feed(port: &str) {
    for stream in TcpListener::bind(format!("127.0.0.1:{port}")).unwrap().incoming() {
        let (mut stream, mut head) = (stream.unwrap(), [0; 2_000]);
        let read = stream.read(&mut head).unwrap_or(0);
        let refusal =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(refusal.as_bytes());
        if head[..read].starts_with(b"GET /log/feed") {
            return;
        }
    }
}

/// Types what is to be listed into the event log.
async fn wanted(page: &mut Page, text: &str) {
    let typed = format!(
        "((it) => {{ it.value = {text:?}; it.dispatchEvent(new Event('input')); return true; }})\
         (document.getElementById('wanted'))"
    );
    page.until("it is typed", &typed).await;
}

/// The windows end with what happened last, and the charts reach back to what is long past.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_is_shown_by_its_own_clock() {
    let folder = Folder::new();
    let sold = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n\
                1,S1,Kettle,2,2011-03-01T10:00:00,30.00,,France\r\n\
                2,S2,Grinder,1,2011-03-02T12:30:00,40.00,,France\r\n";
    let imported = folder.import("online-retail", &folder.file("sold.csv", sold));
    assert_eq!(imported.added().1, 4, "{imported:?}");
    let web = ["web", "--port", "0", "--clock", "log"];
    let shop = Serving::start(command::shop(&folder.log()).args(web));
    let mut page = Page::new().await;
    page.open(&shop.address, "/dashboard").await;
    let there = |id: &str, text: &str| {
        format!("document.getElementById('{id}').textContent.includes({text:?})")
    };
    page.until("its time is told", &there("where", "2011-03-02 12:30:00 UTC")).await;
    page.until("30 days are shown", &there("sales-sum", "2 orders for £100")).await;
    page.until("of the day", &there("products", "Grinder")).await;
    assert!(!page.text("#products").await.contains("Kettle"), "it was sold the day before");
    // A visit of today is the newest event, until the past goes on.
    let data = "{\"button_id\":\"today\"}";
    assert_eq!(folder.shop(["append", "session-1", "button.clicked", "--data", data]).code, 0);
    page.until("it is today", &there("where", &Utc::now().format("%Y-%m-").to_string())).await;
    let later = sold.replace("1,S1", "3,S3").replace("2,S2", "4,S4").replace("2011", "2012");
    folder.import("online-retail", &folder.file("later.csv", later)).json();
    page.until("the past goes on", &there("where", "2012-03-02 12:30:00 UTC")).await;
    page.is_quiet(&shop.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_moves_by_itself() {
    let folder = Folder::new();
    let demo = demo(&folder).await;
    let mut page = Page::new().await;
    page.open(&demo.address, "/dashboard").await;
    page.until("an order", "Number(document.getElementById('orders').textContent) > 2").await;
    for id in ["position", "orders", "open", "revenue", "rate", "clicks", "sales-sum"] {
        let text = page.text(&format!("#{id}")).await;
        assert!(text.contains(|c: char| c.is_ascii_digit()), "{id} shows {text:?}");
    }
    let all = shop::app().names().len();
    assert_eq!(page.texts("#projections tr").await.len(), all, "each projection has a row");
    for drawn in [
        "#products .track",
        "#buttons-all .track",
        "#buttons-now .track",
        "#funnel .track",
        "[data-category=cart]",
    ] {
        page.until(drawn, &format!("document.querySelector({drawn:?})")).await;
    }
    let (water, coffee) = ([14, 117, 132], [180, 105, 42]);
    for (chart, colours) in [
        ("rate", vec![water]),
        ("clicks", vec![water, coffee]),
        ("sales", vec![water, coffee]),
        ("days", vec![water, coffee]),
    ] {
        for colour in colours {
            let drawn = format!("{}({chart:?}, {colour:?})", include_str!("drawn.js"));
            page.until(&format!("{chart} is drawn in {colour:?}"), &drawn).await;
        }
    }
    let row = "[data-projection=sales_days]";
    page.click(&format!("{row} [data-act=rebuild]")).await;
    let version = format!("document.querySelector('{row} td').textContent === '2'");
    page.until("it is rebuilt, while the page stays as it is", &version).await;
    page.click(&format!("{row} [data-act=pause]")).await;
    page.until(
        "it is paused",
        &format!("document.querySelector('{row}').textContent.includes('paused')"),
    )
    .await;
    page.click(&format!("{row} [data-act=resume]")).await;
    page.until(
        "it goes on",
        &format!("!document.querySelector('{row}').textContent.includes('paused')"),
    )
    .await;
    page.click("[data-how=product_minutes] summary").await;
    page.until_there_are(2, "[data-how=product_minutes] pre").await;
    page.click("[data-how=product_minutes] summary").await;
    let chosen = "(document.getElementById('by').value = 'views') === 'views'";
    page.until("views are chosen", chosen).await;
    page.until(
        "products by views",
        "document.getElementById('products-what').textContent.startsWith('views')",
    )
    .await;
    page.click("#join").await;
    page.until_there_are(all + 1, "#projections tr").await;
    page.until(
        "it has caught up with what was there before it",
        "document.querySelector('#busy').textContent.includes('most orders come between')",
    )
    .await;
    let before = page.text("#position").await;
    page.until(
        "it moves",
        &format!("document.getElementById('position').textContent !== {before:?}"),
    )
    .await;
    if std::env::var_os("HEADWATER_BLESS").is_some() {
        // The charts reach back two minutes.
        tokio::time::sleep(std::time::Duration::from_secs(110)).await;
    }
    page.picture("demo").await;
    page.prefer("dark").await;
    let drawn = format!("{}(\"rate\", [76, 186, 200])", include_str!("drawn.js"));
    page.until("charts are drawn in the colours of the dark", &drawn).await;
    let paper = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(page.eval(paper).await, "rgb(14, 20, 23)", "it is dark");
    page.prefer("light").await;
    for path in ["/", "/dashboard"] {
        page.resize(390, 844, true).await;
        page.open(&demo.address, path).await;
        let drawn = "document.querySelector('.offers li.panel, #projections tr')";
        page.until("it is drawn", drawn).await;
        let wide = page.eval("document.documentElement.scrollWidth").await;
        assert!(wide.as_u64() <= Some(390), "{path} is {wide} wide on a phone");
    }
    page.is_quiet(&demo.address);
}
