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

#[tokio::test(start_paused = true)]
async fn on_an_image_that_reads_newer_keys_daemons_get_them_and_clients_do_not() {
    let sim = Sim::new(THREE);
    for node in ["B1", "B2", "B3"] {
        sim.node(node, |n| n.reads = cephdock::identity::KeyType::Aes256k);
    }
    done(sim.up(1).await);
    // base64 of the key's type, 2 or 1, little endian
    let begins = |path: &str, with: &str| {
        let world = sim.world();
        let content = &world.at("B1").files[path].content;
        assert!(content.contains(&format!("key = {with}")), "{path}: {content}");
    };
    begins("/var/lib/ceph/mgr/ceph-B1/keyring", "AgA");
    begins("/etc/ceph/ceph.client.admin.keyring", "AQA");
    // the next process reads it from the nodes
    assert_eq!(done(sim.up(2).await), 0);
}
