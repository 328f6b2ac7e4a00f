//! The volume driver of two nodes over a cluster and two kernels in memory: what Docker is told, and what becomes of
//! images, mounts and devices.

#![allow(clippy::unwrap_used, reason = "where it fails the test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cephdock::volume::command::Failed;
use cephdock::volume::driver::{Driver, Settings};
use cephdock::volume::kernel::{Device, Folder, Kernel, Mounted};
use cephdock::volume::options::Fs;
use cephdock::volume::protocol::{Answer, Call};
use cephdock::volume::rbd::{Image, Kind, Rbd, RbdError};
use cephdock::volume::state::Daemon;

#[path = "volume_driver/at_once.rs"]
mod at_once;
#[path = "volume_driver/mortal.rs"]
mod mortal;
#[path = "volume_driver/random.rs"]
mod random;

#[derive(Debug, Clone, Default)]
struct Stored {
    id: String,
    size: u64,
    meta: BTreeMap<String, String>,
    content: Option<String>,
    /// The client that has it mapped.
    watcher: Option<String>,
    snapshots: u64,
}

#[derive(Debug, Default)]
struct Cluster {
    images: Mutex<BTreeMap<String, Stored>>,
    silent: AtomicBool,
    owners: Mutex<BTreeMap<String, String>>,
    made: Mutex<u32>,
    formatted: Mutex<Vec<String>>,
    grown: Mutex<Vec<String>>,
}

/// One node, its kernel and its way to the cluster.
#[derive(Debug, Clone)]
struct Node {
    name: &'static str,
    cluster: Arc<Cluster>,
    devices: Arc<Mutex<Vec<Device>>>,
    mounts: Arc<Mutex<Vec<Mounted>>>,
    /// Devices that a container has.
    used: Arc<Mutex<Vec<u32>>>,
    docker: Arc<Mutex<u64>>,
    /// Images of which an `rbd map` goes on without the driver that started it.
    mapping: Arc<Mutex<BTreeSet<String>>>,
    /// The ids of all images that were mapped, in turn.
    mapped: Arc<Mutex<Vec<String>>>,
    /// Mapping, mounting, unmounting and unmapping wait for as many others that do the same.
    together: Option<Arc<at_once::Together>>,
}

fn error(kind: Kind) -> RbdError {
    RbdError { kind, said: format!("{kind:?}") }
}

impl Node {
    fn new(name: &'static str, cluster: &Arc<Cluster>) -> Self {
        Self {
            name,
            cluster: Arc::clone(cluster),
            devices: Arc::default(),
            mounts: Arc::default(),
            used: Arc::default(),
            docker: Arc::default(),
            mapping: Arc::default(),
            mapped: Arc::default(),
            together: None,
        }
    }

    async fn with_the_others(&self) {
        if let Some(together) = &self.together {
            together.all().await;
        }
    }

    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Stored) -> Result<T, RbdError>,
    ) -> Result<T, RbdError> {
        self.answers()?;
        let mut images = self.cluster.images.lock().unwrap();
        act(images.get_mut(name).ok_or_else(|| error(Kind::NotFound))?)
    }

    fn answers(&self) -> Result<(), RbdError> {
        if self.cluster.silent.load(Ordering::SeqCst) { Err(error(Kind::Silent)) } else { Ok(()) }
    }

    fn image_of(&self, device: &Path) -> String {
        let devices = self.devices.lock().unwrap();
        devices.iter().find(|d| d.path() == device).expect("a device").name.clone()
    }
}

impl Rbd for Node {
    async fn list(&self, _: &str) -> Result<Vec<Image>, RbdError> {
        self.answers()?;
        let images = self.cluster.images.lock().unwrap();
        Ok(images.iter().map(|(name, stored)| image(name, stored)).collect())
    }

    async fn info(&self, _: &str, name: &str) -> Result<Option<Image>, RbdError> {
        match self.with(name, |stored| Ok(image(name, stored))) {
            Err(e) if e.kind == Kind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    async fn meta(&self, _: &str, name: &str) -> Result<BTreeMap<String, String>, RbdError> {
        self.with(name, |stored| Ok(stored.meta.clone()))
    }

    async fn set_meta(&self, _: &str, name: &str, key: &str, value: &str) -> Result<(), RbdError> {
        self.with(name, |stored| {
            if stored.watcher.is_some() {
                return Err(error(Kind::Locked)); // while it is mapped exclusively, nobody can
            }
            stored.meta.insert(key.into(), value.into());
            Ok(())
        })
    }

    async fn create(&self, _: &str, name: &str, size: u64, _: &str) -> Result<(), RbdError> {
        self.answers()?;
        let mut made = self.cluster.made.lock().unwrap();
        *made += 1;
        let stored = Stored { id: format!("id{made}"), size, ..Stored::default() };
        self.cluster.images.lock().unwrap().insert(name.into(), stored);
        Ok(())
    }

    async fn clone_of(&self, _: &str, from: &str, name: &str, _: &str) -> Result<(), RbdError> {
        let (of, _) = from.split_once('@').expect("a snapshot");
        let stored = self.with(of, |stored| Ok(stored.clone()))?;
        let stored = Stored {
            id: format!("{}c", stored.id),
            watcher: None,
            meta: BTreeMap::new(),
            ..stored
        };
        self.cluster.images.lock().unwrap().insert(name.into(), stored);
        Ok(())
    }

    async fn rename(&self, _: &str, from: &str, to: &str) -> Result<(), RbdError> {
        self.answers()?;
        let mut images = self.cluster.images.lock().unwrap();
        if images.contains_key(to) {
            return Err(error(Kind::Exists));
        }
        let stored = images.remove(from).ok_or_else(|| error(Kind::NotFound))?;
        images.insert(to.into(), stored);
        Ok(())
    }

    async fn remove(&self, _: &str, name: &str) -> Result<(), RbdError> {
        self.with(name, |stored| match stored.watcher {
            Some(_) => Err(error(Kind::Busy)),
            None => Ok(()),
        })?;
        self.cluster.images.lock().unwrap().remove(name);
        Ok(())
    }

    async fn watchers(&self, _: &str, name: &str) -> Result<Vec<String>, RbdError> {
        self.with(name, |stored| Ok(stored.watcher.iter().cloned().collect()))
    }

    async fn set_owner(&self, _: &str, image_id: &str, owner: &str) -> Result<(), RbdError> {
        self.answers()?;
        self.cluster.owners.lock().unwrap().insert(image_id.into(), owner.into());
        Ok(())
    }

    async fn owner(&self, _: &str, image_id: &str) -> Result<String, RbdError> {
        self.answers()?;
        let owners = self.cluster.owners.lock().unwrap();
        owners.get(image_id).cloned().ok_or_else(|| error(Kind::NotFound))
    }

    async fn forget_owner(&self, _: &str, image_id: &str) -> Result<(), RbdError> {
        self.answers()?;
        self.cluster.owners.lock().unwrap().remove(image_id);
        Ok(())
    }

    async fn map(
        &self,
        pool: &str,
        name: &str,
        options: &str,
        read_only: bool,
    ) -> Result<PathBuf, RbdError> {
        assert_eq!(options.contains("exclusive"), !read_only, "{options}");
        self.with_the_others().await;
        let client = self.name.to_owned();
        let id = self.with(name, |stored| {
            if stored.watcher.as_ref().is_some_and(|w| *w != client) && !read_only {
                return Err(error(Kind::Locked));
            }
            if !read_only {
                stored.watcher = Some(client.clone());
            }
            Ok(stored.id.clone())
        })?;
        self.mapped.lock().unwrap().push(id.clone());
        let mut devices = self.devices.lock().unwrap();
        let number = (0..99).find(|n| devices.iter().all(|d| d.number != *n)).expect("a number");
        let device = Device {
            number,
            major_minor: format!("251:{number}"),
            pool: pool.into(),
            name: name.into(),
            image_id: id,
            client,
        };
        let path = device.path();
        devices.push(device);
        Ok(path)
    }

    async fn unmap(&self, device: &Path) -> Result<(), RbdError> {
        self.with_the_others().await;
        let name = self.image_of(device);
        let mut devices = self.devices.lock().unwrap();
        let at = devices.iter().position(|d| d.path() == device).expect("a device");
        let busy =
            self.mounts.lock().unwrap().iter().any(|m| m.major_minor == devices[at].major_minor);
        if busy || self.used.lock().unwrap().contains(&devices[at].number) {
            return Err(error(Kind::Busy));
        }
        let gone = devices.remove(at);
        if let Some(stored) = self.cluster.images.lock().unwrap().get_mut(&name)
            && stored.id == gone.image_id
            && stored.watcher.as_deref() == Some(self.name)
        {
            stored.watcher = None;
        }
        Ok(())
    }
}

fn image(name: &str, stored: &Stored) -> Image {
    Image {
        name: name.into(),
        id: stored.id.clone(),
        size: stored.size,
        features: vec!["layering".into(), "exclusive-lock".into()],
        snapshot_count: stored.snapshots,
    }
}

impl Kernel for Node {
    fn devices(&self) -> Vec<Device> {
        self.devices.lock().unwrap().clone()
    }

    fn mapping(&self, _: &str, name: &str) -> bool {
        self.mapping.lock().unwrap().contains(name)
    }

    fn size(&self, device: &Device) -> Option<u64> {
        Some(self.cluster.images.lock().unwrap().get(&device.name)?.size)
    }

    fn mounts(&self) -> Vec<Mounted> {
        self.mounts.lock().unwrap().clone()
    }

    fn used(&self, device: &Device, _: &Path) -> bool {
        self.used.lock().unwrap().contains(&device.number)
    }

    fn dockerd(&self, pid: i32) -> Option<Daemon> {
        Some(Daemon { pid, started: *self.docker.lock().unwrap() })
    }

    fn alive(&self, daemon: &Daemon) -> bool {
        daemon.started == *self.docker.lock().unwrap()
    }

    fn boot_id(&self) -> String {
        "boot".into()
    }

    fn map_options(&self) -> Option<&'static str> {
        Some("ms_mode=prefer-crc")
    }

    fn features(&self) -> Option<u64> {
        Some(0x3d)
    }

    async fn signature(&self, device: &Path) -> Result<Option<String>, Failed> {
        let name = self.image_of(device);
        Ok(self.cluster.images.lock().unwrap()[&name].content.clone())
    }

    async fn format(&self, device: &Path, fs: Fs) -> Result<(), Failed> {
        let name = self.image_of(device);
        self.cluster.images.lock().unwrap().get_mut(&name).expect("it is mapped").content =
            Some(fs.name().into());
        self.cluster.formatted.lock().unwrap().push(name);
        Ok(())
    }

    async fn repair(&self, _: &Path, _: Fs) -> Result<(), Failed> {
        Ok(())
    }

    async fn mount(&self, device: &Path, at: &Path, fs: Fs, _: &str) -> Result<(), Failed> {
        self.with_the_others().await;
        let name = self.image_of(device);
        let content = self.cluster.images.lock().unwrap()[&name].content.clone();
        if content.as_deref() != Some(fs.name()) {
            return Err(Failed::Exit {
                program: "mount".into(),
                code: 32,
                said: "bad superblock".into(),
            });
        }
        let major_minor = self
            .devices()
            .iter()
            .find(|d| d.path() == device)
            .expect("a device")
            .major_minor
            .clone();
        self.mounts.lock().unwrap().push(Mounted { major_minor, at: at.into() });
        Ok(())
    }

    async fn grow(&self, device: &Path, _: &Path, _: Fs) -> Result<(), Failed> {
        let name = self.image_of(device);
        self.cluster.grown.lock().unwrap().push(name);
        Ok(())
    }

    async fn unmount(&self, at: &Path) -> Result<(), Failed> {
        self.with_the_others().await;
        self.mounts.lock().unwrap().retain(|m| m.at != at);
        Ok(())
    }

    fn make_folder(&self, _: &Path, _: Folder) -> io::Result<()> {
        Ok(())
    }
}

type Served = Arc<Driver<Node, Node>>;

struct World {
    cluster: Arc<Cluster>,
    a: Node,
    b: Node,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let cluster = Arc::<Cluster>::default();
        let (a, b) = (Node::new("A", &cluster), Node::new("B", &cluster));
        Self { cluster, a, b, folder: tempfile::tempdir().unwrap() }
    }

    /// The node's driver, started (again).
    fn driver(&self, node: &Node) -> Served {
        Driver::new(node.clone(), node.clone(), self.settings(node), |_, _| {}).unwrap()
    }

    fn settings(&self, node: &Node) -> Settings {
        Settings {
            root: self.folder.path().join(node.name),
            node: node.name.into(),
            pools: vec!["rbd".into()],
            size: 1 << 30,
            features: None,
        }
    }

    fn silent(&self, silent: bool) {
        self.cluster.silent.store(silent, Ordering::SeqCst);
    }
}

async fn create(driver: &Served, name: &str, options: &[(&str, &str)]) -> Result<Answer, String> {
    let opts = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let call = Call::Create { name: name.into(), opts };
    driver.answer(call, None).await.map_err(|t| t.to_string())
}

async fn mount(driver: &Served, node: &Node, name: &str, id: &str) -> Result<Answer, String> {
    let call = Call::Mount { name: name.into(), id: id.into() };
    driver.answer(call, node.dockerd(1)).await.map_err(|t| t.to_string())
}

async fn unmount(driver: &Served, name: &str, id: &str) {
    let call = Call::Unmount { name: name.into(), id: id.into() };
    assert_eq!(driver.answer(call, None).await, Ok(Answer::Done));
}

async fn get(driver: &Served, name: &str) -> Result<Answer, String> {
    driver.answer(Call::Get { name: name.into() }, None).await.map_err(|t| t.to_string())
}

async fn remove(driver: &Served, name: &str) -> Result<Answer, String> {
    driver.answer(Call::Remove { name: name.into() }, None).await.map_err(|t| t.to_string())
}

/// What has been started beside an answer is done: no clock moves on before.
async fn settle() {
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
}

#[tokio::test(start_paused = true)]
async fn one_writer_whose_node_is_named_to_the_other() {
    let world = World::new();
    let (a, b) = (world.driver(&world.a), world.driver(&world.b));
    create(&a, "data", &[]).await.unwrap();
    create(&b, "data", &[]).await.unwrap();
    let said = create(&b, "data", &[("size", "2GiB"), ("fstype", "xfs")]).await.unwrap_err();
    assert!(said.contains("size 1024 MiB and not 2048 MiB, fstype ext4 and not xfs"), "{said}");
    let at = mount(&a, &world.a, "data", "one").await.unwrap();
    assert!(
        matches!(&at, Answer::Mountpoint(Some(at)) if at.ends_with("/volumes/data.id1/data")),
        "{at:?}"
    );
    settle().await;
    let said = mount(&b, &world.b, "data", "two").await.unwrap_err();
    assert!(said.contains("in use on node A since 20"), "{said}");
    let said = remove(&b, "data").await.unwrap_err();
    assert!(said.contains("in use on node A"), "{said}");
    unmount(&a, "data", "one").await;
    mount(&b, &world.b, "data", "two").await.unwrap();
    assert_eq!(*world.cluster.formatted.lock().unwrap(), ["data"], "formatted once, by the first");
    unmount(&b, "data", "two").await;
    remove(&b, "data").await.unwrap();
    remove(&a, "data").await.unwrap(); // it is not there, which is as it should be
    settle().await;
    assert!(get(&a, "data").await.is_err(), "the other node hears of it");
    assert!(world.a.devices().is_empty() && world.b.devices().is_empty());
}

/// By a plain `rbd map`, its lock is given away to whoever asks: two nodes would write.
#[tokio::test(start_paused = true)]
async fn what_somebody_has_mapped_by_hand_is_mapped_anew_or_left_alone() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    unmount(&a, "data", "one").await;
    world.a.map("rbd", "data", "exclusive", false).await.unwrap();
    let by_hand = |devices: &mut Vec<Device>| devices[0].client = "by hand".into();
    by_hand(&mut world.a.devices.lock().unwrap());
    world.a.used.lock().unwrap().push(0);
    let said = mount(&a, &world.a, "data", "two").await.unwrap_err();
    assert!(said.contains("mapped on this node by somebody else, as /dev/rbd0"), "{said}");
    assert!(said.contains("`rbd unmap /dev/rbd0`"), "{said}");
    assert_eq!(world.a.devices()[0].client, "by hand", "left alone");
    world.a.used.lock().unwrap().clear();
    mount(&a, &world.a, "data", "two").await.unwrap();
    assert_eq!(world.a.devices()[0].client, "A", "mapped anew");
}

/// To map what is remembered may break the lock of whoever has the image that the name stands for now.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_for_long_is_asked_for_again() {
    let world = World::new();
    let (a, b) = (world.driver(&world.a), world.driver(&world.b));
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    unmount(&a, "data", "one").await;
    remove(&b, "data").await.unwrap();
    create(&b, "data", &[]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    mount(&a, &world.a, "data", "two").await.unwrap();
    let mapped = world.a.mapped.lock().unwrap().clone();
    // each twice: it is let go of once after it was formatted
    assert_eq!(mapped, ["id1", "id1", "id2", "id2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_formatted_that_has_something_on_it() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    let content = |content: Option<&str>, state: &str| {
        let mut images = world.cluster.images.lock().unwrap();
        let stored = images.get_mut("data").unwrap();
        stored.content = content.map(str::to_owned);
        stored.meta.insert("cephdock.state".into(), state.into());
    };
    content(Some("xfs"), "new");
    let said = mount(&a, &world.a, "data", "one").await.unwrap_err();
    assert!(said.contains("xfs on it where ext4 was expected"), "{said}");
    for state in ["", "formatted"] {
        content(None, state);
        settle().await;
        assert!(mount(&a, &world.a, "data", "one").await.is_err(), "{state}");
    }
    assert!(world.cluster.formatted.lock().unwrap().is_empty());
    assert!(world.a.devices().is_empty(), "and nothing stays mapped");
    // killed between formatting and writing that down
    content(Some("ext4"), "new");
    let a = {
        drop(a);
        std::fs::remove_file(world.folder.path().join("A/volumes.json")).unwrap();
        world.driver(&world.a)
    };
    mount(&a, &world.a, "data", "one").await.unwrap();
    assert!(world.cluster.formatted.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ceph_is_away_and_docker_forgets_nothing() {
    let world = World::new();
    let a = world.driver(&world.a);
    for name in ["used", "idle"] {
        create(&a, name, &[]).await.unwrap();
    }
    mount(&a, &world.a, "used", "one").await.unwrap();
    get(&a, "idle").await.unwrap();
    world.silent(true);
    settle().await;
    for name in ["used", "idle"] {
        get(&a, name).await.unwrap();
    }
    let a = world.driver(&world.a); // restarted meanwhile
    for name in ["used", "idle"] {
        get(&a, name).await.unwrap();
    }
    let Ok(Answer::Volumes(list)) = a.answer(Call::List, None).await else { panic!("no list") };
    assert_eq!(list.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["idle", "used"]);
    mount(&a, &world.a, "used", "two").await.unwrap();
    let said = create(&a, "new", &[]).await.unwrap_err();
    assert!(said.contains("Ceph does not answer"), "{said}");
    unmount(&a, "used", "one").await;
    unmount(&a, "used", "two").await;
    assert!(world.a.devices().is_empty(), "let go of without Ceph");
    // a mount waits until it is back
    let (waiting, ()) = tokio::join!(mount(&a, &world.a, "idle", "three"), async {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        world.silent(false);
    });
    waiting.unwrap();
    world.silent(true);
    unmount(&a, "idle", "three").await;
    settle().await;
    let said = mount(&a, &world.a, "idle", "four").await.unwrap_err();
    assert!(said.contains("Ceph does not answer"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_busy_stays_and_is_let_go_of_later() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    world.a.used.lock().unwrap().push(0);
    unmount(&a, "data", "one").await; // Docker is not told: it could do nothing about it
    assert!(!a.reconcile().await);
    assert_eq!(world.a.devices().len(), 1);
    mount(&a, &world.a, "data", "two").await.unwrap();
    assert_eq!(world.a.devices().len(), 1, "the same device");
    unmount(&a, "data", "two").await;
    world.a.used.lock().unwrap().clear();
    assert!(a.reconcile().await);
    assert!(world.a.devices().is_empty() && world.a.mounts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_state_is_lost_and_dockerd_dies() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    mount(&a, &world.a, "data", "other").await.unwrap();
    world.a.used.lock().unwrap().push(0);
    std::fs::remove_file(world.folder.path().join("A/volumes.json")).unwrap();
    let a = world.driver(&world.a);
    assert!(!a.reconcile().await, "somebody has it, whoever that is");
    assert_eq!(world.a.mounts().len(), 1);
    // dockerd is killed, and comes back with one of the containers
    mount(&a, &world.a, "data", "one").await.unwrap();
    *world.a.docker.lock().unwrap() += 1;
    world.a.used.lock().unwrap().clear();
    mount(&a, &world.a, "data", "one").await.unwrap();
    a.reconcile().await;
    assert_eq!(world.a.mounts().len(), 1);
    unmount(&a, "data", "one").await;
    assert!(world.a.devices().is_empty(), "the one that did not come back holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_mapping_of_an_image_that_was_made_anew_is_told_by_its_id() {
    let world = World::new();
    let (a, b) = (world.driver(&world.a), world.driver(&world.b));
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    world.a.used.lock().unwrap().push(0);
    unmount(&a, "data", "one").await; // stays mapped: something has it
    world.cluster.images.lock().unwrap().get_mut("data").unwrap().watcher = None; // and its watch is lost
    remove(&b, "data").await.unwrap();
    create(&b, "data", &[]).await.unwrap();
    settle().await;
    let at = mount(&a, &world.a, "data", "two").await.unwrap();
    assert!(matches!(&at, Answer::Mountpoint(Some(at)) if at.contains("/data.id2/")), "{at:?}");
    world.a.used.lock().unwrap().clear();
    a.reconcile().await;
    let left: Vec<String> = world.a.devices().into_iter().map(|d| d.image_id).collect();
    assert_eq!(left, ["id2"], "the stale one is gone, the new one is in use");
}

#[tokio::test(start_paused = true)]
async fn many_nodes_may_read_what_was_made_from_a_snapshot() {
    let world = World::new();
    let (a, b) = (world.driver(&world.a), world.driver(&world.b));
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    unmount(&a, "data", "one").await;
    create(&a, "copy", &[("from-snapshot", "data@monday"), ("ro", "true")]).await.unwrap();
    mount(&a, &world.a, "copy", "two").await.unwrap();
    settle().await;
    mount(&b, &world.b, "copy", "three").await.unwrap();
    assert_eq!(*world.cluster.formatted.lock().unwrap(), ["data"]);
    world.cluster.images.lock().unwrap().get_mut("data").unwrap().snapshots = 1;
    let said = remove(&a, "data").await.unwrap_err();
    assert!(said.contains("snapshot"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_filesystem_grows_with_its_image_when_it_is_mounted() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    mount(&a, &world.a, "data", "one").await.unwrap();
    unmount(&a, "data", "one").await;
    assert!(world.cluster.grown.lock().unwrap().is_empty(), "it has all of its image");
    world.cluster.images.lock().unwrap().get_mut("data").unwrap().size *= 2;
    settle().await;
    mount(&a, &world.a, "data", "two").await.unwrap();
    assert_eq!(*world.cluster.grown.lock().unwrap(), ["data"]);
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_nobody_waits_for_is_undone() {
    let world = World::new();
    let a = world.driver(&world.a);
    create(&a, "data", &[]).await.unwrap();
    world.silent(true);
    settle().await;
    let asked =
        tokio::time::timeout(std::time::Duration::from_secs(1), mount(&a, &world.a, "data", "one"));
    asked.await.unwrap_err(); // dockerd has gone
    world.silent(false);
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert!(world.a.devices().is_empty() && world.a.mounts().is_empty());
}
