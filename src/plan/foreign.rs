//! Never touch what cephdock did not make: refuse, naming all of it, before anything is done.

use uuid::Uuid;

use super::files::{ADMIN_KEYRING, BOOTSTRAP_OSD_KEYRING};
use super::fleet::{Fleet, Usable};
use super::{Finding, Refusal};
use crate::daemon::{DaemonId, Kind, mgr, mon};
use crate::facts::{ContainerFact, IdentityFile};
use crate::identity::Identity;
use crate::secret::sha256;

pub(super) fn refuse(fleet: &Fleet, id: &Identity) -> Result<(), Refusal> {
    let new = is_new(fleet, id);
    let mut findings = Vec::new();
    for node in &fleet.usable {
        let mut find = |what: String, hint: &str| {
            findings.push(Finding { node: node.node.name.clone(), what, hint: hint.to_owned() });
        };
        conf(node, id.fsid, new, &mut find);
        keys(node, id, &mut find);
        stores(node, id.fsid, &mut find);
        for container in &node.docker.containers {
            containers(container, node, id.fsid, &mut find);
        }
    }
    if let Some(cluster) = fleet.cluster()
        && cluster.fsid != id.fsid
        && let Some(asker) = fleet.asker()
    {
        findings.push(Finding {
            node: asker.node.name.clone(),
            what: format!("its mon belongs to the cluster {}, not to {}", cluster.fsid, id.fsid),
            hint: ANOTHER.into(),
        });
    }
    if findings.is_empty() { Ok(()) } else { Err(Refusal { to_protect_data: true, findings }) }
}

/// An identity that no node holds yet is a new one: then every trace of Ceph is somebody else's.
pub(super) fn is_new(fleet: &Fleet, id: &Identity) -> bool {
    !fleet
        .seen
        .nodes
        .values()
        .filter_map(crate::facts::Seen::value)
        .any(|facts| matches!(&facts.identity, IdentityFile::Found(found) if found.fsid == id.fsid))
}

/// Names no folder that may hold this cluster's own things too: its identity and the data of its OSDs in files.
const ANOTHER: &str = "is this the right inventory? If the other cluster is not needed any more, remove its containers and \
     move each file and folder that is named here to /root/, and nothing else";

fn conf(node: &Usable, fsid: Uuid, new: bool, find: &mut impl FnMut(String, &str)) {
    let Some(conf) = &node.facts.conf else { return };
    if new && conf.ours {
        find(
            format!(
                "/etc/ceph/ceph.conf is of the cluster {} that cephdock made, but no mon node holds its identity",
                conf.fsid.map_or("?".into(), |f| f.to_string())
            ),
            "bring back /var/lib/ceph/cephdock/identity.json on the mon nodes from a backup",
        );
    } else if conf.fsid != Some(fsid) {
        let of =
            conf.fsid.map_or("no cluster that it names".into(), |f| format!("the cluster {f}"));
        find(format!("there is an /etc/ceph/ceph.conf of {of}"), ANOTHER);
    } else if !conf.ours {
        find(
            "/etc/ceph/ceph.conf was not written by cephdock".into(),
            "move it away; put options of your own under cluster.config in the inventory",
        );
    }
}

/// Files are written in order, ceph.conf first: without it, a key other than this cluster's is somebody else's.
fn keys(node: &Usable, id: &Identity, find: &mut impl FnMut(String, &str)) {
    if node.facts.conf.is_some() {
        return;
    }
    let mgr = DaemonId::mgr(&node.node.name);
    let ours = [
        (ADMIN_KEYRING.to_owned(), mon::admin_entity(id).keyring(true)),
        (BOOTSTRAP_OSD_KEYRING.to_owned(), mon::bootstrap_osd_entity(id).keyring(true)),
        (format!("{}/keyring", mgr.data_dir()), mgr::entity(id, &mgr).keyring(false)),
    ];
    for (path, keyring) in ours {
        if node.facts.files.get(&path).is_some_and(|f| f.sha256 != sha256(keyring.expose())) {
            find(format!("{path} holds a key of another cluster"), ANOTHER);
        }
    }
}

fn stores(node: &Usable, fsid: Uuid, find: &mut impl FnMut(String, &str)) {
    for (name, store) in &node.facts.mon_stores {
        if store.fsid != Some(fsid) {
            let path = format!("/var/lib/ceph/mon/ceph-{name}");
            let of = store.fsid.map_or("an unknown cluster".into(), |f| format!("the cluster {f}"));
            // one of another name may be what somebody has put aside
            let aside = format!("is this the right inventory? If it is, `mv {path} /root/`");
            let own = name == node.node.name.as_str();
            find(format!("{path} is a mon store of {of}"), if own { ANOTHER } else { &aside });
        }
    }
    for (id, dir) in &node.facts.osd_dirs {
        if dir.ceph_fsid != Some(fsid) {
            let of =
                dir.ceph_fsid.map_or("an unknown cluster".into(), |f| format!("the cluster {f}"));
            find(format!("/var/lib/ceph/osd/ceph-{id} is an OSD of {of}"), ANOTHER);
        }
    }
}

fn containers(
    container: &ContainerFact,
    node: &Usable,
    fsid: Uuid,
    find: &mut impl FnMut(String, &str),
) {
    let name = &container.name;
    match &container.ours {
        // a stranger may have any name that is not needed here
        None if !needed(name, node) => {}
        None => find(
            format!("a container called {name} is there that cephdock did not make"),
            "rename it (`docker rename`) or remove it",
        ),
        Some(ours) if ours.fsid != fsid.to_string() => {
            find(format!("the container {name} belongs to the cluster {}", ours.fsid), ANOTHER);
        }
        Some(ours) => {
            let wanted = match ours.daemon.kind {
                Kind::Mon => DaemonId::mon(&node.node.name),
                Kind::Mgr => DaemonId::mgr(&node.node.name),
                Kind::Osd => return,
            };
            if ours.daemon != wanted {
                find(
                    format!("the container {name} is {}, not {wanted}", ours.daemon),
                    "a node's name cannot change while it has daemons: write the old name in the inventory",
                );
            }
        }
    }
}

fn needed(name: &str, node: &Usable) -> bool {
    let roles = node.node.roles;
    match name {
        "mon" => roles.mon,
        "mgr" => roles.mgr,
        _ => roles.osd && name.strip_prefix("osd-").is_some_and(|id| id.parse::<u32>().is_ok()),
    }
}
