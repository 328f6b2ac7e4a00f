//! A third-party volume plugin on every node.

use cephdock::plan::plugins::mark;
use cephdock::plan::reset::Options;

use super::sim::plugin::Plugin;
use super::*;

const ALL: Options = Options { node: None, keep_data: false };
const NAME: &str = "rexray/rbd:latest";

fn inventory(volumes: &str) -> String {
    format!(
        "
cluster: {{public_network: 10.32.3.0/24, image: 'ceph:test'}}
volumes: {volumes}
nodes:
  - {{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{{device: /dev/sdb}}]}}
  - {{name: B2, address: 10.32.3.148, roles: []}}
"
    )
}

fn with_a_plugin() -> Sim {
    Sim::new(&inventory(
        "{driver: rexray/rbd, alias: '10.32.3.1:5000/rexray/rbd', settings: {RBD_DEFAULTPOOL: data}}",
    ))
}

fn assert_plugins(sim: &Sim, what: &str) {
    for (name, node) in &sim.world().nodes {
        let plugin = node.plugin.as_ref().unwrap_or_else(|| panic!("{what}: none on {name}"));
        assert!(plugin.enabled, "{what}: {name}");
        assert_eq!(plugin.name, NAME, "{what}: {name}");
        assert_eq!(plugin.remote, "10.32.3.1:5000/rexray/rbd", "{what}: {name}");
        assert_eq!(plugin.settings["RBD_DEFAULTPOOL"], "data", "{what}: {name}");
        assert!(node.files.contains_key(&mark(NAME)), "{what}: {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step() {
    let steps = done(with_a_plugin().up(1).await);
    for at in 0..steps {
        for fault in &CUTS {
            let what = format!("{fault:?} at step {at}");
            let sim = with_a_plugin();
            cut(&sim, at, fault);
            assert!(sim.up(1).await.is_none(), "{what}");
            done(sim.up(2).await);
            assert_plugins(&sim, &what);
            assert_whole(&sim, &what).await;
        }
    }
}

/// Docker sets nothing of a plugin that runs, so it is stopped for it; wherever that is cut off, it runs in the end.
#[tokio::test(start_paused = true)]
async fn a_changed_setting() {
    for (at, fault) in (0..3).flat_map(|at| CUTS.iter().map(move |fault| (at, fault))) {
        let what = format!("{fault:?} at step {at}");
        let sim = with_a_plugin();
        done(sim.up(1).await);
        sim.node("B2", |n| {
            let plugin = n.plugin.as_mut().expect("installed");
            plugin.settings.insert("RBD_DEFAULTPOOL".into(), "by hand".into());
        });
        let before = sim.world().at("B1").plugin.clone();
        cut(&sim, at, fault);
        assert!(sim.up(2).await.is_none(), "{what}");
        done(sim.up(3).await);
        assert_plugins(&sim, &what);
        assert_eq!(sim.world().at("B1").plugin, before, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn reset_takes_away_what_up_brought_and_nothing_else() {
    let sim = with_a_plugin();
    sim.node("B2", |n| {
        n.plugin = Some(Plugin {
            name: NAME.into(),
            settings: [("RBD_DEFAULTPOOL".to_owned(), "rbd".to_owned())].into(),
            ..Plugin::default()
        });
    });
    done(sim.up(1).await);
    {
        let world = sim.world();
        let theirs = world.at("B2").plugin.as_ref().expect("still there");
        assert_eq!(theirs.settings["RBD_DEFAULTPOOL"], "data", "set as the inventory says");
        assert!(theirs.enabled && theirs.remote.is_empty());
        assert!(!world.at("B2").files.contains_key(&mark(NAME)));
    }
    assert!(matches!(sim.reset(None, ALL).await, Some(End::Done)));
    let world = sim.world();
    assert_eq!(world.at("B1").plugin, None);
    assert!(!world.at("B1").files.contains_key(&mark(NAME)));
    assert!(world.at("B2").plugin.is_some(), "somebody else's");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_in_use_stops_the_reset_before_the_files_go() {
    let sim = with_a_plugin();
    done(sim.up(1).await);
    sim.node("B2", |n| n.plugin.as_mut().expect("installed").in_use = true);
    let end = sim.reset(None, ALL).await.expect("the run was not killed");
    assert!(matches!(end, End::Failed(_)), "{end:?}");
    assert!(sim.world().at("B2").files.contains_key("/etc/ceph/ceph.conf"), "it still says whose");
    sim.node("B2", |n| n.plugin.as_mut().expect("installed").in_use = false);
    assert!(matches!(sim.reset(None, ALL).await, Some(End::Done)));
    assert_eq!(sim.world().at("B2").plugin, None);
}
