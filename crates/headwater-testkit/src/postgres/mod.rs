//! PostgreSQL for tests: a real server, shared by the test process, and a fresh database per call.
//!
//! The server comes from the first of these that works:
//!
//! 1. `TEST_DATABASE_URL`: a server that runs already, with a role that may create databases, and a role for
//!    those tests that go through a pooler;
//! 2. Docker, where an engine answers: the image `HEADWATER_TEST_IMAGE`, `postgres:17-alpine` by
//!    default;
//! 3. the binaries of a local installation, 15 or newer: a cluster in a temporary directory.
//!
//! `HEADWATER_TEST_POSTGRES=env|docker|local` insists on one of them. With `HEADWATER_TEST_POOLER=pgbouncer` what
//! is tested reaches its database through PgBouncer in transaction mode, as a plain role. A test is never skipped for
//! want of a server: it fails, with a sentence that says what to install. A server that was started
//! here is gone when the test process has ended, in whatever way.

mod docker;
mod guardian;
mod local;
mod pooler;
mod provider;
mod proxy;
mod server;

use std::{env, fmt, str::FromStr};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub(crate) use pooler::plainly;
pub use pooler::pooled;
pub use proxy::Proxy;
pub use server::Server;

/// Where the server of this process listens.
static SHARED: OnceCell<String> = OnceCell::const_new();

/// A fresh, empty database, which goes when this is dropped.
pub struct TestDatabase {
    url: String,
    name: String,
    admin_url: String,
}

// The URL holds a password.
impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Creates a fresh, empty database on the server that this process shares.
///
/// # Panics
///
/// Where there is no server and none can be started.
pub async fn database() -> TestDatabase {
    let mut database = direct_database().await;
    match env::var("HEADWATER_TEST_POOLER").as_deref() {
        Err(_) | Ok("") => {}
        Ok("pgbouncer") => database.url = pooled(&database).await,
        Ok(other) => panic!("HEADWATER_TEST_POOLER is {other:?}, and must be pgbouncer"),
    }
    database
}

/// The same without a pooler, whatever the other tests have: for what a pooler keeps from its clients, such as
/// notifications, the settings of a session, and roles that it does not know.
///
/// # Panics
///
/// As [`database`] does.
pub async fn direct_database() -> TestDatabase {
    let admin_url = SHARED.get_or_init(provider::start).await.clone();
    let name = format!("headwater_test_{}", Uuid::now_v7().simple());
    create_database(&admin_url, &name).await;
    TestDatabase { url: with_database(&admin_url, &name), name, admin_url }
}

/// A connection for what a test asks the server itself: past a pooler that lies before it, as its superuser.
///
/// # Panics
///
/// Where there is no such database.
pub async fn direct(url: &str) -> PgConnection {
    let admin_url = SHARED.get().filter(|_| pooler::is_pooled(url));
    let url =
        admin_url.map_or(url.to_owned(), |admin_url| with_database(admin_url, database_of(url)));
    PgConnection::connect(&url).await.expect("the test server takes connections")
}

impl TestDatabase {
    /// The URL of the database, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    // On a thread of its own, since a runtime cannot be entered twice. Best effort: a server that
    // was started here goes as a whole in any case.
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(drop_database(&url, &name));
            }
        });
        let _ = dropped.join();
    }
}

/// 256 bits from the system's generator: the server listens on the loopback interface, where
/// everybody on the machine can reach it.
fn random_password() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

async fn create_database(admin_url: &str, name: &str) {
    // From template0, which nobody can be connected to: any number at the same moment.
    let sql = format!("create database {name} template template0");
    if let Err(error) = run(admin_url, sql).await {
        panic!("the test server must allow `create database`, and it does not: {error}");
    }
}

async fn drop_database(admin_url: &str, name: &str) {
    let _ = run(admin_url, format!("drop database if exists {name} with (force)")).await;
}

async fn run(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let mut connection =
        PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// The same URL with another database in its path.
fn with_database(url: &str, database: &str) -> String {
    let (head, parameters) = match url.split_once('?') {
        Some((head, parameters)) => (head, format!("?{parameters}")),
        None => (url, String::new()),
    };
    format!("{}/{database}{parameters}", &head[..end_of_authority(head)])
}

/// The database in a URL's path.
fn database_of(url: &str) -> &str {
    let head = url.split_once('?').map_or(url, |(head, _)| head);
    head[end_of_authority(head)..].trim_start_matches('/')
}

fn end_of_authority(url: &str) -> usize {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    url[authority..].find('/').map_or(url.len(), |slash| authority + slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_can_name_another_database() {
        for (url, other) in [
            ("postgres://a:b@host:5/shop", "postgres://a:b@host:5/x"),
            ("postgres://host", "postgres://host/x"),
            ("postgres://host/shop?sslmode=disable", "postgres://host/x?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "x"), other);
            assert_eq!(database_of(other), "x");
        }
    }
}
