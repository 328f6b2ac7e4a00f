//! Nodes and a cluster that are taken away, on three real nodes with a volume in use.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
const NS: &str = "labreset";
/// What no step of the test takes.
const SECONDS: &str = "400";
const NODES: [&str; 3] = ["R1", "R2", "R3"];

/// A command that has ended.
struct Ended {
    what: String,
    code: i32,
    said: String,
}

impl Ended {
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {}:\n{}", self.what, self.said);
        self
    }

    fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.said.contains(part),
                "{} does not say {part:?}:\n{}",
                self.what,
                self.said
            );
        }
        self
    }
}

fn lab(args: &[&str]) -> Ended {
    let out = Command::new("timeout")
        .args(["-k", "5", SECONDS, LAB])
        .args(args)
        .env("LAB_NS", NS)
        .env("SSH_AUTH_SOCK", "")
        .env_remove("LAB_NET")
        .output()
        .expect("timeout starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = out.status.code().unwrap_or(-1);
    Ended { what: args.join(" "), code, said: text(&out.stdout) + &text(&out.stderr) }
}

/// What a shell command on a node says; it has to succeed.
fn sh(node: &str, command: &str) -> String {
    lab(&["ssh", node, command]).exits(0).said.trim().to_owned()
}

fn cephdock(inventory: &Path, args: &[&str]) -> Ended {
    let path = inventory.to_str().expect("text");
    let before = ["run", env!("CARGO_BIN_EXE_cephdock"), "-i", path];
    let all: Vec<&str> = before.iter().chain(args).copied().collect();
    lab(&all)
}

/// SIGKILL as soon as a step is done.
fn killed_at_its_first_step(inventory: &Path, args: &[&str]) {
    let mut child = Command::new(LAB)
        .args(["run", env!("CARGO_BIN_EXE_cephdock"), "-i", inventory.to_str().expect("text")])
        .args(args)
        .envs([("LAB_NS", NS), ("SSH_AUTH_SOCK", "")])
        .env_remove("LAB_NET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let done = lines.any(|line| line.is_ok_and(|line| line.contains("step-finished")));
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), None, "it ended by itself");
    assert!(done, "no step was done");
}

/// Takes the lab down when the test ends, however it ends.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        lab(&["down"]);
    }
}

fn booted() -> (PathBuf, Down) {
    lab(&["down"]);
    let down = Down;
    lab(&["up", "R1=10.32.3.41", "R2=10.32.3.42", "R3=10.32.3.43"]).exits(0);
    let standard = lab(&["inventory"]).exits(0).said;
    let (head, _) = standard.split_once("nodes:").expect("an inventory has nodes");
    let head = head.replace("size: 3", "size: 2");
    let text = format!(
        "{head}client: {{packages: off}}\nvolumes: {{driver: none}}\nnodes:\n  \
         - {{name: R1, address: 10.32.3.41, roles: [mon, mgr, osd], osds: [{{device: /dev/ubdb}}]}}\n  \
         - {{name: R2, address: 10.32.3.42, roles: [mon, mgr, osd], osds: [{{device: /dev/ubdb}}]}}\n  \
         - {{name: R3, address: 10.32.3.43, roles: [mon, osd], osds: [{{device: /dev/ubdb}}]}}\n"
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(NS);
    fs::create_dir_all(&folder).expect("a folder");
    let inventory = folder.join("three.yaml");
    fs::write(&inventory, text).expect("an inventory");
    (inventory, down)
}

fn status(inventory: &Path) -> Value {
    let out = cephdock(inventory, &["status", "--json"]);
    let line = out.said.lines().find(|l| l.starts_with('{')).expect("a status");
    serde_json::from_str(line).expect("JSON")
}

fn fsid(inventory: &Path) -> String {
    status(inventory)["fsid"].as_str().expect("a cluster").to_owned()
}

/// Nothing of Ceph is on the node but what its user has put there, and its disk is blank.
fn assert_bare(node: &str, left: &str) {
    assert_eq!(sh(node, "docker ps -aq; docker volume ls -q"), "", "{node}");
    assert_eq!(sh(node, "find /etc/ceph /var/lib/ceph -type f 2>/dev/null; true"), left, "{node}");
    assert_eq!(sh(node, "ls -d /var/lib/ceph 2>/dev/null; true"), "", "{node}");
    let blank = "head -c 10M /dev/ubdb | tr -d '\\0' | wc -c; blkid -p /dev/ubdb >/dev/null 2>&1; echo $?; lsblk -nro TYPE /dev/ubdb";
    assert_eq!(sh(node, blank), "0\n2\ndisk", "{node}");
}

/// The whole story, for the nodes are slow to boot: a volume in use, a node that leaves and comes back, a cluster that
/// goes with one node off, and the next one.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn with_a_volume_in_use_a_node_and_then_the_cluster_go() {
    let (inventory, _down) = booted();
    cephdock(&inventory, &["up"]).exits(0);
    let first = fsid(&inventory);

    // nobody can be asked, and a plain yes is not enough
    cephdock(&inventory, &["reset"]).exits(2).says(&["--yes --fsid"]);
    cephdock(&inventory, &["reset", "--yes"]).exits(2).says(&["--yes --fsid"]);
    cephdock(&inventory, &["reset", "--node", "R9", "--yes", "--fsid", &first])
        .exits(2)
        .says(&["R9", "R1, R2, R3"]);
    let another = "11111111-1111-4111-8111-111111111111";
    cephdock(&inventory, &["reset", "--yes", "--fsid", another]).exits(3).says(&[&first]);

    // a volume in use on R1
    sh("R1", "docker exec mon rbd create vol --size 64M --image-feature layering");
    sh(
        "R1",
        "modprobe rbd && key=$(docker exec mon ceph auth get-key client.admin) && \
         echo \"10.32.3.41:6789,10.32.3.42:6789,10.32.3.43:6789 name=admin,secret=$key rbd vol\" >/sys/bus/rbd/add_single_major && \
         mkfs.ext4 -q /dev/rbd0 && mount /dev/rbd0 /mnt && head -c 8M /dev/urandom >/mnt/file && sync",
    );
    let sum = sh("R1", "sha256sum /mnt/file");
    let all = ["reset", "--yes", "--fsid", &first];
    cephdock(&inventory, &all).exits(3).says(&["R1", "rbd/vol", "/dev/rbd0", "/mnt"]);
    assert_eq!(status(&inventory)["health"], "HEALTH_OK");

    // R3 leaves meanwhile
    cephdock(&inventory, &["reset", "--node", "R3", "--dry-run"]).exits(0).says(&[
        "R3",
        "/dev/ubdb",
        "osd.2",
    ]);
    cephdock(&inventory, &["reset", "--node", "R3", "--yes", "--fsid", &first])
        .exits(0)
        .says(&["R3 is out of the cluster", "out of the inventory"]);
    assert_bare("R3", "");
    let read = "umount /mnt && echo 3 >/proc/sys/vm/drop_caches && mount /dev/rbd0 /mnt && sha256sum /mnt/file";
    assert_eq!(sh("R1", read), sum);
    let dump = sh("R1", "docker exec mon ceph status -f json");
    let ceph: Value =
        serde_json::from_str(dump.lines().find(|l| l.starts_with('{')).expect("JSON"))
            .expect("JSON");
    assert_eq!(ceph["monmap"]["num_mons"], 2, "{ceph}");
    assert_eq!(ceph["osdmap"]["num_osds"], 2, "{ceph}");
    for node in ["R1", "R2"] {
        let mons = sh(node, "sed -n 's/^mon_host = //p' /etc/ceph/ceph.conf");
        assert_eq!(mons.trim(), "10.32.3.41,10.32.3.42", "on {node}");
    }
    let auth = sh("R1", "docker exec mon ceph auth ls 2>/dev/null; docker exec mon ceph osd tree");
    // but for keys, which may hold any letters
    let named = auth.lines().filter(|line| !line.trim_start().starts_with("key:"));
    assert!(!named.clone().any(|l| l.contains("osd.2") || l.contains("R3")), "{auth}");
    cephdock(&inventory, &["reset", "--node", "R3", "--yes", "--fsid", &first])
        .exits(0)
        .says(&["Nothing to do"]);

    // its entry is still in the inventory: it joins anew
    cephdock(&inventory, &["up"]).exits(0);
    assert_eq!(fsid(&inventory), first);
    assert_eq!(status(&inventory)["osds"]["up"], 3);

    // the cluster goes, while R2 is off; a file of R2's user stays
    sh("R1", "umount /mnt && echo 0 >/sys/bus/rbd/remove_single_major");
    sh("R2", "echo mine >/etc/ceph/rbdmap && sync");
    // as Ceph 19 and later keep it: a copy of the label, 1 GiB behind it
    sh(
        "R1",
        "dd if=/dev/ubdb of=/dev/ubdb bs=4096 count=1 seek=262144 conv=notrunc,fsync status=none",
    );
    lab(&["cut", "R2"]).exits(0);
    cephdock(&inventory, &all).exits(1).says(&["R2"]);
    for node in ["R1", "R3"] {
        assert_bare(node, "");
    }
    let copy = "dd if=/dev/ubdb bs=4096 count=1 skip=262144 status=none | tr -d '\\0' | wc -c";
    assert_eq!(sh("R1", copy), "0");
    lab(&["start", "R2"]).exits(0);
    cephdock(&inventory, &all).exits(0).says(&["Nothing of the cluster is left"]);
    assert_bare("R2", "/etc/ceph/rbdmap");
    assert_eq!(sh("R2", "cat /etc/ceph/rbdmap"), "mine");
    cephdock(&inventory, &all).exits(0).says(&["Nothing to do"]);

    // and the next one
    cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    let second = fsid(&inventory);
    assert_ne!(second, first);
    cephdock(&inventory, &all).exits(3).says(&[&second]);
    for node in NODES {
        assert!(sh(node, "cat /etc/ceph/ceph.conf").contains(&second));
    }

    // its data can be kept
    let mut keep = ["reset", "--keep-data", "--yes", "--fsid", &second];
    cephdock(&inventory, &keep).exits(0).says(&["data is kept"]);
    for node in NODES {
        let gone = "docker ps -aq; ls /etc/ceph/ceph.conf /etc/ceph/ceph.client.admin.keyring 2>/dev/null; true";
        assert_eq!(sh(node, gone), "");
        assert_eq!(sh(node, "head -c 22 /dev/ubdb"), "bluestore block device");
    }
    cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(fsid(&inventory), second);

    // killed in the middle
    keep[1] = "--json";
    killed_at_its_first_step(&inventory, &keep);
    cephdock(&inventory, &keep).exits(0);
    for node in NODES {
        assert_bare(node, if node == "R2" { "/etc/ceph/rbdmap" } else { "" });
    }
}
