//! `status`: how the cluster is. Looks only.

use super::{Exit, Session, load, look, print_problems};
use crate::causes::{self, Sick, telling};
use crate::cli::{Global, Status as Options};
use crate::daemon::{DaemonId, Kind};
use crate::facts::Facts;
use crate::host::{Fleet, Host};
use crate::inventory::Inventory;
use crate::report::unheard;
use crate::status::{self, NodeStatus, Status};

/// Lines of the log of a daemon that does not run.
const LOG_LINES: usize = 5;
/// Lines that are read to find them: a crash writes thousands.
const LOG_READ: usize = 2000;

pub(super) async fn run(global: &Global, options: &Options) -> Exit {
    let look = look(global);
    // what the nodes' volume drivers are compared with
    let loaded = match load(global, look).and_then(|mut loaded| match loaded.read_programs(false) {
        Ok(()) => Ok(loaded),
        Err(problems) => Err(print_problems(look, &problems)),
    }) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(pause) = options.watch else {
        let session = Session::open(loaded, look, true).await;
        let status = take(&session.fleet, &session.want).await;
        session.close().await;
        look.print_status(&status);
        return if status_is_well(&status) { Exit::Done } else { Exit::NotThere };
    };
    let mut seen = Exit::Stopped;
    let watch = async {
        let mut session = Session::open(loaded.clone(), look, true).await;
        loop {
            let status = take(&session.fleet, &session.want).await;
            seen = if status_is_well(&status) { Exit::Done } else { Exit::NotThere };
            let enough = !look.print_status_again(&status)
                || tokio::select! {
                    () = unheard() => true,
                    () = tokio::time::sleep(pause) => false,
                };
            if enough {
                session.close().await;
                return;
            }
            // a node that was off, or whose connection was lost, may be back
            if status.nodes.iter().any(|n| !n.reachable) {
                session.close().await;
                session = Session::open(loaded.clone(), look, true).await;
            }
        }
    };
    tokio::select! {
        () = watch => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    seen
}

fn status_is_well(status: &Status) -> bool {
    status.health.as_deref() == Some("HEALTH_OK")
        && status.nodes.iter().all(|n| n.reachable)
        && status.drift.is_empty()
}

async fn take<H: Host>(fleet: &Fleet<H>, want: &Inventory) -> Status {
    let facts = fleet.observe().await;
    let mut status = status::of(want, &facts);
    let explained = status.nodes.iter_mut().map(|node| explain(fleet, &facts, node));
    futures_util::future::join_all(explained).await;
    status
}

/// Adds what the logs of a node's ailing daemons say, and the causes that are known.
async fn explain<H: Host>(fleet: &Fleet<H>, facts: &Facts, node: &mut NodeStatus) {
    let (Some(host), Some(seen)) = (fleet.get(&node.name), facts.node(&node.name)) else { return };
    for daemon in node.daemons.iter_mut().filter(|d| d.is_ailing()) {
        let Some(kind) = Kind::parse(&daemon.kind) else { continue };
        let id = DaemonId { kind, id: daemon.id.clone() };
        let container = seen.container(&id.container());
        let log = match container {
            // a log that cannot be had is no reason to show nothing
            Some(_) => host.logs(&id, LOG_READ).await.unwrap_or_default(),
            None => Vec::new(),
        };
        daemon.log = telling(&log, LOG_LINES);
        daemon.cause = causes::explain(&Sick::seen(&id, container, &log));
    }
}
