//! What makes a node a client: Ceph's host tools, the package manager that can bring them, the kernel's rbd.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one look at a node showed of it as a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientFacts {
    /// The package manager it has; `None`: none that cephdock knows.
    pub manager: Option<PackageManager>,
    /// The program `ceph` is on root's path.
    pub ceph: bool,
    /// The version that the program `rbd` says it is, such as `18.2.7`. `None`: it is not there, or does not run.
    pub rbd: Option<String>,
    /// The running kernel's rbd.
    pub module: RbdModule,
    /// The image features that it can map, as the bits of librbd's `RBD_FEATURE_…` (1: layering); known once it is loaded,
    /// since Linux 4.11 (`supported_features` in its Documentation/ABI/testing/sysfs-bus-rbd).
    pub features: Option<u64>,
}

/// A package manager. A node that has several is taken to use the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian, Ubuntu and their kin.
    Apt,
    /// Fedora and the later Red Hat kin.
    Dnf,
    /// The earlier Red Hat kin.
    Yum,
    /// SUSE.
    Zypper,
    /// Alpine.
    Apk,
}

/// The rbd block device driver of the running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RbdModule {
    /// The kernel has none: no RBD image can be mapped.
    #[default]
    Absent,
    /// A module that is not loaded.
    Loadable,
    /// A module that is loaded.
    Loaded,
    /// A part of the kernel itself.
    Builtin,
}

impl PackageManager {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Yum, Self::Zypper, Self::Apk];

    /// Its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Yum => "yum",
            Self::Zypper => "zypper",
            Self::Apk => "apk",
        }
    }
}

impl fmt::Display for PackageManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.program())
    }
}

impl RbdModule {
    /// Images can be mapped, now or once it is loaded.
    pub fn is_available(self) -> bool {
        self != Self::Absent
    }

    /// Images can be mapped now.
    pub fn is_loaded(self) -> bool {
        matches!(self, Self::Loaded | Self::Builtin)
    }
}

impl ClientFacts {
    /// All that `ceph-common` is installed for is there and runs.
    pub fn has_tools(&self) -> bool {
        self.ceph && self.rbd.is_some()
    }
}

/// The release in a version: 18 in `18.2.7`.
pub fn release(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// Lines `manager PROGRAM`, `ceph`, `rbd WHAT IT SAYS`, `module STATE` and `features BITS` of the probe.
pub(super) fn parse(body: &str) -> ClientFacts {
    let mut facts = ClientFacts::default();
    for line in body.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "manager" => {
                let named = PackageManager::ALL.into_iter().find(|m| m.program() == value);
                facts.manager = facts.manager.or(named);
            }
            "ceph" => facts.ceph = true,
            "rbd" => facts.rbd = version(value),
            "features" => {
                facts.features = u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
            }
            "module" => {
                facts.module = match value {
                    "loadable" => RbdModule::Loadable,
                    "loaded" => RbdModule::Loaded,
                    "builtin" => RbdModule::Builtin,
                    _ => RbdModule::Absent,
                }
            }
            _ => {}
        }
    }
    facts
}

/// `ceph version 18.2.7 (6b0e…) reef (stable)`, as all Ceph programs say it.
fn version(said: &str) -> Option<String> {
    let version = said.strip_prefix("ceph version ")?.split(' ').next()?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_everything() {
        let facts = parse(
            "manager apt-get\nmanager dnf\nceph\n\
             rbd ceph version 18.2.7 (6b0e988052ec84cf2d4a54ff9bbbc5e720b621ad) reef (stable)\nmodule loaded\nfeatures 0x3d\n",
        );
        assert_eq!(facts.manager, Some(PackageManager::Apt));
        assert_eq!(facts.rbd.as_deref(), Some("18.2.7"));
        assert!(facts.has_tools() && facts.module.is_loaded());
        assert_eq!(facts.features, Some(0x3d));
    }

    #[test]
    fn tools_that_do_not_run_and_strangers() {
        let broken = parse("ceph\nrbd rbd: error while loading shared libraries: librbd.so.1\n");
        assert_eq!((broken.ceph, &broken.rbd, broken.has_tools()), (true, &None, false));
        let other = parse("manager pacman\n");
        assert_eq!(other, ClientFacts::default());
        assert!(!other.module.is_available());
        let built = parse("ceph\nrbd ceph version Development (no_version) tentacle (dev)\n");
        assert!(built.has_tools() && release("Development").is_none());
    }

    #[test]
    fn a_module_that_could_be_loaded() {
        let module = parse("module loadable").module;
        assert!(module.is_available() && !module.is_loaded());
        assert!(parse("module builtin").module.is_loaded());
    }
}
