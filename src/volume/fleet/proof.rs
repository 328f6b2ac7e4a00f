//! `volume test`: the same data on every node. What each node writes and reads, and whether it was right. Pure.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::inventory::NodeName;

/// What the first node writes.
pub const PROOF: &str = "can_you_see_me";
/// Names of volumes that are made for it begin so.
pub const PREFIX: &str = "cephdock-test-";

/// A trial: what was found on each node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The volume, which is gone again.
    pub volume: String,
    /// The driver.
    pub driver: String,
    /// Each node, in the order of their turns.
    pub nodes: Vec<Turn>,
    /// What could not be cleaned up, a phrase each.
    pub left: Vec<String>,
}

impl Trial {
    /// Whether every node could.
    pub fn passed(&self) -> bool {
        self.left.is_empty()
            && !self.nodes.is_empty()
            && self.nodes.iter().all(|n| n.error.is_none())
    }
}

/// A node's turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Which.
    pub node: NodeName,
    /// What it did: `wrote`, or `read and added a line`.
    pub did: Option<&'static str>,
    /// Seconds from the start of its container to its end.
    pub seconds: Option<f64>,
    /// SHA-256 (hex) of what was there when it ended.
    pub sha256: Option<String>,
    /// Why it could not.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The file as it has to be, after those that had their turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File(String);

impl File {
    /// Whether nobody has written yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a node does in its turn: a shell script.
    pub fn script(&self, node: &NodeName) -> String {
        if self.is_empty() {
            return format!(
                "set -e; echo {PROOF} >/data/proof; sync /data/proof; sha256sum /data/proof"
            );
        }
        // names of nodes are letters, digits and hyphens
        format!(
            "set -e; sha256sum /data/proof; cat /data/proof; echo '{}' >>/data/proof; sync /data/proof; sha256sum /data/proof",
            line(node)
        )
    }

    /// The file after a node's turn, and its checksum, SHA-256 in hex.
    ///
    /// # Errors
    /// What the node saw instead.
    pub fn after(&self, node: &NodeName, said: &str) -> Result<(Self, String), String> {
        let next = if self.is_empty() {
            Self(format!("{PROOF}\n"))
        } else {
            Self(format!("{}{}\n", self.0, line(node)))
        };
        let before = if self.is_empty() {
            String::new()
        } else {
            format!("{}  /data/proof\n{}", self.sum(), self.0)
        };
        let expected = format!("{before}{}  /data/proof", next.sum());
        let (said, sum) = (said.trim(), next.sum());
        if said == expected {
            return Ok((next, sum));
        }
        if !self.is_empty() && !said.contains(PROOF) {
            return Err("it does not see what the first node wrote".into());
        }
        let last = said.lines().last().unwrap_or("nothing");
        Err(format!("it sees other data than was written: {last}"))
    }

    fn sum(&self) -> String {
        Sha256::digest(&self.0).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        })
    }
}

fn line(node: &NodeName) -> String {
    format!("{node} can see it")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs a turn's script on a file of this machine.
    fn turn(file: &File, node: &NodeName, folder: &std::path::Path) -> String {
        let script = file.script(node).replace("/data", &folder.to_string_lossy());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.replace(&*folder.to_string_lossy(), "/data")
    }

    #[test]
    fn nodes_read_what_others_wrote_or_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (NodeName::new("B1").unwrap(), NodeName::new("B-2").unwrap());
        let nobody = File::default();
        let said = turn(&nobody, &a, folder.path());
        let (first, sum) = nobody.after(&a, &said).unwrap();
        assert_eq!(sum.len(), 64);
        let said = turn(&first, &b, folder.path());
        let (second, other) = first.after(&b, &said).unwrap();
        assert_ne!(sum, other);
        assert_eq!(second.0, "can_you_see_me\nB-2 can see it\n");
        // one that has an earlier state of it, and one that has nothing
        let old = second.after(&b, &said).unwrap_err();
        assert!(old.contains("other data"), "{old}");
        let empty = second.after(&b, "e3b0  /data/proof").unwrap_err();
        assert!(empty.contains("does not see"), "{empty}");
    }
}
