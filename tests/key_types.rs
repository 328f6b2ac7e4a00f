//! What type of cephx keys a new cluster gets: it depends on the image, and is decided once.

use std::collections::BTreeMap;
use std::path::Path;

use cephdock::facts::{ClusterFacts, Docker, DockerFacts, Facts, NodeFacts, Seen};
use cephdock::identity::{Identity, KeyType};
use cephdock::image::ImageFact;
use cephdock::inventory::Inventory;
use cephdock::plan::{self, Action, Plan, StageName};

fn inventory() -> Inventory {
    let text = "cluster: {public_network: 10.0.0.0/24, image: ceph}\n\
                nodes:\n  - {name: a, address: 10.0.0.1, roles: [mon, mgr, osd], osds: [{file: 5GiB}]}\n";
    cephdock::inventory::file::parse(text, Path::new("inventory.yaml"), Some(Path::new("/root")))
        .expect("valid")
        .inventory
}

fn facts(want: &Inventory, image: Option<&str>, keys: Option<KeyType>) -> Facts {
    let image = image.map(|id| ImageFact::new(id.into(), Vec::new(), &[]));
    let docker = DockerFacts { image, ..DockerFacts::default() };
    let node = NodeFacts {
        addresses: vec!["10.0.0.1".parse().expect("an address")],
        free_bytes: Some(1 << 40),
        image_keys: keys,
        docker: Docker::Up(docker),
        ..NodeFacts::default()
    };
    let nodes = BTreeMap::from([(want.nodes[0].name.clone(), Seen::Value(node))]);
    Facts { nodes, cluster: Seen::Absent, stirred: false }
}

fn undecided(want: &Inventory) -> Identity {
    Identity::mint(want, [7; 48], 1_700_000_000).undecided()
}

fn first(plan: &Plan) -> (StageName, Vec<&Action>) {
    let stage = plan.stages.first().expect("a stage");
    (stage.name, stage.lanes.iter().flat_map(|l| &l.steps).map(|s| &s.action).collect())
}

/// The identity that the plan writes.
fn written(plan: &Plan) -> Identity {
    let (name, actions) = first(plan);
    assert_eq!(name, StageName::Identity);
    let Action::WriteFiles(files) = actions[0] else { panic!("{actions:?}") };
    Identity::parse(files[0].content.expose()).expect("an identity")
}

#[test]
fn the_image_is_looked_into_before_an_identity_is_written() {
    let want = inventory();
    let id = undecided(&want);
    let image = || want.cluster.image.clone();

    let missing = plan::up(&want, &facts(&want, None, None), &id).expect("a plan");
    let pull = Action::PullImage { image: image(), login: None };
    let pull = [&pull, &Action::LookIntoImage(image())];
    assert_eq!(first(&missing), (StageName::Image, pull.to_vec()));

    let there = plan::up(&want, &facts(&want, Some("sha256:1"), None), &id).expect("a plan");
    assert_eq!(first(&there), (StageName::Image, vec![&Action::LookIntoImage(image())]));

    for keys in [KeyType::Aes, KeyType::Aes256k] {
        let seen = facts(&want, Some("sha256:1"), Some(keys));
        let plan = plan::up(&want, &seen, &id).expect("a plan");
        assert_eq!(written(&plan).daemon_keys, Some(keys));
    }
}

#[test]
fn a_cluster_keeps_its_type_whatever_the_image_reads() {
    let want = inventory();
    let id = Identity::mint(&want, [7; 48], 1_700_000_000);
    let seen = facts(&want, Some("sha256:1"), Some(KeyType::Aes256k));
    assert_eq!(
        written(&plan::up(&want, &seen, &id).expect("a plan")).daemon_keys,
        Some(KeyType::Aes)
    );
}

#[test]
fn what_is_said_of_clients_keys_is_muted_where_daemons_have_better_ones() {
    let want = inventory();
    let muted = |keys| {
        let mut id = undecided(&want);
        id.daemon_keys = Some(keys);
        let mut seen = facts(&want, Some("sha256:1"), Some(keys));
        seen.cluster = Seen::Value(ClusterFacts { fsid: id.fsid, ..ClusterFacts::default() });
        let plan = plan::up(&want, &seen, &id).expect("a plan");
        let steps = plan.stages.iter().flat_map(|s| &s.lanes).flat_map(|l| &l.steps);
        let commands = steps.filter_map(|s| match &s.action {
            Action::Ceph(commands) => Some(commands),
            _ => None,
        });
        commands.flatten().filter(|c| c.json["prefix"] == "health mute").count()
    };
    assert_eq!(muted(KeyType::Aes256k), 3);
    assert_eq!(muted(KeyType::Aes), 0);
}
