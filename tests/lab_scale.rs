//! Two dozen nodes at once, most of them pure clients; also all of them behind one bastion.

mod lab_support;

use lab_support::own::Own;

const NODES: usize = 24;
const CLUSTER: &str = "  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {global: {mgr_initial_modules: iostat nfs}, mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}
client: {packages: off}
volumes: {driver: none}";

fn address(n: usize) -> String {
    format!("10.32.3.{}", 100 + n)
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn two_dozen_nodes_and_no_sshd_refuses() {
    let specs: Vec<String> = (1..=NODES).map(|n| format!("S{n}/nspawn={}", address(n))).collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    let lab = Own::boot_bare("labscale", &specs);
    let node = |n: usize| {
        let daemons =
            if n <= 3 { "roles: [mon, mgr, osd], osds: [{file: 2GiB}]" } else { "roles: []" };
        format!("  - {{name: S{n}, address: {}, {daemons}}}\n", address(n))
    };
    let nodes: String = (1..=NODES).map(node).collect();
    let inventory = lab.inventory("scale.yaml", CLUSTER, &nodes);
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(0).json();
    let seen = status["nodes"].as_array().expect("nodes");
    assert_eq!(seen.iter().filter(|n| n["reachable"] == true).count(), NODES, "{status}");
    lab.cephdock(&inventory, &["status"]).exits(0).says(&["S24"]);

    // the same through one of them: a bastion carries them all in one connection
    let text = std::fs::read_to_string(&inventory).expect("the inventory");
    let behind = text.replace("ssh:\n", &format!("ssh:\n  jump: root@{}\n", address(4)));
    assert_ne!(text, behind);
    let path = inventory.with_file_name("behind.yaml");
    std::fs::write(&path, behind).expect("an inventory");
    lab.cephdock(&path, &["up", "--json"]).exits(0);
    lab.cephdock(&path, &["status", "--json"]).exits(0);

    for n in 1..=NODES {
        let log = lab.sh(&format!("S{n}"), "journalctl -u ssh --no-pager");
        assert!(log.contains("Accepted publickey"), "S{n}: {log}");
        for refusal in ["drop connection", "beginning MaxStartups", "no more sessions"] {
            assert!(!log.contains(refusal), "S{n}: {log}");
        }
    }
}
