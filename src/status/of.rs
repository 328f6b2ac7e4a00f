//! A [`Status`] from what was seen: pure.

use std::collections::BTreeMap;

use super::{
    Bytes, Check, DaemonState, DaemonStatus, Drift, Mons, NodeStatus, Osds, Pgs, RbdStatus,
    Severity, Status,
};
use crate::causes::advice;
use crate::converge::adopt;
use crate::daemon::{DaemonId, Kind};
use crate::facts::{ClusterFacts, ContainerFact, ContainerState, Docker, Facts, Seen};
use crate::inventory::{Inventory, Node};
use crate::plan::{self, StageName};

/// How the cluster of `want` is.
pub fn of(want: &Inventory, facts: &Facts) -> Status {
    let cluster = facts.cluster.value();
    let identity = adopt(want, facts).ok().flatten();
    let (drift, notes) = differences(want, facts);
    let mut status = Status {
        fsid: cluster.map(|c| c.fsid).or(identity.map(|id| id.fsid)).map(|f| f.to_string()),
        health: cluster.map(|c| c.health.clone()),
        nodes: want.nodes.iter().map(|n| node_status(n, facts, cluster)).collect(),
        drift,
        notes,
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
            hint: advice(&c.code).map(str::to_owned),
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
        volume_driver: seen
            .filter(|f| f.driver.active)
            .map(|_| crate::volume::unit::DRIVER.to_owned()),
        rbd: seen.map(|f| RbdStatus {
            available: f.client.module.is_available(),
            loaded: f.client.module.is_loaded(),
        }),
        tools: seen.and_then(|f| f.client.rbd.clone().filter(|_| f.client.ceph)),
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
        (ContainerState::Running, _) => unwell(id, cluster).map(str::to_owned),
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
        cause: None,
    }
}

/// What is wrong with a daemon whose container runs, as the others see it.
fn unwell(id: &DaemonId, cluster: Option<&ClusterFacts>) -> Option<&'static str> {
    let Some(cluster) = cluster else {
        return (id.kind == Kind::Mon).then_some("it answers nobody");
    };
    match id.kind {
        Kind::Mon => match cluster.mons.get(&id.id) {
            Some(true) => None,
            Some(false) => Some("it is not in the quorum"),
            None => Some("the mons do not know it"),
        },
        Kind::Mgr => cluster.active_mgr.is_none().then_some("no mgr is active"),
        Kind::Osd => match id.id.parse().ok().and_then(|n: u32| cluster.osds.get(&n)) {
            Some(osd) if osd.up => None,
            Some(_) => Some("the mons have it down"),
            None => Some("the mons do not know it"),
        },
    }
}

/// What `up` would change, but for waiting (that is what health is for); and what it would only say.
fn differences(want: &Inventory, facts: &Facts) -> (Vec<Drift>, Vec<Drift>) {
    let Ok(Some(id)) = adopt(want, facts) else { return Default::default() };
    let plan = match plan::up(want, facts, &id) {
        Ok(plan) => plan,
        Err(refusal) => {
            let drift = |f: plan::Finding| Drift { node: Some(f.node), what: f.what };
            return (refusal.findings.into_iter().map(drift).collect(), Vec::new());
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
    let (waiting, notes): (Vec<_>, Vec<_>) = plan.waiting.into_iter().partition(|w| w.holds_up);
    let waiting = waiting.into_iter().filter(|w| {
        w.node.as_ref().is_none_or(|n| facts.node(n).is_some_and(|f| f.docker.up().is_some()))
    });
    let said = |w: plan::Waiting| Drift { node: w.node, what: w.what };
    drift.extend(waiting.map(said));
    (drift, notes.into_iter().map(said).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::facts::{DockerFacts, NodeFacts, OurLabels};

    fn inventory() -> Inventory {
        let text = "
cluster: {public_network: 10.0.0.0/24}
nodes:
  - {name: B1, address: 10.0.0.1, roles: [mon, mgr, osd], osds: [{file: 4GiB}]}
  - {name: B2, address: 10.0.0.2, roles: [mon]}
  - {name: B3, address: 10.0.0.3, roles: [mon]}
";
        crate::inventory::file::parse(text, Path::new("x.yaml"), Some(Path::new("/root")))
            .expect("valid")
            .inventory
    }

    fn container(daemon: DaemonId, state: ContainerState) -> ContainerFact {
        ContainerFact {
            name: daemon.container(),
            ours: Some(OurLabels { fsid: "f".into(), daemon, spec: "s".into() }),
            state,
            image: "ceph".into(),
            image_id: None,
            as_made: true,
            restarts: 0,
            exit_code: Some(137),
            out_of_memory: false,
            error: None,
        }
    }

    fn facts(nodes: Vec<(&str, Seen<NodeFacts>)>, cluster: Seen<ClusterFacts>) -> Facts {
        let name = |n: &str| crate::inventory::NodeName::new(n).expect("a name");
        Facts {
            nodes: nodes.into_iter().map(|(n, s)| (name(n), s)).collect(),
            cluster,
            stirred: false,
        }
    }

    fn with(containers: Vec<ContainerFact>) -> Seen<NodeFacts> {
        let docker = DockerFacts { containers, ..DockerFacts::default() };
        Seen::Value(NodeFacts { docker: Docker::Up(docker), ..NodeFacts::default() })
    }

    #[test]
    fn a_dead_node_and_silent_mons_are_told_and_the_rest_is_shown() {
        let mon = |n: &str| DaemonId { kind: crate::daemon::Kind::Mon, id: n.into() };
        let seen = facts(
            vec![
                ("B1", with(vec![container(mon("B1"), ContainerState::Exited)])),
                ("B2", with(vec![])),
                ("B3", Seen::Unknown("connection refused".into())),
            ],
            Seen::Unknown("no mon is running".into()),
        );
        let status = of(&inventory(), &seen);
        assert_eq!((status.health, status.mons.total), (None, 3));
        assert_eq!((status.osds.total, status.pgs.total, status.bytes.total), (None, None, None));
        assert_eq!(status.checks[0].code, Check::NO_MON);
        let b1 = &status.nodes[0];
        assert_eq!(b1.daemons[0].state, DaemonState::Stopped);
        assert_eq!(b1.daemons[0].detail.as_deref(), Some("exited with 137"));
        // wanted and not there
        assert_eq!(
            (b1.daemons[1].kind.as_str(), b1.daemons[1].state),
            ("mgr", DaemonState::Missing)
        );
        assert_eq!(status.nodes[1].daemons[0].state, DaemonState::Missing);
        let b3 = &status.nodes[2];
        assert!(!b3.reachable && b3.daemons.is_empty());
        assert_eq!(b3.error.as_deref(), Some("connection refused"));
    }

    #[test]
    fn what_the_mons_say_is_passed_on() {
        let mut cluster = ClusterFacts {
            health: "HEALTH_WARN".into(),
            pgs: 33,
            pgs_clean: 30,
            ..ClusterFacts::default()
        };
        cluster.mons.insert("B1".into(), true);
        cluster.mons.insert("B2".into(), false);
        cluster.checks.push(crate::facts::cluster::Check {
            code: "MON_DOWN".into(),
            severity: "HEALTH_WARN".into(),
            summary: "1/2 mons down".into(),
        });
        let seen = facts(vec![("B1", with(vec![]))], Seen::Value(cluster));
        let status = of(&inventory(), &seen);
        assert_eq!(status.health.as_deref(), Some("HEALTH_WARN"));
        assert_eq!((status.mons.total, status.mons.quorum), (2, vec!["B1".to_owned()]));
        assert_eq!((status.pgs.total, status.pgs.active_clean), (Some(33), Some(30)));
        assert_eq!(status.checks[0].code, "MON_DOWN");
    }
}
