//! A plan as a person reads it: stage by stage, what happens to disks apart, and counts at the end.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::inventory::NodeName;

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

/// Renders a plan.
pub fn render(plan: &PlanView, screen: &Screen) -> String {
    let steps: Vec<&StepView> = plan.stages.iter().flat_map(|s| &s.steps).collect();
    let mut out = String::new();
    for (i, stage) in plan.stages.iter().enumerate() {
        let n = format!("({})", count(stage.steps.len(), "step"));
        let title = screen.paint(Tone::Bold, &format!("{}. {}", i + 1, clean(&stage.title)));
        put(&mut out, format_args!("{title} {}\n", screen.paint(Tone::Dim, &n)));
        out.push_str(&table(&[], &merged(&stage.steps), 3, screen));
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
    let lost: Vec<_> = steps
        .iter()
        .filter(|s| s.destructive)
        .map(|s| vec![format!("!!{NBSP}{}", s.node), clean(&s.what), clean(&s.why)])
        .collect();
    // last, because the end of a long plan is what stands above the prompt
    let title = "These disks will be formatted. What is on them will be lost:";
    section(&mut out, Tone::Loud, title, &lost, screen);
    out.push_str(&counts(plan, &steps));
    out
}

fn counts(plan: &PlanView, steps: &[&StepView]) -> String {
    if steps.is_empty() {
        let text =
            if plan.waiting.is_empty() { "Nothing to do." } else { "Nothing can be done now." };
        return format!("{text}\n");
    }
    let nodes: BTreeSet<_> = steps.iter().map(|s| &s.node).collect();
    let lost = match steps.iter().filter(|s| s.destructive).count() {
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
