//! A cluster without IPv4: the nodes have one IPv6 address each on the lab's network, and are logged in to, told apart,
//! let in and joined by it. Even the image's registry is named by its address.

mod lab_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lab_support::Run;
use lab_support::own::Own;
use serde_json::Value;

const NODES: [&str; 4] = ["S1", "S2", "S3", "S4"];
const SPECS: [&str; 4] = [
    "S1/nspawn=fd00:32:3::21",
    "S2/nspawn=fd00:32:3::22",
    "S3/nspawn=fd00:32:3::23",
    "S4/nspawn=fd00:32:3::24",
];
/// These nodes have this machine's disk, which may be fuller than a mon likes.
const CLUSTER: &str = r#"  public_network: fd00:32:3::/64
  image: "[fd00:32:3::1]:5000/ceph/ceph:v18"
  config: {global: {mgr_initial_modules: iostat nfs}, mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}
client: {packages: off}
volumes: {driver: none}"#;
/// S2 is behind S1, and S3 is what the user's ~/.ssh/config says.
const ENTRIES: &str = "  - {name: S1, address: 'fd00:32:3::21', roles: [mon, mgr, osd], osds: [{file: 2GiB}]}
  - {name: S2, address: 'fd00:32:3::22', roles: [mon, mgr, osd], osds: [{file: 2GiB}], ssh: {jump: 'root@[fd00:32:3::21]:22'}}
  - {name: S3, address: 'fd00:32:3::23', roles: [osd], osds: [{file: 2GiB}], ssh: {host: cellar}}\n";
const SSH_CONFIG: &str = "Host cellar\n  HostName FD00:32:3:0::23\n  Port 2222\n";
/// An address of the admin's that lies in no network of the cluster's, and the one that lies in it.
const OUTSIDE: &str = "fd00:77::1";
const INSIDE: &str = "fd00:32:3::1";

struct Six {
    lab: Own,
    inventory: PathBuf,
    home: PathBuf,
}

impl Six {
    fn boot() -> Self {
        let lab = Own::boot_bare("labsix", &SPECS);
        let inventory = lab.inventory("six.yaml", CLUSTER, ENTRIES);
        let home = inventory.with_file_name("home");
        fs::create_dir_all(home.join(".ssh")).expect("a home");
        fs::write(home.join(".ssh/config"), SSH_CONFIG).expect("a configuration");
        Self { lab, inventory, home }
    }

    /// Runs cephdock as the admin, who has a ~/.ssh/config.
    fn cephdock(&self, args: &[&str]) -> Run {
        self.cephdock_on(&self.inventory, args)
    }

    fn cephdock_on(&self, inventory: &Path, args: &[&str]) -> Run {
        let home = format!("HOME={}", self.home.display());
        let path = inventory.to_str().expect("text");
        let run = ["run", "env", &home, env!("CARGO_BIN_EXE_cephdock"), "-i", path];
        self.lab.lab(400, &[&run, args].concat())
    }

    fn ceph(&self, command: &str) -> Value {
        let said =
            self.lab.sh("S1", &format!("docker exec mon ceph {command} -f json 2>/dev/null"));
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{command}: {e}: {said}"))
    }

    /// Who of `to`, on each of its `ports`, answers the admin's address `from`.
    fn answers(&self, from: &str, to: &[&str], ports: &[u16]) -> BTreeSet<String> {
        let code = format!(
            "import socket\nfrom concurrent.futures import ThreadPoolExecutor\ndef ask(at):\n try: \
             socket.create_connection(at, 2, ('{from}', 0)); return '%s %s\\n' % at\n except OSError: return ''\n\
             print(*ThreadPoolExecutor(16).map(ask, [(a, p) for a in {to:?} for p in {ports:?}]), sep='', end='')"
        );
        let said = self.lab.lab(60, &["run", "python3", "-c", &code]).ok().out;
        said.lines().map(str::to_owned).collect()
    }

    /// Firewalls, and an SSH server on another port.
    fn prepare(&self) {
        let lab = &self.lab;
        for node in NODES {
            let four = lab.sh(node, "ip -4 -o addr show scope global");
            assert_eq!(four, "", "{node} has IPv4");
        }
        lab.lab(60, &["run", "ip", "addr", "add", &format!("{OUTSIDE}/64"), "dev", "br0", "nodad"])
            .ok();
        lab.sh("S1", "systemctl -q enable --now firewalld");
        lab.sh(
            "S2",
            "apt-get update -qq; apt-get install -y -qq --no-install-recommends ufw >/dev/null 2>&1; \
             ufw allow 22/tcp && ufw --force enable",
        );
        let ports = "printf 'Port 22\\nPort 2222\\n' >/etc/ssh/sshd_config.d/test.conf; systemctl restart ssh";
        lab.sh("S3", ports);
    }
}

/// The addresses of a list `addrvec`, as `TYPE ADDRESS`.
fn addresses(list: &Value) -> Vec<String> {
    let one = |a: &Value| {
        let text = |key: &str| a[key].as_str().unwrap_or("?").to_owned();
        format!("{} {}", text("type"), text("addr"))
    };
    list["addrvec"].as_array().expect("addresses").iter().map(one).collect()
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn nodes_without_ipv4_become_a_cluster() {
    let six = Six::boot();
    six.prepare();
    let inventory = fs::read_to_string(&six.inventory).expect("the inventory");
    let known = inventory.lines().find_map(|l| l.trim().strip_prefix("known_hosts: "));
    let known = PathBuf::from(known.expect("known_hosts"));

    a_host_key_that_nobody_knows(&six, &known);
    check(&six);
    six.cephdock(&["up"]).exits(0).says(&["HEALTH_OK"]);
    six.cephdock(&["up"]).exits(0).says(&["othing to do"]);
    where_everything_listens(&six);
    firewalls(&six);
    a_client_and_a_mon_join(&six);
    looked_at_by_init(&six, &known);

    let fsid = six.ceph("fsid")["fsid"].as_str().expect("an fsid").to_owned();
    six.cephdock(&["reset", "--yes", "--fsid", &fsid]).exits(0).says(&["Nothing of the cluster"]);
    assert_eq!(six.lab.sh("S1", "firewall-cmd --list-rich-rules").trim(), "");
    for node in NODES {
        let left = "ls /etc/ceph/ceph* 2>/dev/null; docker ps -aq; if command -v ufw >/dev/null; then ufw status | grep -c cephdock; fi; true";
        let none = if node == "S2" { "0\n" } else { "" };
        assert_eq!(six.lab.sh(node, left), none, "{node}");
    }
}

/// The refusal has the very line that is to be added.
fn a_host_key_that_nobody_knows(six: &Six, known: &Path) {
    let text = fs::read_to_string(known).expect("known_hosts");
    let others: Vec<&str> = text.lines().filter(|l| !l.starts_with("fd00:32:3::23 ")).collect();
    assert_eq!(others.len(), 3, "{text}");
    fs::write(known, others.join("\n") + "\n").expect("known_hosts");
    let said = six.cephdock(&["status", "--json"]).exits(4).json();
    let error = said["nodes"][2]["error"].as_str().expect("S3 is not reached");
    let line = error.find("[fd00:32:3::23]:2222 ssh-ed25519 ").map(|at| error[at..].trim());
    let line = line.unwrap_or_else(|| panic!("no line for known_hosts: {error}"));
    let text = fs::read_to_string(known).expect("known_hosts");
    fs::write(known, format!("{text}{line}\n")).expect("known_hosts");
}

/// Every way is gone; a cable that swallows large packets is found.
fn check(six: &Six) {
    let json = |code: i32| six.cephdock(&["check", "--json"]).exits(code).json();
    let found = |said: &Value, level: &str| -> BTreeSet<String> {
        let all = said["findings"].as_array().expect("findings").iter();
        let text = |f: &Value, key: &str| f[key].as_str().unwrap_or("-").to_owned();
        let here = all.filter(|f| f["level"] == level);
        here.map(|f| format!("{} {}", text(f, "topic"), text(f, "node"))).collect()
    };
    let said = json(0);
    assert_eq!(found(&said, "unchecked"), BTreeSet::new(), "{said}");
    let notes = found(&said, "note");
    assert!(notes.contains("paths S1") && notes.contains("paths S2"), "{said}");
    assert!(!notes.contains("paths S3"), "{said}");
    // the bridge is not to tell anybody that a packet is too large
    let silent =
        "sysctl -qw net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null; ip link set six23 mtu 1400";
    six.lab.lab(60, &["run", "sh", "-c", silent]).ok();
    let said = json(1);
    let expected = ["mtu S1", "mtu S2", "mtu S3"].map(String::from);
    assert_eq!(found(&said, "fail"), expected.into(), "{said}");
    six.lab.lab(60, &["run", "ip", "link", "set", "six23", "mtu", "1500"]).ok();
}

fn where_everything_listens(six: &Six) {
    let mons = six.ceph("mon dump");
    let mons = mons["mons"].as_array().expect("mons").iter().map(|m| addresses(&m["public_addrs"]));
    let expected = [21, 22]
        .map(|n| vec![format!("v2 [fd00:32:3::{n}]:3300"), format!("v1 [fd00:32:3::{n}]:6789")]);
    assert_eq!(mons.collect::<Vec<_>>(), expected);
    let osds = six.ceph("osd dump");
    let osds = osds["osds"].as_array().expect("OSDs");
    assert_eq!(osds.len(), 3);
    for osd in osds {
        for kind in
            ["public_addrs", "cluster_addrs", "heartbeat_back_addrs", "heartbeat_front_addrs"]
        {
            let at = addresses(&osd[kind]);
            assert!(
                at.iter().all(|a| a[3..].starts_with("[fd00:32:3::2")) && at.len() == 2,
                "{at:?}"
            );
        }
    }
    for node in ["S1", "S2", "S3"] {
        let four = six.lab.sh(node, "ss -4 -Hltnp | grep ceph- || true");
        assert_eq!(four, "", "{node}");
    }
    let status = six.cephdock(&["status", "--json"]).exits(0).json();
    assert_eq!(status["health"], "HEALTH_OK", "{status}");
    assert_eq!(status["nodes"][2]["address"], "fd00:32:3::23", "{status}");
}

fn firewalls(six: &Six) {
    let (to, open) = (["fd00:32:3::21", "fd00:32:3::22"], [3300, 6789, 6800]);
    let expected: BTreeSet<String> =
        to.iter().flat_map(|to| open.map(|port| format!("{to} {port}"))).collect();
    assert_eq!(six.answers(INSIDE, &to, &open), expected);
    assert_eq!(six.answers(OUTSIDE, &to, &open), BTreeSet::new());
    assert_eq!(six.answers(OUTSIDE, &to, &[22]).len(), 2, "there is no way at all from {OUTSIDE}");
}

fn a_client_and_a_mon_join(six: &Six) {
    six.cephdock(&["add-node", "S4", "--address", "fd00:32:3::24"]).exits(0);
    let conf = six.lab.sh("S4", "cat /etc/ceph/ceph.conf");
    assert!(conf.contains("mon_host = [fd00:32:3::21],[fd00:32:3::22]\n"), "{conf}");
    assert_eq!(conf, six.lab.sh("S3", "cat /etc/ceph/ceph.conf"));
    // by the node's own ceph.conf, on one that is no mon
    let client = "docker run --rm --net=host -v /etc/ceph:/etc/ceph --entrypoint sh [fd00:32:3::1]:5000/ceph/ceph:v18 -c 'ceph -s && rbd ls'";
    let said = six.lab.sh("S3", client);
    assert!(said.contains("HEALTH_OK"), "{said}");
    let text = fs::read_to_string(&six.inventory).expect("the inventory");
    assert!(text.ends_with("  - {name: S4, address: 'fd00:32:3::24', roles: []}\n"), "{text}");

    let text = text.replace("roles: [osd]", "roles: [mon, osd]");
    fs::write(&six.inventory, text).expect("the inventory");
    six.cephdock(&["up"]).exits(0).says(&["HEALTH_OK"]);
    let quorum = six.ceph("quorum_status");
    assert_eq!(quorum["quorum_names"], serde_json::json!(["S1", "S2", "S3"]), "{quorum}");
    six.cephdock(&["plan", "--check"]).exits(0);
}

/// Hosts given by their addresses are found in the network that they are in.
fn looked_at_by_init(six: &Six, known: &Path) {
    let path = six.inventory.with_file_name("made.yaml");
    drop(fs::remove_file(&path));
    let key = fs::read_to_string(&six.inventory).expect("the inventory");
    let key = key.lines().find_map(|l| l.trim().strip_prefix("identity_file: ")).expect("a key");
    let scan = ["init", "--scan", "fd00:32:3::21", "ops@[fd00:32:3::22]:22", "cellar"];
    let how = ["--ssh-key", key, "--known-hosts", known.to_str().expect("text"), "--file", "2GiB"];
    let said = six.cephdock_on(&path, &[&scan[..], &how].concat());
    said.exits(0).says(&["3 nodes in fd00:32:3::/64"]);
    let text = fs::read_to_string(&path).expect("the inventory that was made");
    for part in ["address: 'fd00:32:3::22'", "user: ops", "host: cellar"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
