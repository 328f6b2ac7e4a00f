//! The volume driver under real dockerds: over a stand-in for rbd, and over the kernel's own.

mod lab_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cephdock::volume::unit;
use lab_support::own::Own;
use lab_support::{Run, until};

/// An image with a shell and a few programs of the node's own, made on the node: `docker run ... t`.
const IMAGE: &str = r#"set -e
programs="/bin/sh /bin/cat /bin/sleep /bin/sync /bin/ls /bin/stat /bin/touch /bin/df"
libraries=$(ldd $programs | grep -o '/[^ ]*' | grep -v ':$' | sort -u)
mkdir -p /t/image; tar -ch --absolute-names $programs $libraries 2>/dev/null | docker import - t >/dev/null"#;

/// The program without what only debuggers read.
fn program() -> PathBuf {
    let small = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cephdock-small");
    let built = env!("CARGO_BIN_EXE_cephdock");
    let stripped = Command::new("strip").arg("-o").arg(&small).arg(built).status();
    if stripped.is_ok_and(|s| s.success()) { small } else { built.into() }
}

/// The program as it would be on a node that has another C library.
fn without_its_loader(program: &Path) -> Vec<u8> {
    let mut bytes = fs::read(program).expect("the program");
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = bytes.windows(loader.len()).position(|w| w == loader).expect("it has a loader");
    bytes[at + loader.len() - 1] = b'9';
    bytes
}

/// Installs the driver by hand, as the unit that cephdock would write.
fn install(lab: &Own, node: &str, args: &[&str]) {
    lab.send(node, &program(), unit::PROGRAM_PATH);
    let args: Vec<String> = ["--node", node].iter().chain(args).map(|a| (*a).to_owned()).collect();
    let text = unit::unit(&args);
    let (path, name) = (unit::UNIT_PATH, unit::UNIT);
    lab.sh(
        node,
        &format!(
            "cat >{path} <<'END'\n{text}END\nsystemctl daemon-reload; systemctl enable -q --now {name}"
        ),
    );
}

fn released(lab: &Own, node: &str, sys: &str) {
    until("the volume to be let go of", 40, || {
        let left = lab.sh(
            node,
            &format!("ls {sys}/bus/rbd/devices; findmnt -rno TARGET | grep volumes/ || true"),
        );
        if left.trim().is_empty() { Ok(()) } else { Err(left) }
    });
}

const SYS: &str = "/standin-sys";
const N: &str = "V1";

#[test]
#[ignore = "needs the lab: make lab-test"]
fn docker_with_a_stand_in_for_rbd() {
    let lab = Own::boot_bare("labvol", &["V1/nspawn=10.32.3.71"]);
    lab.sh(N, &format!("mkdir -p /cluster/rbd {SYS}/bus/rbd/devices; {IMAGE}"));
    let standin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/rbd-standin");
    lab.send(N, &standin, "/usr/local/bin/rbd-standin");
    install(
        &lab,
        N,
        &["--rbd", "rbd-standin", "--rados", "rbd-standin", "--sys", SYS, "--size", "64MiB"],
    );
    a_volume_lives(&lab);
    mistakes_say_what_to_do(&lab);
    the_driver_is_killed(&lab);
    dockerd_is_restarted_and_killed(&lab);
    ceph_is_away(&lab);
    nothing_of_others_is_formatted(&lab);
    let journal = lab.sh(N, "journalctl -u cephdock-volume-driver --no-pager");
    assert!(!journal.contains("panicked"), "{journal}");
}

fn a_volume_lives(lab: &Own) {
    lab.sh(N, "docker volume create -d cephdock -o mode=0750 -o uid=999 data");
    lab.sh(N, "docker volume create -d cephdock -o mode=0750 data"); // the same again is no error
    let list = lab.sh(N, "docker volume ls -q -f driver=cephdock");
    assert_eq!(list, "data\n");
    let run = "docker run --rm --net=none -v data:/data t";
    assert_eq!(lab.sh(N, &format!("{run} /bin/ls -A /data")), "", "an empty folder");
    assert_eq!(lab.sh(N, &format!("{run} /bin/stat -c %a:%u /data")), "750:999\n");
    lab.sh(N, "docker run -d --name w1 --net=none -v data:/data t /bin/sh -c 'echo can_you_see_me >/data/f; exec sleep 1000'");
    until("the file", 20, || {
        let seen = lab.ssh(N, &format!("{run} /bin/cat /data/f"));
        if seen.out == "can_you_see_me\n" { Ok(()) } else { Err(seen.all()) }
    });
    lab.sh(N, "docker cp w1:/data/f /t/copied; docker cp /t/copied w1:/data/g");
    assert_eq!(lab.sh(N, "docker exec w1 cat /data/g"), "can_you_see_me\n");
    let seen = lab.sh(N, "docker volume inspect data -f '{{.Scope}} {{.Mountpoint}} {{.Status.users}} {{.Status.node}}'");
    assert!(seen.starts_with("global /var/lib/cephdock/volumes/data."), "{seen}");
    assert!(seen.ends_with("/data 1 V1\n"), "{seen}");
    lab.ssh(N, "docker volume rm data").exits(1).says(&["in use"]);
    lab.sh(N, "docker rm -f w1");
    released(lab, N, SYS);
    assert_eq!(
        lab.sh(N, &format!("{run} /bin/cat /data/g")),
        "can_you_see_me\n",
        "it is still there"
    );
    lab.sh(N, "docker volume rm data");
    assert_eq!(lab.sh(N, "ls /cluster/rbd"), "", "nothing is left of it");
}

fn mistakes_say_what_to_do(lab: &Own) {
    let create = |options: &str, says: &[&str]| {
        lab.ssh(N, &format!("docker volume create -d cephdock {options}")).exits(1).says(says);
    };
    create("-o size=8MiB x", &["8 MiB is too small for ext4", "16 MiB or more"]);
    create("-o fstype=xfs x", &["64 MiB is too small for xfs", "300 MiB or more"]);
    create("-o colour=red x", &["no option \"colour\"", "size"]);
    create("-o pool=other x", &["pool other", "are in rbd"]);
    create("-o from-snapshot=y@z x", &["there is no volume y"]);
    lab.sh(
        N,
        "rbd-standin create --pool rbd --image theirs --size 67108864B --image-feature layering",
    );
    create("theirs", &["did not make it", "another name"]);
    lab.ssh(N, "docker run --rm --net=none -v theirs:/d --volume-driver cephdock t ls")
        .exits(125)
        .says(&["did not make it"]);
    assert_eq!(
        lab.sh(N, "ls /cluster/rbd/*.json"),
        "/cluster/rbd/theirs.json\n",
        "nothing was made"
    );
    lab.sh(N, "rbd-standin rm --pool rbd --image theirs");
}

fn the_driver_is_killed(lab: &Own) {
    lab.sh(
        N,
        "docker run -d --name w1 --net=none -v data:/data --volume-driver cephdock t sleep 1000",
    );
    let mounted = lab.sh(N, "findmnt -rno TARGET,SOURCE | grep volumes/");
    lab.sh(N, "kill -9 $(systemctl show -p MainPID --value cephdock-volume-driver); docker exec w1 touch /data/after");
    until("the driver to come back", 20, || {
        let seen = lab.ssh(N, "docker volume inspect data -f '{{.Status.users}}'");
        if seen.out == "1\n" { Ok(()) } else { Err(seen.all()) }
    });
    lab.sh(N, "docker cp w1:/data/after /t/after; systemctl restart cephdock-volume-driver");
    assert_eq!(lab.sh(N, "findmnt -rno TARGET,SOURCE | grep volumes/"), mounted, "untouched");
    // without its state, it asks the kernel
    lab.sh(N, "systemctl stop cephdock-volume-driver; rm /var/lib/cephdock/volumes.json; systemctl start cephdock-volume-driver; docker exec w1 cat /data/after");
    assert_eq!(lab.sh(N, "findmnt -rno TARGET,SOURCE | grep volumes/"), mounted, "untouched");
    lab.sh(N, "docker rm -f w1");
    released(lab, N, SYS);
}

fn dockerd_is_restarted_and_killed(lab: &Own) {
    let start = |name: &str, options: &str| {
        lab.sh(N, &format!("docker run -d --name {name} --net=none --stop-signal KILL {options} -v data:/data --volume-driver cephdock t sleep 1000"));
    };
    let runs = |name: &str| {
        until("the container to come back", 60, || {
            let seen = lab.ssh(N, &format!("docker exec {name} cat /data/after && docker inspect -f '{{{{.State.Running}}}}' {name}"));
            if seen.out == "true\n" { Ok(()) } else { Err(seen.all()) }
        });
    };
    lab.sh(N, "docker run --rm --net=none -v data:/data t touch /data/after");
    start("aa", "--restart always");
    start("bb", "");
    lab.sh(N, "systemctl restart docker");
    runs("aa");
    lab.sh(N, "docker start bb");
    // both die with dockerd; the first comes back with its old id, and nobody says that the second does not
    lab.sh(N, "kill -9 $(pidof dockerd)");
    runs("aa");
    let users = lab.sh(N, "docker volume inspect data -f '{{.Status.users}}'");
    lab.sh(N, "docker rm -f aa bb; systemctl restart cephdock-volume-driver");
    assert!(users == "1\n" || users == "2\n", "{users}");
    released(lab, N, SYS);
}

fn ceph_is_away(lab: &Own) {
    lab.sh(
        N,
        "docker run -d --name w1 --net=none -v data:/data t sleep 1000; touch /cluster/silent",
    );
    lab.sh(N, "timeout 10 docker volume inspect data");
    // another user of what is mounted here needs no Ceph
    lab.sh(N, "timeout 20 docker run --rm --net=none -v data:/data t ls /data");
    lab.ssh(N, "docker volume create -d cephdock new")
        .exits(1)
        .says(&["Ceph does not answer", "ceph -s"]);
    lab.sh(N, "timeout 20 docker rm -f w1");
    released(lab, N, SYS);
    let list = lab.sh(N, "timeout 20 docker volume ls -q");
    assert_eq!(list, "data\n", "what was known is still known");
    // who wants it meanwhile waits for Ceph
    lab.sh(N, "(sleep 12; rm /cluster/silent) >/dev/null 2>&1 & timeout 60 docker run --rm --net=none -v data:/data t ls /data");
    lab.sh(N, "docker volume rm data");
}

fn nothing_of_others_is_formatted(lab: &Own) {
    // a volume that was never mounted, and has something else on it
    lab.sh(N, "docker volume create -d cephdock odd; mkswap $(ls /cluster/rbd/*.data) >/dev/null; sha256sum /cluster/rbd/*.data >/t/sums");
    lab.ssh(N, "docker run --rm --net=none -v odd:/d t ls")
        .exits(125)
        .says(&["has swap on it", "nothing was formatted"]);
    lab.sh(N, "sha256sum -c --quiet /t/sums");
    released(lab, N, SYS);
    // held by another node
    lab.sh(N, r#"sed -i 's/"watchers": \[\]/"held": 1, "watchers": ["10.0.0.9:0\/1"]/' /cluster/rbd/odd.json"#);
    lab.ssh(N, "docker run --rm --net=none -v odd:/d t ls")
        .exits(125)
        .says(&["in use by the Ceph client at 10.0.0.9:0/1"]);
    lab.ssh(N, "docker volume rm odd")
        .exits(1)
        .says(&["in use by the Ceph client at 10.0.0.9:0/1"]);
    lab.sh(N, r#"sed -i 's/"held": 1, "watchers": \[[^]]*\]/"watchers": []/; s/"snapshot_count": 0/"snapshot_count": 2/' /cluster/rbd/odd.json"#);
    lab.ssh(N, "docker volume rm odd").exits(1).says(&["has 2 snapshot(s)"]);
    lab.sh(N, r#"sed -i 's/"snapshot_count": 2/"snapshot_count": 0/' /cluster/rbd/odd.json; docker volume rm odd"#);
}

const CLUSTER: &str = "  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config: {global: {mgr_initial_modules: iostat nfs}, mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}}";
const NODES: &str =
    "  - {name: W1, address: 10.32.3.81, roles: [mon, mgr, osd], osds: [{device: /dev/ubdb}]}
  - {name: W2, address: 10.32.3.82, roles: [], ssh: {user: ops}}
";

fn docker_run(options: &str, what: &str) -> String {
    format!("docker run {options} --net=host -v data:/data --volume-driver cephdock t {what}")
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_volume_moves_between_nodes_with_the_kernels_own_rbd() {
    let lab = Own::boot("labvolk", &["W1/uml=10.32.3.81", "W2/uml=10.32.3.82"]);
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
    let left = lab.sh("W2", "find /usr/local/bin /etc/systemd -name '*cephdock*'");
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
    let said = lab.sh("W2", keyring);
    assert!(said.starts_with("600 root\n") && said.contains("EACCES"), "{said}");
    let timeout = "docker exec osd-0 ceph daemon osd.0 config get osd_client_watch_timeout";
    assert!(lab.sh("W1", timeout).contains("\"12\""));
    std::thread::scope(|scope| {
        for node in ["W1", "W2"] {
            scope.spawn(|| lab.sh(node, IMAGE));
        }
    });
    operators_commands(&lab, &cephdock);
    one_node_has_it_and_then_another(&lab, &cephdock);
    it_comes_back_after_a_power_cut(&lab);
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
    lab.ssh("W2", &docker_run("--rm", "ls"))
        .exits(125)
        .says(&["volume data is in use on node W1 since 20", "stop the containers"]);
    lab.ssh("W2", "docker volume rm data").exits(1).says(&["in use on node W1 since 20"]);
    another_program_is_replaced_under_it(lab, cephdock);
    lab.sh("W1", "docker rm -f w1");
    released(lab, "W1", "/sys");
    assert_eq!(lab.sh("W2", &docker_run("--rm", "cat /data/f")), "can_you_see_me\n");
    released(lab, "W2", "/sys");
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
    lab.sh("W2", &format!("systemctl disable -q --now {unit}"));
    cephdock(&["status"]).exits(4).says(&["send this cephdock", &format!("start {unit}")]);
    let mended = cephdock(&["up", "--json"]).exits(0);
    assert_eq!(mended.summary()["steps"], 3, "{}", mended.all());
    assert_eq!(lab.sh("W1", look), before, "untouched");
    assert_eq!(lab.sh("W1", "docker exec w1 cat /data/f"), "can_you_see_me\n");
    lab.sh("W2", &format!("systemctl is-active {unit}; systemctl is-enabled {unit}"));
}

/// The driver is there before dockerd starts the containers again; the node's own dead client is shut out by then.
fn it_comes_back_after_a_power_cut(lab: &Own) {
    lab.sh(
        "W2",
        &docker_run(
            "-d --restart always --name w2",
            "sh -c 'echo again >>/data/f; sync; exec sleep 1000'",
        ),
    );
    until("the second line", 20, || {
        let seen = lab.ssh("W2", "docker exec w2 cat /data/f");
        if seen.out.lines().count() == 2 { Ok(()) } else { Err(seen.all()) }
    });
    lab.lab(60, &["cut", "W2"]).ok();
    lab.lab(300, &["start", "W2"]).ok();
    until("the container to be back with its volume", 120, || {
        let seen = lab.ssh("W2", "docker exec w2 cat /data/f");
        let back = seen.out.starts_with("can_you_see_me\n") && seen.out.lines().count() == 3;
        if back { Ok(()) } else { Err(seen.all()) }
    });
}

fn reset_takes_the_driver_and_not_from_under_a_volume(
    lab: &Own,
    cephdock: &dyn Fn(&[&str]) -> Run,
) {
    let status = cephdock(&["status", "--json"]).json();
    let fsid = status["fsid"].as_str().expect("an fsid").to_owned();
    let reset = ["reset", "--yes", "--fsid", &fsid];
    cephdock(&reset).exits(3).says(&["the RBD image rbd/data is mapped", "/var/lib/cephdock"]);
    lab.sh("W2", "docker rm -f w2");
    released(lab, "W2", "/sys");
    lab.sh("W1", "docker volume rm data; rbd --id cephdock ls | grep . && exit 1; true");
    lab.ssh("W2", "docker volume inspect data").exits(1);
    for node in ["W1", "W2"] {
        let journal = lab.sh(node, "journalctl -u cephdock-volume-driver --no-pager");
        assert!(!journal.contains("panicked"), "{journal}");
    }
    cephdock(&reset).exits(0);
    for node in ["W1", "W2"] {
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
    let left = volume(&["ls", "--json"]).ok().json();
    assert_eq!(left["volumes"], serde_json::json!([]), "{left}");
}

type Volume<'a> = &'a dyn Fn(&[&str]) -> Run;

const RUN: &str = "--net=host -v data:/data --volume-driver cephdock t";

fn the_same_data_on_every_node(lab: &Own, volume: Volume<'_>) {
    // a node without the image of Ceph's makes do with programs of its own
    lab.sh("W2", "docker tag registry.lab:5000/ceph/ceph:v18 kept && docker rmi registry.lab:5000/ceph/ceph:v18");
    let proof = volume(&["test", "--json"]).ok().json();
    lab.sh("W2", "docker tag kept registry.lab:5000/ceph/ceph:v18 && docker rmi kept");
    assert_eq!(proof["passed"], true, "{proof}");
    assert_eq!(proof["nodes"].as_array().map(Vec::len), Some(2), "{proof}");
    for node in ["W1", "W2"] {
        let left = "docker ps -aq -f label=cephdock.test; docker images -q 'cephdock-test-*'; docker volume ls -q; ls /sys/bus/rbd/devices";
        assert_eq!(lab.sh(node, left), "", "{node}");
    }
    lab.sh("W2", "systemctl stop cephdock-volume-driver");
    volume(&["test"]).exits(1).says(&["1 of 2 nodes", "driver does not run there"]);
    lab.sh("W2", "systemctl start cephdock-volume-driver");
}

fn a_name_that_a_stopped_container_holds(lab: &Own, volume: Volume<'_>) {
    lab.sh("W1", "docker volume create -d cephdock -o size=64MiB data");
    lab.sh("W2", &format!("docker run --name w2 {RUN} ls /data"));
    volume(&["rm", "data", "--yes"]).exits(3).says(&["container w2 on node W2 is stopped"]);
    lab.sh("W1", "docker volume rm data");
    lab.ssh("W2", "docker volume create -d cephdock data").exits(1).says(&["found references"]);
    volume(&["ls"]).ok().says(&["gone, and still held by W2"]);
    volume(&["unstick", "data", "--yes"]).ok().says(&["nothing holds the name data any more"]);
    lab.sh(
        "W2",
        "docker volume create -d cephdock -o size=64MiB data && docker start -a w2 && docker rm w2",
    );
}

fn a_mapping_of_an_image_that_is_gone(lab: &Own, volume: Volume<'_>) {
    lab.sh("W2", "rbd --id cephdock map data && mkdir -p /mnt/x && mount /dev/rbd0 /mnt/x");
    volume(&["rm", "data", "--yes"]).exits(3).says(&["mapped on node W2", "mounted at /mnt/x"]);
    lab.sh("W1", "docker exec mon rbd trash mv data"); // which looks for no watchers
    volume(&["ls"]).ok().says(&["gone, and still held by W2"]);
    until("the volume to be made anew", 20, || {
        // for some seconds Docker is told that it is still there
        let create =
            "docker volume create -d cephdock -o size=64MiB data && rbd --id cephdock info data";
        let seen = lab.ssh("W1", create);
        if seen.code == 0 { Ok(()) } else { Err(seen.all()) }
    });
    volume(&["inspect", "data"]).ok().says(&["stale mapping on W2", "/dev/rbd0 on W2, stale"]);
    volume(&["unstick", "data", "--yes"]).exits(4).says(&["somebody uses it (mounted at /mnt/x)"]);
    lab.sh("W2", "umount /mnt/x");
    volume(&["unstick", "data", "--yes"]).ok().says(&["unmap /dev/rbd0"]);
    assert_eq!(lab.sh("W2", "ls /sys/bus/rbd/devices"), "");
    lab.sh("W2", &format!("docker run --rm {RUN} ls -A /data"));
    volume(&["rm", "data", "--yes"]).ok();
    lab.sh("W1", "docker exec mon rbd trash rm $(docker exec mon rbd trash ls | cut -d' ' -f1)");
    lab.sh("W2", "docker volume ls -q | grep . && exit 1; true");
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
    let seen = room(&lab.sh("W2", &format!("docker run --rm {RUN} df -k /data")));
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
