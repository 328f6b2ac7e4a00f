//! `Mount` and `Unmount`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, Level, REMEMBERED, foreign, locked};
use crate::volume::kernel::{Device, Folder, Kernel};
use crate::volume::options::Fs;
use crate::volume::rbd::{Kind, Made, Rbd, RbdError};
use crate::volume::state::{Daemon, Hold, Ids, Known};
use crate::volume::{DATA, META_STATE, Trouble, check_name, time};

/// How long a mount waits for a Ceph that does not answer: after a boot its daemons come up beside the containers that
/// want its volumes, and Docker does not try those again.
const WAIT_FOR_CEPH: Duration = Duration::from_secs(90);

/// An attempt that came to nothing.
pub(super) enum Failed {
    /// Worth another one: Ceph may come back.
    Silent(Trouble),
    /// Worth another one at once: the name stands for another image than a moment ago.
    Changed(Trouble),
    Final(Trouble),
}

impl<R: Rbd, K: Kernel> Driver<R, K> {
    /// Sees to it that a volume is mounted here, counts `id` in, and says where.
    pub(super) async fn mount(
        self: &Arc<Self>,
        name: &str,
        id: &str,
        by: Option<Daemon>,
    ) -> Result<String, Trouble> {
        check_name(name)?;
        let _turn = self.turn(name).await;
        if let Some(image_id) = self.in_use(name) {
            return Ok(self.count(name, &image_id, id, by));
        }
        let begun = Instant::now();
        let (mut pause, mut changed) = (Duration::from_millis(300), 0);
        loop {
            let trouble = match self.attempt(name).await {
                Ok(image_id) => return Ok(self.count(name, &image_id, id, by)),
                Err(Failed::Final(trouble)) => return Err(trouble),
                Err(Failed::Changed(trouble)) => {
                    changed += 1;
                    self.forget(name);
                    if changed > 2 {
                        return Err(trouble);
                    }
                    continue;
                }
                Err(Failed::Silent(trouble)) => trouble,
            };
            if begun.elapsed() + pause > WAIT_FOR_CEPH {
                return Err(trouble);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// The image of a volume that is in use here and mounted: another user needs no word from Ceph.
    fn in_use(&self, name: &str) -> Option<String> {
        let image_id = locked(&self.state).used(name)?.0.clone();
        self.mounted(name, &image_id).then_some(image_id)
    }

    fn mounted(&self, name: &str, image_id: &str) -> bool {
        let at = self.settings.mountpoint(name, image_id);
        self.device(image_id).is_some_and(|device| {
            let ours = |m: &crate::volume::kernel::Mounted| {
                m.at == at && m.major_minor == device.major_minor
            };
            self.kernel.mounts().iter().any(ours)
        })
    }

    fn count(&self, name: &str, image_id: &str, id: &str, by: Option<Daemon>) -> String {
        let gone = |old: &Daemon| !self.kernel.alive(old);
        let stale = locked(&self.state).holds.get(image_id).is_some_and(|h| h.ids.any_of(gone));
        let unused = stale
            && self
                .device(image_id)
                .is_none_or(|d| !self.kernel.used(&d, &self.settings.volumes()));
        let hold = self.hold(name, image_id);
        self.change(|state| {
            let hold = state.holds.entry(image_id.into()).or_insert(hold);
            if unused {
                hold.ids.forget(gone);
            }
            hold.ids.mount(id, by);
            (hold.begun, hold.error) = (false, None);
        });
        self.exposed(name, image_id)
    }

    pub(super) fn hold(&self, name: &str, image_id: &str) -> Hold {
        let pool = self.device(image_id).map(|d| d.pool).unwrap_or_default();
        let (since, ids) = (time::now(), Ids::default());
        Hold { name: name.into(), pool, ids, since, begun: false, error: None }
    }

    async fn attempt(self: &Arc<Self>, name: &str) -> Result<String, Failed> {
        let asked = match self.remembered(name) {
            Some(known) => Ok(Some(known)),
            None => self.look(name).await,
        };
        let known = match asked {
            Ok(Some(known)) => known,
            Ok(None) => {
                let what = format!("there is no volume {name} any more");
                return Err(Failed::Final(Trouble::new(what, "make it first, and try again")));
            }
            Err(error) => return Err(self.failed(name, &error)),
        };
        let Some(made) = known.made.clone() else {
            return Err(Failed::Final(foreign(&known.pool, name)));
        };
        let image_id = known.image_id.clone();
        let mounted = self.map_and_mount(name, known, &made).await;
        if mounted.is_err()
            && let Err(why) = self.release(&image_id).await
        {
            (self.log)(Level::Warning, &format!("{name}: {why}"));
        }
        mounted.map(|()| image_id)
    }

    /// What Ceph has said of a volume a moment ago, as it does whenever Docker asks before it mounts, where all that it takes
    /// to map it stays so: what its maker wrote, and that it is formatted. Whether the name stands for the same image still,
    /// its device tells by the image's id. After longer than that the name may stand for one that is mapped otherwise, and
    /// to map that would break its user's lock.
    fn remembered(&self, name: &str) -> Option<Known> {
        // something of that name is still mapped: whether it is the same image is worth a question
        if self.kernel.devices().iter().any(|d| d.name == name) {
            return None;
        }
        locked(&self.confirmed).get(name).filter(|at| at.elapsed() < REMEMBERED)?;
        let known = locked(&self.state).known.get(name).cloned();
        let here = |k: &Known| self.settings.pools.contains(&k.pool);
        known.filter(|k| {
            here(k) && k.formatted && k.made.is_some() && self.mappable(name, k).is_ok()
        })
    }

    async fn map_and_mount(
        self: &Arc<Self>,
        name: &str,
        mut known: Known,
        made: &Made,
    ) -> Result<(), Failed> {
        if self.mounted(name, &known.image_id) {
            return Ok(()); // left by a driver that was killed, or by a container that has just ended
        }
        // a filesystem that was copied as it was has a journal to be replayed before nobody may write
        let read_only = made.read_only && known.formatted;
        let device = match self.device(&known.image_id) {
            Some(device) if self.is_held(&known.image_id) => device,
            Some(device) => {
                self.unmap_anothers(name, &device).await?;
                self.map(name, &known, made, read_only).await?
            }
            None => self.map(name, &known, made, read_only).await?,
        };
        if let Some(size) = self.kernel.size(&device).filter(|size| *size != known.size) {
            known.size = size; // it has grown since somebody looked
            self.change(|state| drop(state.known.insert(name.into(), known.clone())));
        }
        if !known.formatted {
            self.format(name, &mut known, made, &device).await?;
        }
        let at = self.settings.mountpoint(name, &known.image_id);
        self.mount_fs(name, made, &device, &at, read_only).await?;
        // one made from a snapshot may have had an image that had grown, and a filesystem that had not yet
        if !read_only && (known.size > made.size || made.from.is_some()) {
            // a volume that has not grown is better than none
            if let Err(error) = self.kernel.grow(&device.path(), &at, made.fs).await {
                (self.log)(
                    Level::Warning,
                    &format!("{name}: its filesystem has not grown: {error}"),
                );
            }
        }
        if !read_only {
            let folder = Folder { mode: made.mode, uid: made.uid, gid: made.gid };
            self.kernel.make_folder(&at.join(DATA), folder).map_err(|error| {
                let what = format!("volume {name}: nothing can be written to it: {error}");
                Failed::Final(Trouble::new(
                    what,
                    "see `dmesg` on this node, and `ceph -s` for room",
                ))
            })?;
        }
        if !known.formatted {
            self.note_formatted(name, &known, &at, &device).await?;
            let what = format!("volume {name} has just been formatted");
            return Err(Failed::Changed(Trouble::new(what, "try again")));
        }
        Ok(())
    }

    /// Writes down that an image has its filesystem and its folder. Nobody can while it is mapped exclusively, so it is
    /// let go of first, before anybody has written anything to it; where that is cut off, the filesystem that is found
    /// says the same.
    async fn note_formatted(
        &self,
        name: &str,
        known: &Known,
        at: &Path,
        device: &Device,
    ) -> Result<(), Failed> {
        let busy = |why: String| {
            let what = format!("volume {name} was formatted, and is busy: {why}");
            Failed::Final(Trouble::new(what, "try again"))
        };
        self.kernel.unmount(at).await.map_err(|e| busy(e.to_string()))?;
        self.rbd.unmap(&device.path()).await.map_err(|e| busy(e.to_string()))?;
        let set = self.rbd.set_meta(&known.pool, name, META_STATE, "formatted").await;
        set.map_err(|e| self.failed(name, &e))
    }

    pub(super) fn failed(&self, name: &str, error: &RbdError) -> Failed {
        let trouble = self.explain(name, error);
        if error.kind == Kind::Silent { Failed::Silent(trouble) } else { Failed::Final(trouble) }
    }

    /// Formats an image that was made for it and has nothing on it; leaves one that was formatted before it was cut off.
    async fn format(
        &self,
        name: &str,
        known: &mut Known,
        made: &Made,
        device: &Device,
    ) -> Result<(), Failed> {
        let meta = self.rbd.meta(&known.pool, name).await.map_err(|e| self.failed(name, &e))?;
        let state = meta.get(META_STATE).map_or("", String::as_str);
        if state == "formatted" {
            known.formatted = true; // another node was faster
            return Ok(());
        }
        let path = device.path();
        let final_ = |what: String, hint: &str| Failed::Final(Trouble::new(what, hint));
        let failed = |error: crate::volume::command::Failed| {
            final_(
                format!("volume {name} cannot be formatted: {error}"),
                "see `ceph -s` for room and health, and try again",
            )
        };
        match self.kernel.signature(&path).await.map_err(failed)? {
            None if state == "new" => {
                (self.log)(
                    Level::Info,
                    &format!("{name}: formats {} with {}", path.display(), made.fs.name()),
                );
                self.kernel.format(&path, made.fs).await.map_err(failed)
            }
            Some(found) if found == made.fs.name() => Ok(()),
            found => Err(final_(
                format!(
                    "volume {name} has {} on it where {} was expected",
                    found.as_deref().unwrap_or("nothing"),
                    made.fs.name()
                ),
                "nothing was formatted: look at the image, and remove it if nobody needs it",
            )),
        }
    }

    async fn mount_fs(
        &self,
        name: &str,
        made: &Made,
        device: &Device,
        at: &Path,
        read_only: bool,
    ) -> Result<(), Failed> {
        let mut options = made.mount_options.clone();
        if read_only {
            options.push("ro".into());
        }
        if made.from.is_some() && made.fs == Fs::Xfs {
            options.push("nouuid".into()); // it has its origin's, which may be mounted here too
        }
        let (path, options) = (device.path(), options.join(","));
        let Err(first) = self.kernel.mount(&path, at, made.fs, &options).await else {
            return Ok(());
        };
        let failed = |why: &dyn std::fmt::Display| {
            Failed::Final(Trouble::new(
                format!("volume {name} cannot be mounted: {why}"),
                format!(
                    "nothing was lost or formatted; where its mount options are not at fault, map it and repair it by hand (fsck.{})",
                    made.fs.name()
                ),
            ))
        };
        if read_only {
            return Err(failed(&first));
        }
        (self.log)(Level::Warning, &format!("{name}: {first}; it is checked"));
        self.kernel.repair(&path, made.fs).await.map_err(|_| failed(&first))?;
        self.kernel.mount(&path, at, made.fs, &options).await.map_err(|e| failed(&e))
    }

    /// Counts `id` out, and lets go of the volume after the last one. There is nothing that Docker could do about an
    /// error: what is still busy is tried again later.
    pub(super) async fn unmount(&self, name: &str, id: &str) {
        self.count_out(name, id, |ids| ids.unmount(id)).await;
    }

    /// Counts `id` out as far as the dockerd `by` has counted it in.
    pub(super) async fn undo(&self, name: &str, id: &str, by: Option<&Daemon>) {
        self.count_out(name, id, |ids| ids.undo(id, by)).await;
    }

    async fn count_out(&self, name: &str, id: &str, count: impl FnOnce(&mut Ids)) {
        let _turn = self.turn(name).await;
        let unused = self.change(|state| {
            let mut holds = state.holds.iter_mut().filter(|(_, h)| h.name == name && h.ids.has(id));
            let (image_id, hold) = holds.next()?;
            count(&mut hold.ids);
            hold.ids.is_empty().then(|| image_id.clone())
        });
        if let Some(image_id) = unused
            && let Err(why) = self.release(&image_id).await
        {
            (self.log)(Level::Warning, &format!("{name}: {why}; it is tried again"));
            self.nudge.notify_one();
        }
    }

    /// Unmounts and unmaps an image that nobody uses. The caller has the volume's turn.
    pub(in crate::volume) async fn release(&self, image_id: &str) -> Result<(), String> {
        let used = |state: &crate::volume::state::State| {
            state.holds.get(image_id).is_none_or(|hold| !hold.ids.is_empty())
        };
        if used(&locked(&self.state)) {
            return Ok(());
        }
        if self.may_come(image_id) {
            return Err("an `rbd map` of it has not ended".into());
        }
        let let_go = async {
            let device = self.device(image_id).or_else(|| self.mapped_instead(image_id));
            let Some(device) = device else { return Ok(()) };
            let root = self.settings.volumes();
            for mount in self.kernel.mounts() {
                if mount.major_minor == device.major_minor && mount.at.starts_with(&root) {
                    self.kernel.unmount(&mount.at).await.map_err(|e| e.to_string())?;
                }
            }
            self.rbd.unmap(&device.path()).await.map_err(|e| e.to_string())
        };
        let result = let_go.await;
        self.change(|state| match &result {
            Ok(()) => drop(state.holds.remove(image_id)),
            Err(why) => {
                if let Some(hold) = state.holds.get_mut(image_id) {
                    hold.error =
                        Some(format!("nobody uses it here, and it cannot be let go of: {why}"));
                }
            }
        });
        result
    }
}
