//! Room 3, what to do: a pure function of (inventory, facts, identity). No clock, no randomness, no I/O.
//!
//! [`up`] is the table of contents. Only the first stage of a plan is ever carried out; then everything is looked at
//! again and planned again, until the plan is empty. So a stage may take for granted what the stages before it do, and
//! what cannot be known yet is left to a later round or named in [`Plan::waiting`].

use std::fmt;

use crate::facts::{Facts, Seen};
use crate::identity::Identity;
use crate::inventory::{Inventory, NodeName};

pub mod action;
mod add_node;
mod auth;
pub mod clients;
pub mod condition;
mod daemons;
mod files;
pub mod firewall;
mod fleet;
mod foreign;
mod images;
pub mod obstacles;
mod osds;
pub mod plugins;
pub mod reset;
mod settle;
mod volumes;

pub use action::{
    Action, Ending, FileSpec, FirewallManager, ImageFile, MonCommand, OsdDisk, Place, PortsSpec,
    ProgramSpec, Removal, Verb,
};
pub use condition::Condition;
pub use obstacles::{Obstacles, obstacles};
pub(crate) use osds::size;

/// What to do, in order. Empty: the cluster is as the inventory says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Barriers: the next stage begins when every node is done with the one before.
    pub stages: Vec<Stage>,
    /// What is left alone for now.
    pub waiting: Vec<Waiting>,
}

impl Plan {
    /// Nothing to do and nothing that waits.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.stages.iter().map(Stage::steps).sum()
    }
}

/// Steps that may be done at the same time, but for those of one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Which one.
    pub name: StageName,
    /// Sequences of steps. Lanes run side by side, on one node too.
    pub lanes: Vec<Lane>,
}

impl Stage {
    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.lanes.iter().map(|l| l.steps.len()).sum()
    }
}

/// Steps of one node, in order. A step that fails ends its lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Where.
    pub node: NodeName,
    /// What.
    pub steps: Vec<Step>,
}

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub why: Why,
}

/// The stages there are, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageName {
    /// The cluster's identity goes to the mon nodes, before anything uses it.
    Identity,
    /// The image.
    Image,
    /// What daemons need on their node: ceph.conf, keyrings, open ports.
    Prepare,
    /// Keys and OSD numbers, in a cluster that runs.
    Register,
    /// Containers.
    Daemons,
    /// Pool, quorum, PGs, health.
    Settle,
    /// Daemons that run but not as they should, a node at a time.
    Replace,
    /// What makes a node a client: packages, kernel modules, volume drivers. Last, for the cluster needs none of it.
    Clients,
    /// A node that leaves: its OSDs' data is moved to others.
    Drain,
    /// A node that leaves: its mon and mgr are no longer needed.
    StepDown,
    /// Containers are removed.
    Stop,
    /// A node that leaves: the mons forget its daemons.
    Forget,
    /// Disks are wiped, files and what else was made on a node removed.
    Clean,
    /// The cluster's identity is removed, when nothing else is left.
    Farewell,
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "write the cluster's identity",
            Self::Image => "fetch the image",
            Self::Prepare => "prepare the nodes",
            Self::Register => "register daemons",
            Self::Daemons => "start daemons",
            Self::Settle => "wait for a healthy cluster",
            Self::Replace => "replace daemons that have drifted",
            Self::Clients => "make the nodes clients",
            Self::Drain => "move the data to other nodes",
            Self::StepDown => "take the node's mon out of the quorum",
            Self::Stop => "stop and remove the containers",
            Self::Forget => "take the node's daemons out of the cluster",
            Self::Clean => "wipe disks and remove files",
            Self::Farewell => "remove the cluster's identity",
        })
    }
}

/// Why a step is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is not there.
    Missing,
    /// It is there and not as it should be.
    Differs,
    /// The image of this name is another one than the archive's: their short ids.
    OtherImage {
        /// The node's.
        has: String,
        /// The archive's.
        archived: String,
    },
    /// It is there and does not run.
    NotRunning,
    /// A firewall runs and lets nobody in there.
    Closed,
    /// A rule of ours that nothing needs any more.
    NotNeeded,
    /// The OSD's disk is blank and will be formatted.
    BlankDisk(String),
    /// The disk carries this OSD already.
    OsdFound(String),
    /// The cluster is new, and its keys depend on it.
    NewCluster,
    /// Clients keep a type of key that older kernels and tools read.
    OldClients,
    /// The mons have met for the first time.
    FirstQuorum,
    /// It is not so yet; the text says what is seen now.
    NotYet(String),
    /// The inventory asks for it no more.
    NotWanted,
    /// The cluster is taken down.
    ClusterGoes,
    /// The node leaves the cluster.
    NodeLeaves,
    /// The node has it for Ceph's sake alone.
    OnlyForCeph,
    /// A run that was killed has left it.
    CutOff,
    /// The disk carries this OSD of the cluster; `None`: the beginning of one.
    CarriesOsd(Option<u32>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Differs => f.write_str("it is not as it should be"),
            Self::OtherImage { has, archived } => {
                write!(f, "its image is {has} and the archive's {archived}")
            }
            Self::NotRunning => f.write_str("it is not running"),
            Self::Closed => f.write_str("closed"),
            Self::NotNeeded => f.write_str("nothing needs it any more"),
            Self::BlankDisk(path) => {
                write!(f, "it is missing; {path} is blank and will be formatted")
            }
            Self::OsdFound(path) => write!(f, "it is missing; {path} carries its data"),
            Self::NewCluster => f.write_str("the type of a new cluster's keys depends on it"),
            Self::OldClients => f.write_str("older kernels and tools read no newer type of key"),
            Self::FirstQuorum => f.write_str("the mons have met"),
            Self::NotYet(seen) => f.write_str(seen),
            Self::NotWanted => f.write_str("the inventory does not ask for it"),
            Self::ClusterGoes => f.write_str("the cluster is taken down"),
            Self::NodeLeaves => f.write_str("the node leaves the cluster"),
            Self::OnlyForCeph => f.write_str("it was there for Ceph alone"),
            Self::CutOff => f.write_str("a run that was killed has left it"),
            Self::CarriesOsd(Some(number)) => write!(f, "it carries osd.{number}"),
            Self::CarriesOsd(None) => f.write_str("it carries the beginning of an OSD"),
        }
    }
}

/// Something that is wanted and not planned, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where, if it is about one node.
    pub node: Option<NodeName>,
    /// What, and what it waits for.
    pub what: String,
    /// The run cannot call itself converged because of it. Otherwise it is only worth knowing.
    pub holds_up: bool,
}

/// Why there is no plan. Nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Going on could hurt data: exit code 3. Otherwise something stands in the way: exit code 1.
    pub to_protect_data: bool,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

/// One reason not to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub node: NodeName,
    /// What was seen.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// What `up` is to do next, and after that.
///
/// # Errors
/// Everything that is in the way: what cephdock did not make, disks that are not blank (`to_protect_data`), nodes without which
/// nothing can be begun.
pub fn up(want: &Inventory, seen: &Facts, id: &Identity) -> Result<Plan, Refusal> {
    all(&fleet::Fleet::sort(want, seen, id)?, id)
}

/// What `add-node` is to do: the same for one node of a cluster that runs. The other nodes are left as they are, but for
/// ceph.conf where the node holds a mon.
///
/// # Errors
/// The same; and no cluster runs yet, or the node itself cannot be worked on.
pub fn add_node(
    node: &NodeName,
    want: &Inventory,
    seen: &Facts,
    id: &Identity,
) -> Result<Plan, Refusal> {
    let fleet = fleet::Fleet::sort(want, seen, id)?.only(node);
    add_node::refuse(&fleet, node, id)?;
    all(&fleet, id)
}

fn all(fleet: &fleet::Fleet, id: &Identity) -> Result<Plan, Refusal> {
    let id = &daemons::decide_keys(fleet, id);
    foreign::refuse(fleet, id)?;
    images::refuse(fleet)?;
    let osds = osds::Osds::choose(fleet, id)?;
    let mut plan = Plan::default();

    // an identity that waits for what the image can do is not written yet
    if id.daemon_keys.is_none() {
        plan.stage(StageName::Image, images::fetch(fleet, id));
    }
    plan.stage(StageName::Identity, files::identity(fleet, id));
    if id.daemon_keys.is_some() {
        plan.stage(StageName::Image, images::fetch(fleet, id));
    }
    let prepare = [files::all(fleet, id, &osds), firewall::ports(fleet)].concat();
    plan.stage(StageName::Prepare, prepare);
    plan.stage(StageName::Register, auth::register(fleet, id, &osds));
    plan.stage(StageName::Daemons, daemons::start(fleet, id, &osds));
    plan.stage(StageName::Settle, settle::settle(fleet, id, &osds));
    plan.stage(StageName::Replace, daemons::replace(fleet, id, &osds));
    let clients = [clients::all(fleet), volumes::all(fleet, id), plugins::all(fleet)].concat();
    plan.stage(StageName::Clients, clients);

    plan.waiting = fleet.waiting();
    let here = |w: &&Waiting| w.node.as_ref().is_none_or(|node| fleet.in_scope(node));
    plan.waiting.extend(osds.waiting.iter().chain(&osds.lost).filter(here).cloned());
    plan.waiting.extend(files::waiting(fleet, id));
    plan.waiting.extend(firewall::waiting(fleet));
    plan.waiting.extend(daemons::not_interrupted(fleet, id, &osds));
    plan.waiting.extend(daemons::left_alone(fleet, &osds));
    plan.waiting.extend(settle::waiting(fleet));
    plan.waiting.extend(images::waiting(fleet));
    plan.waiting.extend(clients::waiting(fleet));
    plan.waiting.extend(volumes::waiting(fleet));
    plan.waiting.extend(plugins::waiting(fleet));
    Ok(plan)
}

impl Plan {
    fn stage(&mut self, name: StageName, lanes: Vec<Lane>) {
        let lanes: Vec<Lane> = lanes.into_iter().filter(|l| !l.steps.is_empty()).collect();
        if !lanes.is_empty() {
            self.stages.push(Stage { name, lanes });
        }
    }
}

impl Lane {
    fn new(node: &NodeName, steps: Vec<Step>) -> Self {
        Self { node: node.clone(), steps }
    }
}

impl Step {
    fn new(action: Action, why: Why) -> Self {
        Self { action, why }
    }
}

/// Every file on `node` whose content a plan may depend on, but for OSDs' keyrings: their numbers are not known before.
pub fn watched_files(want: &Inventory, node: &NodeName) -> Vec<String> {
    let mut paths = files::watched(node);
    paths.push(clients::MODULES_FILE.to_owned());
    paths.extend(plugins::wanted(want).map(|name| plugins::mark(&name)));
    paths
}

/// Whether the mons answered.
fn answers(seen: &Facts) -> bool {
    matches!(seen.cluster, Seen::Value(_))
}
