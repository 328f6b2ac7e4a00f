//! What is true of every sound plan, whatever it is for: checked on each plan that a test makes.

use std::collections::BTreeSet;

use cephdock::daemon::{ContainerSpec, DaemonId, Kind};
use cephdock::facts::{ContainerState, DiskContent, Facts};
use cephdock::identity::Identity;
use cephdock::inventory::{Inventory, NodeName};
use cephdock::plan::{Action, Lane, Plan, Stage};

const CONF: &str = "/etc/ceph/ceph.conf";

/// Everything that is wrong with the plan.
pub(crate) fn problems(want: &Inventory, seen: &Facts, id: &Identity, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(secrets(want, id, plan));
    for stage in &plan.stages {
        problems.extend(interrupted(seen, stage));
        for lane in &stage.lanes {
            if want.node(&lane.node).is_none() {
                problems.push(format!("{} is not in the inventory", lane.node));
            }
            problems.extend(files(seen, id, lane));
            problems.extend(disks(seen, lane));
        }
    }
    problems.extend(numbers(plan));
    problems.extend(taken(seen, id, plan));
    problems
}

/// No key of the cluster can be read where plans are shown.
fn secrets(want: &Inventory, id: &Identity, plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> =
        ["mon.", "client.admin", "client.bootstrap-osd", "client.cephdock"]
            .map(str::to_owned)
            .to_vec();
    names.extend(want.nodes.iter().map(|n| DaemonId::mgr(&n.name).entity()));
    let mut keys: Vec<_> = names.iter().map(|name| id.key(name)).collect();
    for spec in plan.stages.iter().flat_map(|s| &s.lanes).flat_map(specs) {
        if let Some(uuid) = spec.args.get(1).and_then(|uuid| uuid.parse().ok()) {
            keys.push(id.osd_key(uuid));
        }
    }
    let text = id.text();
    let seed = text.expose().lines().find(|l| l.contains("seed")).and_then(|l| l.split('"').nth(3));
    let mut shown = format!("{plan:?} {plan:#?}");
    for step in plan.stages.iter().flat_map(|s| &s.lanes).flat_map(|l| &l.steps) {
        shown += &step.action.to_string();
        shown += &step.why.to_string();
    }
    let seed = seed.expect("an identity file has a seed");
    let mut keys = keys.iter().map(cephdock::secret::Secret::expose).chain([seed]);
    keys.find(|key| shown.contains(key))
        .map(|_| "a secret is shown".to_owned())
        .into_iter()
        .collect()
}

/// At most one node's running daemons are stopped in a stage, and none while the cluster is short of another already.
fn interrupted(seen: &Facts, stage: &Stage) -> Option<String> {
    let mut nodes = BTreeSet::new();
    for lane in &stage.lanes {
        for step in &lane.steps {
            let Action::Replace(spec) = &step.action else { continue };
            let container =
                seen.node(&lane.node).and_then(|n| n.container(&spec.daemon.container()));
            if container.is_some_and(|c| c.state == ContainerState::Running) {
                nodes.insert(&lane.node);
            }
        }
    }
    let missing: Vec<_> = seen.unreachable().map(|(node, _)| node).collect();
    let stopped = format!("running daemons are stopped on {nodes:?}");
    match nodes.len() {
        1 if !missing.is_empty() => Some(format!("{stopped} while {missing:?} cannot be seen")),
        1 if seen.cluster.value().is_none() => Some(format!("{stopped} while the mons are silent")),
        0 | 1 => None,
        _ => Some(format!("{stopped} at once")),
    }
}

/// ceph.conf comes before any key, and no store is made from nothing once the mons have met.
fn files(seen: &Facts, id: &Identity, lane: &Lane) -> Vec<String> {
    let mut problems = Vec::new();
    let mut conf = seen.node(&lane.node).is_some_and(|n| n.conf.is_some());
    for step in &lane.steps {
        let Action::WriteFiles(files) = &step.action else { continue };
        for file in files {
            conf |= file.path == CONF;
            if !conf && file.path.ends_with("keyring") {
                problems.push(format!("{}: {} comes before ceph.conf", lane.node, file.path));
            }
            if id.established && file.path.ends_with(".bootstrap/mons") {
                problems.push(format!("{}: a second beginning: {}", lane.node, file.path));
            }
            if file.content.expose().contains("key = ") && file.mode & 0o077 != 0 {
                problems.push(format!("{}: {} can be read by all", lane.node, file.path));
            }
        }
    }
    problems
}

/// An OSD is only ever put on a disk that is blank or carries that very OSD.
fn disks(seen: &Facts, lane: &Lane) -> Vec<String> {
    let on_device = specs(lane).filter(|s| s.daemon.kind == Kind::Osd && !s.args[3].is_empty());
    let wrong = |spec: &&ContainerSpec| {
        let disks = seen.node(&lane.node).map(|n| &n.disks);
        let mut disks = disks.into_iter().flat_map(|d| d.values());
        match disks.find(|d| d.stable_path == spec.args[3]).map(|d| &d.content) {
            Some(DiskContent::Blank) => false,
            Some(DiskContent::BlueStore(label)) => label.osd_uuid.to_string() != spec.args[1],
            _ => true,
        }
    };
    on_device.filter(wrong).map(|s| format!("{}: {} is not blank", lane.node, s.args[3])).collect()
}

/// No two OSDs with one number or one uuid.
fn numbers(plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let mut numbers: BTreeSet<(&NodeName, &str, &str)> = BTreeSet::new();
    for lane in plan.stages.iter().flat_map(|s| &s.lanes) {
        for spec in specs(lane).filter(|s| s.daemon.kind == Kind::Osd) {
            numbers.insert((&lane.node, &spec.daemon.id, &spec.args[1]));
        }
    }
    for by in
        [|n: &(&NodeName, &str, &str)| n.1.to_owned(), |n: &(&NodeName, &str, &str)| n.2.to_owned()]
    {
        let distinct: BTreeSet<String> = numbers.iter().map(by).collect();
        if distinct.len() < numbers.len() {
            problems.push(format!("two OSDs share a number or a uuid: {numbers:?}"));
        }
    }
    problems
}

/// A number that the map gives to one OSD is given to no other, nor is its key.
fn taken(seen: &Facts, id: &Identity, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let owner = |entity: &str| {
        let number = entity.strip_prefix("osd.")?.parse().ok()?;
        Some(seen.cluster.value()?.osds.get(&number)?.uuid)
    };
    for lane in plan.stages.iter().flat_map(|s| &s.lanes) {
        for spec in specs(lane) {
            if owner(&spec.daemon.entity()).is_some_and(|uuid| uuid.to_string() != spec.args[1]) {
                problems.push(format!("{}: {} is another OSD", lane.node, spec.daemon));
            }
        }
        for step in &lane.steps {
            let Action::Ceph(commands) = &step.action else { continue };
            for command in commands {
                let Some(uuid) = owner(&command.about) else { continue };
                let input = command.input.as_ref().map(cephdock::secret::Secret::expose);
                if !input.unwrap_or_default().contains(id.osd_key(uuid).expose()) {
                    problems.push(format!("the key of {} becomes another OSD's", command.about));
                }
            }
        }
    }
    problems
}

fn specs(lane: &Lane) -> impl Iterator<Item = &ContainerSpec> {
    lane.steps.iter().filter_map(|step| match &step.action {
        Action::Run(spec) | Action::Replace(spec) => Some(spec),
        _ => None,
    })
}
