//! A projection that hangs in the middle, over a log that is long enough for it.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use headwater::{BatchTx, ExpectedVersion::Any, Log, NewEvent, Recorded, Result, SqlProjection};

use tokio::sync::watch;

use crate::{account::AccountEvent, fixtures::stream};

/// Appends a thousand events to each of so many accounts; a rebuild of fifty takes several batches.
pub async fn fill(log: &Log, accounts: u32) {
    for n in 0..accounts {
        let opened = AccountEvent::Opened { owner: "everybody".into() };
        let events = iter::once(opened).chain(vec![AccountEvent::Booked { cents: 1 }; 999]);
        let events = events.map(|event| NewEvent::of(&event).expect("it is JSON"));
        let stream = stream(&format!("account-a{n}"));
        log.append(&stream, Any, events).await.expect("it is applied");
    }
}

/// Counts what it applies; its second batch hangs until the way is open.
#[derive(Clone, Debug, Default)]
pub struct Hanging {
    open: Arc<watch::Sender<bool>>,
    batches: Arc<AtomicU32>,
}

impl Hanging {
    /// One that does not hang.
    pub fn opened() -> Self {
        let hanging = Self::default();
        hanging.open();
        hanging
    }

    /// Lets it go on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

#[async_trait]
impl SqlProjection for Hanging {
    type Event = AccountEvent;
    const NAME: &'static str = "hanging";
    const TABLES: &'static [(&'static str, &'static str)] =
        &[("applied", "create table {applied} (events bigint not null)")];

    async fn apply(&self, tx: &mut BatchTx<'_>, events: &[Recorded<AccountEvent>]) -> Result<()> {
        if self.batches.fetch_add(1, Ordering::SeqCst) > 0 {
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.expect("it is kept here");
        }
        let count = i64::try_from(events.len()).expect("a test is small");
        tx.execute("insert into {applied} values ($1)", &[count.into()]).await.map(drop)
    }
}
