//! `status`: how the cluster is. Looks only.

use std::collections::BTreeMap;

use super::{Exit, Session, load, look};
use crate::cli::{Global, Status as Options};
use crate::converge::adopt;
use crate::daemon::{DaemonId, Kind};
use crate::facts::{ClusterFacts, ContainerFact, ContainerState, Docker, Facts, Seen};
use crate::host::{Fleet, Host};
use crate::inventory::{Inventory, Node};
use crate::plan::{self, StageName};
use crate::status::{
    Bytes, Check, DaemonState, DaemonStatus, Drift, Mons, NodeStatus, Osds, Pgs, Severity, Status,
};

/// Lines of the log of a daemon that does not run.
const LOG_LINES: usize = 5;

pub(super) async fn run(global: &Global, options: &Options) -> Exit {
    let look = look(global);
    let loaded = match load(global, look) {
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
    let mut status = status(want, &facts);
    for node in &mut status.nodes {
        let Some(host) = fleet.get(&node.name) else { continue };
        for daemon in node.daemons.iter_mut().filter(|d| is_ailing(d.state)) {
            let Some(kind) = Kind::parse(&daemon.kind) else { continue };
            let id = DaemonId { kind, id: daemon.id.clone() };
            // a log that cannot be had is no reason to show nothing
            daemon.log = host.logs(&id, LOG_LINES).await.unwrap_or_default();
        }
    }
    status
}

fn is_ailing(state: DaemonState) -> bool {
    matches!(state, DaemonState::Stopped | DaemonState::Restarting)
}

fn status(want: &Inventory, facts: &Facts) -> Status {
    let cluster = facts.cluster.value();
    let identity = adopt(want, facts).ok().flatten();
    let mut status = Status {
        fsid: cluster.map(|c| c.fsid).or(identity.map(|id| id.fsid)).map(|f| f.to_string()),
        health: cluster.map(|c| c.health.clone()),
        nodes: want.nodes.iter().map(|n| node_status(n, facts, cluster)).collect(),
        drift: drift(want, facts),
        ..Status::default()
    };
    match (&facts.cluster, cluster) {
        (_, Some(cluster)) => fill(&mut status, cluster),
        (Seen::Unknown(why), _) => status.checks.push(Check::no_mon(why)),
        _ => status.checks.push(Check::no_mon("there is no cluster yet; `cephdock up` makes it")),
    }
    if cluster.is_none() {
        status.mons.total = want.mons().count().try_into().unwrap_or(u32::MAX);
    }
    status
}

fn fill(status: &mut Status, cluster: &ClusterFacts) {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    status.checks = cluster
        .checks
        .iter()
        .map(|c| Check {
            code: c.code.clone(),
            severity: if c.severity == "HEALTH_ERR" { Severity::Error } else { Severity::Warning },
            summary: c.summary.clone(),
        })
        .collect();
    let quorum = cluster.mons.iter().filter(|(_, there)| **there);
    status.mons = Mons {
        total: count(cluster.mons.len()),
        quorum: quorum.map(|(name, _)| name.clone()).collect(),
    };
    status.osds = Osds {
        total: Some(count(cluster.osds.len())),
        up: Some(count(cluster.osds.values().filter(|o| o.up).count())),
        inside: Some(count(cluster.osds.values().filter(|o| o.inside).count())),
    };
    status.pgs = Pgs {
        total: u32::try_from(cluster.pgs).ok(),
        active_clean: u32::try_from(cluster.pgs_clean).ok(),
    };
    status.bytes = Bytes {
        total: Some(cluster.bytes.total),
        used: Some(cluster.bytes.used),
        available: Some(cluster.bytes.available),
    };
}

fn node_status(node: &Node, facts: &Facts, cluster: Option<&ClusterFacts>) -> NodeStatus {
    let seen = facts.node(&node.name);
    let error = match facts.nodes.get(&node.name) {
        Some(Seen::Unknown(why)) => Some(why.clone()),
        Some(Seen::Value(f)) => match &f.docker {
            Docker::Down(why) => Some(why.clone()),
            Docker::Up(_) => None,
        },
        Some(Seen::Absent) | None => Some("it was not looked at".into()),
    };
    let containers =
        seen.and_then(|f| f.docker.up()).map(|d| d.containers.as_slice()).unwrap_or_default();
    let mut daemons: BTreeMap<DaemonId, DaemonStatus> = BTreeMap::new();
    for container in containers {
        if let Some(ours) = &container.ours {
            daemons
                .insert(ours.daemon.clone(), daemon_status(&ours.daemon, Some(container), cluster));
        }
    }
    if error.is_none() {
        let mut wanted = Vec::new();
        if node.roles.mon {
            wanted.push(DaemonId::mon(&node.name));
        }
        if node.roles.mgr {
            wanted.push(DaemonId::mgr(&node.name));
        }
        // an OSD's number is known by its data directory even where its container is gone
        wanted.extend(seen.into_iter().flat_map(|f| f.osd_dirs.keys()).map(|n| DaemonId::osd(*n)));
        for id in wanted {
            daemons.entry(id.clone()).or_insert_with(|| daemon_status(&id, None, cluster));
        }
    }
    NodeStatus {
        name: node.name.clone(),
        address: node.address,
        reachable: error.is_none(),
        error,
        daemons: daemons.into_values().collect(),
        volume_driver: None,
    }
}

fn daemon_status(
    id: &DaemonId,
    container: Option<&ContainerFact>,
    cluster: Option<&ClusterFacts>,
) -> DaemonStatus {
    let state = match container.map(|c| c.state) {
        None => DaemonState::Missing,
        Some(ContainerState::Running) => DaemonState::Running,
        Some(ContainerState::Restarting) => DaemonState::Restarting,
        Some(_) => DaemonState::Stopped,
    };
    let detail = container.and_then(|c| match (c.state, c.exit_code) {
        (ContainerState::Exited, Some(code)) => Some(format!("exited with {code}")),
        (ContainerState::Restarting, Some(code)) => {
            Some(format!("exited with {code}, restarted {} times", c.restarts))
        }
        (ContainerState::Paused, _) => Some("paused".into()),
        (ContainerState::Created, _) => Some("never started".into()),
        _ => None,
    });
    DaemonStatus {
        kind: id.kind.as_str().into(),
        id: id.id.clone(),
        state,
        image: container.map(|c| c.image.clone()),
        version: cluster.and_then(|c| c.versions.get(&id.entity()).cloned()),
        detail,
        log: Vec::new(),
    }
}

/// What `up` would change, but for waiting: that is what health is for.
fn drift(want: &Inventory, facts: &Facts) -> Vec<Drift> {
    let Ok(Some(id)) = adopt(want, facts) else { return Vec::new() };
    let plan = match plan::up(want, facts, &id) {
        Ok(plan) => plan,
        Err(refusal) => {
            let drift = |f: plan::Finding| Drift { node: Some(f.node), what: f.what };
            return refusal.findings.into_iter().map(drift).collect();
        }
    };
    let mut drift = Vec::new();
    for stage in plan.stages.iter().filter(|s| s.name != StageName::Settle) {
        for lane in &stage.lanes {
            let steps =
                lane.steps.iter().filter(|s| !matches!(s.action, plan::Action::WaitUntil(_)));
            drift.extend(steps.map(|s| Drift {
                node: Some(lane.node.clone()),
                what: format!("{}: {}", s.action, s.why),
            }));
        }
    }
    // nodes that cannot be worked on are shown as such
    let waiting = plan.waiting.into_iter().filter(|w| {
        w.node.as_ref().is_none_or(|n| facts.node(n).is_some_and(|f| f.docker.up().is_some()))
    });
    drift.extend(waiting.map(|w| Drift { node: w.node, what: w.what }));
    drift
}
