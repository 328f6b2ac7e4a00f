//! `check`: everything that could stop `up`, found before anything is touched. Looks only.

use super::{Exit, Session, complete, load, look, mint};
use crate::check::{self, Evidence, Report, Topic, clock, paths};
use crate::cli::{Check as Options, Global};
use crate::converge::adopt;
use crate::facts::{DiskContent, Facts};
use crate::inventory::{Inventory, OsdSpec};
use crate::plan::obstacles;
use crate::report::check_view::{CheckView, DiskView, NodeView};

pub(super) async fn run(global: &Global, options: &Options) -> Exit {
    let Options { no_connections } = *options;
    let look = look(global);
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let mut loaded = match complete(loaded, look, false) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    // told among the findings
    let warnings = std::mem::take(&mut loaded.warnings);
    let session = Session::open(loaded, look, true).await;
    let fleet = &session.fleet;
    let (facts, surveys) = tokio::join!(fleet.observe(), fleet.survey(&session.want));
    // nothing else is going on now
    let clocks = fleet.clocks().await;
    let paths = if no_connections {
        None
    } else {
        Some(fleet.go(&paths::ways(&session.want, &facts, &surveys)).await)
    };
    let want = session.want.clone();
    session.close().await;

    let (whose, id) = match adopt(&want, &facts) {
        Ok(id) => (Ok(()), Some(id.unwrap_or_else(|| mint(&want)))),
        Err(refusal) => (Err(refusal), None),
    };
    let evidence = Evidence {
        want: &want,
        warnings: &warnings,
        facts: &facts,
        whose,
        obstacles: obstacles(&want, &facts, id.as_ref()),
        surveys,
        clocks,
        paths,
    };
    let report = check::run(&evidence);
    look.print_check(&view(&evidence, &report));
    if report.ok() { Exit::Done } else { Exit::Failed }
}

fn view(evidence: &Evidence, report: &Report) -> CheckView {
    let offsets = clock::against_median(evidence);
    let node = |name: &crate::inventory::NodeName| {
        let offset = offsets.iter().find(|o| &o.node == name);
        NodeView {
            name: name.clone(),
            checks: Topic::COLUMNS.map(|topic| (topic, report.went(name, topic))).into(),
            clock_ahead_ms: offset.map(|o| o.ahead * 1e3),
            clock_within_ms: offset.map(|o| o.within * 1e3),
        }
    };
    CheckView {
        ok: report.ok(),
        nodes: report.nodes.iter().map(node).collect(),
        clock_allowed_ms: clock::allowed(evidence) * 1e3,
        disks: disks(evidence.want, evidence.facts),
        findings: report.findings.clone(),
    }
}

/// The disks that the inventory names, as they are.
fn disks(want: &Inventory, facts: &Facts) -> Vec<DiskView> {
    let mut all = Vec::new();
    for node in &want.nodes {
        let Some(facts) = facts.node(&node.name) else { continue };
        let paths = node.osds.iter().filter_map(|osd| match osd {
            OsdSpec::Device(path) => Some(path.to_string_lossy()),
            OsdSpec::File(_) => None,
        });
        for path in paths {
            let Some(disk) = facts.disks.get(&*path) else { continue };
            let stable = &disk.stable_path;
            all.push(DiskView {
                node: node.name.clone(),
                path: if stable.is_empty() { path.into_owned() } else { stable.clone() },
                size: disk.size,
                serial: disk.serial.clone(),
                holds: holds(&disk.content),
            });
        }
    }
    all
}

fn holds(content: &DiskContent) -> String {
    match content {
        DiskContent::Missing => "it is not there".into(),
        DiskContent::NotADisk(what) => what.clone(),
        DiskContent::Blank => "blank".into(),
        DiskContent::BlueStore(label) => {
            label.whoami.map_or("an unfinished OSD".into(), |n| format!("osd.{n}"))
        }
        DiskContent::Occupied(found) => found.join("; "),
        DiskContent::Unknown(why) => format!("cannot be told: {why}"),
    }
}
