//! A run that is killed at any moment, and the next one that finishes.

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
