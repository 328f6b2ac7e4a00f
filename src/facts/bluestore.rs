//! The label that BlueStore writes at the start of a device: who made it, for which cluster, and whether it is finished.
//!
//! Layout, from Ceph's `bluestore_bdev_label_t`: the text `bluestore block device\n`, the OSD's uuid as text and `\n`,
//! then little endian: u8 version, u8 compatible version, u32 length; 16 bytes uuid, u64 size, two u32 of time, a
//! description (u32 length and text), a map of texts (u32 count, then keys and values as u32 length and text).
//! The map may hold the OSD's secret key (`osd_key`): only the four entries below are ever looked at.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAGIC: &[u8] = b"bluestore block device\n";

/// Bytes from the start of a device that are enough to read a label.
pub const LABEL_BYTES: usize = 4096;

/// What a BlueStore label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The OSD's uuid.
    pub osd_uuid: Uuid,
    /// The cluster it was made for; missing while mkfs is under way.
    #[serde(default)]
    pub ceph_fsid: Option<Uuid>,
    /// The OSD's id; missing while mkfs is under way.
    #[serde(default)]
    pub whoami: Option<u32>,
    /// mkfs ran to its end.
    #[serde(default)]
    pub complete: bool,
}

/// Reads the label at the start of `bytes`. `None`: there is no BlueStore label.
pub fn parse(bytes: &[u8]) -> Option<Label> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let uuid = std::str::from_utf8(rest.get(..36)?).ok()?;
    let mut label =
        Label { osd_uuid: uuid.parse().ok()?, ceph_fsid: None, whoami: None, complete: false };
    // A label whose tail cannot be read is still BlueStore's: unfinished, as far as one can tell.
    if let Some(entries) = rest.get(37..).and_then(entries) {
        for (key, value) in entries {
            match key {
                b"ceph_fsid" => label.ceph_fsid = text(value).and_then(|v| v.parse().ok()),
                b"whoami" => label.whoami = text(value).and_then(|v| v.parse().ok()),
                // Ceph 20 writes `mkfs_done` into the data directory alone; `ready` is the last entry of every release
                b"mkfs_done" => label.complete |= value == b"yes",
                b"ready" => label.complete |= value == b"ready",
                _ => {}
            }
        }
    }
    Some(label)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn entries(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut at = bytes.get(6 + 16 + 8 + 8..)?; // header, uuid, size, time
    take_text(&mut at)?; // description
    let count = take_u32(&mut at)?;
    let mut entries = Vec::new();
    for _ in 0..count.min(64) {
        entries.push((take_text(&mut at)?, take_text(&mut at)?));
    }
    Some(entries)
}

fn take_u32(at: &mut &[u8]) -> Option<u32> {
    let (head, tail) = at.split_first_chunk::<4>()?;
    *at = tail;
    Some(u32::from_le_bytes(*head))
}

fn take_text<'a>(at: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(at)? as usize;
    let (head, tail) = at.split_at_checked(length)?;
    *at = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(entries: &[(&str, &str)]) -> Vec<u8> {
        let uuid = Uuid::from_u128(42);
        let mut out = [MAGIC, uuid.to_string().as_bytes(), b"\n", &[2, 1, 0, 0, 0, 0]].concat();
        out.extend(uuid.as_bytes());
        out.extend([0; 16]);
        let put = |out: &mut Vec<u8>, text: &str| {
            out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            out.extend(text.as_bytes());
        };
        put(&mut out, "main");
        out.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
        for (key, value) in entries {
            put(&mut out, key);
            put(&mut out, value);
        }
        out.resize(LABEL_BYTES, 0);
        out
    }

    #[test]
    fn a_finished_osd() {
        let fsid = Uuid::from_u128(9);
        let fsid_text = fsid.to_string();
        let bytes = label(&[
            ("ceph_fsid", &fsid_text),
            ("mkfs_done", "yes"),
            ("osd_key", "secret"),
            ("whoami", "3"),
        ]);
        assert_eq!(
            parse(&bytes),
            Some(Label {
                osd_uuid: Uuid::from_u128(42),
                ceph_fsid: Some(fsid),
                whoami: Some(3),
                complete: true
            })
        );
    }

    /// The first KiB of OSDs that these releases made, each number 0 and finished. They hold no key: cephdock's never do.
    #[test]
    fn labels_of_every_release() {
        let labels: [(&[u8], &str, &str); 3] = [
            (
                include_bytes!("../../tests/fixtures/bluestore-label-v16.bin"),
                "3ef9d136-3fba-58e8-b616-759e5757be3e",
                "2fda8ded-b951-45c7-8178-585b99c410f5",
            ),
            (
                include_bytes!("../../tests/fixtures/bluestore-label-v18.bin"),
                "df12e365-1dea-5ab3-8c45-5abe7aced26b",
                "afa25bcf-34b3-426e-8cf3-9af0811dbc26",
            ),
            (
                include_bytes!("../../tests/fixtures/bluestore-label-v20.bin"),
                "9b76b816-acc4-5772-bdb6-58dce01a3f36",
                "9fe7ab5f-451b-44b2-902b-142deed6bc52",
            ),
        ];
        for (bytes, uuid, fsid) in labels {
            let label = Label {
                osd_uuid: uuid.parse().unwrap(),
                ceph_fsid: Some(fsid.parse().unwrap()),
                whoami: Some(0),
                complete: true,
            };
            assert_eq!(parse(bytes), Some(label));
        }
    }

    #[test]
    fn a_cut_off_label_is_unfinished_not_blank() {
        let bytes = label(&[("mkfs_done", "yes")]);
        let seen = parse(&bytes[..100]).unwrap();
        assert!(!seen.complete);
    }

    #[test]
    fn anything_else_is_no_label() {
        assert_eq!(parse(&[0; LABEL_BYTES]), None);
        assert_eq!(parse(b"bluestore block device\nnot-a-uuid"), None);
        assert_eq!(parse(b""), None);
    }
}
