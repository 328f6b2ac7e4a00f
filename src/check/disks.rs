//! Disks for OSDs. Whether one may be formatted is the planner's to say.

use super::{Evidence, Found};
use crate::facts::DiskContent;

pub(super) fn may_be_formatted(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    if evidence.whose.is_err() {
        // whether an OSD on a disk is of this cluster cannot be told
        for (node, facts) in evidence.seen() {
            let is_osd = |content: &DiskContent| matches!(content, DiskContent::BlueStore(_));
            for (path, _) in facts.disks.iter().filter(|(_, d)| is_osd(&d.content)) {
                found.push(
                    Found::unchecked(&node.name, format!("{path} is not blank: it carries an OSD"))
                        .why("whether it is of this cluster cannot be told now")
                        .fix("see what is said about ceph and login first"),
                );
            }
        }
    }
    let why = "a disk is only formatted when nothing is on it";
    for finding in &evidence.obstacles.disks {
        found.push(Found::fail(&finding.node, &finding.what).why(why).fix(finding.hint.clone()));
    }
    for waiting in &evidence.obstacles.lost {
        let Some(node) = &waiting.node else { continue };
        found.push(
            Found::fail(node, &waiting.what).why("an OSD that had data is not made anew by itself"),
        );
    }
    found
}
