//! `check` and `init` on real nodes: every fault that can be made for real is made, and is gone again when it is mended.
//!
//! Some things are not real here. The nodes share one kernel and so one clock and one processor: programs called `date`
//! and `uname` tell of others, and /proc/meminfo of less memory. An old Docker, a rootless one and Podman are the real one
//! with other words in its answers. They have no disks of their own: what is on one is looked at in `lab_refuse.rs`.

#[path = "lab_check/engines.rs"]
mod engines;
#[path = "lab_check/init.rs"]
mod init;
mod lab_support;
#[path = "lab_check/more.rs"]
mod more;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use lab_support::own::Own;
use serde_json::Value;

const NODES: [&str; 3] = ["C1", "C2", "C3"];
const SPECS: [&str; 3] = ["C1/nspawn=10.32.3.61", "C2/nspawn=10.32.3.62", "C3/nspawn=10.32.3.63"];
const IMAGE: &str = "registry.lab:5000/ceph/ceph:v18";
/// These nodes have this machine's disk, which may be fuller than a mon likes.
const CLUSTER: &str = "  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}
client: {packages: off}
volumes: {driver: none}";
const ENTRIES: &str =
    "  - {name: C1, address: 10.32.3.61, roles: [mon, mgr, osd], osds: [{file: 2GiB}]}
  - {name: C2, address: 10.32.3.62, roles: [mon, mgr, osd], osds: [{file: 2GiB}]}
  - {name: C3, address: 10.32.3.63, roles: [mon, osd], osds: [{file: 2GiB}]}\n";

/// What of a level was found, as `TOPIC NODE`.
fn found(said: &Value, level: &str) -> BTreeSet<String> {
    let findings = said["findings"].as_array().expect("findings").iter();
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or("-").to_owned();
    let here = findings.filter(|f| f["level"] == level);
    here.map(|f| format!("{} {}", text(f, "topic"), text(f, "node"))).collect()
}

/// All that is said of a topic on a node, or of the cluster: `-`.
fn said_of(said: &Value, topic: &str, node: &str) -> String {
    let findings = said["findings"].as_array().expect("findings").iter();
    let here = |f: &&Value| f["topic"] == topic && f["node"].as_str().unwrap_or("-") == node;
    findings.filter(here).map(Value::to_string).collect()
}

/// What is in the way, as `TOPIC NODE`: all of it.
fn assert_fails(said: &Value, expected: &[&str]) {
    assert_found(said, "fail", expected);
}

fn assert_found(said: &Value, level: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|e| (*e).to_owned()).collect();
    assert_eq!(found(said, level), expected, "{level}: {said:#}");
}

/// A topic, a node (`-`: the cluster), and what has to be said of it there.
type Words<'w> = (&'w str, &'w str, &'w [&'w str]);

fn assert_words(said: &Value, all: &[Words]) {
    for (topic, node, words) in all {
        let text = said_of(said, topic, node);
        for word in *words {
            assert!(text.contains(word), "{topic} {node}: {word:?} is not in {text}");
        }
    }
}

/// Scripts on nodes, all at once.
fn on_each(lab: &Own, scripts: &[(&str, &str)]) {
    std::thread::scope(|scope| {
        for (node, script) in scripts {
            scope.spawn(move || lab.sh(node, &format!("set -e\n{script}")));
        }
    });
}

fn check(lab: &Own, inventory: &Path, code: i32) -> Value {
    let said = lab.cephdock(inventory, &["check", "--json"]).exits(code).json();
    assert_eq!(said["ok"], code == 0, "{said}");
    said
}

/// Files, containers and images of all nodes.
fn snapshot(lab: &Own) -> Vec<String> {
    let look = "find /etc /var/lib/ceph /opt /srv /usr/local -printf '%p %y %s %T@\n' 2>/dev/null | sort; \
        docker ps -aq 2>/dev/null; docker images -q 2>/dev/null; true";
    NODES.iter().map(|node| lab.sh(node, look)).collect()
}

/// Nothing listens on a port of Ceph's, or `None`: something does.
fn silent(lab: &Own, node: &str) -> Option<()> {
    let ports = lab.sh(node, "ss -Hltn | grep -E ':(3300|6789|6800|7050|7300) ' || true");
    ports.trim().is_empty().then_some(())
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn every_fault_is_found_and_gone_when_it_is_mended() {
    let lab = Own::boot_bare("labcheck", &SPECS);
    let inventory = lab.inventory("check.yaml", CLUSTER, ENTRIES);

    // all is well, every check was made, and nothing is left behind
    let before = snapshot(&lab);
    let said = check(&lab, &inventory, 0);
    assert_eq!(found(&said, "unchecked"), BTreeSet::new(), "{said}");
    for node in said["nodes"].as_array().expect("nodes") {
        for (topic, went) in node["checks"].as_object().expect("checks") {
            assert!(went == "ok" || went == "note", "{topic}: {said}");
        }
        assert!(node["clock_ahead_ms"].as_f64().expect("a clock").abs() < 50.0, "{said}");
    }
    lab.cephdock(&inventory, &["check"]).exits(0).says(&["Nothing stands in the way"]);
    assert_eq!(snapshot(&lab), before);
    for node in NODES {
        assert_eq!(silent(&lab, node), Some(()), "something listens on {node} still");
    }

    // a port in use, and a cable that swallows large packets
    lab.sh("C1", "systemd-run -q --unit=squat python3 -m http.server 6789 --bind 10.32.3.61");
    lab.lab(60, &["run", "ip", "link", "set", "node61", "mtu", "1400"]).ok();
    // a packet filter of nobody known, a clock that is ahead, and a smaller network card
    lab.sh(
        "C2",
        "nft 'table inet mine { chain in { type filter hook input priority 0; policy accept; tcp dport { 3300, 7300 } drop; }; }'; \
         printf '#!/bin/sh\nexec /usr/bin/date -d \"+2 seconds\" \"$@\"\n' >/usr/local/bin/date; chmod 755 /usr/local/bin/date",
    );
    // no Docker, and what another cluster left
    lab.sh(
        "C3",
        "systemctl -q stop docker.socket docker; mkdir -p /etc/ceph /var/lib/ceph/mon/ceph-old; \
         printf '[global]\nfsid = 6f1b6e3e-0000-4000-8000-000000000001\n' >/etc/ceph/ceph.conf",
    );
    // a node that is off, a disk that is not there, and an image that nobody has
    let entries = ENTRIES.replacen("{file: 2GiB}", "{device: /dev/nope}", 1)
        + "  - {name: C4, address: 10.32.3.64, roles: []}\n";
    let cluster = CLUSTER.replace(":v18", ":nobody-has-this");
    let spoiled = lab.inventory("spoiled.yaml", &cluster, &entries);
    let before = snapshot(&lab);
    let said = check(&lab, &spoiled, 1);
    let expected = [
        "ports C1",
        "mtu C1",
        "disks C1",
        "image C1",
        "paths C2",
        "clock C2",
        "image C2",
        "docker C3",
        "ceph C3",
        "login C4",
    ];
    // the cut cable lies on the way from C1 as well as to it
    assert_fails(&said, &[&expected[..], &["mtu C2", "mtu C3"]].concat());
    assert_words(
        &said,
        &[
            ("ports", "C1", &["python3 listens on port 6789"]),
            ("mtu", "C1", &["1500 bytes", "C2 and C3"]),
            ("disks", "C1", &["there is no /dev/nope"]),
            ("image", "C1", &["nobody-has-this"]),
            (
                "paths",
                "C2",
                &["C1 and C3 cannot connect to 3300 and 7300 of 10.32.3.62", "no answer"],
            ),
            ("clock", "C2", &["ahead", "ms", "chrony"]),
            ("docker", "C3", &["systemctl enable --now docker"]),
            ("ceph", "C3", &["6f1b6e3e-0000-4000-8000-000000000001", "ceph-old"]),
            ("login", "C4", &["10.32.3.64", "ssh root@10.32.3.64"]),
        ],
    );
    assert_eq!(snapshot(&lab), before, "check changes nothing");

    // what listens for the occasion does not outlive cephdock, however that ends
    let caught = (0..5).any(|_| {
        let mut running = lab.start_cephdock(&inventory, &["check", "--json"]);
        while !running.has_ended() {
            if silent(&lab, "C2").is_none() {
                return running.kill_now();
            }
        }
        false
    });
    assert!(caught, "no check was killed while it listened");
    for node in ["C2", "C3"] {
        let end = Instant::now() + Duration::from_secs(20);
        while silent(&lab, node).is_none() {
            assert!(Instant::now() < end, "{node}: something listens 20 s later");
        }
    }

    // mended, all is well again
    lab.sh("C1", "systemctl -q stop squat");
    lab.lab(60, &["run", "ip", "link", "set", "node61", "mtu", "1500"]).ok();
    lab.sh("C2", "nft delete table inet mine; rm /usr/local/bin/date");
    lab.sh("C3", "rm -r /etc/ceph /var/lib/ceph; systemctl -q start docker");
    check(&lab, &inventory, 0);

    ports_that_up_opens(&lab, &inventory);
    more::words_of_an_inventory(&lab);
    for round in [
        engines::old_and_rootless,
        engines::podman_remapped_and_a_snap,
        engines::images_of_another_machine,
        more::what_cannot_be_looked_at,
        more::users_and_clients,
    ] {
        round(&lab);
        check(&lab, &inventory, 0);
    }
    init::of_hosts_that_were_looked_at(&lab, &inventory);
}

/// They are worth a word; left alone, they are in the way.
fn ports_that_up_opens(lab: &Own, inventory: &Path) {
    lab.sh("C2", "systemctl -q start firewalld");
    lab.sh("C3", "ip link set eth0 mtu 1400");
    let said = check(lab, inventory, 0);
    assert!(said_of(&said, "paths", "C2").contains("`cephdock up` opens these"), "{said}");
    assert!(said_of(&said, "mtu", "C3").contains("1400"), "{said}");
    let off = lab.inventory("off.yaml", &format!("{CLUSTER}\nfirewall: off"), ENTRIES);
    let said = check(lab, &off, 1);
    assert_fails(&said, &["paths C2"]);
    assert!(said_of(&said, "paths", "C2").contains("firewall: auto"), "{said}");
    lab.sh("C2", "systemctl -q stop firewalld");
    lab.sh("C3", "ip link set eth0 mtu 1500");
}
