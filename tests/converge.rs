//! Whole runs on a fleet in memory: bring-up, a second run, a run that is killed at any moment, nodes that are off.

mod sim;

use cephdock::converge::{End, Run};
use sim::{Fault, Sim, name};

const THREE: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test'}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B3, address: 10.32.3.149, roles: [mon, osd], osds: [{device: /dev/sdb}]}
";

#[tokio::test(start_paused = true)]
async fn a_new_cluster_is_brought_up_and_a_second_run_does_nothing() {
    let sim = Sim::new(THREE);
    let run = sim.up(1).await.expect("not killed");
    assert!(matches!(run.end, End::Done), "{:?}\n{:#?}", run.end, sim.world().done);
    eprintln!("{:#?}", sim.world().done);
    let run = sim.up(2).await.expect("not killed");
    assert!(matches!(run.end, End::Done), "{:?}", run.end);
    assert_eq!(run.summary.steps, 0);
}
