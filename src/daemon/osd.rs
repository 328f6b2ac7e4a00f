//! ceph-osd: its container and key, on a whole disk or in a file.

use uuid::Uuid;

use super::mon::Entity;
use super::{ContainerSpec, DaemonId, script};
use crate::identity::Identity;
use crate::inventory::{Inventory, Node};

/// Where an OSD keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A whole disk, by its most stable path.
    Device(String),
    /// A file of this many bytes in the data directory.
    File(u64),
}

/// The OSD's key.
pub fn entity(id: &Identity, daemon: &DaemonId, uuid: Uuid) -> Entity {
    let caps = &[("mon", "allow profile osd"), ("mgr", "allow profile osd"), ("osd", "allow *")];
    Entity::new(daemon.entity(), id.osd_key(uuid), caps)
}

/// The folder in which the data directory is being made; cephdock puts the keyring there first.
pub fn prepare_dir(daemon: &DaemonId) -> String {
    format!("{}.prepare", daemon.data_dir())
}

/// The container of one OSD on `node`.
pub fn container(
    want: &Inventory,
    node: &Node,
    fsid: Uuid,
    daemon: DaemonId,
    uuid: Uuid,
    store: &Store,
) -> ContainerSpec {
    let (device, bytes) = match store {
        Store::Device(path) => (path.clone(), String::new()),
        Store::File(bytes) => (String::new(), bytes.to_string()),
    };
    ContainerSpec {
        fsid,
        image: want.cluster.image.clone(),
        script: script(SCRIPT),
        // the CRUSH host is the inventory's name, whatever the hostname is
        args: vec![
            daemon.id.clone(),
            uuid.to_string(),
            format!("root=default host={}", node.name),
            device,
            bytes,
        ],
        binds: vec![
            "/etc/ceph:/etc/ceph".into(),
            "/var/lib/ceph/osd:/var/lib/ceph/osd".into(),
            "/dev:/dev".into(),
            "/run/udev:/run/udev:ro".into(),
        ],
        privileged: true,
        daemon,
    }
}

/// Makes the data directory if there is none, then becomes the OSD.
///
/// The planner has seen that the disk is blank or this OSD's own. The script looks once more, because time has passed:
/// it goes on only if the disk begins with this very OSD's label, or if blkid finds nothing on it and its first MiB is
/// all zeros. `ceph-osd --mkfs` itself refuses a store of another uuid, and takes up one of the same that was cut off.
/// A disk whose label says that it is complete is never given to it: Ceph 16 to 19 would refuse it, and Ceph 20, which
/// looks for `mkfs_done` in the directory alone, would make it anew. Then only the directory is missing, and is made
/// from the label; a label that cannot be read ends the script.
///
/// `bluestore_fsck_on_mkfs` reads back a store that holds nothing yet and takes longer than making it; the OSD's own
/// mount finds what it would.
const SCRIPT: &str = r#"id=$1 uuid=$2 crush=$3 device=$4 bytes=$5
data=/var/lib/ceph/osd/ceph-$id new=$data.prepare
ours() { [ "$(head -c 60 "$1" | tail -c +24 | head -c 36 | tr -d '\0')" = "$uuid" ]; }
blank() {
  status=0; found=$(blkid -p "$1") || status=$?
  [ $status = 2 ] && head -c 1048576 "$1" | cmp -s -n 1048576 - /dev/zero && return 0
  echo "refused: $1 is not blank any more: ${found:-it holds data}" >&2
  return 1
}
if [ ! -d "$data" ]; then
  find "$new" -mindepth 1 ! -name keyring -delete
  if [ -n "$device" ]; then
    ours "$device" || blank "$device"
    ln -s "$device" "$new/block"
    chown ceph:ceph "$device"
    set --
  else
    set -- --bluestore-block-create=true "--bluestore-block-size=$bytes"
  fi
  chown -hR ceph:ceph "$new"
  label=
  if [ -n "$device" ] && ours "$device"; then label=$(ceph-bluestore-tool show-label --dev "$device"); fi
  case $label in *'"mkfs_done": "yes"'* | *'"ready": "ready"'*)
    cp -p "$new/keyring" "$new/key"
    ceph-bluestore-tool prime-osd-dir --no-mon-config --dev "$device" --path "$new"
    mv "$new/key" "$new/keyring"
    chown -hR ceph:ceph "$new" ;;
  *)
    ceph-osd --mkfs -i "$id" --osd-uuid "$uuid" --osd-data "$new" --keyring "$new/keyring" \
      --no-mon-config --osd-objectstore bluestore --bluestore-fsck-on-mkfs=false OPTIONS "$@" ;;
  esac
  sync "$new/whoami"
  mv -T "$new" "$data"
fi
[ -z "$device" ] || chown ceph:ceph "$device"
chown ceph:ceph "$data/keyring"
exec ceph-osd -f -i "$id" --crush-location "$crush" OPTIONS
"#;
