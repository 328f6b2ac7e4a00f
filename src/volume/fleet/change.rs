//! `rm`, `grow` and `snap`: whether it may be done, and what is to be done. Refusals name who is in the way.

use super::{Facts, Image};
use crate::facts::Seen;
use crate::inventory::{NodeName, nearest};
use crate::volume::options::{Fs, Lock};

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One sentence each.
    pub what: Vec<String>,
    /// What to do about it.
    pub hint: String,
    /// How the command ends.
    pub kind: Kind,
}

/// How grave a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is nothing of that name, or it cannot be.
    Failed,
    /// What was asked for makes no sense.
    Usage,
    /// Data, or somebody's work with it, would be lost.
    Refused,
}

impl Refusal {
    fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: vec![what.into()], hint: hint.into(), kind }
    }
}

/// What is to be done to an image. It is told by its id, so that a name which was made anew meanwhile is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

impl Target {
    /// `image`.
    pub fn of(image: &Image) -> Self {
        Self { pool: image.pool.clone(), name: image.name.clone(), id: image.id.clone() }
    }
}

/// A removal: the image goes, and then every Docker is asked for it, by which it forgets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What goes.
    pub target: Target,
    /// Nodes whose Docker is asked.
    pub forget: Vec<NodeName>,
    /// Worth knowing before it is done.
    pub notes: Vec<String>,
}

/// Growing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// What grows.
    pub target: Target,
    /// To how many bytes; `None`: it is that large already, and only its filesystem may have to follow.
    pub size: Option<u64>,
    /// Where it is mounted, and its filesystem grows too; `None`: it does so when it is mounted next.
    pub online: Option<Online>,
}

/// A mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Online {
    /// Where.
    pub node: NodeName,
    /// `/dev/rbd0`.
    pub device: String,
    /// Where on the node.
    pub at: String,
    /// Which.
    pub fs: Fs,
}

/// The image of a volume that the driver made.
fn ours<'a>(facts: &'a Facts, name: &str) -> Result<&'a Image, Refusal> {
    let image = image(facts, name)?;
    if image.made().is_some() {
        return Ok(image);
    }
    let when = image.created.as_deref().map(crate::volume::time::spoken);
    let when = when.map_or_else(String::new, |when| format!(" (made {when})"));
    let what =
        format!("{}/{name} is an image that cephdock's driver did not make{when}", image.pool);
    let hint = "nothing of others is changed or removed; the rbd tool does, on a node: `rbd info` shows what it is";
    Err(Refusal::new(Kind::Refused, what, hint))
}

/// The image of that name.
fn image<'a>(facts: &'a Facts, name: &str) -> Result<&'a Image, Refusal> {
    let cluster = match &facts.cluster {
        Seen::Value(cluster) => cluster,
        Seen::Unknown(why) => {
            let what = format!("Ceph cannot be asked, so nothing is known of {name}: {why}");
            return Err(Refusal::new(Kind::Failed, what, "`cephdock status` says what is wrong"));
        }
        Seen::Absent => {
            let hint = "`cephdock up` makes it";
            return Err(Refusal::new(Kind::Failed, "there is no cluster yet", hint));
        }
    };
    if let Some(image) = cluster.images.iter().find(|i| i.name == name) {
        return match &image.error {
            None => Ok(image),
            Some(error) => Err(Refusal::new(
                Kind::Failed,
                format!("the image {}/{name} cannot be opened: {error}", image.pool),
                "see how Ceph is with `cephdock status`",
            )),
        };
    }
    let held = facts.devices().any(|(_, d)| d.name == name) || facts.referring(name).count() > 0;
    let names: Vec<&str> = cluster.names.iter().map(String::as_str).collect();
    let hint = match nearest(name, &names) {
        _ if held => format!(
            "nodes still hold something of that name: `cephdock volume unstick {name}` shows what, and cures it"
        ),
        Some(near) => format!("did you mean `{near}`?"),
        None => "`cephdock volume ls` lists all".into(),
    };
    Err(Refusal::new(Kind::Failed, format!("there is no volume {name}"), hint))
}

/// Everybody who has the image open or mapped, a sentence each.
fn users(facts: &Facts, image: &Image) -> Vec<String> {
    let name = &image.name;
    let mut found = Vec::new();
    for (node, device) in facts.mapped(image) {
        let at = device.mounts.first().map_or_else(String::new, |at| format!(", mounted at {at}"));
        let path = device.path();
        found.push(format!("volume {name} is mapped on node {node} as {path}{at}"));
    }
    let seen: Vec<&str> = facts.mapped(image).map(|(_, d)| d.client.as_str()).collect();
    for holder in facts.holders(image) {
        if !seen.contains(&holder.address.as_str()) {
            let reach = holder.node.as_ref().is_some_and(|n| facts.nodes[n].value().is_none());
            let reach = if reach { ", which cannot be reached" } else { "" };
            found.push(format!("volume {name} is in use by {holder}{reach}"));
        }
    }
    found
}

fn containers(facts: &Facts, name: &str, running: bool) -> Vec<String> {
    let of = facts.referring(name).filter(|(_, c)| c.running || !running);
    of.map(|(node, c)| {
        let state = if c.running { "runs with" } else { "is stopped and refers to" };
        format!("the container {} on node {node} {state} volume {name}", c.name)
    })
    .collect()
}

/// Nobody may use it now: an answer that has to be certain.
fn unused(facts: &Facts, image: &Image, hint: &str) -> Result<(), Refusal> {
    let mut what = containers(facts, &image.name, true);
    what.extend(users(facts, image));
    if !what.is_empty() {
        return Err(Refusal { what, hint: hint.into(), kind: Kind::Refused });
    }
    blind(facts, image)
}

fn blind(facts: &Facts, image: &Image) -> Result<(), Refusal> {
    match facts.blind(image) {
        None => Ok(()),
        Some((node, why)) => Err(Refusal::new(
            Kind::Refused,
            format!(
                "whether volume {} is in use on node {node} cannot be told: it is one that is only read, which leaves no trace in Ceph, and the node cannot be looked at: {why}",
                image.name
            ),
            "bring the node back, or take it out of the cluster with `cephdock reset --node` and out of the inventory",
        )),
    }
}

/// Whether a volume may be removed.
///
/// # Errors
/// It is mapped, referred to, has snapshots, is not the driver's, or it cannot be told ([`Kind::Refused`]); there is none, or
/// Ceph does not answer ([`Kind::Failed`]).
pub fn remove(facts: &Facts, name: &str) -> Result<Removal, Refusal> {
    let image = ours(facts, name)?;
    if let Some((of, node)) = image.unfinished() {
        let what = format!("{name} is a volume {of} that node {node} is making, or began to make");
        let hint = format!("`cephdock volume unstick {of}` removes what is left of it");
        return Err(Refusal::new(Kind::Refused, what, hint));
    }
    let mut what = users(facts, image);
    what.extend(containers(facts, name, false));
    if !what.is_empty() {
        let hint = "stop and remove the containers that use it first; what nobody uses any more and is still there, `cephdock volume unstick` shows";
        return Err(Refusal { what, hint: hint.into(), kind: Kind::Refused });
    }
    if !image.snapshots.is_empty() {
        let names: Vec<&str> = image.snapshots.iter().map(|s| s.name.as_str()).collect();
        return Err(Refusal::new(
            Kind::Refused,
            format!("volume {name} has snapshots, which would go with it: {}", names.join(", ")),
            format!("remove them first: `cephdock volume snap rm {name} {}`", names[0]),
        ));
    }
    blind(facts, image)?;
    let note = |(node, _): (NodeName, String)| {
        format!(
            "{node} cannot be looked at. Nobody there has the volume open, says Ceph; a stopped container may refer to it: `cephdock volume unstick {name}` when it is back"
        )
    };
    Ok(Removal {
        target: Target::of(image),
        forget: with_docker(facts),
        notes: facts.unknown().into_iter().map(note).collect(),
    })
}

/// Nodes whose Docker answers and knows the driver.
pub(super) fn with_docker(facts: &Facts) -> Vec<NodeName> {
    let docker = |n: &super::NodeVolumes| n.containers.value().is_some() && n.driver;
    facts.seen().filter(|(_, n)| docker(n)).map(|(name, _)| name.clone()).collect()
}

/// Whether a volume may grow to `size` bytes, and how.
///
/// # Errors
/// As [`remove`], and it is larger already or read-only ([`Kind::Usage`]), or mapped in a way that lets nobody change it.
pub fn grow(facts: &Facts, name: &str, size: u64) -> Result<Growth, Refusal> {
    let image = ours(facts, name)?;
    let made = image.made().unwrap_or_else(|| unreachable!("it is ours"));
    let size = size.next_multiple_of(1 << 20);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    if size < image.size {
        return Err(Refusal::new(
            Kind::Usage,
            format!("volume {name} has {} already, and volumes only grow", mib(image.size)),
            "for a smaller one, make another and copy what is in it",
        ));
    }
    if made.read_only {
        return Err(Refusal::new(
            Kind::Usage,
            format!("volume {name} is one that nobody writes to"),
            "grow the volume that it was made from",
        ));
    }
    let online = match online(facts, image)? {
        Some(online) if image.formatted() => Some(online),
        _ => None,
    };
    Ok(Growth { target: Target::of(image), size: (size > image.size).then_some(size), online })
}

/// Where it is mounted, if it is and may be changed meanwhile; otherwise who is in the way.
fn online(facts: &Facts, image: &Image) -> Result<Option<Online>, Refusal> {
    let name = &image.name;
    let who = users(facts, image);
    if who.is_empty() {
        return Ok(None);
    }
    let made = image.made();
    if made.as_ref().is_none_or(|m| m.lock == Lock::Exclusive) {
        let mut what = who;
        what.extend(containers(facts, name, true));
        return Err(Refusal {
            what,
            hint: "Ceph lets nobody change an image that is mapped exclusively: stop the containers that use it, and do this again. For a volume that was made with `-o lock=shared` they may go on".into(),
            kind: Kind::Refused,
        });
    }
    let mut writers = facts.mapped(image).filter(|(_, d)| !d.read_only);
    let mounted = writers.next().and_then(|(node, device)| {
        Some(Online {
            node: node.clone(),
            device: device.path(),
            at: device.mountpoint()?.clone(),
            fs: made.as_ref()?.fs,
        })
    });
    let clients = image.watchers.len();
    match mounted {
        Some(online) if clients <= 1 && writers.next().is_none() => Ok(Some(online)),
        _ => Err(Refusal {
            what: who,
            hint:
                "this can be done while it is mounted on one node that can be reached, or on none"
                    .into(),
            kind: Kind::Refused,
        }),
    }
}

/// A snapshot that is to be made; `Some`: of a filesystem that is mounted, and is held still meanwhile.
///
/// # Errors
/// There is one of that name, there is nothing in the volume yet, or it is mapped in a way that lets nobody change it.
pub fn snap_create(
    facts: &Facts,
    name: &str,
    snapshot: &str,
) -> Result<(Target, Option<Online>), Refusal> {
    let image = ours(facts, name)?;
    if image.snapshots.iter().any(|s| s.name == snapshot) {
        return Err(Refusal::new(
            Kind::Failed,
            format!("volume {name} has a snapshot {snapshot} already"),
            "choose another name, or remove it first",
        ));
    }
    if !image.formatted() {
        return Err(Refusal::new(
            Kind::Failed,
            format!("volume {name} has never been used: it has no filesystem yet"),
            "run a container with it first",
        ));
    }
    Ok((Target::of(image), online(facts, image)?))
}

/// The snapshots of a volume.
///
/// # Errors
/// There is no such volume, or Ceph does not answer.
pub fn snap_list(facts: &Facts, name: &str) -> Result<Vec<super::Snapshot>, Refusal> {
    image(facts, name).map(|image| image.snapshots.clone())
}

/// Whether a snapshot may be removed.
///
/// # Errors
/// There is none, volumes were made from it, or the volume is mapped in a way that lets nobody change it.
pub fn snap_remove(facts: &Facts, name: &str, snapshot: &str) -> Result<Target, Refusal> {
    let image = ours(facts, name)?;
    let found = find(image, snapshot)?;
    if !found.clones.is_empty() {
        return Err(Refusal::new(
            Kind::Refused,
            format!("volumes were made from {name}@{snapshot}: {}", found.clones.join(", ")),
            "remove these first, or let each have a copy of its own: `rbd flatten`",
        ));
    }
    online(facts, image)?;
    Ok(Target::of(image))
}

/// Whether a volume may be brought back to what it was: only when nobody has it.
///
/// # Errors
/// There is no such snapshot, or somebody has the volume.
pub fn rollback(facts: &Facts, name: &str, snapshot: &str) -> Result<Target, Refusal> {
    let image = ours(facts, name)?;
    find(image, snapshot)?;
    unused(
        facts,
        image,
        "what is written to it would be lost, and its filesystem broken: stop the containers that use it first",
    )?;
    Ok(Target::of(image))
}

fn find<'a>(image: &'a Image, snapshot: &str) -> Result<&'a super::Snapshot, Refusal> {
    let names: Vec<&str> = image.snapshots.iter().map(|s| s.name.as_str()).collect();
    let hint = match nearest(snapshot, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "it has none".into(),
        None => format!("it has {}", names.join(", ")),
    };
    let found = image.snapshots.iter().find(|s| s.name == snapshot);
    found.ok_or_else(|| {
        Refusal::new(
            Kind::Failed,
            format!("volume {} has no snapshot {snapshot}", image.name),
            hint,
        )
    })
}
