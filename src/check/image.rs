//! The image: whether each node can have it.

use super::{Evidence, Found, listed};
use crate::facts::{NodeFacts, Seen};
use crate::inventory::Node;

/// Nodes on which a daemon is to run.
fn need<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (&'a Node, &'a NodeFacts)> {
    evidence.seen().filter(|(node, _)| node.roles.mon || node.roles.mgr || node.roles.osd)
}

fn has(facts: &NodeFacts) -> bool {
    facts.docker.up().is_some_and(|d| d.image.is_some())
}

/// A node that has the image needs no registry.
pub(super) fn registry(evidence: &Evidence) -> Vec<Found> {
    let image = &evidence.want.cluster.image;
    let mut found = Vec::new();
    for (node, _) in need(evidence).filter(|(_, facts)| !has(facts)) {
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

pub(super) fn architecture(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in need(evidence) {
        let registry = evidence.survey(&node.name).and_then(|s| s.registry.as_ref());
        let Some(Seen::Value(registered)) = registry else { continue };
        let own = in_dockers_words(&facts.arch);
        if !registered.architectures.is_empty() && !registered.architectures.contains(own) {
            found.push(
                Found::fail(
                    &node.name,
                    format!(
                        "it is an {own} machine, and {} is for {}",
                        evidence.want.cluster.image,
                        listed(&registered.architectures)
                    ),
                )
                .why("none of its programs runs there")
                .fix("name an image that is made for it, or for both"),
            );
        }
    }
    found
}

pub(super) fn same_everywhere(evidence: &Evidence) -> Vec<Found> {
    let waiting = evidence.obstacles.images.iter();
    let found = waiting.map(|w| Found::new(super::Level::Note, w.node.as_ref(), &w.what));
    found.collect()
}
