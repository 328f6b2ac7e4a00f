//! A cluster that runs and is not as it should be any more.

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
    sim.node("B1", |n| {
        n.container("osd-0").state = ContainerState::Exited;
    });
    sim.node("B2", |n| drop(n.containers.remove("mgr")));
    sim.node("B3", |n| {
        n.container("mon").state = ContainerState::Paused;
    });
    done(sim.up(2).await);
    assert_whole(&sim, "all run again").await;
}

/// Mons take some seconds to notice that a daemon has fallen, and longer than it takes to start it anew: what they say of
/// the cluster is from before, and is not believed.
#[tokio::test(start_paused = true)]
async fn a_daemon_falls_and_the_mons_have_not_noticed() {
    let sim = three().await;
    sim.world().ceph.unaware = true;
    sim.node("B1", |n| drop(n.containers.remove("osd-0")));
    sim.world().done.clear();
    done(sim.up(2).await);
    let steps = sim.world().done.clone();
    let at = |what: &str| steps.iter().position(|step| step.contains(what));
    let (start, wait) = (at("start osd.0"), at("wait for every PG"));
    assert!(start.is_some() && start < wait, "{steps:?}");
    assert_whole(&sim, "osd.0 is back").await;
}

/// The mons are asked through a mon that runs, not through the first one.
#[tokio::test(start_paused = true)]
async fn the_first_mon_is_stopped_and_a_disk_is_added() {
    let mut sim = three().await;
    sim.wants(&THREE.replacen("{device: /dev/sdb}", "{device: /dev/sdb}, {device: /dev/sdc}", 1));
    sim.node("B1", |n| {
        n.container("mon").state = ContainerState::Exited;
    });
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
    sim.node("B3", |n| n.container("osd-2").falls = true);
    let begun = tokio::time::Instant::now();
    let run = sim.up(2).await.expect("the run was not killed");
    let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(failures[0].error.what, "osd.2 on B3 falls over again and again");
    let error = &failures[0].error;
    assert!(error.log.iter().any(|l| l.contains("missing 'type' file")), "{error:?}");
    let cause = failures[0].cause.as_ref();
    assert_eq!(cause.map(|c| c.code.as_str()), Some("osd-files-missing"));
    // by the paused clock: well before the wait's own deadline
    assert!(begun.elapsed().as_secs() < 120, "{:?}", begun.elapsed());
    sim.node("B3", |n| n.container("osd-2").falls = false);
    done(sim.up(3).await);
    assert_whole(&sim, "osd.2 is well again").await;
}
