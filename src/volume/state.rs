//! Who uses which volume on this node, and what is known of the others. The counting is pure; the file is a cache.
//!
//! Docker's ids are counted: `docker cp` mounts and unmounts with the id of the container that runs, and after a crash
//! Docker sends a `Mount` again with the same id and no `Unmount` before it. The two look alike; what tells them apart is
//! which dockerd said it, and whether anybody still has the volume.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rbd::Made;

/// One life of a dockerd.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Daemon {
    /// Its process id.
    pub pid: i32,
    /// When it was started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)): a pid that is used again is
    /// told by it.
    pub started: u64,
}

/// What one id has said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    times: u32,
    /// The dockerd that said it last; unknown where the caller was none.
    by: Option<Daemon>,
    /// How often dockerds before that one did, which have ended. With live-restore their containers may run on, and be
    /// counted out by the one of now; or they ended meanwhile, which nobody says.
    #[serde(default, skip_serializing_if = "is_zero")]
    earlier: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Count {
    fn is_over(&self) -> bool {
        self.times == 0 && self.earlier == 0
    }
}

/// The ids that use a volume, each with how often it said so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ids(BTreeMap<String, Count>);

impl Ids {
    /// `id` uses it once more, says `by`. Where nothing on the node has the volume, [`forget`](Self::forget) comes first.
    pub fn mount(&mut self, id: &str, by: Option<Daemon>) {
        let count = self.0.entry(id.to_owned()).or_insert(Count { times: 0, by: None, earlier: 0 });
        if count.by.is_some() && by.is_some() && count.by != by {
            count.earlier = count.earlier.saturating_add(count.times);
            count.times = 0;
        }
        count.times = count.times.saturating_add(1);
        count.by = by;
    }

    /// `id` uses it once less. Ids that are not known are none of ours, and no error.
    pub fn unmount(&mut self, id: &str) {
        if let Some(count) = self.0.get_mut(id) {
            let counted = if count.times > 0 { &mut count.times } else { &mut count.earlier };
            *counted = counted.saturating_sub(1);
            if count.is_over() {
                self.0.remove(id);
            }
        }
    }

    /// Takes back a [`mount`](Self::mount) that `by` has said and waits for no more. What a later dockerd has said since stays.
    pub fn undo(&mut self, id: &str, by: Option<&Daemon>) {
        match self.0.get_mut(id) {
            Some(count) if by.is_some() && count.by.as_ref() != by => {
                count.earlier = count.earlier.saturating_sub(1);
                if count.is_over() {
                    self.0.remove(id);
                }
            }
            _ => self.unmount(id),
        }
    }

    /// Forgets what dockerds said that have ended: they send no `Unmount` for it, and the `Mount` again where it is
    /// wanted again. Only right where nothing on this node has the volume: with live-restore, containers outlive dockerd.
    pub fn forget(&mut self, gone: impl Fn(&Daemon) -> bool) {
        self.0.retain(|_, count| {
            count.earlier = 0;
            if count.by.as_ref().is_some_and(&gone) {
                count.times = 0;
            }
            !count.is_over()
        });
    }

    /// Whether there is anything to [`forget`](Self::forget).
    pub fn any_of(&self, gone: impl Fn(&Daemon) -> bool) -> bool {
        self.0.values().any(|count| count.earlier > 0 || count.by.as_ref().is_some_and(&gone))
    }

    /// Whether `id` uses it.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether nobody uses it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ids use it.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// An image that this driver has mapped here, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The volume.
    pub name: String,
    /// Where the image is.
    pub pool: String,
    /// Who uses it.
    #[serde(default)]
    pub ids: Ids,
    /// Since when, RFC 3339.
    pub since: String,
    /// It is about to be mapped. Until it is, the kernel may get a device of this name at any time, and of another image
    /// too, where the name was made anew.
    #[serde(default)]
    pub begun: bool,
    /// What is wrong with it, for `docker volume inspect`.
    #[serde(default)]
    pub error: Option<String>,
}

/// A volume as Ceph described it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where the image is.
    pub pool: String,
    /// The image's id.
    pub image_id: String,
    /// Bytes.
    pub size: u64,
    /// The image's features, as `rbd` names them.
    pub features: Vec<String>,
    /// What its maker wrote down; `None`: an image of somebody else.
    pub made: Option<Made>,
    /// It has a filesystem: this never turns back.
    pub formatted: bool,
}

/// What is kept over restarts of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The boot that the holds are of.
    pub boot_id: String,
    /// By image id: a name that was made anew is another image.
    #[serde(default)]
    pub holds: BTreeMap<String, Hold>,
    /// By name.
    #[serde(default)]
    pub known: BTreeMap<String, Known>,
}

impl State {
    /// What `path` holds; nothing where there is none. Holds of an earlier boot are dropped: no mapping outlives one.
    ///
    /// # Errors
    /// It cannot be read, or is no state.
    pub fn load(path: &Path, boot_id: &str) -> io::Result<Self> {
        let mut state = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        if state.boot_id != boot_id {
            state.holds.clear();
            boot_id.clone_into(&mut state.boot_id);
        }
        Ok(state)
    }

    /// Writes it so that a crash at any moment leaves the old file or the new one.
    ///
    /// # Errors
    /// The disk is full or read-only; the old file is still there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("tmp");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    }

    /// The image that `name` stands for here: the one in use, if any.
    pub fn used(&self, name: &str) -> Option<(&String, &Hold)> {
        self.holds.iter().find(|(_, hold)| hold.name == name && !hold.ids.is_empty())
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
