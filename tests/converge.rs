//! Whole runs on a fleet in memory: bring-up, a second run, a run that is killed at any moment, nodes that are off.

mod sim;

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

/// As above, with a second disk on B1 and a fourth node.
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

mod killed {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn anywhere_and_run_again() {
        let steps = done(Sim::new(THREE).up(1).await);
        assert!(steps > 15, "{steps}");
        for at in 0..steps {
            for fault in &CUTS {
                let what = format!("{fault:?} at step {at}");
                let sim = Sim::new(THREE);
                cut(&sim, at, fault);
                assert!(sim.up(1).await.is_none(), "{what}: it was not killed");
                done_again(&sim, 2, &what).await;
                assert_whole(&sim, &what).await;
            }
        }
    }

    async fn done_again(sim: &Sim, seed: u8, what: &str) {
        let run = sim.up(seed).await.expect("the run was not killed");
        assert!(matches!(run.end, End::Done), "{what}: {:?}\n{:#?}", run.end, sim.world().done);
    }

    #[tokio::test(start_paused = true)]
    async fn twice() {
        let steps = done(Sim::new(THREE).up(1).await);
        let mut second_cuts = 0;
        for first in (0..steps).step_by(2) {
            for second in (0..steps).step_by(3) {
                let faults = [&CUTS[first / 2 % 4], &CUTS[(first + second) % 4]];
                let what = format!("{faults:?} at steps {first} and {second}");
                let sim = Sim::new(THREE);
                cut(&sim, first, faults[0]);
                assert!(sim.up(1).await.is_none(), "{what}");
                cut(&sim, second, faults[1]);
                second_cuts += usize::from(sim.up(2).await.is_none());
                done_again(&sim, 3, &what).await;
                assert_whole(&sim, &what).await;
            }
        }
        assert!(second_cuts > 20, "the second run was killed only {second_cuts} times");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_node_is_added() {
        let steps = {
            let mut sim = three().await;
            sim.wants(FOUR);
            done(sim.up(2).await)
        };
        for at in 0..steps {
            for fault in &CUTS {
                let what = format!("{fault:?} at step {at} of adding B4");
                let mut sim = three().await;
                sim.wants(FOUR);
                cut(&sim, at, fault);
                assert!(sim.up(2).await.is_none(), "{what}");
                done_again(&sim, 3, &what).await;
                assert_whole(&sim, &what).await;
            }
        }
    }

    /// The numbers of the first run must not go to two OSDs when the inventory shifts them.
    #[tokio::test(start_paused = true)]
    async fn at_its_beginning_and_a_disk_is_added_before_the_next_run() {
        const MORE: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test'}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sda}, {device: /dev/sdb}, {file: 9GiB}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon, osd], osds: [{file: 20GiB}]}
";
        let steps = done(Sim::new(THREE).up(1).await);
        for at in 0..steps {
            for fault in &CUTS {
                let what = format!("{fault:?} at step {at}, then more disks");
                let mut sim = Sim::new(THREE);
                cut(&sim, at, fault);
                assert!(sim.up(1).await.is_none(), "{what}");
                sim.wants(MORE);
                done_again(&sim, 2, &what).await;
                assert_whole(&sim, &what).await;
            }
        }
    }
}

mod grown {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn by_a_node_and_only_that_node_gets_daemons() {
        let mut sim = three().await;
        sim.wants(FOUR);
        done(sim.up(2).await);
        for step in &sim.world().done {
            let (node, what) = step.split_once(": ").expect("node and action");
            let asks = ["ceph ", "wait for "].iter().any(|w| what.starts_with(w));
            assert!(node == "B4" || asks, "{step}");
        }
        assert_whole(&sim, "with B4").await;
    }

    #[tokio::test(start_paused = true)]
    async fn by_a_disk_and_no_other_daemon_is_touched() {
        let mut sim = three().await;
        sim.wants(&THREE.replacen("{device: /dev/sdb}", "{device: /dev/sdb}, {device: /dev/sdc}", 1));
        done(sim.up(2).await);
        let containers: Vec<String> =
            sim.world().done.iter().filter(|s| s.contains("start ") || s.contains("replace ")).cloned().collect();
        assert_eq!(containers, ["B1: start osd.3"]);
        assert_whole(&sim, "with /dev/sdc").await;
    }

    #[tokio::test(start_paused = true)]
    async fn by_a_mon() {
        let mut sim = three().await;
        sim.wants(&FOUR.replace("roles: [mgr, osd]", "roles: [mon, mgr, osd]"));
        done(sim.up(2).await);
        assert_eq!(sim.world().ceph.all.values().next().expect("one").monmap, ["B1", "B2", "B3", "B4"]);
        assert_whole(&sim, "with mon.B4").await;
    }
}

mod off {
    use super::*;

    fn refused(run: Option<Run>, protect: bool) -> Vec<String> {
        match run.expect("the run was not killed").end {
            End::Refused(r) if r.to_protect_data == protect => {
                r.findings.iter().map(|f| f.node.to_string()).collect()
            }
            other => panic!("it ended with {other:?}"),
        }
    }

    fn untouched(sim: &Sim) {
        let world = sim.world();
        assert!(world.done.is_empty(), "{:?}", world.done);
        for node in world.nodes.values() {
            assert!(node.disks.values().all(|d| d.formatted == 0 && d.content == DiskContent::Blank));
            assert!(node.files.is_empty() && node.containers.is_empty() && node.stores.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn from_the_start_a_mon_node_nothing_is_begun() {
        let sim = Sim::new(THREE);
        sim.node("B2", |n| n.power = false);
        assert_eq!(refused(sim.up(1).await, false), ["B2"]);
        untouched(&sim);
        sim.node("B2", |n| n.power = true);
        done(sim.up(2).await);
        assert_whole(&sim, "B2 is back").await;
    }

    #[tokio::test(start_paused = true)]
    async fn from_the_start_a_node_without_a_mon_the_others_are_made() {
        let sim = Sim::new(FOUR);
        sim.node("B4", |n| n.power = false);
        let run = sim.up(1).await.expect("the run was not killed");
        assert!(matches!(run.end, End::Partly), "{:?}", run.end);
        assert_eq!(run.summary.unreachable.len(), 1);
        sim.node("B4", |n| n.power = true);
        done(sim.up(2).await);
        assert_whole(&sim, "B4 is back").await;
    }

    /// Whenever a node goes, the run ends; when it is back, the next one finishes.
    #[tokio::test(start_paused = true)]
    async fn from_the_middle() {
        let steps = done(Sim::new(FOUR).up(1).await);
        for off in ["B1", "B3", "B4"] {
            for at in 0..steps {
                let what = format!("{off} goes at step {at}");
                let sim = Sim::new(FOUR);
                cut(&sim, at, &Fault::PowerOff(off));
                let run = sim.up(1).await.expect("the run was not killed");
                assert!(!matches!(run.end, End::Done | End::Stopped), "{what}: {:?}", run.end);
                sim.node(off, |n| n.power = true);
                let run = sim.up(2).await.expect("the run was not killed");
                assert!(matches!(run.end, End::Done), "{what}: {:?}", run.end);
                assert_whole(&sim, &what).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_cluster_that_runs() {
        let sim = three().await;
        sim.node("B2", |n| n.power = false);
        let run = sim.up(2).await.expect("the run was not killed");
        assert!(matches!(run.end, End::Partly), "{:?}", run.end);
        assert_eq!(run.summary.steps, 0, "{:?}", sim.world().done);
    }

    /// Two of three mons are gone with their nodes; a new disk and a new node are asked for.
    #[tokio::test(start_paused = true)]
    async fn most_mons_no_identity_is_made_and_no_disk_touched() {
        let mut sim = three().await;
        sim.wants(FOUR);
        sim.node("B2", |n| n.power = false);
        sim.node("B3", |n| n.power = false);
        let run = sim.up(2).await.expect("the run was not killed");
        assert!(!matches!(run.end, End::Done), "{:?}", run.end);
        let world = sim.world();
        assert!(world.at("B4").disks.values().all(|d| d.formatted == 0));
        assert!(!world.done.iter().any(|s| s.contains("start osd") || s.contains("osd new")), "{:?}", world.done);
        drop(world);
        for node in ["B2", "B3"] {
            sim.node(node, |n| n.power = true);
        }
        done(sim.up(3).await);
        assert_whole(&sim, "all are back").await;
    }

    /// Nobody who could know the identity can be seen.
    #[tokio::test(start_paused = true)]
    async fn every_mon_node() {
        let mut sim = three().await;
        sim.wants(FOUR);
        for node in ["B1", "B2", "B3"] {
            sim.node(node, |n| n.power = false);
        }
        assert_eq!(refused(sim.up(2).await, false), ["B1", "B2", "B3"]);
        let world = sim.world();
        assert!(world.done.is_empty() && world.at("B4").files.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_is_not_blank_is_refused_before_any_step() {
        let sim = Sim::new(THREE);
        let found = vec!["a filesystem (ext4)".to_owned()];
        sim.node("B2", |n| {
            n.disks.get_mut("/dev/sdb").expect("it has one").content = DiskContent::Occupied(found);
        });
        assert_eq!(refused(sim.up(1).await, true), ["B2"]);
        assert!(sim.world().done.is_empty());
        assert!(sim.world().nodes.values().all(|n| n.files.is_empty() && n.containers.is_empty()));
    }
}

mod steps {
    use super::*;

    fn runs(action: &Action, kind: Kind) -> bool {
        matches!(action, Action::Run(spec) if spec.daemon.kind == kind)
    }

    #[tokio::test(start_paused = true)]
    async fn that_fail_leave_their_siblings_alone_and_the_next_run_goes_on() {
        let sim = Sim::new(THREE);
        sim.on_step(|_, node, action| {
            let fails = node.as_str() == "B2" && runs(action, Kind::Osd);
            if fails { Fault::Fail("the daemon's socket is gone") } else { Fault::None }
        });
        let run = sim.up(1).await.expect("the run was not killed");
        let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].node.as_str(), failures[0].what.as_str()), ("B2", "start osd.1"));
        {
            let world = sim.world();
            let made: Vec<usize> = world.nodes.values().map(|n| n.containers.len()).collect();
            assert_eq!(made, [3, 2, 2], "siblings were started and nothing was undone");
        }
        done(sim.up(2).await);
        assert_whole(&sim, "after a failed step").await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_every_kind_may_fail_once() {
        let steps = done(Sim::new(THREE).up(1).await);
        for at in 0..steps {
            let what = format!("step {at} fails");
            let sim = Sim::new(THREE);
            cut(&sim, at, &Fault::Fail("no luck"));
            let run = sim.up(1).await.expect("the run was not killed");
            let failed = matches!(&run.end, End::Failed(f) if f[0].error.what == "no luck");
            assert!(failed, "{what}: {:?}", run.end);
            done(sim.up(2).await);
            assert_whole(&sim, &what).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_run_are_finished_when_the_user_stops() {
        let steps = done(Sim::new(THREE).up(1).await);
        for at in 0..steps {
            let sim = Sim::new(THREE);
            cut(&sim, at, &Fault::Stop);
            let run = sim.up(1).await.expect("the run was not killed");
            // at the very end there is nothing left to stop
            assert!(matches!(run.end, End::Stopped | End::Done), "step {at}: {:?}", run.end);
            assert!(at > 0 || matches!(run.end, End::Stopped));
            done(sim.up(2).await);
            assert_whole(&sim, &format!("stopped at step {at}")).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_have_no_effect_end_the_run() {
        let sim = Sim::new(THREE);
        sim.on_step(|_, node, action| {
            let conf = matches!(action, Action::WriteFiles(f) if f[0].path == "/etc/ceph/ceph.conf");
            if node.as_str() == "B3" && conf { Fault::Ignore } else { Fault::None }
        });
        let run = sim.up(1).await.expect("the run was not killed");
        // the second time, only B3's files are planned; the third time, the same again
        let End::NoProgress(stage) = run.end else { panic!("it ended with {:?}", run.end) };
        assert_eq!(stage, "write configuration and keys");
        done(sim.up(2).await);
        assert_whole(&sim, "after no progress").await;
    }
}

mod drift {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_store_is_filled_by_the_other_mons() {
        let sim = three().await;
        sim.node("B2", |n| {
            n.containers.remove("mon");
            n.stores.clear();
        });
        done(sim.up(2).await);
        assert!(sim.world().at("B2").stores["B2"].synced);
        assert_whole(&sim, "mon.B2 is back").await;
    }

    /// Two of three stores are gone: two fresh ones would outvote the last that holds the data.
    #[tokio::test(start_paused = true)]
    async fn two_lost_stores_are_not_made_anew() {
        let sim = three().await;
        for node in ["B2", "B3"] {
            sim.node(node, |n| {
                n.containers.remove("mon");
                n.stores.clear();
            });
        }
        let run = sim.up(2).await.expect("the run was not killed");
        assert!(!matches!(run.end, End::Done), "{:?}", run.end);
        assert!(sim.world().at("B2").stores.is_empty() && sim.world().at("B3").stores.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn stopped_removed_and_changed_daemons() {
        let sim = three().await;
        sim.node("B1", |n| n.containers.get_mut("osd-0").expect("it is there").state = ContainerState::Exited);
        sim.node("B2", |n| drop(n.containers.remove("mgr")));
        sim.node("B3", |n| n.containers.get_mut("mon").expect("it is there").state = ContainerState::Paused);
        done(sim.up(2).await);
        assert_whole(&sim, "all run again").await;
    }

    /// The mons are asked through a mon that runs, not through the first one.
    #[tokio::test(start_paused = true)]
    async fn the_first_mon_is_stopped_and_a_disk_is_added() {
        let mut sim = three().await;
        sim.wants(&THREE.replacen("{device: /dev/sdb}", "{device: /dev/sdb}, {device: /dev/sdc}", 1));
        sim.node("B1", |n| n.containers.get_mut("mon").expect("it is there").state = ContainerState::Exited);
        done(sim.up(2).await);
        assert_whole(&sim, "mon.B1 runs again").await;
    }

    /// A new image: one node after the other, each when the cluster is healthy.
    #[tokio::test(start_paused = true)]
    async fn a_new_image_reaches_one_node_after_the_other() {
        let mut sim = three().await;
        sim.wants(&THREE.replace("ceph:test", "ceph:next"));
        let order = Arc::new(Mutex::new(Vec::<NodeName>::new()));
        let seen = Arc::clone(&order);
        sim.on_step(move |_, node, action| {
            if matches!(action, Action::Replace(_)) {
                seen.lock().expect("no panic").push(node.clone());
            }
            Fault::None
        });
        done(sim.up(2).await);
        let mut order = order.lock().expect("no panic").clone();
        assert_eq!(order.len(), 8, "{order:?}");
        order.dedup();
        assert_eq!(order, [name("B1"), name("B2"), name("B3")]);
        assert_whole(&sim, "with the new image").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_falls_over_ends_the_wait_and_its_log_is_shown() {
        let sim = three().await;
        sim.node("B3", |n| n.containers.get_mut("osd-2").expect("it is there").falls = true);
        let begun = tokio::time::Instant::now();
        let run = sim.up(2).await.expect("the run was not killed");
        let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
        assert_eq!(failures[0].error.what, "osd.2 on B3 falls over again and again");
        assert!(failures[0].error.log.iter().any(|l| l.contains("what()")), "{failures:?}");
        // by the paused clock: well before the wait's own deadline
        assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
        sim.node("B3", |n| n.containers.get_mut("osd-2").expect("it is there").falls = false);
        done(sim.up(3).await);
        assert_whole(&sim, "osd.2 is well again").await;
    }
}
