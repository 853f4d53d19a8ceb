//! A service with a projection, and with a command of its own beside the operator's.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headwater::{App, Event, Fold, ReadModel, Recorded};
use headwater_cli::{Failure, Options, Output};

#[derive(Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened")]
    Opened { currency: String },
}

/// How many carts were opened in a currency.
#[derive(Clone, ReadModel)]
#[read_model(table = "currencies")]
struct Currency {
    #[key]
    currency: String,
    carts: i64,
}

impl Fold for Currency {
    type Event = CartEvent;

    fn keys(event: &Recorded<CartEvent>) -> Vec<String> {
        let CartEvent::Opened { currency } = &event.event;
        vec![currency.clone()]
    }

    fn fold(row: Option<Self>, key: &String, _: &Recorded<CartEvent>) -> Option<Self> {
        let carts = row.map_or(0, |row| row.carts) + 1;
        Some(Self { currency: key.clone(), carts })
    }
}

/// A service that counts carts.
#[derive(Parser)]
struct Service {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Headwater(headwater_cli::Command),
    /// Say how many carts were opened in each currency
    #[command(after_help = "Examples:\n  headwater currencies")]
    Currencies,
}

fn main() -> ExitCode {
    headwater_cli::start(|service: Service| async move {
        let options = service.options.or_database_url("sqlite://service.db");
        match service.command {
            Command::Headwater(command) => {
                let app = App::new().projection::<Currency>();
                headwater_cli::run(&options, command, &app).await
            }
            Command::Currencies => currencies(&options).await,
        }
    })
}

async fn currencies(options: &Options) -> Result<(), Failure> {
    let log = options.connect().await?;
    let rows = log.find::<Currency>("order by currency", &[]).await?;
    let mut output = Output::new(options);
    if output.is_json() {
        for row in rows {
            output.object(&serde_json::json!({"currency": row.currency, "carts": row.carts}))?;
        }
    } else {
        let rows = rows.into_iter().map(|row| [row.currency, row.carts.to_string()]);
        output.table(&["CURRENCY", "CARTS"], rows)?;
    }
    output.flush()
}
