//! What a run waits for, as values: the planner asks whether it is so already, a host waits until it is.

use std::fmt;
use std::time::Duration;

use crate::facts::ClusterFacts;

/// Something that comes true by itself, once the daemons run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The mons answer at all.
    Quorum,
    /// These OSDs, by number, are up.
    OsdsUp(Vec<u32>),
    /// The pool of this name is there, and initialised for RBD.
    PoolReady(String),
    /// The cluster is as it should be.
    Settled(Settled),
    /// These OSDs, by number, which are being taken out, hold nothing any more that is needed.
    Drained(Vec<u32>),
}

/// The parts of a cluster at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Ids of the mons that are in the quorum.
    pub mons: Vec<String>,
    /// How many mgrs there are, one of them active.
    pub mgrs: usize,
    /// Numbers of the OSDs that are up.
    pub osds: Vec<u32>,
    /// Every PG is active+clean and the health is OK. Not asked for while a node is missing: it could not be.
    pub healthy: bool,
}

/// How far a condition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Things that are as they should be.
    pub done: u64,
    /// Of this many.
    pub total: u64,
    /// The first thing that is not, in words; empty when all are.
    pub message: String,
    /// All that is missing is `HEALTH_OK`: nothing comes up or moves any more.
    pub only_health: bool,
}

impl Progress {
    /// Whether it is so.
    pub fn met(&self) -> bool {
        self.message.is_empty()
    }
}

impl Condition {
    /// How far `cluster` is. `None`: no mon answers.
    pub fn progress(&self, cluster: Option<&ClusterFacts>) -> Progress {
        let Some(cluster) = cluster else {
            return Progress {
                done: 0,
                total: 1,
                message: "no mon answers yet".into(),
                only_health: false,
            };
        };
        match self {
            Self::Quorum => Parts::default().progress(),
            Self::OsdsUp(osds) => {
                let mut parts = Parts::default();
                parts.osds(cluster, osds);
                parts.progress()
            }
            Self::PoolReady(name) => {
                let pool = cluster.pools.get(name);
                let ready = pool.is_some_and(|p| p.initialised);
                let mut parts = Parts::default();
                parts.add(ready, || format!("the pool {name} is not ready yet"));
                parts.progress()
            }
            Self::Settled(settled) => settled.parts(cluster).progress(),
            Self::Drained(osds) => drained(cluster, osds),
        }
    }

    /// After this long it is given up.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Quorum => 180,
            Self::OsdsUp(_) | Self::PoolReady(_) => 240,
            Self::Settled(_) => 420,
            Self::Drained(_) => 600,
        })
    }

    /// Whether it rests on what OSDs report of their PGs, which is some seconds old, and the daemons are up: then it is
    /// asked for afresh.
    pub fn rests_on_reports(&self, cluster: &ClusterFacts) -> bool {
        let Self::Settled(settled) = self else { return false };
        let daemons = Settled { healthy: false, ..settled.clone() };
        settled.healthy && daemons.parts(cluster).progress().met()
    }

    /// Whether the deadline begins anew whenever something moves: how long data takes depends on how much there is.
    pub fn takes_as_long_as_it_moves(&self) -> bool {
        matches!(self, Self::Drained(_))
    }
}

/// In PGs: those that are not where they shall be yet are the way there. An OSD that has left the map is done. While PGs
/// still peer, Ceph says of an OSD that it can be destroyed when all it means is that others have the data too: so all
/// of them have to be clean.
fn drained(cluster: &ClusterFacts, osds: &[u32]) -> Progress {
    let holds = |id: &&u32| cluster.osds.get(id).is_some_and(|osd| !osd.drained);
    let still: Vec<String> = osds.iter().filter(holds).map(|id| format!("osd.{id}")).collect();
    let (clean, all, objects) = (cluster.pgs_clean, cluster.pgs, cluster.misplaced);
    let figures =
        format!("{clean} of {all} PGs are active+clean, {objects} copies of objects to move");
    let message = match still.as_slice() {
        [] if clean == all => String::new(),
        [] => figures,
        still => format!("{} still needed; {figures}", still.join(", ")),
    };
    Progress { done: clean, total: all.max(1), message, only_health: false }
}

impl Settled {
    fn parts(&self, cluster: &ClusterFacts) -> Parts {
        let mut parts = Parts::default();
        for mon in &self.mons {
            let there = cluster.mons.get(mon).copied().unwrap_or(false);
            parts.add(there, || format!("mon.{mon} is not in the quorum"));
        }
        let mgrs = cluster.standby_mgrs + usize::from(cluster.active_mgr.is_some());
        parts.add(cluster.active_mgr.is_some(), || "no mgr is active".into());
        parts.add(mgrs >= self.mgrs, || format!("{mgrs} of {} mgrs are there", self.mgrs));
        parts.osds(cluster, &self.osds);
        if self.healthy {
            parts.done += cluster.pgs_clean;
            parts.total += cluster.pgs.max(1);
            if cluster.pgs == 0 || cluster.pgs_clean < cluster.pgs {
                parts.missing(format!(
                    "{} of {} PGs are active+clean",
                    cluster.pgs_clean, cluster.pgs
                ));
            }
            parts.only_health = parts.message.is_empty();
            let checks: Vec<&str> = cluster.checks.iter().map(|c| c.summary.as_str()).collect();
            parts.add(cluster.health == "HEALTH_OK", || {
                format!("{}: {}", cluster.health, checks.join("; "))
            });
        }
        parts
    }
}

#[derive(Default)]
struct Parts {
    done: u64,
    total: u64,
    message: String,
    only_health: bool,
}

impl Parts {
    fn add(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        self.total += 1;
        if is_so {
            self.done += 1;
        } else {
            self.missing(otherwise());
        }
    }

    fn missing(&mut self, what: String) {
        if self.message.is_empty() {
            self.message = what;
        }
    }

    fn osds(&mut self, cluster: &ClusterFacts, osds: &[u32]) {
        let down: Vec<String> = osds
            .iter()
            .filter(|id| !cluster.osds.get(id).is_some_and(|o| o.up))
            .map(|id| format!("osd.{id}"))
            .collect();
        self.total += osds.len() as u64;
        self.done += (osds.len() - down.len()) as u64;
        if !down.is_empty() {
            self.missing(format!("{} not up", down.join(", ")));
        }
    }

    fn progress(self) -> Progress {
        let only_health = self.only_health && !self.message.is_empty();
        Progress { done: self.done, total: self.total, message: self.message, only_health }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quorum => f.write_str("the mons to form a quorum"),
            Self::OsdsUp(osds) => write!(f, "{} OSDs to come up", osds.len()),
            Self::PoolReady(name) => write!(f, "the pool {name}"),
            Self::Settled(s) if s.healthy => {
                f.write_str("every PG to be active+clean and HEALTH_OK")
            }
            Self::Settled(_) => f.write_str("the daemons to come up"),
            Self::Drained(osds) => {
                let names: Vec<String> = osds.iter().map(|id| format!("osd.{id}")).collect();
                write!(f, "the data of {} to be on other nodes", names.join(", "))
            }
        }
    }
}
