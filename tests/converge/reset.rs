//! A cluster that is taken down, and a node that leaves one.

use cephdock::facts::MappedRbd;
use cephdock::facts::bluestore::Label;
use cephdock::identity::PATH;
use cephdock::plan::reset::Options;
use uuid::Uuid;

use super::*;

const ALL: Options = Options { node: None, keep_data: false };

fn fsid(sim: &Sim) -> Uuid {
    sim.world().at("B1").fsid().expect("a cluster")
}

/// Nothing of a cluster is on any node, and every disk is blank.
fn assert_bare(sim: &Sim, what: &str) {
    let world = sim.world();
    for (name, node) in &world.nodes {
        let ours: Vec<_> =
            node.files.iter().filter(|(_, f)| f.ours).map(|(path, _)| path).collect();
        assert!(ours.is_empty(), "{what}: {name}: {ours:?}");
        assert!(node.stores.is_empty() && node.osds.is_empty(), "{what}: {name}");
        assert!(!node.containers.values().any(|c| c.spec.is_some()), "{what}: {name}");
        assert!(node.looks.is_empty(), "{what}: {name}: {:?}", node.looks);
        for disk in node.disks.values() {
            assert_eq!(disk.content, DiskContent::Blank, "{what}: {name}");
        }
    }
}

async fn gone(sim: &Sim, fsid: Uuid, what: &str) {
    let end = sim.reset(Some(fsid), ALL).await.expect("nothing kills it");
    assert!(matches!(end, End::Done), "{what}: {end:?}\n{:#?}", sim.world().done);
    assert_bare(sim, what);
    // a third run finds nothing, whatever fsid it is told
    let end = sim.reset(Some(fsid), ALL).await.expect("nothing kills it");
    assert!(matches!(end, End::Done) && sim.world().done.is_empty(), "{what}: {end:?}");
}

fn protected(end: Option<End>) -> Vec<(String, String)> {
    match end {
        Some(End::Refused(r)) if r.to_protect_data => {
            r.findings.into_iter().map(|f| (f.node.to_string(), f.what)).collect()
        }
        other => panic!("it ended with {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn takes_all_that_cephdock_made_and_up_makes_a_new_cluster() {
    let sim = three().await;
    let old = fsid(&sim);
    for (path, text) in [("/etc/ceph/rbdmap", "x"), ("/etc/ceph/backup.client.me.keyring", "y")] {
        sim.node("B2", |n| n.put(path, text));
    }
    sim.node("B3", |n| {
        n.containers.insert("web".into(), sim::node::Container::foreign());
    });
    gone(&sim, old, "a whole reset").await;
    assert_eq!(sim.world().at("B2").files.len(), 2);
    assert!(sim.world().at("B3").containers.contains_key("web"));
    done(sim.up(2).await);
    assert_ne!(assert_whole(&sim, "up after reset").await, old.to_string());
}

#[tokio::test(start_paused = true)]
async fn is_killed_anywhere_and_run_again() {
    let steps = {
        let sim = three().await;
        gone(&sim, fsid(&sim), "counting").await;
        let sim = three().await;
        let count = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&count);
        sim.on_step(move |n, _, _| {
            *seen.lock().expect("no panic") = n + 1;
            Fault::None
        });
        sim.reset(None, ALL).await.expect("nothing kills it");
        *count.lock().expect("no panic")
    };
    assert!(steps > 10, "{steps}");
    for at in 0..steps {
        for fault in [Fault::CutBefore, Fault::CutMiddle, Fault::CutAfter] {
            let what = format!("{fault:?} at step {at}");
            let sim = three().await;
            let old = fsid(&sim);
            cut(&sim, at, &fault);
            assert!(sim.reset(None, ALL).await.is_none(), "{what}: it was not killed");
            gone(&sim, old, &what).await;
            done(sim.up(2).await);
            assert_ne!(assert_whole(&sim, &what).await, old.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn takes_what_was_to_look_into_the_image_when_up_was_killed() {
    let sim = Sim::new(THREE);
    sim.on_step(|_, _, action| {
        if matches!(action, Action::LookIntoImage(_)) { Fault::CutMiddle } else { Fault::None }
    });
    assert!(sim.up(1).await.is_none(), "it was not killed");
    assert_eq!(sim.world().at("B1").looks.len(), 1);
    done(sim.up(2).await);
    assert_eq!(sim.world().at("B1").looks.len(), 1, "it is in nobody's way");
    gone(&sim, fsid(&sim), "a look cut off").await;
}

#[tokio::test(start_paused = true)]
async fn fails_at_a_step_and_the_next_run_goes_on() {
    let sim = three().await;
    let old = fsid(&sim);
    sim.on_step(|_, node, action| {
        let wipe = node.as_str() == "B2" && matches!(action, Action::WipeDisk(_));
        if wipe { Fault::Fail("it is held by dm-0") } else { Fault::None }
    });
    let end = sim.reset(None, ALL).await.expect("nothing kills it");
    assert!(matches!(&end, End::Failed(f) if f.len() == 1), "{end:?}");
    // its folder still says which disk it is, and the identity which cluster
    assert!(sim.world().at("B2").osds.len() == 1 && sim.world().at("B1").files.contains_key(PATH));
    gone(&sim, old, "after a failed wipe").await;
}

#[tokio::test(start_paused = true)]
async fn goes_on_past_a_dead_node_and_finishes_when_it_is_back() {
    for off in ["B1", "B3"] {
        let sim = three().await;
        let old = fsid(&sim);
        sim.node(off, |n| n.power = false);
        let end = sim.reset(Some(old), ALL).await.expect("nothing kills it");
        assert!(matches!(end, End::Partly), "{end:?}");
        for (name, node) in &sim.world().nodes {
            assert_eq!(node.containers.is_empty(), name.as_str() != off, "{name}");
            assert_eq!(node.files.is_empty(), name.as_str() != off, "{name}");
        }
        // run again, it still names it
        let end = sim.reset(Some(old), ALL).await.expect("nothing kills it");
        assert!(matches!(end, End::Partly), "{end:?}");
        sim.node(off, |n| n.power = true);
        gone(&sim, old, off).await;
        done(sim.up(2).await);
        assert_ne!(assert_whole(&sim, off).await, old.to_string());
    }
}

/// A node without a mon was off; meanwhile there is a new cluster on the others.
#[tokio::test(start_paused = true)]
async fn cleans_what_comes_back_later_and_leaves_the_new_cluster_alone() {
    let mut sim = Sim::new(FOUR);
    done(sim.up(1).await);
    let old = fsid(&sim);
    sim.node("B4", |n| n.power = false);
    assert!(matches!(sim.reset(None, ALL).await, Some(End::Partly)));
    sim.wants(THREE);
    done(sim.up(2).await);
    let new = fsid(&sim);
    sim.wants(FOUR);
    sim.node("B4", |n| n.power = true);
    // `up` touches nothing of the old one
    assert!(matches!(sim.up(3).await.expect("a run").end, End::Refused(r) if r.to_protect_data));
    // which of the two has to be said
    assert!(!protected(sim.reset(None, ALL).await).is_empty());
    assert!(matches!(sim.reset(Some(old), ALL).await, Some(End::Done)));
    assert!(sim.world().done.iter().all(|step| step.starts_with("B4")), "{:?}", sim.world().done);
    done(sim.up(3).await);
    assert_eq!(assert_whole(&sim, "B4 is in the new one").await, new.to_string());
}

#[tokio::test(start_paused = true)]
async fn is_refused_for_another_fsid() {
    let sim = three().await;
    let nodes: Vec<String> = protected(sim.reset(Some(Uuid::from_u128(5)), ALL).await)
        .into_iter()
        .map(|f| f.0)
        .collect();
    assert_eq!(nodes, ["B1", "B2", "B3"]);
    assert!(sim.world().done.is_empty());
}

#[tokio::test(start_paused = true)]
async fn is_refused_while_an_image_is_mapped_anywhere() {
    let sim = three().await;
    let old = fsid(&sim);
    let mapped = |cluster| MappedRbd {
        device: "/dev/rbd0".into(),
        pool: "rbd".into(),
        image: "test".into(),
        cluster,
        mounts: vec!["/srv".into()],
        ..MappedRbd::default()
    };
    // an old kernel does not say whose it is
    for cluster in [Some(old), None] {
        sim.node("B3", |n| n.mapped = vec![mapped(cluster)]);
        let found = protected(sim.reset(None, ALL).await);
        let what = "the RBD image rbd/test is mapped as /dev/rbd0 and mounted at /srv";
        assert_eq!(found, [("B3".to_owned(), what.to_owned())]);
        assert!(sim.world().done.is_empty());
    }
    sim.node("B3", |n| n.mapped = vec![mapped(Some(Uuid::from_u128(9)))]);
    gone(&sim, old, "another cluster's image is mapped").await;
}

#[tokio::test(start_paused = true)]
async fn leaves_data_and_up_brings_the_same_cluster_back() {
    let sim = three().await;
    let old = fsid(&sim);
    let keep = Options { node: None, keep_data: true };
    assert!(matches!(sim.reset(None, keep).await, Some(End::Done)));
    for node in sim.world().nodes.values() {
        assert!(node.containers.is_empty() && !node.files.contains_key("/etc/ceph/ceph.conf"));
        assert!(node.disks.values().all(|d| d.content != DiskContent::Blank));
    }
    assert!(matches!(sim.reset(Some(old), keep).await, Some(End::Done)));
    assert!(sim.world().done.is_empty(), "{:?}", sim.world().done);
    done(sim.up(2).await);
    assert_eq!(assert_whole(&sim, "up after reset --keep-data").await, old.to_string());
    assert!(matches!(sim.reset(None, keep).await, Some(End::Done)));
    gone(&sim, old, "the rest").await;
}

/// Somebody has removed all but the disks by hand.
#[tokio::test(start_paused = true)]
async fn finds_a_disk_by_its_label_alone() {
    let sim = Sim::new(THREE);
    let fsid = Uuid::from_u128(77);
    let of = |uuid| {
        let (ceph_fsid, whoami) = (Some(fsid), Some(4));
        DiskContent::BlueStore(Label { osd_uuid: uuid, ceph_fsid, whoami, complete: true })
    };
    let put = |content| {
        sim.node("B2", |n| n.disks.get_mut("/dev/sdb").expect("a disk").content = content);
    };
    // an OSD that cephdock has not made is nobody's to wipe
    put(of(Uuid::from_u128(78)));
    assert!(matches!(sim.reset(Some(fsid), ALL).await, Some(End::Done)));
    assert!(sim.world().done.is_empty());
    put(of(cephdock::identity::osd_uuid(fsid, &name("B2"), "B2-sdb")));
    gone(&sim, fsid, "a disk alone").await;
}

/// A cluster of four, and B4 with a mon, a mgr and two OSDs leaves it.
async fn four() -> Sim {
    let sim = Sim::new(&FOUR.replace("roles: [mgr, osd]", "roles: [mon, mgr, osd]"));
    done(sim.up(1).await);
    sim
}

fn leaves(node: &NodeName) -> Options<'_> {
    Options { node: Some(node), keep_data: false }
}

/// B4 is out of the cluster and bare; the others never noticed.
async fn assert_left(sim: &mut Sim, what: &str) {
    {
        let world = sim.world();
        let cluster = world.ceph.all.values().next().expect("it lives on");
        assert_eq!(cluster.monmap, ["B1", "B2", "B3"], "{what}");
        assert_eq!(cluster.osds.len(), 3, "{what}: {:?}", cluster.osds);
        for entity in ["mgr.B4", "osd.3", "osd.4"] {
            assert!(!cluster.auth.contains_key(entity), "{what}: {entity}");
        }
        let node = world.at("B4");
        assert!(node.files.is_empty() && node.stores.is_empty() && node.osds.is_empty(), "{what}");
        assert!(node.containers.is_empty(), "{what}");
        assert!(node.disks.values().all(|d| d.content == DiskContent::Blank), "{what}");
    }
    // without its entry the rest is a whole cluster
    sim.wants(&THREE.replace("image: 'ceph:test'", "image: 'ceph:test', pool: {size: 3}"));
    done(sim.up(2).await);
    let run = sim.up(3).await.expect("nothing kills it");
    assert!(matches!(run.end, End::Done) && run.summary.steps == 0, "{what}: {:?}", run.end);
    assert_eq!(run.summary.health.as_deref(), Some("HEALTH_OK"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn of_one_node_moves_its_data_and_takes_it_out() {
    let mut sim = four().await;
    let b4 = name("B4");
    assert!(
        matches!(sim.reset(None, leaves(&b4)).await, Some(End::Done)),
        "{:?}",
        sim.world().done
    );
    for step in &sim.world().done {
        // the others are asked, and their ceph.conf names the mons
        let on_others = ["ceph ", "wait for", "write /etc/ceph/ceph.conf"];
        assert!(step.starts_with("B4") || on_others.iter().any(|w| step.contains(w)), "{step}");
    }
    assert_left(&mut sim, "B4 leaves").await;
}

#[tokio::test(start_paused = true)]
async fn of_one_node_is_killed_anywhere_and_run_again() {
    let b4 = name("B4");
    let sim = four().await;
    assert!(matches!(sim.reset(None, leaves(&b4)).await, Some(End::Done)));
    let steps = sim.world().done.len();
    assert!(steps > 8, "{steps}");
    for at in 0..steps {
        for fault in [Fault::CutBefore, Fault::CutMiddle, Fault::CutAfter] {
            let what = format!("{fault:?} at step {at}");
            let mut sim = four().await;
            cut(&sim, at, &fault);
            assert!(sim.reset(None, leaves(&b4)).await.is_none(), "{what}: it was not killed");
            let end = sim.reset(None, leaves(&b4)).await;
            assert!(matches!(end, Some(End::Done)), "{what}: {end:?}");
            assert_left(&mut sim, &what).await;
        }
    }
}

/// A node that has burnt down; and one that comes back after it was taken out.
#[tokio::test(start_paused = true)]
async fn of_a_dead_node_takes_it_out_and_cleans_it_when_it_is_back() {
    let mut sim = four().await;
    let b4 = name("B4");
    sim.node("B4", |n| n.power = false);
    let end = sim.reset(None, leaves(&b4)).await;
    assert!(matches!(end, Some(End::Partly)), "{end:?}");
    assert_eq!(sim.world().ceph.all.values().next().expect("one").osds.len(), 3);
    sim.node("B4", |n| n.power = true);
    let end = sim.reset(None, leaves(&b4)).await;
    assert!(matches!(end, Some(End::Done)), "{end:?}");
    assert_left(&mut sim, "B4 was off").await;
}

#[tokio::test(start_paused = true)]
async fn of_a_pure_client_touches_nothing_else_and_asks_no_mon() {
    let inventory = format!("{THREE}  - {{name: B5, address: 10.32.3.151, roles: []}}\n");
    let sim = Sim::new(&inventory);
    done(sim.up(1).await);
    for node in ["B1", "B2"] {
        sim.node(node, |n| n.container("mon").state = ContainerState::Exited);
    }
    let b5 = name("B5");
    let end = sim.reset(None, leaves(&b5)).await;
    assert!(matches!(end, Some(End::Done)), "{end:?}");
    assert!(sim.world().done.iter().all(|s| s.starts_with("B5")), "{:?}", sim.world().done);
    assert!(sim.world().at("B5").files.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_one_node_is_refused_where_data_or_the_quorum_would_be_lost() {
    // three hosts and three copies
    let sim = three().await;
    let b3 = name("B3");
    let why = protected(sim.reset(None, leaves(&b3)).await);
    assert!(why.iter().any(|(_, w)| w.contains("2 hosts with OSDs would stay")), "{why:?}");

    // another node's OSD is down
    let sim = four().await;
    let b4 = name("B4");
    sim.node("B1", |n| n.container("osd-0").state = ContainerState::Exited);
    let why = protected(sim.reset(None, leaves(&b4)).await);
    assert!(why.iter().any(|(_, w)| w.contains("osd.0 down elsewhere")), "{why:?}");

    // one of the other three mons and this one are left
    let sim = four().await;
    for node in ["B1", "B2"] {
        sim.node(node, |n| n.container("mon").state = ContainerState::Exited);
    }
    assert!(!protected(sim.reset(None, leaves(&b4)).await).is_empty());

    // an image is mapped there
    let sim = four().await;
    sim.node("B4", |n| n.mapped = vec![MappedRbd { pool: "rbd".into(), ..MappedRbd::default() }]);
    assert!(protected(sim.reset(None, leaves(&b4)).await)[0].1.contains("is mapped"));
    for node in ["B1", "B2", "B3"] {
        assert!(!sim.world().done.iter().any(|s| s.starts_with(node)), "{:?}", sim.world().done);
    }
}
