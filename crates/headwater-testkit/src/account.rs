//! A small domain that the tests share: accounts, their balances and the turnover of each day.
//!
//! Written by hand where a user would derive, so that a fault in a derive fails one test and not all.

use async_trait::async_trait;
use headwater::{
    Aggregate, BatchTx, Column, ColumnType, Event, EventType, Fold, Lifecycle, ReadModel, Recorded,
    Result, SqlProjection, Table, Upcaster, Value, ValueError, codec,
    store::{Definition, TableDefinition},
};
use serde::{Deserialize, Serialize, de::Error as _};

/// What happens to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AccountEvent {
    /// It was opened: `account.opened`.
    Opened {
        /// Who owns it.
        owner: String,
    },
    /// Money went to another account: `account.transferred`, which touches two balances.
    Transferred {
        /// The account that got it.
        to: String,
        /// How much, in cents.
        cents: i64,
    },
    /// It was closed: `account.closed`, after which it has no balance.
    Closed {
        /// Why.
        reason: String,
    },
    /// Money came or went: `account.booked`, whose first schema counted whole units.
    Booked {
        /// How much, in cents; negative where it went.
        cents: i64,
    },
}

#[derive(Deserialize)]
struct BookedV1 {
    amount: i64,
}

#[derive(Serialize)]
struct BookedV2 {
    cents: i64,
}

impl Event for AccountEvent {
    fn types() -> Vec<EventType> {
        let booked = Upcaster {
            from: 1,
            to: 2,
            upcast: |data| codec::upcast(|v1: BookedV1| BookedV2 { cents: v1.amount * 100 }, data),
        };
        let category = "account";
        vec![
            EventType { name: "account.opened", version: 1, category, upcasters: vec![] },
            EventType { name: "account.transferred", version: 1, category, upcasters: vec![] },
            EventType { name: "account.closed", version: 1, category, upcasters: vec![] },
            EventType { name: "account.booked", version: 2, category, upcasters: vec![booked] },
        ]
    }

    fn event_type(&self) -> (&'static str, u32) {
        match self {
            Self::Opened { .. } => ("account.opened", 1),
            Self::Transferred { .. } => ("account.transferred", 1),
            Self::Closed { .. } => ("account.closed", 1),
            Self::Booked { .. } => ("account.booked", 2),
        }
    }

    fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn decode(name: &str, data: &str) -> Option<Result<Self, serde_json::Error>> {
        let known = Self::types().iter().any(|event_type| event_type.name == name);
        let of_this_type = |event: Self| match event.event_type() {
            (own, _) if own == name => Ok(event),
            (other, _) => {
                Err(serde_json::Error::custom(format!("{name} with the fields of {other}")))
            }
        };
        known.then(|| serde_json::from_str(data).and_then(of_this_type))
    }
}

/// The state of an account that decisions are made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whether it was opened.
    pub open: bool,
    /// Its balance, in cents.
    pub cents: i64,
    /// How many bookings it has seen.
    pub bookings: u64,
}

/// Why an account refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not opened.
    NotOpen,
    /// It was opened before.
    AlreadyOpen,
    /// It holds less than that.
    Overdrawn,
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Transferred { cents, .. } => self.cents -= cents,
            AccountEvent::Closed { .. } => self.open = false,
            AccountEvent::Booked { cents } => {
                self.cents += cents;
                self.bookings += 1;
            }
        }
    }
}

impl Account {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where it was opened before.
    pub fn open(&self, owner: &str) -> Result<Vec<AccountEvent>, Refusal> {
        if self.open {
            return Err(Refusal::AlreadyOpen);
        }
        Ok(vec![AccountEvent::Opened { owner: owner.into() }])
    }

    /// Books an amount.
    ///
    /// # Errors
    ///
    /// Where it is not open, or would be overdrawn.
    pub fn book(&self, cents: i64) -> Result<Vec<AccountEvent>, Refusal> {
        if !self.open {
            return Err(Refusal::NotOpen);
        }
        if self.cents + cents < 0 {
            return Err(Refusal::Overdrawn);
        }
        Ok(vec![AccountEvent::Booked { cents }])
    }
}

/// The balance of an account: a fold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance {
    /// The account.
    pub account: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// The balance, in cents.
    pub cents: i64,
    /// How many bookings.
    pub bookings: i64,
}

impl ReadModel for Balance {
    type Key = String;

    fn table() -> Table {
        let column = |name, column_type, key, nullable| Column { name, column_type, key, nullable };
        Table {
            name: "balances",
            columns: vec![
                column("account", ColumnType::Text, true, false),
                column("owner", ColumnType::Text, false, true),
                column("cents", ColumnType::Int, false, false),
                column("bookings", ColumnType::Int, false, false),
            ],
        }
    }

    fn key(&self) -> String {
        self.account.clone()
    }

    fn key_values(key: &String) -> Vec<Value> {
        vec![key.as_str().into()]
    }

    fn to_values(&self) -> Vec<Value> {
        let Self { account, owner, cents, bookings } = self.clone();
        vec![Value::Text(account), owner.into(), cents.into(), bookings.into()]
    }

    fn from_values(values: Vec<Value>) -> Result<Self, ValueError> {
        let columns = ["account", "owner", "cents", "bookings"].map(str::to_owned).to_vec();
        let row = headwater::Row { columns: columns.into(), values };
        Ok(Self {
            account: row.get("account")?,
            owner: row.get("owner")?,
            cents: row.get("cents")?,
            bookings: row.get("bookings")?,
        })
    }
}

impl Fold for Balance {
    type Event = AccountEvent;

    fn keys(event: &Recorded<AccountEvent>) -> Vec<String> {
        let own = event.stream.id().to_owned();
        match &event.event {
            AccountEvent::Transferred { to, .. } => vec![own, to.clone()],
            _ => vec![own],
        }
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<AccountEvent>) -> Option<Self> {
        let mut row = row.unwrap_or_else(|| Self {
            account: key.clone(),
            owner: None,
            cents: 0,
            bookings: 0,
        });
        match &event.event {
            AccountEvent::Closed { .. } => return None,
            AccountEvent::Transferred { to, cents } if to == key => row.cents += cents,
            AccountEvent::Transferred { cents, .. } => row.cents -= cents,
            AccountEvent::Opened { owner } => row.owner = Some(owner.clone()),
            AccountEvent::Booked { cents } => {
                row.cents += cents;
                row.bookings += 1;
            }
        }
        Some(row)
    }
}

/// The definition that the runner makes of [`Balance`].
pub fn balances() -> Definition {
    Definition::new(
        "balances",
        1,
        &AccountEvent::types(),
        vec![TableDefinition::Columns(Balance::table())],
    )
}

/// Who opened how many accounts: a projection in SQL, which reads one type of event alone.
#[derive(Clone, Copy, Debug)]
pub struct Owners;

/// The one event that [`Owners`] reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Who owns it.
    pub owner: String,
}

impl Event for AccountOpened {
    fn types() -> Vec<EventType> {
        let (name, category) = ("account.opened", "account");
        vec![EventType { name, version: 1, category, upcasters: vec![] }]
    }

    fn event_type(&self) -> (&'static str, u32) {
        ("account.opened", 1)
    }

    fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn decode(name: &str, data: &str) -> Option<Result<Self, serde_json::Error>> {
        (name == "account.opened").then(|| serde_json::from_str(data))
    }
}

#[async_trait]
impl SqlProjection for Owners {
    type Event = AccountOpened;
    const NAME: &'static str = "owners";
    const TABLES: &'static [(&'static str, &'static str)] =
        &[("owners", "create table {owners} (owner text primary key, accounts bigint not null)")];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountOpened>]) -> Result<()> {
        for event in events {
            let sql = "insert into {owners} (owner, accounts) values ($1, 1) \
                       on conflict (owner) do update set accounts = {owners}.accounts + 1";
            tx.execute(sql, &[event.event.owner.as_str().into()]).await?;
        }
        Ok(())
    }
}

/// A read model of other code over the table of the balances.
macro_rules! balance_of_other_code {
    ($(#[$doc:meta])* $visible:vis $balance:ident) => {
        $(#[$doc])*
        $visible struct $balance(pub(crate) Balance);

        impl headwater::ReadModel for $balance {
            type Key = String;

            fn table() -> headwater::Table {
                Balance::table()
            }

            fn key(&self) -> String {
                self.0.key()
            }

            fn key_values(key: &String) -> Vec<headwater::Value> {
                Balance::key_values(key)
            }

            fn to_values(&self) -> Vec<headwater::Value> {
                self.0.to_values()
            }

            fn from_values(values: Vec<headwater::Value>) -> headwater::Result<Self, headwater::ValueError> {
                Balance::from_values(values).map(Self)
            }
        }
    };
}

// Of the code from before the first transfer.

pub(crate) use balance_of_other_code;

balance_of_other_code! {
    /// The balances, as the same code makes them in the appends' own transactions.
    pub InlineBalance
}

impl Fold for InlineBalance {
    type Event = AccountEvent;
    const LIFECYCLE: Lifecycle = Lifecycle::Inline;

    fn keys(event: &Recorded<AccountEvent>) -> Vec<String> {
        Balance::keys(event)
    }

    fn fold(row: Option<Self>, key: &String, event: &Recorded<AccountEvent>) -> Option<Self> {
        Balance::fold(row.map(|row| row.0), key, event).map(Self)
    }
}

/// The balances in partitions.
macro_rules! partitioned_balance {
    ($(#[$doc:meta])* $visible:vis $balance:ident, $partitions:literal $(, $on_failure:ident)?) => {
        $crate::account::balance_of_other_code! {
            $(#[$doc])*
            $visible $balance
        }

        impl headwater::Fold for $balance {
            type Event = AccountEvent;
            const PARTITIONS: u32 = $partitions;
            $(const ON_FAILURE: headwater::FailurePolicy = headwater::FailurePolicy::$on_failure;)?

            fn keys(event: &headwater::Recorded<AccountEvent>) -> Vec<String> {
                <Balance as headwater::Fold>::keys(event)
            }

            fn fold(
                row: Option<Self>,
                key: &String,
                event: &headwater::Recorded<AccountEvent>,
            ) -> Option<Self> {
                // An account that is closed for the reason of its own name is more than it can take.
                assert!(!matches!(&event.event, AccountEvent::Closed { reason } if reason == key));
                let row = row.map(|row| row.0);
                <Balance as headwater::Fold>::fold(row, key, event).map(Self)
            }
        }
    };
}

pub(crate) use partitioned_balance;

partitioned_balance! {
    /// The balances in four partitions.
    pub PartitionedBalance, 4
}
