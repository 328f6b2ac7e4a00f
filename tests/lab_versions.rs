//! Releases of Ceph other than the lab's own, from images with and without an entrypoint, on real nodes.

mod lab_support;

use std::path::PathBuf;

use lab_support::own::Own;
use serde_json::Value;

/// An image may have to be built first.
const IMAGE_SECONDS: u64 = 1200;

/// A cluster of `nodes`, made by `up` from nothing with the image of this release.
struct Cluster {
    inventory: PathBuf,
    lab: Own,
}

impl Cluster {
    fn up(release: &str, kinds: &[(&str, &str)], nodes: &str) -> Self {
        // sparse
        let lab = Own::without_nodes("labver", &[("LAB_OSD_SIZE", "101G")]);
        lab.lab(IMAGE_SECONDS, &["image", release]).ok();
        let at = |n: usize| format!("10.32.3.{}", 21 + n);
        let specs: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(n, (name, kind))| format!("{name}/{kind}={}", at(n)))
            .collect();
        lab.more(&["--bare"], &specs.iter().map(String::as_str).collect::<Vec<_>>());
        // nspawn nodes have this machine's disk, which may be fuller than a mon likes
        let text = format!(
            "  public_network: 10.32.3.0/24\n  image: registry.lab:5000/ceph/ceph:v{release}\n  \
             config: {{mon: {{mon_data_avail_warn: 1, mon_data_avail_crit: 1}}}}\nclient: {{packages: off}}\nvolumes: {{driver: none}}"
        );
        let inventory = lab.inventory(&format!("v{release}.yaml"), &text, nodes);
        let cluster = Self { inventory, lab };
        cluster.cephdock(&["up"]);
        cluster
    }

    fn cephdock(&self, args: &[&str]) -> String {
        self.lab.cephdock(&self.inventory, args).ok().out
    }

    fn sh(&self, node: &str, command: &str) -> String {
        self.lab.sh(node, command)
    }

    /// There is nothing left to do, all is healthy, and every one of the `daemons` runs this release.
    fn is_whole(&self, release: &str, daemons: usize) {
        self.cephdock(&["plan", "--check"]);
        let text = self.cephdock(&["status", "--json"]);
        let status: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(status["health"], "HEALTH_OK", "{text}");
        let nodes = status["nodes"].as_array().expect("nodes");
        let versions: Vec<&str> = nodes
            .iter()
            .flat_map(|n| n["daemons"].as_array().expect("daemons"))
            .filter_map(|d| d["version"].as_str())
            .collect();
        assert_eq!(versions.len(), daemons, "{text}");
        let prefix = format!("{release}.");
        assert!(versions.iter().all(|v| v.starts_with(&prefix)), "{versions:?}");
    }
}

const THREE: &str = "  - {name: V1, address: 10.32.3.21, roles: [mon, mgr, osd], osds: [{file: 3GiB}]}\n  \
     - {name: V2, address: 10.32.3.22, roles: [mon, mgr, osd], osds: [{file: 3GiB}]}\n  \
     - {name: V3, address: 10.32.3.23, roles: [mon, osd], osds: [{file: 3GiB}]}\n";
const NSPAWN: [(&str, &str); 3] = [("V1", "nspawn"), ("V2", "nspawn"), ("V3", "nspawn")];

/// The image of this release begins with `/bin/false` as `nobody`.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn ceph_16_from_an_image_with_an_entrypoint_and_a_user() {
    let cluster = Cluster::up("16", &NSPAWN, THREE);
    let image = "docker image inspect -f '{{.Config.Entrypoint}} {{.Config.User}}' registry.lab:5000/ceph/ceph:v16";
    assert_eq!(cluster.sh("V1", image).trim(), "[/bin/false] nobody");
    cluster.is_whole("16", 8);
    for (node, _) in NSPAWN {
        cluster.sh(node, "docker restart -t 30 $(docker ps -q)");
    }
    cluster.cephdock(&["up"]);
    cluster.is_whole("16", 8);
}

/// This release lets no daemon in that has a key of the old type, and its BlueStore labels lack what older ones have.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn ceph_20_with_keys_of_the_new_type() {
    let cluster = Cluster::up("20", &NSPAWN, THREE);
    cluster.is_whole("20", 8);
    let auth = cluster.sh("V1", "docker exec mon ceph auth ls -f json");
    let auth: Value = serde_json::from_str(&auth).expect("JSON");
    for entity in auth["auth_dump"].as_array().expect("entities") {
        let name = entity["entity"].as_str().expect("a name");
        let key = entity["key"].as_str().expect("a key");
        if name.starts_with("osd.") || name.starts_with("mgr.") {
            assert!(key.starts_with("Ag"), "{name} has a key of an old type");
        }
    }
    let detail = cluster.sh("V1", "docker exec mon ceph health detail");
    assert!(!detail.contains("AUTH_INSECURE_SERVICE"), "{detail}");
    for (node, _) in NSPAWN {
        cluster.sh(node, "docker restart -t 30 $(docker ps -q)");
    }
    cluster.cephdock(&["up"]);
    cluster.is_whole("20", 8);
}

/// A real disk, with a lone node: one copy of everything. With its container and data directory gone, the OSD is
/// recognised by its label. Since Ceph 19 there are copies of that, 1, 10 and 100 GiB behind it: `reset` leaves none.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn ceph_20_on_a_real_disk_of_one_node() {
    let node = "  - {name: V1, address: 10.32.3.21, roles: [mon, mgr, osd], osds: [{device: /dev/ubdb}]}\n";
    let cluster = Cluster::up("20", &[("V1", "uml")], node);
    cluster.is_whole("20", 3);
    cluster.sh("V1", "docker rm -f osd-0 && rm -rf /var/lib/ceph/osd/ceph-0");
    let plan = cluster.cephdock(&["plan"]);
    assert!(plan.contains("carries its data"), "{plan}");
    cluster.cephdock(&["up"]);
    cluster.is_whole("20", 3);

    let labels = "for gib in 0 1 10 100; do dd if=/dev/ubdb bs=4096 count=1 skip=$((gib * 262144)) status=none | tr -d '\\0' | head -c 22; echo; done";
    assert_eq!(cluster.sh("V1", labels), "bluestore block device\n".repeat(4));
    let fsid = cluster.sh("V1", "sed -n 's/^fsid = //p' /etc/ceph/ceph.conf");
    cluster.cephdock(&["reset", "--yes", "--fsid", fsid.trim()]);
    assert_eq!(cluster.sh("V1", labels), "\n".repeat(4));
    let read = "docker run --rm --privileged --entrypoint /bin/sh registry.lab:5000/ceph/ceph:v20 \
         -c 'ceph-bluestore-tool show-label --dev /dev/ubdb 2>&1; blkid -p /dev/ubdb; echo $?'";
    let read = cluster.sh("V1", read);
    // its log's own words about it come through a thread that its end does not always wait for
    assert!(
        read.contains("unable to read label for /dev/ubdb") && !read.contains("osd_uuid"),
        "{read}"
    );
    assert!(read.ends_with("\n2\n"), "{read}");
}
