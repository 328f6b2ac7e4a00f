//! Which device an image has on this node: mapped by us, by somebody else, or by a driver that was killed.

use std::sync::Arc;

use tokio::time::Instant;

use super::mount::Failed;
use super::{Driver, FEATURES, LOCK_TIMEOUT, Level, SIGNED_AFTER, locked};
use crate::volume::kernel::{Device, Kernel};
use crate::volume::options::Lock;
use crate::volume::rbd::{Kind, Made, Owner, Rbd};
use crate::volume::state::{Hold, Known};
use crate::volume::{Trouble, time};

impl<R: Rbd, K: Kernel> Driver<R, K> {
    pub(super) async fn map(
        self: &Arc<Self>,
        name: &str,
        known: &Known,
        made: &Made,
        read_only: bool,
    ) -> Result<Device, Failed> {
        self.mappable(name, known)?;
        if made.lock == Lock::Shared && !read_only {
            match self.who_has(name, known).await {
                Ok(None) => {}
                Ok(Some(trouble)) => return Err(Failed::Final(trouble)),
                Err(error) => return Err(self.failed(name, &error)),
            }
        }
        // written down before: whatever becomes of this process, the next one knows that this mapping is its own
        let hold =
            Hold { pool: known.pool.clone(), begun: true, ..self.hold(name, &known.image_id) };
        self.change(|state| drop(state.holds.insert(known.image_id.clone(), hold)));
        let mut options: Vec<String> =
            self.kernel.map_options().map(str::to_owned).into_iter().collect();
        if !read_only {
            options.push(format!("lock_timeout={LOCK_TIMEOUT}"));
            if made.lock == Lock::Exclusive {
                options.push("exclusive".into());
            }
        }
        let mapped = self.rbd.map(&known.pool, name, &options.join(","), read_only).await;
        let path = match mapped {
            Err(error) if error.kind == Kind::Fenced => {
                // the node's other mappings share a client that was shut out: this one gets its own
                options.push("noshare".into());
                self.rbd.map(&known.pool, name, &options.join(","), read_only).await
            }
            other => other,
        };
        let path = match path {
            Ok(path) => path,
            Err(error) if error.kind == Kind::Locked && self.device(&known.image_id).is_some() => {
                // by an `rbd map` of the driver before this one, which has just come to its end
                return Err(Failed::Silent(self.explain(name, &error)));
            }
            Err(error) if error.kind == Kind::Locked => {
                let other = match self.who_has(name, known).await {
                    Ok(Some(trouble)) => Failed::Final(trouble),
                    Ok(None) => Failed::Silent(self.explain(name, &error)), // it has just let go
                    Err(_) => Failed::Final(self.explain(name, &error)),
                };
                return Err(other);
            }
            Err(error) if error.kind == Kind::NotFound => {
                return Err(Failed::Changed(self.explain(name, &error)));
            }
            Err(error) => {
                // what was remembered of its features may be out of date
                if error.kind == Kind::Other
                    && let Ok(Some(now)) = self.look(name).await
                {
                    self.mappable(name, &now)?;
                }
                return Err(self.failed(name, &error));
            }
        };
        let device = self.kernel.devices().into_iter().find(|d| d.path() == path);
        match device {
            Some(device) if device.image_id == known.image_id => {
                locked(&self.confirmed).insert(name.into(), Instant::now());
                self.sign(name, known, &device);
                Ok(device)
            }
            _ => {
                drop(self.rbd.unmap(&path).await);
                let what = format!("volume {name} was removed and made anew at this moment");
                Err(Failed::Changed(Trouble::new(what, "try again")))
            }
        }
    }

    /// Whether this kernel has all that the image needs.
    pub(super) fn mappable(&self, name: &str, known: &Known) -> Result<(), Failed> {
        let Some(can) = self.kernel.features() else { return Ok(()) };
        let bit = |feature: &String| match feature.as_str() {
            "striping" => 2,
            "journaling" => 64,
            "data-pool" => 128,
            other => FEATURES.iter().find(|f| f.1 == other).map_or(0, |f| f.0),
        };
        let missing: Vec<&str> =
            known.features.iter().filter(|f| bit(f) & !can != 0).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = missing.join(" ");
        Err(Failed::Final(Trouble::new(
            format!(
                "volume {name} needs {list}, which the kernel of node {} does not have",
                self.settings.node
            ),
            format!(
                "take it away from the image: `rbd feature disable {}/{name} {list}`",
                known.pool
            ),
        )))
    }

    /// Notes who has it. For people: the kernel's lock does not depend on it, so nobody waits, and what is let go of at
    /// once is not noted.
    fn sign(self: &Arc<Self>, name: &str, known: &Known, device: &Device) {
        let owner = Owner {
            node: self.settings.node.clone(),
            client_addr: device.client.clone(),
            boot_id: self.boot_id.clone(),
            time: time::now(),
        };
        let text = serde_json::to_string(&owner).expect("plain data");
        let (driver, known, name) = (Arc::clone(self), known.clone(), name.to_owned());
        let device = device.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SIGNED_AFTER).await;
            let _turn = driver.signing.lock().await;
            if driver.device(&known.image_id) != Some(device) {
                return;
            }
            if let Err(error) = driver.rbd.set_owner(&known.pool, &known.image_id, &text).await {
                (driver.log)(
                    Level::Warning,
                    &format!("{name}: the owner cannot be noted: {error}"),
                );
            }
        });
    }

    pub(super) fn is_held(&self, image_id: &str) -> bool {
        locked(&self.state).holds.contains_key(image_id)
    }

    /// Takes away what somebody has mapped by hand and does not use: nobody knows whether it is exclusive, and a lock that
    /// is handed over to another node lets two write.
    pub(super) async fn unmap_anothers(&self, name: &str, device: &Device) -> Result<(), Failed> {
        let path = device.path();
        let mounted = self.kernel.mounts().iter().any(|m| m.major_minor == device.major_minor);
        let unmapped = if mounted || self.kernel.used(device, &self.settings.volumes()) {
            Err("it is mounted".to_owned())
        } else {
            self.rbd.unmap(&path).await.map_err(|e| e.to_string())
        };
        let path = path.display();
        unmapped.map_err(|why| {
            Failed::Final(Trouble::new(
                format!("volume {name} is mapped on this node by somebody else, as {path}: {why}"),
                format!("end what uses {path}, then `rbd unmap {path}`, and try again"),
            ))
        })?;
        (self.log)(Level::Warning, &format!("{name}: unmapped {path}, which was mapped by hand"));
        Ok(())
    }

    /// What was mapped by the name of an image that was to be, where the name stood for another one by then: not an image
    /// that is held, and nothing that anybody has mounted.
    pub(super) fn mapped_instead(&self, image_id: &str) -> Option<Device> {
        let state = locked(&self.state);
        let hold = state.holds.get(image_id).filter(|hold| hold.begun)?;
        let ours = |d: &Device| {
            (&d.pool, &d.name) == (&hold.pool, &hold.name)
                && !state.holds.contains_key(&d.image_id)
                && !self.kernel.mounts().iter().any(|m| m.major_minor == d.major_minor)
                && !self.kernel.used(d, &self.settings.volumes())
        };
        self.kernel.devices().into_iter().find(ours)
    }

    /// Whether an image may be mapped any moment: by an `rbd map` that a driver has started which was killed. It waits for
    /// Ceph as long as it takes, whatever `lock_timeout` is.
    pub(in crate::volume) fn may_come(&self, image_id: &str) -> bool {
        let begun = locked(&self.state).holds.get(image_id).filter(|hold| hold.begun).cloned();
        begun.is_some_and(|hold| {
            self.device(image_id).or_else(|| self.mapped_instead(image_id)).is_none()
                && self.kernel.mapping(&hold.pool, &hold.name)
        })
    }
}
