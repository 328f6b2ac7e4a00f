//! Whole runs on a fleet in memory: bring-up, a second run, a run that is killed at any moment, nodes that are off.

mod archive;
mod clients;
mod drift;
mod firewall;
mod grown;
mod killed;
mod off;
mod plugins;
mod reset;
#[path = "../sim/mod.rs"]
mod sim;
mod steps;
mod volumes;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cephdock::converge::{End, Run};
use cephdock::daemon::Kind;
use cephdock::facts::{ContainerState, DiskContent};
use cephdock::inventory::NodeName;
use cephdock::plan::Action;
use sim::{Fault, Sim, name};

const THREE: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test'}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon, osd], osds: [{file: 20GiB}]}
";

/// As above, with a fourth node.
const FOUR: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test', pool: {size: 3}}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon, osd], osds: [{file: 20GiB}]}
  - {name: B4, address: 10.32.3.150, roles: [mgr, osd], osds: [{device: /dev/sdb}, {device: /dev/sdc}]}
";

fn done(run: Option<Run>) -> usize {
    let run = run.expect("the run was not killed");
    assert!(matches!(run.end, End::Done), "it ended with {:?}", run.end);
    run.summary.steps
}

async fn three() -> Sim {
    let sim = Sim::new(THREE);
    assert!(done(sim.up(1).await) > 0);
    sim
}

/// The cluster is whole: one identity everywhere, every OSD of the inventory in the map and no other, every disk
/// formatted once, and nothing left to do. Returns the fsid.
async fn assert_whole(sim: &Sim, what: &str) -> String {
    {
        let world = sim.world();
        let mut fsids = BTreeSet::new();
        for node in world.nodes.values() {
            fsids.extend(node.fsid());
            fsids.extend(node.stores.values().map(|s| s.fsid));
            fsids.extend(node.osds.values().map(|o| o.fsid));
            fsids.extend(node.containers.values().filter_map(|c| c.spec.as_ref()).map(|s| s.fsid));
            for disk in node.disks.values() {
                assert_eq!(disk.formatted, 1, "{what}: {}", disk.stable_path);
            }
            for (path, file) in &node.files {
                let identity = path == cephdock::identity::PATH;
                assert!(!identity || file.content.contains("\"established\": true"), "{what}");
                assert!(!path.contains(".bootstrap/"), "{what}: {path} is left over");
            }
        }
        assert_eq!(fsids.len(), 1, "{what}: {fsids:?}");
        assert_eq!(world.ceph.all.len(), 1, "{what}");
        let cluster = world.ceph.all.values().next().expect("one");
        let wanted: usize = sim.want.nodes.iter().map(|n| n.osds.len()).sum();
        assert_eq!(cluster.osds.len(), wanted, "{what}: {:?}", cluster.osds);
        assert!(cluster.osds.values().all(|o| o.up), "{what}: {:?}", cluster.osds);
        let keys = cluster.auth.keys().filter(|e| e.starts_with("osd.")).count();
        assert_eq!(keys, wanted, "{what}: {:?}", cluster.auth.keys());
    }
    let run = sim.up(99).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Done), "{what}: {:?}", run.end);
    assert_eq!(run.summary.steps, 0, "{what}: {:?}", sim.world().done);
    assert_eq!(run.summary.health.as_deref(), Some("HEALTH_OK"), "{what}");
    run.summary.fsid.expect("it answers")
}

/// Kills the run at its step number `at`.
fn cut(sim: &Sim, at: usize, fault: &Fault) {
    let fault = fault.clone();
    sim.on_step(move |n, _, _| if n == at { fault.clone() } else { Fault::None });
}

const CUTS: [Fault; 4] = [Fault::CutBefore, Fault::CutMiddle, Fault::CutMkfs, Fault::CutAfter];

#[tokio::test(start_paused = true)]
async fn a_new_cluster_is_brought_up_and_a_second_run_does_nothing() {
    let sim = three().await;
    // the first mons take in every key when their stores are made
    let registered = |step: &String| step.contains("ceph auth") || step.contains("osd new");
    assert!(!sim.world().done.iter().any(registered), "{:?}", sim.world().done);
    assert_whole(&sim, "after the first run").await;
}

#[tokio::test(start_paused = true)]
async fn one_node_alone() {
    let sim = Sim::new(
        "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test'}
nodes: [{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{file: 5GiB}, {device: /dev/sdb}]}]
",
    );
    done(sim.up(1).await);
    assert_whole(&sim, "one node").await;
}
