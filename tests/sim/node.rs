//! A simulated node: its files, disks and containers, and what each action does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use cephdock::daemon::{CONF_MARK, ContainerSpec, DaemonId, Kind};
use cephdock::facts::bluestore::Label;
use cephdock::facts::{
    ClientFacts, ConfFact, ContainerFact, ContainerState, DiskContent, DiskFact, Docker,
    DockerFacts, FileFact, FirewallFacts, IdentityFile, MappedRbd, MonStore, NodeFacts, OsdDir,
    OurLabels, PackageManager, RbdModule,
};
use cephdock::identity::{self, Identity, KeyType};
use cephdock::image::ImageFact;
use cephdock::inventory::{Node, NodeName, OsdSpec};
use cephdock::plan::{Action, FileSpec};
use cephdock::secret::sha256;
use uuid::Uuid;

use super::firewall::Firewall;
use super::service::Service;
use super::{Fault, World};

const CONF: &str = "/etc/ceph/ceph.conf";

/// A node.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) power: bool,
    /// Why Docker does not answer.
    pub(crate) docker_down: Option<String>,
    /// By reference.
    pub(crate) images: BTreeMap<String, ImageFact>,
    pub(crate) files: BTreeMap<String, File>,
    /// By mon id.
    pub(crate) stores: BTreeMap<String, Store>,
    /// Finished data directories, by number.
    pub(crate) osds: BTreeMap<u32, OsdData>,
    /// By the path in the inventory.
    pub(crate) disks: BTreeMap<String, Disk>,
    /// By name.
    pub(crate) containers: BTreeMap<String, Container>,
    /// Its host tools, package manager and kernel.
    pub(crate) client: ClientFacts,
    /// What keeps others out, if anything does.
    pub(crate) firewall: Option<Firewall>,
    /// The volume plugin that the inventory names.
    pub(crate) plugin: Option<super::plugin::Plugin>,
    /// RBD images that are mapped here.
    pub(crate) mapped: Vec<MappedRbd>,
    /// systemd runs it.
    pub(crate) systemd: bool,
    pub(crate) arch: String,
    pub(crate) kernel: String,
    pub(crate) service: Service,
    image: String,
    /// The newest type of key that the image reads, and whether this process has found it out.
    pub(crate) reads: KeyType,
    pub(crate) looked: bool,
    /// Containers that were made to look into the image when cephdock was killed.
    pub(crate) looks: BTreeSet<String>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            power: true,
            docker_down: None,
            images: BTreeMap::new(),
            files: BTreeMap::new(),
            stores: BTreeMap::new(),
            osds: BTreeMap::new(),
            disks: BTreeMap::new(),
            containers: BTreeMap::new(),
            // a client already, so that most tests need not look at it
            client: ClientFacts {
                manager: Some(PackageManager::Apt),
                ceph: true,
                rbd: Some("18.2.7".into()),
                module: RbdModule::Builtin,
                features: Some(0x3d),
            },
            firewall: None,
            plugin: None,
            mapped: Vec::new(),
            systemd: true,
            arch: "x86_64".into(),
            kernel: "6.1.0".into(),
            service: Service::default(),
            image: String::new(),
            reads: KeyType::Aes,
            looked: false,
            looks: BTreeSet::new(),
        }
    }
}

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) content: String,
    pub(crate) mode: u32,
    /// cephdock wrote it.
    pub(crate) ours: bool,
}

/// A mon's store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) fsid: Uuid,
    /// The key that all mons of a cluster share.
    pub(crate) mon_key: String,
    /// Every key of the keyring it was made from.
    pub(crate) keys: BTreeMap<String, String>,
    /// The monmap it was made from.
    pub(crate) monmap: Vec<String>,
    /// It has been in a quorum: it holds the cluster's data.
    pub(crate) synced: bool,
}

/// An OSD's data directory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OsdData {
    pub(crate) uuid: Uuid,
    pub(crate) fsid: Uuid,
}

/// A disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) serial: Option<String>,
    pub(crate) stable_path: String,
    pub(crate) content: DiskContent,
    /// How often it was formatted.
    pub(crate) formatted: u32,
}

/// A container.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// `None`: it is not cephdock's.
    pub(crate) spec: Option<ContainerSpec>,
    pub(crate) state: ContainerState,
    pub(crate) restarts: u64,
    pub(crate) as_made: bool,
    /// Its process ends as soon as it is started.
    pub(crate) falls: bool,
    /// The last line of its log.
    pub(crate) said: String,
    /// What its image was called when it was made.
    pub(crate) image_id: Option<String>,
}

impl Container {
    /// Somebody else's.
    pub(crate) fn foreign() -> Self {
        let state = ContainerState::Running;
        let said = String::new();
        let image_id = None;
        Self { spec: None, state, restarts: 0, as_made: true, falls: false, said, image_id }
    }
}

/// What every registry of this world gives.
pub(crate) fn pulled() -> ImageFact {
    ImageFact::new("sha256:aaaaaaaaaaaaaaaa".into(), Vec::new(), &["sha256:1".to_owned()])
}

impl NodeState {
    /// Gives it the address and disks that the inventory names.
    pub(super) fn equip(&mut self, node: &Node) {
        self.addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), node.address];
        for spec in &node.osds {
            let OsdSpec::Device(path) = spec else { continue };
            let path = path.to_string_lossy().into_owned();
            let serial = format!("{}-{}", node.name, path.rsplit('/').next().unwrap_or_default());
            let disk = Disk {
                stable_path: format!("/dev/disk/by-id/virtio-{serial}"),
                serial: Some(serial),
                content: DiskContent::Blank,
                formatted: 0,
            };
            self.disks.entry(path).or_insert(disk);
        }
    }

    /// Its container of this name.
    pub(crate) fn container(&mut self, name: &str) -> &mut Container {
        self.containers.get_mut(name).expect("the node has the container")
    }

    /// Puts a file there that cephdock did not write.
    pub(crate) fn put(&mut self, path: &str, content: &str) {
        let file = File { content: content.into(), mode: 0o644, ours: false };
        self.files.insert(path.into(), file);
    }

    pub(crate) fn text(&self, path: &str) -> Result<&str, String> {
        let file = self.files.get(path).ok_or_else(|| format!("{path}: No such file"))?;
        Ok(&file.content)
    }

    /// The cluster that ceph.conf names.
    pub(crate) fn fsid(&self) -> Option<Uuid> {
        let conf = self.text(CONF).ok()?;
        let line = conf.lines().find_map(|l| l.strip_prefix("fsid = "))?;
        line.parse().ok()
    }

    /// Containers of ours whose process is there.
    pub(super) fn running(&self) -> Vec<ContainerSpec> {
        if !self.power {
            return Vec::new();
        }
        let running = self.containers.values().filter(|c| c.state == ContainerState::Running);
        running.filter_map(|c| c.spec.clone()).collect()
    }

    pub(super) fn facts(&self) -> NodeFacts {
        let fact = |(path, file): (&String, &File)| {
            let fact = FileFact { sha256: sha256(&file.content), mode: file.mode };
            (path.clone(), fact)
        };
        let read = |path: &str| self.files.get(path).map(|f| f.content.as_str());
        let watched = |path: &str| path != identity::PATH;
        NodeFacts {
            hostname: "host".into(),
            arch: self.arch.clone(),
            kernel: self.kernel.clone(),
            driver: super::service::facts(self),
            addresses: self.addresses.clone(),
            files: self.files.iter().filter(|(p, _)| watched(p)).map(fact).collect(),
            conf: read(CONF)
                .map(|text| ConfFact { fsid: self.fsid(), ours: text.starts_with(CONF_MARK) }),
            identity: match read(identity::PATH).map(Identity::parse) {
                None => IdentityFile::Absent,
                Some(Ok(id)) => IdentityFile::Found(id),
                Some(Err(why)) => IdentityFile::Damaged(why),
            },
            mon_stores: self
                .stores
                .iter()
                .map(|(id, s)| (id.clone(), MonStore { fsid: Some(s.fsid) }))
                .collect(),
            osd_dirs: self
                .osds
                .iter()
                .map(|(n, o)| (*n, OsdDir { uuid: Some(o.uuid), ceph_fsid: Some(o.fsid) }))
                .collect(),
            client: self.client.clone(),
            image_keys: self.looked.then_some(self.reads),
            tree: super::remove::tree(self),
            mapped: self.mapped.clone(),
            disks: self.disks.iter().map(|(path, d)| (path.clone(), d.fact())).collect(),
            firewall: FirewallFacts {
                interfaces: self.addresses[1..].iter().map(|a| (*a, "eth0".into())).collect(),
                ..self.firewall.as_ref().map(Firewall::facts).unwrap_or_default()
            },
            docker: match &self.docker_down {
                Some(why) => Docker::Down(why.clone()),
                None => Docker::Up(DockerFacts {
                    version: "26.1.5".into(),
                    arch: "amd64".into(),
                    image: self.images.get(&self.image).cloned(),
                    plugin: self.plugin.as_ref().map(|p| Box::new(p.fact())),
                    containers: self.containers.iter().map(|(name, c)| c.fact(name)).collect(),
                    looks: self.looks.clone(),
                    ..DockerFacts::default()
                }),
            },
            ..NodeFacts::default()
        }
    }

    /// The image that the inventory names.
    pub(super) fn looks_for(&mut self, image: &str) {
        image.clone_into(&mut self.image);
    }
}

impl Disk {
    fn fact(&self) -> DiskFact {
        DiskFact {
            kernel_name: "sdb".into(),
            size: 4 << 30,
            serial: self.serial.clone(),
            stable_path: self.stable_path.clone(),
            content: self.content.clone(),
        }
    }
}

impl Container {
    fn fact(&self, name: &str) -> ContainerFact {
        let ours = |spec: &ContainerSpec| OurLabels {
            fsid: spec.fsid.to_string(),
            daemon: spec.daemon.clone(),
            spec: spec.digest(),
        };
        ContainerFact {
            name: name.into(),
            ours: self.spec.as_ref().map(ours),
            state: self.state,
            image: self.spec.as_ref().map(|s| s.image.clone()).unwrap_or_default(),
            image_id: self.image_id.clone(),
            as_made: self.as_made,
            restarts: self.restarts,
            exit_code: None,
            out_of_memory: false,
            error: None,
        }
    }
}

impl World {
    /// Carries out an action, or the half of it.
    pub(super) fn act(
        &mut self,
        at: &NodeName,
        action: &Action,
        fault: &Fault,
    ) -> Result<(), String> {
        let half = matches!(fault, Fault::CutMiddle | Fault::CutMkfs | Fault::LoseMiddle);
        match action {
            Action::WriteFiles(files) => {
                let files = if half { &files[..files.len() / 2] } else { files };
                for file in files {
                    self.write(at, file);
                }
                Ok(())
            }
            Action::Ceph(commands) => {
                for command in commands.iter().filter(|_| !half) {
                    self.command(at, command)?;
                }
                Ok(())
            }
            Action::OpenPorts(spec) | Action::ClosePorts(spec) => {
                let rules = if half { &spec.rules[..spec.rules.len() / 2] } else { &spec.rules };
                let firewall = self.nodes.get_mut(at).and_then(|n| n.firewall.as_mut());
                let firewall = firewall.ok_or("firewall-cmd: not found")?;
                firewall.change(rules, matches!(action, Action::OpenPorts(_)))
            }
            Action::Exec(daemon, argv) if !half => self.exec(at, daemon, argv),
            Action::Exec(..) | Action::WaitUntil(_) => Ok(()),
            Action::InstallTools(..) | Action::LoadModule(_) => self.equip_client(at, action, half),
            Action::PullPlugin { .. }
            | Action::SetPlugin { .. }
            | Action::EnablePlugin(_)
            | Action::DisablePlugin(_)
            | Action::RemovePlugin(_) => {
                if half {
                    Ok(())
                } else {
                    self.plugin(at, action)
                }
            }
            Action::RemoveFiles(removals) => {
                let removals = if half { &removals[..removals.len() / 2] } else { removals };
                self.remove_files(at, removals);
                Ok(())
            }
            Action::WipeDisk(disk) => {
                if half {
                    Ok(())
                } else {
                    self.wipe(at, disk)
                }
            }
            Action::SendProgram(spec) => {
                self.send_program(at, spec, half);
                Ok(())
            }
            Action::Service(_, verb) => self.service(at, verb, half),
            Action::PullImage { .. }
            | Action::LoadImage(_)
            | Action::LookIntoImage(_)
            | Action::RemoveLooks(_)
            | Action::RemoveContainer(..)
            | Action::Run(_)
            | Action::Start(_)
            | Action::Replace(_) => self.act_in_docker(at, action, fault),
        }
    }

    fn act_in_docker(
        &mut self,
        at: &NodeName,
        action: &Action,
        fault: &Fault,
    ) -> Result<(), String> {
        let half = matches!(fault, Fault::CutMiddle | Fault::CutMkfs | Fault::LoseMiddle);
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        if let Some(why) = &node.docker_down {
            return Err(why.clone());
        }
        match action {
            Action::PullImage { image, .. } if !half => {
                node.images.insert(image.clone(), pulled());
                Ok(())
            }
            Action::LoadImage(file) if !half => {
                let archived = self.archived.clone().ok_or("no such file")?;
                node.images.insert(file.reference.clone(), archived);
                Ok(())
            }
            Action::LookIntoImage(reference) if !half => {
                if !node.images.contains_key(reference) {
                    return Err("no such image".into());
                }
                node.looked = true;
                Ok(())
            }
            Action::LookIntoImage(reference) => {
                node.looks.insert(format!("look into {reference}"));
                Ok(())
            }
            Action::RemoveLooks(ids) if !half => {
                node.looks.retain(|id| !ids.contains(id));
                Ok(())
            }
            Action::RemoveContainer(daemon, fsid, _) => {
                self.remove_container(at, daemon, *fsid, half);
                Ok(())
            }
            Action::Run(spec) => self.run(at, spec, fault),
            Action::Start(_) if half => Ok(()),
            Action::Start(daemon) => self.start(at, daemon),
            Action::Replace(spec) => {
                match node.containers.remove(&spec.daemon.container()) {
                    Some(Container { spec: None, .. }) => {
                        self.crimes.push(format!("{at}: a stranger's container was removed"));
                    }
                    Some(_) if half => return Ok(()),
                    Some(_) => {}
                    None => return Err("no such container".into()),
                }
                self.run(at, spec, fault)
            }
            _ => Ok(()),
        }
    }

    fn equip_client(&mut self, at: &NodeName, action: &Action, half: bool) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        match action {
            // half-way, one of the two programs is there
            Action::InstallTools(manager, _) => {
                if node.client.manager != Some(*manager) {
                    return Err(format!("{manager}: command not found"));
                }
                node.client.ceph = true;
                node.client.rbd = (!half).then(|| "18.2.7".into());
            }
            Action::LoadModule(_) if half => {}
            _ => match node.client.module {
                RbdModule::Absent => return Err("module rbd not found".into()),
                RbdModule::Loadable => node.client.module = RbdModule::Loaded,
                RbdModule::Loaded | RbdModule::Builtin => {}
            },
        }
        Ok(())
    }

    fn write(&mut self, at: &NodeName, file: &FileSpec) {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let content = file.content.expose().to_owned();
        let old =
            node.files.insert(file.path.clone(), File { content, mode: file.mode, ours: true });
        if old.is_some_and(|old| !old.ours) {
            self.crimes.push(format!("{at}: {} was somebody else's and is overwritten", file.path));
        }
    }

    fn run(&mut self, at: &NodeName, spec: &ContainerSpec, fault: &Fault) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let name = spec.daemon.container();
        match node.containers.get(&name).map(|c| c.spec.as_ref()) {
            Some(Some(there)) if there.digest() == spec.digest() => {}
            Some(_) => return Err(format!("the name {name} is taken")),
            None if !node.images.contains_key(&spec.image) => return Err("no such image".into()),
            None => {
                let image_id = node.images.get(&spec.image).map(|i| i.id.clone());
                let spec = Some(spec.clone());
                let state = ContainerState::Created;
                node.containers
                    .insert(name, Container { spec, state, image_id, ..Container::foreign() });
            }
        }
        match fault {
            Fault::CutMkfs if spec.daemon.kind == Kind::Osd => self.half_mkfs(at, spec),
            Fault::CutMiddle | Fault::CutMkfs => Ok(()),
            _ => self.start(at, &spec.daemon),
        }
    }

    fn start(&mut self, at: &NodeName, daemon: &DaemonId) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let container = node.containers.get_mut(&daemon.container()).ok_or("no such container")?;
        if container.spec.is_none() {
            self.crimes.push(format!("{at}: a stranger's container was started"));
        }
        if container.state == ContainerState::Paused {
            return Err("cannot start a paused container".into());
        }
        container.state = ContainerState::Running;
        Ok(())
    }

    /// The OSD's container was started and stopped while `ceph-osd --mkfs` ran.
    fn half_mkfs(&mut self, at: &NodeName, spec: &ContainerSpec) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let container = node.containers.get_mut(&spec.daemon.container()).ok_or("no container")?;
        container.state = ContainerState::Exited;
        let (uuid, device) = (&spec.args[1], &spec.args[3]);
        if let Some(disk) = node.disks.values_mut().find(|d| &d.stable_path == device) {
            let osd_uuid = uuid.parse().map_err(|_| "no uuid")?;
            let label = Label { osd_uuid, ceph_fsid: None, whoami: None, complete: false };
            if disk.content != DiskContent::Blank {
                self.crimes
                    .push(format!("{at}: {device} was formatted and held {:?}", disk.content));
            }
            disk.content = DiskContent::BlueStore(label);
            disk.formatted += 1;
        }
        Ok(())
    }
}
