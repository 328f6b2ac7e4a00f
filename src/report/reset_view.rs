//! What a reset takes away, as a person reads it before saying yes: node by node, and the disks apart and last, right
//! above the question.

use serde::Serialize;

use crate::inventory::NodeName;

use super::disks;
pub use super::disks::DiskGoes;
use super::screen::{Screen, Tone};
use super::table::table;
use super::text::{clean, count, put};

/// What goes. `--json` prints it as one object whose `event` is `reset-plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "reset-plan")]
pub struct ResetView {
    /// The cluster.
    pub fsid: String,
    /// The one node that leaves it; `None`: the cluster goes.
    pub node: Option<NodeName>,
    /// Whether disks and data directories stay.
    pub keep_data: bool,
    /// What is done to the cluster that a node leaves.
    pub cluster: Vec<String>,
    /// What goes on each node.
    pub nodes: Vec<NodeGoes>,
    /// Disks that are wiped.
    pub disks: Vec<DiskGoes>,
    /// Worth knowing beforehand.
    pub notes: Vec<(Option<NodeName>, String)>,
    /// Nodes on which nothing can be done now, with the reason.
    pub skipped: Vec<(Option<NodeName>, String)>,
}

/// What goes on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeGoes {
    /// Which.
    pub node: NodeName,
    /// Names of containers.
    pub containers: Vec<String>,
    /// Files, and folders with all that is in them.
    pub files: Vec<String>,
    /// All else, a phrase each.
    pub other: Vec<String>,
}

impl ResetView {
    /// Whether there is nothing to take away.
    pub fn is_empty(&self) -> bool {
        self.cluster.is_empty() && self.nodes.is_empty() && self.disks.is_empty()
    }
}

/// Renders what goes.
pub fn render(view: &ResetView, screen: &Screen) -> String {
    let mut out = String::new();
    if !view.is_empty() {
        let title = match &view.node {
            Some(node) => format!("{node} leaves the cluster {}. This goes:", clean(&view.fsid)),
            None => format!("The cluster {} is taken down. This goes:", clean(&view.fsid)),
        };
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Bold, &title)));
        out.push_str(&table(&[], &rows(view), 3, screen));
        out.push('\n');
    }
    section(&mut out, Tone::Bold, "Worth knowing:", &phrases(&view.notes), screen);
    section(&mut out, Tone::Warn, "Left out:", &phrases(&view.skipped), screen);
    if !view.disks.is_empty() {
        let title = "These disks will be wiped. What is on them will be lost:";
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Loud, title)));
        out.push_str(&disks::render(&view.disks, screen));
        out.push('\n');
    }
    if view.keep_data && !view.is_empty() {
        out.push_str(
            "Data is kept: disks, OSD directories, mon stores and the cluster's identity.\n",
        );
    }
    out.push_str(&counts(view));
    out
}

fn rows(view: &ResetView) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |of: &str, label: &str, parts: &[String], between: &str| {
        if !parts.is_empty() {
            rows.push(vec![of.to_owned(), label.to_owned(), clean(&parts.join(between))]);
        }
    };
    row("cluster", "", &view.cluster, "; ");
    for node in &view.nodes {
        row(node.node.as_str(), "containers", &node.containers, ", ");
        row(node.node.as_str(), "also", &node.other, "; ");
        row(node.node.as_str(), "files", &node.files, " ");
    }
    rows
}

fn phrases(pairs: &[(Option<NodeName>, String)]) -> Vec<Vec<String>> {
    let name = |node: &Option<NodeName>| node.as_ref().map_or("-", NodeName::as_str).to_owned();
    pairs.iter().map(|(node, what)| vec![name(node), clean(what)]).collect()
}

fn counts(view: &ResetView) -> String {
    if view.is_empty() {
        return "Nothing to do: nothing of the cluster is on the nodes that were reached.\n".into();
    }
    let containers: usize = view.nodes.iter().map(|n| n.containers.len()).sum();
    let files: usize = view.nodes.iter().map(|n| n.files.len()).sum();
    format!(
        "{}, {} or folders, {} on {}; nothing has been changed.\n",
        count(containers, "container"),
        count(files, "file"),
        count(view.disks.len(), "disk"),
        count(view.nodes.len(), "node"),
    )
}

fn section(out: &mut String, tone: Tone, title: &str, rows: &[Vec<String>], screen: &Screen) {
    if !rows.is_empty() {
        put(out, format_args!("{}\n", screen.paint(tone, title)));
        out.push_str(&table(&[], rows, 3, screen));
        out.push('\n');
    }
}
