//! ceph-mgr: its container and key.

use uuid::Uuid;

use super::mon::Entity;
use super::{ContainerSpec, DaemonId, script};
use crate::identity::Identity;
use crate::inventory::{Inventory, Node};

/// The mgr's key.
pub fn entity(id: &Identity, daemon: &DaemonId) -> Entity {
    let caps = &[("mon", "allow profile mgr"), ("osd", "allow *"), ("mds", "allow *")];
    Entity::new(daemon.entity(), id.key(&daemon.entity()), caps)
}

/// The container of the mgr on `node`.
pub fn container(want: &Inventory, node: &Node, fsid: Uuid) -> ContainerSpec {
    let daemon = DaemonId::mgr(&node.name);
    ContainerSpec {
        fsid,
        image: want.cluster.image.clone(),
        script: script(SCRIPT),
        args: vec![daemon.id.clone()],
        binds: vec!["/etc/ceph:/etc/ceph".into(), "/var/lib/ceph/mgr:/var/lib/ceph/mgr".into()],
        privileged: false,
        daemon,
    }
}

/// The keyring was written by cephdock as root; the mgr reads it as ceph.
const SCRIPT: &str = r#"chown -R ceph:ceph "/var/lib/ceph/mgr/ceph-$1"
exec ceph-mgr -f -i "$1" OPTIONS
"#;
