//! A node whose driver can be killed before and after everything it asks of the cluster or has done, and which keeps an
//! eye on what is never right.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cephdock::volume::command::Failed;
use cephdock::volume::kernel::{Device, Folder, Kernel, Mounted};
use cephdock::volume::options::Fs;
use cephdock::volume::rbd::{Image, Rbd, RbdError};
use cephdock::volume::state::Daemon;
use tokio::sync::Notify;

use super::Node;

/// One life of a driver.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// How many steps are left, where it is to be killed.
    left: Mutex<Option<u32>>,
    ended: Notify,
}

impl Life {
    pub(crate) fn ends_after(&self, steps: u32) {
        *self.left.lock().unwrap() = Some(steps);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.left.lock().unwrap() == Some(0)
    }

    pub(crate) async fn over(&self) {
        self.ended.notified().await;
    }

    /// A driver that was killed does nothing any more.
    async fn step(&self) {
        {
            let mut left = self.left.lock().unwrap();
            match left.as_mut() {
                None => return,
                Some(0) => {}
                Some(1) => {
                    *left = Some(0);
                    self.ended.notify_one();
                }
                Some(steps) => {
                    *steps -= 1;
                    return;
                }
            }
        }
        pending::<()>().await;
    }

    async fn during<F: Future>(&self, work: F) -> F::Output {
        self.step().await;
        let done = work.await;
        self.step().await;
        done
    }
}

/// What its driver sees of a node.
#[derive(Debug, Clone)]
pub(crate) struct Mortal {
    pub(crate) node: Node,
    pub(crate) life: Arc<Life>,
    pub(crate) boot: u32,
    /// What was done and is never right.
    pub(crate) wrong: Arc<Mutex<Vec<String>>>,
}

impl Mortal {
    fn is_used(&self, device: &Device, what: &str) {
        if self.node.used.lock().unwrap().contains(&device.number) {
            self.wrong.lock().unwrap().push(format!("{what} {device:?} under a container"));
        }
    }
}

impl Rbd for Mortal {
    async fn list(&self, pool: &str) -> Result<Vec<Image>, RbdError> {
        self.life.during(self.node.list(pool)).await
    }

    async fn info(&self, pool: &str, name: &str) -> Result<Option<Image>, RbdError> {
        self.life.during(self.node.info(pool, name)).await
    }

    async fn meta(&self, pool: &str, name: &str) -> Result<BTreeMap<String, String>, RbdError> {
        self.life.during(self.node.meta(pool, name)).await
    }

    async fn set_meta(&self, pool: &str, name: &str, k: &str, v: &str) -> Result<(), RbdError> {
        self.life.during(self.node.set_meta(pool, name, k, v)).await
    }

    async fn create(&self, pool: &str, name: &str, size: u64, f: &str) -> Result<(), RbdError> {
        self.life.during(self.node.create(pool, name, size, f)).await
    }

    async fn clone_of(&self, pool: &str, of: &str, name: &str, f: &str) -> Result<(), RbdError> {
        self.life.during(self.node.clone_of(pool, of, name, f)).await
    }

    async fn rename(&self, pool: &str, from: &str, to: &str) -> Result<(), RbdError> {
        self.life.during(self.node.rename(pool, from, to)).await
    }

    async fn remove(&self, pool: &str, name: &str) -> Result<(), RbdError> {
        self.life.during(self.node.remove(pool, name)).await
    }

    async fn watchers(&self, pool: &str, name: &str) -> Result<Vec<String>, RbdError> {
        self.life.during(self.node.watchers(pool, name)).await
    }

    async fn set_owner(&self, pool: &str, image_id: &str, owner: &str) -> Result<(), RbdError> {
        self.life.during(self.node.set_owner(pool, image_id, owner)).await
    }

    async fn owner(&self, pool: &str, image_id: &str) -> Result<String, RbdError> {
        self.life.during(self.node.owner(pool, image_id)).await
    }

    async fn forget_owner(&self, pool: &str, image_id: &str) -> Result<(), RbdError> {
        self.life.during(self.node.forget_owner(pool, image_id)).await
    }

    async fn map(&self, pool: &str, name: &str, o: &str, ro: bool) -> Result<PathBuf, RbdError> {
        self.life.during(self.node.map(pool, name, o, ro)).await
    }

    async fn unmap(&self, device: &Path) -> Result<(), RbdError> {
        self.life.step().await;
        if let Some(device) = self.devices().iter().find(|d| d.path() == device) {
            self.is_used(device, "unmaps");
        }
        self.life.during(self.node.unmap(device)).await
    }
}

impl Kernel for Mortal {
    fn devices(&self) -> Vec<Device> {
        self.node.devices()
    }

    fn mapping(&self, pool: &str, name: &str) -> bool {
        self.node.mapping(pool, name)
    }

    fn size(&self, device: &Device) -> Option<u64> {
        self.node.size(device)
    }

    fn mounts(&self) -> Vec<Mounted> {
        self.node.mounts()
    }

    fn used(&self, device: &Device, root: &Path) -> bool {
        self.node.used(device, root)
    }

    fn dockerd(&self, pid: i32) -> Option<Daemon> {
        self.node.dockerd(pid)
    }

    fn alive(&self, daemon: &Daemon) -> bool {
        self.node.alive(daemon)
    }

    fn boot_id(&self) -> String {
        self.boot.to_string()
    }

    fn map_options(&self) -> Option<&'static str> {
        self.node.map_options()
    }

    fn features(&self) -> Option<u64> {
        self.node.features()
    }

    async fn signature(&self, device: &Path) -> Result<Option<String>, Failed> {
        self.life.during(self.node.signature(device)).await
    }

    async fn format(&self, device: &Path, fs: Fs) -> Result<(), Failed> {
        self.life.step().await;
        let found = self.node.signature(device).await?;
        if let Some(found) = found {
            self.wrong
                .lock()
                .unwrap()
                .push(format!("formats {}, which has {found}", device.display()));
        }
        self.life.during(self.node.format(device, fs)).await
    }

    async fn repair(&self, device: &Path, fs: Fs) -> Result<(), Failed> {
        self.life.during(self.node.repair(device, fs)).await
    }

    async fn mount(&self, device: &Path, at: &Path, fs: Fs, o: &str) -> Result<(), Failed> {
        self.life.during(self.node.mount(device, at, fs, o)).await
    }

    async fn grow(&self, device: &Path, at: &Path, fs: Fs) -> Result<(), Failed> {
        self.life.during(self.node.grow(device, at, fs)).await
    }

    async fn unmount(&self, at: &Path) -> Result<(), Failed> {
        self.life.step().await;
        for mount in self.mounts().iter().filter(|m| m.at == at) {
            let devices = self.devices();
            let device = devices.iter().find(|d| d.major_minor == mount.major_minor);
            if let Some(device) = device {
                self.is_used(device, "unmounts");
            }
        }
        self.life.during(self.node.unmount(at)).await
    }

    fn make_folder(&self, at: &Path, folder: Folder) -> io::Result<()> {
        self.node.make_folder(at, folder)
    }
}
