//! Docker's eight calls. One call at a time for a volume; looking waits for nobody.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout};

use super::kernel::{Device, Kernel};
use super::protocol::{Answer, Call, Volume};
use super::rbd::{Kind, Made, Rbd, RbdError};
use super::state::{Daemon, Known, State};
use super::{META_STATE, META_VOLUME, Trouble, UNFINISHED};

mod make;
mod map;
mod mount;

/// `rbd map`'s `lock_timeout` in seconds: longer than it takes until a dead owner's lock may be broken, which is an
/// OSD's heartbeat grace and a client's watch timeout.
pub const LOCK_TIMEOUT: u32 = 80;
/// Docker waits 120 s for `Create` and `Mount` (moby's pkg/plugins), and for the others half as long.
const LONG: Duration = Duration::from_secs(112);
const SHORT: Duration = Duration::from_secs(56);
/// How old an answer of Ceph's may be to be given again. Docker asks twice before each `Mount`.
const FRESH: Duration = Duration::from_secs(3);
/// How old an answer of Ceph's may be to map by: Docker may take its time between the question and the `Mount`.
const REMEMBERED: Duration = Duration::from_secs(60);
/// When it is noted who has a volume: not while its container starts, and not where it is let go of at once.
const SIGNED_AFTER: Duration = Duration::from_secs(1);
/// After this, what is known is answered instead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of all features that krbd can have, those a volume gets: bit (librbd's features.h), name.
pub const FEATURES: [(u64, &str); 5] = [
    (1, "layering"),
    (4, "exclusive-lock"),
    (8, "object-map"),
    (16, "fast-diff"),
    (32, "deep-flatten"),
];

/// How this node's driver is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where volumes are mounted, and beside them the state.
    pub root: PathBuf,
    /// The node's name.
    pub node: String,
    /// Where images may be; new ones go to the first, unless told otherwise.
    pub pools: Vec<String>,
    /// A new volume's size, in bytes.
    pub size: u64,
    /// A new volume's features, names with commas between them; those of this kernel where nothing is said. The nodes' intersection is for whoever
    /// installs the driver to know.
    pub features: Option<String>,
}

impl Settings {
    /// The state's file.
    pub fn state(&self) -> PathBuf {
        self.root.join(super::unit::STATE)
    }

    /// The folder below which everything is mounted.
    pub fn volumes(&self) -> PathBuf {
        self.root.join(super::unit::VOLUMES)
    }

    /// Where an image's filesystem is mounted. Its id is in it, so that a name made anew meets nothing old.
    fn mountpoint(&self, name: &str, image_id: &str) -> PathBuf {
        self.volumes().join(format!("{name}.{image_id}"))
    }
}

/// How loud something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What was done.
    Info,
    /// What somebody should look at.
    Warning,
}

/// Where the driver tells what it does.
pub type Log = fn(Level, &str);

/// The driver of one node.
#[derive(Debug)]
pub struct Driver<R, K> {
    rbd: R,
    kernel: K,
    settings: Settings,
    log: Log,
    boot_id: String,
    state: Mutex<State>,
    /// When Ceph last said that what is known of a volume is so.
    confirmed: Mutex<HashMap<String, Instant>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// One at a time notes who has it: after a boot all containers want their volumes at once, and this can wait.
    signing: tokio::sync::Mutex<()>,
    /// Something could not be let go of, and is to be tried again soon.
    pub(super) nudge: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Rbd, K: Kernel> Driver<R, K> {
    /// Takes up what the driver before this one left. Asks nobody but the kernel.
    ///
    /// # Errors
    /// The folders below the root cannot be made. A state that cannot be read is only a warning.
    pub fn new(rbd: R, kernel: K, settings: Settings, log: Log) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(settings.volumes())?;
        let boot_id = kernel.boot_id();
        let state = State::load(&settings.state(), &boot_id).unwrap_or_else(|error| {
            let path = settings.state();
            let what =
                format!("{}: {error}; what is mounted is asked of the kernel", path.display());
            log(Level::Warning, &what);
            State { boot_id: boot_id.clone(), ..State::default() }
        });
        Ok(Arc::new(Self {
            rbd,
            kernel,
            settings,
            log,
            boot_id,
            state: Mutex::new(state),
            confirmed: Mutex::default(),
            turns: Mutex::default(),
            signing: tokio::sync::Mutex::default(),
            nudge: Notify::new(),
        }))
    }

    /// Answers a call of the dockerd `by`. The work goes on when whoever asked has gone, and a mount that nobody waits
    /// for any more is undone.
    ///
    /// # Errors
    /// What Docker is to show to whoever asked.
    pub async fn answer(
        self: &Arc<Self>,
        call: Call,
        by: Option<Daemon>,
    ) -> Result<Answer, Trouble> {
        let limit = match &call {
            Call::Create { .. } | Call::Mount { .. } => LONG,
            _ => SHORT,
        };
        let (sender, receiver) = oneshot::channel();
        let driver = Arc::clone(self);
        tokio::spawn(async move {
            let undo = match &call {
                Call::Mount { name, id } => Some((name.clone(), id.clone())),
                _ => None,
            };
            let answer = driver.call(call, by.clone()).await;
            if let (Err(Ok(_)), Some((name, id))) = (sender.send(answer), undo) {
                (driver.log)(
                    Level::Warning,
                    &format!("{name}: nobody waits for this mount any more"),
                );
                driver.undo(&name, &id, by.as_ref()).await;
            }
        });
        match timeout(limit, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Trouble::new(
                "the volume driver broke off",
                "see `journalctl -u cephdock-volume-driver` on this node, and try again",
            )),
            Err(_) => Err(Trouble::new(
                format!("this takes longer than {} s", limit.as_secs()),
                "see how Ceph is (`ceph -s`), and try again",
            )),
        }
    }

    async fn call(self: &Arc<Self>, call: Call, by: Option<Daemon>) -> Result<Answer, Trouble> {
        match call {
            Call::Activate => Ok(Answer::Activated),
            Call::Capabilities => Ok(Answer::Global),
            Call::Create { name, opts } => self.create(&name, &opts).await.map(|()| Answer::Done),
            Call::Remove { name } => self.remove(&name).await.map(|()| Answer::Done),
            Call::Mount { name, id } => {
                self.mount(&name, &id, by).await.map(|at| Answer::Mountpoint(Some(at)))
            }
            Call::Unmount { name, id } => {
                self.unmount(&name, &id).await;
                Ok(Answer::Done)
            }
            Call::Path { name } => Ok(Answer::Mountpoint(self.path(&name))),
            Call::Get { name } => self.get(&name).await.map(Answer::Volume),
            Call::List => Ok(Answer::Volumes(self.list().await)),
        }
    }

    /// A volume's turn: whoever changes something about it has it.
    async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        self.turn_of(name).lock_owned().await
    }

    pub(super) fn turn_of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(locked(&self.turns).entry(name.to_owned()).or_default())
    }

    /// Changes the state, and writes it where something did change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = locked(&self.state);
        let before = state.clone();
        let result = change(&mut state);
        if *state != before
            && let Err(error) = state.save(&self.settings.state())
        {
            let path = self.settings.state();
            (self.log)(Level::Warning, &format!("{} cannot be written: {error}", path.display()));
        }
        result
    }

    pub(super) fn parts(&self) -> (&R, &K, &Settings, Log) {
        (&self.rbd, &self.kernel, &self.settings, self.log)
    }

    /// The dockerd that has this process id.
    pub(super) fn dockerd(&self, pid: i32) -> Option<Daemon> {
        self.kernel.dockerd(pid)
    }

    pub(super) fn device(&self, image_id: &str) -> Option<Device> {
        self.kernel.devices().into_iter().find(|d| d.image_id == image_id)
    }

    /// Where containers find a volume that is in use here.
    fn path(&self, name: &str) -> Option<String> {
        let state = locked(&self.state);
        let (image_id, _) = state.used(name)?;
        Some(self.exposed(name, image_id))
    }

    fn exposed(&self, name: &str, image_id: &str) -> String {
        let at = self.settings.mountpoint(name, image_id).join(super::DATA);
        at.to_string_lossy().into_owned()
    }

    /// Never fails for a volume that is in use here: Docker would forget it, and never unmount it.
    async fn get(&self, name: &str) -> Result<Volume, Trouble> {
        if self.path(name).is_none() {
            match timeout(PATIENCE, self.current(name)).await {
                Ok(Ok(Some(known))) if known.made.is_some() => {}
                Ok(Ok(Some(known))) => return Err(foreign(&known.pool, name)),
                Ok(Ok(None)) => {
                    return Err(Trouble::new(
                        format!("there is no volume {name}"),
                        "make it first",
                    ));
                }
                Ok(Err(error)) if !self.is_known(name) => return Err(self.explain(name, &error)),
                Err(_) if !self.is_known(name) => return Err(silent(name)),
                // what was known of it is better than nothing: Docker would take it for gone
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Ok(self.volume(name))
    }

    fn is_known(&self, name: &str) -> bool {
        locked(&self.state).known.get(name).is_some_and(|k| k.made.is_some())
    }

    /// All volumes; those that are known where Ceph does not answer.
    async fn list(&self) -> Vec<Volume> {
        let pools = &self.settings.pools;
        let lists = pools.iter().map(|pool| async move {
            (pool, timeout(PATIENCE, self.rbd.list(pool)).await.unwrap_or_else(|_| Err(late())))
        });
        let mut new = Vec::new();
        for (pool, list) in join_all(lists).await {
            let Ok(images) = list else { continue };
            self.change(|state| {
                state.known.retain(|name, known| {
                    known.pool != *pool
                        || images.iter().any(|i| i.name == *name && i.id == known.image_id)
                });
                new.extend(images.into_iter().map(|i| i.name).filter(|name| {
                    !name.starts_with(UNFINISHED) && !state.known.contains_key(name)
                }));
            });
        }
        // what Ceph does not tell in time is listed the next time
        drop(timeout(PATIENCE, join_all(new.iter().map(|name| self.look(name)))).await);
        let names: Vec<String> = {
            let state = locked(&self.state);
            let ours = state.known.iter().filter(|(_, k)| k.made.is_some()).map(|(n, _)| n);
            let held = state.holds.values().filter(|h| !h.ids.is_empty()).map(|h| &h.name);
            let mut names: Vec<String> = ours.chain(held).cloned().collect();
            names.sort();
            names.dedup();
            names
        };
        names.iter().map(|name| self.volume(name)).collect()
    }

    /// A volume as Docker sees it, of what is known.
    fn volume(&self, name: &str) -> Volume {
        let state = locked(&self.state);
        let mut status: BTreeMap<String, Value> = BTreeMap::new();
        let mut put = |key: &str, value: Value| drop(status.insert(key.into(), value));
        let known = state.known.get(name);
        if let Some(Known { pool, image_id, size, features, made: Some(made), formatted }) = known {
            put("pool", json!(pool));
            put("image_id", json!(image_id));
            put("size", json!(size));
            put("features", json!(features));
            put("fstype", json!(made.fs));
            put("lock", json!(made.lock));
            put("formatted", json!(formatted));
            put("made_on", json!(made.node));
            if made.read_only {
                put("read_only", json!(true));
            }
            if let Some(from) = &made.from {
                put("from", json!(from));
            }
        }
        let used = state.used(name);
        if let Some((image_id, hold)) = used {
            put("node", json!(self.settings.node));
            put("mapped_since", json!(hold.since));
            put("users", json!(hold.ids.len()));
            if let Some(device) = self.device(image_id) {
                put("device", json!(device.path()));
            }
        }
        for hold in state.holds.values().filter(|h| h.name == name) {
            if let Some(error) = &hold.error {
                put("error", json!(error));
            }
        }
        let created = known.and_then(|k| Some(k.made.as_ref()?.created.clone()));
        let mountpoint = used.map(|(image_id, _)| self.exposed(name, image_id));
        Volume { name: name.into(), mountpoint, created, status }
    }

    /// A volume as Ceph has it now, or had it a moment ago.
    async fn current(&self, name: &str) -> Result<Option<Known>, RbdError> {
        let fresh = locked(&self.confirmed).get(name).is_some_and(|at| at.elapsed() < FRESH);
        if fresh && let Some(known) = locked(&self.state).known.get(name) {
            return Ok(Some(known.clone()));
        }
        self.look(name).await
    }

    /// Asks Ceph, in all pools at once.
    async fn look(&self, name: &str) -> Result<Option<Known>, RbdError> {
        let looks = self.settings.pools.iter().map(|pool| self.look_in(pool, name));
        let mut failed = None;
        for look in join_all(looks).await {
            match look {
                Ok(Some(known)) => {
                    locked(&self.confirmed).insert(name.into(), Instant::now());
                    self.change(|state| state.known.insert(name.into(), known.clone()));
                    return Ok(Some(known));
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.forget(name);
        Ok(None)
    }

    fn forget(&self, name: &str) {
        locked(&self.confirmed).remove(name);
        self.change(|state| drop(state.known.remove(name)));
    }

    async fn look_in(&self, pool: &str, name: &str) -> Result<Option<Known>, RbdError> {
        let cached = locked(&self.state).known.get(name).filter(|k| k.pool == pool).cloned();
        // what its maker wrote does not change, and what is formatted stays so: one question is enough
        if let Some(old) = cached.filter(|k| k.formatted && k.made.is_some()) {
            let Some(image) = self.rbd.info(pool, name).await? else { return Ok(None) };
            if image.id == old.image_id {
                return Ok(Some(Known { size: image.size, features: image.features, ..old }));
            }
        }
        let (image, meta) = tokio::join!(self.rbd.info(pool, name), self.rbd.meta(pool, name));
        let Some(image) = image? else { return Ok(None) };
        let meta = meta?;
        let made = meta.get(META_VOLUME).and_then(|text| serde_json::from_str::<Made>(text).ok());
        Ok(Some(Known {
            pool: pool.into(),
            image_id: image.id,
            size: image.size,
            features: image.features,
            made: made.filter(|m| m.version == 1),
            formatted: meta.get(META_STATE).is_some_and(|s| s == "formatted"),
        }))
    }

    /// What a failure means to whoever uses the volume.
    fn explain(&self, name: &str, error: &RbdError) -> Trouble {
        let said = &error.said;
        match error.kind {
            Kind::Silent => silent(name),
            Kind::Key => Trouble::new(
                format!(
                    "volume {name}: the driver's key is missing on node {} or may not do this: {said}",
                    self.settings.node
                ),
                "run `cephdock up`, which puts it there",
            ),
            Kind::Full => Trouble::new(
                format!("volume {name}: there is no room left in Ceph: {said}"),
                "add OSDs, or remove what nobody needs; `ceph df` shows where it went",
            ),
            Kind::NotFound => Trouble::new(
                format!("volume {name}: {said}"),
                format!(
                    "see whether pool {} exists, and try again",
                    self.settings.pools.join(", ")
                ),
            ),
            Kind::Module => Trouble::new(
                format!(
                    "volume {name}: the kernel of node {} has no rbd module, or cannot load it",
                    self.settings.node
                ),
                "install one that has (a reboot may do after an upgrade), or use another node",
            ),
            Kind::Fenced => Trouble::new(
                format!("volume {name}: Ceph has shut node {} out: {said}", self.settings.node),
                "stop all containers with volumes on it, and start them again",
            ),
            Kind::Exists | Kind::Busy | Kind::Locked | Kind::NotEmpty | Kind::Other => {
                Trouble::new(
                    format!("volume {name}: {said}"),
                    "see `dmesg` and `journalctl -u cephdock-volume-driver` on this node, and try again",
                )
            }
        }
    }
}

fn late() -> RbdError {
    RbdError { kind: Kind::Silent, said: "Ceph does not answer".into() }
}

fn silent(name: &str) -> Trouble {
    Trouble::new(
        format!("volume {name}: Ceph does not answer"),
        "see how it is with `ceph -s` or `cephdock status`, and try again",
    )
}

fn foreign(pool: &str, name: &str) -> Trouble {
    Trouble::new(
        format!("there is an image {pool}/{name}, and cephdock's driver did not make it"),
        "choose another name: nothing of others is formatted or removed",
    )
}
