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

/// B4 and what `add-node` may do elsewhere: ask the mons, and with a mon on B4 write ceph.conf.
fn only_b4(sim: &Sim, mon: bool) {
    for step in &sim.world().done {
        let (node, what) = step.split_once(": ").expect("node and action");
        let asks = ["ceph ", "wait for "].iter().any(|w| what.starts_with(w));
        let names_mons = mon && what == "write /etc/ceph/ceph.conf";
        assert!(node == "B4" || asks || names_mons, "{step}");
    }
}

const FOUR_MONS: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test', pool: {size: 3}}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon, osd], osds: [{file: 20GiB}]}
  - {name: B4, address: 10.32.3.150, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
";

#[tokio::test(start_paused = true)]
async fn by_add_node_which_leaves_what_is_wrong_elsewhere() {
    for yaml in [FOUR, FOUR_MONS] {
        let mut sim = three().await;
        sim.wants(yaml);
        sim.node("B2", |n| {
            n.containers.get_mut("mgr").expect("a mgr").state = ContainerState::Exited;
        });
        done(sim.add_node(2, "B4").await);
        only_b4(&sim, yaml == FOUR_MONS);
        assert_eq!(sim.world().at("B2").containers["mgr"].state, ContainerState::Exited);
        assert_eq!(done(sim.add_node(3, "B4").await), 0, "a second time");
        done(sim.up(4).await);
        assert_whole(&sim, "add-node, then up").await;
    }
}

#[tokio::test(start_paused = true)]
async fn by_add_node_that_is_killed_anywhere_and_run_again() {
    let steps = {
        let mut sim = three().await;
        sim.wants(FOUR_MONS);
        done(sim.add_node(2, "B4").await)
    };
    assert!(steps > 8, "{steps}");
    for at in 0..steps {
        for fault in &CUTS {
            let what = format!("{fault:?} at step {at} of add-node");
            let mut sim = three().await;
            sim.wants(FOUR_MONS);
            cut(&sim, at, fault);
            assert!(sim.add_node(2, "B4").await.is_none(), "{what}");
            done(sim.add_node(3, "B4").await);
            only_b4(&sim, true);
            assert_whole(&sim, &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn not_by_add_node_where_there_is_no_cluster() {
    let sim = Sim::new(FOUR);
    let run = sim.add_node(1, "B4").await.expect("it was not killed");
    assert!(matches!(run.end, End::Refused(_)), "{:?}", run.end);
    assert!(sim.world().done.is_empty());
}
