//! PostgreSQL in a container, where a Docker engine answers.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::net::UnixStream,
    process::Command,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    core::{IntoContainerPort as _, WaitFor},
    runners::AsyncRunner as _,
};

use super::guardian::Guardian;

const SOCKET: &str = "/var/run/docker.sock";

/// Whether it is worth a try: the engine's socket takes a connection.
pub(super) fn engine_answers() -> bool {
    match std::env::var("DOCKER_HOST").ok().as_deref() {
        Some(host) if host.starts_with("tcp://") => {
            let address = host.trim_start_matches("tcp://").to_socket_addrs();
            address.ok().and_then(|mut all| all.next()).is_some_and(|address| {
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
            })
        }
        Some(host) => UnixStream::connect(host.trim_start_matches("unix://")).is_ok(),
        None => UnixStream::connect(SOCKET).is_ok(),
    }
}

/// Starts a container on a thread with a runtime of its own: the one of the first test ends with it.
pub(super) async fn start() -> Result<String, String> {
    if !engine_answers() {
        return Err("no Docker engine answers".into());
    }
    tokio::task::spawn_blocking(|| {
        let started = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let url = runtime.block_on(start_container());
            // The container's client lives in this runtime as long as the process does.
            std::mem::forget(runtime);
            url
        });
        started.join().unwrap_or_else(|_| Err("the Docker client failed".into()))
    })
    .await
    .map_err(|error| error.to_string())?
}

async fn start_container() -> Result<String, String> {
    let image = std::env::var("HEADWATER_TEST_IMAGE").unwrap_or("postgres:17-alpine".into());
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
        _ => (image, "latest".to_owned()),
    };
    let password = super::random_password();
    let container = GenericImage::new(name, tag)
        .with_exposed_port(5432.tcp())
        // The image starts the server twice; only the second one is for clients.
        .with_wait_for(WaitFor::message_on_stderr("database system is ready to accept connections"))
        .with_env_var("POSTGRES_PASSWORD", &password)
        .with_env_var("POSTGRES_INITDB_ARGS", "--auth-host=scram-sha-256 --locale=C")
        .with_cmd(["postgres", "-c", "max_connections=200"])
        .with_startup_timeout(Duration::from_secs(120))
        .start()
        .await
        .map_err(|error| error.to_string())?;
    guard(&container);
    let host = container.get_host().await.map_err(|error| error.to_string())?;
    let port = container.get_host_port_ipv4(5432).await.map_err(|error| error.to_string())?;
    let url = format!("postgres://postgres:{password}@{host}:{port}/postgres");
    let ready = wait_until_ready(&url).await;
    if ready.is_ok() {
        std::mem::forget(container);
    }
    ready.map(|()| url)
}

async fn wait_until_ready(url: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let Err(error) = PgConnection::connect(url).await else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(error.to_string());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Removes the container when this process has ended, by the command line or the engine's own API.
fn guard(container: &ContainerAsync<GenericImage>) {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "cat >/dev/null; docker rm --force --volumes \"$1\" || \
         curl --silent --unix-socket \"$2\" --request DELETE \
              \"http://localhost/containers/$1?force=true&v=true\"",
        "guardian",
        container.id(),
        SOCKET,
    ]);
    match Guardian::start(command) {
        Ok(guardian) => std::mem::forget(guardian),
        Err(reason) => println!("container {} will stay behind: {reason}", container.id()),
    }
}
