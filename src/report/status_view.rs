//! `status` at a glance: the cluster in five lines, a row a node, and below that only what is wrong.

use std::collections::BTreeMap;

use crate::status::{
    Bytes, DaemonState, DaemonStatus, Drift, NodeStatus, Osds, Pgs, Severity, Status,
};

use super::error::quote;
use super::plan_view::by_text;
use super::screen::{Screen, Tone};
use super::summary::health;
use super::table::{NBSP, table};
use super::text::{bytes, clean, count, percent, put, wrap};

/// Renders a status.
pub fn render(status: &Status, screen: &Screen) -> String {
    let fsid = status.fsid.as_deref().map_or_else(|| "none".into(), clean);
    let mut out = format!(
        "{} {fsid}  {}\n",
        screen.paint(Tone::Bold, "cluster"),
        health(status.health.as_deref(), screen)
    );
    out.push_str(&table(&[], &cluster(status), 2, screen));
    if !status.nodes.is_empty() {
        out.push('\n');
        out.push_str(&nodes(&status.nodes, screen));
    }
    checks(&mut out, status, screen);
    differences(&mut out, "Not as the inventory says", &status.drift, screen);
    differences(&mut out, "Worth knowing", &status.notes, screen);
    daemons_in_trouble(&mut out, &status.nodes, screen);
    out
}

/// A section with a row for each text, and the nodes that it is about.
fn differences(out: &mut String, title: &str, list: &[Drift], screen: &Screen) {
    let pair = |d: &Drift| (d.node.as_ref().map_or("-", |n| n.as_str()).to_owned(), clean(&d.what));
    let pairs: Vec<_> = list.iter().map(pair).collect();
    let rows =
        by_text(&pairs.iter().map(|(n, w)| (n.as_str(), vec![w.clone()])).collect::<Vec<_>>());
    if !rows.is_empty() {
        heading(out, title, screen);
        out.push_str(&table(&[], &rows, 2, screen));
    }
}

fn heading(out: &mut String, text: &str, screen: &Screen) {
    put(out, format_args!("\n{}\n", screen.paint(Tone::Bold, text)));
}

/// The cluster's rows: a word and what there is to say. What nobody could tell is `?`.
fn cluster(s: &Status) -> Vec<Vec<String>> {
    let n = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let quorum: Vec<_> = s.mons.quorum.iter().map(|q| clean(q)).collect();
    let names = if quorum.is_empty() { String::new() } else { format!(": {}", quorum.join(", ")) };
    let osds = match s.osds {
        Osds { total: None, up: None, inside: None } => n(None),
        o => format!("{} of {} up, {} in", n(o.up), n(o.total), n(o.inside)),
    };
    let pgs = match s.pgs {
        Pgs { total: None, active_clean: None } => n(None),
        p => format!("{} of {} active+clean", n(p.active_clean), n(p.total)),
    };
    let mut rows = vec![
        ("mons", format!("{} of {} in quorum{names}", quorum.len(), s.mons.total)),
        ("osds", osds),
        ("pgs", pgs),
        ("capacity", capacity(s.bytes)),
    ];
    if let Some(versions) = versions(&s.nodes) {
        rows.push(("ceph", versions));
    }
    rows.into_iter().map(|(k, v)| vec![k.to_owned(), v]).collect()
}

fn capacity(b: Bytes) -> String {
    let (Some(used), Some(total)) = (b.used, b.total) else { return "?".into() };
    let percent = percent(used, total).map(|p| format!(" ({p} %)")).unwrap_or_default();
    let free = b.available.map(|a| format!(", {} free", bytes(a))).unwrap_or_default();
    format!("{} of {} used{percent}{free}", bytes(used), bytes(total))
}

/// The one version all daemons run, or each with who runs it how often.
fn versions(nodes: &[NodeStatus]) -> Option<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    for version in nodes.iter().flat_map(|n| &n.daemons).filter_map(|d| d.version.as_deref()) {
        *counts.entry(clean(version)).or_default() += 1;
    }
    match counts.len() {
        0 => None,
        1 => counts.into_keys().next(),
        _ => {
            let all: Vec<_> =
                counts.iter().map(|(v, n)| format!("{} on {v}", count(*n, "daemon"))).collect();
            Some(format!("mixed: {}", all.join(", ")))
        }
    }
}

fn nodes(nodes: &[NodeStatus], screen: &Screen) -> String {
    let rows: Vec<_> = nodes
        .iter()
        .map(|n| {
            let does = if n.reachable {
                let all: Vec<_> = n.daemons.iter().map(|d| daemon(d, screen)).collect();
                if all.is_empty() { "client".into() } else { all.join("  ") }
            } else {
                let why = n.error.as_deref().map(|e| format!(": {}", clean(e))).unwrap_or_default();
                format!("{}{NBSP}unreachable{why}", screen.marks().bad)
            };
            let driver = match n.volume_driver.as_deref() {
                Some(d) => clean(d),
                None => if n.reachable { "-" } else { "" }.into(),
            };
            vec![n.name.to_string(), n.address.to_string(), does, driver]
        })
        .collect();
    color_marks(&table(&["node", "address", "daemons", "volumes"], &rows, 2, screen), screen)
}

/// A daemon's mark and name, kept together.
fn daemon(d: &DaemonStatus, screen: &Screen) -> String {
    let m = screen.marks();
    let mark = match d.state {
        DaemonState::Running if !d.is_ailing() => m.running,
        DaemonState::Running | DaemonState::Restarting => m.restarting,
        DaemonState::Stopped => m.stopped,
        DaemonState::Missing => m.missing,
    };
    format!("{mark}{NBSP}{}", clean(&d.name()))
}

/// Colours the marks of a finished table: escape sequences in cells would count as width. ASCII marks are letters too,
/// so they stay as they are.
fn color_marks(text: &str, screen: &Screen) -> String {
    if !screen.color || !screen.unicode {
        return text.to_owned();
    }
    let m = screen.marks();
    let mut out = text.to_owned();
    for (mark, tone) in [
        (m.running, Tone::Good),
        (m.restarting, Tone::Warn),
        (m.stopped, Tone::Bad),
        (m.bad, Tone::Loud),
    ] {
        out = out.replace(mark, &screen.paint(tone, mark));
    }
    out
}

/// Every check: its code, its sentence, and what to do where that is known.
fn checks(out: &mut String, status: &Status, screen: &Screen) {
    if status.checks.is_empty() {
        return;
    }
    heading(out, "Checks", screen);
    for c in &status.checks {
        let (tone, word) = match c.severity {
            Severity::Error => (Tone::Loud, "error"),
            Severity::Warning => (Tone::Warn, "warning"),
        };
        put(out, format_args!("  {} {}\n", screen.paint(tone, word), clean(&c.code)));
        for line in wrap(&clean(&c.summary), screen.width.saturating_sub(4)) {
            put(out, format_args!("    {line}\n"));
        }
        if let Some(hint) = &c.hint {
            labelled(out, Tone::Good, "hint:", hint, screen);
        }
    }
}

/// Daemons that do not run as they should, with what they said last, why, and what to do; and nodes of which a part
/// could not be looked at. Those of whom the same is to be said share it.
fn daemons_in_trouble(out: &mut String, nodes: &[NodeStatus], screen: &Screen) {
    let mut rows = String::new();
    let mut ailing: Vec<(Vec<String>, &DaemonStatus)> = Vec::new();
    for n in nodes.iter().filter(|n| n.reachable) {
        if let Some(e) = &n.error {
            put(&mut rows, format_args!("  {}: {}\n", n.name, clean(e)));
        }
        for d in n.daemons.iter().filter(|d| d.is_ailing()) {
            let name = format!("{} {}", n.name, clean(&d.name()));
            let same = |(_, other): &&mut (Vec<String>, &DaemonStatus)| {
                (other.state, &other.detail, &other.log, &other.cause)
                    == (d.state, &d.detail, &d.log, &d.cause)
            };
            match ailing.iter_mut().find(same) {
                Some((names, _)) => names.push(name),
                None => ailing.push((vec![name], d)),
            }
        }
    }
    for (names, d) in ailing {
        let state = match d.state {
            DaemonState::Running => "runs",
            DaemonState::Restarting => "starts again and again",
            DaemonState::Stopped => "stopped",
            DaemonState::Missing => "no such container",
        };
        let detail = d.detail.as_deref().map(|t| format!(" ({})", clean(t))).unwrap_or_default();
        let text = format!("{}: {state}{detail}", names.join(", "));
        for (i, line) in wrap(&text, screen.width.saturating_sub(4)).into_iter().enumerate() {
            let indent = if i == 0 { 2 } else { 4 };
            let line = line.replacen(state, &screen.paint(Tone::Bad, state), 1);
            put(&mut rows, format_args!("{:indent$}{line}\n", ""));
        }
        rows.push_str(&quote(&d.log, 4, screen));
        if let Some(cause) = &d.cause {
            labelled(&mut rows, Tone::Bad, "why:", &cause.what, screen);
            labelled(&mut rows, Tone::Good, "hint:", &cause.hint, screen);
        }
    }
    if !rows.is_empty() {
        heading(out, "Needs attention", screen);
        out.push_str(&rows);
    }
}

/// A label with a text of several lines behind it.
fn labelled(out: &mut String, tone: Tone, label: &str, text: &str, screen: &Screen) {
    let indent = 4 + label.len() + 1;
    for (i, line) in wrap(&clean(text), screen.width.saturating_sub(indent)).iter().enumerate() {
        if i == 0 {
            put(out, format_args!("    {} {line}\n", screen.paint(tone, label)));
        } else {
            put(out, format_args!("{:indent$}{line}\n", ""));
        }
    }
}
