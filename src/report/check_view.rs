//! What `check` found, as a person reads it: a table of nodes and checks, then what is behind each mark that is no tick,
//! what stands in the way last, right above the prompt.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::check::{Finding, Level, Topic, Went};
use crate::inventory::NodeName;

use super::screen::{Screen, Tone};
use super::table::{NBSP, table, wrap_held};
use super::text::{bytes, clean, count, cut, put};

/// What was found. `--json` prints it as one object whose `event` is `check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename = "check")]
pub struct CheckView {
    /// Whether nothing stands in the way of `up`.
    pub ok: bool,
    /// Each node, in the inventory's order.
    pub nodes: Vec<NodeView>,
    /// What mons put up with, in milliseconds.
    pub clock_allowed_ms: f64,
    /// The disks that the inventory names.
    pub disks: Vec<DiskView>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeView {
    /// Which.
    pub name: NodeName,
    /// How each check went.
    pub checks: BTreeMap<Topic, Went>,
    /// How far its clock is ahead of the median, in milliseconds.
    pub clock_ahead_ms: Option<f64>,
    /// How far off this may be, in milliseconds.
    pub clock_within_ms: Option<f64>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskView {
    /// Where.
    pub node: NodeName,
    /// Its most stable path, or the inventory's.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its serial number, where it tells one.
    pub serial: Option<String>,
    /// What is on it, in words.
    pub holds: String,
}

/// Renders it.
pub fn render(view: &CheckView, screen: &Screen) -> String {
    let mut out = marks(view, screen);
    out.push('\n');
    clocks(&mut out, view, screen);
    if !view.disks.is_empty() {
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Bold, "Disks:")));
        out.push_str(&table(&[], &view.disks.iter().map(disk).collect::<Vec<_>>(), 3, screen));
        out.push('\n');
    }
    for (level, tone, title) in [
        (Level::Note, Tone::Bold, "Worth knowing:"),
        (Level::Unchecked, Tone::Warn, "Not checked:"),
        (Level::Fail, Tone::Loud, "In the way of `up`:"),
    ] {
        section(&mut out, view, level, &screen.paint(tone, title), screen);
    }
    indent(&mut out, &conclusion(view), 0, screen);
    out
}

/// A column is as wide as its heading, so that the marks stand below it.
fn marks(view: &CheckView, screen: &Screen) -> String {
    let columns: usize = Topic::COLUMNS.iter().map(|t| t.word().len() + 1).sum();
    let longest = view.nodes.iter().map(|n| n.name.as_str().len()).max().unwrap_or(0);
    let room = screen.width.saturating_sub(columns).max(6);
    let first = longest.min(room);
    let gap = if first + columns + Topic::COLUMNS.len() <= screen.width { 2 } else { 1 };
    let mut head = " ".repeat(first);
    for topic in Topic::COLUMNS {
        put(&mut head, format_args!("{:gap$}{}", "", topic.word()));
    }
    let mut out = format!("{}\n", screen.paint(Tone::Dim, &head));
    for node in &view.nodes {
        let name = cut(node.name.as_str(), first, screen.marks().ellipsis);
        let mut line = format!("{name:first$}");
        let mut blank = 0;
        for (topic, went) in &node.checks {
            let (mark, tone) = mark(*went, screen);
            let blanks = blank + gap;
            put(&mut line, format_args!("{:blanks$}{}", "", screen.paint(tone, mark)));
            blank = topic.word().len() - 1;
        }
        put(&mut out, format_args!("{line}\n"));
    }
    out
}

fn mark(went: Went, screen: &Screen) -> (&'static str, Tone) {
    match went {
        Went::Ok => (screen.marks().ok, Tone::Good),
        Went::Note => ("!", Tone::Warn),
        Went::Unchecked => ("?", Tone::Warn),
        Went::Fail => (screen.marks().bad, Tone::Loud),
    }
}

fn clocks(out: &mut String, view: &CheckView, screen: &Screen) {
    let each = view.nodes.iter().filter_map(|n| {
        let (ahead, within) = (n.clock_ahead_ms?, n.clock_within_ms?);
        // no more digits than the measurement is worth, and no -0.0
        let ahead = if ahead.abs() < 0.05 { 0.0 } else { ahead };
        let sign = if screen.unicode { "\u{b1}" } else { "+-" };
        Some(format!("{}{NBSP}{ahead:+.1}{NBSP}({sign}{within:.1})", n.name))
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        return;
    }
    let text = format!(
        "ms from the nodes' median; Ceph allows mons {:.0}: {}",
        view.clock_allowed_ms,
        each.join(", ")
    );
    put(out, format_args!("{}\n", screen.paint(Tone::Bold, "Clocks:")));
    indent(out, &text, 3, screen);
    out.push('\n');
}

fn disk(disk: &DiskView) -> Vec<String> {
    let size = if disk.size == 0 { "-".into() } else { bytes(disk.size) };
    vec![
        disk.node.to_string(),
        size.replace(' ', &NBSP.to_string()),
        disk.serial.as_ref().map_or("-".into(), |s| clean(s)),
        clean(&disk.path),
        clean(&disk.holds),
    ]
}

/// Findings that are the same on several nodes are told once.
fn section(out: &mut String, view: &CheckView, level: Level, title: &str, screen: &Screen) {
    let mut told: Vec<(Vec<&NodeName>, &Finding)> = Vec::new();
    for finding in view.findings.iter().filter(|f| f.level == level) {
        let same = |f: &Finding| {
            f.topic == finding.topic && f.what == finding.what && f.why == finding.why
        };
        match told.iter_mut().find(|(_, f)| same(f)) {
            Some((nodes, _)) => nodes.extend(&finding.node),
            None => told.push((finding.node.iter().collect(), finding)),
        }
    }
    if told.is_empty() {
        return;
    }
    put(out, format_args!("{title}\n"));
    for (nodes, finding) in told {
        let went = match level {
            Level::Fail => Went::Fail,
            Level::Unchecked => Went::Unchecked,
            Level::Note => Went::Note,
        };
        let (mark, tone) = mark(went, screen);
        let nodes: Vec<&str> = nodes.into_iter().map(NodeName::as_str).collect();
        let at = if nodes.is_empty() { String::new() } else { format!(" {}", nodes.join(", ")) };
        let head = screen.paint(Tone::Bold, &format!("{}{at}", finding.topic.word()));
        put(out, format_args!(" {} {head}\n", screen.paint(tone, mark)));
        indent(out, &clean(&finding.what), 5, screen);
        for (label, text) in [("why", &finding.why), ("fix", &finding.fix)] {
            if !text.is_empty() {
                let label = screen.paint(Tone::Dim, &format!("{label}:"));
                let mut lines = String::new();
                indent(&mut lines, &clean(text), 10, screen);
                put(out, format_args!("     {label} {}", lines.trim_start()));
            }
        }
    }
    out.push('\n');
}

/// Wrapped, but for what stands in backticks: a command that is broken cannot be copied.
fn indent(out: &mut String, text: &str, indent: usize, screen: &Screen) {
    let mut code = false;
    let held: String = text
        .chars()
        .map(|c| {
            code ^= c == '`';
            if c == ' ' && code { NBSP } else { c }
        })
        .collect();
    for line in wrap_held(&held, screen.width.saturating_sub(indent)) {
        writeln!(out, "{:indent$}{}", "", line.replace(NBSP, " ")).unwrap_or_default();
    }
}

fn conclusion(view: &CheckView) -> String {
    let of = |level: Level| view.findings.iter().filter(|f| f.level == level).count();
    let mut more = String::new();
    for (n, text) in [(of(Level::Unchecked), "not checked"), (of(Level::Note), "worth knowing")] {
        if n > 0 {
            put(&mut more, format_args!(", {n} {text}"));
        }
    }
    let nodes = count(view.nodes.len(), "node");
    if view.ok {
        format!(
            "Nothing stands in the way of `cephdock up` on {nodes}{more}; nothing was changed.\n"
        )
    } else {
        let fails = count(of(Level::Fail), "finding");
        format!("{fails} in the way of `cephdock up` on {nodes}{more}; nothing was changed.")
    }
}
