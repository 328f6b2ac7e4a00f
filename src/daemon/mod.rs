//! How each Ceph daemon looks on a node: its names, paths, files and container. Pure; the only place that makes them.
//!
//! A new kind of daemon is a variant of [`Kind`] and a file beside `mon.rs`.
//!
//! The image's entrypoint is never used: a container runs `/bin/sh` with a short script that makes the daemon's data
//! directory if it is not there yet, and then becomes the daemon. The script makes it under another name and renames it
//! when it is complete, so a container that Docker starts again, at any moment, goes on and never makes it twice.
//! Scripts use only what every Ceph image has: the Ceph programs, sh, coreutils, find and blkid.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::inventory::NodeName;
use crate::secret::sha256;

pub mod conf;
pub mod mgr;
pub mod mon;
pub mod osd;

/// First line of every ceph.conf that cephdock writes.
pub const CONF_MARK: &str = "# Written by cephdock.";

/// The daemons cephdock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// ceph-mon.
    Mon,
    /// ceph-mgr.
    Mgr,
    /// ceph-osd.
    Osd,
}

impl Kind {
    /// `mon`, `mgr` or `osd`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Mgr => "mgr",
            Self::Osd => "osd",
        }
    }

    /// The kind called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Mon, Self::Mgr, Self::Osd].into_iter().find(|k| k.as_str() == name)
    }
}

/// One daemon: the naming authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DaemonId {
    /// What it is.
    pub kind: Kind,
    /// The node's name for a mon or mgr, the OSD's number.
    pub id: String,
}

impl DaemonId {
    /// The mon of `node`.
    pub fn mon(node: &NodeName) -> Self {
        Self { kind: Kind::Mon, id: node.to_string() }
    }

    /// The mgr of `node`.
    pub fn mgr(node: &NodeName) -> Self {
        Self { kind: Kind::Mgr, id: node.to_string() }
    }

    /// OSD number `id`.
    pub fn osd(id: u32) -> Self {
        Self { kind: Kind::Osd, id: id.to_string() }
    }

    /// `mon`, `mgr`, `osd-3`.
    pub fn container(&self) -> String {
        match self.kind {
            Kind::Mon | Kind::Mgr => self.kind.as_str().to_owned(),
            Kind::Osd => format!("osd-{}", self.id),
        }
    }

    /// Its cephx name: `mgr.B1`, `osd.3`. (All mons share the key of `mon.`.)
    pub fn entity(&self) -> String {
        format!("{}.{}", self.kind.as_str(), self.id)
    }

    /// Its data directory on the node, the same path inside the container.
    pub fn data_dir(&self) -> String {
        format!("/var/lib/ceph/{}/ceph-{}", self.kind.as_str(), self.id)
    }
}

impl fmt::Display for DaemonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.entity())
    }
}

/// A container as it shall be. Its digest is kept in a label; a container whose label differs has drifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The daemon in it; its name and labels follow from it.
    pub daemon: DaemonId,
    /// The cluster.
    pub fsid: Uuid,
    /// Image reference, as the inventory has it.
    pub image: String,
    /// The script that `/bin/sh -c` runs.
    pub script: String,
    /// The script's `$1`, `$2`, …
    pub args: Vec<String>,
    /// `source:target[:ro]` of the node's folders.
    pub binds: Vec<String>,
    /// All capabilities and devices: only OSDs.
    pub privileged: bool,
}

impl ContainerSpec {
    /// SHA-256 of everything above, in hex.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("plain fields always serialise");
        sha256(text)
    }

    /// The labels, `cephdock.*`.
    pub fn labels(&self) -> [(&'static str, String); 4] {
        [
            (LABEL_FSID, self.fsid.to_string()),
            (LABEL_KIND, self.daemon.kind.as_str().to_owned()),
            (LABEL_ID, self.daemon.id.clone()),
            (LABEL_SPEC, self.digest()),
        ]
    }
}

/// Label: the cluster's fsid.
pub const LABEL_FSID: &str = "cephdock.fsid";
/// Label: the daemon's kind.
pub const LABEL_KIND: &str = "cephdock.kind";
/// Label: the daemon's id.
pub const LABEL_ID: &str = "cephdock.id";
/// Label: the digest of the [`ContainerSpec`] it was made from.
pub const LABEL_SPEC: &str = "cephdock.spec";
/// On a container that looks into an image, of no cluster and gone when it has ended: what is looked for.
pub const LABEL_LOOK: &str = "cephdock.look";

/// A script with the parts that all have: where the daemon's admin socket goes, and the options of every daemon.
fn script(text: &str) -> String {
    format!("{PRELUDE}{}", text.replace("OPTIONS", DAEMON_OPTIONS))
}

/// An image has /run/ceph only where its package manager's tmpfiles were run; the daemons abort without it.
const PRELUDE: &str = "set -eu\nmkdir -p /var/run/ceph\nchown ceph:ceph /var/run/ceph\n";

/// Options of every daemon: run in the foreground as the image's ceph user, log to stderr where `docker logs` finds it.
const DAEMON_OPTIONS: &str = "--setuser ceph --setgroup ceph \
     --default-log-to-file=false --default-log-to-stderr=true --default-err-to-stderr=true";
