//! The volume driver over the kernel's own rbd: three nodes with mons and OSDs, and one that is a client alone.

mod lab_support;
#[path = "lab_volumes_kernel/more.rs"]
mod more;
#[path = "lab_volumes_kernel/power.rs"]
mod power;

use std::fs;
use std::path::Path;

use cephdock::volume::unit;
use lab_support::own::Own;
use lab_support::volumes::{IMAGE, program, released};
use lab_support::{Run, until};

/// The program as it would be on a node that has another C library.
fn without_its_loader(program: &Path) -> Vec<u8> {
    let mut bytes = fs::read(program).expect("the program");
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = bytes.windows(loader.len()).position(|w| w == loader).expect("it has a loader");
    bytes[at + loader.len() - 1] = b'9';
    bytes
}

const CLUSTER: &str = "  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {global: {mgr_initial_modules: iostat nfs}, mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}";
const ALL: [&str; 4] = ["W1", "W2", "W3", "W4"];
/// Of these, those with mons and OSDs.
const MONS: [&str; 3] = ["W1", "W2", "W3"];
const NODES: &str =
    "  - {name: W1, address: 10.32.3.81, roles: [mon, mgr, osd], osds: [{device: /dev/ubdb}]}
  - {name: W2, address: 10.32.3.82, roles: [mon, mgr, osd], osds: [{device: /dev/ubdb}]}
  - {name: W3, address: 10.32.3.83, roles: [mon, osd], osds: [{device: /dev/ubdb}]}
  - {name: W4, address: 10.32.3.84, roles: [], ssh: {user: ops}}
";

fn docker_run(options: &str, what: &str) -> String {
    format!("docker run {options} --net=host -v data:/data --volume-driver cephdock t {what}")
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_volume_moves_between_nodes_with_the_kernels_own_rbd() {
    let lab = Own::boot(
        "labvolk",
        &["W1/uml=10.32.3.81", "W2/uml=10.32.3.82", "W3/uml=10.32.3.83", "W4/uml=10.32.3.84"],
    );
    let program = program();
    let broken = NODES.to_owned() + "volumes: {driver_binary: ./broken}\n";
    let broken = lab.inventory("broken.yaml", CLUSTER, &broken);
    fs::write(broken.with_file_name("broken"), without_its_loader(&program)).expect("a file");
    lab.cephdock_as(&program, &broken, &["up"]).exits(1).says(&[
        "broken does not run there",
        "not found",
        "`volumes.driver_binary`",
        "HEALTH_OK",
    ]);
    let left = lab.sh("W4", "find /usr/local/bin /etc/systemd -name '*cephdock*'");
    assert_eq!(left, "", "nothing was put in place or started");
    let inventory = lab.inventory("volumes.yaml", CLUSTER, NODES);
    let cephdock = |args: &[&str]| lab.cephdock_as(&program, &inventory, args);
    cephdock(&["up"]).exits(0);
    assert_eq!(cephdock(&["up", "--json"]).exits(0).summary()["steps"], 0);
    let status = cephdock(&["status", "--json"]).exits(0).json();
    for node in status["nodes"].as_array().expect("nodes") {
        assert_eq!(node["volume_driver"], "cephdock", "{node}");
    }
    let keyring = "stat -c '%a %U' /etc/ceph/ceph.client.cephdock.keyring; ceph --id cephdock auth ls 2>&1 | tail -n 1";
    let said = lab.sh("W4", keyring);
    assert!(said.starts_with("600 root\n") && said.contains("EACCES"), "{said}");
    let timeout = "docker exec osd-0 ceph daemon osd.0 config get osd_client_watch_timeout";
    assert!(lab.sh("W1", timeout).contains("\"12\""));
    std::thread::scope(|scope| {
        for node in ALL {
            scope.spawn(|| lab.sh(node, IMAGE));
        }
    });
    operators_commands(&lab, &cephdock);
    one_node_has_it_and_then_another(&lab, &cephdock);
    power::ceph_is_away_for_two_minutes(&lab);
    power::a_reboot_with_a_writer(&lab);
    power::another_node_takes_over(&lab, "W4", "W1"); // a client alone
    lab.sh("W4", "docker rm -f writer");
    power::another_node_takes_over(&lab, "W1", "W2"); // with a mon, an OSD and the active mgr
    reset_takes_the_driver_and_not_from_under_a_volume(&lab, &cephdock);
}

fn one_node_has_it_and_then_another(lab: &Own, cephdock: &dyn Fn(&[&str]) -> Run) {
    lab.sh("W1", "docker volume create -d cephdock -o size=256MiB data");
    let write = "sh -c 'echo can_you_see_me >/data/f; sync; exec sleep 1000'";
    lab.sh("W1", &docker_run("-d --name w1", write));
    let id = lab.sh("W1", "cat /sys/bus/rbd/devices/*/image_id");
    until("the owner to be noted", 30, || {
        let owner =
            format!("rados --id cephdock -p rbd getxattr cephdock.owner.{} owner", id.trim());
        let seen = lab.ssh("W1", &owner);
        if seen.out.contains(r#""node":"W1""#) { Ok(()) } else { Err(seen.all()) }
    });
    assert!(lab.sh("W1", "rbd --id cephdock image-meta list data").contains("formatted"));
    let features = lab.sh(
        "W1",
        "rbd --id cephdock info data; cat /etc/systemd/system/cephdock-volume-driver.service",
    );
    assert!(features.matches("exclusive-lock").count() == 2, "{features}");
    lab.ssh("W4", &docker_run("--rm", "ls"))
        .exits(125)
        .says(&["volume data is in use on node W1 since 20", "stop the containers"]);
    lab.ssh("W4", "docker volume rm data").exits(1).says(&["in use on node W1 since 20"]);
    another_program_is_replaced_under_it(lab, cephdock);
    lab.sh("W1", "docker rm -f w1");
    released(lab, "W1", "/sys");
    assert_eq!(lab.sh("W4", &docker_run("--rm", "cat /data/f")), "can_you_see_me\n");
    released(lab, "W4", "/sys");
}

/// Somebody has put another build there, and stopped the driver of the other node: `up` mends both, and the volume stays.
fn another_program_is_replaced_under_it(lab: &Own, cephdock: &dyn Fn(&[&str]) -> Run) {
    let look = "findmnt -rno TARGET,SOURCE,ID | grep volumes/; docker inspect -f '{{.State.StartedAt}}' w1";
    let before = lab.sh("W1", look);
    let (path, unit) = (unit::PROGRAM_PATH, unit::UNIT);
    lab.sh(
        "W1",
        &format!(
            "cp {path} /t/other; echo >>/t/other; mv /t/other {path}; systemctl restart {unit}"
        ),
    );
    lab.sh("W4", &format!("systemctl disable -q --now {unit}"));
    cephdock(&["status"]).exits(4).says(&["send this cephdock", &format!("start {unit}")]);
    let mended = cephdock(&["up", "--json"]).exits(0);
    assert_eq!(mended.summary()["steps"], 3, "{}", mended.all());
    assert_eq!(lab.sh("W1", look), before, "untouched");
    assert_eq!(lab.sh("W1", "docker exec w1 cat /data/f"), "can_you_see_me\n");
    lab.sh("W4", &format!("systemctl is-active {unit}; systemctl is-enabled {unit}"));
}

fn reset_takes_the_driver_and_not_from_under_a_volume(
    lab: &Own,
    cephdock: &dyn Fn(&[&str]) -> Run,
) {
    let status = cephdock(&["status", "--json"]).json();
    let fsid = status["fsid"].as_str().expect("an fsid").to_owned();
    let reset = ["reset", "--yes", "--fsid", &fsid];
    cephdock(&reset).exits(3).says(&["the RBD image rbd/data is mapped", "/var/lib/cephdock"]);
    lab.sh("W1", "docker rm -f writer");
    released(lab, "W1", "/sys");
    lab.sh("W1", "docker volume rm data; rbd --id cephdock ls | grep . && exit 1; true");
    lab.ssh("W4", "docker volume inspect data").exits(1);
    for node in ALL {
        let journal = lab.sh(node, "journalctl -u cephdock-volume-driver --no-pager");
        assert!(!journal.contains("panicked"), "{journal}");
    }
    cephdock(&reset).exits(0);
    for node in ALL {
        let left = lab.sh(node, "find /etc /run /usr/local /var/lib -xdev -name '*cephdock*' ! -name cephdock.lock; systemctl list-units --all -q '*cephdock*'; pidof cephdock-volume-driver || true");
        assert_eq!(left.trim(), "", "left on {node}");
    }
}

/// `cephdock volume`, on two nodes without any volumes, and without any afterwards.
fn operators_commands(lab: &Own, cephdock: &dyn Fn(&[&str]) -> Run) {
    let volume = |args: &[&str]| cephdock(&[&["volume"], args].concat());
    the_same_data_on_every_node(lab, &volume);
    a_name_that_a_stopped_container_holds(lab, &volume);
    a_mapping_of_an_image_that_is_gone(lab, &volume);
    snapshots_and_growing_while_it_is_written_to(lab, &volume);
    more::xfs_too(lab, "W1", "W4", &volume);
    more::a_key_that_is_missing(lab, "W4");
    let left = volume(&["ls", "--json"]).ok().json();
    assert_eq!(left["volumes"], serde_json::json!([]), "{left}");
}

type Volume<'a> = &'a dyn Fn(&[&str]) -> Run;

const RUN: &str = "--net=host -v data:/data --volume-driver cephdock t";

fn the_same_data_on_every_node(lab: &Own, volume: Volume<'_>) {
    // a node without the image of Ceph's makes do with programs of its own
    lab.sh("W4", "docker tag registry.lab:5000/ceph/ceph:v18 kept && docker rmi registry.lab:5000/ceph/ceph:v18");
    let proof = volume(&["test", "--json"]).ok().json();
    lab.sh("W4", "docker tag kept registry.lab:5000/ceph/ceph:v18 && docker rmi kept");
    assert_eq!(proof["passed"], true, "{proof}");
    assert_eq!(proof["nodes"].as_array().map(Vec::len), Some(ALL.len()), "{proof}");
    for node in ALL {
        let left = "docker ps -aq -f label=cephdock.test; docker images -q 'cephdock-test-*'; docker volume ls -q; ls /sys/bus/rbd/devices";
        assert_eq!(lab.sh(node, left), "", "{node}");
    }
    lab.sh("W4", "systemctl stop cephdock-volume-driver");
    volume(&["test"]).exits(1).says(&["3 of 4 nodes", "driver does not run there"]);
    lab.sh("W4", "systemctl start cephdock-volume-driver");
}

fn a_name_that_a_stopped_container_holds(lab: &Own, volume: Volume<'_>) {
    lab.sh("W1", "docker volume create -d cephdock -o size=64MiB data");
    lab.sh("W4", &format!("docker run --name w2 {RUN} ls /data"));
    volume(&["rm", "data", "--yes"]).exits(3).says(&["container w2 on node W4 is stopped"]);
    lab.sh("W1", "docker volume rm data");
    lab.ssh("W4", "docker volume create -d cephdock data").exits(1).says(&["found references"]);
    volume(&["ls"]).ok().says(&["gone, and still held by W4"]);
    volume(&["unstick", "data", "--yes"]).ok().says(&["nothing holds the name data any more"]);
    lab.sh(
        "W4",
        "docker volume create -d cephdock -o size=64MiB data && docker start -a w2 && docker rm w2",
    );
}

fn a_mapping_of_an_image_that_is_gone(lab: &Own, volume: Volume<'_>) {
    lab.sh("W4", "rbd --id cephdock map data && mkdir -p /mnt/x && mount /dev/rbd0 /mnt/x");
    volume(&["rm", "data", "--yes"]).exits(3).says(&["mapped on node W4", "mounted at /mnt/x"]);
    lab.sh("W1", "docker exec mon rbd trash mv data"); // which looks for no watchers
    volume(&["ls"]).ok().says(&["gone, and still held by W4"]);
    until("the volume to be made anew", 20, || {
        // for some seconds Docker is told that it is still there
        let create =
            "docker volume create -d cephdock -o size=64MiB data && rbd --id cephdock info data";
        let seen = lab.ssh("W1", create);
        if seen.code == 0 { Ok(()) } else { Err(seen.all()) }
    });
    volume(&["inspect", "data"]).ok().says(&["stale mapping on W4", "/dev/rbd0 on W4, stale"]);
    volume(&["unstick", "data", "--yes"]).exits(4).says(&["somebody uses it (mounted at /mnt/x)"]);
    lab.sh("W4", "umount /mnt/x");
    volume(&["unstick", "data", "--yes"]).ok().says(&["unmap /dev/rbd0"]);
    assert_eq!(lab.sh("W4", "ls /sys/bus/rbd/devices"), "");
    lab.sh("W4", &format!("docker run --rm {RUN} ls -A /data"));
    volume(&["rm", "data", "--yes"]).ok();
    lab.sh("W1", "docker exec mon rbd trash rm $(docker exec mon rbd trash ls | cut -d' ' -f1)");
    lab.sh("W4", "docker volume ls -q | grep . && exit 1; true");
}

fn snapshots_and_growing_while_it_is_written_to(lab: &Own, volume: Volume<'_>) {
    let writes = "sh -c 'while :; do echo line >>/data/f; sleep 0.2; done'";
    lab.sh("W1", "docker volume create -d cephdock -o size=64MiB data");
    lab.sh("W1", &format!("docker run -d --name w1 {RUN} {writes}"));
    volume(&["snap", "create", "data", "monday"]).exits(3).says(&["exclusively", "lock=shared"]);
    volume(&["grow", "data", "96MiB"]).exits(3).says(&["container w1 on node W1"]);
    lab.sh("W1", "docker rm -f w1");
    volume(&["grow", "data", "96MiB"]).ok().says(&["when it is mounted next"]);
    let room = |seen: &str| -> u64 {
        let blocks = seen.lines().nth(1).and_then(|l| l.split_whitespace().nth(1));
        blocks.and_then(|b| b.parse::<u64>().ok()).unwrap_or_else(|| panic!("{seen}")) / 1024
    };
    let seen = room(&lab.sh("W4", &format!("docker run --rm {RUN} df -k /data")));
    assert!(seen > 70, "{seen} MiB: the filesystem grew when it was mounted");
    volume(&["rm", "data", "--yes"]).ok();
    lab.sh("W1", "docker volume create -d cephdock -o size=64MiB -o lock=shared data");
    lab.sh("W1", &format!("docker run -d --name w1 {RUN} {writes}"));
    volume(&["snap", "create", "data", "monday"]).ok().says(&["held still on W1"]);
    volume(&["grow", "data", "96MiB"]).ok().says(&["its filesystem on W1 too"]);
    let seen = room(&lab.sh("W1", "docker exec w1 df -k /data"));
    assert!(seen > 70, "{seen} MiB: the filesystem grew while it was written to");
    volume(&["snap", "rollback", "data", "monday", "--yes"]).exits(3).says(&["mapped on node W1"]);
    lab.sh("W1", "docker exec w1 touch /data/later; docker rm -f w1");
    volume(&["snap", "rollback", "data", "monday", "--yes"]).ok();
    let seen = lab.sh("W1", &format!("docker run --rm {RUN} ls /data"));
    assert_eq!(seen, "f\n", "what came later is gone, and what was there before is not");
    volume(&["snap", "rm", "data", "monday", "--yes"]).ok();
    volume(&["rm", "data", "--yes"]).ok();
}
