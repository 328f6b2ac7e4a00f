//! Traces of Ceph that are not of this cluster. Which are is the planner's to say.

use super::{Evidence, Found, Level};

const WHY: &str = "cephdock never touches what it did not make";

/// Whether it can be told which cluster this is.
pub(super) fn whose(evidence: &Evidence) -> Vec<Found> {
    let Err(refusal) = &evidence.whose else { return Vec::new() };
    let level = if refusal.to_protect_data { Level::Fail } else { Level::Unchecked };
    let found = |f: &crate::plan::Finding| Found {
        level,
        node: Some(f.node.clone()),
        what: f.what.clone(),
        why: if level == Level::Fail { WHY.into() } else { "it may hold a cluster".into() },
        fix: f.hint.clone(),
    };
    refusal.findings.iter().map(found).collect()
}

pub(super) fn traces(evidence: &Evidence) -> Vec<Found> {
    if evidence.whose.is_err() {
        return Vec::new();
    }
    let found =
        |f: &crate::plan::Finding| Found::fail(&f.node, &f.what).why(WHY).fix(f.hint.clone());
    evidence.obstacles.theirs.iter().map(found).collect()
}
