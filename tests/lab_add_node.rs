//! Nodes that join a cluster that runs, and two cephdocks that want the same cluster.

mod lab_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use lab_support::own::Own;

const CLUSTER: &str = "  # the lab's
  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {global: {mgr_initial_modules: iostat nfs}, mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}";
const TWO: &str = "  # the first two
  - {name: N1, address: 10.32.3.61, roles: [mon, mgr, osd], osds: [{file: 2GiB}]}   # in the cellar
  - name: N2
    address: 10.32.3.62
    roles: [mon, osd]
    osds:
      - file: 2GiB   # small
# what clients get
client: {packages: off}
volumes: {driver: none}
";

/// What runs on a node since when, and what its files are.
fn seen(lab: &Own, node: &str) -> BTreeSet<String> {
    let command = "docker ps -aq | xargs -r docker inspect -f '{{.Name}} {{.State.StartedAt}}'; \
         sha256sum /etc/ceph/* $(find /var/lib/ceph -name keyring -o -name identity.json)";
    lab.sh(node, command).lines().map(str::to_owned).collect()
}

fn changed(before: &BTreeSet<String>, after: &BTreeSet<String>) -> BTreeSet<String> {
    let name =
        |line: &String| line.split_whitespace().find(|w| w.starts_with('/')).map(str::to_owned);
    before.symmetric_difference(after).filter_map(name).collect()
}

fn mon_hosts(lab: &Own, nodes: &[&str]) -> Vec<String> {
    let host = |node: &&str| {
        lab.sh(node, "sed -n 's/^mon_host = //p' /etc/ceph/ceph.conf").trim().to_owned()
    };
    nodes.iter().map(host).collect()
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn nodes_join_and_two_operators_take_turns() {
    let lab = Own::boot_bare(
        "labadd",
        &[
            "N1/nspawn=10.32.3.61",
            "N2/nspawn=10.32.3.62",
            "N3/nspawn=10.32.3.63",
            "N4/nspawn=10.32.3.64",
            "N5/nspawn=10.32.3.65",
        ],
    );
    let inventory = lab.inventory("add.yaml", CLUSTER, TWO);
    lab.cephdock(&inventory, &["add-node", "N2"]).exits(1).says(&["no cluster yet", "cephdock up"]);
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    mistakes_leave_the_inventory_alone(&lab, &inventory);
    a_mon_and_osd_joins(&lab, &inventory);
    a_pure_client_joins(&lab, &inventory);
    a_mgr_joins(&lab, &inventory);
    while_another_is_at_work(&lab, &inventory);
    lab.cephdock(&inventory, &["plan", "--check"]).exits(0);
    an_archive_for_whoever_helps(&lab, &inventory);
}

/// It holds what it says, and of the cluster's secrets none: nor do the nodes' journals, containers and process lists.
fn an_archive_for_whoever_helps(lab: &Own, inventory: &Path) {
    let archive = inventory.with_file_name("support.tar.gz");
    drop(fs::remove_file(&archive));
    let path = archive.to_str().expect("text");
    lab.cephdock(inventory, &["support", "-o", path]).exits(0).says(&["Keys and passwords"]);
    lab.cephdock(inventory, &["support", "-o", path]).exits(1).says(&["cannot be made"]);
    let unpacked = Command::new("tar").args(["-xzOf", path]).output().expect("tar runs");
    let text = String::from_utf8_lossy(&unpacked.stdout);
    for part in ["in the cellar", "HEALTH_OK", "cluster.json", "up --json"] {
        let names = Command::new("tar").args(["-tzf", path]).output().expect("tar runs").stdout;
        let there = text.contains(part) || String::from_utf8_lossy(&names).contains(part);
        assert!(there, "{part} is not in the archive");
    }
    let keys = lab.sh("N1", "docker exec mon ceph auth ls 2>/dev/null | sed -n 's/^.*key: //p'");
    let seed = lab.sh(
        "N1",
        r#"sed -n 's/.*"seed" *: *"\(.*\)".*/\1/p' /var/lib/ceph/cephdock/identity.json"#,
    );
    let secrets: Vec<&str> = keys.lines().chain(seed.lines()).collect();
    assert!(secrets.len() > 7 && secrets.iter().all(|s| s.len() > 30), "{} secrets", secrets.len());
    assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret is in the archive");
    for node in ["N1", "N2", "N3", "N4"] {
        let shown = "journalctl --no-pager -q; ps axeww -o args; docker ps -aq | xargs -r docker inspect; \
             for c in $(docker ps -aq); do docker logs $c 2>&1; done";
        let shown = lab.sh(node, shown);
        let found = secrets.iter().any(|secret| shown.contains(secret));
        assert!(!found, "a secret can be seen on {node}");
    }
}

fn mistakes_leave_the_inventory_alone(lab: &Own, inventory: &Path) {
    let before = fs::read(inventory).expect("the inventory");
    lab.cephdock(inventory, &["add-node", "N9"]).exits(2).says(&["N9", "N1, N2", "--address"]);
    let taken = ["add-node", "N9", "--address", "10.32.3.62"];
    lab.cephdock(inventory, &taken).exits(2).says(&["10.32.3.62", "already taken"]);
    let other = ["add-node", "N2", "--address", "10.32.3.62", "--role", "mgr"];
    lab.cephdock(inventory, &other).exits(2).says(&["N2", "already"]);
    let dry = [
        "add-node",
        "N3",
        "--address",
        "10.32.3.63",
        "--role",
        "osd",
        "--file",
        "2GiB",
        "--dry-run",
    ];
    lab.cephdock(inventory, &dry).exits(0).says(&["N3", "osd.2"]);
    assert_eq!(fs::read(inventory).expect("the inventory"), before);
}

fn a_mon_and_osd_joins(lab: &Own, inventory: &Path) {
    let text = fs::read_to_string(inventory).expect("the inventory");
    let before = [seen(lab, "N1"), seen(lab, "N2")];
    let args = ["add-node", "N3", "--address", "10.32.3.63", "--role", "mon,osd", "--file", "2GiB"];
    lab.cephdock(inventory, &args).exits(0).says(&["HEALTH_OK"]);
    let entry = "  - {name: N3, address: 10.32.3.63, roles: [mon, osd], osds: [{file: 2GiB}]}\n";
    let expected = text.replace("# small\n", &format!("# small\n{entry}"));
    assert_eq!(fs::read_to_string(inventory).expect("the inventory"), expected);
    for (node, before) in ["N1", "N2"].iter().zip(&before) {
        let conf = BTreeSet::from(["/etc/ceph/ceph.conf".to_owned()]);
        assert_eq!(changed(before, &seen(lab, node)), conf, "on {node}");
    }
    let all = "10.32.3.61,10.32.3.62,10.32.3.63";
    assert_eq!(mon_hosts(lab, &["N1", "N2", "N3"]), [all; 3]);
    let quorum = lab.sh("N1", "docker exec mon ceph quorum_status -f json");
    assert!(quorum.contains(r#""quorum_names":["N1","N2","N3"]"#), "{quorum}");
    lab.cephdock(inventory, &args).exits(0).says(&["othing to do"]);
}

fn a_pure_client_joins(lab: &Own, inventory: &Path) {
    let before = [seen(lab, "N1"), seen(lab, "N2"), seen(lab, "N3")];
    lab.cephdock(inventory, &["add-node", "N4", "--address", "10.32.3.64"]).exits(0);
    assert_eq!([seen(lab, "N1"), seen(lab, "N2"), seen(lab, "N3")], before);
    let files = lab.sh("N4", "ls /etc/ceph; docker ps -aq");
    assert_eq!(files, "ceph.client.admin.keyring\nceph.conf\n");
}

/// It takes over when the only other one is gone, which a key or a port that is missing would keep it from.
fn a_mgr_joins(lab: &Own, inventory: &Path) {
    let others = ["N1", "N2", "N3", "N4"];
    let before = others.map(|node| seen(lab, node));
    let args = ["add-node", "N5", "--address", "10.32.3.65", "--role", "mgr"];
    lab.cephdock(inventory, &args).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(others.map(|node| seen(lab, node)), before);
    let made = lab.sh(
        "N5",
        "docker ps -a --format '{{.Names}}'; find /etc/ceph /var/lib/ceph -type f | sort",
    );
    let expected = [
        "mgr",
        "/etc/ceph/ceph.client.admin.keyring",
        "/etc/ceph/ceph.conf",
        "/var/lib/ceph/mgr/ceph-N5/keyring",
    ];
    assert_eq!(made.lines().collect::<Vec<_>>(), expected);
    lab.cephdock(inventory, &args).exits(0).says(&["othing to do"]);
    let active = "docker exec mon ceph mgr stat -f json | grep -o '\"active_name\":\"[^\"]*\"'";
    assert!(lab.sh("N1", active).contains("N1"));
    lab.sh("N1", "docker exec mon ceph mgr fail N1");
    let taken_over = format!("for _ in $(seq 60); do {active} | grep N5 && break; sleep 0.5; done");
    assert!(lab.sh("N1", &taken_over).contains("N5"));
}

fn while_another_is_at_work(lab: &Own, inventory: &Path) {
    lab.sh("N2", "docker rm -f osd-1");
    let mut up = lab.start_cephdock(inventory, &["up", "--json"]);
    up.wait_for("a step", 60, |e| e["event"] == "step-started");
    let refused = ["another cephdock is at work", "cephdock up", "since 20", "process"];
    lab.cephdock(inventory, &["add-node", "N4"]).exits(1).says(&refused);
    lab.cephdock(inventory, &["status"]); // looking is free; how it is at this moment does not matter
    up.kill();
    lab.cephdock(inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
}
