//! Which files and folders on a node are cephdock's and of one cluster. Whatever cannot be told stays.

use std::collections::BTreeSet;

use super::Target;
use crate::daemon::{DaemonId, mgr, mon};
use crate::facts::{IdentityFile, NodeFacts};
use crate::identity::Identity;
use crate::plan::Removal;
use crate::plan::action::PARTIAL;
use crate::plan::files::{ADMIN_KEYRING, BOOTSTRAP_OSD_KEYRING, CONF};
use crate::plan::fleet::Usable;
use crate::plan::volumes;
use crate::secret::{Secret, sha256};

const ETC: &str = "/etc/ceph";
const LIB: &str = "/var/lib/ceph";
/// Folders in [`LIB`] that cephdock, or Docker on its behalf, makes.
const FOLDERS: [&str; 4] = ["bootstrap-osd", "mgr", "mon", "osd"];
/// Where the identity lies ([`crate::identity::PATH`]), and nothing that is not cephdock's.
const OWN: &str = "/var/lib/ceph/cephdock";

/// What lies on a node.
pub(super) struct Belongings<'a> {
    node: &'a Usable<'a>,
    target: &'a Target,
    /// Something on this node says that the cluster was here, and that cephdock made it.
    claimed: bool,
}

/// How a path is to be taken.
#[derive(PartialEq)]
enum Kind {
    /// It can be made again.
    Plain,
    /// It holds data.
    Data,
    /// ceph.conf says whose the rest is.
    Conf,
}

impl<'a> Belongings<'a> {
    pub(super) fn of(target: &'a Target, node: &'a Usable<'a>) -> Self {
        Self { node, target, claimed: claims(target, node.facts) }
    }

    /// Whether something on this node says that the cluster was here, and that cephdock made it.
    pub(super) fn claimed(&self) -> bool {
        self.claimed
    }

    /// Everything but the identity, ceph.conf last. `keep_data`: and but for what holds data.
    pub(super) fn without_identity(&self, keep_data: bool) -> Vec<Removal> {
        let kinds: Vec<(&str, Kind)> =
            self.paths().filter_map(|path| Some((path, self.kind(path)?))).collect();
        let all = |kind: &Kind| {
            let of_it = kinds.iter().filter(move |(_, k)| k == kind);
            of_it.map(|(path, _)| Removal::All((*path).to_owned())).collect::<Vec<_>>()
        };
        let mut removals = all(&Kind::Plain);
        if !keep_data {
            removals.extend(all(&Kind::Data));
        }
        let conf = all(&Kind::Conf);
        if removals.is_empty() && conf.is_empty() {
            return removals;
        }
        let absent = matches!(self.node.facts.identity, IdentityFile::Absent);
        if self.claimed && absent && self.there(OWN) && !keep_data {
            removals.push(Removal::All(OWN.into()));
        }
        let empty = |path: String| self.there(&path).then_some(Removal::IfEmpty(path));
        removals.extend(FOLDERS.iter().filter_map(|name| empty(format!("{LIB}/{name}"))));
        removals.extend(empty(LIB.into()));
        removals.extend(conf);
        removals.extend(empty(ETC.into()));
        removals
    }

    /// The identity, and the folders that are empty then.
    pub(super) fn identity(&self) -> Vec<Removal> {
        if !self.holds_identity() {
            return Vec::new();
        }
        vec![Removal::All(OWN.into()), Removal::IfEmpty(LIB.into())]
    }

    /// Whether the node holds an identity that goes: this cluster's, or one that nobody can read where all else says
    /// that it is.
    fn holds_identity(&self) -> bool {
        match &self.node.facts.identity {
            IdentityFile::Found(id) => id.fsid == self.target.fsid,
            IdentityFile::Damaged(_) => self.claimed,
            IdentityFile::Absent => false,
        }
    }

    /// What is left in these folders, each by its topmost path.
    pub(super) fn strangers(&self) -> Vec<&str> {
        let known = |path: &str| {
            let folder = FOLDERS.iter().any(|name| path == format!("{LIB}/{name}"));
            let absent = matches!(self.node.facts.identity, IdentityFile::Absent);
            let own = path.starts_with(OWN) && (absent || self.holds_identity());
            folder || own || self.kind(path).is_some()
        };
        let mut strangers: Vec<&str> = Vec::new();
        for path in self.paths().filter(|path| !known(path)) {
            if !strangers.iter().any(|above| within(path, above)) {
                strangers.push(path);
            }
        }
        strangers.retain(|path| !self.in_ours(path));
        strangers
    }

    /// Whether a folder above goes with all that is in it.
    fn in_ours(&self, path: &str) -> bool {
        self.paths().any(|above| within(path, above) && self.kind(above).is_some())
    }

    fn paths(&self) -> impl Iterator<Item = &'a str> {
        let tree = self.node.facts.tree.iter().map(String::as_str);
        tree.filter(|path| *path != ETC && *path != LIB)
    }

    fn there(&self, path: &str) -> bool {
        self.node.facts.tree.contains(path)
    }

    /// What kind of thing of this cluster's lies at a path. `None`: it is not its.
    fn kind(&self, path: &str) -> Option<Kind> {
        let facts = self.node.facts;
        let conf = facts.conf.as_ref();
        if path == CONF {
            let ours = conf.is_some_and(|c| c.ours && c.fsid == Some(self.target.fsid));
            return ours.then_some(Kind::Conf);
        }
        if path == ADMIN_KEYRING {
            return self.key(path, |id| mon::admin_entity(id).keyring(true));
        }
        if path == volumes::KEYRING {
            return self.key(path, volumes::keyring);
        }
        if path == BOOTSTRAP_OSD_KEYRING {
            return self.key(path, |id| mon::bootstrap_osd_entity(id).keyring(true));
        }
        if let Some(whole) = path.strip_suffix(PARTIAL) {
            let name =
                [CONF, ADMIN_KEYRING, volumes::KEYRING, BOOTSTRAP_OSD_KEYRING].contains(&whole);
            return name.then_some(Kind::Plain);
        }
        let (folder, name) = path.strip_prefix(LIB)?.strip_prefix('/')?.split_once('/')?;
        let id = name.strip_prefix("ceph-")?;
        let being_made = || self.claimed.then_some(Kind::Data);
        match folder {
            "mgr" => {
                let daemon = DaemonId::mgr(&self.node.node.name);
                let keyring = format!("{}/keyring", daemon.data_dir());
                let named = path == daemon.data_dir();
                named.then(|| self.key(&keyring, |id| mgr::entity(id, &daemon).keyring(false)))?
            }
            "mon" => match facts.mon_stores.get(id) {
                Some(store) => (store.fsid == Some(self.target.fsid)).then_some(Kind::Data),
                None if is_being_made(id) => being_made(),
                None => None,
            },
            "osd" => match id.parse().ok().and_then(|number: u32| facts.osd_dirs.get(&number)) {
                Some(dir) => (dir.ceph_fsid == Some(self.target.fsid)).then_some(Kind::Data),
                None if is_being_made(id) => being_made(),
                None => None,
            },
            _ => None,
        }
    }

    /// A file with a key: the very one that the identity gives, or in a place that is cephdock's on this node.
    fn key(&self, path: &str, keyring: impl Fn(&Identity) -> Secret) -> Option<Kind> {
        let seen = self.node.facts.files.get(path).map(|f| f.sha256.as_str());
        let known = self.target.identity.as_ref().map(|id| sha256(keyring(id).expose()));
        let same = seen.is_some() && seen == known.as_deref();
        (same || self.claimed).then_some(Kind::Plain)
    }
}

/// Folders of daemons that are being made.
fn is_being_made(id: &str) -> bool {
    id.ends_with(".bootstrap") || id.ends_with(".prepare")
}

fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn claims(target: &Target, facts: &NodeFacts) -> bool {
    let fsid = Some(target.fsid);
    let conf = facts.conf.as_ref().is_some_and(|c| c.ours && c.fsid == fsid);
    let identity = matches!(&facts.identity, IdentityFile::Found(id) if Some(id.fsid) == fsid);
    let stores = facts.mon_stores.values().any(|store| store.fsid == fsid);
    let containers = facts.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
    let labels: BTreeSet<&str> =
        containers.iter().filter_map(|c| c.ours.as_ref()).map(|o| o.fsid.as_str()).collect();
    conf || identity || stores || labels.contains(target.fsid.to_string().as_str())
}
