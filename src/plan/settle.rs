//! The last stage: pool, quorum, placement groups, health.

use serde_json::json;

use super::condition::Settled;
use super::fleet::{Fleet, Usable};
use super::osds::Osds;
use super::{Action, Condition, Lane, MonCommand, Step, Waiting, Why, daemons, files};
use crate::daemon::{DaemonId, Kind};
use crate::facts::{ClusterFacts, ContainerFact, ContainerState};
use crate::identity::{Identity, KeyType};
use crate::inventory::Inventory;

pub(super) fn settle(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Lane> {
    let Some(asker) = fleet.asker() else { return Vec::new() };
    let Some(cluster) = fleet.cluster() else {
        return meet_again(fleet, id);
    };
    let mut steps = pool(fleet, osds, cluster, &DaemonId::mon(&asker.node.name));
    let settled = Condition::Settled(settled(fleet, id, osds, cluster));
    let progress = settled.progress(Some(cluster));
    if !progress.met() || !steps.is_empty() || fleet.seen.stirred {
        let message = match (progress.met(), steps.is_empty()) {
            (false, _) => progress.message,
            (true, true) => "daemons were started".into(),
            (true, false) => "the pool changes".into(),
        };
        steps.push(Step::new(Action::WaitUntil(settled), Why::NotYet(message)));
    }
    let mute = mute_client_keys(id, cluster);
    let mut lanes = [mute, steps].map(|steps| Lane::new(&asker.node.name, steps)).to_vec();
    lanes.extend(note_quorum(fleet, id));
    lanes
}

/// The pool: there, with as many copies as asked for, and initialised for RBD. That last step takes OSDs.
fn pool(fleet: &Fleet, osds: &Osds, cluster: &ClusterFacts, mon: &DaemonId) -> Vec<Step> {
    let want = &fleet.want.cluster.pool;
    let seen = cluster.pools.get(&want.name);
    let mut steps = Vec::new();
    match seen {
        None => steps.push(create_pool(fleet.want)),
        Some(fact) if fact.size < u64::from(want.size) => {
            steps.push(grow_pool(fleet.want, fact.size));
        }
        Some(_) => {}
    }
    if seen.is_some_and(|p| !p.applications.iter().any(|a| a == APPLICATION)) {
        let command = Action::Ceph(vec![enable_application(fleet.want)]);
        steps.push(Step::new(command, Why::Missing));
    }
    if !seen.is_some_and(|p| p.initialised) {
        let up = Condition::OsdsUp(osds.numbers());
        let progress = up.progress(Some(cluster));
        if !progress.met() {
            steps.push(Step::new(Action::WaitUntil(up), Why::NotYet(progress.message)));
        }
        steps.push(init_pool(fleet, mon));
    }
    steps
}

/// What Ceph 19.2.6 and 20.2.4 say for ever of a cluster whose clients have keys of the type `aes`, which is what
/// kernels before 7.0 and older `ceph` tools need (see [`Identity::key`]). Its daemons have the new type, and what is
/// said of them is left to be heard.
const CLIENT_KEY_CHECKS: [&str; 3] =
    ["AUTH_INSECURE_CLIENT_KEY_TYPE", "AUTH_INSECURE_KEYS_ALLOWED", "AUTH_INSECURE_KEYS_CREATABLE"];

/// Mutes them, as Ceph's own upgrade guide does: `ceph status` goes on to list them as muted. In a new cluster before
/// they are raised, so that nothing waits for them; `sticky`, for a mute ends otherwise when the number of keys grows.
fn mute_client_keys(id: &Identity, cluster: &ClusterFacts) -> Vec<Step> {
    if id.daemon_keys != Some(KeyType::Aes256k) {
        return Vec::new();
    }
    let raised = |code: &&&str| cluster.checks.iter().any(|c| c.code == **code);
    let codes = CLIENT_KEY_CHECKS.iter().filter(|code| !id.established || raised(code));
    let mute = |code: &&str| MonCommand {
        json: json!({"prefix": "health mute", "code": code, "sticky": true}),
        about: (*code).to_owned(),
        input: None,
    };
    let commands: Vec<MonCommand> = codes.map(mute).collect();
    if commands.is_empty() {
        return Vec::new();
    }
    vec![Step::new(Action::Ceph(commands), Why::OldClients)]
}

/// The mons are silent though they run, or fall over: wait for them, and the wait will tell.
fn meet_again(fleet: &Fleet, id: &Identity) -> Vec<Lane> {
    let live = |c: &ContainerFact| {
        let mon = c.ours.as_ref().is_some_and(|o| o.daemon.kind == Kind::Mon);
        mon && matches!(c.state, ContainerState::Running | ContainerState::Restarting)
    };
    let run = fleet.usable.iter().any(|u| u.docker.containers.iter().any(live));
    if run { daemons::meet(fleet, id).into_iter().collect() } else { Vec::new() }
}

/// Once the mons have met, that is noted beside the identity: from then on no store is ever made from nothing again. A
/// mon that was not among them gets its store from the others.
fn note_quorum(fleet: &Fleet, id: &Identity) -> Vec<Lane> {
    if id.established {
        return Vec::new();
    }
    let mut established = id.clone();
    established.established = true;
    let mons = fleet.usable.iter().filter(|u| u.node.roles.mon);
    mons.map(|u| {
        Lane::new(&u.node.name, vec![files::identity_step(&established, Why::FirstQuorum)])
    })
    .collect()
}

/// What is waited for. Daemons on nodes that are not worked on are waited for only where they are well already: nothing
/// is done that would make them so.
fn settled(fleet: &Fleet, id: &Identity, osds: &Osds, cluster: &ClusterFacts) -> Settled {
    let (inside, outside): (Vec<&Usable>, Vec<&Usable>) =
        fleet.usable.iter().partition(|u| fleet.in_scope(&u.node.name));
    let part = |nodes: &[&Usable]| Settled {
        mons: nodes.iter().filter(|u| u.node.roles.mon).map(|u| u.node.name.to_string()).collect(),
        mgrs: nodes.iter().filter(|u| u.node.roles.mgr).count(),
        osds: nodes.iter().flat_map(|u| osds.of(&u.node.name)).map(|o| o.number).collect(),
        healthy: false,
    };
    let (ours, others) = (part(&inside), part(&outside));
    let well = outside.iter().all(|u| daemons::run(fleet, id, osds, u))
        && Condition::Settled(others.clone()).progress(Some(cluster)).met();
    if outside.is_empty() || well {
        Settled {
            mons: [ours.mons, others.mons].concat(),
            mgrs: ours.mgrs + others.mgrs,
            osds: [ours.osds, others.osds].concat(),
            healthy: fleet.skipped.is_empty(),
        }
    } else {
        ours
    }
}

/// Creates the pool; does nothing where it is there. It starts with few PGs: the autoscaler, on by default since
/// Ceph 15, gives it more as data comes.
pub(super) fn create_pool(want: &Inventory) -> Step {
    let pool = &want.cluster.pool;
    let mut command = json!({
        "prefix": "osd pool create", "pool": pool.name, "pool_type": "replicated",
        "pg_num": FIRST_PGS, "pgp_num": FIRST_PGS, "size": pool.size,
    });
    if pool.size == 1 {
        command["yes_i_really_mean_it"] = true.into();
    }
    let create = MonCommand { json: command, about: pool.name.clone(), input: None };
    Step::new(Action::Ceph(vec![create, enable_application(want)]), Why::Missing)
}

/// What the pool is for, in Ceph's words.
const APPLICATION: &str = "rbd";

/// Says so right after the pool is made: Ceph warns of a pool that nobody has claimed, and what was seen of it stays in
/// the mgr's reports for some seconds longer than it is true. `rbd pool init` comes too late for that.
fn enable_application(want: &Inventory) -> MonCommand {
    let pool = &want.cluster.pool.name;
    MonCommand {
        json: json!({"prefix": "osd pool application enable", "pool": pool, "app": APPLICATION}),
        about: pool.clone(),
        input: None,
    }
}

/// The autoscaler's own smallest number for a pool: it never has to split or merge what was begun with it.
const FIRST_PGS: u32 = 32;

fn grow_pool(want: &Inventory, now: u64) -> Step {
    let pool = &want.cluster.pool;
    let json = json!({"prefix": "osd pool set", "pool": pool.name, "var": "size", "val": pool.size.to_string()});
    let about = format!("{} size {}", pool.name, pool.size);
    let command = MonCommand { json, about, input: None };
    Step::new(Action::Ceph(vec![command]), Why::NotYet(format!("it has {now} copies")))
}

fn init_pool(fleet: &Fleet, mon: &DaemonId) -> Step {
    let argv = ["rbd", "pool", "init", &fleet.want.cluster.pool.name].map(str::to_owned).to_vec();
    Step::new(Action::Exec(mon.clone(), argv), Why::Missing)
}

/// What is not as the inventory says and not changed by itself.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    let pool = &fleet.want.cluster.pool;
    let seen = fleet.cluster().and_then(|c| c.pools.get(&pool.name));
    let fewer = seen.filter(|p| p.size > u64::from(pool.size));
    let wait = |p: &crate::facts::cluster::PoolFact| Waiting {
        node: None,
        what: format!(
            "pool {} keeps {} copies and the inventory asks for {}: taking copies away is left to you \
             (`ceph osd pool set {} size {}`)",
            pool.name, p.size, pool.size, pool.name, pool.size
        ),
        holds_up: false,
    };
    fewer.map(wait).into_iter().collect()
}
