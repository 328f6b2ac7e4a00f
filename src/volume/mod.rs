//! The volume driver that Docker on each node talks to: `cephdock volume-driver`.
//!
//! ```text
//! dockerd ── unix socket ── server ── protocol ── driver ── rbd      the cluster, by the host's `rbd`
//!                                                   │  └─── kernel   this node: krbd's devices, mounts, filesystems
//!                                                 state     who uses what here, and what is known of the rest
//!                                              reconcile    brings the node in line with the state
//! ```
//!
//! `cephdock volume`, which an operator runs over all nodes at once, is another matter: its map is in `fleet`.
//!
//! What holds everywhere: the kernel is right, then Ceph, then the state file. What is mapped is told apart by image id,
//! never by name. Nothing is forced: a device or a filesystem that is in use stays, and is tried again.

use std::fmt;

pub mod command;
pub mod driver;
pub mod fleet;
pub mod kernel;
pub mod options;
pub mod program;
pub mod protocol;
pub mod rbd;
mod reconcile;
pub mod server;
pub mod state;
pub mod time;
pub mod unit;

/// The key of an image's metadata that holds [`rbd::Made`]: only an image with it is ours.
pub const META_VOLUME: &str = "cephdock.volume";
/// `new` until the image has a filesystem, then `formatted`. Only a `new` one is ever formatted.
pub const META_STATE: &str = "cephdock.state";
/// Images that are being made have names that begin with this; they get their own when they are complete.
pub const UNFINISHED: &str = "cephdock.new.";
/// The folder in a volume's filesystem that containers see. Beside it is `lost+found`, which databases and Docker's
/// copying of an image's content would stumble over.
pub const DATA: &str = "data";

/// What went wrong and what to do about it: Docker shows it to the user as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Trouble {
    /// What was seen.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Trouble {
    /// A sentence in two halves.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.hint)
    }
}

/// Checks a volume's name, which is the image's too: what Docker itself allows for its own volumes.
///
/// # Errors
/// It is longer than 90 characters, has others than letters, digits, `_`, `.` and `-`, or one of [`UNFINISHED`]'s beginnings.
pub fn check_name(name: &str) -> Result<(), Trouble> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts || !name.chars().all(fine) || name.len() > 90 {
        return Err(Trouble::new(
            format!("{name:?} cannot be the name of a volume"),
            "use up to 90 letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
        ));
    }
    if name.starts_with(UNFINISHED) {
        return Err(Trouble::new(
            format!("names that begin with {UNFINISHED} are for images that are being made"),
            "choose another name",
        ));
    }
    Ok(())
}
