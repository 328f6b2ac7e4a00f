//! The demo's container as it shall be. Pure.

use std::path::Path;

use uuid::Uuid;

use crate::daemon::{ContainerSpec, DaemonId, conf, mgr, mon, osd};
use crate::inventory::{Inventory, file};

/// The container and the volume.
pub const NAME: &str = "cephdock-demo";
/// The node: the ids of its mon and mgr, and its CRUSH host.
pub const NODE: &str = "demo";
/// The pool, initialised for RBD.
pub const POOL: &str = "rbd";
/// Label of both: the cluster's fsid.
pub const LABEL: &str = "cephdock.demo";
/// Label of the volume: the image that the cluster was made with.
pub const LABEL_IMAGE: &str = "cephdock.demo.image";

/// The container's limit in bytes, swap included. At rest the daemons take about 400 MiB of it, most of it the mgr, which has no
/// limit of its own; the mon and the OSD stay near theirs.
pub const MEMORY: u64 = 2 << 30;
/// The least that Ceph takes for an OSD (`osd_memory_target`).
const OSD_MEMORY: u64 = 896 << 20;
/// The least that it takes for a mon (`mon_memory_target`).
const MON_MEMORY: u64 = 512 << 20;
/// The OSD's file in bytes, sparse: it takes what is written.
pub const BYTES: u64 = 10 << 30;
/// Seconds that the daemons get to end by themselves.
pub const STOP_SECONDS: i64 = 30;
/// How often Docker starts it again when it falls over. After a reboot of the machine it does not: a toy takes no memory
/// unasked.
pub const RESTARTS: i64 = 3;

/// What the container runs: the script of `/bin/sh -c`.
pub fn script(image: &str, fsid: Uuid) -> String {
    let want = inventory(image);
    let node = &want.nodes[0];
    let uuid = Uuid::new_v5(&fsid, NODE.as_bytes());
    let store = osd::Store::File(BYTES);
    let daemons = [
        ("DAEMON_MON", mon::container(&want, node, fsid)),
        ("DAEMON_MGR", mgr::container(&want, node, fsid)),
        ("DAEMON_OSD", osd::container(&want, node, fsid, DaemonId::osd(0), uuid, &store)),
    ];
    // comments are for the reader of the source
    let lines = include_str!("demo.sh").lines().filter(|l| !l.starts_with('#'));
    let text: String = lines.flat_map(|l| [l, "\n"]).collect();
    // all at once, so that nothing that is put in is searched
    let mut out = text.replacen(" CONF ", &format!(" {} ", quoted(&conf::text(&want, fsid))), 1);
    for (word, spec) in daemons {
        let (before, after) =
            out.rsplit_once(word).expect("the script has a place for each daemon");
        out = format!("{before}{}{after}", command(&spec));
    }
    out
}

/// A daemon's own script as a command of the shell.
fn command(spec: &ContainerSpec) -> String {
    let mut words =
        vec!["sh".to_owned(), "-c".into(), quoted(&spec.script), spec.daemon.container()];
    words.extend(spec.args.iter().map(|arg| quoted(arg)));
    words.join(" ")
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).expect("none of it has a NUL").into_owned()
}

/// The demo as an inventory: what the daemons' scripts and ceph.conf are made from.
fn inventory(image: &str) -> Inventory {
    const TEXT: &str = "cluster: {public_network: 127.0.0.0/8}\n\
        nodes: [{name: demo, address: 127.0.0.1, roles: [mon, mgr, osd], osds: [{file: 10GiB}]}]\n";
    let loaded = file::parse(TEXT, Path::new("demo"), Some(Path::new("/")));
    let mut want = loaded.expect("the text is constant and valid").inventory;
    image.clone_into(&mut want.cluster.image);
    for (section, option, value) in [
        // by itself Ceph passes over loopback interfaces
        ("global", "public_addr", "127.0.0.1".to_owned()),
        // the one module that every image can load; more of them take memory
        ("mon", "mgr_initial_modules", "iostat".into()),
        // a laptop's disk is often fuller than a mon likes
        ("mon", "mon_data_avail_warn", "5".into()),
        ("mon", "mon_data_avail_crit", "2".into()),
        ("mon", "mon_memory_target", MON_MEMORY.to_string()),
        ("osd", "osd_memory_target", OSD_MEMORY.to_string()),
    ] {
        let section = want.cluster.config.entry(section.to_owned()).or_default();
        section.insert(option.to_owned(), value);
    }
    want
}

/// How to use it, for people.
pub fn usage(image: &str) -> String {
    let gib = |bytes: u64| bytes >> 30;
    format!(
        "A Ceph cluster of one node runs in the container {NAME}:\n\
         \n  docker exec {NAME} ceph -s\
         \n  docker exec {NAME} rbd create --size 1G test\
         \n  docker exec {NAME} rbd ls\
         \n  docker exec -it {NAME} bash\n\
         \nIt has no network: nothing outside its container reaches it. It takes {} GiB of memory at most (the OSD\
         \naims at {} MiB, the mon at {} MiB) and {} GiB of disk, as it is written, in the volume {NAME}.\
         \nAfter a reboot, `cephdock demo` starts it again; `cephdock demo --down` removes it and all that is in it\
         \n(the image stays: `docker rmi {image}`).\n",
        gib(MEMORY),
        OSD_MEMORY >> 20,
        MON_MEMORY >> 20,
        gib(BYTES),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_whole_and_one_that_a_shell_reads() {
        let script = script("ceph", Uuid::nil());
        for part in [
            "fsid = 00000000",
            "ceph-mon -f",
            "ceph-mgr -f",
            "ceph-osd -f",
            "osd_memory_target = 939524096",
        ] {
            assert!(script.contains(part), "{part}");
        }
        assert!(!script.contains("DAEMON_") && !script.contains("OPTIONS"));
        let sh = std::process::Command::new("sh").args(["-n", "-c", &script]).output().unwrap();
        assert!(sh.status.success(), "{}", String::from_utf8_lossy(&sh.stderr));
    }

    /// What is in it is in `docker inspect` for everybody to read.
    #[test]
    fn no_key_is_in_it() {
        let script = script("ceph", Uuid::nil());
        assert!(!script.contains("AQ") && !script.contains("key ="), "{script}");
        assert_eq!(super::script("ceph", Uuid::nil()), script);
    }

    #[test]
    fn the_daemons_fit_into_the_limit() {
        // the mgr, and what the others take beyond their targets
        const { assert!(OSD_MEMORY + MON_MEMORY + (512 << 20) <= MEMORY) };
    }
}
