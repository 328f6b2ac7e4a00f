//! The cluster as a whole, and its clients.

use super::{Evidence, Found, Level};
use crate::plan::Waiting;

pub(super) fn clients(evidence: &Evidence) -> Vec<Found> {
    let found = |w: &Waiting| {
        let level = if w.holds_up { Level::Fail } else { Level::Note };
        Found::new(level, w.node.as_ref(), &w.what)
    };
    evidence.obstacles.clients.iter().map(found).collect()
}

/// What reading the inventory found odd, an even number of mons for one.
pub(super) fn inventory(evidence: &Evidence) -> Vec<Found> {
    let found = |p: &crate::inventory::problem::Problem| {
        Found::new(Level::Note, None, format!("line {} of the inventory: {}", p.line, p.message))
            .fix(p.fix.clone())
    };
    evidence.warnings.iter().map(found).collect()
}

/// What the loss of one thing would take along.
pub(super) fn single_points(evidence: &Evidence) -> Vec<Found> {
    let want = evidence.want;
    let note = |what: String| Found::new(Level::Note, None, what);
    let mut found = Vec::new();
    let mons = want.mons().count();
    if mons < 3 {
        let mons = if mons == 1 { "one mon".to_owned() } else { format!("{mons} mons") };
        found.push(
            note(format!("the cluster has {mons}"))
                .why("it stands still as soon as one of them is away")
                .fix("give three nodes the role `mon`"),
        );
    }
    let copies = want.cluster.pool.size;
    if copies < 3 {
        let (what, why) = if copies == 1 {
            ("one copy".to_owned(), "what is on a disk is lost with it")
        } else {
            (format!("{copies} copies"), "with one of them gone, writing stands still or is unsafe")
        };
        found.push(
            note(format!("the pool keeps {what} of everything"))
                .why(why)
                .fix("give three nodes OSDs, and leave `pool.size` at 3"),
        );
    }
    found
}
