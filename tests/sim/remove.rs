//! What taking things away does to a simulated node.

use std::collections::BTreeSet;

use cephdock::daemon::{DaemonId, Kind};
use cephdock::facts::{ContainerState, DiskContent};
use cephdock::inventory::NodeName;
use cephdock::plan::{OsdDisk, Removal};
use uuid::Uuid;

use super::World;
use super::node::NodeState;

const FOLDERS: [&str; 2] = ["/etc/ceph", "/var/lib/ceph"];

/// What `find -maxdepth 2` shows. Folders are there as long as something is in them.
pub(super) fn tree(node: &NodeState) -> BTreeSet<String> {
    let stores = node.stores.keys().map(|id| format!("/var/lib/ceph/mon/ceph-{id}"));
    let osds = node.osds.keys().map(|number| DaemonId::osd(*number).data_dir());
    let mut tree = BTreeSet::new();
    for path in node.files.keys().cloned().chain(stores).chain(osds) {
        let Some(top) = FOLDERS.iter().find(|top| path.starts_with(&format!("{top}/"))) else {
            continue;
        };
        tree.insert((*top).to_owned());
        let mut at = (*top).to_owned();
        for part in path[top.len() + 1..].split('/').take(2) {
            at = format!("{at}/{part}");
            tree.insert(at.clone());
        }
    }
    tree
}

impl World {
    pub(super) fn remove_container(
        &mut self,
        at: &NodeName,
        daemon: &DaemonId,
        fsid: Uuid,
        half: bool,
    ) {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let ours =
            |spec: &cephdock::daemon::ContainerSpec| spec.daemon == *daemon && spec.fsid == fsid;
        for container in node.containers.values_mut().filter(|c| c.spec.as_ref().is_some_and(ours))
        {
            container.state = ContainerState::Exited;
        }
        if !half {
            node.containers.retain(|_, c| !c.spec.as_ref().is_some_and(ours));
        }
    }

    pub(super) fn remove_files(&mut self, at: &NodeName, removals: &[Removal]) {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let running: BTreeSet<String> =
            node.running().iter().map(|s| s.daemon.data_dir()).collect();
        for removal in removals {
            let Removal::All(gone) = removal else { continue };
            let within = |path: &str| path == gone || path.starts_with(&format!("{gone}/"));
            if let Some(dir) = running.iter().find(|dir| within(dir)) {
                self.crimes.push(format!("{at}: {dir} is removed while its daemon runs"));
            }
            for (path, file) in node.files.iter().filter(|(path, file)| within(path) && !file.ours)
            {
                self.crimes.push(format!("{at}: {path} was somebody else's: {:?}", file.content));
            }
            node.files.retain(|path, _| !within(path));
            node.stores.retain(|id, _| !within(&format!("/var/lib/ceph/mon/ceph-{id}")));
            node.osds.retain(|number, _| !within(&DaemonId::osd(*number).data_dir()));
        }
        if let Some(crime) = node.forget_service(removals) {
            self.crimes.push(format!("{at}: {crime}"));
        }
        // a cluster is gone with its last store
        let stores: BTreeSet<_> = self
            .nodes
            .values()
            .flat_map(|n| n.stores.values().map(|s| (s.fsid, s.mon_key.clone())))
            .collect();
        self.ceph.all.retain(|key, _| stores.contains(key));
    }

    pub(super) fn wipe(&mut self, at: &NodeName, wipe: &OsdDisk) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let on_it = |s: &cephdock::daemon::ContainerSpec| {
            s.daemon.kind == Kind::Osd && s.args[3] == wipe.path
        };
        if node.running().iter().any(on_it) {
            self.crimes.push(format!("{at}: {} is wiped while its OSD runs", wipe.path));
        }
        let disk = node.disks.values_mut().find(|d| d.stable_path == wipe.path);
        let disk = disk.ok_or("no such disk")?;
        match &disk.content {
            DiskContent::BlueStore(l) if l.osd_uuid == wipe.uuid && l.ceph_fsid == wipe.fsid => {
                disk.content = DiskContent::Blank;
                disk.formatted = 0;
                Ok(())
            }
            other => Err(format!("it was left alone: {other:?}")),
        }
    }
}
