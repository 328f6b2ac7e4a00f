//! The time.

use super::{Evidence, Found};
use crate::facts::Seen;
use crate::inventory::NodeName;

/// `mon_clock_drift_allowed`, in seconds, unless the inventory sets it (Ceph's default, src/common/options).
const ALLOWED: f64 = 0.05;

/// How far each clock is ahead of the median of all, in seconds, and how far off that may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Offset {
    /// Whose.
    pub node: NodeName,
    /// Seconds; negative: behind.
    pub ahead: f64,
    /// Seconds either way.
    pub within: f64,
}

/// Every clock that was read against their median. Of an even number the earlier of the two in the middle counts: a
/// mean would stand between two clocks that disagree, and near both.
pub fn against_median(evidence: &Evidence) -> Vec<Offset> {
    let clocks: Vec<_> =
        evidence.clocks.iter().filter_map(|(n, c)| Some((n, c.value()?))).collect();
    let mut sorted: Vec<f64> = clocks.iter().map(|(_, c)| c.ahead).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len().saturating_sub(1) / 2) else { return Vec::new() };
    let offset = |(node, clock): &(&NodeName, &crate::facts::survey::Clock)| Offset {
        node: (*node).clone(),
        ahead: clock.ahead - median,
        within: clock.within,
    };
    clocks.iter().map(offset).collect()
}

/// What the mons of this cluster put up with, in seconds.
pub fn allowed(evidence: &Evidence) -> f64 {
    let set = evidence.config("mon", "mon_clock_drift_allowed").and_then(|v| v.trim().parse().ok());
    set.unwrap_or(ALLOWED)
}

pub(super) fn offsets(evidence: &Evidence) -> Vec<Found> {
    let allowed = allowed(evidence);
    let mut found = Vec::new();
    for (node, seen) in &evidence.clocks {
        if let Seen::Unknown(why) = seen {
            found.push(Found::unchecked(node, format!("its clock could not be read: {why}")));
        }
    }
    for Offset { node, ahead, within } in against_median(evidence) {
        let mon = evidence.want.node(&node).is_some_and(|n| n.roles.mon);
        // what the measurement cannot tell is not held against it
        let surely = ahead.abs() - within > allowed;
        if ahead.abs() <= allowed {
            continue;
        }
        let side = if ahead > 0.0 { "ahead of" } else { "behind" };
        let what = format!(
            "its clock is {:.0} ms {side} the median of the nodes (measured to {:.1} ms); Ceph allows mons {:.0} ms",
            ahead.abs() * 1e3,
            within * 1e3,
            allowed * 1e3,
        );
        found.push(if mon && surely {
            Found::fail(&node, what)
                .why("mons that disagree about the time do not form a lasting quorum")
                .fix("have one service keep it on every node: `apt install chrony`, `dnf install chrony`; then `chronyc makestep`")
        } else if surely {
            Found::note(&node, what)
                .why("only mons have to agree that closely, but logs are hard to read like this")
                .fix("have one service keep it on every node, such as chrony")
        } else {
            Found::unchecked(&node, what)
                .why("the connection is too slow to measure it any closer")
                .fix("`cephdock check` from a machine that is nearer says more")
        });
    }
    found
}

pub(super) fn keepers(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, _) in evidence.seen().filter(|(node, _)| node.roles.mon) {
        if evidence.survey(&node.name).is_some_and(|s| s.keepers.is_empty()) {
            found.push(
                Found::note(&node.name, "no service that keeps its clock right was found")
                    .why("clocks drift apart by seconds a month; in a container it is the host's affair")
                    .fix("`apt install chrony` or `dnf install chrony`"),
            );
        }
    }
    found
}
