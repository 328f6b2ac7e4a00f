//! What is on a disk that the inventory names for an OSD, and whether it may be formatted.

use serde::{Deserialize, Serialize};

use super::bluestore::Label;

/// A disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskFact {
    /// The kernel's name for it, such as `sdb`.
    #[serde(default)]
    pub kernel_name: String,
    /// Bytes; 0 where there is no such disk.
    #[serde(default)]
    pub size: u64,
    /// Serial number (or WWN), where the disk tells one.
    #[serde(default)]
    pub serial: Option<String>,
    /// Its most stable path: one under /dev/disk/by-id where there is one, else the real device node.
    #[serde(default)]
    pub stable_path: String,
    /// What is on it.
    pub content: DiskContent,
}

impl DiskFact {
    /// What the disk is called in the uuid of its OSD: its serial number, or the path in the inventory where it has
    /// none.
    pub fn identity<'a>(&'a self, path: &'a str) -> &'a str {
        self.serial.as_deref().unwrap_or(path)
    }
}

/// What is on a disk. Only *blank* may ever be formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskContent {
    /// There is no such path.
    Missing,
    /// The path is something else, such as a file or a partition.
    NotADisk(String),
    /// Nothing: no signature, no partition, no holder, not mounted, and its first MiB is all zeros.
    Blank,
    /// An OSD, or the beginning of one.
    BlueStore(Label),
    /// Something: one phrase for each thing found.
    Occupied(Vec<String>),
    /// It could not be read.
    Unknown(String),
}

/// Raw answers of the node about one disk, before they are weighed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub exists: bool,
    pub block: bool,
    pub real: String,
    pub by_id: Vec<String>,
    /// `lsblk -P` rows: the disk itself first, then whatever is on it.
    pub rows: Vec<Vec<(String, String)>>,
    pub holders: Vec<String>,
    pub swap: bool,
    pub blkid: Vec<(String, String)>,
    pub blkid_status: Option<i32>,
    pub head: Vec<u8>,
    pub first_mib_zero: Option<bool>,
}

/// Weighs the raw answers. Whatever is not surely blank is not blank.
pub(super) fn weigh(raw: &Raw) -> DiskFact {
    let row = raw.rows.first();
    let get = |key: &str| {
        let value = row?.iter().find(|(k, _)| k == key).map(|(_, v)| v.trim())?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    DiskFact {
        kernel_name: get("KNAME").unwrap_or_default(),
        size: get("SIZE").and_then(|v| v.parse().ok()).unwrap_or(0),
        serial: get("SERIAL").or_else(|| get("WWN")),
        stable_path: stable_path(raw),
        content: content(raw, get("TYPE").as_deref()),
    }
}

fn stable_path(raw: &Raw) -> String {
    // a wwn- or nvme-eui. name says less to a person than one with the model and the serial number in it
    let rank = |path: &str| (path.contains("/wwn-") || path.contains("/nvme-eui."), path.len());
    let best = raw.by_id.iter().min_by_key(|p| rank(p));
    best.unwrap_or(&raw.real).clone()
}

fn content(raw: &Raw, kind: Option<&str>) -> DiskContent {
    if !raw.exists {
        return DiskContent::Missing;
    }
    if !raw.block {
        return DiskContent::NotADisk("not a block device".into());
    }
    match kind {
        Some("disk" | "loop" | "mpath") => {}
        Some("part") => return DiskContent::NotADisk("a partition, not a whole disk".into()),
        Some(other) => return DiskContent::NotADisk(format!("a device of type {other}")),
        None => return DiskContent::Unknown("lsblk says nothing about it".into()),
    }
    let in_use = in_use(raw);
    if let Some(label) = super::bluestore::parse(&raw.head) {
        // mounts and real partitions cannot be: BlueStore takes the whole disk. An OSD that runs holds it open.
        return if in_use.is_empty() {
            DiskContent::BlueStore(label)
        } else {
            DiskContent::Occupied(in_use)
        };
    }
    let mut found = in_use;
    found.extend(signatures(raw));
    if !found.is_empty() {
        return DiskContent::Occupied(found);
    }
    if raw.blkid_status != Some(2) {
        return DiskContent::Unknown(match raw.blkid_status {
            Some(8) => "blkid finds several signatures that contradict each other".into(),
            Some(code) => format!("blkid could not probe it (exit {code})"),
            None => "blkid is missing on the node (package util-linux)".into(),
        });
    }
    match raw.first_mib_zero {
        Some(true) => DiskContent::Blank,
        Some(false) => DiskContent::Occupied(vec![
            "data of an unknown kind (its first MiB is not all zeros)".into(),
        ]),
        None => DiskContent::Unknown("its first MiB could not be read".into()),
    }
}

/// Whether partitions that the kernel shows are phantoms. A kernel that knows Atari's partition table, which has no
/// signature, sees one in many a BlueStore label. Any table that somebody makes today says so in the first two sectors.
fn are_phantoms(raw: &Raw) -> bool {
    let table = raw.blkid.iter().find(|(k, _)| k == "PTTYPE").map(|(_, v)| v.as_str());
    super::bluestore::parse(&raw.head).is_some()
        && table.is_none_or(|t| t == "atari")
        && raw.head.get(510..512) != Some(&[0x55, 0xaa])
        && raw.head.get(512..520) != Some(b"EFI PART")
}

fn in_use(raw: &Raw) -> Vec<String> {
    let mut found = Vec::new();
    let phantoms = are_phantoms(raw);
    for (index, row) in raw.rows.iter().enumerate() {
        let get = |key: &str| {
            row.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
        };
        let name = get("KNAME").unwrap_or("?");
        if index > 0 && !(phantoms && get("TYPE") == Some("part")) {
            let fs = get("FSTYPE").map(|f| format!(" ({f})")).unwrap_or_default();
            found.push(match get("TYPE") {
                Some("part") => format!("a partition, {name}{fs}"),
                Some(other) => format!("a device of type {other} on it, {name}{fs}"),
                None => format!("a device on it, {name}{fs}"),
            });
        }
        if let Some(at) = get("MOUNTPOINT") {
            found.push(if at == "[SWAP]" {
                format!("{name} is in use as swap")
            } else {
                format!("{name} is mounted at {at}")
            });
        }
    }
    if raw.swap && !found.iter().any(|f| f.contains("swap")) {
        found.push("it is in use as swap".into());
    }
    if !raw.holders.is_empty() && raw.rows.len() < 2 {
        found.push(format!("it is held by {}", raw.holders.join(", ")));
    }
    found
}

fn signatures(raw: &Raw) -> Vec<String> {
    let get = |key: &str| raw.blkid.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let mut found = Vec::new();
    if let Some(table) = get("PTTYPE") {
        found.push(format!("a partition table ({table})"));
    }
    if let Some(kind) = get("TYPE") {
        found.push(match get("USAGE") {
            Some("raid") => format!("a volume manager's or RAID signature ({kind})"),
            Some("crypto") => format!("an encrypted volume ({kind})"),
            _ => format!(
                "a filesystem ({kind}{})",
                get("LABEL").map(|l| format!(", label {l}")).unwrap_or_default()
            ),
        });
    }
    if found.is_empty() && raw.blkid_status == Some(0) {
        found.push("a signature that blkid knows".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Raw {
        let row = [("KNAME", "sdb"), ("TYPE", "disk"), ("SIZE", "4294967296"), ("SERIAL", "S1")];
        Raw {
            exists: true,
            block: true,
            real: "/dev/sdb".into(),
            rows: vec![row.map(|(k, v)| (k.into(), v.into())).to_vec()],
            blkid_status: Some(2),
            head: vec![0; 4096],
            first_mib_zero: Some(true),
            ..Raw::default()
        }
    }

    #[test]
    fn only_a_surely_blank_disk_is_blank() {
        assert_eq!(weigh(&blank()).content, DiskContent::Blank);
        let no_blkid = Raw { blkid_status: None, ..blank() };
        assert!(matches!(weigh(&no_blkid).content, DiskContent::Unknown(_)));
        let unreadable = Raw { first_mib_zero: None, ..blank() };
        assert!(matches!(weigh(&unreadable).content, DiskContent::Unknown(_)));
        let data = Raw { first_mib_zero: Some(false), ..blank() };
        assert!(matches!(weigh(&data).content, DiskContent::Occupied(_)));
        let held = Raw { holders: vec!["dm-0".into()], ..blank() };
        assert_eq!(weigh(&held).content, DiskContent::Occupied(vec!["it is held by dm-0".into()]));
    }

    #[test]
    fn what_was_found_is_named() {
        let mut mounted = blank();
        mounted.rows[0].push(("MOUNTPOINT".into(), "/srv".into()));
        mounted.blkid = vec![("TYPE".into(), "ext4".into()), ("USAGE".into(), "filesystem".into())];
        mounted.blkid_status = Some(0);
        assert_eq!(
            weigh(&mounted).content,
            DiskContent::Occupied(vec![
                "sdb is mounted at /srv".into(),
                "a filesystem (ext4)".into()
            ])
        );
        let lvm = Raw {
            blkid: vec![("TYPE".into(), "LVM2_member".into()), ("USAGE".into(), "raid".into())],
            blkid_status: Some(0),
            ..blank()
        };
        assert_eq!(
            weigh(&lvm).content,
            DiskContent::Occupied(vec![
                "a volume manager's or RAID signature (LVM2_member)".into()
            ])
        );
    }

    #[test]
    fn phantom_partitions_in_a_bluestore_label_are_none() {
        let row = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
        };
        let mut osd = blank();
        let label = format!("bluestore block device\n{}\n", uuid::Uuid::from_u128(1));
        osd.head[..label.len()].copy_from_slice(label.as_bytes());
        osd.blkid = vec![("TYPE".into(), "ceph_bluestore".into())];
        osd.blkid_status = Some(0);
        osd.rows.push(row(&[("KNAME", "sdb11"), ("TYPE", "part")]));
        assert!(matches!(weigh(&osd).content, DiskContent::BlueStore(_)));

        // a partition table that was written over a label leaves its beginning as it was
        let mut parted = Raw { rows: osd.rows.clone(), blkid: osd.blkid.clone(), ..blank() };
        parted.head = osd.head.clone();
        parted.head[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(matches!(weigh(&parted).content, DiskContent::Occupied(_)));
        let mut mounted = Raw { rows: osd.rows.clone(), head: osd.head.clone(), ..blank() };
        mounted.rows[1].push(("MOUNTPOINT".into(), "/srv".into()));
        assert!(matches!(weigh(&mounted).content, DiskContent::Occupied(_)));
        let mut held = Raw { rows: osd.rows, head: osd.head, ..blank() };
        held.rows.push(row(&[("KNAME", "dm-0"), ("TYPE", "lvm")]));
        assert!(matches!(weigh(&held).content, DiskContent::Occupied(_)));
    }

    #[test]
    fn the_by_id_path_with_the_serial_is_preferred() {
        let raw = Raw {
            by_id: vec!["/dev/disk/by-id/wwn-0x5".into(), "/dev/disk/by-id/ata-Disk_S1".into()],
            ..blank()
        };
        assert_eq!(weigh(&raw).stable_path, "/dev/disk/by-id/ata-Disk_S1");
    }
}
