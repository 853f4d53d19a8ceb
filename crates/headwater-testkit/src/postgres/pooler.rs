//! PgBouncer in transaction mode, before the server that this process shares, for a role that is neither a
//! superuser nor the owner of its database.

use std::{
    fs, io,
    path::Path,
    str::FromStr as _,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use super::{
    SHARED, TestDatabase,
    guardian::Guardian,
    local::User,
    provider, run,
    server::{free_port, make_directory},
};

/// The role that goes through the pooler. It has the password of the server's own.
const ROLE: &str = "headwater_plain";

/// Where the pooler of this process listens.
static POOLER: OnceCell<u16> = OnceCell::const_new();

/// The URL of a test's database through PgBouncer, which lends the server's sessions for a transaction
/// each.
///
/// # Panics
///
/// Where there is no PgBouncer, naming what to install.
pub async fn pooled(database: &TestDatabase) -> String {
    if is_pooled(database.url()) {
        return database.url().to_owned();
    }
    let port = POOLER.get_or_init(|| async {
        start().await.unwrap_or_else(|reason| {
            panic!(
                "these tests go through PgBouncer ({reason}): install it (Debian: apt-get install \
                 pgbouncer)"
            )
        })
    });
    let port = port.await;
    let options = PgConnectOptions::from_str(database.url()).expect("the URL of a test database");
    let server = format!("@{}:{}/", options.get_host(), options.get_port());
    assert!(database.url().contains(&server), "a pooler needs a URL with user, host and port");
    let grant = format!(
        "grant create on database {} to {ROLE}; grant create on schema public to {ROLE}",
        database.name()
    );
    run(database.url(), grant).await.expect("an owner may grant");
    plainly(database).replace(&server, &format!("@127.0.0.1:{port}/"))
}

/// The URL of a database for the same role, past the pooler.
pub(crate) fn plainly(database: &TestDatabase) -> String {
    let (user, _) = login(database.url()).expect("a pooler needs a URL with user and password");
    database.url().replacen(&format!("//{user}:"), &format!("//{ROLE}:"), 1)
}

/// Whether a URL is of that role.
pub(super) fn is_pooled(url: &str) -> bool {
    login(url).is_ok_and(|(user, _)| user == ROLE)
}

/// The user and the password of a URL.
fn login(url: &str) -> Result<(&str, &str), String> {
    let (login, _) =
        url.split_once("://").map_or(url, |(_, rest)| rest).split_once('@').ok_or("no user")?;
    Ok(login.split_once(':').ok_or("the test server's URL has no password")?)
}

async fn start() -> Result<u16, String> {
    let url = SHARED.get_or_init(provider::start).await;
    let port = free_port().map_err(|error| error.to_string())?;
    let (_, password) = login(url)?;
    let role = format!(
        "do $$ begin create role {ROLE}; exception when duplicate_object or unique_violation then end $$;
         alter role {ROLE} login nosuperuser password '{password}'"
    );
    run(url, role).await.map_err(|error| error.to_string())?;
    let mut guardian = guard(url, port)?;
    let mut options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    options = options.host("127.0.0.1").port(port).extra_float_digits(None);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = PgConnection::connect_with(&options).await.map(PgConnection::close) {
        if Instant::now() > deadline {
            let log = guardian.ask("log").unwrap_or_default();
            return Err(format!("{error}; its log ends with: {log}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It ends the pooler when this process is gone.
    std::mem::forget(guardian);
    Ok(port)
}

fn guard(url: &str, port: u16) -> Result<Guardian, String> {
    let directory = make_directory().map_err(|error| error.to_string())?;
    let guardian = configure(&directory, url, port).and_then(|user| {
        let arguments = ["-c", include_str!("pooler.sh"), "pooler", &directory.to_string_lossy()];
        let mut guardian = Guardian::start(user.command("/bin/sh", &arguments)?)?;
        guardian.answer().map(|_started| guardian)
    });
    if guardian.is_err() {
        let _ = fs::remove_dir_all(&directory);
    }
    guardian
}

/// Writes down how the pooler is to work, and yields as whom.
fn configure(directory: &Path, url: &str, port: u16) -> Result<User, String> {
    let (name, password) = login(url)?;
    let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    let users = directory.join("users");
    let settings = format!(
        "[databases]\n* = host={} port={}\n\
         [pgbouncer]\npool_mode = transaction\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\nmax_client_conn = 1000\n\
         default_pool_size = 20\nserver_idle_timeout = 5\n",
        options.get_host(),
        options.get_port(),
        users.display()
    );
    let user = User::choose(directory)?;
    let write = |path: &Path, text: String| -> Result<(), String> {
        fs::write(path, "").map_err(|error: io::Error| error.to_string())?;
        user.own(path, 0o600)?;
        fs::write(path, text).map_err(|error| error.to_string())
    };
    let all = [name, ROLE].map(|name| format!("\"{name}\" \"{password}\"\n"));
    write(&users, all.concat())?;
    write(&directory.join("pgbouncer.ini"), settings)?;
    user.own(directory, 0o700)?;
    Ok(user)
}
