//! What `status` found, as plain data. `status --json` prints exactly this; its field names are a promise to scripts.
//!
//! What nobody could be asked about is `None` (JSON `null`), never zero: with all mons gone, "0 OSDs up" would be a
//! claim that nobody made. A [`Check`] then says why.

use std::net::IpAddr;

use serde::Serialize;

use crate::causes::{Cause, advice};
use crate::inventory::NodeName;

mod of;

pub use of::of;

/// The cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// The cluster's id, `None` where there is no cluster yet or no reachable node knows it.
    pub fsid: Option<String>,
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`; `None` where no mon answers.
    pub health: Option<String>,
    /// What is wrong: Ceph's health checks under Ceph's own codes, and ours under `CEPHDOCK_…`.
    pub checks: Vec<Check>,
    /// The nodes, in the inventory's order.
    pub nodes: Vec<NodeStatus>,
    /// The mons.
    pub mons: Mons,
    /// The OSDs.
    pub osds: Osds,
    /// The placement groups.
    pub pgs: Pgs,
    /// Raw capacity.
    pub bytes: Bytes,
    /// Where the nodes differ from the inventory.
    pub drift: Vec<Drift>,
    /// What is worth knowing and changes nothing: nodes on which volumes cannot work, host tools too old for the cluster.
    pub notes: Vec<Drift>,
}

/// Something that is wrong, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A name scripts can look for, such as `OSD_DOWN` or [`Check::NO_MON`].
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// What to do about it, where there is something to do.
    pub hint: Option<String>,
}

impl Check {
    /// The code of the check that stands for a health nobody could tell.
    pub const NO_MON: &'static str = "CEPHDOCK_NO_MON";

    /// The check for a cluster none of whose mons answers; `why` is what the last attempt said.
    pub fn no_mon(why: &str) -> Self {
        Self {
            code: Self::NO_MON.into(),
            severity: Severity::Error,
            summary: format!("no mon answers: {why}"),
            hint: advice(Self::NO_MON).map(str::to_owned),
        }
    }
}

/// How bad a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data or service is affected (`HEALTH_ERR`).
    Error,
    /// Redundancy or comfort is affected (`HEALTH_WARN`).
    Warning,
}

/// A node of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Its Ceph public address.
    pub address: IpAddr,
    /// Whether it could be logged in to and its Docker answers.
    pub reachable: bool,
    /// Why it is not reachable, or what of it could not be looked at.
    pub error: Option<String>,
    /// Its daemons: those it runs and those it should run.
    pub daemons: Vec<DaemonStatus>,
    /// The volume driver that answers there, by the name given to `docker volume create -d`.
    pub volume_driver: Option<String>,
    /// The kernel's rbd; `None` where the node could not be looked at.
    pub rbd: Option<RbdStatus>,
    /// The release of the host tools (`ceph`, `rbd`), such as `18.2.7`; `None` where there are none that run.
    pub tools: Option<String>,
}

/// The rbd block device driver of a node's kernel: what volumes are mapped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RbdStatus {
    /// The kernel has it, as a module or built in.
    pub available: bool,
    /// It can be used now.
    pub loaded: bool,
}

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DaemonStatus {
    /// `mon`, `mgr` or `osd`.
    pub kind: String,
    /// Its Ceph id: the node's name, or the OSD's number.
    pub id: String,
    /// What its container does.
    pub state: DaemonState,
    /// The reference of the image its container was made from.
    pub image: Option<String>,
    /// The Ceph release it runs, such as `19.2.3`.
    pub version: Option<String>,
    /// More on the state, such as `exited with 1, restarted 3 times`; of a running daemon only what is wrong with it.
    pub detail: Option<String>,
    /// The last lines of its log, oldest first, of daemons that do not run as they should.
    pub log: Vec<String>,
    /// Why it does not run as it should, where that is known.
    pub cause: Option<Cause>,
}

impl DaemonStatus {
    /// Whether it does not run as it should.
    pub fn is_ailing(&self) -> bool {
        self.state != DaemonState::Running || self.detail.is_some()
    }

    /// The container's name on its node: `mon`, `mgr`, `osd-3`.
    pub fn name(&self) -> String {
        if self.kind == "osd" { format!("osd-{}", self.id) } else { self.kind.clone() }
    }
}

/// What a daemon's container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DaemonState {
    /// It runs.
    Running,
    /// Docker starts it again and again.
    Restarting,
    /// It is there and does not run.
    Stopped,
    /// The inventory wants it and there is no container.
    Missing,
}

/// The mons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mons {
    /// How many the monmap holds, or the inventory where no mon answers.
    pub total: u32,
    /// The names of those in quorum; empty where no mon answers.
    pub quorum: Vec<String>,
}

/// The OSDs, as the mons count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Osds {
    /// All.
    pub total: Option<u32>,
    /// Those that answer.
    pub up: Option<u32>,
    /// Those that data is placed on.
    #[serde(rename = "in")]
    pub inside: Option<u32>,
}

/// The placement groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pgs {
    /// All.
    pub total: Option<u32>,
    /// Those that are `active+clean`.
    pub active_clean: Option<u32>,
}

/// Raw capacity in bytes, all copies counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Of all OSDs.
    pub total: Option<u64>,
    /// Taken, in bytes.
    pub used: Option<u64>,
    /// Free, in bytes.
    pub available: Option<u64>,
}

/// Something that is not as the inventory says, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Where; `None` for the cluster as a whole.
    pub node: Option<NodeName>,
    /// What, in one phrase.
    pub what: String,
}
