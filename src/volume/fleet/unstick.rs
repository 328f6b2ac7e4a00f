//! `unstick`: what keeps a name from being used, and the cure. A volume that was removed on one node while others held
//! it leaves behind what makes its name unusable there for good.
//!
//! What is never done: a device that somebody uses is never unmapped, a client that Ceph has not given up is never shut
//! out, no container is touched, and Docker is never told to remove a volume: it is asked for it, and forgets a name by
//! itself when its driver says that there is no such volume (moby's `daemon/volume/service/store.go`, `getVolume`).

use std::fmt;

use super::change::{Target, with_docker};
use super::{Device, Facts, Image, LockHeld};
use crate::facts::Seen;
use crate::inventory::NodeName;

/// One cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cure {
    /// Unmounts and unmaps a device that nobody uses.
    LetGo {
        /// Where.
        node: NodeName,
        /// N of `/dev/rbdN`.
        number: u32,
        /// What is mapped: another image is left alone.
        image_id: String,
        /// Where the driver has it mounted.
        mounts: Vec<String>,
    },
    /// Ends the lock of a client that Ceph has given up, and shuts that client out.
    BreakLock {
        /// The image.
        target: Target,
        /// Whose.
        lock: LockHeld,
    },
    /// Removes an image that was never finished.
    Remove(Target),
    /// Asks a node's Docker for the name, so that it forgets what it knew of it.
    Forget {
        /// Where.
        node: NodeName,
        /// The name.
        name: String,
    },
}

impl Cure {
    /// Where it is done; `None`: in Ceph.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::LetGo { node, .. } | Self::Forget { node, .. } => Some(node),
            Self::BreakLock { .. } | Self::Remove(_) => None,
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LetGo { number, mounts, .. } if mounts.is_empty() => {
                write!(f, "unmap /dev/rbd{number}")
            }
            Self::LetGo { number, .. } => write!(f, "unmount and unmap /dev/rbd{number}"),
            Self::BreakLock { lock, .. } => {
                write!(f, "break the lock of {}, and shut {} out", lock.client, lock.address)
            }
            Self::Remove(target) => write!(f, "remove the image {}/{}", target.pool, target.name),
            Self::Forget { name, .. } => write!(f, "have Docker forget {name}"),
        }
    }
}

/// Something that was found, with its cure or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where; `None`: in Ceph.
    pub node: Option<NodeName>,
    /// What, in one phrase.
    pub what: String,
    /// What is done about it.
    pub cure: Result<Cure, String>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What was found, node by node.
    pub findings: Vec<Finding>,
    /// Worth knowing.
    pub notes: Vec<String>,
}

impl Plan {
    /// The cures, in the order in which they are to be done.
    pub fn cures(&self) -> Vec<&Cure> {
        let order = |cure: &&Cure| match cure {
            Cure::LetGo { .. } => 0,
            Cure::BreakLock { .. } => 1,
            Cure::Remove(_) => 2,
            Cure::Forget { .. } => 3,
        };
        let mut cures: Vec<&Cure> =
            self.findings.iter().filter_map(|f| f.cure.as_ref().ok()).collect();
        cures.sort_by_key(order);
        cures
    }

    /// Without what was cured and does not show it: a container goes on to refer to a volume that Docker has forgotten.
    #[must_use]
    pub fn without(mut self, cured: &[Cure]) -> Self {
        self.findings.retain(|f| !f.cure.as_ref().is_ok_and(|cure| cured.contains(cure)));
        self
    }

    /// What cannot be cured now.
    pub fn left(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.cure.is_err())
    }
}

/// Finds all that keeps `name` from being used.
///
/// # Errors
/// Ceph cannot be asked, or not about this image: then nobody knows what is stale.
pub fn plan(facts: &Facts, name: &str) -> Result<Plan, String> {
    let cluster = match &facts.cluster {
        Seen::Value(cluster) => cluster,
        Seen::Unknown(why) => return Err(why.clone()),
        Seen::Absent => return Err("there is no cluster yet".into()),
    };
    let image = cluster.images.iter().find(|i| i.name == name);
    if let Some(error) = image.and_then(|i| i.error.as_ref()) {
        return Err(format!("the image {name} cannot be opened: {error}"));
    }
    let mut plan = Plan::default();
    for (node, device) in facts.devices() {
        // the name that the kernel shows is the one at the time of mapping
        let same_pool = image.is_none_or(|i| i.pool == device.pool);
        if same_pool && (device.name == name || image.is_some_and(|i| i.id == device.image_id)) {
            plan.findings.extend(of_device(facts, name, image, node, device));
        }
    }
    if image.is_none() {
        references(facts, name, &mut plan);
    }
    let unfinished = cluster.images.iter().filter(|i| i.unfinished().is_some_and(|u| u.0 == name));
    for image in image.into_iter().chain(unfinished.clone()) {
        locks(facts, image, &mut plan);
    }
    plan.findings.extend(unfinished.filter_map(|image| half_made(facts, image)));
    for gone in cluster.trash.iter().filter(|t| t.name == name) {
        plan.notes.push(format!(
            "an image {}/{name} is in the trash ({}): `rbd trash ls`; it is left there",
            gone.pool, gone.id
        ));
    }
    for (node, why) in facts.unknown() {
        plan.notes.push(format!(
            "{node} cannot be looked at, so what it holds is not known and stays: {why}; run this again when it is back"
        ));
    }
    Ok(plan)
}

fn running<'a>(facts: &'a Facts, name: &'a str, on: &NodeName) -> Option<&'a str> {
    let mut all = facts.referring(name).filter(|(node, c)| *node == on && c.running);
    all.next().map(|(_, c)| c.name.as_str())
}

/// A mapped device: stale, or left over, or rightly there.
fn of_device(
    facts: &Facts,
    name: &str,
    image: Option<&Image>,
    node: &NodeName,
    device: &Device,
) -> Option<Finding> {
    let stale = image.is_none_or(|image| image.id != device.image_id);
    let driver = facts.nodes[node].value().and_then(|n| n.state.value());
    let held = driver.is_some_and(|s| s.holds.contains_key(&device.image_id));
    let (path, id) = (device.path(), &device.image_id);
    let what = match image {
        _ if !stale => format!("{path} is mapped, and nobody uses it"),
        Some(_) => format!("{path} is a mapping of an earlier image of that name (id {id})"),
        None => format!("{path} is a mapping of the image that was removed (id {id})"),
    };
    let docker = facts.nodes[node].value().map(|n| &n.containers);
    let blocked = if let Some(by) = device.used_by() {
        Some(match running(facts, name, node) {
            Some(container) => format!("the container {container} runs with it: stop it first"),
            None => format!("somebody uses it ({by}): end that first"),
        })
    } else if let Some(Seen::Unknown(why)) = docker {
        Some(format!("whether a container uses it cannot be told: {why}"))
    } else {
        let about = "may be about to use it: stop it first";
        running(facts, name, node).map(|c| format!("the container {c} runs, and {about}"))
    };
    if !stale && (blocked.is_some() || held) {
        return None; // in use, or the driver's own business
    }
    let cure = match blocked {
        Some(why) => Err(why),
        None => Ok(Cure::LetGo {
            node: node.clone(),
            number: device.number,
            image_id: device.image_id.clone(),
            mounts: device.own_mounts().cloned().collect(),
        }),
    };
    Some(Finding { node: Some(node.clone()), what, cure })
}

/// Containers that refer to a volume that is gone.
fn references(facts: &Facts, name: &str, plan: &mut Plan) {
    let able = with_docker(facts);
    let mut forgotten = Vec::new();
    for (node, container) in facts.referring(name) {
        let driver = container.volumes.iter().find(|v| v.name == name).map_or("", |v| &v.driver);
        let state = if container.running { "running" } else { "stopped" };
        let what = format!(
            "the {state} container {} refers to {name}, which Docker keeps for driver {driver}",
            container.name
        );
        let cure = if container.running {
            Err(format!("it runs: stop it first (`docker stop {}`)", container.name))
        } else if driver == "cephdock" && !able.contains(node) {
            Err("the driver does not run there, and Docker forgets nothing without its word: `cephdock up`".into())
        } else {
            forgotten.push(container.name.as_str());
            Ok(Cure::Forget { node: node.clone(), name: name.to_owned() })
        };
        plan.findings.push(Finding { node: Some(node.clone()), what, cure });
    }
    if !forgotten.is_empty() {
        plan.notes.push(format!(
            "no container is touched: when {} is started again it gets the volume that is called {name} then",
            forgotten.join(", ")
        ));
    }
}

/// Locks whose holders Ceph has given up.
fn locks(facts: &Facts, image: &Image, plan: &mut Plan) {
    for lock in image.dead_locks() {
        let holder = facts.holder(image, &lock.address);
        let what = format!(
            "{} is locked by {}, which does not watch it any more",
            image.name, lock.client
        );
        // a kernel that still has this very client is alive, and may only have lost its watch for a moment
        let alive = facts.devices().find(|(_, d)| d.client == lock.address);
        let cure = match alive {
            Some((node, _)) => Err(format!(
                "node {node} is alive and still has this client ({}): it is not shut out",
                lock.address
            )),
            None => Ok(Cure::BreakLock { target: Target::of(image), lock: lock.clone() }),
        };
        plan.findings.push(Finding { node: holder.node, what, cure });
    }
    if let Some(holder) = facts
        .holders(image)
        .into_iter()
        .find(|h| h.node.as_ref().is_some_and(|n| facts.nodes[n].value().is_none()))
    {
        plan.notes.push(format!(
            "{} is held by {holder}, which cannot be reached and is alive for Ceph: it is not shut out. If it is dead, its hold ends within a minute",
            image.name
        ));
    }
}

/// An image that a node began to make. Where the maker is at it at this moment, it makes it again.
fn half_made(facts: &Facts, image: &Image) -> Option<Finding> {
    let (name, node) = image.unfinished()?;
    let what =
        format!("{} is what node {node} left when it did not finish making {name}", image.name);
    let cure = if !image.watchers.is_empty() {
        Err("somebody has it open: it may be being made".into())
    } else if image.made().is_none() && !image.meta.is_empty() {
        Err("it is not cephdock's".into())
    } else if facts.mapped(image).next().is_some() {
        Err("it is mapped".into())
    } else {
        Ok(Cure::Remove(Target::of(image)))
    };
    let node = facts.nodes.keys().find(|n| n.as_str() == node).cloned();
    Some(Finding { node, what, cure })
}
