//! The primitives that a host can carry out. A closed set: a new kind of daemon adds none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use uuid::Uuid;

use super::Condition;
use crate::daemon::{ContainerSpec, DaemonId};
use crate::facts::PackageManager;
use crate::facts::firewall::PortRule;
use crate::image::Login;
use crate::secret::Secret;
use crate::volume::program::Program;

/// One primitive. It carries everything it needs: there is nothing left to choose when it is carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Writes files, each whole or not at all, in this order.
    WriteFiles(Vec<FileSpec>),
    /// Lets networks in to ports. What is open already stays so.
    OpenPorts(PortsSpec),
    /// Takes rules of ours out of a firewall. What is gone already stays so.
    ClosePorts(PortsSpec),
    /// Pulls an image by its reference, with the login for its registry.
    PullImage {
        /// The reference.
        image: String,
        /// Sent with the pull and kept nowhere.
        login: Option<Login>,
    },
    /// Sends an image file to the node's Docker.
    LoadImage(ImageFile),
    /// Finds out what type of cephx keys an image reads.
    LookIntoImage(String),
    /// Makes a container and starts it. Taken up where it was cut off if it is there and its labels say it is this one.
    Run(ContainerSpec),
    /// Starts a container of ours that is there.
    Start(DaemonId),
    /// Stops and removes a container of ours, then runs the new one.
    Replace(ContainerSpec),
    /// Commands to the mons, in order; each ends well or the step fails.
    Ceph(Vec<MonCommand>),
    /// Runs a program in a daemon's container.
    Exec(DaemonId, Vec<String>),
    /// Installs Ceph's host tools with the node's package manager: the first of these packages that its repositories
    /// have, and what that depends on. Nothing is removed, nothing restarted.
    InstallTools(PackageManager, Vec<String>),
    /// Loads a module into the running kernel, by its name (`rbd`).
    LoadModule(String),
    /// Pulls a volume plugin and leaves it disabled. One of that name that is there already stays.
    PullPlugin {
        /// What it is called on the node, with its tag.
        name: String,
        /// What it is pulled from.
        remote: String,
        /// Sent with the pull and kept nowhere.
        login: Option<Login>,
    },
    /// Gives a disabled plugin its settings; those not named stay.
    SetPlugin {
        /// Which.
        name: String,
        /// By name.
        settings: BTreeMap<String, Secret>,
    },
    /// Has a plugin run. One that runs already stays so.
    EnablePlugin(String),
    /// Stops a plugin; Docker refuses while something uses it.
    DisablePlugin(String),
    /// Removes a disabled plugin.
    RemovePlugin(String),
    /// Sends a program to the node, sees that it runs there, and puts it in its place.
    SendProgram(ProgramSpec),
    /// Tells systemd about a unit: its name, and what shall become of it.
    Service(String, Verb),
    /// Asks the mons until it is so.
    WaitUntil(Condition),
    /// Stops and removes a container of ours, of this cluster, and the volumes that nobody named.
    RemoveContainer(DaemonId, Uuid, Ending),
    /// Removes containers that were to look into an image, by their ids. What is gone already stays so.
    RemoveLooks(BTreeSet<String>),
    /// Removes files and folders, in this order. What is not there is no error.
    RemoveFiles(Vec<Removal>),
    /// Wipes an OSD's disk, if it still carries that very OSD.
    WipeDisk(OsdDisk),
}

/// An image file on the operator's machine, made with `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes, which the transfer has to come to.
    pub bytes: u64,
    /// The image in it that is wanted.
    pub reference: String,
}

impl fmt::Display for ImageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.reference, self.path.display())
    }
}

/// How a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, so that its data is in order and the cluster knows.
    Orderly,
    /// At once: it has nothing that anybody needs, and may hang where no mon answers.
    AtOnce,
}

/// Something to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A file, or a folder and all that is in it: an absolute path.
    All(String),
    /// A folder, if it is empty.
    IfEmpty(String),
    /// A folder and those in it, as far as they are empty and nothing is mounted there.
    IfEmptyTree(String),
}

/// A program for a node: owner root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSpec {
    /// The file on the operator's machine, with its size and digest.
    pub program: Program,
    /// Absolute path on the node.
    pub path: String,
    /// Permission bits, such as 0o755.
    pub mode: u32,
}

/// What becomes of a systemd unit. All but the last read its file anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// It is started, and at every boot. Done when it says that it is ready.
    Start,
    /// It is stopped and started, and at every boot. Done when it says that it is ready.
    Restart,
    /// It is started at every boot.
    Enable,
    /// It is stopped, not started any more, and its file, at this path, is removed. One that is gone is no error.
    Remove(String),
}

/// A disk that carries an OSD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsdDisk {
    /// Its most stable path.
    pub path: String,
    /// The kernel's name for it.
    pub kernel_name: String,
    /// Its serial number, where it tells one.
    pub serial: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The OSD's uuid, which its label has to show.
    pub uuid: Uuid,
    /// The OSD's number, where the label tells it.
    pub number: Option<u32>,
    /// The cluster, which the label has to show; `None` where mkfs was cut off before it wrote that.
    pub fsid: Option<Uuid>,
}

/// Ends the name of a file that is being written, beside its place.
pub const PARTIAL: &str = ".cephdock-new";

/// A file to write: owner root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Absolute path.
    pub path: String,
    /// Permission bits, such as 0o600.
    pub mode: u32,
    /// Its folder is made with these permission bits if it is not there.
    pub folder_mode: u32,
    /// All of its content.
    pub content: Secret,
}

/// Rules of one firewall on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortsSpec {
    /// Which firewall.
    pub manager: FirewallManager,
    /// Where in it, and what.
    pub rules: Vec<(Place, PortRule)>,
}

/// The firewalls that cephdock knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallManager {
    /// Rich rules in its zones.
    Firewalld,
    /// Rules with a comment.
    Ufw,
}

/// Where a rule stands in a firewall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// firewalld's configuration, by zone: it is in force after the next reload.
    Permanent(String),
    /// What firewalld has in force, by zone.
    Live(String),
    /// The configuration of a firewalld that does not run, by zone.
    Stopped(String),
    /// ufw's rules, in which it is not.
    Ufw,
    /// ufw's rules, in which it is, while the kernel has it no more.
    UfwAgain,
}

impl fmt::Display for PortsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: BTreeSet<&str> = self.rules.iter().map(|(_, r)| r.ports.as_str()).collect();
        let ports: Vec<&str> = ports.into_iter().collect();
        let manager = match self.manager {
            FirewallManager::Firewalld => "firewalld",
            FirewallManager::Ufw => "ufw",
        };
        write!(f, "{}/tcp in {manager}", ports.join(", "))
    }
}

/// A command to the mons, as the `ceph` tool would send it.
#[derive(Debug, Clone, PartialEq)]
pub struct MonCommand {
    /// Its JSON, as librados' `mon_command` takes it: `prefix` and arguments. Never secret.
    pub json: Value,
    /// What it is about, for people: an entity, a pool.
    pub about: String,
    /// What goes with it where `ceph` would read a file (`-i`).
    pub input: Option<Secret>,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteFiles(files) => {
                let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
                write!(f, "write {}", paths.join(", "))
            }
            Self::OpenPorts(spec) => write!(f, "open {spec}"),
            Self::ClosePorts(spec) => write!(f, "close {spec}"),
            Self::PullImage { image, .. } => write!(f, "pull {image}"),
            Self::LoadImage(file) => write!(f, "load {file}"),
            Self::LookIntoImage(reference) => write!(f, "look into {reference}"),
            Self::Run(spec) => write!(f, "start {}", spec.daemon),
            Self::Start(daemon) => write!(f, "start {daemon} again"),
            Self::Replace(spec) => write!(f, "replace {}", spec.daemon),
            Self::Ceph(commands) => {
                let words: Vec<String> = commands.iter().map(MonCommand::to_string).collect();
                write!(f, "ceph {}", words.join(", "))
            }
            Self::Exec(_, argv) => f.write_str(&argv.join(" ")),
            Self::InstallTools(manager, packages) => {
                write!(f, "install {} with {manager}", packages.join(" or "))
            }
            Self::LoadModule(name) => write!(f, "load the kernel module {name}"),
            Self::PullPlugin { name, remote, .. } if name == remote => {
                write!(f, "pull the plugin {name}")
            }
            Self::PullPlugin { name, remote, .. } => {
                write!(f, "pull the plugin {name} from {remote}")
            }
            Self::SetPlugin { name, settings } => {
                let keys: Vec<&str> = settings.keys().map(String::as_str).collect();
                write!(f, "set {} of the plugin {name}", keys.join(", "))
            }
            Self::EnablePlugin(name) => write!(f, "enable the plugin {name}"),
            Self::DisablePlugin(name) => write!(f, "disable the plugin {name}"),
            Self::RemovePlugin(name) => write!(f, "remove the plugin {name}"),
            Self::SendProgram(spec) => {
                let size = super::osds::size(spec.program.bytes);
                write!(f, "send {} to {} ({size})", spec.program.name(), spec.path)
            }
            Self::Service(unit, verb) => match verb {
                Verb::Start => write!(f, "start {unit}"),
                Verb::Restart => write!(f, "restart {unit}"),
                Verb::Enable => write!(f, "have {unit} started at boot"),
                Verb::Remove(_) => write!(f, "stop and remove {unit}"),
            },
            Self::WaitUntil(condition) => write!(f, "wait for {condition}"),
            Self::RemoveContainer(daemon, ..) => write!(f, "stop and remove {daemon}"),
            Self::RemoveLooks(_) => {
                f.write_str("remove a container that was to look into the image")
            }
            Self::RemoveFiles(removals) => {
                let paths: Vec<&str> = removals.iter().filter_map(Removal::all).collect();
                write!(f, "remove {}", paths.join(", "))
            }
            Self::WipeDisk(disk) => write!(f, "wipe {disk}"),
        }
    }
}

impl Removal {
    /// The path, where all of it goes.
    pub fn all(&self) -> Option<&str> {
        match self {
            Self::All(path) => Some(path),
            Self::IfEmpty(_) | Self::IfEmptyTree(_) => None,
        }
    }
}

impl fmt::Display for OsdDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = super::osds::size(self.size);
        write!(f, "{} ({size}", self.path)?;
        match &self.serial {
            Some(serial) => write!(f, ", serial {serial})"),
            None => f.write_str(", no serial number)"),
        }
    }
}

impl fmt::Display for MonCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json["prefix"].as_str().unwrap_or_default())?;
        if self.about.is_empty() { Ok(()) } else { write!(f, " {}", self.about) }
    }
}
