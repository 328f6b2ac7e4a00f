//! What makes a node a client: Ceph's host tools and the kernel's rbd. Planned for every node, after the cluster is up,
//! so that a repository which lacks a package never keeps the cluster from forming.

use super::fleet::{Fleet, Usable};
use super::reset::Target;
use super::{Action, FileSpec, Lane, Removal, Step, Waiting, Why};
use crate::facts::client::{PackageManager, RbdModule, release};
use crate::inventory::AutoOff;
use crate::secret::{Secret, sha256};

/// The file that has rbd loaded when a node boots: read by systemd-modules-load and by Alpine's init.
pub const MODULES_FILE: &str = "/etc/modules-load.d/cephdock.conf";
const MODULE: &str = "rbd";
const MODULES: &str = "# Written by cephdock: volumes on Ceph need this module.\nrbd\n";

/// The package with `ceph` and `rbd`, by the name that all but Alpine give it. It stays when a cluster is reset.
const PACKAGE: &str = "ceph-common";

/// How many releases host tools and cluster may be apart. Ceph tests upgrades over two releases, daemons and clients
/// of both ends side by side (docs.ceph.com, releases/general), and librbd means to get on with clusters up to three
/// releases older ("N - 3", ceph/ceph#34323). Two are taken to be safe either way.
const RELEASES_APART: u32 = 2;

/// The steps, in two lanes a node: neither waits for the other, nor fails with it.
pub(super) fn all(fleet: &Fleet) -> Vec<Lane> {
    let steps = |u: &Usable| {
        [module(u), tools(fleet, u)].map(|steps| Lane::new(&u.node.name, steps)).to_vec()
    };
    fleet.scope().flat_map(steps).collect()
}

/// The module is loaded, and a file has it loaded at every boot. Where rbd is a part of the kernel there is nothing to
/// do; where there is none the file would only make systemd-modules-load fail.
fn module(u: &Usable) -> Vec<Step> {
    let module = u.facts.client.module;
    if !matches!(module, RbdModule::Loadable | RbdModule::Loaded) {
        return Vec::new();
    }
    let file = FileSpec {
        path: MODULES_FILE.into(),
        mode: 0o644,
        folder_mode: 0o755,
        content: Secret::new(MODULES),
    };
    let mut steps = Vec::new();
    match u.facts.files.get(MODULES_FILE) {
        Some(seen) if seen.sha256 == sha256(MODULES) && seen.mode == file.mode => {}
        Some(_) => steps.push(Step::new(Action::WriteFiles(vec![file]), Why::Differs)),
        None => steps.push(Step::new(Action::WriteFiles(vec![file]), Why::Missing)),
    }
    if module == RbdModule::Loadable {
        steps.push(Step::new(
            Action::LoadModule(MODULE.into()),
            Why::NotYet("it is not loaded".into()),
        ));
    }
    steps
}

/// Takes the file away again, if it is still the one that was written. The module stays loaded.
pub(super) fn undo(_: &Target, u: &Usable) -> Vec<Step> {
    let seen = u.facts.files.get(MODULES_FILE);
    if seen.is_none_or(|file| file.sha256 != sha256(MODULES)) {
        return Vec::new();
    }
    let file = Removal::All(MODULES_FILE.into());
    vec![Step::new(Action::RemoveFiles(vec![file]), Why::OnlyForCeph)]
}

fn tools(fleet: &Fleet, u: &Usable) -> Vec<Step> {
    match u.facts.client.manager {
        Some(manager) if lacks_tools(fleet, u) => {
            let action = Action::InstallTools(manager, packages(fleet, manager));
            vec![Step::new(action, Why::Missing)]
        }
        _ => Vec::new(),
    }
}

fn lacks_tools(fleet: &Fleet, u: &Usable) -> bool {
    fleet.want.client.packages == AutoOff::Auto && !u.facts.client.has_tools()
}

/// The names to try. Alpine puts the release into them: the cluster's own comes first, then the nearest.
fn packages(fleet: &Fleet, manager: PackageManager) -> Vec<String> {
    let mut names = vec![PACKAGE.to_owned()];
    if let (PackageManager::Apk, Some(release)) = (manager, cluster_release(fleet)) {
        let near = [release, release - 1, release + 1, release - 2, release + 2];
        names.splice(0..0, near.map(|n| format!("ceph{n}-common")));
    }
    names
}

/// The oldest release that a daemon of the cluster runs.
fn cluster_release(fleet: &Fleet) -> Option<u32> {
    let versions = fleet.cluster()?.versions.values();
    versions.filter_map(|v| release(v)).filter(|r| *r > RELEASES_APART).min()
}

/// What a node lacks that no step can bring, and what is worth knowing.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for u in fleet.scope() {
        let mut note = |what: String, holds_up: bool| {
            waiting.push(Waiting { node: Some(u.node.name.clone()), what, holds_up });
        };
        if lacks_tools(fleet, u) && u.facts.client.manager.is_none() {
            let known: Vec<&str> = PackageManager::ALL.iter().map(|m| m.program()).collect();
            note(
                format!(
                    "it has no {PACKAGE} and no package manager that cephdock knows ({}): install the programs `ceph` \
                     and `rbd` by hand, or set `client.packages: off`",
                    known.join(", ")
                ),
                true,
            );
        }
        if !u.facts.client.module.is_available() {
            note(no_module(&u.facts.kernel), false);
        }
        let tools = u.facts.client.rbd.as_deref().zip(cluster_release(fleet));
        if let Some(what) = tools.and_then(|(version, cluster)| apart(version, cluster)) {
            note(what, false);
        }
    }
    waiting
}

fn no_module(kernel: &str) -> String {
    let kernel = if kernel.is_empty() { String::new() } else { format!(" {kernel}") };
    format!(
        "its kernel{kernel} has no rbd module, so volumes cannot work on it: it needs one that has (if it was upgraded, \
         a reboot; some distributions keep rbd in a package of extra modules)"
    )
}

/// What is to be said of host tools and a cluster whose releases are too far apart.
fn apart(version: &str, cluster: u32) -> Option<String> {
    let tools = release(version).filter(|tools| tools.abs_diff(cluster) > RELEASES_APART)?;
    let (age, hint) = if tools < cluster {
        (
            "older",
            "install a newer ceph-common (https://docs.ceph.com/en/latest/install/get-packages/)",
        )
    } else {
        ("newer", "upgrade the cluster (`cluster.image`)")
    };
    Some(format!(
        "its `ceph` and `rbd` are of release {tools}, {} releases {age} than the cluster's {cluster}, and nobody tests \
         more than {RELEASES_APART} apart: {hint}",
        tools.abs_diff(cluster)
    ))
}
