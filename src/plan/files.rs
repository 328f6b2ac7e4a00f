//! The identity, ceph.conf and keyrings: which files each node shall have, and which of them it lacks.

use super::fleet::{Fleet, Usable};
use super::osds::{Osd, Osds};
use super::{Action, FileSpec, Lane, Step, Waiting, Why, answers, volumes};
use crate::daemon::{DaemonId, conf, mgr, mon, osd};
use crate::facts::IdentityFile;
use crate::identity::{self, Identity};
use crate::inventory::{AdminKey, NodeName};
use crate::secret::{Secret, sha256};

/// /etc/ceph/ceph.conf.
pub(super) const CONF: &str = "/etc/ceph/ceph.conf";
/// The administrator's key.
pub(super) const ADMIN_KEYRING: &str = "/etc/ceph/ceph.client.admin.keyring";
/// The key that may register OSDs.
pub(super) const BOOTSTRAP_OSD_KEYRING: &str = "/var/lib/ceph/bootstrap-osd/ceph.keyring";

/// The identity on every mon node. Once the mons have met, that is noted in it too.
pub(super) fn identity(fleet: &Fleet, id: &Identity) -> Vec<Lane> {
    let mons = fleet.scope().filter(|u| u.node.roles.mon);
    let lane = |node: &Usable| {
        let why = match &node.facts.identity {
            IdentityFile::Found(found) if found == id => return None,
            IdentityFile::Found(_) => Why::Differs,
            IdentityFile::Absent | IdentityFile::Damaged(_) => Why::Missing,
        };
        Some(Lane::new(&node.node.name, vec![identity_step(id, why)]))
    };
    mons.filter_map(lane).collect()
}

/// Writes `id` to a node.
pub(super) fn identity_step(id: &Identity, why: Why) -> Step {
    let file = FileSpec {
        path: identity::PATH.into(),
        mode: 0o600,
        folder_mode: 0o700,
        content: id.text(),
    };
    Step::new(Action::WriteFiles(vec![file]), why)
}

/// All other files, one step a node.
pub(super) fn all(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Lane> {
    let lane = |node: &Usable| {
        let mut differs = false;
        let mut all = wanted(fleet, id, node, osds);
        if !fleet.in_scope(&node.node.name) {
            all.retain(|file| file.path == CONF && fleet.mons_may_change());
        }
        let wanted = all.into_iter().filter(|file| {
            let Some(seen) = node.facts.files.get(&file.path) else { return true };
            let same = seen.mode == file.mode && seen.sha256 == sha256(file.content.expose());
            differs |= !same;
            !same
        });
        let files: Vec<FileSpec> = wanted.collect();
        if files.is_empty() {
            return None;
        }
        let why = if differs { Why::Differs } else { Why::Missing };
        Some(Lane::new(&node.node.name, vec![Step::new(Action::WriteFiles(files), why)]))
    };
    fleet.usable.iter().filter_map(lane).collect()
}

/// The paths of the files above, whatever the node's roles.
pub(super) fn watched(node: &NodeName) -> Vec<String> {
    let seed = mon::seed_dir(&DaemonId::mon(node));
    let mut paths =
        [CONF, ADMIN_KEYRING, volumes::KEYRING, BOOTSTRAP_OSD_KEYRING].map(str::to_owned).to_vec();
    paths.push(format!("{}/keyring", DaemonId::mgr(node).data_dir()));
    paths.extend(["mons", "join", "keyring"].map(|file| format!("{seed}/{file}")));
    paths
}

/// A node's files, ceph.conf first: it says whose the others are.
fn wanted(fleet: &Fleet, id: &Identity, node: &Usable, osds: &Osds) -> Vec<FileSpec> {
    let roles = node.node.roles;
    let mut files = Vec::new();
    let mut file = |path: String, mode: u32, folder_mode: u32, content: Secret| {
        files.push(FileSpec { path, mode, folder_mode, content });
    };
    file(CONF.into(), 0o644, 0o755, Secret::new(conf::text(fleet.want, id.fsid)));
    if wants_admin_key(fleet, node) {
        file(ADMIN_KEYRING.into(), 0o600, 0o755, mon::admin_entity(id).keyring(true));
    }
    if volumes::wants_keyring(fleet, node) {
        file(volumes::KEYRING.into(), 0o600, 0o755, volumes::keyring(id));
    }
    if roles.osd {
        let keyring = mon::bootstrap_osd_entity(id).keyring(true);
        file(BOOTSTRAP_OSD_KEYRING.into(), 0o600, 0o755, keyring);
    }
    if roles.mgr {
        let daemon = DaemonId::mgr(&node.node.name);
        let keyring = mgr::entity(id, &daemon).keyring(false);
        file(format!("{}/keyring", daemon.data_dir()), 0o600, 0o750, keyring);
    }
    if roles.mon && !has_store(node) && may_make_store(fleet, id) {
        let seed = mon::seed_dir(&DaemonId::mon(&node.node.name));
        if id.established {
            file(
                format!("{seed}/join"),
                0o600,
                0o700,
                Secret::new("the monmap of the mons that run\n"),
            );
            file(format!("{seed}/keyring"), 0o600, 0o700, mon::mon_entity(id).keyring(true));
        } else {
            let monmap = mon::seed_monmap(&id.initial_mons);
            file(format!("{seed}/mons"), 0o600, 0o700, Secret::new(monmap));
            file(format!("{seed}/keyring"), 0o600, 0o700, first_keyring(fleet, id, osds));
        }
    }
    for osd in osds.of(&node.node.name) {
        let daemon = osd.daemon();
        let folder = if osd.made { daemon.data_dir() } else { osd::prepare_dir(&daemon) };
        let keyring = osd::entity(id, &daemon, osd.uuid).keyring(false);
        file(format!("{folder}/keyring"), 0o600, 0o750, keyring);
    }
    files
}

/// Whether the node's mon has its store.
pub(super) fn has_store(node: &Usable) -> bool {
    node.facts.mon_stores.contains_key(node.node.name.as_str())
}

/// A store may be made from the first monmap only before the mons have met; afterwards it takes mons that answer.
pub(super) fn may_make_store(fleet: &Fleet, id: &Identity) -> bool {
    !id.established || answers(fleet.seen)
}

/// Every key of the beginning, which the first mons take in when their stores are made: so the mgrs and OSDs can start
/// at the same time as they, and nothing waits for a quorum.
fn first_keyring(fleet: &Fleet, id: &Identity, osds: &Osds) -> Secret {
    let mut entities =
        vec![mon::mon_entity(id), mon::admin_entity(id), mon::bootstrap_osd_entity(id)];
    entities.extend(volumes::entity(fleet.want, id));
    let mgrs = fleet.want.nodes.iter().filter(|n| n.roles.mgr);
    entities.extend(mgrs.map(|n| mgr::entity(id, &DaemonId::mgr(&n.name))));
    entities.extend(osds.all.iter().map(|o: &Osd| osd::entity(id, &o.daemon(), o.uuid)));
    let mut text = String::new();
    for entity in &entities {
        text += entity.keyring(true).expose();
    }
    Secret::new(text)
}

/// Mons that have lost their store while no other mon answers, and keys that are not asked for any more.
pub(super) fn waiting(fleet: &Fleet, id: &Identity) -> Vec<Waiting> {
    let mut waiting = lost_stores(fleet, id);
    let holds = fleet
        .scope()
        .filter(|u| !wants_admin_key(fleet, u) && u.facts.files.contains_key(ADMIN_KEYRING));
    waiting.extend(holds.map(|node| Waiting {
        node: Some(node.node.name.clone()),
        what: format!("{ADMIN_KEYRING} is there and not asked for (`admin_key: mons`); remove it if nobody needs it"),
        holds_up: false,
    }));
    waiting
}

fn wants_admin_key(fleet: &Fleet, node: &Usable) -> bool {
    node.node.roles.mon || fleet.want.client.admin_key == AdminKey::All
}

fn lost_stores(fleet: &Fleet, id: &Identity) -> Vec<Waiting> {
    let lost = fleet.scope().filter(|u| u.node.roles.mon && !has_store(u));
    let wait = |node: &Usable| Waiting {
        node: Some(node.node.name.clone()),
        what: format!(
            "mon.{} has no store; it gets one from the other mons when they answer, and never a new one",
            node.node.name
        ),
        holds_up: true,
    };
    lost.filter(|_| !may_make_store(fleet, id)).map(wait).collect()
}
