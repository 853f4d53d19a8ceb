//! Which server the tests take: one that runs already, a container, or a local installation.

use super::{docker, local, server};

/// The URL of the server, started where it must be. It lives as long as this process.
pub(super) async fn start() -> String {
    let forced = std::env::var("HEADWATER_TEST_POSTGRES").ok();
    match forced.as_deref() {
        Some("env") => from_environment()
            .unwrap_or_else(|| panic!("HEADWATER_TEST_POSTGRES=env needs TEST_DATABASE_URL")),
        Some("docker") => docker::start().await.unwrap_or_else(|reason| {
            panic!("HEADWATER_TEST_POSTGRES=docker, but no container could be started: {reason}")
        }),
        Some("local") => start_local().await.unwrap_or_else(|reason| {
            panic!("HEADWATER_TEST_POSTGRES=local, but no server could be started: {reason}")
        }),
        Some(other) => {
            panic!("HEADWATER_TEST_POSTGRES must be env, docker or local, and is {other:?}")
        }
        None => start_first().await,
    }
}

async fn start_first() -> String {
    if let Some(url) = from_environment() {
        return url;
    }
    if docker::engine_answers() {
        match docker::start().await {
            Ok(url) => return url,
            Err(reason) => println!("no PostgreSQL from Docker ({reason}): trying local binaries"),
        }
    }
    match start_local().await {
        Ok(url) => url,
        Err(reason) => panic!(
            "PostgreSQL for tests is missing ({reason}): install PostgreSQL 15 or newer \
             (Debian: apt-get install postgresql), start Docker, or set TEST_DATABASE_URL"
        ),
    }
}

fn from_environment() -> Option<String> {
    std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())
}

async fn start_local() -> Result<String, String> {
    let binaries = local::find()?;
    let server = server::Server::start(&binaries).await?;
    let url = server.url("postgres");
    // Its guardian ends the server when this process is gone.
    std::mem::forget(server);
    Ok(url)
}
