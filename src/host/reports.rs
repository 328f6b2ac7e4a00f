//! Whether what the mons say of PGs is of now.
//!
//! An OSD reports its PGs to the mgr every 5 s (`mgr_stats_period`), the mgr digests them for the mons every 2 s
//! (`mgr_tick_period`), and `ceph status` shows the digest: for seconds after an OSD has come up it says `active+clean` of
//! PGs that peer. `flush_pg_stats` has an OSD report at once and tells the number of that report; `osd last-stat-seq` is
//! the number of the last one that is in the digest. Ceph's own tests wait in this way.

use std::time::{Duration, Instant};

use serde_json::json;

use super::HostError;
use super::ask::Flush;
use super::node::Node;
use crate::facts::ClusterFacts;
use crate::plan::MonCommand;

/// An OSD has a new map at once and its PGs a little later, when it is on disk. Nothing tells when; so reports are asked
/// for when there has been no newer map for this long.
const QUIET: Duration = Duration::from_secs(1);
/// Snapshots and clients that are shut out make newer maps as well, and may do so all the time. Where OSDs, pools and the
/// number of PGs have been the same for this long, a newer map is one of those.
const STEADY: Duration = Duration::from_secs(30);

/// Reports asked for, and since when the map is as it is.
#[derive(Debug, Default)]
pub(super) struct Reports {
    map: Option<(u64, Instant)>,
    /// What in the map decides where PGs are.
    shape: Option<(Shape, Instant)>,
    asked: Option<Vec<(u32, u64)>>,
}

/// The OSDs, whether each is up and in; the pools with their copies; how many PGs there are.
#[derive(Debug, Default, Clone, PartialEq)]
struct Shape {
    osds: Vec<(u32, bool, bool)>,
    pools: Vec<(String, u64)>,
    pgs: u64,
}

impl Shape {
    fn of(cluster: &ClusterFacts) -> Self {
        let osds = cluster.osds.iter().map(|(id, osd)| (*id, osd.up, osd.inside)).collect();
        let pools = cluster.pools.iter().map(|(name, pool)| (name.clone(), pool.size)).collect();
        Self { osds, pools, pgs: cluster.pgs }
    }
}

impl Reports {
    /// Notes the map that was seen: what was asked for under an older one is worth nothing, unless it is about the same.
    fn note(&mut self, epoch: u64, shape: Shape, now: Instant) {
        if self.shape.as_ref().is_none_or(|(seen, _)| *seen != shape) {
            self.shape = Some((shape, now));
        }
        if self.map.is_none_or(|(seen, _)| seen != epoch) {
            self.map = Some((epoch, now));
            if !self.steady(now) {
                self.asked = None;
            }
        }
    }

    fn steady(&self, now: Instant) -> bool {
        self.shape.as_ref().is_some_and(|(_, since)| now.duration_since(*since) >= STEADY)
    }

    fn due(&self, now: Instant) -> bool {
        let quiet = self.map.is_some_and(|(_, since)| now.duration_since(since) >= QUIET);
        self.asked.is_none() && (quiet || self.steady(now))
    }
}

impl Node {
    /// Whether the reports that were asked for have come to the mons. To be asked before the cluster is: then what it
    /// says includes them.
    pub(super) async fn reports_arrived(&self, reports: &Reports) -> Result<bool, HostError> {
        let Some(asked) = &reports.asked else { return Ok(false) };
        let question = |(osd, _): &(u32, u64)| MonCommand {
            json: json!({"prefix": "osd last-stat-seq", "id": osd}),
            about: format!("osd.{osd}"),
            input: None,
        };
        let questions: Vec<MonCommand> = asked.iter().map(question).collect();
        let answers = self.command(&questions).await?;
        // an OSD that has gone meanwhile has no number; the map has changed then
        Ok(answers
            .iter()
            .zip(asked)
            .all(|(answer, (_, number))| answer.number().is_some_and(|n| n >= *number)))
    }

    /// Takes note of what was seen, and asks every OSD that is up for a report where it is time to. `arrived`: what
    /// [`Node::reports_arrived`] said before `cluster` was asked for. Tells whether what `cluster` says of PGs is of now; the
    /// error is an OSD's that does not answer.
    pub(super) async fn reported(
        &self,
        reports: &mut Reports,
        cluster: &ClusterFacts,
        arrived: bool,
    ) -> Result<bool, HostError> {
        let now = Instant::now();
        reports.note(cluster.epoch, Shape::of(cluster), now);
        let fresh = arrived && reports.asked.take().is_some();
        if !fresh && reports.due(now) {
            let up = cluster.osds.iter().filter(|(_, osd)| osd.up).map(|(id, _)| *id).collect();
            reports.asked = Some(self.flush(&Flush { osds: up, epoch: cluster.epoch }).await?);
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_asked_for_when_the_map_has_been_the_same_for_a_while() {
        let begun = Instant::now();
        let mut reports = Reports::default();
        reports.note(7, Shape::default(), begun);
        assert!(!reports.due(begun));
        reports.note(7, Shape::default(), begun + QUIET / 2);
        assert!(reports.due(begun + QUIET));
        reports.asked = Some(vec![(0, 1)]);
        assert!(!reports.due(begun + QUIET), "they are on their way");
        reports.note(7, Shape::default(), begun + QUIET);
        assert!(reports.asked.is_some());
    }

    #[test]
    fn a_newer_map_makes_them_worthless() {
        let begun = Instant::now();
        let mut reports = Reports::default();
        reports.note(7, Shape::default(), begun);
        reports.asked = Some(vec![(0, 1)]);
        reports.note(8, Shape::default(), begun + QUIET);
        assert!(reports.asked.is_none());
        assert!(!reports.due(begun + QUIET));
        assert!(reports.due(begun + QUIET * 2));
    }

    #[test]
    fn newer_maps_that_move_nothing_are_heard_of_for_a_while_only() {
        let begun = Instant::now();
        let mut reports = Reports::default();
        let mut epochs = 0..;
        let mut at = |reports: &mut Reports, seconds: u64, up: bool| {
            let shape = Shape { osds: vec![(0, up, true)], ..Shape::default() };
            let now = begun + Duration::from_secs(seconds);
            reports.note(epochs.next().expect("more"), shape, now);
            reports.due(now)
        };
        assert!(!at(&mut reports, 0, true) && !at(&mut reports, 10, true));
        assert!(at(&mut reports, 30, true));
        reports.asked = Some(vec![(0, 1)]);
        assert!(!at(&mut reports, 31, true));
        assert!(reports.asked.is_some());
        assert!(!at(&mut reports, 32, false), "this one moves something");
        assert!(reports.asked.is_none());
    }
}
