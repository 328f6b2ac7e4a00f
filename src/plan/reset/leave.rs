//! One node that leaves a cluster which lives on: its data to the others first, then its daemons, then what is on it.
//!
//! The order is such that the cluster never needs what is taken away: OSDs are marked out and nothing is stopped before
//! the cluster itself says that they can be destroyed; the mon leaves the monmap while it still runs, so that of two
//! mons one can be taken away. The node may be off: then only the cluster's side of it is done.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Target, clean, disks, farewell, left_out, look, stop};
use crate::daemon::{DaemonId, conf};
use crate::facts::{ClusterFacts, Docker, Facts, NodeFacts, Seen};
use crate::inventory::{Inventory, Node, NodeName};
use crate::plan::files::CONF;
use crate::plan::osds::size;
use crate::plan::{
    Action, Condition, Ending, FileSpec, Finding, Lane, MonCommand, Plan, Refusal, StageName, Step,
    Why,
};
use crate::secret::{Secret, sha256};

/// How full OSDs may get: Ceph warns from here on (`mon_osd_nearfull_ratio`).
const NEARFULL_PERCENT: u64 = 85;

pub(super) fn leave(
    want: &Inventory,
    seen: &Facts,
    target: &Target,
    node: &Node,
) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    let usable = look(node, seen);
    let cluster = seen.cluster.value().filter(|c| c.fsid == target.fsid);
    let mut cleaning = Vec::new();
    match (cluster, others_mon(want, seen, node, target)) {
        (Some(cluster), Some(asker)) => {
            let leaving = Leaving { seen, target, node, cluster, asker };
            leaving.refuse()?;
            plan.stage(StageName::Drain, leaving.drain());
            plan.stage(StageName::StepDown, leaving.step_down());
            if let Ok(usable) = &usable {
                plan.stage(
                    StageName::Stop,
                    stop(target, usable, Ending::Orderly, &Why::NodeLeaves),
                );
            }
            plan.stage(StageName::Forget, leaving.forget());
            cleaning = without_its_mon(want, seen, target, node);
        }
        _ => match &usable {
            // without daemons it is no part of the cluster that the others would miss
            Ok(usable)
                if !has_daemons(usable.facts, target) && disks(target, usable).is_empty() => {}
            _ => return Err(nobody_to_ask(seen, node)),
        },
    }
    match usable {
        Ok(usable) => {
            let why = &Why::NodeLeaves;
            cleaning.push(clean(target, &usable, false, why));
            plan.stage(StageName::Clean, cleaning);
            plan.stage(StageName::Farewell, vec![farewell(target, &usable, why)]);
        }
        Err(why) => {
            plan.stage(StageName::Clean, cleaning);
            plan.waiting.push(left_out(node, &why));
        }
    }
    Ok(plan)
}

/// The others' ceph.conf names the mons that stay. What `up` would write there while the node is in the inventory is
/// another matter, and said at the end.
fn without_its_mon(want: &Inventory, seen: &Facts, target: &Target, node: &Node) -> Vec<Lane> {
    if !node.roles.mon {
        return Vec::new();
    }
    let mut rest = want.clone();
    rest.nodes.retain(|n| n.name != node.name);
    let file = FileSpec {
        path: CONF.into(),
        mode: 0o644,
        folder_mode: 0o755,
        content: Secret::new(conf::text(&rest, target.fsid)),
    };
    let stale = |name: &NodeName| {
        let facts = seen.node(name)?;
        facts.conf.as_ref().filter(|c| c.ours && c.fsid == Some(target.fsid))?;
        let seen = facts.files.get(CONF)?;
        (seen.sha256 != sha256(file.content.expose())).then(|| {
            let action = Action::WriteFiles(vec![file.clone()]);
            Lane::new(name, vec![Step::new(action, Why::NodeLeaves)])
        })
    };
    rest.nodes.iter().filter_map(|n| stale(&n.name)).collect()
}

/// Another node whose mon runs.
fn others_mon<'a>(
    want: &'a Inventory,
    seen: &Facts,
    node: &Node,
    target: &Target,
) -> Option<&'a NodeName> {
    let fsid = target.fsid.to_string();
    let runs = |facts: &NodeFacts| match &facts.docker {
        Docker::Up(docker) => {
            let ours = docker.containers.iter().filter_map(|c| c.ours.as_ref());
            let mons = facts.running_mons();
            ours.filter(|o| o.fsid == fsid).any(|o| mons.contains(o.daemon.id.as_str()))
        }
        Docker::Down(_) => false,
    };
    let others = want.nodes.iter().map(|n| &n.name).filter(|name| **name != node.name);
    others.into_iter().find(|name| seen.node(name).is_some_and(runs))
}

fn has_daemons(facts: &NodeFacts, target: &Target) -> bool {
    let fsid = target.fsid.to_string();
    let containers = facts.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
    containers.iter().filter_map(|c| c.ours.as_ref()).any(|o| o.fsid == fsid)
        || facts.mon_stores.values().any(|s| s.fsid == Some(target.fsid))
        || facts.osd_dirs.values().any(|d| d.ceph_fsid == Some(target.fsid))
}

fn nobody_to_ask(seen: &Facts, node: &Node) -> Refusal {
    let why = match &seen.cluster {
        Seen::Unknown(why) => why.as_str(),
        Seen::Absent | Seen::Value(_) => "no other node runs a mon of this cluster",
    };
    let finding = Finding {
        node: node.name.clone(),
        what: format!("whether it can be missed is unknown, for no mon elsewhere answers: {why}"),
        hint: "`cephdock status` shows the mons; `cephdock reset` without --node takes the whole cluster away".into(),
    };
    Refusal { to_protect_data: true, findings: vec![finding] }
}

struct Leaving<'a> {
    seen: &'a Facts,
    target: &'a Target,
    node: &'a Node,
    cluster: &'a ClusterFacts,
    /// Where the mons are asked.
    asker: &'a NodeName,
}

impl Leaving<'_> {
    fn name(&self) -> &str {
        self.node.name.as_str()
    }

    /// Its OSDs in the map: those in its CRUSH bucket, and those whose data is seen on it.
    fn osds(&self) -> BTreeSet<u32> {
        let mut osds: BTreeSet<u32> =
            self.cluster.hosts.get(self.name()).into_iter().flatten().copied().collect();
        if let Ok(usable) = look(self.node, self.seen) {
            let mut here: BTreeSet<_> =
                disks(self.target, &usable).iter().map(|d| d.uuid).collect();
            here.extend(usable.facts.osd_dirs.values().filter_map(|dir| dir.uuid));
            osds.extend(
                self.cluster.osds.iter().filter(|(_, o)| here.contains(&o.uuid)).map(|(n, _)| *n),
            );
        }
        osds.retain(|number| self.cluster.osds.contains_key(number));
        osds
    }

    fn in_monmap(&self) -> bool {
        self.cluster.mons.contains_key(self.name())
    }

    /// Everything that speaks against it, at once.
    fn refuse(&self) -> Result<(), Refusal> {
        let osds = self.osds();
        let mut reasons = Vec::new();
        reasons.extend(self.alive_and_out_of_reach(&osds));
        reasons.extend(self.only_mgr());
        if self.in_monmap() {
            reasons.extend(self.no_quorum());
        }
        if !osds.is_empty() {
            reasons.extend(self.data_at_risk(&osds));
            reasons.extend(self.no_room(&osds));
        }
        if reasons.is_empty() {
            return Ok(());
        }
        let finding =
            |(what, hint): (String, String)| Finding { node: self.node.name.clone(), what, hint };
        let findings = reasons.into_iter().map(finding).collect();
        Err(Refusal { to_protect_data: true, findings })
    }

    /// Daemons that nobody can stop would come back into the cluster.
    fn alive_and_out_of_reach(&self, osds: &BTreeSet<u32>) -> Option<(String, String)> {
        let why = look(self.node, self.seen).err()?;
        let up = osds.iter().any(|n| self.cluster.osds.get(n).is_some_and(|o| o.up));
        let runs = up || self.cluster.mons.get(self.name()).copied().unwrap_or(false);
        let hint = "make it reachable, or switch it off if it is to go as it is";
        runs.then(|| (format!("its daemons run, and nobody can stop them: {why}"), hint.into()))
    }

    fn only_mgr(&self) -> Option<(String, String)> {
        let c = self.cluster;
        let only = c.active_mgr.as_deref() == Some(self.name()) && c.standby_mgrs == 0;
        let hint = "give another node the role `mgr` and run `cephdock up` first";
        only.then(|| ("it runs the only mgr".into(), hint.into()))
    }

    /// The mons that stay have to be a majority of the monmap without this one.
    fn no_quorum(&self) -> Option<(String, String)> {
        let others = || self.cluster.mons.iter().filter(|(name, _)| *name != self.name());
        let (all, there) = (others().count(), others().filter(|(_, there)| **there).count());
        if there * 2 > all {
            return None;
        }
        let hint = if all == 0 {
            "give another node the role `mon` and run `cephdock up` first; `cephdock reset` without --node takes the \
             whole cluster away"
        } else {
            "bring the mons that are down back first (`cephdock status`)"
        };
        let what = format!(
            "{there} of the {all} other mons are in the quorum, which is no majority without its mon"
        );
        Some((what, hint.into()))
    }

    fn data_at_risk(&self, leaving: &BTreeSet<u32>) -> Vec<(String, String)> {
        let c = self.cluster;
        let mut reasons = Vec::new();
        let down = c.osds.iter().filter(|(n, o)| !leaving.contains(n) && o.inside && !o.up);
        let down: Vec<String> = down.map(|(n, _)| format!("osd.{n}")).collect();
        if !down.is_empty() {
            reasons.push((
                format!("{} down elsewhere: the copies here may be the last", down.join(", ")),
                "bring them back first, or wait until their data is elsewhere (`cephdock status`)"
                    .into(),
            ));
        }
        // what is unclean because these very OSDs are being taken out, or are down, is what this run waits for
        let begun = leaving.iter().any(|n| c.osds.get(n).is_some_and(|o| !o.inside || !o.up));
        if !begun && c.pgs_clean < c.pgs {
            reasons.push((
                format!("{} of {} PGs are active+clean", c.pgs_clean, c.pgs),
                "wait until all are active+clean (`cephdock status --watch`)".into(),
            ));
        }
        reasons
    }

    /// The hosts that stay have to be as many as there are copies, and hold what is there.
    fn no_room(&self, leaving: &BTreeSet<u32>) -> Vec<(String, String)> {
        let c = self.cluster;
        let stays = |osds: &BTreeSet<u32>| {
            let there = osds.iter().filter(|n| !leaving.contains(n)).filter_map(|n| c.osds.get(n));
            there.filter(|o| o.up && o.inside).map(|o| o.size).collect::<Vec<_>>()
        };
        let hosts: Vec<_> = c.hosts.values().map(stays).filter(|osds| !osds.is_empty()).collect();
        let Some((pool, copies)) =
            c.pools.iter().map(|(name, p)| (name, p.size)).max_by_key(|p| p.1)
        else {
            return Vec::new();
        };
        if (hosts.len() as u64) < copies {
            let stay = match hosts.len() {
                1 => "1 host".into(),
                n => format!("{n} hosts"),
            };
            let what =
                format!("{stay} with OSDs would stay, and pool {pool} keeps {copies} copies");
            // one copy is nothing to advise
            let fewer = match hosts.len() {
                0 | 1 => String::new(),
                n => format!(", or have fewer copies (`ceph osd pool set {pool} size {n}`)"),
            };
            return vec![(what, format!("give another node OSDs first{fewer}"))];
        }
        // A host holds each object once. OSDs that have not told their size are not counted on.
        let copy = c.bytes.used.div_ceil(copies.max(1));
        let usable = |osds: &Vec<Option<u64>>| {
            let size: u64 = osds.iter().flatten().sum();
            (size / 100 * NEARFULL_PERCENT).min(copy)
        };
        let room: u64 = hosts.iter().map(usable).sum();
        if room >= c.bytes.used {
            return Vec::new();
        }
        vec![(
            format!(
                "the hosts that stay can take {} of the {} in use, filled to {NEARFULL_PERCENT} %",
                size(room),
                size(c.bytes.used)
            ),
            "add disks to the other nodes first".into(),
        )]
    }

    fn lane(&self, steps: Vec<Step>) -> Vec<Lane> {
        vec![Lane::new(self.asker, steps)]
    }

    fn drain(&self) -> Vec<Lane> {
        let osds = self.osds();
        let fact = |n: &u32| self.cluster.osds.get(n);
        let drained = Condition::Drained(osds.iter().copied().collect());
        let progress = drained.progress(Some(self.cluster));
        if osds.is_empty() || progress.met() {
            return Vec::new();
        }
        let inside: Vec<u32> =
            osds.iter().filter(|n| fact(n).is_some_and(|o| o.inside)).copied().collect();
        let mut steps = Vec::new();
        if !inside.is_empty() {
            steps.push(ceph(&[osd_ids("osd out", &inside)]));
        }
        steps.push(Step::new(Action::WaitUntil(drained), Why::NotYet(progress.message)));
        self.lane(steps)
    }

    fn step_down(&self) -> Vec<Lane> {
        let mut commands = Vec::new();
        // another one takes over at once, and not when this one has been missed for half a minute
        if self.cluster.active_mgr.as_deref() == Some(self.name()) && self.cluster.standby_mgrs > 0
        {
            commands.push(named("mgr fail", "who", self.name()));
        }
        if self.in_monmap() {
            commands.push(named("mon remove", "name", self.name()));
        }
        if commands.is_empty() { Vec::new() } else { self.lane(vec![ceph(&commands)]) }
    }

    fn forget(&self) -> Vec<Lane> {
        let osds: Vec<u32> = self.osds().into_iter().collect();
        let up = |n: &&u32| self.cluster.osds.get(n).is_some_and(|o| o.up);
        let up: Vec<u32> = osds.iter().filter(up).copied().collect();
        let mut steps = Vec::new();
        if !up.is_empty() {
            // their containers are gone; this way it need not be found out by their silence
            steps.push(ceph(&[osd_ids("osd down", &up)]));
        }
        let mon = DaemonId::mon(self.asker);
        // by the program: the mgr, which does this, looks once more whether they can be destroyed, and the mons do not
        // pass this command on
        steps.extend(osds.iter().map(|n| {
            let argv = ["ceph", "osd", "purge", &n.to_string(), "--yes-i-really-mean-it"];
            Step::new(Action::Exec(mon.clone(), argv.map(str::to_owned).to_vec()), Why::NodeLeaves)
        }));
        let mut commands = Vec::new();
        if self.cluster.hosts.contains_key(self.name()) {
            commands.push(named("osd crush rm", "name", self.name()));
        }
        let mgr = DaemonId::mgr(&self.node.name).entity();
        if self.cluster.auth.contains_key(&mgr) {
            commands.push(named("auth rm", "entity", &mgr));
        }
        if !commands.is_empty() {
            steps.push(ceph(&commands));
        }
        self.lane(steps)
    }
}

fn ceph(commands: &[MonCommand]) -> Step {
    Step::new(Action::Ceph(commands.to_vec()), Why::NodeLeaves)
}

fn named(prefix: &str, field: &str, value: &str) -> MonCommand {
    let json = json!({"prefix": prefix, field: value});
    MonCommand { json, about: value.to_owned(), input: None }
}

fn osd_ids(prefix: &str, osds: &[u32]) -> MonCommand {
    let ids: Vec<String> = osds.iter().map(u32::to_string).collect();
    let about = osds.iter().map(|n| format!("osd.{n}")).collect::<Vec<_>>().join(" ");
    MonCommand { json: json!({"prefix": prefix, "ids": ids}), about, input: None }
}
