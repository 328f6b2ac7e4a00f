//! Brings the node in line with what is used: at start, every minute, and soon after something stayed busy.

use std::sync::Arc;
use std::time::Duration;

use super::driver::{Driver, Level};
use super::kernel::Kernel;
use super::rbd::Rbd;
use super::state::{Hold, Ids};
use super::time;

const MINUTE: Duration = Duration::from_secs(60);

impl<R: Rbd, K: Kernel> Driver<R, K> {
    /// Reconciles for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut pause = Duration::from_secs(1);
        loop {
            let clean = self.reconcile().await;
            pause = if clean { MINUTE } else { (pause * 2).min(MINUTE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudge.notified() => {
                    pause = Duration::from_millis(500);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Once: forgets users that are gone, and lets go of what nobody uses. Whether nothing is left to be done.
    pub async fn reconcile(self: &Arc<Self>) -> bool {
        self.adopt();
        let (_, kernel, settings, log) = self.parts();
        let root = settings.volumes();
        let holds: Vec<(String, String)> = self
            .change(|s| s.holds.iter().map(|(id, hold)| (id.clone(), hold.name.clone())).collect());
        let mut clean = true;
        for (image_id, name) in holds {
            let Ok(_turn) = self.turn_of(&name).try_lock_owned() else { continue };
            let device = self.device(&image_id);
            let used = device.as_ref().is_some_and(|device| kernel.used(device, &root));
            let mounted = device.as_ref().is_some_and(|device| {
                kernel
                    .mounts()
                    .iter()
                    .any(|m| m.major_minor == device.major_minor && m.at.starts_with(&root))
            });
            let unused = self.change(|state| {
                let Some(hold) = state.holds.get_mut(&image_id) else { return false };
                if !used && !mounted {
                    hold.ids = Ids::default(); // a reboot, or a hand: the kernel knows better than we do
                } else if !used {
                    hold.ids.forget(|daemon| !kernel.alive(daemon));
                }
                hold.ids.is_empty()
            });
            if !unused {
                continue;
            }
            if used || self.may_come(&image_id) {
                clean = false; // by whom we do not know; the kernel does
                continue;
            }
            match self.release(&image_id).await {
                Ok(()) => log(Level::Info, &format!("{name}: nobody uses it any more; let go of")),
                Err(why) => {
                    clean = false;
                    log(Level::Warning, &format!("{name}: {why}; it is tried again"));
                }
            }
        }
        clean
    }

    /// Takes up what is mounted below our folder and not in the state, which was lost.
    fn adopt(&self) {
        let (_, kernel, settings, _) = self.parts();
        let root = settings.volumes();
        let devices = kernel.devices();
        for mount in kernel.mounts() {
            let Some(device) = devices.iter().find(|d| d.major_minor == mount.major_minor) else {
                continue;
            };
            let Ok(folder) = mount.at.strip_prefix(&root) else { continue };
            let suffix = format!(".{}", device.image_id);
            let folder = folder.to_string_lossy();
            let Some(name) = folder.strip_suffix(&suffix) else { continue };
            self.change(|state| {
                state.holds.entry(device.image_id.clone()).or_insert_with(|| Hold {
                    name: name.into(),
                    pool: device.pool.clone(),
                    ids: Ids::default(),
                    since: time::now(),
                    begun: false,
                    error: None,
                });
            });
        }
    }
}
