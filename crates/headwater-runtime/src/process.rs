//! Processes: whether an instance that says nothing any more has ended, where this can be known.
//!
//! A process that was killed on this host need not be waited for until its leases run out. Where the
//! guess is wrong, an instance loses its leases and looks for others: epochs keep the read models right.

use std::{path::Path, sync::LazyLock};

use headwater_core::{Instance, Leases, Log, Result};
use uuid::Uuid;

use crate::keeper::take_leave;

/// A process, in the form `host/number/start`, in which `start` is another one at each start.
static OWN: LazyLock<String> =
    LazyLock::new(|| format!("{}/{}/{}", host(), std::process::id(), Uuid::now_v7()));

/// An instance in this process.
pub(crate) fn instance(name: &str, runs: Vec<Uuid>) -> Instance {
    Instance { id: Uuid::now_v7(), name: name.into(), process: OWN.clone(), runs }
}

/// What an operator knows this process by, unless told otherwise.
pub(crate) fn name() -> String {
    format!("{}:{}", host(), std::process::id())
}

/// Frees the work of instances whose processes have ended without a word; `true` where there were any.
pub(crate) async fn bury(log: &Log, leases: &Leases) -> Result<bool> {
    let mut any = false;
    for gone in leases.instances.iter().filter(|instance| has_ended(&instance.process, &OWN)) {
        tracing::warn!(instance = %gone.name, "its process has ended without giving its work up");
        take_leave(log, gone).await?;
        any = true;
    }
    Ok(any)
}

/// Whether another process of this host is known to have ended, as seen from the process `own`.
fn has_ended(process: &str, own: &str) -> bool {
    let parts = |process: &str| {
        let (rest, start) = process.rsplit_once('/')?;
        let (host, number) = rest.rsplit_once('/')?;
        Some((host.to_owned(), number.to_owned(), start.to_owned()))
    };
    let (Some((host, number, start)), Some(own)) = (parts(process), parts(own)) else {
        return false;
    };
    // In a container that is started again its process has the same number as before.
    let same_number = number == own.1;
    host == own.0 && start != own.2 && (same_number || is_missing(&number))
}

/// Whether there is no process of this number; `false` where that cannot be known.
fn is_missing(number: &str) -> bool {
    Path::new("/proc/self").exists() && !Path::new("/proc").join(number).exists()
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
            ("nonsense", false),
        ] {
            assert_eq!(has_ended(process, own), ended, "{process}");
        }
    }
}
