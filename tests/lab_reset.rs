//! Nodes and a cluster that are taken away, on three real nodes with a volume in use.

mod lab_support;

use std::path::PathBuf;

use lab_support::Run;
use lab_support::own::Own;
use serde_json::Value;

const NODES: [&str; 3] = ["R1", "R2", "R3"];
const SPECS: [&str; 3] = ["R1=10.32.3.41", "R2=10.32.3.42", "R3=10.32.3.43"];

struct Three {
    lab: Own,
    inventory: PathBuf,
}

impl Three {
    fn booted() -> Self {
        let lab = Own::boot("labreset", &SPECS);
        let standard = lab.run(&["inventory"]).ok().out;
        let (head, _) = standard.split_once("nodes:").expect("an inventory has nodes");
        let head = head.replace("size: 3", "size: 2");
        let text = format!(
            "{head}client: {{packages: off}}\nvolumes: {{driver: none}}\nnodes:\n  \
             - {{name: R1, address: 10.32.3.41, roles: [mon, mgr, osd], osds: [{{device: /dev/ubdb}}]}}\n  \
             - {{name: R2, address: 10.32.3.42, roles: [mon, mgr, osd], osds: [{{device: /dev/ubdb}}]}}\n  \
             - {{name: R3, address: 10.32.3.43, roles: [mon, osd], osds: [{{device: /dev/ubdb}}]}}\n"
        );
        let inventory = lab.write("three.yaml", &text);
        Self { lab, inventory }
    }

    /// What a shell command on a node says; it has to succeed.
    fn sh(&self, node: &str, command: &str) -> String {
        self.lab.ssh(node, command).ok().all().trim().to_owned()
    }

    fn cephdock(&self, args: &[&str]) -> Run {
        self.lab.cephdock(&self.inventory, args)
    }

    /// SIGKILL as soon as a step is done.
    fn killed_at_its_first_step(&self, args: &[&str]) {
        let mut running = self.lab.start_cephdock(&self.inventory, args);
        running.wait_for("a step that is done", 300, |event| event["event"] == "step-finished");
        running.kill();
    }

    fn status(&self) -> Value {
        let out = self.cephdock(&["status", "--json"]);
        let line = out.out.lines().find(|l| l.starts_with('{')).expect("a status");
        serde_json::from_str(line).expect("JSON")
    }

    fn fsid(&self) -> String {
        self.status()["fsid"].as_str().expect("a cluster").to_owned()
    }

    /// Nothing of Ceph is on the node but what its user has put there, and its disk is blank.
    fn assert_bare(&self, node: &str, left: &str) {
        assert_eq!(self.sh(node, "docker ps -aq; docker volume ls -q"), "", "{node}");
        assert_eq!(
            self.sh(node, "find /etc/ceph /var/lib/ceph -type f 2>/dev/null; true"),
            left,
            "{node}"
        );
        assert_eq!(self.sh(node, "ls -d /var/lib/ceph 2>/dev/null; true"), "", "{node}");
        let blank = "head -c 10M /dev/ubdb | tr -d '\\0' | wc -c; blkid -p /dev/ubdb >/dev/null 2>&1; echo $?; lsblk -nro TYPE /dev/ubdb";
        assert_eq!(self.sh(node, blank), "0\n2\ndisk", "{node}");
    }
}

/// The whole story, for the nodes are slow to boot: a volume in use, a node that leaves and comes back, a cluster that
/// goes with one node off, and the next one.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn with_a_volume_in_use_a_node_and_then_the_cluster_go() {
    let three = Three::booted();
    three.cephdock(&["up"]).exits(0);
    let first = three.fsid();

    // nobody can be asked, and a plain yes is not enough
    three.cephdock(&["reset"]).exits(2).says(&["--yes --fsid"]);
    three.cephdock(&["reset", "--yes"]).exits(2).says(&["--yes --fsid"]);
    three
        .cephdock(&["reset", "--node", "R9", "--yes", "--fsid", &first])
        .exits(2)
        .says(&["R9", "R1, R2, R3"]);
    let another = "11111111-1111-4111-8111-111111111111";
    three.cephdock(&["reset", "--yes", "--fsid", another]).exits(3).says(&[&first]);

    // a volume in use on R1
    three.sh("R1", "docker exec mon rbd create vol --size 64M --image-feature layering");
    three.sh(
        "R1",
        "modprobe rbd && key=$(docker exec mon ceph auth get-key client.admin) && \
         echo \"10.32.3.41:6789,10.32.3.42:6789,10.32.3.43:6789 name=admin,secret=$key rbd vol\" >/sys/bus/rbd/add_single_major && \
         mkfs.ext4 -q /dev/rbd0 && mount /dev/rbd0 /mnt && head -c 8M /dev/urandom >/mnt/file && sync",
    );
    let sum = three.sh("R1", "sha256sum /mnt/file");
    let all = ["reset", "--yes", "--fsid", &first];
    three.cephdock(&all).exits(3).says(&["R1", "rbd/vol", "/dev/rbd0", "/mnt"]);
    assert_eq!(three.status()["health"], "HEALTH_OK");

    // R3 leaves meanwhile
    three.cephdock(&["reset", "--node", "R3", "--dry-run"]).exits(0).says(&[
        "R3",
        "/dev/ubdb",
        "osd.2",
    ]);
    three
        .cephdock(&["reset", "--node", "R3", "--yes", "--fsid", &first])
        .exits(0)
        .says(&["R3 is out of the cluster", "out of the inventory"]);
    three.assert_bare("R3", "");
    let read = "umount /mnt && echo 3 >/proc/sys/vm/drop_caches && mount /dev/rbd0 /mnt && sha256sum /mnt/file";
    assert_eq!(three.sh("R1", read), sum);
    let dump = three.sh("R1", "docker exec mon ceph status -f json");
    let ceph: Value =
        serde_json::from_str(dump.lines().find(|l| l.starts_with('{')).expect("JSON"))
            .expect("JSON");
    assert_eq!(ceph["monmap"]["num_mons"], 2, "{ceph}");
    assert_eq!(ceph["osdmap"]["num_osds"], 2, "{ceph}");
    for node in ["R1", "R2"] {
        let mons = three.sh(node, "sed -n 's/^mon_host = //p' /etc/ceph/ceph.conf");
        assert_eq!(mons.trim(), "10.32.3.41,10.32.3.42", "on {node}");
    }
    let auth =
        three.sh("R1", "docker exec mon ceph auth ls 2>/dev/null; docker exec mon ceph osd tree");
    // but for keys, which may hold any letters
    let named = auth.lines().filter(|line| !line.trim_start().starts_with("key:"));
    assert!(!named.clone().any(|l| l.contains("osd.2") || l.contains("R3")), "{auth}");
    three
        .cephdock(&["reset", "--node", "R3", "--yes", "--fsid", &first])
        .exits(0)
        .says(&["Nothing to do"]);

    // its entry is still in the inventory: it joins anew
    three.cephdock(&["up"]).exits(0);
    assert_eq!(three.fsid(), first);
    assert_eq!(three.status()["osds"]["up"], 3);

    // the cluster goes, while R2 is off; a file of R2's user stays
    three.sh("R1", "umount /mnt && echo 0 >/sys/bus/rbd/remove_single_major");
    three.sh("R2", "echo mine >/etc/ceph/rbdmap && sync");
    // as Ceph 19 and later keep it: a copy of the label, 1 GiB behind it
    three.sh(
        "R1",
        "dd if=/dev/ubdb of=/dev/ubdb bs=4096 count=1 seek=262144 conv=notrunc,fsync status=none",
    );
    three.lab.run(&["cut", "R2"]).ok();
    three.cephdock(&all).exits(1).says(&["R2"]);
    for node in ["R1", "R3"] {
        three.assert_bare(node, "");
    }
    let copy = "dd if=/dev/ubdb bs=4096 count=1 skip=262144 status=none | tr -d '\\0' | wc -c";
    assert_eq!(three.sh("R1", copy), "0");
    three.lab.run(&["start", "R2"]).ok();
    three.cephdock(&all).exits(0).says(&["Nothing of the cluster is left"]);
    three.assert_bare("R2", "/etc/ceph/rbdmap");
    assert_eq!(three.sh("R2", "cat /etc/ceph/rbdmap"), "mine");
    three.cephdock(&all).exits(0).says(&["Nothing to do"]);

    // and the next one
    three.cephdock(&["up"]).exits(0).says(&["HEALTH_OK"]);
    let second = three.fsid();
    assert_ne!(second, first);
    three.cephdock(&all).exits(3).says(&[&second]);
    for node in NODES {
        assert!(three.sh(node, "cat /etc/ceph/ceph.conf").contains(&second));
    }

    // its data can be kept
    let mut keep = ["reset", "--keep-data", "--yes", "--fsid", &second];
    three.cephdock(&keep).exits(0).says(&["data is kept"]);
    for node in NODES {
        let gone = "docker ps -aq; ls /etc/ceph/ceph.conf /etc/ceph/ceph.client.admin.keyring 2>/dev/null; true";
        assert_eq!(three.sh(node, gone), "");
        assert_eq!(three.sh(node, "head -c 22 /dev/ubdb"), "bluestore block device");
    }
    three.cephdock(&["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(three.fsid(), second);

    // killed in the middle
    keep[1] = "--json";
    three.killed_at_its_first_step(&keep);
    three.cephdock(&keep).exits(0);
    for node in NODES {
        three.assert_bare(node, if node == "R2" { "/etc/ceph/rbdmap" } else { "" });
    }
}
