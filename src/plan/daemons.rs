//! Containers: what is missing, does not run, or is not as it should be.

use std::collections::BTreeMap;

use super::fleet::{Fleet, Usable};
use super::osds::{Osd, Osds};
use super::settle;
use super::{Action, Condition, Lane, Step, Waiting, Why, answers, files};
use crate::daemon::osd::Store;
use crate::daemon::{ContainerSpec, mgr, mon, osd};
use crate::facts::{ContainerFact, ContainerState};
use crate::identity::Identity;
use crate::inventory::NodeName;

/// The identity, with what the daemons' keys are: the newest type that the image reads. Ceph 19.2.6 and 20.2.4 raise
/// `HEALTH_ERR` for daemons with the old type, and releases before them cannot read the new one.
pub(super) fn decide_keys(fleet: &Fleet, id: &Identity) -> Identity {
    let seen = || fleet.usable.iter().find_map(|u| u.facts.image_keys);
    let mut id = id.clone();
    id.daemon_keys = id.daemon_keys.or_else(seen);
    id
}

/// A daemon that a node shall run.
struct Wanted {
    spec: ContainerSpec,
    why_missing: Why,
}

fn wanted(fleet: &Fleet, id: &Identity, osds: &Osds, u: &Usable) -> Vec<Wanted> {
    let (want, node) = (fleet.want, u.node);
    let mut daemons = Vec::new();
    if node.roles.mon && (files::has_store(u) || files::may_make_store(fleet, id)) {
        daemons
            .push(Wanted { spec: mon::container(want, node, id.fsid), why_missing: Why::Missing });
    }
    for o in osds.of(&node.name) {
        let spec = osd::container(want, node, id.fsid, o.daemon(), o.uuid, &o.store);
        daemons.push(Wanted { spec, why_missing: why_missing(o) });
    }
    if node.roles.mgr {
        daemons
            .push(Wanted { spec: mgr::container(want, node, id.fsid), why_missing: Why::Missing });
    }
    daemons
}

fn why_missing(osd: &Osd) -> Why {
    match &osd.store {
        Store::Device(_) if osd.made => Why::Missing,
        Store::Device(path) if osd.on_disk => Why::OsdFound(path.clone()),
        Store::Device(path) => Why::BlankDisk(path.clone()),
        Store::File(_) => Why::Missing,
    }
}

/// What a container needs.
#[derive(PartialEq)]
enum Need {
    Nothing,
    Run,
    Start,
    /// It must be made anew; `bool`: it runs now, so this interrupts something.
    Anew(bool),
}

fn need(container: Option<&ContainerFact>, spec: &ContainerSpec) -> Need {
    let Some(container) = container else { return Need::Run };
    let same =
        container.ours.as_ref().is_some_and(|o| o.spec == spec.digest()) && container.as_made;
    match container.state {
        ContainerState::Running | ContainerState::Restarting if same => Need::Nothing,
        ContainerState::Created | ContainerState::Exited if same => Need::Start,
        ContainerState::Running => Need::Anew(true),
        _ => Need::Anew(false),
    }
}

/// Daemons that do not run. All at once: in a new cluster nothing waits for anything, and in an old one they are down
/// anyway.
pub(super) fn start(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for u in fleet.scope() {
        for daemon in wanted(fleet, id, osds, u) {
            let spec = daemon.spec;
            let container = u.facts.container(&spec.daemon.container());
            let (action, why) = match need(container, &spec) {
                Need::Nothing | Need::Anew(true) => continue,
                Need::Run => (Action::Run(spec), daemon.why_missing),
                Need::Start => (Action::Start(spec.daemon), Why::NotRunning),
                Need::Anew(false) => (Action::Replace(spec), Why::NotRunning),
            };
            lanes.push(Lane::new(&u.node.name, vec![Step::new(action, why)]));
        }
    }
    // While the daemons start, the mons are waited for on the side; then the pool is made, so that its PGs peer as the
    // OSDs come up.
    if !answers(fleet.seen) && !lanes.is_empty() {
        lanes.extend(meet(fleet, id));
    }
    lanes
}

/// Whether every daemon of a node runs.
pub(super) fn run(fleet: &Fleet, id: &Identity, osds: &Osds, u: &Usable) -> bool {
    wanted(fleet, id, osds, u).iter().all(|d| {
        let container = u.facts.container(&d.spec.daemon.container());
        matches!(need(container, &d.spec), Need::Nothing | Need::Anew(true))
    })
}

/// Waits for the mons and, in a new cluster, makes the pool.
pub(super) fn meet(fleet: &Fleet, id: &Identity) -> Option<Lane> {
    let asker = fleet.asker()?;
    let seen = match &fleet.seen.cluster {
        crate::facts::Seen::Unknown(why) => why.clone(),
        _ => "no mon has run yet".into(),
    };
    let mut steps = vec![Step::new(Action::WaitUntil(Condition::Quorum), Why::NotYet(seen))];
    if !id.established {
        steps.push(settle::create_pool(fleet.want));
    }
    Some(Lane::new(&asker.node.name, steps))
}

/// Daemons that run, but not as they should: one node in a round, and only when all is well otherwise (the stage before
/// waits for that), so that neither the quorum nor the data is ever short of more than one node.
pub(super) fn replace(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Lane> {
    if !may_interrupt(fleet) {
        return Vec::new();
    }
    let lane = |u| {
        let steps =
            drifted(fleet, id, osds, u).map(|spec| Step::new(Action::Replace(spec), Why::Differs));
        Lane::new(&u.node.name, steps.collect())
    };
    fleet.scope().map(lane).find(|l| !l.steps.is_empty()).into_iter().collect()
}

/// Whether a daemon may be stopped: every node is there and the mons answer.
fn may_interrupt(fleet: &Fleet) -> bool {
    fleet.skipped.is_empty() && answers(fleet.seen)
}

/// Containers of `u` that run and are not as they should be.
fn drifted<'a>(
    fleet: &Fleet,
    id: &Identity,
    osds: &Osds,
    u: &'a Usable,
) -> impl Iterator<Item = ContainerSpec> + use<'a> {
    let specs = wanted(fleet, id, osds, u).into_iter().map(|d| d.spec);
    specs.filter(|spec| need(u.facts.container(&spec.daemon.container()), spec) == Need::Anew(true))
}

/// Daemons that have to be replaced and may not be interrupted now.
pub(super) fn not_interrupted(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Waiting> {
    if may_interrupt(fleet) {
        return Vec::new();
    }
    let wait = |u| {
        drifted(fleet, id, osds, u).map(|spec| Waiting {
            node: Some(u.node.name.clone()),
            what: format!("{} is not as it should be; it is replaced when every node is there and the mons answer", spec.daemon),
            holds_up: true,
        })
    };
    fleet.scope().flat_map(wait).collect()
}

/// Daemons of ours that the inventory does not ask for.
pub(super) fn left_alone(fleet: &Fleet, osds: &Osds) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for u in fleet.scope() {
        let mut extra: BTreeMap<String, &NodeName> = BTreeMap::new();
        for ours in u.docker.containers.iter().filter_map(|c| c.ours.as_ref()) {
            let roles = u.node.roles;
            let wanted = match ours.daemon.kind {
                crate::daemon::Kind::Mon => roles.mon,
                crate::daemon::Kind::Mgr => roles.mgr,
                // numbers that could not be given yet are not known to be extra
                crate::daemon::Kind::Osd => {
                    osds.of(&u.node.name).any(|o| o.daemon() == ours.daemon)
                        || !osds.waiting.is_empty()
                        || !osds.lost.is_empty()
                }
            };
            if !wanted {
                extra.insert(ours.daemon.to_string(), &u.node.name);
            }
        }
        waiting.extend(extra.into_iter().map(|(daemon, node)| Waiting {
            node: Some(node.clone()),
            what: format!("{daemon} is not in the inventory; it is left as it is"),
            holds_up: false,
        }));
    }
    waiting
}
