//! How each volume is. What `volume ls` and `volume inspect` print, and in JSON exactly this.

use serde::Serialize;

use super::{Facts, Image, LockHeld, Snapshot};
use crate::facts::Seen;
use crate::inventory::NodeName;
use crate::volume::options::{Fs, Lock};

/// All volumes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Volumes {
    /// By name.
    pub volumes: Vec<Volume>,
    /// What could not be looked at, with the reason: a node, or Ceph itself.
    pub unknown: Vec<Unknown>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Which node; `None`: Ceph.
    pub node: Option<NodeName>,
    /// Why.
    pub why: String,
}

/// One volume, or an image that looks like one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// How it is, in words: `ok`, `in use`, or what is wrong with it.
    pub health: String,
    /// Whether somebody should do something about it.
    pub well: bool,
    /// Its image; `None`: there is none, and something still refers to it.
    pub image: Option<ImageView>,
    /// Who has it open for writing, as Ceph knows it.
    pub holders: Vec<HolderView>,
    /// Where it is mapped, on the nodes that were reached.
    pub mapped: Vec<Mapped>,
    /// Containers that refer to it, running or not.
    pub containers: Vec<Referring>,
    /// Nodes whose Docker lists it.
    pub listed_on: Vec<NodeName>,
    /// What nodes' drivers wrote down about it.
    pub held: Vec<Held>,
}

/// Its image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageView {
    /// Its pool.
    pub pool: String,
    /// Its id.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that hold data; `None` where Ceph cannot tell quickly.
    pub used: Option<u64>,
    /// Its filesystem; `None` until it has one.
    pub fs: Option<Fs>,
    /// Who may write; `None`: the driver did not make it.
    pub lock: Option<Lock>,
    /// Nobody may write.
    pub read_only: bool,
    /// The node it was made on, where the driver made it.
    pub made_on: Option<String>,
    /// When, RFC 3339.
    pub created: Option<String>,
    /// The snapshot it was made from, `IMAGE@SNAPSHOT`.
    pub from: Option<String>,
    /// Its features.
    pub features: Vec<String>,
    /// Its snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Locks on it.
    pub locks: Vec<LockHeld>,
}

/// Who has it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HolderView {
    /// Its node, where that can be told.
    pub node: Option<NodeName>,
    /// The client's address and nonce, as Ceph's watchers have it: `10.32.3.148:0/123`.
    pub address: String,
    /// Since when, RFC 3339, where the driver noted it.
    pub since: Option<String>,
    /// Whether that node was reached.
    pub reachable: bool,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// Where.
    pub node: NodeName,
    /// `/dev/rbd0`.
    pub device: String,
    /// The image's id: another than the volume's where the mapping is stale.
    pub image_id: String,
    /// It is of an image that has gone, or that has another name now.
    pub stale: bool,
    /// Where it is mounted.
    pub mounts: Vec<String>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Referring {
    /// Where.
    pub node: NodeName,
    /// Its name.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
    /// The driver that it wants it from.
    pub driver: String,
}

/// What a node's driver wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Where.
    pub node: NodeName,
    /// The image's id.
    pub image_id: String,
    /// How many use it there.
    pub users: usize,
    /// Since when.
    pub since: String,
    /// What is wrong with it there.
    pub error: Option<String>,
}

/// All volumes, those too that are gone and still held.
pub fn all(facts: &Facts) -> Volumes {
    let images = facts.cluster.value().into_iter().flat_map(|c| &c.images);
    let mut names: Vec<&str> = images.map(|i| i.name.as_str()).collect();
    if facts.cluster.value().is_some() {
        names.extend(facts.devices().map(|(_, d)| d.name.as_str()));
        let containers = facts.seen().filter_map(|(_, node)| node.containers.value()).flatten();
        let references = containers.flat_map(|c| &c.volumes);
        names.extend(references.filter(|v| v.driver == "cephdock").map(|v| v.name.as_str()));
    }
    names.sort_unstable();
    names.dedup();
    Volumes {
        volumes: names.iter().map(|name| one(facts, name)).collect(),
        unknown: unknown(facts),
    }
}

/// What could not be looked at.
pub fn unknown(facts: &Facts) -> Vec<Unknown> {
    let ceph = match &facts.cluster {
        Seen::Unknown(why) => Some(Unknown { node: None, why: why.clone() }),
        Seen::Absent => Some(Unknown { node: None, why: "there is no cluster yet".into() }),
        Seen::Value(_) => None,
    };
    let nodes = facts.unknown().into_iter().map(|(node, why)| Unknown { node: Some(node), why });
    ceph.into_iter().chain(nodes).collect()
}

/// Whether anything at all is known under that name.
pub fn exists(volume: &Volume) -> bool {
    volume.image.is_some() || !volume.mapped.is_empty() || !volume.containers.is_empty()
}

/// All that is known of one name.
pub fn one(facts: &Facts, name: &str) -> Volume {
    let image = facts.image(name);
    let holders: Vec<HolderView> = image
        .map(|image| facts.holders(image))
        .unwrap_or_default()
        .into_iter()
        .map(|h| HolderView {
            reachable: h.node.as_ref().is_some_and(|n| facts.nodes[n].value().is_some()),
            node: h.node,
            address: h.address,
            since: h.since,
        })
        .collect();
    let mut mapped: Vec<Mapped> = facts
        .devices()
        .filter(|(_, d)| match image {
            Some(image) => d.pool == image.pool && (d.image_id == image.id || d.name == name),
            None => d.name == name,
        })
        .map(|(node, d)| Mapped {
            node: node.clone(),
            device: d.path(),
            image_id: d.image_id.clone(),
            stale: image.is_none_or(|image| image.id != d.image_id),
            mounts: d.mounts.clone(),
        })
        .collect();
    mapped.sort_by(|a, b| (a.stale, &a.node).cmp(&(b.stale, &b.node)));
    let containers = facts.referring(name).map(|(node, c)| Referring {
        node: node.clone(),
        container: c.name.clone(),
        running: c.running,
        driver: c.volumes.iter().find(|v| v.name == name).map_or("", |v| &v.driver).to_owned(),
    });
    let listed = facts
        .seen()
        .filter(|(_, n)| n.listed.as_ref().is_some_and(|list| list.iter().any(|v| v == name)));
    let held = facts.seen().filter_map(|(node, n)| Some((node, n.state.value()?)));
    let held = held.flat_map(|(node, state)| {
        let holds = state.holds.iter().filter(|(_, hold)| hold.name == name);
        holds.map(|(image_id, hold)| Held {
            node: node.clone(),
            image_id: image_id.clone(),
            users: hold.ids.len(),
            since: hold.since.clone(),
            error: hold.error.clone(),
        })
    });
    let mut volume = Volume {
        name: name.to_owned(),
        health: String::new(),
        well: true,
        image: image.map(view),
        holders,
        mapped,
        containers: containers.collect(),
        listed_on: listed.map(|(node, _)| node.clone()).collect(),
        held: held.collect(),
    };
    let troubles = troubles(facts, image, &volume);
    volume.well = troubles.is_empty();
    volume.health = if !troubles.is_empty() {
        troubles.join("; ")
    } else if image.is_some_and(|i| i.made().is_none()) {
        "not cephdock's".into()
    } else if !volume.holders.is_empty() || !volume.mapped.is_empty() {
        "in use".into()
    } else {
        "ok".into()
    };
    volume
}

fn view(image: &Image) -> ImageView {
    let made = image.made();
    let formatted = image.formatted();
    ImageView {
        pool: image.pool.clone(),
        id: image.id.clone(),
        size: image.size,
        used: image.used,
        fs: made.as_ref().map(|m| m.fs).filter(|_| formatted),
        lock: made.as_ref().map(|m| m.lock),
        read_only: made.as_ref().is_some_and(|m| m.read_only),
        made_on: made.as_ref().map(|m| m.node.clone()),
        created: made.as_ref().map(|m| m.created.clone()).or_else(|| image.created.clone()),
        from: made.and_then(|m| m.from).or_else(|| image.parent.clone()),
        features: image.features.clone(),
        snapshots: image.snapshots.clone(),
        locks: image.locks.clone(),
    }
}

/// What is wrong with it, each as a phrase.
fn troubles(facts: &Facts, image: Option<&Image>, volume: &Volume) -> Vec<String> {
    let mut troubles = Vec::new();
    let Some(image) = image else {
        let mut nodes: Vec<&NodeName> = volume
            .mapped
            .iter()
            .map(|m| &m.node)
            .chain(volume.containers.iter().map(|c| &c.node))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        return if nodes.is_empty() {
            Vec::new()
        } else {
            vec![format!("gone, and still held by {}", list(&nodes))]
        };
    };
    if let Some(error) = &image.error {
        troubles.push(format!("cannot be opened: {error}"));
    }
    if image.unfinished().is_some() {
        troubles.push("half-made".into());
    }
    let stale: Vec<&NodeName> = volume.mapped.iter().filter(|m| m.stale).map(|m| &m.node).collect();
    if !stale.is_empty() {
        troubles.push(format!("stale mapping on {}", list(&stale)));
    }
    for lock in image.dead_locks() {
        let holder = facts.holder(image, &lock.address);
        troubles.push(match holder.node {
            Some(node) => format!("held by a dead client of {node}"),
            None => format!("held by the dead client {}", lock.address),
        });
    }
    for holder in volume.holders.iter().filter(|h| !h.reachable) {
        if let Some(node) = &holder.node {
            troubles.push(format!("in use by {node}, which is out of reach"));
        }
    }
    let writers = volume.holders.len();
    if writers > 1 {
        troubles.push(format!("{writers} clients have it open for writing"));
    }
    for held in volume.held.iter().filter(|held| held.image_id == image.id) {
        if let Some(error) = &held.error {
            troubles.push(format!("{}: {error}", held.node));
        }
    }
    troubles
}

fn list(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
    names.join(", ")
}
