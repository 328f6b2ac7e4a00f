//! cephdock's own volume driver: installed, upgraded, mended and taken away.

use cephdock::facts::{MappedRbd, RbdModule};
use cephdock::plan::reset::Options;
use cephdock::volume::unit;
use sim::service::{Service, program};

use super::*;

const KEYRING: &str = "/etc/ceph/ceph.client.cephdock.keyring";

const WITH_VOLUMES: &str = "
cluster: {public_network: 10.32.3.0/24, image: 'ceph:test', pool: {name: data}}
volumes: {driver: cephdock}
nodes:
  - {name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.148, roles: []}
";
const EVERY: &str = "layering,exclusive-lock,object-map,fast-diff,deep-flatten";

fn new() -> Sim {
    Sim::new(WITH_VOLUMES)
}

/// The driver of this version runs on every node, with these features, by its own key.
fn assert_served(sim: &Sim, version: &str, features: &str, what: &str) {
    let world = sim.world();
    let cluster = world.ceph.all.values().next().expect("one");
    let key = cluster.auth.get("client.cephdock").unwrap_or_else(|| panic!("{what}: no key"));
    for (name, node) in &world.nodes {
        let command = format!(
            "{} volume-driver --node {name} --pool data --features {features}",
            unit::PROGRAM_PATH
        );
        let digest = program(version).sha256;
        assert_eq!(node.service.program.as_ref(), Some(&digest), "{what}: {name}");
        assert_eq!(node.service.running, Some((command, digest)), "{what}: {name}");
        assert!(node.service.enabled, "{what}: {name}");
        assert!(!node.service.left.contains(unit::PROGRAM_PARTIAL), "{what}: {name}");
        let keyring = &node.files[KEYRING];
        assert!(keyring.content.contains(key) && keyring.mode == 0o600, "{what}: {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_installed_last_and_a_second_run_does_nothing() {
    let sim = new();
    done(sim.up(1).await);
    assert_served(&sim, "1", EVERY, "up");
    let steps = sim.world().done.clone();
    // a new cluster's mons know the key from the beginning
    assert!(!steps.iter().any(|s| s.contains("auth import")), "{steps:?}");
    let first = steps.iter().position(|s| s.contains("send this cephdock")).expect("sent");
    let last = steps.iter().rposition(|s| s.contains("wait for every PG")).expect("waited");
    assert!(first > last, "the cluster is healthy before: {steps:?}");
    assert_whole(&sim, "with drivers").await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step() {
    let steps = done(new().up(1).await);
    for at in 0..steps {
        for fault in &CUTS {
            let what = format!("{fault:?} at step {at}");
            let sim = new();
            cut(&sim, at, fault);
            assert!(sim.up(1).await.is_none(), "{what}");
            done(sim.up(2).await);
            assert_served(&sim, "1", EVERY, &what);
            assert_whole(&sim, &what).await;
        }
    }
}

/// Another version of cephdock, and another pool: killed anywhere, no process of the old one is left running.
#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_killed_at_any_step() {
    let newer = || {
        let mut sim = new();
        sim.wants(&WITH_VOLUMES.replace("name: data", "name: rbd"));
        sim
    };
    let upgraded = |mut sim: Sim| {
        sim.wants(WITH_VOLUMES);
        sim.want.volumes.programs = Some(vec![program("2")]);
        sim
    };
    let begin = || async {
        let sim = newer();
        done(sim.up(1).await);
        upgraded(sim)
    };
    let steps = done(begin().await.up(2).await);
    assert!(steps >= 6, "{steps}");
    for at in 0..steps {
        for fault in [Fault::CutBefore, Fault::CutMiddle, Fault::CutAfter] {
            let what = format!("{fault:?} at step {at}");
            let sim = begin().await;
            cut(&sim, at, &fault);
            assert!(sim.up(2).await.is_none(), "{what}");
            done(sim.up(3).await);
            assert_served(&sim, "2", EVERY, &what);
            assert_whole(&sim, &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_by_hand_is_mended() {
    type Change = fn(&mut Service);
    let changes: [(&str, Change); 5] = [
        ("stopped", |s| s.running = None),
        ("disabled", |s| s.enabled = false),
        ("another program", |s| s.program = Some("something".into())),
        ("an old process", |s| s.running.as_mut().expect("it runs").1 = "old".into()),
        ("other words", |s| s.running.as_mut().expect("it runs").0 += " --size 1MiB"),
    ];
    for (what, change) in changes {
        let sim = new();
        done(sim.up(1).await);
        sim.node("B2", |n| change(&mut n.service));
        assert!((1..=2).contains(&done(sim.up(2).await)), "{what}: {:?}", sim.world().done);
        assert!(sim.world().done.iter().all(|s| s.starts_with("B2")), "{what}");
        assert_served(&sim, "1", EVERY, what);
        assert_whole(&sim, what).await;
    }
    let sim = new();
    done(sim.up(1).await);
    sim.node("B1", |n| {
        n.files.get_mut(unit::UNIT_PATH).expect("a unit").content += "# mine\n";
        n.files.remove(KEYRING);
    });
    done(sim.up(2).await);
    assert_served(&sim, "1", EVERY, "unit and key");
}

/// The features are those that all nodes' kernels have, and stay so while a node is off.
#[tokio::test(start_paused = true)]
async fn the_oldest_kernel_decides_what_new_images_have() {
    let sim = new();
    sim.node("B2", |n| (n.client.features, n.kernel) = (Some(0x25), "5.1.0".into()));
    done(sim.up(1).await);
    assert_served(&sim, "1", "layering,exclusive-lock,deep-flatten", "one is older");
    sim.node("B2", |n| n.power = false);
    let run = sim.up(2).await.expect("the run was not killed");
    assert_eq!(run.summary.steps, 0, "{:?}", sim.world().done);
    sim.node("B2", |n| (n.client.features, n.power) = (Some(0x3d), true));
    done(sim.up(3).await);
    assert_served(&sim, "1", EVERY, "it is newer now");
    // and one on which no image can be mapped does not count
    sim.node("B2", |n| (n.client.features, n.client.module) = (None, RbdModule::Absent));
    assert_eq!(done(sim.up(4).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_systemd_and_one_of_another_architecture() {
    let sim = new();
    sim.node("B2", |n| n.systemd = false);
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Done), "{:?}", run.end);
    let said = run.summary.remaining.join("\n");
    assert!(said.contains("B2: it has no systemd"), "{said}");
    assert_eq!(sim.world().at("B2").service, Service::default());
    assert!(!sim.world().at("B2").files.contains_key(KEYRING));

    let mut sim = new();
    sim.node("B2", |n| n.arch = "aarch64".into());
    let run = sim.up(1).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Partly), "{:?}", run.end);
    let said = run.summary.remaining.join("\n");
    assert!(said.contains("aarch64") && said.contains("volumes.driver_binary"), "{said}");
    assert!(sim.world().at("B1").service.running.is_some());
    let mut arm = program("1");
    arm.machine = 183;
    sim.want.volumes.programs.as_mut().expect("read").insert(0, arm);
    done(sim.up(2).await);
    assert_served(&sim, "1", EVERY, "with a program for it");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_run_there_fails_its_lane_alone() {
    let sim = new();
    sim.on_step(|_, node, action| {
        let sends = node.as_str() == "B2" && matches!(action, Action::SendProgram(_));
        if sends { Fault::Fail("it does not run there") } else { Fault::None }
    });
    let run = sim.up(1).await.expect("the run was not killed");
    let End::Failed(failures) = run.end else { panic!("it ended with {:?}", run.end) };
    assert_eq!(failures.len(), 1);
    assert!(sim.world().at("B2").service.running.is_none());
    assert!(sim.world().at("B1").service.running.is_some());
    done(sim.up(2).await);
    assert_served(&sim, "1", EVERY, "it runs now");
}

fn mounted() -> MappedRbd {
    MappedRbd {
        device: "/dev/rbd0".into(),
        pool: "data".into(),
        image: "v".into(),
        mounts: vec![format!("{}/volumes/v.1", unit::ROOT)],
        ..MappedRbd::default()
    }
}

fn assert_gone(sim: &Sim, node: &str) {
    let world = sim.world();
    assert_eq!(world.at(node).service, Service::default(), "{node}");
    for path in [unit::UNIT_PATH, KEYRING] {
        assert!(!world.at(node).files.contains_key(path), "{node}: {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_where_it_is_not_asked_for_any_more_but_not_from_under_volumes() {
    let mut sim = new();
    done(sim.up(1).await);
    sim.wants(&WITH_VOLUMES.replace("driver: cephdock", "driver: none"));
    sim.node("B2", |n| n.mapped = vec![mounted()]);
    let run = sim.up(2).await.expect("the run was not killed");
    assert!(matches!(run.end, End::Partly), "{:?}", run.end);
    assert!(run.summary.remaining.join("\n").contains("volumes/v.1"));
    assert_gone(&sim, "B1");
    assert!(sim.world().at("B2").service.running.is_some());
    sim.node("B2", |n| n.mapped.clear());
    done(sim.up(3).await);
    assert_gone(&sim, "B2");
    assert_whole(&sim, "without drivers").await;
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_the_cluster_wherever_a_reset_is_killed() {
    const ALL: Options = Options { node: None, keep_data: false };
    let begin = || async {
        let sim = new();
        done(sim.up(1).await);
        sim
    };
    let sim = begin().await;
    sim.node("B1", |n| n.mapped = vec![mounted()]);
    assert!(matches!(sim.reset(None, ALL).await, Some(End::Refused(r)) if r.to_protect_data));
    assert!(sim.world().done.is_empty());
    sim.node("B1", |n| n.mapped.clear());
    assert!(matches!(sim.reset(None, ALL).await, Some(End::Done)));
    let steps = sim.world().done.len();
    for at in 0..steps {
        for fault in [Fault::CutBefore, Fault::CutMiddle, Fault::CutAfter] {
            let what = format!("{fault:?} at step {at}");
            let sim = begin().await;
            cut(&sim, at, &fault);
            assert!(sim.reset(None, ALL).await.is_none(), "{what}");
            assert!(matches!(sim.reset(None, ALL).await, Some(End::Done)), "{what}");
            for node in ["B1", "B2"] {
                assert_gone(&sim, node);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_of_somebody_else_stays_when_the_cluster_goes() {
    let sim = new();
    done(sim.up(1).await);
    sim.node("B2", |n| n.put(unit::UNIT_PATH, "[Service]\nExecStart=/opt/theirs\n"));
    let all = Options { node: None, keep_data: false };
    assert!(matches!(sim.reset(None, all).await, Some(End::Done)));
    assert!(sim.world().at("B2").files.contains_key(unit::UNIT_PATH));
    assert_gone(&sim, "B1");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_gets_it_and_one_that_leaves_loses_it() {
    let mut sim = new();
    done(sim.up(1).await);
    let more = format!("{WITH_VOLUMES}  - {{name: B3, address: 10.32.3.149, roles: []}}\n");
    sim.wants(&more);
    done(sim.add_node(2, "B3").await);
    assert!(sim.world().done.iter().all(|s| s.starts_with("B3")), "{:?}", sim.world().done);
    assert_served(&sim, "1", EVERY, "B3 has joined");
    let b3 = name("B3");
    let leaves = Options { node: Some(&b3), keep_data: false };
    assert!(matches!(sim.reset(None, leaves).await, Some(End::Done)));
    assert_gone(&sim, "B3");
    assert!(sim.world().at("B1").service.running.is_some());
}
