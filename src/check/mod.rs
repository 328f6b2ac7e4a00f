//! `check`: everything that could stop `up`, found before anything is touched. Pure: from what was seen to findings.
//!
//! ```text
//! Evidence (inventory, facts, surveys, clocks, paths, the planner's obstacles) ─ CHECKS ─> Report ─> report/check_view
//! ```
//!
//! A check is a function that looks at the [`Evidence`] and says what it found; [`CHECKS`] is the table of them. To add
//! one, write the function in the file of its topic, with its case in `tests`, and put it into the table. Whether a disk
//! may be formatted or a file is somebody else's is the planner's to say ([`plan::obstacles`](mod@crate::plan::obstacles)),
//! not a second time in here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::survey::{Clock, Paths, Survey};
use crate::facts::{Facts, NodeFacts, Seen};
use crate::inventory::problem::Problem;
use crate::inventory::{Inventory, Node, NodeName};
use crate::plan::{self, Obstacles, Refusal};

mod ceph;
pub mod clock;
mod cluster;
mod disks;
mod docker;
mod image;
mod net;
pub mod paths;
mod room;
#[cfg(test)]
mod tests;

/// All that the checks look at. What was not looked at is empty, and no check takes that for a fault.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What is wanted.
    pub want: &'a Inventory,
    /// What is odd about the inventory and no error.
    pub warnings: &'a [Problem],
    /// What the nodes showed.
    pub facts: &'a Facts,
    /// Whether it is known which cluster this is. If not, why: somebody else's traces cannot be told from its own then.
    pub whose: Result<(), Refusal>,
    /// What the planner would not go past.
    pub obstacles: Obstacles,
    /// What the nodes showed beyond that.
    pub surveys: BTreeMap<NodeName, Seen<Survey>>,
    /// Their clocks.
    pub clocks: BTreeMap<NodeName, Seen<Clock>>,
    /// How they reach each other. `None`: not tried.
    pub paths: Option<Paths>,
}

impl<'a> Evidence<'a> {
    /// Facts alone: what `up` has at hand.
    pub fn of_facts(want: &'a Inventory, facts: &'a Facts) -> Self {
        Self {
            want,
            warnings: &[],
            facts,
            whose: Ok(()),
            obstacles: Obstacles::default(),
            surveys: BTreeMap::new(),
            clocks: BTreeMap::new(),
            paths: None,
        }
    }

    /// The nodes that were seen, in the inventory's order.
    fn seen(&self) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> {
        self.want.nodes.iter().filter_map(|node| Some((node, self.facts.node(&node.name)?)))
    }

    fn survey(&self, node: &NodeName) -> Option<&Survey> {
        self.surveys.get(node).and_then(Seen::value)
    }

    /// An option that the inventory sets for ceph.conf, for daemons of this kind.
    fn config(&self, kind: &str, option: &str) -> Option<&str> {
        let config = &self.want.cluster.config;
        let of = |section: &str| config.get(section)?.get(option);
        of(kind).or_else(|| of("global")).map(String::as_str)
    }
}

/// What a check is about: a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// SSH and sudo.
    Login,
    /// The container engine.
    Docker,
    /// Hostnames.
    Name,
    /// Addresses.
    Net,
    /// Ports in use.
    Ports,
    /// Connections from every node to every other, and what filters them.
    Paths,
    /// Large packets.
    Mtu,
    /// The time.
    Clock,
    /// Disks for OSDs.
    Disks,
    /// Traces of Ceph.
    Ceph,
    /// The image.
    Image,
    /// Memory and free space.
    Room,
    /// What a node needs as a client.
    Client,
    /// The cluster as a whole: no column.
    Cluster,
}

impl Topic {
    /// The columns, in their order.
    pub const COLUMNS: [Self; 13] = [
        Self::Login,
        Self::Docker,
        Self::Name,
        Self::Net,
        Self::Ports,
        Self::Paths,
        Self::Mtu,
        Self::Clock,
        Self::Disks,
        Self::Ceph,
        Self::Image,
        Self::Room,
        Self::Client,
    ];

    /// Its heading.
    pub fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Docker => "docker",
            Self::Name => "name",
            Self::Net => "net",
            Self::Ports => "ports",
            Self::Paths => "paths",
            Self::Mtu => "mtu",
            Self::Clock => "clock",
            Self::Disks => "disks",
            Self::Ceph => "ceph",
            Self::Image => "image",
            Self::Room => "room",
            Self::Client => "client",
            Self::Cluster => "cluster",
        }
    }
}

/// How bad a finding is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `up` would fail or stop because of it, or the cluster would not be healthy.
    Fail,
    /// It could not be looked at.
    Unchecked,
    /// Worth knowing.
    Note,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How bad it is.
    pub level: Level,
    /// Where; `None`: it is about the cluster.
    pub node: Option<NodeName>,
    /// What was seen.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do about it: where it can be, the command.
    pub fix: String,
}

/// A finding whose topic is the check's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    level: Level,
    node: Option<NodeName>,
    what: String,
    why: String,
    fix: String,
}

impl Found {
    fn new(level: Level, node: Option<&NodeName>, what: impl Into<String>) -> Self {
        let node = node.cloned();
        Self { level, node, what: what.into(), why: String::new(), fix: String::new() }
    }

    fn fail(node: &NodeName, what: impl Into<String>) -> Self {
        Self::new(Level::Fail, Some(node), what)
    }

    fn note(node: &NodeName, what: impl Into<String>) -> Self {
        Self::new(Level::Note, Some(node), what)
    }

    fn unchecked(node: &NodeName, what: impl Into<String>) -> Self {
        Self::new(Level::Unchecked, Some(node), what)
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }
}

/// One check.
struct Check {
    topic: Topic,
    /// It needs no more than facts, and the planner does not find the same: `up` does it first.
    before_up: bool,
    run: fn(&Evidence) -> Vec<Found>,
}

/// All checks, in the order in which their findings are told.
const CHECKS: &[Check] = &[
    of(Topic::Login, net::reached),
    of(Topic::Docker, docker::answers),
    first(Topic::Docker, docker::kind),
    first(Topic::Docker, docker::age),
    of(Topic::Docker, docker::settings),
    of(Topic::Name, net::hostnames),
    of(Topic::Net, net::addresses),
    first(Topic::Net, net::taken),
    first(Topic::Net, net::cluster_network),
    of(Topic::Ports, net::surveyed),
    of(Topic::Ports, net::ports),
    of(Topic::Paths, paths::connections),
    of(Topic::Paths, paths::filters),
    of(Topic::Mtu, paths::large_packets),
    of(Topic::Mtu, paths::same_mtu),
    of(Topic::Clock, clock::offsets),
    of(Topic::Clock, clock::keepers),
    of(Topic::Disks, disks::may_be_formatted),
    of(Topic::Ceph, ceph::whose),
    of(Topic::Ceph, ceph::traces),
    of(Topic::Image, net::surveyed),
    of(Topic::Image, image::registry),
    of(Topic::Image, image::architecture),
    of(Topic::Image, image::archive),
    of(Topic::Image, image::same_everywhere),
    of(Topic::Room, net::surveyed),
    of(Topic::Room, room::memory),
    of(Topic::Room, room::for_mons),
    of(Topic::Room, room::for_osd_files),
    of(Topic::Room, room::for_the_image),
    of(Topic::Client, cluster::clients),
    of(Topic::Cluster, cluster::inventory),
    of(Topic::Cluster, cluster::single_points),
];

const fn of(topic: Topic, run: fn(&Evidence) -> Vec<Found>) -> Check {
    Check { topic, before_up: false, run }
}

const fn first(topic: Topic, run: fn(&Evidence) -> Vec<Found>) -> Check {
    Check { topic, before_up: true, run }
}

impl Check {
    fn findings(&self, evidence: &Evidence) -> impl Iterator<Item = Finding> + use<> {
        let topic = self.topic;
        (self.run)(evidence).into_iter().map(move |found| {
            let Found { level, node, what, why, fix } = found;
            Finding { topic, level, node, what, why, fix }
        })
    }
}

/// What all checks found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The nodes, in the inventory's order.
    pub nodes: Vec<NodeName>,
    /// Nodes that could not be looked at: nothing but their login was checked.
    pub unseen: Vec<NodeName>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// How a check went on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// Nothing stands in the way.
    Ok,
    /// Nothing does, and something is worth knowing.
    Note,
    /// It was not looked at.
    Unchecked,
    /// Something stands in the way.
    Fail,
}

impl Report {
    /// Whether nothing stands in the way of `up`.
    pub fn ok(&self) -> bool {
        self.findings.iter().all(|f| f.level != Level::Fail)
    }

    /// One cell of the table.
    pub fn went(&self, node: &NodeName, topic: Topic) -> Went {
        let here = |f: &&Finding| f.topic == topic && f.node.as_ref() == Some(node);
        match self.findings.iter().filter(here).map(|f| f.level).min() {
            Some(Level::Fail) => Went::Fail,
            Some(Level::Unchecked) => Went::Unchecked,
            None if topic != Topic::Login && self.unseen.contains(node) => Went::Unchecked,
            Some(Level::Note) => Went::Note,
            None => Went::Ok,
        }
    }
}

/// Runs all checks.
pub fn run(evidence: &Evidence) -> Report {
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|c| c.findings(evidence)).collect();
    findings.sort_by_key(|f| f.level); // stable: within a level the table's order
    let nodes: Vec<NodeName> = evidence.want.nodes.iter().map(|n| n.name.clone()).collect();
    let unseen = nodes.iter().filter(|n| evidence.facts.node(n).is_none()).cloned().collect();
    Report { nodes, unseen, findings }
}

/// What `up` does first, with facts that it has anyway. Only before the mons of a new cluster have met: a cluster that
/// runs is kept as the inventory says, however its nodes are.
///
/// # Errors
/// What stands in the way, with `to_protect_data` false: nothing was touched.
pub fn before_up(want: &Inventory, facts: &Facts) -> Result<(), Refusal> {
    let evidence = Evidence::of_facts(want, facts);
    let cheap = CHECKS.iter().filter(|c| c.before_up).flat_map(|c| c.findings(&evidence));
    let fails = cheap.filter(|f| f.level == Level::Fail).filter_map(|f| {
        let what = if f.why.is_empty() { f.what } else { format!("{} ({})", f.what, f.why) };
        Some(plan::Finding { node: f.node?, what, hint: f.fix })
    });
    let findings: Vec<plan::Finding> = fails.collect();
    if findings.is_empty() { Ok(()) } else { Err(Refusal { to_protect_data: false, findings }) }
}

/// `B1`, `B1 and B2`, `B1, B2 and B3`.
fn listed<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| w.to_string()).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
