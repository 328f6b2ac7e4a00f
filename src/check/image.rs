//! The image: whether each node can have it.

use super::{Evidence, Found, listed};
use crate::facts::{NodeFacts, Seen};
use crate::image::runs;
use crate::inventory::Node;

/// Nodes on which a daemon is to run.
fn need<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> {
    evidence.seen().filter(|(node, _)| node.roles.mon || node.roles.mgr || node.roles.osd)
}

fn has(facts: &NodeFacts) -> bool {
    facts.docker.up().is_some_and(|d| d.image.is_some())
}

/// A node that has the image needs no registry. Podman does not ask one for Docker's clients.
pub(super) fn registry(evidence: &Evidence) -> Vec<Found> {
    let image = &evidence.want.cluster.image;
    let mut found = Vec::new();
    let asks = |facts: &NodeFacts| !facts.docker.up().is_some_and(super::docker::is_podman);
    for (node, _) in need(evidence).filter(|(_, facts)| !has(facts) && asks(facts)) {
        let registry = evidence.survey(&node.name).and_then(|s| s.registry.as_ref());
        if let Some(Seen::Unknown(why)) = registry {
            found.push(
                Found::fail(&node.name, format!("its Docker cannot get {image}: {why}"))
                    .why("it is to be pulled there")
                    .fix(format!(
                        "`docker pull {image}` on it has to work; where it needs a login, `cluster.registry` in the \
                         inventory; where there is no way out, `cluster.image_archive`"
                    )),
            );
        }
    }
    found
}

/// The machine's name in the kernel's words, in Docker's.
fn in_dockers_words(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armv6l" | "armv7l" => "arm",
        other => other,
    }
}

/// The architecture whose images a node runs: its Docker's, which may be another one than its kernel's.
fn architecture_of(facts: &NodeFacts) -> &str {
    let docker = facts.docker.up().map(|d| d.arch.as_str()).filter(|arch| !arch.is_empty());
    docker.unwrap_or_else(|| in_dockers_words(&facts.arch))
}

/// Whether the image that a node has is the one that its daemons will run: no other comes from the archive.
fn stays(evidence: &Evidence, facts: &NodeFacts) -> bool {
    let archive = evidence.want.cluster.image_archive.as_ref();
    let archived = archive.and_then(|a| a.archived.as_ref());
    let has = facts.docker.up().and_then(|d| d.image.as_ref());
    archived.zip(has).is_none_or(|(archived, has)| archived.image.same(has))
}

pub(super) fn architecture(evidence: &Evidence) -> Vec<Found> {
    let image = &evidence.want.cluster.image;
    let mut found = Vec::new();
    let mut wrong = |node: &Node, own: &str, what: String, fix: String| {
        found.push(
            Found::fail(&node.name, format!("its Docker is {own}, and {what}"))
                .why("none of its programs runs there")
                .fix(fix),
        );
    };
    for (node, facts) in need(evidence) {
        let Some(survey) = evidence.survey(&node.name) else { continue };
        let own = architecture_of(facts);
        if has(facts) {
            let held = survey.held.as_deref().filter(|held| !runs(own, held));
            if let Some(held) = held.filter(|_| stays(evidence, facts)) {
                wrong(
                    node,
                    own,
                    format!("the image {image} on it is for {held}"),
                    format!("`docker rmi {image}` on it, and name an image that is made for {own}"),
                );
            }
        } else if let Some(Seen::Value(registered)) = &survey.registry
            && !registered.architectures.is_empty()
            && !registered.architectures.iter().any(|a| runs(own, a))
        {
            wrong(
                node,
                own,
                format!("{image} is for {}", listed(&registered.architectures)),
                "name an image that is made for it, or for both".into(),
            );
        }
    }
    found
}

/// The archive's image: the planner would not send it there.
pub(super) fn archive(evidence: &Evidence) -> Vec<Found> {
    let found = |f: &crate::plan::Finding| {
        Found::fail(&f.node, &f.what).why("none of its programs runs there").fix(f.hint.clone())
    };
    evidence.obstacles.archive.iter().map(found).collect()
}

pub(super) fn same_everywhere(evidence: &Evidence) -> Vec<Found> {
    let waiting = evidence.obstacles.images.iter();
    let found = waiting.map(|w| Found::new(super::Level::Note, w.node.as_ref(), &w.what));
    found.collect()
}
