//! Room 1, what the user wants: the inventory file as a valid type.
//!
//! [`file::load`] reads YAML into these types or returns every problem it found at once, each with its place and its
//! fix. Whatever holds an [`Inventory`] may believe it: names and addresses are unique, every address lies in the
//! public network, every role has what it needs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::image::Login;
use crate::image::archive::Archived;
use crate::secret::Secret;
use crate::volume::program::Program;

mod check;
mod cluster;
pub mod draft;
pub mod edit;
pub mod file;
mod login;
mod nodes;
mod outside;
pub mod problem;
pub mod schema;
mod secrets;
mod ssh;
mod tree;
mod values;
mod volumes;

pub(crate) use schema::nearest;

/// A reference of an image or a plugin, as in the inventory; else what is wrong with it, and what to write instead.
pub(crate) fn reference(text: &str) -> Result<String, (String, String)> {
    values::reference(text).map_err(|wrong| (wrong.message, wrong.fix))
}

/// The same of a number of bytes with its unit.
pub(crate) fn size(text: &str) -> Result<u64, (String, String)> {
    values::size(text).map_err(|wrong| (wrong.message, wrong.fix))
}

/// A whole inventory, valid by construction.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The cluster's own settings.
    pub cluster: Cluster,
    /// The nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// What every node gets as a client of the cluster.
    pub client: Client,
    /// `firewall:`.
    pub firewall: AutoOff,
    /// `volumes:`.
    pub volumes: Volumes,
}

impl Inventory {
    /// The node called `name`.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|n| &n.name == name)
    }

    /// The nodes that run a mon, in the order of the file.
    pub fn mons(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.roles.mon)
    }

    /// How many nodes carry OSDs: the number of CRUSH hosts, and so of copies, that there can be.
    pub fn osd_hosts(&self) -> usize {
        self.nodes.iter().filter(|n| !n.osds.is_empty()).count()
    }
}

/// A node's name: the id of its mon and mgr and its CRUSH host bucket. Letters, digits, `-`, `_` and `.`, starting with
/// a letter or a digit; at most 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct NodeName(String);

impl NodeName {
    /// Checks and wraps `name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, String> {
        let head = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if head && rest && name.len() <= 63 {
            Ok(Self(name.to_owned()))
        } else {
            Err("a name is 1 to 63 letters, digits, '-', '_' or '.', and starts with a letter or a digit".into())
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `cluster:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Where mons, and clients and OSDs among each other, are reached.
    pub public_network: IpNet,
    /// OSD replication traffic, where it has a network of its own.
    pub cluster_network: Option<IpNet>,
    /// The reference of the image that holds the Ceph programs, as a user writes it: a tag may be missing.
    pub image: String,
    /// Login for the image's registry.
    pub registry: Option<Registry>,
    /// An image file (`docker save`) to stream to the nodes instead of pulling.
    pub image_archive: Option<ImageArchive>,
    /// The RBD pool.
    pub pool: Pool,
    /// Extra ceph.conf options: section, option, value.
    pub config: BTreeMap<String, BTreeMap<String, String>>,
}

impl Cluster {
    /// The login to pull `reference` with: the registry's, if it is that one's and its password has been read.
    pub fn login(&self, reference: &str) -> Option<&Login> {
        let registry = self.registry.as_ref()?;
        registry.login.as_ref().filter(|login| crate::image::is_from(reference, &login.server))
    }
}

/// `cluster.image_archive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageArchive {
    /// The file, on the operator's machine.
    pub path: PathBuf,
    /// What it holds of the cluster's image, once [`file::Loaded::read_archive`] has looked.
    pub archived: Option<Archived>,
}

/// `cluster.registry`.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    /// The registry, `host[:port]`.
    pub server: String,
    /// The account.
    pub username: String,
    /// Where its password is to be read from, when it is needed.
    pub password: PasswordSource,
    /// All of it, once [`file::Loaded::read_password`] has read that.
    pub login: Option<Login>,
}

/// Where a password is read from. It is never in the inventory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of a file (relative paths start at the inventory's folder).
    File(PathBuf),
    /// An environment variable of cephdock's.
    Env(String),
}

/// `cluster.pool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The pool's name.
    pub name: String,
    /// Copies of each object, never more than there are hosts with OSDs.
    pub size: u8,
}

/// One entry of `nodes:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The node's name.
    pub name: NodeName,
    /// Its address in the public network.
    pub address: IpAddr,
    /// How it is logged in to: the defaults of the top-level `ssh:` with its own on top.
    pub ssh: Ssh,
    /// Which daemons it runs.
    pub roles: Roles,
    /// Its OSDs, in the order of the file. Empty without the role `osd`.
    pub osds: Vec<OsdSpec>,
}

/// `roles:` of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    /// Runs a mon.
    pub mon: bool,
    /// Runs a mgr.
    pub mgr: bool,
    /// Runs OSDs.
    pub osd: bool,
}

/// One entry of a node's `osds:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OsdSpec {
    /// A whole blank disk, by any of its paths under /dev.
    Device(PathBuf),
    /// A BlueStore file of this many bytes under /var/lib/ceph.
    File(u64),
}

/// How a node is logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Name or address that SSH connects to; the node's address unless `ssh.host` says otherwise.
    pub host: String,
    /// TCP port, 22 by default.
    pub port: u16,
    /// Login, `root` by default. Another user needs sudo without a password.
    pub user: String,
    /// Files with private keys, on the operator's machine; without any the agent is asked, then the usual files in ~/.ssh.
    pub identity_files: Vec<PathBuf>,
    /// The agent may offer no other keys than those.
    pub identities_only: bool,
    /// Bastions to go through, in order.
    pub jump: Vec<Jump>,
    /// Files with user certificates, on the operator's machine, beside those that are named as their key is
    /// (`id_x-cert.pub`).
    pub certificates: Vec<PathBuf>,
    /// The user's `known_hosts` files. A new host is added to the first; without any it is noted nowhere.
    pub known_hosts: Vec<PathBuf>,
    /// The machine's own, which are only read.
    pub global_known_hosts: Vec<PathBuf>,
    /// What to do with a host key that is in none of them.
    pub host_key: HostKeyPolicy,
    /// The node's pinned host key, `SHA256:…` as `ssh-keygen -l` prints it. It alone counts then.
    pub fingerprint: Option<String>,
    /// What of the above is a default: the user's own SSH configuration comes before those.
    pub unset: Unset,
}

/// Fields of [`Ssh`] that the inventory does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field that can be left open")]
pub struct Unset {
    /// `port`.
    pub port: bool,
    /// `user`.
    pub user: bool,
    /// `jump`.
    pub jump: bool,
    /// `known_hosts`.
    pub known_hosts: bool,
    /// `host_key`.
    pub host_key: bool,
    /// `identity_file`.
    pub identity_files: bool,
}

impl Unset {
    /// Nothing was given.
    pub const ALL: Self = Self {
        port: true,
        user: true,
        jump: true,
        known_hosts: true,
        host_key: true,
        identity_files: true,
    };
}

/// `ssh.jump`: `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// Login on the bastion; the node's user unless given.
    pub user: Option<String>,
    /// Name or address of the bastion.
    pub host: String,
    /// Its SSH port; 22, or what `~/.ssh/config` says, unless given.
    pub port: Option<u16>,
}

impl Jump {
    /// Reads `[user@]host[:port]`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        login::one_jump(text).map_err(|wrong| format!("{text}: {}; {}", wrong.message, wrong.fix))
    }
}

/// `ssh.host_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Only keys that `known_hosts` holds.
    Strict,
    /// A host that `known_hosts` does not name is added to it; a changed key is still refused.
    AcceptNew,
}

/// `client:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whether ceph-common is installed on the nodes.
    pub packages: AutoOff,
    /// Which nodes hold client.admin.
    pub admin_key: AdminKey,
}

/// A feature that finds out by itself what to do, or is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOff {
    /// By what the node has.
    Auto,
    /// Nothing is done.
    Off,
}

/// `client.admin_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminKey {
    /// Every node.
    All,
    /// The nodes with a mon.
    Mons,
}

/// `volumes:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Volumes {
    /// Which volume driver the nodes get.
    pub driver: VolumeDriver,
    /// A cephdock for nodes on which this one does not run: of another architecture, or of another C library.
    pub driver_binary: Option<PathBuf>,
    /// The programs there are to send to nodes, the better ones first, once [`file::Loaded::read_programs`] has looked.
    /// `None`: it has not, and nothing is planned for cephdock's own driver.
    pub programs: Option<Vec<Program>>,
    /// Where a third-party plugin is pulled from instead, under the name given as driver.
    pub alias: Option<String>,
    /// A third-party plugin's settings. Values may be secrets.
    pub settings: BTreeMap<String, Secret>,
}

/// `volumes.driver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeDriver {
    /// cephdock's own.
    Cephdock,
    /// None.
    None,
    /// A managed plugin by its reference, such as `rexray/rbd`.
    Plugin(String),
}
