//! A cluster that gets nodes, disks and mons.

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
    let containers: Vec<String> = sim
        .world()
        .done
        .iter()
        .filter(|s| s.contains("start ") || s.contains("replace "))
        .cloned()
        .collect();
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
