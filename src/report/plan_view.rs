//! A plan as a person reads it: stage by stage, what happens to disks apart, and counts at the end.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::facts::Facts;
use crate::inventory::NodeName;
use crate::plan::{Action, Lane, Plan, Stage, Why};

use super::disks::{self, DiskGoes};
use super::screen::{Screen, Tone};
use super::table::{NBSP, table};
use super::text::{clean, count, put};

/// A plan, to be shown. `--json` prints it as one object whose `event` is `plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "plan")]
pub struct PlanView {
    /// The stages in their order.
    pub stages: Vec<StageView>,
    /// What is left alone for now, and why.
    pub waiting: Vec<(Option<NodeName>, String)>,
    /// What is worth knowing and waits for nothing.
    pub notes: Vec<(Option<NodeName>, String)>,
    /// Disks that would be formatted.
    pub disks: Vec<DiskGoes>,
    /// Images that nodes would pull. Their steps say so to people; this is for programs.
    pub pulls: Vec<(NodeName, String)>,
}

/// A stage: all its steps are done, on all nodes, before the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageView {
    /// A short phrase.
    pub title: String,
    /// Its steps.
    pub steps: Vec<StepView>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Where.
    pub node: NodeName,
    /// What is done: a verb and its object.
    pub what: String,
    /// Why: what is not as it should be. May be empty.
    pub why: String,
    /// Whether it formats a disk, so that what was on it is lost.
    pub destructive: bool,
}

impl PlanView {
    /// A plan, and what was seen of the disks that it formats.
    pub fn of(plan: &Plan, seen: &Facts) -> Self {
        let lanes = || plan.stages.iter().flat_map(|s| &s.lanes);
        let waiting = |held_up: bool| {
            let waiting = plan.waiting.iter().filter(|w| w.holds_up == held_up);
            waiting.map(|w| (w.node.clone(), w.what.clone())).collect()
        };
        Self {
            stages: plan.stages.iter().map(StageView::of).collect(),
            waiting: waiting(true),
            notes: waiting(false),
            disks: lanes().flat_map(|lane| formatted(lane, seen)).collect(),
            pulls: lanes().flat_map(pulls).collect(),
        }
    }
}

impl StageView {
    fn of(stage: &Stage) -> Self {
        let steps = stage.lanes.iter().flat_map(|lane| {
            lane.steps.iter().map(|step| StepView {
                node: lane.node.clone(),
                what: step.action.to_string(),
                why: step.why.to_string(),
                destructive: matches!(step.why, Why::BlankDisk(_)),
            })
        });
        Self { title: stage.name.to_string(), steps: steps.collect() }
    }
}

fn formatted<'a>(lane: &'a Lane, seen: &'a Facts) -> impl Iterator<Item = DiskGoes> + 'a {
    lane.steps.iter().filter_map(|step| {
        let Why::BlankDisk(path) = &step.why else { return None };
        let osd = match &step.action {
            Action::Run(spec) | Action::Replace(spec) => spec.daemon.id.parse().ok(),
            _ => None,
        };
        let mut disks = seen.node(&lane.node).into_iter().flat_map(|n| n.disks.values());
        let disk = disks.find(|d| d.stable_path == *path);
        Some(DiskGoes {
            node: lane.node.clone(),
            path: path.clone(),
            kernel_name: disk.map(|d| d.kernel_name.clone()).unwrap_or_default(),
            serial: disk.and_then(|d| d.serial.clone()),
            size: disk.map(|d| d.size).unwrap_or_default(),
            osd,
        })
    })
}

fn pulls(lane: &Lane) -> impl Iterator<Item = (NodeName, String)> {
    lane.steps.iter().filter_map(|step| match &step.action {
        Action::PullImage { image, .. } => Some((lane.node.clone(), image.clone())),
        _ => None,
    })
}

/// Renders a plan.
pub fn render(plan: &PlanView, screen: &Screen) -> String {
    let steps: Vec<&StepView> = plan.stages.iter().flat_map(|s| &s.steps).collect();
    let mut out = String::new();
    for (i, stage) in plan.stages.iter().enumerate() {
        let nodes: BTreeSet<_> = stage.steps.iter().map(|s| &s.node).collect();
        let steps = count(stage.steps.len(), "step");
        let n = format!("({steps} on {})", count(nodes.len(), "node"));
        let title = screen.paint(Tone::Bold, &format!("{}. {}", i + 1, clean(&stage.title)));
        put(&mut out, format_args!("{title} {}\n", screen.paint(Tone::Dim, &n)));
        for line in table(&[], &merged(&stage.steps), 3, screen).lines() {
            let tone = if line.trim_start().starts_with("!! ") { Tone::Bad } else { Tone::Plain };
            put(&mut out, format_args!("{}\n", screen.paint(tone, line)));
        }
        out.push('\n');
    }
    for (title, list) in [("Waiting:", &plan.waiting), ("Worth knowing:", &plan.notes)] {
        let pair = |(node, what): &(Option<NodeName>, String)| {
            (node.as_ref().map_or("-", NodeName::as_str).to_owned(), vec![clean(what)])
        };
        let pairs: Vec<_> = list.iter().map(pair).collect();
        let pairs: Vec<_> = pairs.iter().map(|(n, what)| (n.as_str(), what.clone())).collect();
        section(&mut out, Tone::Warn, title, &by_text(&pairs), screen);
    }
    section(&mut out, Tone::Bold, "Node by node:", &by_node(plan, &steps), screen);
    // last, because the end of a long plan is what stands above the prompt
    if !plan.disks.is_empty() {
        let title = "These disks will be formatted. What is on them will be lost:";
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Loud, title)));
        out.push_str(&disks::render(&plan.disks, screen));
        out.push('\n');
    }
    out.push_str(&counts(plan, &steps));
    out
}

/// How much is done on each node. Those of which the same is to be said share a row; a single node has none.
fn by_node(plan: &PlanView, steps: &[&StepView]) -> Vec<Vec<String>> {
    let mut nodes: Vec<&NodeName> = Vec::new();
    for step in steps {
        if !nodes.contains(&&step.node) {
            nodes.push(&step.node);
        }
    }
    if nodes.len() < 2 {
        return Vec::new();
    }
    nodes.sort_by(|a, b| natural(a.as_str()).cmp(&natural(b.as_str())));
    let row = |node: &&NodeName| {
        let stages = plan.stages.iter().filter(|s| s.steps.iter().any(|s| s.node == **node));
        let steps = count(steps.iter().filter(|s| s.node == **node).count(), "step");
        let disks = match plan.disks.iter().filter(|d| d.node == **node).count() {
            0 => String::new(),
            n => format!("{} to format", count(n, "disk")),
        };
        vec![format!("{steps} in {}", count(stages.count(), "stage")), disks]
    };
    let rows: Vec<_> = nodes.iter().map(|n| (n.as_str(), row(n))).collect();
    by_text(&rows)
}

/// B2 before B10.
fn natural(name: &str) -> (&str, usize, &str) {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (letters, name.len(), name)
}

fn counts(plan: &PlanView, steps: &[&StepView]) -> String {
    if steps.is_empty() {
        let text =
            if plan.waiting.is_empty() { "Nothing to do." } else { "Nothing can be done now." };
        return format!("{text}\n");
    }
    let nodes: BTreeSet<_> = steps.iter().map(|s| &s.node).collect();
    let lost = match plan.disks.len() {
        0 => String::new(),
        n => format!(", {} to format", count(n, "disk")),
    };
    format!(
        "{} on {} in {}{lost}; nothing has been changed.\n",
        count(steps.len(), "step"),
        count(nodes.len(), "node"),
        count(plan.stages.len(), "stage"),
    )
}

fn section(out: &mut String, tone: Tone, title: &str, rows: &[Vec<String>], screen: &Screen) {
    if !rows.is_empty() {
        put(out, format_args!("{}\n", screen.paint(tone, title)));
        out.push_str(&table(&[], rows, 3, screen));
        out.push('\n');
    }
}

/// A stage's rows. What is the same on several nodes is one row; what destroys has a row and a mark of its own.
fn merged(steps: &[StepView]) -> Vec<Vec<String>> {
    let mut rows: Vec<(bool, Vec<&str>, Vec<String>)> = Vec::new();
    for s in steps {
        let cells = vec![clean(&s.what), clean(&s.why)];
        match rows.iter_mut().find(|(lost, _, c)| !lost && !s.destructive && *c == cells) {
            Some((_, nodes, _)) => nodes.push(s.node.as_str()),
            None => rows.push((s.destructive, vec![s.node.as_str()], cells)),
        }
    }
    let row = |(lost, nodes, cells): (bool, Vec<&str>, Vec<String>)| {
        let mark = if lost { format!("!!{NBSP}") } else { String::new() };
        [vec![format!("{mark}{}", nodes.join(", "))], cells].concat()
    };
    rows.into_iter().map(row).collect()
}

/// Rows of nodes that share a text.
pub(super) fn by_text(pairs: &[(&str, Vec<String>)]) -> Vec<Vec<String>> {
    let mut rows: Vec<(Vec<&str>, &Vec<String>)> = Vec::new();
    for (node, cells) in pairs {
        match rows.iter_mut().find(|(_, c)| *c == cells) {
            Some((nodes, _)) => nodes.push(node),
            None => rows.push((vec![node], cells)),
        }
    }
    rows.into_iter()
        .map(|(nodes, cells)| [vec![nodes.join(", ")], cells.clone()].concat())
        .collect()
}
