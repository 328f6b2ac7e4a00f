//! Room 2, what was seen: plain data about every node and about the cluster, and the pure parsers that make it from
//! text. Nothing here does I/O, and nothing changes a fact once it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::daemon::DaemonId;
use crate::identity::{Identity, KeyType};
use crate::image::ImageFact;
use crate::inventory::NodeName;

pub mod bluestore;
pub mod client;
pub mod cluster;
pub mod disk;
pub mod firewall;
pub mod plugin;
pub mod probe;
pub mod rbd;
pub mod service;
pub mod survey;

pub use client::{ClientFacts, PackageManager, RbdModule};
pub use cluster::ClusterFacts;
pub use disk::{DiskContent, DiskFact};
pub use firewall::FirewallFacts;
pub use rbd::MappedRbd;
pub use service::{Running, ServiceFacts, UnitFact};

/// Something that was looked for. *Absent* and *unknown* are never mixed up: what is absent may be made, what is unknown
/// may not be touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen<T> {
    /// It is there.
    Value(T),
    /// It was looked for and is not there.
    Absent,
    /// It could not be looked for; the text says why.
    Unknown(String),
}

impl<T> Seen<T> {
    /// The value, if it was seen.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(v) => Some(v),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// Everything that one look at the fleet showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Each node of the inventory. Unknown: unreachable, or it could not be looked at.
    pub nodes: BTreeMap<NodeName, Seen<NodeFacts>>,
    /// What the mons say. Absent: no mon was ever made on the nodes seen. Unknown: there are mons and none answers.
    pub cluster: Seen<ClusterFacts>,
    /// This run has started daemons, and not waited for the cluster since: what the mons say may be older than that. They
    /// take up to `osd_heartbeat_grace` (20 s) to notice that an OSD has fallen, which is longer than to make it anew.
    pub stirred: bool,
}

impl Facts {
    /// The facts of a node that was seen.
    pub fn node(&self, name: &NodeName) -> Option<&NodeFacts> {
        self.nodes.get(name).and_then(Seen::value)
    }

    /// Nodes that could not be looked at, with the reason.
    pub fn unreachable(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        self.nodes.iter().filter_map(|(name, seen)| match seen {
            Seen::Unknown(why) => Some((name, why.as_str())),
            Seen::Absent | Seen::Value(_) => None,
        })
    }
}

/// What one look at a node showed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeFacts {
    /// `uname -n`. Ceph's names come from the inventory, not from it.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Every address of every interface, loopback and link-local ones too.
    pub addresses: Vec<IpAddr>,
    /// The same, each with the prefix length of its network (`10.32.3.147/24`), where the node tells.
    pub networks: Vec<IpNet>,
    /// Free bytes where /var/lib/ceph is or will be.
    pub free_bytes: Option<u64>,
    /// The files that cephdock would write and that exist, by absolute path.
    pub files: BTreeMap<String, FileFact>,
    /// /etc/ceph/ceph.conf, if there is one.
    pub conf: Option<ConfFact>,
    /// The identity file, if there is one.
    #[serde(skip)]
    pub identity: IdentityFile,
    /// Mon stores under /var/lib/ceph/mon, by mon id (`B1` of `ceph-B1`).
    pub mon_stores: BTreeMap<String, MonStore>,
    /// OSD data directories under /var/lib/ceph/osd, by OSD id.
    pub osd_dirs: BTreeMap<u32, OsdDir>,
    /// The disks that the inventory names for this node, by the path it uses; and those that OSDs here are on.
    pub disks: BTreeMap<String, DiskFact>,
    /// What filters its incoming packets.
    pub firewall: FirewallFacts,
    /// Absolute paths in /etc/ceph and /var/lib/ceph, two levels deep, these two included.
    pub tree: BTreeSet<String>,
    /// RBD images that are mapped here.
    pub mapped: Vec<MappedRbd>,
    /// The newest type of cephx key that the inventory's image reads, where this run has looked into it.
    pub image_keys: Option<KeyType>,
    /// What makes it a client.
    pub client: ClientFacts,
    /// cephdock's volume driver as a service.
    pub driver: ServiceFacts,
    /// Docker, or why it cannot be used.
    #[serde(default = "docker_unknown")]
    pub docker: Docker,
}

fn docker_unknown() -> Docker {
    Docker::default()
}

/// A file that cephdock would write, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// SHA-256 of the content, in hex.
    pub sha256: String,
    /// Permission bits, such as 0o600.
    pub mode: u32,
}

/// /etc/ceph/ceph.conf as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfFact {
    /// The cluster it names.
    pub fsid: Option<Uuid>,
    /// Its first line says that cephdock wrote it.
    pub ours: bool,
}

/// What the identity file of a node holds. Never printed: it is the cluster's root secret.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum IdentityFile {
    /// There is none.
    #[default]
    Absent,
    /// A readable one.
    Found(Identity),
    /// There is one that cannot be read; the text says why.
    Damaged(String),
}

/// A mon's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonStore {
    /// The cluster it was made for, where cephdock made it. `None`: somebody else did.
    pub fsid: Option<Uuid>,
}

/// An OSD's data directory. cephdock's are complete by construction: they get their name once mkfs is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsdDir {
    /// The OSD's uuid.
    pub uuid: Option<Uuid>,
    /// The cluster it belongs to.
    pub ceph_fsid: Option<Uuid>,
}

/// Docker on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Docker {
    /// It answers.
    Up(DockerFacts),
    /// It does not; the text says what was tried.
    Down(String),
}

impl Default for Docker {
    fn default() -> Self {
        Self::Down("not looked at".into())
    }
}

impl Docker {
    /// The facts, where Docker answers.
    pub fn up(&self) -> Option<&DockerFacts> {
        match self {
            Self::Up(facts) => Some(facts),
            Self::Down(_) => None,
        }
    }
}

/// What Docker says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerFacts {
    /// Engine version, such as `26.1.5`.
    pub version: String,
    /// The CPU architecture whose images it runs, in Go's words: `amd64`, `arm64`. Empty where it does not say.
    pub arch: String,
    /// What it is made of, by `docker version`: `Engine`, `containerd`, `runc`; `rootlesskit` where it runs for one user;
    /// `Podman Engine` where it is none at all.
    pub components: Vec<String>,
    /// The inventory's image, where the node has it.
    pub image: Option<ImageFact>,
    /// The volume plugin that the inventory names, where the node has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Box<plugin::PluginFact>>,
    /// Containers with cephdock's labels, and any other one that has a name we need.
    pub containers: Vec<ContainerFact>,
    /// Ids of containers that were made to look into an image and did not, because cephdock was killed.
    pub looks: BTreeSet<String>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerFact {
    /// Name without the leading slash.
    pub name: String,
    /// `cephdock.*` labels; `None`: it is not ours and never touched.
    #[serde(default)]
    pub ours: Option<OurLabels>,
    /// What it does.
    pub state: ContainerState,
    /// The image reference it was made from.
    #[serde(default)]
    pub image: String,
    /// The id that this reference had then, `sha256:…`.
    #[serde(default)]
    pub image_id: Option<String>,
    /// Whether its live settings (restart policy, limits) are still the ones it was made with: `docker update` and
    /// `docker pause` change them without changing a label.
    #[serde(default = "yes")]
    pub as_made: bool,
    /// How often Docker restarted it by itself.
    #[serde(default)]
    pub restarts: u64,
    /// Exit code of its last run, where it is not running; from 128 on, 128 and the signal that ended it.
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// The kernel ended its last run for want of memory.
    #[serde(default)]
    pub out_of_memory: bool,
    /// Why Docker could not start it, in Docker's words.
    #[serde(default)]
    pub error: Option<String>,
}

fn yes() -> bool {
    true
}

/// cephdock's labels on a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurLabels {
    /// `cephdock.fsid`, as the label has it: nobody has checked that it is a uuid.
    pub fsid: String,
    /// `cephdock.kind` and `cephdock.id`.
    pub daemon: DaemonId,
    /// `cephdock.spec`: SHA-256 in hex, see [`ContainerSpec::digest`](crate::daemon::ContainerSpec::digest).
    pub spec: String,
}

/// Docker's container states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Made and never started: a run was cut off between the two.
    Created,
    /// Its process is there.
    Running,
    /// Docker is about to start it again.
    Restarting,
    /// Its process is frozen.
    Paused,
    /// Its process has ended.
    Exited,
    /// Docker could not remove it, or says something new.
    Dead,
}

impl NodeFacts {
    /// The container called `name`.
    pub fn container(&self, name: &str) -> Option<&ContainerFact> {
        self.docker.up().and_then(|d| d.containers.iter().find(|c| c.name == name))
    }

    /// Ids of the mons that run here.
    pub fn running_mons(&self) -> BTreeSet<&str> {
        let containers = self.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
        containers
            .iter()
            .filter(|c| c.state == ContainerState::Running)
            .filter_map(|c| c.ours.as_ref())
            .filter(|o| o.daemon.kind == crate::daemon::Kind::Mon)
            .map(|o| o.daemon.id.as_str())
            .collect()
    }
}
