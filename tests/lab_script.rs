//! The lab itself: what the other lab tests take for granted about its nodes.

mod lab_support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lab_support::own::Own;

const NS: &str = "labself";

#[test]
#[ignore = "boots nodes: make lab-test"]
fn nodes_are_hosts_of_their_own_and_leave_nothing_behind() {
    let lab = Own::without_nodes(NS, &[]);
    let ok = |args: &[&str]| lab.run(args).ok().out;
    let nodes = ["up", "L1=10.32.3.11", "L2=10.32.3.12", "L3/nspawn=10.32.3.13"];
    ok(&nodes);
    let before = ok(&["ls"]);
    ok(&nodes);
    assert_eq!(ok(&["ls"]), before, "running nodes are left alone");

    let pids: Vec<u32> =
        before.lines().filter_map(|l| l.rsplit(' ').next()?.parse().ok()).collect();
    assert_eq!(pids.len(), 3, "{before}");

    let taken = lab.run(&["up", "L1=10.32.3.99"]);
    assert!(taken.code != 0, "a name that is taken by another address is refused");

    let six = lab.run(&["up", "L4/uml=fd00:32:3::14"]);
    assert!(six.code != 0, "a uml node has IPv4");

    let keys = ok(&["known-hosts"]);
    let mut keys: Vec<&str> = keys.lines().filter_map(|l| l.split(' ').nth(2)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3, "every node has a host key of its own");

    for node in ["L1", "L2", "L3"] {
        assert_eq!(ok(&["ssh", node, "hostname"]).trim(), node);
        ok(&[
            "ssh",
            node,
            "docker run --rm --net=host registry.lab:5000/ceph/ceph:v18 ceph --version",
        ]);
    }
    let ids: Vec<String> =
        ["L1", "L2"].iter().map(|n| ok(&["ssh", n, "cat /etc/machine-id"])).collect();
    assert_ne!(ids[0], ids[1]);

    // a clock that is off is set, to less than what Ceph's mons allow
    ok(&["ssh", "L1", "date -s '+1 second'"]);
    ok(&nodes);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let before = now();
    let there: f64 = ok(&["ssh", "L1", "date +%s.%N"]).trim().parse().expect("seconds");
    let after = now();
    assert!(before - 0.02 <= there && there <= after + 0.02, "{before} {there} {after}");

    ok(&["ssh", "L1", "echo here >/root/kept && sync"]);
    ok(&["cut", "L1"]);
    assert!(ok(&["ls"]).lines().any(|l| l.starts_with("L1 ") && l.ends_with(" off")));
    ok(&["start", "L1"]);
    assert_eq!(
        ok(&["ssh", "L1", "cat /root/kept"]).trim(),
        "here",
        "the disk outlives a power cut"
    );

    ok(&["down"]);
    ok(&["down"]);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} was left behind");
    }
    let mounts = std::fs::read_to_string("/proc/mounts").expect("/proc/mounts");
    assert!(!mounts.contains(&format!("lab-{NS}-")), "{mounts}");
    assert!(!Path::new("/run/netns").join(NS).exists());
    assert!(!Path::new("/run/netns").join(format!("{NS}.L3")).exists());
}
