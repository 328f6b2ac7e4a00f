//! The cluster's identity: its fsid and one seed from which every cephx key is derived.
//!
//! It is minted once, before the first plan, and written to every mon node before anything uses it; every later run
//! adopts what it finds there. Because keys and OSD uuids are *derived*, nothing is invented while a plan is carried
//! out, a run that was killed half-way is finished by the next one with the same keys, and the file never grows.
//!
//! Whoever can read the file can do anything to the cluster, as with the mons' own keyring that lies beside it: 0600,
//! root, on mon nodes only.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::facts::{Facts, IdentityFile};
use crate::inventory::{Inventory, NodeName};
use crate::secret::Secret;

/// Where it lies on a mon node.
pub const PATH: &str = "/var/lib/ceph/cephdock/identity.json";

const VERSION: u32 = 1;

/// Which cluster this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub fsid: Uuid,
    /// 32 random bytes in base64.
    seed: Secret,
    /// When it was minted, in seconds since 1970. cephx keys carry it.
    created: u32,
    /// What the daemons' keys are. `None`: it is to be decided when it is known what the image can read; an identity
    /// is only written to a node once it is.
    pub daemon_keys: Option<KeyType>,
    /// The mons of the first monmap. It may only be changed by Ceph once the mons have met.
    pub initial_mons: Vec<InitialMon>,
    /// The mons have met. From then on a mon without a store joins the others, and never starts from the first monmap:
    /// two fresh stores could outvote the one that holds the data.
    pub established: bool,
}

/// What a cephx key is made for. The names are Ceph's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// 16 bytes, AES-CBC: the only one before Ceph 19.2.6 and 20.2.4, which call it insecure (CVE-2025-30156).
    #[default]
    Aes,
    /// 32 bytes, AES256 with HMAC-SHA384, of RFC 8009. New clusters of those releases take no daemon without it.
    Aes256k,
}

/// A mon of the first monmap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialMon {
    /// The node's name, which is the mon's id.
    pub name: String,
    /// Its address; mons listen on ports 3300 (msgr2) and 6789 of it.
    pub address: IpAddr,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    fsid: Uuid,
    seed: String,
    created: u32,
    initial_mons: Vec<InitialMon>,
    established: bool,
    /// Files from before there was a choice have none.
    #[serde(default, skip_serializing_if = "is_aes")]
    daemon_keys: KeyType,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_aes(keys: &KeyType) -> bool {
    *keys == KeyType::Aes
}

/// What the nodes say about the cluster's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It was found.
    Found(Identity),
    /// Every mon node was looked at and there is none: a new cluster.
    None,
    /// Not found, but these nodes, which may hold it, could not be looked at.
    Unknown(Vec<NodeName>),
    /// Two nodes hold different ones.
    Conflict(Vec<(NodeName, Uuid)>),
    /// A node's file cannot be read.
    Damaged(NodeName, String),
}

impl Identity {
    /// A new one for `want`, from `random` (32 bytes for the seed, 16 for the fsid) and the time, with keys that every
    /// release of Ceph reads.
    pub fn mint(want: &Inventory, random: [u8; 48], now: u32) -> Self {
        let (seed, fsid) = random.split_at(32);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(fsid);
        Self {
            fsid: uuid::Builder::from_random_bytes(bytes).into_uuid(),
            seed: Secret::new(STANDARD.encode(seed)),
            created: now,
            daemon_keys: Some(KeyType::Aes),
            initial_mons: want
                .mons()
                .map(|n| InitialMon { name: n.name.to_string(), address: n.address })
                .collect(),
            established: false,
        }
    }

    /// The same, and what the daemons' keys are is left to be decided.
    #[must_use]
    pub fn undecided(self) -> Self {
        Self { daemon_keys: None, ..self }
    }

    /// The one that the mon nodes of `want` hold.
    pub fn adopt(want: &Inventory, seen: &Facts) -> Adopted {
        let mut found: Vec<(NodeName, Identity)> = Vec::new();
        let mut unseen = Vec::new();
        for node in &want.nodes {
            match seen.node(&node.name).map(|facts| &facts.identity) {
                Some(IdentityFile::Found(id)) => found.push((node.name.clone(), id.clone())),
                Some(IdentityFile::Damaged(why)) => {
                    return Adopted::Damaged(node.name.clone(), why.clone());
                }
                None if node.roles.mon => unseen.push(node.name.clone()),
                Some(IdentityFile::Absent) | None => {}
            }
        }
        let Some((_, first)) = found.first() else {
            return if unseen.is_empty() { Adopted::None } else { Adopted::Unknown(unseen) };
        };
        if found.iter().any(|(_, id)| !id.same_cluster(first)) {
            return Adopted::Conflict(found.iter().map(|(n, id)| (n.clone(), id.fsid)).collect());
        }
        let established = found.iter().any(|(_, id)| id.established);
        Adopted::Found(Identity { established, ..first.clone() })
    }

    fn same_cluster(&self, other: &Self) -> bool {
        self.fsid == other.fsid && self.seed == other.seed && self.created == other.created
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong with it, without a word of the text: that could be the seed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let s: Stored = serde_json::from_str(text)
            // the parser's own words could quote the seed
            .map_err(|e| {
                format!("not a valid identity file (line {}, column {})", e.line(), e.column())
            })?;
        if s.version != VERSION {
            return Err(format!("made by another version of cephdock (format {})", s.version));
        }
        if STANDARD.decode(&s.seed).map(|b| b.len()) != Ok(32) {
            return Err("its seed is not 32 bytes of base64".into());
        }
        Ok(Self {
            fsid: s.fsid,
            seed: Secret::new(s.seed),
            created: s.created,
            daemon_keys: Some(s.daemon_keys),
            initial_mons: s.initial_mons,
            established: s.established,
        })
    }

    /// The file's text.
    pub fn text(&self) -> Secret {
        let stored = Stored {
            version: VERSION,
            fsid: self.fsid,
            seed: self.seed.expose().to_owned(),
            created: self.created,
            initial_mons: self.initial_mons.clone(),
            established: self.established,
            daemon_keys: self.daemon_keys.unwrap_or_default(),
        };
        let mut text =
            serde_json::to_string_pretty(&stored).expect("plain fields always serialise");
        text.push('\n');
        Secret::new(text)
    }

    /// The cephx key of `name`, in Ceph's base64 form: u16 type (1 `aes`, 2 `aes256k`), u32 seconds, u32 nanoseconds,
    /// u16 length (16, 32) and that many bytes, little endian.
    ///
    /// Clients' keys are always `aes`: the kernel's RBD driver reads the other kind only since Linux 7.0, and so does
    /// a host's own `ceph` only if it is as new as the cluster.
    pub fn key(&self, name: &str) -> Secret {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.seed.expose().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(b"cephx\0");
        mac.update(name.as_bytes());
        let secret = mac.finalize().into_bytes();
        let client = name.starts_with("client.");
        let (kind, length) = match self.daemon_keys {
            Some(KeyType::Aes256k) if !client => (2u16, 32u16),
            _ => (1, 16),
        };
        let mut key = Vec::with_capacity(44);
        key.extend(kind.to_le_bytes());
        key.extend(self.created.to_le_bytes());
        key.extend(0u32.to_le_bytes());
        key.extend(length.to_le_bytes());
        key.extend(&secret[..usize::from(length)]);
        Secret::new(STANDARD.encode(key))
    }

    /// The cephx key of an OSD. It belongs to the OSD's uuid: ids are given again, uuids are not.
    pub fn osd_key(&self, osd: Uuid) -> Secret {
        self.key(&format!("osd/{osd}"))
    }

    /// The uuid of the OSD on `disk` (a serial number, or a path where the disk has none) of `node`. Always the same
    /// for the same three, so that a half-made OSD is recognised.
    pub fn osd_uuid(&self, node: &NodeName, disk: &str) -> Uuid {
        osd_uuid(self.fsid, node, disk)
    }
}

/// [`Identity::osd_uuid`] where the identity is gone: the fsid is all it takes.
pub fn osd_uuid(fsid: Uuid, node: &NodeName, disk: &str) -> Uuid {
    Uuid::new_v5(&fsid, format!("osd/{node}/{disk}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            fsid: Uuid::from_u128(7),
            seed: Secret::new(STANDARD.encode([3; 32])),
            created: 1_700_000_000,
            daemon_keys: Some(KeyType::Aes),
            initial_mons: vec![],
            established: false,
        }
    }

    #[test]
    fn text_reads_back() {
        let id = identity();
        assert_eq!(Identity::parse(id.text().expose()), Ok(id));
    }

    #[test]
    fn a_damaged_file_is_not_quoted() {
        let text = identity().text().expose().replace("\"created\"", "\"creatd\"");
        let error = Identity::parse(&text).unwrap_err();
        assert!(!error.contains(&STANDARD.encode([3; 32])), "{error}");
    }

    #[test]
    fn a_key_has_cephs_form_and_belongs_to_its_name() {
        let id = identity();
        let key = STANDARD.decode(id.key("client.admin").expose()).unwrap();
        assert_eq!(key.len(), 28);
        assert_eq!(key[..2], [1, 0]);
        assert_eq!(key[10..12], [16, 0]);
        assert_eq!(id.key("client.admin"), id.key("client.admin"));
        assert_ne!(id.key("client.admin"), id.key("mon."));
    }

    #[test]
    fn only_daemons_have_keys_of_the_new_type() {
        let id = Identity { daemon_keys: Some(KeyType::Aes256k), ..identity() };
        let key = |name: &str| STANDARD.decode(id.key(name).expose()).unwrap();
        for name in ["mon.", "mgr.B1"] {
            assert_eq!((key(name).len(), &key(name)[..2]), (44, &[2, 0][..]), "{name}");
            assert_eq!(key(name)[10..12], [32, 0]);
        }
        assert_eq!(STANDARD.decode(id.osd_key(Uuid::nil()).expose()).unwrap().len(), 44);
        assert_eq!(key("client.admin")[..2], [1, 0]);
    }

    #[test]
    fn the_type_of_keys_is_kept_and_a_file_without_it_means_the_old_one() {
        let id = Identity { daemon_keys: Some(KeyType::Aes256k), ..identity() };
        assert_eq!(Identity::parse(id.text().expose()), Ok(id));
        assert!(!identity().text().expose().contains("daemon_keys"));
    }

    #[test]
    fn nothing_secret_in_debug() {
        let id = identity();
        assert!(!format!("{id:?}").contains(&STANDARD.encode([3; 32])));
    }
}
