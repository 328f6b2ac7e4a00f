//! The image: which nodes pull it or get it from the archive, and which have another one of the same name.

use std::collections::BTreeMap;

use super::fleet::{Fleet, Usable};
use super::reset::Target;
use super::{Action, Finding, ImageFile, Lane, Refusal, Step, Waiting, Why};
use crate::identity::Identity;
use crate::image::{ImageFact, runs, short};
use crate::inventory::NodeName;

/// The image, where it is missing or not the archive's and a daemon needs it; and what it can do, where the identity
/// depends on that.
pub(super) fn fetch(fleet: &Fleet, id: &Identity) -> Vec<Lane> {
    let lane = |u: &Usable| Some(Lane::new(&u.node.name, vec![step(fleet, u)?]));
    let mut lanes: Vec<Lane> = needing(fleet).filter_map(lane).collect();
    // One look is enough: all nodes run the same image.
    if id.daemon_keys.is_none()
        && let Some(asker) = fleet.asker()
    {
        let name = &asker.node.name;
        let image = fleet.want.cluster.image.clone();
        let look = Step::new(Action::LookIntoImage(image), Why::NewCluster);
        match lanes.iter_mut().find(|l| &l.node == name) {
            Some(lane) => lane.steps.push(look),
            None => lanes.push(Lane::new(name, vec![look])),
        }
    }
    lanes
}

/// Nodes that are worked on and on which a daemon runs.
fn needing<'f, 'a>(fleet: &'f Fleet<'a>) -> impl Iterator<Item = &'f Usable<'a>> {
    fleet.scope().filter(|u| runs_daemons(u))
}

fn runs_daemons(u: &Usable) -> bool {
    let roles = u.node.roles;
    roles.mon || roles.mgr || roles.osd
}

/// What brings the image to a node. With an archive nothing is ever pulled: the nodes may reach no registry.
fn step(fleet: &Fleet, u: &Usable) -> Option<Step> {
    let cluster = &fleet.want.cluster;
    let image = cluster.image.clone();
    let has = u.docker.image.as_ref();
    let Some(archive) = &cluster.image_archive else {
        let login = cluster.login(&image).cloned();
        return has.is_none().then(|| Step::new(Action::PullImage { image, login }, Why::Missing));
    };
    let archived = archive.archived.as_ref();
    let why = match (has, archived) {
        (None, _) => Why::Missing,
        (Some(has), Some(archived)) if !has.same(&archived.image) => Why::OtherImage {
            has: has.short().to_owned(),
            archived: archived.image.short().to_owned(),
        },
        (Some(_), _) => return None,
    };
    let bytes = archived.map_or(0, |a| a.bytes);
    let file = ImageFile { path: archive.path.clone(), bytes, reference: image };
    Some(Step::new(Action::LoadImage(file), why))
}

/// Removes what runs that were killed have left over of looking into the image.
pub(super) fn undo(_: &Target, u: &Usable) -> Vec<Step> {
    let looks = &u.docker.looks;
    let remove = || Step::new(Action::RemoveLooks(looks.clone()), Why::CutOff);
    if looks.is_empty() { Vec::new() } else { vec![remove()] }
}

/// Nodes that the archive's image would be sent to and that cannot run it.
pub(super) fn refuse(fleet: &Fleet) -> Result<(), Refusal> {
    let Some(archive) = &fleet.want.cluster.image_archive else { return Ok(()) };
    let Some(archived) = &archive.archived else { return Ok(()) };
    let finding = |u: &Usable| {
        let (node, image) = (&u.docker.arch, &fleet.want.cluster.image);
        let known = !node.is_empty() && !archived.architectures.is_empty();
        let right = archived.architectures.iter().any(|a| runs(node, a));
        if !known || right || step(fleet, u).is_none() {
            return None;
        }
        let holds: Vec<&str> = archived.architectures.iter().map(String::as_str).collect();
        let (holds, path) = (holds.join(" and "), archive.path.display());
        Some(Finding {
            node: u.node.name.clone(),
            what: format!("its Docker is {node}, and {image} in {path} is for {holds}"),
            hint: format!(
                "name a file with the image for {node}: `docker pull --platform linux/{node} {image}` and \
                 `docker save -o {path} {image}` make one on any machine with Docker"
            ),
        })
    };
    let findings: Vec<Finding> = needing(fleet).filter_map(finding).collect();
    if findings.is_empty() { Ok(()) } else { Err(Refusal { to_protect_data: false, findings }) }
}

/// Nodes that have another image of the same name than the others, and daemons that run one that their node no longer
/// calls by it. Neither is changed by itself: which of them is the right one only the user knows, and a running daemon
/// is not interrupted for it.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    let archive = fleet.want.cluster.image_archive.is_some();
    let mut waiting: Vec<Waiting> =
        if archive { Vec::new() } else { differing(fleet).into_iter().collect() };
    // where the archive's image is about to come, it is too early to tell
    let stays = needing(fleet).filter(|u| step(fleet, u).is_none());
    waiting.extend(stays.filter_map(|u| outdated(&fleet.want.cluster.image, u)));
    waiting
}

fn differing(fleet: &Fleet) -> Option<Waiting> {
    let mut kinds: Vec<(&ImageFact, Vec<&NodeName>)> = Vec::new();
    for u in fleet.usable.iter().filter(|u| runs_daemons(u)) {
        let Some(image) = &u.docker.image else { continue };
        match kinds.iter_mut().find(|(kind, _)| kind.same(image)) {
            Some((_, nodes)) => nodes.push(&u.node.name),
            None => kinds.push((image, vec![&u.node.name])),
        }
    }
    if kinds.len() < 2 {
        return None;
    }
    let kind = |(image, nodes): &(&ImageFact, Vec<&NodeName>)| {
        let nodes: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
        format!("{} on {}", image.short(), nodes.join(", "))
    };
    let each: Vec<String> = kinds.iter().map(kind).collect();
    let image = &fleet.want.cluster.image;
    Some(Waiting {
        node: None,
        what: format!(
            "the nodes do not have the same {image}: {}; `docker pull {image}` on those that are behind, or name it by \
             a tag that does not move",
            each.join("; ")
        ),
        holds_up: false,
    })
}

fn outdated(image: &str, u: &Usable) -> Option<Waiting> {
    let now = u.docker.image.as_ref()?;
    let mut by_id: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in u.docker.containers.iter().filter(|c| c.image == image) {
        if let (Some(ours), Some(id)) = (&container.ours, &container.image_id)
            && *id != now.id
        {
            by_id.entry(id).or_default().push(ours.daemon.to_string());
        }
    }
    if by_id.is_empty() {
        return None;
    }
    let each: Vec<String> =
        by_id.iter().map(|(id, names)| format!("{} ({})", names.join(", "), short(id))).collect();
    Some(Waiting {
        node: Some(u.node.name.clone()),
        what: format!(
            "{image} is {} here now, and what runs was made from another one of that name: {}; `docker rm -f` one and \
             run `cephdock up`, a node at a time, and it comes back with the new one",
            now.short(),
            each.join(", ")
        ),
        holds_up: false,
    })
}
