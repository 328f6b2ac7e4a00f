//! `status`: how the cluster is. Looks only.

use super::{Exit, Session, load, look, print_problems};
use crate::cli::{Global, Status as Options};
use crate::daemon::{DaemonId, Kind};
use crate::host::{Fleet, Host};
use crate::inventory::Inventory;
use crate::status::{self, DaemonState, Status};
use crate::watchdog::telling;

/// Lines of the log of a daemon that does not run.
const LOG_LINES: usize = 5;
/// Lines that are read to find them.
const LOG_READ: usize = 300;

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
    let mut session = Session::open(loaded.clone(), look, true).await;
    loop {
        let status = take(&session.fleet, &session.want).await;
        look.print_status_again(&status);
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                session.close().await;
                return if status_is_well(&status) { Exit::Done } else { Exit::NotThere };
            }
            () = tokio::time::sleep(pause) => {}
        }
        // a node that was off, or whose connection was lost, may be back
        if status.nodes.iter().any(|n| !n.reachable) {
            session.close().await;
            session = Session::open(loaded.clone(), look, true).await;
        }
    }
}

fn status_is_well(status: &Status) -> bool {
    status.health.as_deref() == Some("HEALTH_OK")
        && status.nodes.iter().all(|n| n.reachable)
        && status.drift.is_empty()
}

async fn take<H: Host>(fleet: &Fleet<H>, want: &Inventory) -> Status {
    let facts = fleet.observe().await;
    let mut status = status::of(want, &facts);
    for node in &mut status.nodes {
        let Some(host) = fleet.get(&node.name) else { continue };
        for daemon in node.daemons.iter_mut().filter(|d| is_ailing(d.state)) {
            let Some(kind) = Kind::parse(&daemon.kind) else { continue };
            let id = DaemonId { kind, id: daemon.id.clone() };
            // a log that cannot be had is no reason to show nothing
            let log = host.logs(&id, LOG_READ).await.unwrap_or_default();
            daemon.log = telling(&log, LOG_LINES);
        }
    }
    status
}

fn is_ailing(state: DaemonState) -> bool {
    matches!(state, DaemonState::Stopped | DaemonState::Restarting)
}
