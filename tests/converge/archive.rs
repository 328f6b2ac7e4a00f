//! The image comes from an archive.

use super::*;

const ARCHIVE: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test', image_archive: ./ceph.tar}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon]}
";

fn with_archive(id: &str) -> Sim {
    let mut sim = Sim::new(ARCHIVE);
    sim.archives(id);
    sim
}

fn loaded(sim: &Sim) -> Vec<String> {
    let world = sim.world();
    assert!(!world.done.iter().any(|step| step.contains("pull")), "{:?}", world.done);
    let load = |step: &&String| step.contains(": load ");
    world.done.iter().filter(load).map(|step| step[..2].to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_killed_while_it_is_sent_sends_it_again() {
    for at in 0..4 {
        for fault in [Fault::CutBefore, Fault::CutMiddle, Fault::CutAfter] {
            let what = format!("{fault:?} at step {at}");
            let sim = with_archive("a1");
            cut(&sim, at, &fault);
            assert!(sim.up(1).await.is_none(), "{what}");
            let before = loaded(&sim).len();
            done(sim.up(2).await);
            assert!(before + loaded(&sim).len() >= 2, "{what}: {:?}", sim.world().done);
            assert_whole(&sim, &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_nodes_that_lack_it_or_have_another_get_it() {
    let mut sim = with_archive("a1");
    done(sim.up(1).await);
    assert_eq!(loaded(&sim), ["B1", "B2", "B3"]);
    sim.node("B2", |node| drop(node.images.remove("ceph:test")));
    done(sim.up(2).await);
    assert_eq!(loaded(&sim), ["B2"]);
    sim.archives("a2");
    done(sim.up(3).await);
    assert_eq!(loaded(&sim), ["B1", "B2", "B3"]);
    assert_eq!(done(sim.up(4).await), 0);
}
