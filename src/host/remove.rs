//! Taking away what cephdock made. Each primitive looks once more at what it is about to take.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use bollard::query_parameters as query;
use uuid::Uuid;

use super::node::Node;
use super::{HostError, quote};
use crate::daemon::{DaemonId, LABEL_FSID, LABEL_ID, LABEL_KIND, LABEL_LOOK};
use crate::plan::{Ending, OsdDisk, Removal};

/// A mon's store can be large, and a slow disk slow.
const FILES: Duration = Duration::from_secs(300);
const WIPE: Duration = Duration::from_secs(120);
/// Seconds that a daemon gets to end by itself.
const STOP_SECONDS: i32 = 60;

impl Node {
    /// Stops and removes a container if its labels say that it is this daemon of this cluster. One that is gone is no
    /// error. Volumes that an image's `VOLUME` has made for it go with it.
    pub(super) async fn remove_container(
        &self,
        daemon: &DaemonId,
        fsid: Uuid,
        ending: Ending,
    ) -> Result<(), HostError> {
        let docker = self.docker()?;
        for name in self.containers_of(daemon, fsid).await? {
            drop(docker.unpause_container(&name).await); // a frozen process cannot end by itself; it may well not be
            let seconds = match ending {
                Ending::Orderly => STOP_SECONDS,
                Ending::AtOnce => 1,
            };
            let stop = query::StopContainerOptionsBuilder::default().t(seconds).build();
            // what does not stop is removed by force
            drop(self.call("stop a container", docker.stop_container(&name, Some(stop))).await);
            self.remove(docker, &name).await?;
        }
        Ok(())
    }

    /// Ids of the containers with these labels, whatever their names are by now.
    async fn containers_of(&self, daemon: &DaemonId, fsid: Uuid) -> Result<Vec<String>, HostError> {
        let labels = [
            format!("{LABEL_FSID}={fsid}"),
            format!("{LABEL_KIND}={}", daemon.kind.as_str()),
            format!("{LABEL_ID}={}", daemon.id),
        ];
        self.labelled(labels.to_vec()).await
    }

    async fn labelled(&self, labels: Vec<String>) -> Result<Vec<String>, HostError> {
        let docker = self.docker()?;
        let filters = HashMap::from([("label", labels)]);
        let list =
            query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = self.call("list its containers", docker.list_containers(Some(list))).await;
        Ok(list.map_err(|f| f.error)?.into_iter().filter_map(|c| c.id).collect())
    }

    /// Removes containers that were to look into an image, each if its label still says so.
    pub(super) async fn remove_looks(&self, ids: &BTreeSet<String>) -> Result<(), HostError> {
        let docker = self.docker()?;
        for id in self.labelled(vec![LABEL_LOOK.to_owned()]).await? {
            if ids.contains(&id) {
                self.remove(docker, &id).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, docker: &bollard::Docker, id: &str) -> Result<(), HostError> {
        let remove = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(id, Some(remove));
        let removed = self.call("remove a container", removed).await;
        removed.or_else(|failed| if failed.gone { Ok(()) } else { Err(failed.error) })
    }

    pub(super) async fn remove_files(&self, removals: &[Removal]) -> Result<(), HostError> {
        let script = script(removals)
            .map_err(|e| HostError::new(format!("a path cannot be removed: {e}")))?;
        self.shell("sh -s", script.as_bytes(), FILES).await.map(drop)
    }

    pub(super) async fn wipe(&self, disk: &OsdDisk) -> Result<(), HostError> {
        let path = quote(&disk.path)?;
        let fsid = disk.fsid.map(|fsid| fsid.to_string()).unwrap_or_default();
        let script = format!("disk={path} uuid={} fsid={fsid}\n{WIPE_SCRIPT}", disk.uuid);
        self.shell("sh -s", script.as_bytes(), WIPE).await.map(drop).map_err(|e| {
            e.hint("see what uses the disk (`lsblk`, `fuser -v` on the node), then run the same command again")
        })
    }
}

fn script(removals: &[Removal]) -> Result<String, shlex::QuoteError> {
    let mut script = String::from("set -e\n");
    for removal in removals {
        match removal {
            Removal::All(path) => writeln!(script, "rm -rf -- {}", shlex::try_quote(path)?),
            // one that is not empty, or a mount point, stays
            Removal::IfEmpty(path) => {
                writeln!(script, "rmdir -- {} 2>/dev/null || :", shlex::try_quote(path)?)
            }
            Removal::IfEmptyTree(path) => writeln!(
                script,
                "[ ! -d {0} ] || find {0} -xdev -depth -type d -exec rmdir -- {{}} \\; 2>/dev/null || :",
                shlex::try_quote(path)?
            ),
        }
        .unwrap_or_default();
    }
    Ok(script)
}

/// Wipes a disk that carries this very OSD: the copies of its label that BlueStore keeps since Ceph 19 at 1, 10, 100 and
/// 1000 GiB (`bdev_label_positions` in its BlueStore.cc), each only if it is this OSD's; then the first 10 MiB from
/// behind, and the label itself last and for itself, so that a disk that was cut off still tells whose it is. Some
/// kernels see partitions in a label: they are told to look again.
const WIPE_SCRIPT: &str = r#"set -eu
LC_ALL=C; export LC_ALL
no() { echo "$disk $1; it was left alone" >&2; exit 1; }
read_at() { dd if="$disk" bs=4096 skip="$1" count=1 2>/dev/null; }
owner() { read_at "$1" | head -c 60 | tr -c 'a-z0-9-' ' '; }
zero() { dd if=/dev/zero of="$disk" bs=4096 seek="$1" count="$2" conv=notrunc,fsync 2>/dev/null || no "cannot be written"; }
real=$(readlink -f "$disk"); [ -b "$real" ] || no "is no disk any more"
[ "$(owner 0)" = "bluestore block device $uuid " ] || no "does not carry the OSD $uuid any more"
case " $(read_at 0 | tr -c 'a-z0-9-' ' ') " in *" $fsid "*) ;; *) no "does not name the cluster $fsid any more" ;; esac
for holder in "/sys/block/${real##*/}/holders/"*; do [ ! -e "$holder" ] || no "is held by ${holder##*/}"; done
while read -r dev at _; do [ "$dev" != "$real" ] || no "is mounted at $at"; done </proc/mounts
for gib in 1 10 100 1000; do
  at=$((gib * 262144))
  [ "$(owner $at)" != "bluestore block device $uuid " ] || zero $at 1
done
zero 1 2559
zero 0 1
blockdev --rereadpt "$real" 2>/dev/null || :
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_removed_in_order_and_folders_only_if_empty() {
        let removals = [
            Removal::All("/var/lib/ceph/mon/ceph-a b".into()),
            Removal::IfEmpty("/var/lib/ceph".into()),
        ];
        assert_eq!(
            script(&removals).unwrap(),
            "set -e\nrm -rf -- '/var/lib/ceph/mon/ceph-a b'\nrmdir -- /var/lib/ceph 2>/dev/null || :\n"
        );
    }
}
