//! A page in a headless Chromium, driven over the Chrome DevTools Protocol:
//! <https://chromedevtools.github.io/devtools-protocol/>.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use data_encoding::BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use headwater_testkit::{eventually, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::command::Process;

/// A page that a person looks at.
pub struct Page {
    _browser: Process,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    calls: u64,
    /// What the console has said that is no mere information, and errors that nobody has caught.
    pub complaints: Vec<String>,
    /// The addresses that it has asked.
    pub requests: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// A page of the size of a desk's screen, that shows nothing yet.
    pub async fn new() -> Self {
        let profile = TempDir::new().unwrap();
        let browser = Command::new(chromium())
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .spawn();
        let mut browser = Process(browser.unwrap());
        let mut lines = BufReader::new(browser.0.stderr.take().unwrap()).lines();
        let listens = lines.find_map(|line| line.ok()?.split_once("listening on ")?.1.parse().ok());
        let listens: String = listens.expect("Chromium says where it listens");
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let (socket, _) = connect_async(listens).await.unwrap();
        let (complaints, requests) = (Vec::new(), Vec::new());
        let mut page = Self {
            _browser: browser,
            socket,
            session: None,
            calls: 0,
            complaints,
            requests,
            _profile: profile,
        };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.call("Target.attachToTarget", attach).await;
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page.resize(1440, 1000, false).await;
        page
    }

    pub async fn open(&mut self, address: &str, path: &str) {
        let url = format!("http://{address}{path}");
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.until("it is loaded", "document.readyState === 'complete'").await;
    }

    pub async fn resize(&mut self, width: u32, height: u32, mobile: bool) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub async fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What an expression of JavaScript yields.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", ask).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub async fn until(&mut self, what: &str, expression: &str) {
        let truth = format!("Boolean({expression})");
        let page = tokio::sync::Mutex::new(self);
        eventually(what, async || {
            let truth = page.lock().await.eval(&truth).await;
            (truth == true).then_some(())
        })
        .await;
    }

    /// Waits until so many are there.
    pub async fn until_there_are(&mut self, count: usize, selector: &str) {
        let counted = format!("document.querySelectorAll({selector:?}).length === {count}");
        self.until(&format!("{count} of {selector}"), &counted).await;
    }

    pub async fn click(&mut self, selector: &str) {
        let there = format!("((e) => e && !e.disabled)(document.querySelector({selector:?}))");
        self.until(selector, &there).await;
        self.eval(&format!("document.querySelector({selector:?}).click()")).await;
    }

    pub async fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({selector:?})?.textContent")).await;
        text.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// The texts of all that a selector finds.
    pub async fn texts(&mut self, selector: &str) -> Vec<String> {
        let all = format!("[...document.querySelectorAll({selector:?})].map((e) => e.textContent)");
        serde_json::from_value(self.eval(&all).await).unwrap()
    }

    /// Keeps a picture of it in `docs/images`, where that is asked for; elsewhere it is drawn all the same.
    pub async fn picture(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let png = BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        assert!(png.len() > 10_000, "{name} shows next to nothing");
        if std::env::var_os("HEADWATER_BLESS").is_some() {
            let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/images");
            fs::write(format!("{images}/{name}.png"), png).unwrap();
        }
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        within(method, async {
            loop {
                let message = self.socket.next().await.expect("the browser is there").unwrap();
                let Ok(text) = message.into_text() else { continue };
                let mut message: Value = serde_json::from_str(&text).unwrap();
                if message["id"] == id {
                    assert!(message.get("error").is_none(), "{method}: {message}");
                    return message["result"].take();
                }
                self.note(&message);
            }
        })
        .await
    }

    fn note(&mut self, event: &Value) {
        let of = &event["params"];
        match event["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                let address = of["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(address.to_owned());
            }
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(of["exceptionDetails"].to_string())
            }
            Some("Runtime.consoleAPICalled") if of["type"] != "log" => {
                self.complaints.push(of["args"].to_string());
            }
            Some("Log.entryAdded") if of["entry"]["level"] == "error" => {
                self.complaints.push(of["entry"].to_string());
            }
            _ => {}
        }
    }

    /// Fails where the page has complained, or has asked another host than its own.
    pub fn is_quiet(&self, address: &str) {
        assert_eq!(self.complaints, Vec::<String>::new());
        let own = |url: &&String| url.starts_with(&format!("http://{address}/"));
        let others: Vec<_> = self.requests.iter().filter(|url| !own(url)).collect();
        assert_eq!(others, Vec::<&String>::new(), "it asks its own host alone");
    }
}

fn chromium() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let browser = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    browser.expect(
        "this test looks at the page in a browser: install Chromium (`apt-get install chromium`)",
    )
}
