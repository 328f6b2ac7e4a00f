//! RBD images that a node's kernel has mapped, and where they are mounted: what is in use there.
//!
//! The kernel's own list, `/sys/bus/rbd/devices/*` (Linux's Documentation/ABI/testing/sysfs-bus-rbd): `pool`, `name`,
//! `pool_ns` since Linux 5.7 and `cluster_fsid` since 4.10.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mapped image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappedRbd {
    /// `/dev/rbd0`.
    pub device: String,
    /// The pool's name.
    pub pool: String,
    /// The namespace in the pool; empty for the default one.
    pub namespace: String,
    /// The image's name.
    pub image: String,
    /// The cluster; `None` where the kernel does not tell.
    pub cluster: Option<Uuid>,
    /// Where it, or a partition of it, is mounted.
    pub mounts: Vec<String>,
}

impl MappedRbd {
    /// Whether it is, or may be, an image of this cluster.
    pub fn may_be_of(&self, fsid: Uuid) -> bool {
        self.cluster.is_none_or(|cluster| cluster == fsid)
    }
}

impl fmt::Display for MappedRbd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.pool)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.image)
    }
}

/// Reads the lines `KEY VALUE` about one device.
pub(super) fn parse(body: &str) -> MappedRbd {
    let mut mapped = MappedRbd::default();
    for line in body.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "device" => value.clone_into(&mut mapped.device),
            "pool" => value.clone_into(&mut mapped.pool),
            "pool_ns" => value.clone_into(&mut mapped.namespace),
            "name" => value.clone_into(&mut mapped.image),
            "cluster_fsid" => mapped.cluster = value.parse().ok(),
            "mount" => mapped.mounts.push(value.to_owned()),
            _ => {}
        }
    }
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_and_without_its_cluster() {
        let fsid = Uuid::from_u128(7);
        let text = format!(
            "device /dev/rbd0\npool rbd\npool_ns \nname test\ncluster_fsid {fsid}\nmount /mnt\n"
        );
        let mapped = parse(&text);
        assert_eq!(mapped.to_string(), "rbd/test");
        assert_eq!(mapped.mounts, ["/mnt"]);
        assert!(mapped.may_be_of(fsid) && !mapped.may_be_of(Uuid::from_u128(8)));
        let old = parse("device /dev/rbd1\npool p\nname i");
        assert!(old.may_be_of(fsid), "whose it is cannot be told");
    }
}
