//! The container engine.

use super::{Evidence, Found};
use crate::facts::{Docker, DockerFacts};

/// The first that lets threads be made in images as new as Ceph's: glibc 2.34 calls `clone3`, which earlier seccomp
/// profiles refuse in a way that glibc takes for an error (Docker's release notes, 20.10.10).
const OLDEST: (u32, u32, u32) = (20, 10, 10);

pub(super) fn answers(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen() {
        let Docker::Down(why) = &facts.docker else { continue };
        let rootless = evidence.survey(&node.name).and_then(|s| s.rootless.first());
        let fix = match rootless {
            Some(socket) => format!(
                "a Docker of a single user listens at {socket}; Ceph needs the system's: install it, `systemctl enable --now docker`"
            ),
            None if why.contains("permission denied") || why.contains("a password is required") => {
                format!(
                    "`usermod -aG docker {0}` and log in anew, or let {0} use sudo without a password",
                    node.ssh.user
                )
            }
            None => "`systemctl enable --now docker`; where it is not installed, install it \
                     (https://docs.docker.com/engine/install/)"
                .into(),
        };
        let why = why.strip_prefix("Docker cannot be used: ").unwrap_or(why);
        found.push(
            Found::fail(&node.name, why.to_owned())
                .why("all of Ceph's daemons run in containers")
                .fix(fix),
        );
    }
    found
}

/// Podman answers by Docker's API, as a component of this name (seen with Podman 4.3).
pub(super) fn is_podman(docker: &DockerFacts) -> bool {
    docker.components.iter().any(|c| c == "Podman Engine")
}

/// Something else, or something less.
pub(super) fn kind(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen() {
        let Some(docker) = facts.docker.up() else { continue };
        let security = evidence.survey(&node.name).and_then(|s| s.engine.as_ref());
        let security = security.map(|e| e.security.as_slice()).unwrap_or_default();
        let has = |name: &str| docker.components.iter().any(|c| c == name);
        if is_podman(docker) {
            found.push(
                Found::fail(&node.name, "what answers as Docker is Podman")
                    .why("its containers do not come back after a reboot, and its API lacks parts")
                    .fix("remove podman-docker and install Docker (https://docs.docker.com/engine/install/)"),
            );
        } else if has("rootlesskit") || security.iter().any(|s| s == "name=rootless") {
            found.push(
                Found::fail(&node.name, "Docker runs rootless, for a single user")
                    .why("it can give daemons neither the host's network nor its disks")
                    .fix("run the system's: `systemctl enable --now docker`"),
            );
        }
    }
    found
}

pub(super) fn age(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen() {
        let Some(docker) = facts.docker.up() else { continue };
        // Podman's versions are its own
        if !is_podman(docker) && version(&docker.version).is_some_and(|v| v < OLDEST) {
            let (a, b, c) = OLDEST;
            found.push(
                Found::fail(
                    &node.name,
                    format!("Docker is {}, older than {a}.{b}.{c}", docker.version),
                )
                .why("programs of today's images cannot start threads under it")
                .fix("upgrade Docker (https://docs.docker.com/engine/install/)"),
            );
        }
    }
    found
}

/// `20.10.10`, `26.1.5+dfsg1`, `19.03.15-ce`; `None`: it cannot be told.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        digits.parse::<u32>().ok()
    });
    let first = parts.next()??;
    Some((first, parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0)))
}

pub(super) fn settings(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, _) in evidence.seen() {
        let Some(engine) = evidence.survey(&node.name).and_then(|s| s.engine.as_ref()) else {
            continue;
        };
        if engine.security.iter().any(|s| s == "name=userns") {
            found.push(
                Found::fail(&node.name, "Docker maps users (`userns-remap`)")
                    .why("it refuses the host's network to containers then")
                    .fix("take `userns-remap` out of /etc/docker/daemon.json, then `systemctl restart docker`"),
            );
        }
        if engine.root.starts_with("/var/snap/") {
            found.push(
                Found::fail(&node.name, "Docker is a snap")
                    .why("a snap sees neither /etc/ceph nor /var/lib/ceph of the host")
                    .fix("`snap remove docker`, and install Docker's own packages (https://docs.docker.com/engine/install/)"),
            );
        }
    }
    found
}
