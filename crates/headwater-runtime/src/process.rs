//! Processes: whether an instance that says nothing any more has ended, where this can be known.
//!
//! A process that was killed on this machine need not be waited for until its leases run out.

use std::{path::Path, sync::LazyLock};

use headwater_core::{Instance, Leases, Log, Result};
use uuid::Uuid;

use crate::keeper::release;

/// A process, in the form `place/number/start`: the place is the boot of the machine and the namespace in
/// which processes have their numbers, the start is another one each time.
static OWN: LazyLock<String> =
    LazyLock::new(|| format!("{}/{}/{}", place(), std::process::id(), Uuid::now_v7()));

/// An instance in this process.
pub(crate) fn instance(name: &str, runs: Vec<Uuid>) -> Instance {
    Instance { id: Uuid::now_v7(), name: name.into(), process: OWN.clone(), runs }
}

/// What an operator knows this process by, unless told otherwise.
pub(crate) fn name() -> String {
    format!("{}:{}", host(), std::process::id())
}

/// Frees the work of instances whose processes have ended without a word; `true` where there were any.
pub(crate) async fn release_ended(log: &Log, leases: &Leases) -> Result<bool> {
    let mut any = false;
    for gone in leases.instances.iter().filter(|instance| has_ended(&instance.process, &OWN)) {
        tracing::warn!(instance = %gone.name, "its process has ended without giving its work up");
        release(log, gone).await?;
        any = true;
    }
    Ok(any)
}

/// Whether another process is known to have ended, as seen from the process `own`.
fn has_ended(process: &str, own: &str) -> bool {
    let parts = |process: &str| {
        let (rest, start) = process.rsplit_once('/')?;
        let (place, number) = rest.rsplit_once('/')?;
        Some((place.to_owned(), number.to_owned(), start.to_owned()))
    };
    let (Some((place, number, start)), Some(own)) = (parts(process), parts(own)) else {
        return false;
    };
    // Numbers mean something in their own namespace alone.
    let same_place = place == own.0 && place != NOWHERE;
    same_place && start != own.2 && (number == own.1 || is_missing(&number))
}

/// Whether there is no process of this number.
fn is_missing(number: &str) -> bool {
    !Path::new("/proc").join(number).exists()
}

/// A place in which nothing is known of other processes.
const NOWHERE: &str = "";

/// Where numbers of processes mean what they mean here.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        _ => NOWHERE.into(),
    }
}

/// The name of this host, as its processes see it.
fn host() -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = std::env::var("HOSTNAME").ok().or_else(kernel);
    named.map_or_else(|| "localhost".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_where_its_number_is_free_or_ours() {
        let own = "a/1/now";
        let pid = std::process::id();
        let linux = cfg!(target_os = "linux");
        for (process, ended) in [
            ("a/1/now", false),
            ("a/1/before", true),
            ("b/1/before", false),
            (&format!("a/{pid}/before"), false),
            ("a/4194305/before", linux),
            ("b/4194305/before", false),
            ("/1/before", false),
            ("nonsense", false),
        ] {
            assert_eq!(has_ended(process, own), ended, "{process}");
        }
        assert!(!has_ended("/2/before", "/1/now"), "nothing is known of that place");
    }
}
