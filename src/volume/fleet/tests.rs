//! The decisions, case by case: what is found, what is done about it, and what is refused.

use std::collections::BTreeMap;

use super::change::{self, Kind, Refusal};
use super::node::{Container, Device, NodeVolumes, Reference};
use super::unstick::{Plan, plan};
use super::*;
use crate::volume::state::{Hold, Ids, State};

const OWN: &str = "/var/lib/cephdock/volumes/data.id1";
const MADE: &str =
    r#"{"version":1,"fs":"ext4","size":1073741824,"node":"A","created":"2026-11-26T10:00:00Z""#;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Two nodes and an image `data` that nobody uses.
struct World(Facts);

impl World {
    fn new() -> Self {
        let nodes = ["A", "B"].map(|n| (node(n), Seen::Value(NodeVolumes::default())));
        let addresses = [("A", [10, 0, 0, 1]), ("B", [10, 0, 0, 2])];
        let cluster = ClusterVolumes {
            fsid: "f".into(),
            images: vec![image("data", "id1", &format!("{MADE}}}"))],
            names: vec!["data".into()],
            trash: Vec::new(),
        };
        Self(Facts {
            pools: vec!["rbd".into()],
            cluster: Seen::Value(cluster),
            nodes: BTreeMap::from(nodes),
            addresses: addresses.map(|(n, ip)| (node(n), IpAddr::from(ip))).into(),
        })
    }

    fn cluster(&mut self) -> &mut ClusterVolumes {
        match &mut self.0.cluster {
            Seen::Value(cluster) => cluster,
            _ => panic!("Ceph answers"),
        }
    }

    fn image(&mut self) -> &mut Image {
        &mut self.cluster().images[0]
    }

    fn node(&mut self, name: &str) -> &mut NodeVolumes {
        match self.0.nodes.get_mut(&node(name)) {
            Some(Seen::Value(node)) => node,
            _ => panic!("{name} is seen"),
        }
    }

    /// The image is gone.
    fn gone(mut self) -> Self {
        self.cluster().images.clear();
        self
    }

    fn off(mut self, name: &str) -> Self {
        self.0.nodes.insert(node(name), Seen::Unknown("no route to host".into()));
        self
    }

    /// Mapped for writing, mounted at `mounts`.
    fn mapped(mut self, on: &str, image_id: &str, mounts: &[&str]) -> Self {
        let client = format!("10.0.0.{}:0/7", if on == "A" { 1 } else { 2 });
        for image in self.cluster().images.iter_mut().filter(|i| i.id == image_id) {
            image.watchers.push(client.clone());
            let lock = LockHeld {
                client: "client.7".into(),
                cookie: "auto 1".into(),
                address: client.clone(),
            };
            image.locks.push(lock);
        }
        self.node(on).devices.push(Device {
            number: 3,
            pool: "rbd".into(),
            name: "data".into(),
            image_id: image_id.into(),
            client,
            cluster: Some("f".into()),
            mounts: mounts.iter().map(|m| (*m).to_owned()).collect(),
            ..Device::default()
        });
        self
    }

    fn container(mut self, on: &str, name: &str, running: bool) -> Self {
        let volumes = vec![Reference { name: "data".into(), driver: "cephdock".into() }];
        let container = Container { name: name.into(), running, volumes };
        match &mut self.node(on).containers {
            Seen::Value(all) => all.push(container),
            _ => panic!("Docker answers"),
        }
        self
    }

    fn unstick(&self) -> Plan {
        plan(&self.0, "data").unwrap()
    }

    /// What would be done, where.
    fn cures(&self) -> Vec<String> {
        let plan = self.unstick();
        let place = |n: Option<&NodeName>| n.map_or("Ceph", NodeName::as_str).to_owned();
        plan.cures().iter().map(|c| format!("{}: {c}", place(c.node()))).collect()
    }

    /// Why the rest is left.
    fn left(&self) -> Vec<String> {
        self.unstick().left().map(|f| f.cure.clone().unwrap_err()).collect()
    }

    fn health(&self) -> String {
        view::one(&self.0, "data").health
    }
}

fn image(name: &str, id: &str, made: &str) -> Image {
    let meta = [("cephdock.volume", made), ("cephdock.state", "formatted")];
    Image {
        pool: "rbd".into(),
        name: name.into(),
        id: id.into(),
        size: 1 << 30,
        meta: meta.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Image::default()
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, kind: Kind, says: &[&str]) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.kind, kind, "{refusal:?}");
    let all = refusal.what.join("\n") + &refusal.hint;
    for part in says {
        assert!(all.contains(part), "{part:?} is not in {all}");
    }
}

#[test]
fn a_name_that_is_free_or_rightly_used_needs_no_cure() {
    for (world, health) in [
        (World::new(), "ok"),
        (World::new().mapped("A", "id1", &[OWN, "/data"]).container("A", "db", true), "in use"),
        (World::new().container("B", "old", false), "ok"),
    ] {
        assert_eq!(world.unstick(), Plan::default(), "{health}");
        assert_eq!(world.health(), health);
    }
    assert_eq!(World::new().gone().unstick(), Plan::default());
}

#[test]
fn a_stopped_container_that_refers_to_a_removed_volume() {
    let world = World::new().gone().container("B", "old", false);
    assert_eq!(world.cures(), ["B: have Docker forget data"]);
    assert_eq!(world.health(), "gone, and still held by B");
    assert!(world.unstick().notes[0].contains("no container is touched: when old is started"));
    let done = world.unstick();
    let cures: Vec<_> = done.cures().into_iter().cloned().collect();
    assert!(done.without(&cures).findings.is_empty());
    // Docker would not forget it without the driver's word
    let mut world = world;
    world.node("B").driver = false;
    assert!(world.cures().is_empty() && world.left()[0].contains("cephdock up"));
    let world = World::new().gone().container("B", "web", true);
    assert!(world.cures().is_empty() && world.left()[0].contains("docker stop web"));
}

#[test]
fn a_mapping_of_an_image_that_is_gone_or_was_made_anew() {
    let world = World::new().gone().mapped("B", "old1", &[]);
    assert_eq!(world.cures(), ["B: unmap /dev/rbd3"]);
    let world = World::new().mapped("B", "old1", &[OWN]);
    assert_eq!(world.cures(), ["B: unmount and unmap /dev/rbd3"]);
    assert_eq!(world.health(), "stale mapping on B");
    // both at once: the mapping goes first, or Docker would be told that the volume is there
    let world = World::new().gone().mapped("B", "old1", &[]).container("B", "old", false);
    assert_eq!(world.cures(), ["B: unmap /dev/rbd3", "B: have Docker forget data"]);
}

#[test]
fn what_somebody_uses_is_never_unmapped() {
    let world = World::new().mapped("B", "old1", &[OWN, "/data"]).container("B", "web", true);
    assert!(world.cures().is_empty());
    assert_eq!(world.left(), ["the container web runs with it: stop it first"]);
    let world = World::new().mapped("B", "old1", &["/mnt"]);
    assert!(world.cures().is_empty() && world.left()[0].contains("mounted at /mnt"));
    let world = World::new().mapped("B", "old1", &[]).container("B", "web", true);
    assert!(world.cures().is_empty() && world.left()[0].contains("about to use it"));
    let mut world = World::new().mapped("B", "old1", &[]);
    world.node("B").devices[0].holders.push("dm-0".into());
    assert!(world.cures().is_empty() && world.left()[0].contains("below dm-0"));
    let mut world = World::new().mapped("B", "old1", &[]);
    world.node("B").containers = Seen::Unknown("Docker is down".into());
    assert!(world.cures().is_empty() && world.left()[0].contains("Docker is down"));
}

#[test]
fn a_mapping_by_hand_goes_and_one_of_the_drivers_stays() {
    let world = World::new().mapped("B", "id1", &[]);
    assert_eq!(world.cures(), ["B: unmap /dev/rbd3"]);
    let mut world = world;
    let hold = Hold {
        name: "data".into(),
        pool: "rbd".into(),
        ids: Ids::default(),
        since: "2026-11-26T10:00:00Z".into(),
        begun: false,
        error: None,
    };
    let holds = BTreeMap::from([("id1".to_owned(), hold)]);
    world.node("B").state = Seen::Value(State { holds, ..State::default() });
    assert_eq!(world.unstick(), Plan::default(), "it may be mounting it at this moment");
}

#[test]
fn devices_of_other_clusters_pools_and_names_are_not_looked_at() {
    for change in [
        |d: &mut Device| d.cluster = Some("other".into()),
        |d: &mut Device| d.pool = "theirs".into(),
        |d: &mut Device| d.namespace = "tenant".into(),
        |d: &mut Device| d.name = "another".into(),
    ] {
        let mut world = World::new().mapped("B", "old1", &[]);
        change(&mut world.node("B").devices[0]);
        assert_eq!(world.unstick(), Plan::default());
    }
}

#[test]
fn a_dead_clients_lock_is_broken_and_a_live_ones_is_not() {
    let lock = || LockHeld {
        client: "client.9".into(),
        cookie: "auto 1".into(),
        address: "10.0.0.2:0/9".into(),
    };
    let mut world = World::new();
    world.image().locks.push(lock());
    assert_eq!(world.cures(), ["Ceph: break the lock of client.9, and shut 10.0.0.2:0/9 out"]);
    assert_eq!(world.health(), "held by a dead client of B");
    // off, and given up by Ceph: the same
    let world = world.off("B");
    assert_eq!(world.cures().len(), 1);
    // off, and alive for Ceph
    let mut world = world;
    world.image().watchers.push("10.0.0.2:0/9".into());
    assert!(world.cures().is_empty());
    assert!(world.unstick().notes.iter().any(|n| n.contains("it is not shut out")));
    assert_eq!(world.health(), "in use by B, which is out of reach");
    // its kernel still has this client: it has only lost its watch
    let mut world = World::new().mapped("B", "id2", &[OWN]);
    world.node("B").devices[0].name = "another".into();
    world.image().locks.push(LockHeld { address: "10.0.0.2:0/7".into(), ..lock() });
    assert!(world.cures().is_empty() && world.left()[0].contains("is alive"));
}

#[test]
fn half_made_images_go_when_nobody_has_them_open() {
    let mut world = World::new().gone();
    world.cluster().images.push(image("cephdock.new.data.B", "id9", &format!("{MADE}}}")));
    world.cluster().images.push(image("cephdock.new.other.B", "id8", &format!("{MADE}}}")));
    assert_eq!(world.cures(), ["Ceph: remove the image rbd/cephdock.new.data.B"]);
    assert_eq!(view::one(&world.0, "cephdock.new.data.B").health, "half-made");
    world.image().watchers.push("10.0.0.2:0/9".into());
    assert!(world.cures().is_empty() && world.left()[0].contains("being made"));
}

#[test]
fn what_is_not_known_is_not_taken_for_absent() {
    let mut world = World::new().gone();
    world.0.cluster = Seen::Unknown("no mon answers".into());
    assert_eq!(plan(&world.0, "data"), Err("no mon answers".into()));
    refused(change::remove(&world.0, "data"), Kind::Failed, &["no mon answers"]);
    assert_eq!(view::all(&world.0).unknown.len(), 1);
    let world = World::new().gone().off("B");
    assert!(world.unstick().notes[0].contains("B cannot be looked at"));
    let removal = change::remove(&World::new().off("B").0, "data").unwrap();
    assert!(removal.notes[0].contains("unstick data"), "watchers prove that nobody has it open");
    assert_eq!(removal.forget, [node("A")]);
    // what is only read sets no watch
    let mut world = World::new().off("B");
    world.image().meta.insert("cephdock.volume".into(), format!(r#"{MADE},"read_only":true}}"#));
    refused(change::remove(&world.0, "data"), Kind::Refused, &["node B cannot be told"]);
}

#[test]
fn a_volume_that_is_used_or_referred_to_is_not_removed() {
    let refuse = |world: World, says: &[&str]| {
        refused(change::remove(&world.0, "data"), Kind::Refused, says);
    };
    refuse(World::new().mapped("A", "id1", &[OWN]), &["mapped on node A as /dev/rbd3, mounted at"]);
    refuse(World::new().container("B", "old", false), &["the container old on node B is stopped"]);
    refuse(World::new().container("B", "web", true), &["the container web on node B runs with"]);
    let mut world = World::new();
    world.image().snapshots.push(Snapshot { name: "monday".into(), ..Snapshot::default() });
    refuse(world, &["snapshots", "snap rm data monday"]);
    let mut world = World::new().off("B");
    world.image().watchers.push("10.0.0.2:0/9".into());
    refuse(world, &["in use by node B, which cannot be reached"]);
    let mut world = World::new();
    world.image().meta.clear();
    refuse(world, &["did not make"]);
    let gone = World::new().gone().container("B", "old", false);
    refused(change::remove(&gone.0, "data"), Kind::Failed, &["no volume data", "unstick data"]);
    refused(change::remove(&World::new().0, "dta"), Kind::Failed, &["did you mean `data`"]);
    assert!(change::remove(&World::new().0, "data").is_ok());
}

#[test]
fn growing_goes_with_the_filesystem_where_it_is_mounted() {
    let world = World::new();
    let growth = change::grow(&world.0, "data", (2 << 30) + 1).unwrap();
    assert_eq!((growth.size, growth.online), (Some((2 << 30) + (1 << 20)), None));
    assert_eq!(change::grow(&world.0, "data", 1 << 30).unwrap().size, None, "it has that");
    refused(change::grow(&world.0, "data", 1 << 20), Kind::Usage, &["1024 MiB already"]);
    let mut world = World::new().mapped("A", "id1", &[OWN, "/data"]).container("A", "db", true);
    let says = ["mapped on node A", "container db", "exclusively", "lock=shared"];
    refused(change::grow(&world.0, "data", 2 << 30), Kind::Refused, &says);
    refused(change::snap_create(&world.0, "data", "x"), Kind::Refused, &says);
    world.image().meta.insert("cephdock.volume".into(), format!(r#"{MADE},"lock":"shared"}}"#));
    let online = change::grow(&world.0, "data", 2 << 30).unwrap().online.unwrap();
    assert_eq!(
        (online.node, online.device.as_str(), online.at.as_str()),
        (node("A"), "/dev/rbd3", OWN)
    );
    let (_, frozen) = change::snap_create(&world.0, "data", "x").unwrap();
    assert_eq!(frozen.unwrap().at, OWN);
    // one more that writes, which nobody can reach
    world.image().watchers.push("10.0.0.9:0/9".into());
    refused(change::grow(&world.0, "data", 2 << 30), Kind::Refused, &["10.0.0.9:0/9"]);
}

#[test]
fn snapshots_are_kept_from_harm() {
    let mut world = World::new();
    world.image().snapshots.push(Snapshot { name: "monday".into(), ..Snapshot::default() });
    refused(change::snap_create(&world.0, "data", "monday"), Kind::Failed, &["already"]);
    refused(change::rollback(&world.0, "data", "tuesday"), Kind::Failed, &["it has monday"]);
    refused(
        change::snap_remove(&world.0, "data", "mondy"),
        Kind::Failed,
        &["did you mean `monday`"],
    );
    assert!(change::rollback(&world.0, "data", "monday").is_ok());
    assert!(change::snap_remove(&world.0, "data", "monday").is_ok());
    world.image().snapshots[0].clones.push("rbd/copy".into());
    refused(change::snap_remove(&world.0, "data", "monday"), Kind::Refused, &["rbd/copy"]);
    let world = world.mapped("A", "id1", &[OWN]);
    refused(
        change::rollback(&world.0, "data", "monday"),
        Kind::Refused,
        &["mapped on node A", "lost"],
    );
    let mut world = World::new();
    world.image().meta.insert("cephdock.state".into(), "new".into());
    refused(change::snap_create(&world.0, "data", "x"), Kind::Failed, &["never been used"]);
}
