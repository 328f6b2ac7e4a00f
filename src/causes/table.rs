//! The known causes: data alone. What a line shows is the words of Ceph 16 to 20, of Docker or of the kernel as they
//! were seen; logs that show them are in `tests.rs` and its folder. The rows stand in the order in which they are
//! believed: a cause before what it leads to.

use super::Known;
use crate::daemon::Kind::{Mgr, Mon, Osd};

/// The inventory wants it and there is no container.
pub(super) const MISSING: Known = Known {
    code: "no-container",
    of: &[],
    signs: &[],
    what: "it was never started here, or somebody has removed its container",
    hint: "`cephdock up` starts it",
};

/// Docker says `OOMKilled`.
pub(super) const OUT_OF_MEMORY: Known = Known {
    code: "out-of-memory",
    of: &[],
    signs: &[],
    what: "the kernel killed it, for the node had no memory left",
    hint: "see what takes the memory (`free -h`, `docker stats`); an OSD is content with less: `osd_memory_target: 2G` in `cluster.config.osd` of the inventory, then `cephdock up`",
};

/// Docker says `paused`.
pub(super) const PAUSED: Known = Known {
    code: "paused",
    of: &[],
    signs: &[],
    what: "somebody has paused its container",
    hint: "`docker unpause {name}` on the node, or `cephdock up`",
};

/// Docker says `created`.
pub(super) const NEVER_STARTED: Known = Known {
    code: "never-started",
    of: &[],
    signs: &[],
    what: "its container was made and never started: a run was cut off in between",
    hint: "`cephdock up` starts it",
};

/// What an exit code says where the log says nothing that is known. 128 and more: the signal that ended it.
pub(super) const EXITS: &[(i64, Known)] = &[
    (
        0,
        Known {
            code: "stopped",
            of: &[],
            signs: &[],
            what: "it has ended in good order, as after `docker stop`",
            hint: "`cephdock up` starts it again",
        },
    ),
    (
        127,
        Known {
            code: "no-program",
            of: &[],
            signs: &[],
            what: "a program that it needs is not in its image",
            hint: "is `cluster.image` one that holds the Ceph programs, such as quay.io/ceph/ceph:v19?",
        },
    ),
    (
        134,
        Known {
            code: "crashed",
            of: &[],
            signs: &[],
            what: "it crashed: it met something that its programmers hold impossible",
            hint: "`cephdock logs` shows what it met above its \"dump of recent events\"; Ceph's tracker (tracker.ceph.com) may know it",
        },
    ),
    (
        137,
        Known {
            code: "killed",
            of: &[],
            signs: &[],
            what: "it was killed: by `docker kill`, by the kernel for want of memory, or with the node's power",
            hint: "`journalctl -k | grep -i 'out of memory'` on the node tells whether it was the kernel; `cephdock up` starts it again",
        },
    ),
    (
        139,
        Known {
            code: "crashed",
            of: &[],
            signs: &[],
            what: "it crashed (segmentation fault)",
            hint: "if it does so again: is it the image's fault (another release), or the memory's (`memtester`, `journalctl -k`)?",
        },
    ),
    (
        143,
        Known {
            code: "stopped",
            of: &[],
            signs: &[],
            what: "somebody has stopped it, as `docker stop` does",
            hint: "`cephdock up` starts it again",
        },
    ),
];

/// The codes of the rows of [`IN_LOGS`] that a daemon ends in good order of (exit code 0 or 143).
pub(super) const ENDS_IN_ORDER: &[&str] = &["removed", "stopped-by-admin"];

/// An OSD says so of a read, too, that it then has another copy answer; it is a cause where the OSD crashed.
pub(super) const BAD_CHECKSUM: &str = "_verify_csum bad";

/// What lines of a log show, or Docker's words on a container that it could not start.
pub(super) const IN_LOGS: &[Known] = &[
    Known {
        code: "no-space-osd",
        of: &[Osd],
        signs: &[&["bluefs enospc"], &["bluefs", "_allocate", "unable to allocate"]],
        what: "the OSD is full to the brim: it has no room left for its own database and cannot start",
        hint: "keep its disk as it is. Add OSDs to the inventory and run `cephdock up`, so that Ceph makes the missing copies there; once all PGs are active+clean it is not needed any more",
    },
    Known {
        code: "no-space",
        of: &[],
        signs: &[
            &["No space left on device"],
            &["no space left on device"],
            // ceph-mon at its start (mon_data_avail_crit)
            &["monitor data filesystem reached concerning levels of available storage space"],
        ],
        what: "the node's disk is full; a mon does not start with less than 5 % free",
        hint: "make room (`df -h /var/lib/ceph /var/lib/docker`, `docker system df`); then it comes back by itself, or with `cephdock up`",
    },
    Known {
        code: "disk-error",
        of: &[Osd],
        signs: &[
            &["Unexpected IO error. This may suggest"],
            &["_aio_thread got r=-5"],
            &["bdev(", "(5) Input/output error"],
            &["bluestore(", "(5) Input/output error"],
        ],
        what: "its disk gives read or write errors",
        hint: "look at the disk (`smartctl -a`, `dmesg -T | grep -i error`); if it is failing, replace it while the other copies are there",
    },
    Known {
        code: "port-in-use",
        of: &[],
        signs: &[&["unable to bind", "(98) Address already in use"]],
        what: "something else on the node listens on a port that it needs",
        hint: "`ss -ltnp` on the node shows what does; stop that, then `cephdock up`",
    },
    Known {
        code: "address-not-here",
        of: &[],
        signs: &[&["unable to bind", "(99) Cannot assign requested address"]],
        what: "the address that it has to listen on is on none of the node's interfaces",
        hint: "`ip address` on the node shows those that are; give the node its address back. A mon cannot move to another address: `cephdock reset --node` takes the node out of the cluster, and `cephdock up` adds it with its new one",
    },
    Known {
        code: "network-not-here",
        of: &[],
        signs: &[&["unable to find any IP", "address in networks"]],
        what: "the node has no address in public_network or in cluster_network",
        hint: "compare `ip address` on the node with `cluster.public_network` and `cluster.cluster_network` in the inventory",
    },
    Known {
        code: "bad-conf",
        of: &[],
        signs: &[
            &["global_init: error reading config file"],
            &["Errors while parsing config file!"],
        ],
        what: "/etc/ceph/ceph.conf cannot be read as Ceph's configuration",
        hint: "`cephdock up` writes it as it shall be; what it is to hold besides belongs under `cluster.config` in the inventory",
    },
    Known {
        code: "no-right",
        of: &[],
        signs: &[
            &["error accessing '/var/lib/ceph/", "(13) Permission denied"],
            &["error opening mon data directory", "(13) Permission denied"],
            &["unable to find a keyring", "(13) Permission denied"],
            &["_open_fsid (13) Permission denied"],
            &["open open got: (13) Permission denied"],
            &["_read_bdev_label failed to open", "(13) Permission denied"],
            &["_read_bdev_label failed to open", "(1) Operation not permitted"],
            &["/var/lib/ceph/", "Permission denied"],
        ],
        what: "it may not read its own files: they do not belong to the image's ceph user, or SELinux or AppArmor is in the way",
        hint: "on the node: `chown -R UID:GID {dir}/`, with the numbers that its log names at its start (\"set uid:gid to\"); `dmesg | grep -i denied` shows what SELinux and AppArmor refuse",
    },
    Known {
        code: "no-store",
        of: &[Mon],
        signs: &[
            &["monitor data directory at", "does not exist: have you run 'mkfs'?"],
            &["monitor data directory at", "is empty: have you run 'mkfs'?"],
            &["unable to load initial keyring"],
        ],
        what: "the mon's data directory is not whole: files were removed from {dir}",
        hint: "put them back from where they went. If they are lost and more than half of the mons run: on the node `docker rm -f {name}`, `mv {dir} /root/`, then `cephdock up` makes it anew from the other mons",
    },
    Known {
        code: "newer-data",
        of: &[],
        signs: &[
            &["on disk data includes unsupported features"],
            &["disk uses features", "not supported"],
            &["is more than two releases older than installed"],
        ],
        what: "its data is of another release than its image: Ceph does not go back to an older release, nor further than two forward at a time",
        hint: "set `cluster.image` to the release that the other daemons run (`cephdock status`), then `cephdock up`",
    },
    Known {
        code: "data-in-use",
        of: &[],
        signs: &[
            &["While lock file", "Resource temporarily unavailable"],
            &["because another process locked it"],
            &["failed to lock", "Resource temporarily unavailable"],
            &["(16) Device or resource busy"],
        ],
        what: "another process uses its data or its disk: a second container, a Ceph of the node's own, or what has mounted the disk",
        hint: "`docker ps`, `pgrep -a ceph` and `lsblk` on the node show which; stop that, then `cephdock up`",
    },
    Known {
        code: "store-damaged",
        of: &[Mon],
        signs: &[
            &["rocksdb: Corruption"],
            &["error opening mon data directory"],
            &["submit_common error: Corruption"],
        ],
        what: "the mon's database is damaged, as after a disk error or a loss of power",
        hint: "look at the node's disk first (`smartctl -a`, `dmesg`). While more than half of the mons run: on the node `docker rm -f {name}`, `mv {dir} /root/`, then `cephdock up` makes it anew from the other mons. Never do so with all mons",
    },
    Known {
        code: "no-label",
        of: &[Osd],
        signs: &[&["No valid bdev label found"], &["_read_bdev_label unable to decode label"]],
        what: "the disk does not carry this OSD any more: its first block was overwritten, or another disk has its name now",
        hint: "format nothing. Compare `lsblk -o NAME,SIZE,SERIAL` on the node with the inventory (by-id names do not move); if the data is lost, `cephdock ceph -- osd purge` with its number once all PGs are active+clean, or, where no other host can take the copies, once all are active and no object is unfound; then `cephdock up` on a blank disk",
    },
    Known {
        code: "no-disk",
        of: &[Osd],
        signs: &[
            &["_read_bdev_label failed to open", "(2) No such file or directory"],
            &["open stat got: (1) Operation not permitted"],
            &["/block", "(6) No such device or address"],
        ],
        what: "its disk is not there: {dir}/block leads nowhere",
        hint: "does `lsblk` on the node show the disk? If it came back under another name, name it by /dev/disk/by-id/ in the inventory; if it is dead, replace it",
    },
    Known {
        code: "osd-damaged",
        of: &[Osd],
        signs: &[
            &["rocksdb: Corruption"],
            &["bluefs", "failed to decode super"],
            &["bluefs", "super crc"],
            &["bluefs mount failed"],
            &["(BlueFS::_open_super()"],
            &["(BlueFS::_replay("],
            &[BAD_CHECKSUM],
        ],
        what: "the OSD's own data is damaged, as after a disk error, a loss of power, or when something else wrote on its disk",
        hint: "look at the disk first (`smartctl -a`, `dmesg`). While the other copies are there nothing is lost: `cephdock ceph -- osd purge` with its number once all PGs are active+clean, or, where no other host can take the copies, once all are active and no object is unfound; then wipe the disk, and `cephdock up`",
    },
    Known {
        code: "osd-files-missing",
        of: &[Osd],
        signs: &[&["missing 'type' file and unable to infer osd type"]],
        what: "files were removed from its data directory, {dir}",
        hint: "put them back. For an OSD on a disk of its own: on the node `docker rm -f {name}`, `mv {dir} /root/`, then `cephdock up` makes it anew from the disk; an OSD in a file has its data in there",
    },
    Known {
        code: "removed",
        of: &[Mon],
        signs: &[
            &["not in monmap and have been in a quorum before"],
            &["removed from monmap, suicide"],
        ],
        what: "the mons have taken it out of the cluster: somebody ran `ceph mon remove`",
        hint: "to have it back: on the node `docker rm -f {name}`, `mv {dir} /root/`, then `cephdock up` makes it anew",
    },
    Known {
        code: "removed",
        of: &[Osd],
        signs: &[&["map says i do not exist"], &["osdmap says I am destroyed"]],
        what: "the mons have taken it out of the cluster: somebody ran `ceph osd rm`, `purge` or `destroy`",
        hint: "if all PGs are active+clean, or, where no other host can take the copies, all are active and no object is unfound, nothing on it is needed: wipe its disk, and `cephdock up` uses it anew, or take it out of the inventory",
    },
    Known {
        code: "stopped-by-admin",
        of: &[Osd],
        signs: &[&["map says i am stopped by admin"]],
        what: "somebody has stopped it with `ceph osd stop`",
        hint: "`cephdock up` starts it again",
    },
    Known {
        code: "key-not-read",
        of: &[],
        signs: &[&["error parsing file", "keyring", "type=key", "Malformed input"]],
        what: "it cannot read its key: the key is of the type aes256k, which its image does not know (Ceph 19.2.6 and 20.2.4 brought it), or the file is damaged",
        hint: "set `cluster.image` to the release that the other daemons run (`cephdock status`), then `cephdock up`, which writes {dir}/keyring again too",
    },
    Known {
        code: "no-keyring",
        of: &[],
        signs: &[
            &["unable to find a keyring", "(2) No such file or directory"],
            &["monclient: keyring not found"],
        ],
        what: "its key is not there: {dir}/keyring",
        hint: "`cephdock up` writes it again and starts it",
    },
    Known {
        code: "key-refused",
        of: &[],
        signs: &[&["handle_auth_bad_method"], &["authenticate", "EACCES"]],
        what: "the mons refuse its key: they know another one, or none, for its name",
        hint: "`cephdock up` brings the key of the mons and that in {dir}/keyring together. If it stays: do the clocks agree (`cephdock check`), and does mon_host in /etc/ceph/ceph.conf name this cluster's mons?",
    },
    Known {
        code: "wrong-architecture",
        of: &[],
        signs: &[&["exec format error"], &["Exec format error"]],
        what: "its image is made for another kind of processor than the node's",
        hint: "set `cluster.image` to one that is made for the node too (`uname -m` there)",
    },
    Known {
        code: "not-there-to-mount",
        of: &[],
        signs: &[&["bind source path does not exist"], &["error while creating mount source path"]],
        what: "Docker cannot give it a folder of the node",
        hint: "Docker's words name the folder; is it on a disk that is not mounted, or read-only? Then `cephdock up`",
    },
    Known {
        code: "clock",
        of: &[],
        signs: &[&["clock skew"], &["s in the future, clocks not synchronized"]],
        what: "the node's clock and those of the mons do not agree",
        hint: "`cephdock check` shows who is off; have every node keep the time (chrony, or `timedatectl set-ntp true`)",
    },
    Known {
        code: "not-heard",
        of: &[Osd],
        signs: &[&["heartbeat_check: no reply from"], &["wrongly marked me down at e"]],
        what: "it and other OSDs do not hear each other, so they have each other marked down",
        hint: "are ports 6800-7300 open between the nodes, in cluster_network too, and do large packets get through? `cephdock check` looks at both",
    },
    Known {
        code: "no-mon",
        of: &[Mgr, Osd],
        signs: &[
            &["authenticate timed out after"],
            &["monclient: get_monmap_and_config failed to get config"],
        ],
        what: "no mon answers it",
        hint: "more than half of the mons have to run, and ports 3300 and 6789 to be open from this node: `cephdock check` looks at that",
    },
    Known {
        code: "no-program",
        of: &[],
        signs: &[&["ceph-", ": not found"]],
        what: "a program that it needs is not in its image",
        hint: "is `cluster.image` one that holds the Ceph programs, such as quay.io/ceph/ceph:v19?",
    },
    Known {
        code: "not-blank",
        of: &[Osd],
        signs: &[&["refused:", "is not blank any more"]],
        what: "the disk was blank when it was looked at and is not any more; it was left as it is",
        hint: "`lsblk -f` and `wipefs -n` on the node show what is on it now; if nobody needs that, `wipefs -a DISK` and `dd if=/dev/zero bs=1M count=10 of=DISK`, then `cephdock up`",
    },
    Known {
        code: "disk-stalls",
        of: &[],
        signs: &[&["had suicide timed out after"], &["hit suicide time"]],
        what: "it waited so long for its disk that it gave up",
        hint: "look at the disk (`smartctl -a`, `iostat -x 5`) and at what else the node does",
    },
];
