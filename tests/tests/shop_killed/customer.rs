//! Customers of the shop: each request has a key, and is sent again until it is answered.

use headwater_testkit::eventually;
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use uuid::Uuid;

/// Somebody who fills carts and buys most of them.
pub struct Customer {
    pub rng: StdRng,
    /// Where the shop listens now.
    pub address: watch::Receiver<String>,
    /// How many requests of all customers were answered.
    pub answered: watch::Sender<u64>,
}

/// What was answered to one who has filled a cart.
#[derive(Debug)]
pub struct Filled {
    pub cart: String,
    /// The version and the types of the events of each command, in order.
    pub commands: Vec<(u64, Vec<String>)>,
    /// The order, where he bought it.
    pub order: Option<String>,
}

impl Customer {
    /// Fills carts until the sender of `stopped` says so.
    pub async fn run(mut self, stopped: watch::Receiver<bool>) -> Vec<Filled> {
        let mut filled = Vec::new();
        while !*stopped.borrow() {
            filled.push(self.fill().await);
        }
        filled
    }

    async fn fill(&mut self) -> Filled {
        let opened = self.ask("/carts", json!({"currency": "USD", "customer": "ann"})).await;
        let cart = text(&opened["cart_id"]);
        let mut commands = vec![command(&opened)];
        for _ in 0..self.rng.random_range(1..4) {
            let item = json!({"sku": "mug", "quantity": self.rng.random_range(1..5)});
            commands.push(command(&self.ask(&format!("/carts/{cart}/items"), item).await));
        }
        let mut order = None;
        if self.rng.random_bool(0.7) {
            let bought = self.ask(&format!("/carts/{cart}/checkout"), Value::Null).await;
            order = Some(text(&bought["order_id"]));
        }
        Filled { cart, commands, order }
    }

    /// Sends a request until it is answered.
    async fn ask(&mut self, path: &str, body: Value) -> Value {
        let key = Uuid::from_u128(self.rng.random()).to_string();
        let answer = eventually("the shop answers", async || {
            let address = self.address.borrow().clone();
            let (status, answer) = post(&address, path, &key, &body).await?;
            match status {
                200..=299 => Some(answer),
                503 => None,
                other => panic!("{path} {body}: {other} {answer}"),
            }
        });
        let answer = answer.await;
        self.answered.send_modify(|count| *count += 1);
        answer
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn command(answer: &Value) -> (u64, Vec<String>) {
    let events = answer["events"].as_array().unwrap().iter().map(text).collect();
    (answer["version"].as_u64().unwrap(), events)
}

/// Sends one request on a connection of its own; `None` where that broke.
pub async fn post(address: &str, path: &str, key: &str, body: &Value) -> Option<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, _, body) = send(address, &request).await?;
    // What was cut off is no answer.
    Some((status, serde_json::from_str(&body).ok()?))
}

/// Asks for a page; `None` where the connection broke.
pub async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    send(address, &request).await.map(|(status, _, body)| (status, body))
}

/// Sends a request as it stands; yields the answer's status, head and body.
pub async fn send(address: &str, request: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, format!("{head}\r\n"), body.to_owned()))
}
