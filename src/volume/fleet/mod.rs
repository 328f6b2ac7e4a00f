//! Volumes as the operator sees them, over all nodes at once: what `cephdock volume` looks at and decides.
//!
//! ```text
//! mon container ─ host/rbd.py ──┐
//! nodes ─ host/volumes.sh ──────┼─> Facts ─> view     how each volume is
//! nodes ─ Docker ───────────────┘        ├─> change   rm, grow, snap: whether it may be done, and how
//!                                        └─> unstick  what keeps a name from being used, and its cure
//! ```
//!
//! All pure. *Not there* and *not known* are different: what a node that is off has mapped is told by Ceph's watchers, or
//! not at all.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::rbd::{Made, Owner};
use super::{META_STATE, META_VOLUME, UNFINISHED};
use crate::facts::Seen;
use crate::inventory::NodeName;

pub mod change;
pub mod node;
pub mod proof;
pub mod unstick;
pub mod view;

pub use node::{Container, Device, NodeVolumes};

/// Everything that one look showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The pools that volumes are in.
    pub pools: Vec<String>,
    /// What Ceph says of them. It was asked after the nodes: a mapping that they showed is of an image that was there, or
    /// had been.
    pub cluster: Seen<ClusterVolumes>,
    /// Each node of the inventory.
    pub nodes: BTreeMap<NodeName, Seen<NodeVolumes>>,
    /// Their Ceph public addresses.
    pub addresses: BTreeMap<NodeName, IpAddr>,
}

/// What Ceph says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ClusterVolumes {
    /// The cluster's id.
    pub fsid: String,
    /// Images, in the order of their names: all, or those that have to do with the one that was asked for.
    pub images: Vec<Image>,
    /// The names of all images.
    #[serde(default)]
    pub names: Vec<String>,
    /// Images that were moved to the trash: they still exist, and may be mapped.
    #[serde(default)]
    pub trash: Vec<Trashed>,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Image {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// Its id; empty where it could not be opened.
    pub id: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that hold data, where Ceph can tell without reading all of it (fast-diff).
    pub used: Option<u64>,
    /// Feature names.
    pub features: Vec<String>,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Addresses of the clients that have it open or mapped for writing. krbd sets no watch on what it maps read-only.
    pub watchers: Vec<String>,
    /// Locks on it.
    pub locks: Vec<LockHeld>,
    /// What the driver noted about who mapped it last, as it wrote it.
    pub owner: Option<String>,
    /// The snapshot it is a clone of, `POOL/IMAGE@SNAPSHOT`.
    pub parent: Option<String>,
    /// Why nothing more is known of it.
    pub error: Option<String>,
}

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Bytes the image had.
    pub size: u64,
    /// When, RFC 3339.
    pub created: Option<String>,
    /// Images made from it, `POOL/IMAGE`.
    pub clones: Vec<String>,
}

/// A lock on an image: one of krbd's or librbd's own, or one that somebody set by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHeld {
    /// `client.4123`.
    pub client: String,
    /// `auto 18446462598732840961` for Ceph's own.
    pub cookie: String,
    /// The client's address and nonce.
    pub address: String,
}

/// An image in the trash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Trashed {
    /// Its pool.
    pub pool: String,
    /// The name it had.
    pub name: String,
    /// Its id.
    pub id: String,
}

impl Image {
    /// What the driver's maker wrote down; `None`: an image of somebody else.
    pub fn made(&self) -> Option<Made> {
        let made: Made = serde_json::from_str(self.meta.get(META_VOLUME)?).ok()?;
        (made.version == 1).then_some(made)
    }

    /// It has a filesystem.
    pub fn formatted(&self) -> bool {
        self.meta.get(META_STATE).is_some_and(|s| s == "formatted")
    }

    /// Who mapped it last.
    pub fn owner(&self) -> Option<Owner> {
        serde_json::from_str(self.owner.as_deref()?.trim()).ok()
    }

    /// The volume that it was to become, and the node that began to make it.
    pub fn unfinished(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(UNFINISHED)?.rsplit_once('.')
    }

    /// Locks whose holders do not watch the image any more: Ceph has given them up.
    pub fn dead_locks(&self) -> impl Iterator<Item = &LockHeld> {
        self.locks.iter().filter(|lock| !self.watchers.contains(&lock.address))
    }
}

/// Who has an image open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The client's address.
    pub address: String,
    /// Its node, where that can be told.
    pub node: Option<NodeName>,
    /// Since when, RFC 3339, where the driver noted it.
    pub since: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node {node}")?,
            None => write!(f, "the Ceph client at {}", self.address)?,
        }
        match &self.since {
            Some(since) => write!(f, " since {}", super::time::spoken(since)),
            None => Ok(()),
        }
    }
}

impl Facts {
    /// The image of that name, if Ceph has answered.
    pub fn image(&self, name: &str) -> Option<&Image> {
        self.cluster.value()?.images.iter().find(|i| i.name == name)
    }

    /// Nodes that were looked at.
    pub fn seen(&self) -> impl Iterator<Item = (&NodeName, &NodeVolumes)> {
        self.nodes.iter().filter_map(|(name, seen)| Some((name, seen.value()?)))
    }

    /// Nodes of which something is not known, with the reason.
    pub fn unknown(&self) -> Vec<(NodeName, String)> {
        let why = |seen: &Seen<NodeVolumes>| match seen {
            Seen::Unknown(why) => Some(why.clone()),
            Seen::Absent => None,
            Seen::Value(node) => match &node.containers {
                Seen::Unknown(why) => Some(why.clone()),
                Seen::Absent | Seen::Value(_) => None,
            },
        };
        self.nodes.iter().filter_map(|(name, seen)| Some((name.clone(), why(seen)?))).collect()
    }

    /// Whether `device` is one of this cluster, as far as the kernel tells.
    fn ours(&self, device: &Device) -> bool {
        let fsid = self.cluster.value().map(|c| c.fsid.as_str());
        device.cluster.as_deref().is_none_or(|d| fsid.is_none_or(|fsid| d == fsid))
    }

    /// Devices with a mapping of `image`, by its id.
    pub fn mapped<'a>(
        &'a self,
        image: &'a Image,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Device)> + 'a {
        self.devices().filter(|(_, d)| d.pool == image.pool && d.image_id == image.id)
    }

    /// All devices of this cluster's pools that are mapped on the nodes seen. Namespaces in pools are not ours.
    pub fn devices(&self) -> impl Iterator<Item = (&NodeName, &Device)> {
        self.seen().flat_map(move |(name, node)| {
            let ours = node
                .devices
                .iter()
                .filter(|d| d.namespace.is_empty() && self.pools.contains(&d.pool) && self.ours(d));
            ours.map(move |device| (name, device))
        })
    }

    /// Containers that refer to a volume of that name, running or not.
    pub fn referring<'a>(
        &'a self,
        volume: &'a str,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Container)> + 'a {
        let containers = |node: &'a NodeVolumes| node.containers.value().into_iter().flatten();
        self.seen().flat_map(move |(name, node)| {
            let refer =
                containers(node).filter(move |c| c.volumes.iter().any(|v| v.name == volume));
            refer.map(move |container| (name, container))
        })
    }

    /// Who the client at `address` is: the node whose kernel says so, or the one that the driver noted, or the one that
    /// has the address.
    pub fn holder(&self, image: &Image, address: &str) -> Holder {
        let mapped = self.devices().find(|(_, d)| d.client == address).map(|(node, _)| node);
        let owner = image.owner().filter(|owner| owner.client_addr == address);
        let noted =
            || self.nodes.keys().find(|n| owner.as_ref().is_some_and(|o| o.node == n.as_str()));
        let ip = address.rsplit_once(':').and_then(|(ip, _)| {
            ip.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()
        });
        let addressed =
            || self.addresses.iter().find(|(_, at)| Some(**at) == ip).map(|(node, _)| node);
        Holder {
            address: address.into(),
            node: mapped.or_else(noted).or_else(addressed).cloned(),
            since: owner.map(|owner| owner.time),
        }
    }

    /// Everybody who has `image` open, as its watchers tell.
    pub fn holders(&self, image: &Image) -> Vec<Holder> {
        image.watchers.iter().map(|address| self.holder(image, address)).collect()
    }

    /// Why it cannot be told who uses `image`, if it cannot: a node is off, and a mapping there would have no watch.
    pub fn blind(&self, image: &Image) -> Option<(NodeName, String)> {
        let read_only = image.made().is_some_and(|made| made.read_only);
        self.unknown().into_iter().next().filter(|_| read_only)
    }
}

#[cfg(test)]
mod tests;
