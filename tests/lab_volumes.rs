//! The volume driver under a real dockerd, over a stand-in for rbd.

mod lab_support;

use std::path::Path;

use cephdock::volume::unit;
use lab_support::own::Own;
use lab_support::until;
use lab_support::volumes::{IMAGE, program, released};

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

const SYS: &str = "/standin-sys";
const N: &str = "V1";

#[test]
#[ignore = "needs the lab: make lab-test"]
fn docker_with_a_stand_in_for_rbd() {
    let lab = Own::boot_bare("labvol", &["V1/nspawn=10.32.3.71"]);
    lab.sh(N, &format!("mkdir -p /cluster/rbd {SYS}/bus/rbd/devices; {IMAGE}"));
    let standin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/rbd-standin");
    lab.send(N, &standin, "/usr/local/bin/rbd-standin");
    lab.sh(N, "ln -s rbd-standin /usr/local/bin/ceph"); // which is asked when nothing answers
    install(
        &lab,
        N,
        &["--rbd", "rbd-standin", "--rados", "rbd-standin", "--sys", SYS, "--size", "64MiB"],
    );
    a_volume_lives(&lab);
    mistakes_say_what_to_do(&lab);
    what_is_wrong_with_the_cluster_is_said(&lab);
    the_driver_is_killed(&lab);
    dockerd_is_restarted_and_killed(&lab);
    containers_outlive_dockerd(&lab);
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

/// Each in Docker's own words, and nothing is made, formatted or lost by it.
fn what_is_wrong_with_the_cluster_is_said(lab: &Own) {
    let create = "docker volume create -d cephdock";
    let run = "docker run --rm --net=none -v data:/data --volume-driver cephdock t";
    lab.sh(N, &format!("{create} data; {run} touch /data/kept"));
    // Docker asks whether it is there, and the driver before it begins; then another node has made it
    lab.sh(N, "systemctl restart cephdock-volume-driver; echo 3 >/cluster/hidden");
    lab.ssh(N, &format!("{create} -o size=32MiB -o fstype=ext4 -o lock=shared data")).exits(1).says(&[
        "there is a volume data already, with size 64 MiB and not 32 MiB, lock exclusive and not shared",
        "leave these options out",
        "nothing was changed",
    ]);
    lab.sh(N, "rm -f /cluster/hidden");
    assert_eq!(lab.sh(N, &format!("{run} ls /data")), "kept\n");
    released(lab, N, SYS);

    lab.sh(N, "touch /cluster/nokey");
    let says = ["key is missing on node V1", "run `cephdock up`"];
    lab.ssh(N, &format!("{create} new")).exits(1).says(&says);
    lab.ssh(N, &format!("{run} ls /data")).exits(125).says(&says);
    lab.ssh(N, "docker volume rm data").exits(1).says(&says);
    lab.sh(N, "rm /cluster/nokey");

    lab.sh(N, "touch /cluster/full");
    lab.ssh(N, &format!("{create} new")).exits(1).says(&[
        "there is no room left in Ceph: 1 pool(s) full",
        "add OSDs, or remove what nobody needs",
    ]);
    lab.sh(N, "rm /cluster/full");
    assert_eq!(lab.sh(N, &format!("{run} ls /data")), "kept\n");
    released(lab, N, SYS);
    let left = lab.sh(N, "ls /cluster/rbd/*.json");
    assert_eq!(left, "/cluster/rbd/data.json\n", "nothing was made or lost");
    lab.sh(N, "docker volume rm data");
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

/// With live-restore. The next dockerd says `Mount` for what runs, or not, and `Unmount` when it ends.
fn containers_outlive_dockerd(lab: &Own) {
    let live_restore = |on: bool| {
        lab.sh(N, &format!(
            "cd /etc/docker; [ -f daemon.json ] || echo '{{}}' >daemon.json; \
             python3 -c 'import json; d = json.load(open(\"daemon.json\")); d[\"live-restore\"] = {}; json.dump(d, open(\"daemon.json\", \"w\"))'; \
             systemctl reload docker",
            if on { "True" } else { "False" }
        ));
        until("dockerd to have read it", 20, || {
            let seen = lab.ssh(N, "docker info -f '{{.LiveRestoreEnabled}}'");
            if seen.out.trim() == on.to_string() { Ok(()) } else { Err(seen.all()) }
        });
    };
    live_restore(true);
    lab.sh(N, "docker run -d --name cc --net=none -v data:/data --volume-driver cephdock t /bin/sh -c 'while :; do echo line >>/data/lines; sleep 0.2; done'");
    let look = "docker inspect -f '{{.State.Pid}} {{.State.StartedAt}}' cc; findmnt -rno TARGET,SOURCE,ID | grep volumes/";
    let before = lab.sh(N, look);
    for end in ["systemctl restart docker", "kill -9 $(pidof dockerd)"] {
        // systemd starts it three times a minute, and no more
        lab.sh(N, &format!("systemctl reset-failed docker.service; {end}"));
        until("dockerd to be back", 60, || {
            let seen = lab.ssh(N, look);
            if seen.out == before { Ok(()) } else { Err(seen.all()) }
        });
        lab.sh(N, "docker cp cc:/data/lines /t/lines; docker run --rm --net=none -v data:/data t cat /data/lines >/t/lines; systemctl restart cephdock-volume-driver");
        let written = || lab.sh(N, "docker exec cc cat /data/lines").lines().count();
        let then = written();
        until("the container to write on", 20, || {
            let now = written();
            if now > then { Ok(()) } else { Err(now.to_string()) }
        });
    }
    assert_eq!(lab.sh(N, look), before, "untouched");
    lab.sh(N, "docker rm -f cc");
    released(lab, N, SYS);
    live_restore(false);
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
