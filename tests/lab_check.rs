//! `check` and `init` on real nodes: every fault that can be made for real is made, and is gone again when it is mended.
//!
//! Two things are not real here. The nodes share one kernel and so one clock: a program called `date` tells another
//! time. They have no disks of their own: what is on one is looked at in `lab_refuse.rs`.

mod lab_support;

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

/// All that is said of a topic on a node.
fn said_of(said: &Value, topic: &str, node: &str) -> String {
    let findings = said["findings"].as_array().expect("findings").iter();
    findings.filter(|f| f["topic"] == topic && f["node"] == node).map(Value::to_string).collect()
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
    let mut fails = found(&said, "fail");
    assert!(fails.remove("mtu C2") && fails.remove("mtu C3"), "{said}");
    assert_eq!(fails, expected.map(String::from).into(), "{said}");
    for (topic, node, words) in [
        ("ports", "C1", &["python3 listens on port 6789"][..]),
        ("mtu", "C1", &["1500 bytes", "C2 and C3"]),
        ("disks", "C1", &["there is no /dev/nope"]),
        ("image", "C1", &["nobody-has-this"]),
        ("paths", "C2", &["C1 and C3 cannot connect to 3300 and 7300 of 10.32.3.62", "no answer"]),
        ("clock", "C2", &["ahead", "ms", "chrony"]),
        ("docker", "C3", &["systemctl enable --now docker"]),
        ("ceph", "C3", &["6f1b6e3e-0000-4000-8000-000000000001", "ceph-old"]),
        ("login", "C4", &["10.32.3.64", "ssh root@10.32.3.64"]),
    ] {
        let text = said_of(&said, topic, node);
        for word in words {
            assert!(text.contains(word), "{topic} {node}: {word:?} is not in {text}");
        }
    }
    assert_eq!(snapshot(&lab), before, "check changes nothing");

    // what listens for the occasion does not outlive cephdock, however that ends
    let running = lab.start_cephdock(&inventory, &["check", "--json"]);
    let listens = |node: &str, want: bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while silent(&lab, node).is_some() == want {
            assert!(Instant::now() < end, "{node}: listening is not {want} after 20 s");
        }
    };
    listens("C2", true);
    running.kill();
    listens("C2", false);
    listens("C3", false);

    // mended, all is well again
    lab.sh("C1", "systemctl -q stop squat");
    lab.lab(60, &["run", "ip", "link", "set", "node61", "mtu", "1500"]).ok();
    lab.sh("C2", "nft delete table inet mine; rm /usr/local/bin/date");
    lab.sh("C3", "rm -r /etc/ceph /var/lib/ceph; systemctl -q start docker");
    check(&lab, &inventory, 0);

    // ports that `up` opens are worth a word; left alone, they are in the way
    lab.sh("C2", "systemctl -q start firewalld");
    lab.sh("C3", "ip link set eth0 mtu 1400");
    let said = check(&lab, &inventory, 0);
    assert!(said_of(&said, "paths", "C2").contains("`cephdock up` opens these"), "{said}");
    assert!(said_of(&said, "mtu", "C3").contains("1400"), "{said}");
    let off = lab.inventory("off.yaml", &format!("{CLUSTER}\nfirewall: off"), ENTRIES);
    let said = check(&lab, &off, 1);
    assert_eq!(found(&said, "fail"), ["paths C2".to_owned()].into(), "{said}");
    assert!(said_of(&said, "paths", "C2").contains("firewall: auto"), "{said}");
    lab.sh("C2", "systemctl -q stop firewalld");
    lab.sh("C3", "ip link set eth0 mtu 1500");

    more_faults(&lab);
    check(&lab, &inventory, 0);
    init(&lab, &inventory);
}

/// Docker's own answers with other words of the same length in them: what is too old or rootless is not to be had here.
const IN_OTHER_WORDS: &str = r#"import os, socket, sys, threading
old, new = (word.encode() for word in sys.argv[1:])
assert len(old) == len(new)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/docker.sock")
os.chmod("/run/docker.sock", 0o666)
listener.listen(64)
def pump(source, sink, change):
    while data := source.recv(1 << 20):
        sink.sendall(data.replace(old, new) if change else data)
    sink.shutdown(socket.SHUT_WR)
while True:
    client = listener.accept()[0]
    docker = socket.socket(socket.AF_UNIX)
    docker.connect("/run/real.sock")
    threading.Thread(target=pump, args=(client, docker, False), daemon=True).start()
    threading.Thread(target=pump, args=(docker, client, True), daemon=True).start()
"#;

fn docker_in_other_words(lab: &Own, node: &str, old: &str, new: &str) {
    lab.sh(node, &format!(
        "systemctl -q stop docker.socket docker; cat >/run/words.py <<'END'\n{IN_OTHER_WORDS}END\n\
         systemd-run -q --unit=real dockerd -H unix:///run/real.sock; \
         for try in $(seq 100); do [ -S /run/real.sock ] && break; sleep 0.2; done; rm -f /run/docker.sock; \
         systemd-run -q --unit=words python3 /run/words.py '{old}' '{new}'; \
         for try in $(seq 100); do docker version >/dev/null 2>&1 && break; sleep 0.2; done"
    ));
}

/// What could not be wrong together with the first faults.
fn more_faults(lab: &Own) {
    // an old Docker, a rootless one, and a login without sudo
    let version = lab.sh("C1", "docker version -f '{{.Server.Version}}'");
    let version = version.trim();
    docker_in_other_words(lab, "C1", version, &format!("{:1<1$}", "19.03.", version.len()));
    docker_in_other_words(
        lab,
        "C3",
        "name=seccomp,profile=builtin",
        "name=rootless\",\"profile=buil",
    );
    lab.sh("C2", "mv /etc/sudoers.d/ops /root/ops");
    // two machines that say the same of themselves; the address is answered for by its owner alone
    lab.sh(
        "C3",
        "nft 'table arp mine { chain in { type filter hook input priority 0; arp daddr ip 10.32.3.61 drop; }; }' && ip addr add 10.32.3.61/32 dev lo && hostname C1",
    );
    // no disk is as large, and no free space enough; a network that no node is in; one address is nobody's
    let cluster = "  public_network: 10.32.3.0/24
  cluster_network: 10.98.0.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {mon: {mon_data_avail_warn: 100, mon_data_avail_crit: 1}, osd: {osd_memory_target: 1T}}
client: {packages: off}";
    let entries =
        "  - {name: C1, address: 10.32.3.61, roles: [mon, mgr, osd], osds: [{file: 900TiB}]}
  - {name: C2, address: 10.32.3.62, roles: [mon, osd], osds: [{file: 2GiB}], ssh: {user: ops}}
  - {name: C3, address: 10.32.3.66, roles: [], ssh: {host: 10.32.3.63}}\n";
    let spoiled = lab.inventory("more.yaml", cluster, entries);
    let said = check(lab, &spoiled, 1);
    let expected =
        ["docker C1", "net C1", "paths C1", "room C1", "login C2", "docker C3", "net C3"];
    assert_eq!(found(&said, "fail"), expected.map(String::from).into(), "{said}");
    for (topic, node, words) in [
        ("docker", "C1", &["19.03.1", "older than"][..]),
        ("net", "C1", &["10.32.3.61 is on an interface of C3 too", "cluster network 10.98.0.0/24"]),
        // C3 asks itself
        ("paths", "C1", &["C3 cannot connect"]),
        ("room", "C1", &["900 TiB", "a mon calls the cluster unhealthy", "1 TiB of it its OSD"]),
        ("login", "C2", &["sudo without a password"]),
        ("docker", "C3", &["rootless"]),
        ("net", "C3", &["none of its interfaces has the address 10.32.3.66", "10.32.3.63"]),
        ("name", "C1", &["C1 and C3 all say that their hostname is C1"]),
        ("name", "C3", &["hostnamectl hostname C3"]),
        ("client", "C3", &["rbd"]),
    ] {
        let text = said_of(&said, topic, node);
        for word in words {
            assert!(text.contains(word), "{topic} {node}: {word:?} is not in {text}");
        }
    }
    let of_all: String = said["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter(|f| f["node"].is_null())
        .map(Value::to_string)
        .collect();
    for word in ["the cluster has 2 mons", "copies"] {
        assert!(of_all.contains(word), "{word:?} is not in {of_all}");
    }
    for node in ["C1", "C3"] {
        lab.sh(node, "systemctl -q stop words real; rm -f /run/docker.sock /run/real.sock /run/words.py; systemctl -q start docker.socket docker");
    }
    lab.sh("C2", "mv /root/ops /etc/sudoers.d/ops");
    lab.sh("C3", "hostname C3; ip addr del 10.32.3.61/32 dev lo; nft delete table arp mine");
}

/// An inventory of hosts that were looked at, which `check` and `plan` take.
fn init(lab: &Own, inventory: &Path) {
    let ssh = std::fs::read_to_string(inventory).expect("the inventory");
    let value = |field: &str| {
        let line = ssh.lines().find(|l| l.trim_start().starts_with(field)).expect("the field");
        line.trim_start()[field.len()..].trim().to_owned()
    };
    let path = inventory.with_file_name("made.yaml");
    drop(std::fs::remove_file(&path));
    let (key, known) = (value("identity_file:"), value("known_hosts:"));
    let scan = [
        "init",
        "--scan",
        "10.32.3.61",
        "10.32.3.62",
        "ops@10.32.3.63",
        "--ssh-key",
        &key,
        "--known-hosts",
        &known,
        "--image",
        IMAGE,
        "--file",
        "2GiB",
    ];
    lab.cephdock(&path, &scan).exits(0).says(&["3 nodes in 10.32.3.0/24", "check"]);
    let text = std::fs::read_to_string(&path).expect("the inventory that was made");
    for part in ["name: C1", "roles: [mon, mgr, osd]", "user: ops", "# Docker "] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    lab.cephdock(&path, &["plan"]).exits(0).says(&["start daemons"]);
    // this machine's disk may be too full for a mon: that is the only thing `check` may find
    let run = lab.cephdock(&path, &["check", "--json"]);
    let fails = found(&run.json(), "fail");
    assert!(fails.iter().all(|f| f.starts_with("room ")), "{}", run.all());

    // never over what is there
    lab.cephdock(&path, &scan).exits(2).says(&["is there already"]);
    assert_eq!(std::fs::read_to_string(&path).expect("the same"), text);
    let nobody = inventory.with_file_name("nobody.yaml");
    lab.cephdock(&nobody, &["init", "--scan", "10.32.3.69", "--ssh-key", &key])
        .exits(1)
        .says(&["10.32.3.69"]);
    assert!(!nobody.exists());
}
