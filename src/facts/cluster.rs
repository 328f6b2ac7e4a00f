//! What the mons say, from the JSON of `ceph status`, `osd dump`, `auth ls` and `quorum_status`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::secret::sha256;

/// The cluster as its mons see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterFacts {
    /// Its fsid.
    pub fsid: Uuid,
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub health: String,
    /// Health checks that are raised and not muted.
    pub checks: Vec<Check>,
    /// Mons of the monmap by id, their node's name: whether each is in the quorum.
    pub mons: BTreeMap<String, bool>,
    /// The id of the mgr that is active, its node's name, where there is one.
    pub active_mgr: Option<String>,
    /// How many mgrs stand by.
    pub standby_mgrs: usize,
    /// Epoch of the OSD map: it grows by 1 with each change.
    pub epoch: u64,
    /// OSDs by id.
    pub osds: BTreeMap<u32, OsdFact>,
    /// Host buckets of the CRUSH map, by name, with their OSDs.
    pub hosts: BTreeMap<String, BTreeSet<u32>>,
    /// Pools by name.
    pub pools: BTreeMap<String, PoolFact>,
    /// PGs in all.
    pub pgs: u64,
    /// PGs that are active+clean.
    pub pgs_clean: u64,
    /// PGs that are active in whatever way.
    pub pgs_active: u64,
    /// Copies of objects that are missing or not where they shall be (`degraded_objects` and `misplaced_objects` of Ceph's
    /// `pgmap`).
    pub misplaced: u64,
    /// Raw capacity, of all copies together.
    pub bytes: Bytes,
    /// SHA-256 (hex) of each entity's key, by `mon.`, `osd.0`, `client.admin`. The keys themselves are never kept.
    pub auth: BTreeMap<String, String>,
    /// The capabilities of the clients that are not Ceph's own, by entity and kind of daemon: `mon` → `profile rbd`.
    pub caps: BTreeMap<String, BTreeMap<String, String>>,
    /// Ceph version of each daemon, such as `18.2.7`, by `mon.B1`, `mgr.B1`, `osd.0`.
    pub versions: BTreeMap<String, String>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `OSD_DOWN` and the like.
    pub code: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    pub severity: String,
    /// Ceph's own sentence.
    pub summary: String,
}

/// An OSD in the OSD map.
#[expect(clippy::struct_excessive_bools, reason = "they are independent, and Ceph's own")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsdFact {
    /// Its uuid.
    pub uuid: Uuid,
    /// It heartbeats.
    pub up: bool,
    /// Data is placed on it.
    #[serde(rename = "in")]
    pub inside: bool,
    /// It has been up at least once: there may be data on it that is nowhere else.
    #[serde(default)]
    pub booted: bool,
    /// Bytes of its store, where it has told.
    #[serde(default)]
    pub size: Option<u64>,
    /// Nothing is lost when it is destroyed: no PG needs it. Only asked about OSDs that are not `in`.
    #[serde(default)]
    pub drained: bool,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFact {
    /// Copies.
    pub size: u64,
    /// Applications that are enabled on it.
    pub applications: Vec<String>,
    /// `rbd pool init` was run on it, or an image made in it: either has clients keep its snapshots themselves, which the
    /// pool's flag `selfmanaged_snaps` tells for ever.
    #[serde(default)]
    pub initialised: bool,
}

/// Capacity in bytes, as `ceph status` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes {
    /// Raw capacity of all OSDs.
    pub total: u64,
    /// Used, in bytes, of the disks themselves: each copy counts.
    pub used: u64,
    /// Available, in bytes, likewise.
    pub available: u64,
}

/// Puts the answers together. `auth` and `metadata` may be missing where only health was asked for.
///
/// # Errors
/// `status` or `osd_dump` lacks what everything else rests on: an fsid, uuids of OSDs.
pub fn parse(
    status: &Value,
    osd_dump: &Value,
    auth: &Value,
    metadata: &[Value],
) -> Result<ClusterFacts, String> {
    let fsid = status["fsid"].as_str().and_then(|f| f.parse().ok());
    let mut facts = ClusterFacts {
        fsid: fsid.ok_or("ceph status names no fsid")?,
        health: status["health"]["status"].as_str().unwrap_or("HEALTH_ERR").to_owned(),
        checks: checks(&status["health"]["checks"]),
        ..ClusterFacts::default()
    };
    let quorum: Vec<&str> = strings(&status["quorum_names"]).collect();
    // "mons" lists the monmap where the release has it in its status; the quorum's members are in it anyway
    let mons = status["monmap"]["mons"].as_array().map(Vec::as_slice).unwrap_or_default();
    for name in mons.iter().filter_map(|m| m["name"].as_str()).chain(quorum.iter().copied()) {
        facts.mons.insert(name.to_owned(), quorum.contains(&name));
    }
    let pg = &status["pgmap"];
    facts.pgs = pg["num_pgs"].as_u64().unwrap_or(0);
    for state in pg["pgs_by_state"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (name, count) =
            (state["state_name"].as_str().unwrap_or(""), state["count"].as_u64().unwrap_or(0));
        if name.split('+').any(|s| s == "active") {
            facts.pgs_active += count;
        }
        // a scrub is housekeeping, not an unclean PG
        if name == "active+clean" || name.starts_with("active+clean+scrubbing") {
            facts.pgs_clean += count;
        }
    }
    let bytes = |key: &str| pg[key].as_u64().unwrap_or(0);
    facts.misplaced = bytes("misplaced_objects") + bytes("degraded_objects");
    facts.bytes = Bytes {
        total: bytes("bytes_total"),
        used: bytes("bytes_used"),
        available: bytes("bytes_avail"),
    };
    facts.epoch = osd_dump["epoch"].as_u64().unwrap_or(0);
    facts.osds = osds(osd_dump)?;
    facts.pools = pools(osd_dump);
    facts.auth = digests(auth);
    facts.caps = caps(auth);
    facts.versions = versions(metadata);
    for osd in metadata.get(2).and_then(Value::as_array).into_iter().flatten() {
        let id = osd["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        if let Some(fact) = id.and_then(|id| facts.osds.get_mut(&id)) {
            // a text, as all metadata
            fact.size = osd["bluestore_bdev_size"].as_str().and_then(|size| size.parse().ok());
        }
    }
    Ok(facts)
}

/// The CRUSH map's host buckets, from `osd tree`.
pub fn add_tree(facts: &mut ClusterFacts, tree: &Value) {
    let nodes = tree["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    for host in nodes.iter().filter(|n| n["type"] == "host") {
        let children = host["children"].as_array().map(Vec::as_slice).unwrap_or_default();
        let osds = children.iter().filter_map(|c| u32::try_from(c.as_i64()?).ok());
        if let Some(name) = host["name"].as_str() {
            facts.hosts.insert(name.to_owned(), osds.collect());
        }
    }
}

/// Which OSDs can be destroyed and nothing is lost, from `osd safe-to-destroy`.
pub fn add_drained(facts: &mut ClusterFacts, answer: &Value) {
    for id in answer["safe_to_destroy"].as_array().into_iter().flatten() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        if let Some(osd) = id.and_then(|id| facts.osds.get_mut(&id)) {
            osd.drained = true;
        }
    }
}

/// The mons of the monmap and the mgrs, from `mon dump` and `mgr dump`.
pub fn add_maps(facts: &mut ClusterFacts, mon_dump: &Value, mgr_dump: &Value) {
    for mon in mon_dump["mons"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if let Some(name) = mon["name"].as_str() {
            facts.mons.entry(name.to_owned()).or_insert(false);
        }
    }
    let active = mgr_dump["active_name"].as_str().filter(|n| !n.is_empty());
    let available = mgr_dump["available"].as_bool().unwrap_or(false);
    facts.active_mgr = active.filter(|_| available).map(str::to_owned);
    facts.standby_mgrs = mgr_dump["standbys"].as_array().map_or(0, Vec::len);
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str)
}

fn checks(value: &Value) -> Vec<Check> {
    let Some(map) = value.as_object() else { return Vec::new() };
    let raised = map.iter().filter(|(_, check)| check["muted"] != Value::Bool(true));
    let check = |(code, check): (&String, &Value)| Check {
        code: code.clone(),
        severity: check["severity"].as_str().unwrap_or_default().to_owned(),
        summary: check["summary"]["message"].as_str().unwrap_or_default().to_owned(),
    };
    raised.map(check).collect()
}

fn osds(dump: &Value) -> Result<BTreeMap<u32, OsdFact>, String> {
    let list = dump["osds"].as_array().ok_or("ceph osd dump lists no OSDs")?;
    let osd = |o: &Value| {
        let id = u32::try_from(o["osd"].as_u64()?).ok()?;
        let uuid = o["uuid"].as_str()?.parse().ok()?;
        Some((
            id,
            OsdFact {
                uuid,
                up: o["up"] == 1,
                inside: o["in"] == 1,
                // the epoch in which it came up last
                booted: o["up_from"].as_u64().is_some_and(|epoch| epoch > 0),
                size: None,
                drained: false,
            },
        ))
    };
    list.iter()
        .map(|o| osd(o).ok_or_else(|| "ceph osd dump holds an OSD without id or uuid".to_owned()))
        .collect()
}

fn pools(dump: &Value) -> BTreeMap<String, PoolFact> {
    let list = dump["pools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pool = |p: &Value| {
        let applications =
            p["application_metadata"].as_object().map(|m| m.keys().cloned().collect());
        let fact = PoolFact {
            size: p["size"].as_u64().unwrap_or(0),
            applications: applications.unwrap_or_default(),
            initialised: p["flags_names"]
                .as_str()
                .is_some_and(|names| names.split(',').any(|flag| flag == "selfmanaged_snaps")),
        };
        Some((p["pool_name"].as_str()?.to_owned(), fact))
    };
    list.iter().filter_map(pool).collect()
}

fn digests(auth: &Value) -> BTreeMap<String, String> {
    let list = auth["auth_dump"].as_array().map(Vec::as_slice).unwrap_or_default();
    let entity = |e: &Value| Some((e["entity"].as_str()?.to_owned(), sha256(e["key"].as_str()?)));
    list.iter().filter_map(entity).collect()
}

fn caps(auth: &Value) -> BTreeMap<String, BTreeMap<String, String>> {
    let list = auth["auth_dump"].as_array().map(Vec::as_slice).unwrap_or_default();
    let cap = |(kind, cap): (&String, &Value)| Some((kind.clone(), cap.as_str()?.to_owned()));
    let entity = |e: &Value| {
        let name = e["entity"].as_str()?;
        let caps = e["caps"].as_object()?.iter().filter_map(cap).collect();
        let own = name == "client.admin" || name.starts_with("client.bootstrap-");
        (name.starts_with("client.") && !own).then(|| (name.to_owned(), caps))
    };
    list.iter().filter_map(entity).collect()
}

/// `[{name or id, ceph_version_short}]` of `mon|mgr|osd metadata`, in this order.
fn versions(metadata: &[Value]) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (kind, list) in ["mon", "mgr", "osd"].iter().zip(metadata) {
        for daemon in list.as_array().map(Vec::as_slice).unwrap_or_default() {
            let id = daemon["name"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| daemon["id"].as_u64().map(|i| i.to_string()));
            if let (Some(id), Some(version)) = (id, daemon["ceph_version_short"].as_str()) {
                out.insert(format!("{kind}.{id}"), version.to_owned());
            }
        }
    }
    out
}
