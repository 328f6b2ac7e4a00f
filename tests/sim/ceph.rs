//! The simulated Ceph: what the containers' scripts make of the files they find, and the cluster the daemons form.

use std::collections::{BTreeMap, BTreeSet};

use cephdock::daemon::{ContainerSpec, DaemonId, Kind, mon, osd};
use cephdock::facts::bluestore::Label;
use cephdock::facts::cluster::{Check, ClusterFacts, OsdFact, PoolFact};
use cephdock::facts::{ContainerState, DiskContent};
use cephdock::inventory::NodeName;
use cephdock::plan::MonCommand;
use cephdock::secret::sha256;
use uuid::Uuid;

use super::World;
use super::node::{OsdData, Store};

/// What tells clusters apart: the fsid and the key that the mons share.
type Key = (Uuid, String);

/// Every cluster whose mons have ever met. More than one is a crime of its own.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    pub(crate) all: BTreeMap<Key, Cluster>,
    /// The mons that are in the quorum now.
    quorum: BTreeMap<Key, BTreeSet<String>>,
    /// No mon has noticed yet that an OSD has fallen.
    pub(crate) unaware: bool,
}

/// What the mons of a cluster keep.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) monmap: Vec<String>,
    /// Keys by entity.
    pub(crate) auth: BTreeMap<String, String>,
    pub(crate) osds: BTreeMap<u32, MapOsd>,
    pub(crate) pools: BTreeMap<String, PoolFact>,
    mgrs: BTreeSet<String>,
    /// The mgr that was told to make room for another.
    failed_mgr: Option<String>,
    /// Buckets of the CRUSH map that have had OSDs.
    empty_hosts: BTreeSet<String>,
    /// Mons that were taken out of the monmap. They do not come back with the store they had.
    removed: BTreeSet<String>,
}

/// An OSD in the map.
#[derive(Debug, Clone)]
pub(crate) struct MapOsd {
    pub(crate) uuid: Uuid,
    pub(crate) up: bool,
    pub(crate) inside: bool,
    host: String,
}

const POOL_PGS: u64 = 32;

impl Cluster {
    fn facts(&self, fsid: Uuid, quorum: &BTreeSet<String>) -> ClusterFacts {
        let there = self.osds.values().filter(|o| o.up && o.inside);
        let hosts: BTreeSet<&str> = there.map(|o| o.host.as_str()).collect();
        let copies = self.pools.values().map(|p| p.size).max().unwrap_or(0);
        let mut buckets: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for (number, osd) in self.osds.iter().filter(|(_, o)| !o.host.is_empty()) {
            buckets.entry(osd.host.clone()).or_default().insert(*number);
        }
        for host in &self.empty_hosts {
            buckets.entry(host.clone()).or_default();
        }
        let (mut pgs, mut clean) = (0, 0);
        for (name, pool) in &self.pools {
            let count = if name == ".mgr" { 1 } else { POOL_PGS };
            pgs += count;
            clean += if hosts.len() as u64 >= pool.size { count } else { 0 };
        }
        let mut checks = Vec::new();
        let mut check = |is_so: bool, code: &str| {
            if is_so {
                let (code, summary) = (code.to_owned(), format!("the simulation says {code}"));
                checks.push(Check { code, severity: "HEALTH_WARN".into(), summary });
            }
        };
        check(self.monmap.iter().any(|m| !quorum.contains(m)), "MON_DOWN");
        check(self.mgrs.is_empty(), "MGR_DOWN");
        check(self.osds.values().any(|o| !o.up), "OSD_DOWN");
        check(clean < pgs, "PG_DEGRADED");
        check(self.pools.values().any(|p| p.applications.is_empty()), "POOL_APP_NOT_ENABLED");
        let osd = |(n, o): (&u32, &MapOsd)| {
            let drained = !o.inside && hosts.len() as u64 >= copies;
            let (inside, size) = (o.inside, Some(4 << 30));
            (
                *n,
                OsdFact {
                    uuid: o.uuid,
                    up: o.up,
                    inside,
                    booted: !o.host.is_empty(),
                    size,
                    drained,
                },
            )
        };
        let active_mgr = self.mgrs.iter().find(|m| Some(*m) != self.failed_mgr.as_ref());
        ClusterFacts {
            fsid,
            health: if checks.is_empty() { "HEALTH_OK" } else { "HEALTH_WARN" }.into(),
            checks,
            mons: self.monmap.iter().map(|m| (m.clone(), quorum.contains(m))).collect(),
            active_mgr: active_mgr.or(self.mgrs.first()).cloned(),
            standby_mgrs: self.mgrs.len().saturating_sub(1),
            osds: self.osds.iter().map(osd).collect(),
            hosts: buckets,
            pools: self.pools.clone(),
            pgs,
            pgs_clean: clean,
            pgs_active: clean,
            auth: self.auth.iter().map(|(e, k)| (e.clone(), sha256(k))).collect(),
            ..ClusterFacts::default()
        }
    }
}

impl World {
    /// Lets all that runs have its effect, until nothing changes by itself.
    pub(crate) fn live(&mut self) {
        for _ in 0..3 {
            self.processes();
            self.elect();
            self.boot();
        }
        if self.ceph.all.len() > 1 {
            self.crimes.push(format!("two clusters: {:?}", self.ceph.all.keys()));
        }
    }

    /// Docker starts what should run; what cannot falls over and is started again later.
    fn processes(&mut self) {
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for at in names {
            let node = &self.nodes[&at];
            let due = |s: ContainerState| {
                matches!(s, ContainerState::Running | ContainerState::Restarting)
            };
            let due: Vec<(String, ContainerSpec, bool)> = node
                .containers
                .iter()
                .filter(|(_, c)| node.power && due(c.state))
                .filter_map(|(name, c)| Some((name.clone(), c.spec.clone()?, c.falls)))
                .collect();
            for (name, spec, falls) in due {
                let result = match spec.daemon.kind {
                    _ if falls => {
                        Err("missing 'type' file and unable to infer osd type".to_owned())
                    }
                    Kind::Mon => self.start_mon(&at, &spec),
                    Kind::Mgr => self.keyring(&at, &spec.daemon).map(drop),
                    Kind::Osd => self.start_osd(&at, &spec),
                };
                let node = self.nodes.get_mut(&at).expect("nodes do not go away");
                let container = node.containers.get_mut(&name).expect("nor do containers");
                container.state = match result {
                    Ok(()) => ContainerState::Running,
                    Err(why) => {
                        container.said = why;
                        container.restarts += 1;
                        ContainerState::Restarting
                    }
                };
            }
        }
    }

    fn start_mon(&mut self, at: &NodeName, spec: &ContainerSpec) -> Result<(), String> {
        let [id, fsid, _address] = spec.args.as_slice() else { return Err("three words".into()) };
        let fsid: Uuid = fsid.parse().map_err(|_| "no fsid")?;
        let seed = mon::seed_dir(&spec.daemon);
        let node = &self.nodes[at];
        if !node.stores.contains_key(id) {
            let monmap = if node.files.contains_key(&format!("{seed}/join")) {
                self.answering(at)?.1.monmap.clone()
            } else {
                let mons = node.text(&format!("{seed}/mons"))?;
                mons.lines().filter_map(|l| Some(l.split_once(' ')?.0.to_owned())).collect()
            };
            let keys = keys(node.text(&format!("{seed}/keyring"))?);
            let mon_key = keys.get("mon.").ok_or("no key of mon.")?.clone();
            let store = Store { fsid, mon_key, keys, monmap, synced: false };
            self.nodes.get_mut(at).expect("it was there").stores.insert(id.clone(), store);
        }
        let node = self.nodes.get_mut(at).expect("it was there");
        node.files.retain(|path, _| !path.starts_with(&format!("{seed}/")));
        match node.fsid() {
            Some(conf) if conf == node.stores[id].fsid => Ok(()),
            other => Err(format!("ceph.conf names {other:?}")),
        }
    }

    fn start_osd(&mut self, at: &NodeName, spec: &ContainerSpec) -> Result<(), String> {
        let [id, uuid, _crush, device, bytes] = spec.args.as_slice() else {
            return Err("five words".into());
        };
        let number: u32 = id.parse().map_err(|_| "no number")?;
        let osd_uuid: Uuid = uuid.parse().map_err(|_| "no uuid")?;
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        let fsid = node.fsid().ok_or("no ceph.conf")?;
        if !node.osds.contains_key(&number) {
            let prepared = format!("{}/keyring", osd::prepare_dir(&spec.daemon));
            let keyring =
                node.files.get(&prepared).ok_or("the prepared keyring is missing")?.clone();
            if device.is_empty() {
                bytes.parse::<u64>().map_err(|_| "no size")?;
            } else {
                let disk = node.disks.values_mut().find(|d| &d.stable_path == device);
                let disk = disk.ok_or("no such device")?;
                match &disk.content {
                    DiskContent::Blank => disk.formatted += 1,
                    DiskContent::BlueStore(label) if label.osd_uuid == osd_uuid => {
                        if label.whoami.is_some_and(|n| n != number) {
                            return Err("provided osd id differs from the superblock's".into());
                        }
                    }
                    other => {
                        let crime =
                            format!("{at}: {device} was to be formatted and holds {other:?}");
                        self.crimes.push(crime);
                        return Err("refused: it is not blank any more".into());
                    }
                }
                let (ceph_fsid, whoami) = (Some(fsid), Some(number));
                let label = Label { osd_uuid, ceph_fsid, whoami, complete: true };
                disk.content = DiskContent::BlueStore(label);
            }
            node.files.remove(&prepared);
            node.files.insert(format!("{}/keyring", spec.daemon.data_dir()), keyring);
            node.osds.insert(number, OsdData { uuid: osd_uuid, fsid });
        }
        self.keyring(at, &spec.daemon).map(drop)
    }

    /// The key that a daemon has.
    fn keyring(&self, at: &NodeName, daemon: &DaemonId) -> Result<String, String> {
        let text = self.nodes[at].text(&format!("{}/keyring", daemon.data_dir()))?;
        keys(text).remove(&daemon.entity()).ok_or_else(|| "no key in the keyring".to_owned())
    }

    /// The mons that run and share fsid and key meet where they are the greater part of the monmap.
    fn elect(&mut self) {
        let mut there: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        let mut stores: BTreeMap<String, &mut Store> = BTreeMap::new();
        for node in self.nodes.values_mut() {
            let mon = node.running().into_iter().find(|s| s.daemon.kind == Kind::Mon);
            let Some(id) = mon.map(|s| s.daemon.id) else { continue };
            let open = node.lets_in("3300") && node.lets_in("6789");
            let Some(store) = node.stores.get_mut(&id) else { continue };
            if !open && store.monmap.len() > 1 {
                continue; // the others do not hear of it
            }
            let key = (store.fsid, store.mon_key.clone());
            there.entry(key).or_default().insert(id.clone());
            stores.insert(id, store);
        }
        self.ceph.quorum.clear();
        for (key, mut ids) in there {
            let first = ids.first().and_then(|id| stores.get(id)).expect("no group is empty");
            let known = self.ceph.all.get(&key);
            let monmap = known.map_or(&first.monmap, |c| &c.monmap);
            let members = ids.iter().filter(|id| monmap.contains(id)).count();
            if members * 2 <= monmap.len() {
                continue;
            }
            if known.is_none() {
                // the mon of the lowest rank leads, and its store's keys become the cluster's
                let leader =
                    monmap.iter().find_map(|id| stores.get(id)).expect("there are members");
                let (monmap, auth) = (leader.monmap.clone(), leader.keys.clone());
                let cluster = Cluster { monmap, auth, ..Cluster::default() };
                self.ceph.all.insert(key.clone(), cluster);
            } else if !ids.iter().any(|id| stores[id].synced) {
                self.crimes.push("stores that hold nothing outvote the one that does".into());
            }
            let cluster = self.ceph.all.get_mut(&key).expect("it is there by now");
            for id in &ids {
                let store = stores.get_mut(id).expect("ids are of stores");
                let left = cluster.removed.contains(id) && store.synced;
                if !left && !cluster.monmap.contains(id) {
                    cluster.removed.remove(id);
                    cluster.monmap.push(id.clone());
                }
                store.synced = true;
            }
            ids.retain(|id| cluster.monmap.contains(id));
            self.ceph.quorum.insert(key, ids);
        }
    }

    /// OSDs and mgrs that the mons know come up.
    fn boot(&mut self) {
        let unaware = self.ceph.unaware;
        for (key, cluster) in &mut self.ceph.all {
            if !self.ceph.quorum.contains_key(key) {
                continue; // nobody notices anything
            }
            cluster.mgrs.clear();
            if !unaware {
                cluster.osds.values_mut().for_each(|o| o.up = false);
            }
            for (at, node) in &self.nodes {
                for spec in node.running() {
                    let entity = spec.daemon.entity();
                    let path = format!("{}/keyring", spec.daemon.data_dir());
                    let has = node.text(&path).ok().and_then(|text| keys(text).remove(&entity));
                    if node.fsid() != Some(key.0)
                        || has.is_none()
                        || has != cluster.auth.get(&entity).cloned()
                    {
                        continue;
                    }
                    if !node.lets_in("6800-7300") && self.nodes.len() > 1 {
                        continue;
                    }
                    if spec.daemon.kind == Kind::Mgr {
                        cluster.mgrs.insert(spec.daemon.id.clone());
                    }
                    let Ok(number) = spec.daemon.id.parse::<u32>() else { continue };
                    let Some(data) =
                        node.osds.get(&number).filter(|_| spec.daemon.kind == Kind::Osd)
                    else {
                        continue;
                    };
                    let host = spec.args[2].rsplit('=').next().unwrap_or_default().to_owned();
                    let (up, inside) = (true, true);
                    let new = MapOsd { uuid: data.uuid, up, inside, host: host.clone() };
                    let osd = cluster.osds.entry(number).or_insert(new);
                    if osd.uuid == data.uuid && !osd.up {
                        (osd.up, osd.host) = (true, host);
                    } else if osd.uuid != data.uuid {
                        self.crimes.push(format!(
                            "{at}: osd.{number} boots with another uuid than the map's"
                        ));
                    }
                }
            }
            if !cluster.mgrs.is_empty() && cluster.osds.values().any(|o| o.up) {
                let size = cluster.pools.values().map(|p| p.size).max().unwrap_or(1);
                let pool = PoolFact { size, applications: vec!["mgr".into()], initialised: false };
                cluster.pools.entry(".mgr".into()).or_insert(pool);
            }
        }
    }

    /// The cluster that answers a client with the node's ceph.conf and administrator's key.
    fn answering(&self, at: &NodeName) -> Result<(&Key, &Cluster), String> {
        let node = &self.nodes[at];
        let admin = keys(node.text("/etc/ceph/ceph.client.admin.keyring")?).remove("client.admin");
        let fsid = node.fsid().ok_or("no ceph.conf")?;
        let quorum = self.ceph.quorum.keys().find(|key| key.0 == fsid);
        let key = quorum.ok_or("no mon answers (timed out)")?;
        let cluster = &self.ceph.all[key];
        if admin.is_none() || admin != cluster.auth.get("client.admin").cloned() {
            return Err("no mon answers (permission denied)".into());
        }
        Ok((key, cluster))
    }

    /// The same through the client in the node's mon container.
    fn through_mon(&self, at: &NodeName) -> Result<Key, String> {
        let node = &self.nodes[at];
        if let Some(why) = &node.docker_down {
            return Err(why.clone());
        }
        if !node.running().iter().any(|s| s.daemon.kind == Kind::Mon) {
            return Err("the container mon is not running".into());
        }
        self.answering(at).map(|(key, _)| key.clone())
    }

    pub(super) fn ask(&self, at: &NodeName) -> Result<ClusterFacts, String> {
        let key = self.through_mon(at)?;
        Ok(self.ceph.all[&key].facts(key.0, &self.ceph.quorum[&key]))
    }

    pub(super) fn command(&mut self, at: &NodeName, command: &MonCommand) -> Result<(), String> {
        let key = self.through_mon(at)?;
        let cluster = self.ceph.all.get_mut(&key).expect("it answers");
        let json = &command.json;
        let word = |field: &str| json[field].as_str().unwrap_or_default().to_owned();
        let input =
            command.input.as_ref().map(cephdock::secret::Secret::expose).unwrap_or_default();
        match word("prefix").as_str() {
            "auth import" => cluster.auth.extend(keys(input)),
            "osd new" => {
                let secret: serde_json::Value =
                    serde_json::from_str(input).map_err(|e| e.to_string())?;
                let secret = secret["cephx_secret"].as_str().ok_or("no secret")?.to_owned();
                let number =
                    json["id"].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("no id")?;
                let uuid: Uuid = word("uuid").parse().map_err(|_| "no uuid")?;
                let entity = format!("osd.{number}");
                let there = cluster.osds.iter().find(|(n, o)| **n == number || o.uuid == uuid);
                if there.is_some_and(|(n, o)| *n != number || o.uuid != uuid)
                    || cluster.auth.get(&entity).is_some_and(|k| *k != secret)
                {
                    return Err("EEXIST".into());
                }
                cluster.auth.insert(entity, secret);
                let osd = MapOsd { uuid, up: false, inside: true, host: String::new() };
                cluster.osds.entry(number).or_insert(osd);
            }
            "osd pool create" => {
                let pool = PoolFact {
                    size: json["size"].as_u64().unwrap_or(3),
                    applications: Vec::new(),
                    initialised: false,
                };
                cluster.pools.entry(word("pool")).or_insert(pool);
            }
            "osd pool application enable" => {
                let pool = cluster.pools.get_mut(&word("pool")).ok_or("ENOENT")?;
                pool.applications = vec![word("app")];
            }
            "osd pool set" if word("var") == "size" => {
                let size = word("val").parse().map_err(|_| "no number")?;
                cluster.pools.get_mut(&word("pool")).ok_or("ENOENT")?.size = size;
            }
            "health mute" => {}
            "osd out" | "osd down" => {
                let ids = json["ids"].as_array().ok_or("no ids")?;
                for id in ids.iter().filter_map(|id| id.as_str()?.parse::<u32>().ok()) {
                    let osd = cluster.osds.get_mut(&id).ok_or("ENOENT")?;
                    match word("prefix").as_str() {
                        "osd out" => osd.inside = false,
                        _ => osd.up = false,
                    }
                }
            }
            "mgr fail" => cluster.failed_mgr = Some(word("who")),
            "mon remove" => {
                cluster.monmap.retain(|mon| *mon != word("name"));
                cluster.removed.insert(word("name"));
            }
            "auth rm" => drop(cluster.auth.remove(&word("entity"))),
            "osd crush rm" => {
                if cluster.osds.values().any(|o| o.host == word("name")) {
                    return Err("ENOTEMPTY".into());
                }
                cluster.empty_hosts.remove(&word("name"));
            }
            other => return Err(format!("the simulation knows no `{other}`")),
        }
        Ok(())
    }

    pub(super) fn exec(
        &mut self,
        at: &NodeName,
        daemon: &DaemonId,
        argv: &[String],
    ) -> Result<(), String> {
        if *daemon != DaemonId::mon(at) {
            return Err(format!("{daemon} is not here"));
        }
        let key = self.through_mon(at)?;
        let facts = self.ask(at)?;
        let cluster = self.ceph.all.get_mut(&key).expect("it answers");
        let pool = match argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["rbd", "pool", "init", pool] => pool,
            ["ceph", "osd", "purge", number, _] => {
                let number: u32 = number.parse().map_err(|_| "no number")?;
                let fact = facts.osds.get(&number).ok_or("ENOENT")?;
                if fact.up || !fact.drained {
                    return Err(format!("EBUSY: {fact:?}"));
                }
                cluster.auth.remove(&format!("osd.{number}"));
                let osd = cluster.osds.remove(&number).expect("it has a fact");
                cluster.empty_hosts.insert(osd.host);
                return Ok(());
            }
            _ => return Err(format!("the simulation knows no {argv:?}")),
        };
        let pool = cluster.pools.get_mut(pool).ok_or("no such pool")?;
        if facts.pgs_active < POOL_PGS {
            return Err("it hangs: the pool's PGs are not active".into());
        }
        pool.applications = vec!["rbd".into()];
        pool.initialised = true;
        Ok(())
    }
}

/// The keys of a keyring file, by entity.
fn keys(text: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut entity = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            entity = name;
        } else if let Some(key) = line.strip_prefix("key = ") {
            keys.insert(entity.to_owned(), key.to_owned());
        }
    }
    keys
}
