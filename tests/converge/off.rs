//! Nodes that are off, and disks that are not blank.

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
    {
        let world = sim.world();
        assert!(world.at("B4").disks.values().all(|d| d.formatted == 0));
        assert!(
            !world.done.iter().any(|s| s.contains("start osd") || s.contains("osd new")),
            "{:?}",
            world.done
        );
    }
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

/// A connection that is lost in the middle of any step is made again, and the same run finishes.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_once_costs_no_run() {
    let steps = done(Sim::new(THREE).up(1).await);
    for fault in [Fault::LoseMiddle, Fault::LoseAfter] {
        for at in 0..steps {
            let what = format!("{fault:?} at step {at}");
            let sim = Sim::new(THREE);
            cut(&sim, at, &fault);
            let run = sim.up(1).await.expect("the run was not killed");
            assert!(matches!(run.end, End::Done), "{what}: {:?}", run.end);
            assert_whole(&sim, &what).await;
        }
    }
}

/// One that is lost again and again ends the run, which says so, and the next one finishes.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_hold_is_given_up() {
    let sim = Sim::new(THREE);
    sim.on_step(|_, node, _| if *node == name("B2") { Fault::LoseAfter } else { Fault::None });
    let run = sim.up(1).await.expect("the run was not killed");
    let End::Failed(failures) = &run.end else { panic!("{:?}", run.end) };
    assert!(failures.iter().any(|f| f.node == name("B2") && f.error.lost), "{failures:?}");
    assert_eq!(run.summary.unreachable.len(), 1, "{:?}", run.summary.unreachable);
    sim.on_step(|_, _, _| Fault::None);
    done(sim.up(2).await);
    assert_whole(&sim, "the connection holds").await;
}

/// The locks end at any step, as when the process was stopped for a while: they are taken again before anything else is
/// done, and the same run finishes.
#[tokio::test(start_paused = true)]
async fn a_lock_that_ended_is_taken_again_before_anything_else_is_done() {
    let steps = done(Sim::new(THREE).up(1).await);
    for ended in [&["B1", "B2", "B3"][..], &["B2"]] {
        for at in 0..steps {
            let sim = Sim::new(THREE);
            cut(&sim, at, &Fault::Unlock(ended, &[]));
            let run = sim.up(1).await.expect("the run was not killed");
            assert!(matches!(run.end, End::Done), "step {at}: {:?}", run.end);
            assert_whole(&sim, &format!("unlocked at step {at}")).await;
        }
    }
}

/// Another process got the lock meanwhile: no further step is done anywhere, on nodes without a mon neither.
#[tokio::test(start_paused = true)]
async fn a_lock_that_another_has_ends_the_run_on_every_node() {
    let taken = &["B1", "B2", "B3"];
    let mut sim = Sim::new(FOUR);
    let steps = done(sim.up(1).await);
    for at in 0..steps {
        sim = Sim::new(FOUR);
        cut(&sim, at, &Fault::Unlock(&[], taken));
        let run = sim.up(1).await.expect("the run was not killed");
        let End::Unlocked(why) = run.end else { panic!("step {at}: {:?}", run.end) };
        assert!(why.what.starts_with("B1: another cephdock is at work: ops@desk"), "{why:?}");
        done(sim.up(2).await);
    }
    // and `reset` wipes nothing more
    let sim = Sim::new(FOUR);
    done(sim.up(1).await);
    cut(&sim, 0, &Fault::Unlock(&[], taken));
    let all = cephdock::plan::reset::Options { node: None, keep_data: false };
    let end = sim.reset(None, all).await.expect("the run was not killed");
    assert!(matches!(end, End::Unlocked(_)), "{end:?}");
    assert!(!sim.world().done.iter().any(|step| step.contains("wipe")), "{:?}", sim.world().done);
}
