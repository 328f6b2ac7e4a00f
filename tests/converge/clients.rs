//! Nodes on which a client has to be made first: host tools, the kernel module.

use cephdock::facts::{ClientFacts, PackageManager, RbdModule};
use cephdock::plan::clients::MODULES_FILE;

use super::*;

const WITH_A_CLIENT: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test'}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: []}
";

/// Nodes as they are delivered: a package manager, no tools, a module that is not loaded.
fn bare() -> Sim {
    let sim = Sim::new(WITH_A_CLIENT);
    for (node, manager) in [("B1", PackageManager::Apt), ("B2", PackageManager::Dnf)] {
        sim.node(node, |n| {
            n.client = ClientFacts {
                manager: Some(manager),
                module: RbdModule::Loadable,
                ..ClientFacts::default()
            };
        });
    }
    sim
}

fn assert_clients(sim: &Sim, what: &str) {
    for (name, node) in &sim.world().nodes {
        assert!(node.client.has_tools(), "{what}: {name} has no tools");
        assert_eq!(node.client.module, RbdModule::Loaded, "{what}: {name}");
        assert!(node.text(MODULES_FILE).expect("written").contains("\nrbd\n"), "{what}: {name}");
    }
}

fn installs(action: &Action) -> bool {
    matches!(action, Action::InstallTools(..))
}

#[tokio::test(start_paused = true)]
async fn they_are_made_last_and_once() {
    let sim = bare();
    done(sim.up(1).await);
    let steps = sim.world().done.clone();
    let first = steps.iter().position(|s| s.contains("install ceph-common")).expect("installed");
    let last = steps.iter().rposition(|s| s.contains("wait for every PG")).expect("waited");
    assert!(first > last, "the cluster is healthy before: {steps:?}");
    assert_clients(&sim, "after the first run");
    assert_whole(&sim, "after the first run").await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step() {
    let steps = done(bare().up(1).await);
    for at in 0..steps {
        for fault in &CUTS {
            let what = format!("{fault:?} at step {at}");
            let sim = bare();
            cut(&sim, at, fault);
            assert!(sim.up(1).await.is_none(), "{what}");
            done(sim.up(2).await);
            assert_clients(&sim, &what);
            assert_whole(&sim, &what).await;
        }
    }
}

/// The cluster is up all the same, as is all else that makes a client, and the next run goes on.
#[tokio::test(start_paused = true)]
async fn a_repository_that_lacks_the_package() {
    let sim = bare();
    sim.on_step(|_, node, action| {
        let fails = node.as_str() == "B1" && installs(action);
        if fails { Fault::Fail("E: Unable to locate package ceph-common") } else { Fault::None }
    });
    let run = sim.up(1).await.expect("the run was not killed");
    let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].what, "install ceph-common with apt-get");
    assert_eq!(run.summary.health.as_deref(), Some("HEALTH_OK"));
    {
        let world = sim.world();
        assert_eq!(world.at("B1").client.module, RbdModule::Loaded);
        assert!(world.at("B2").client.has_tools());
    }
    done(sim.up(2).await);
    assert_clients(&sim, "the repository has it now");
    assert_whole(&sim, "the repository has it now").await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_package_manager_is_said_and_the_cluster_is_up() {
    let sim = bare();
    sim.node("B2", |n| n.client.manager = None);
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Partly), "{:?}", run.end);
    assert_eq!(run.summary.health.as_deref(), Some("HEALTH_OK"));
    let said = run.summary.remaining.join("\n");
    assert!(said.contains("B2: it has no ceph-common and no package manager"), "{said}");
    assert!(sim.world().at("B1").client.has_tools());
    // by hand
    sim.node("B2", |n| (n.client.ceph, n.client.rbd) = (true, Some("19.2.3".into())));
    done(sim.up(2).await);
    assert_whole(&sim, "with tools from elsewhere").await;
}

#[tokio::test(start_paused = true)]
async fn a_kernel_without_rbd_is_said_and_the_run_succeeds() {
    let sim = bare();
    sim.node("B2", |n| n.client.module = RbdModule::Absent);
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Done), "{:?}", run.end);
    let said = run.summary.remaining.join("\n");
    assert!(said.contains("B2: its kernel 6.1.0 has no rbd module"), "{said}");
    let world = sim.world();
    assert!(!world.at("B2").files.contains_key(MODULES_FILE), "nothing can be loaded at boot");
}

/// After a reboot the file has loaded it; without the file it is put back.
#[tokio::test(start_paused = true)]
async fn the_module_file_is_put_back() {
    let sim = bare();
    done(sim.up(1).await);
    sim.node("B2", |n| {
        n.files.remove(MODULES_FILE);
        n.client.module = RbdModule::Loadable;
    });
    assert_eq!(done(sim.up(2).await), 2);
    assert_clients(&sim, "after a reboot without the file");
}
