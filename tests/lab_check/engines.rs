//! Engines that are none for Ceph, and images that are none for the machine.

use std::fs::File;

use super::lab_support::own::Own;
use super::{
    CLUSTER, ENTRIES, IMAGE, NODES, assert_fails, assert_words, check, found, on_each, snapshot,
};

/// Docker's own answers, and what it is asked, with other words in them, no longer than those they stand for: what is too
/// old, rootless or no Docker at all is not to be had here.
const IN_OTHER_WORDS: &str = r#"import os, socket, sys, threading
words = [word.encode() for word in sys.argv[1:]]
words = list(zip(words[::2], words[1::2]))
assert all(len(new) <= len(old) for old, new in words)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/docker.sock")
os.chmod("/run/docker.sock", 0o666)
listener.listen(64)
def pump(source, sink):
    while data := source.recv(1 << 20):
        for old, new in words:
            data = data.replace(old, new.ljust(len(old)))
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
while True:
    client = listener.accept()[0]
    docker = socket.socket(socket.AF_UNIX)
    docker.connect("/run/real.sock")
    threading.Thread(target=pump, args=(client, docker), daemon=True).start()
    threading.Thread(target=pump, args=(docker, client), daemon=True).start()
"#;

/// Until Docker answers.
const AWAIT_DOCKER: &str =
    "for try in $(seq 100); do docker version >/dev/null 2>&1 && break; sleep 0.2; done";
const STOP_DOCKER: &str = "systemctl -q stop docker.socket docker";
const DOCKER_AS_IT_WAS: &str = "systemctl -q stop 'words-*' 'real-*'; \
    rm -f /run/docker.sock /run/real.sock /run/words.py; systemctl reset-failed docker docker.socket; systemctl -q start docker.socket docker";

fn docker_in_other_words(words: &[(&str, &str)]) -> String {
    let words: Vec<String> = words.iter().map(|(old, new)| format!("'{old}' '{new}'")).collect();
    let words = words.join(" ");
    format!(
        "{STOP_DOCKER}; cat >/run/words.py <<'END'\n{IN_OTHER_WORDS}END\n\
         systemd-run -q --unit=real-$$ dockerd -H unix:///run/real.sock; \
         for try in $(seq 100); do [ -S /run/real.sock ] && break; sleep 0.2; done; rm -f /run/docker.sock; \
         systemd-run -q --unit=words-$$ python3 /run/words.py {words}; {AWAIT_DOCKER}"
    )
}

fn version(lab: &Own) -> String {
    lab.sh("C1", "docker version -f '{{.Server.Version}}'").trim().to_owned()
}

/// And what goes with them: a login without sudo, two machines that say the same of themselves, and an inventory that
/// asks for too much.
pub(super) fn old_and_rootless(lab: &Own) {
    let version = version(lab);
    let old = format!("{:1<1$}", "19.03.", version.len());
    let old = docker_in_other_words(&[(&version, &old)]);
    let rootless = docker_in_other_words(&[(
        "name=seccomp,profile=builtin",
        r#"name=rootless","profile=buil"#,
    )]);
    // the address is answered for by its owner alone
    let twin = "nft 'table arp mine { chain in { type filter hook input priority 0; arp daddr ip 10.32.3.61 drop; }; }' && \
         ip addr add 10.32.3.61/32 dev lo && hostname C1";
    on_each(
        lab,
        &[
            // hardly room for the image
            (
                "C1",
                &format!("{STOP_DOCKER}; mount -t tmpfs -o size=1G small /var/lib/docker; {old}"),
            ),
            ("C2", "mv /etc/sudoers.d/ops /root/ops"),
            ("C3", &format!("{rootless}\n{twin}")),
        ],
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
    let spoiled = lab.inventory("old.yaml", cluster, entries);
    let said = check(lab, &spoiled, 1);
    let fails = ["docker C1", "net C1", "paths C1", "room C1", "login C2", "docker C3", "net C3"];
    assert_fails(&said, &fails);
    assert_words(
        &said,
        &[
            ("docker", "C1", &["19.03.1", "older than"]),
            (
                "net",
                "C1",
                &["10.32.3.61 is on an interface of C3 too", "cluster network 10.98.0.0/24"],
            ),
            // C3 asks itself
            ("paths", "C1", &["C3 cannot connect"]),
            (
                "room",
                "C1",
                &["900 TiB", "a mon calls the cluster unhealthy", "1 TiB of it its OSD"],
            ),
            ("room", "C1", &["in Docker's folder /var/lib/docker", "takes up to 2 GiB"]),
            ("login", "C2", &["sudo without a password"]),
            ("docker", "C3", &["rootless"]),
            ("net", "C3", &["none of its interfaces has the address 10.32.3.66", "10.32.3.63"]),
            ("name", "C1", &["C1 and C3 all say that their hostname is C1"]),
            ("name", "C3", &["hostnamectl hostname C3"]),
            ("client", "C3", &["rbd"]),
            ("cluster", "-", &["the cluster has 2 mons", "2 copies"]),
        ],
    );
    let alone = "hostname C3; ip addr del 10.32.3.61/32 dev lo; nft delete table arp mine";
    on_each(
        lab,
        &[
            (
                "C1",
                &format!(
                    "systemctl -q stop 'words-*' 'real-*'; umount /var/lib/docker; {DOCKER_AS_IT_WAS}"
                ),
            ),
            ("C2", "mv /root/ops /etc/sudoers.d/ops"),
            ("C3", &format!("{DOCKER_AS_IT_WAS}; {alone}")),
        ],
    );
}

/// An image without programs, for another processor.
const ELSEWHERE: &str = "registry.lab:5000/check/elsewhere:1";

/// Podman in Docker's place, users that are mapped, and a Docker that keeps its things where the snap does; too little
/// memory, and disks that are full. The image is for another processor, as its registry says.
pub(super) fn podman_remapped_and_a_snap(lab: &Own) {
    lab.sh(
        "C1",
        &format!(
            "tar -cC /etc hostname | docker import --platform linux/arm64 - {ELSEWHERE} >/dev/null && \
             docker push -q {ELSEWHERE} && docker rmi {ELSEWHERE}"
        ),
    );
    let version = format!("\"{}\"", version(lab));
    let engine = format!(r#""Engine","Version":{version}"#);
    // which has versions of its own, and asks no registry for Docker's clients
    let podman = docker_in_other_words(&[
        (&engine, r#""Podman Engine","Version":"4""#),
        (&version, r#""4.3.1""#),
        ("/distribution/", "/distributing/"),
    ]);
    let remapped = format!(
        r#"cp -p /etc/docker/daemon.json /root/daemon.json
        sed -i 's/^{{/{{"userns-remap": "default", /' /etc/docker/daemon.json; systemctl reset-failed docker; systemctl -q restart docker; {AWAIT_DOCKER}
        sed 's/^MemTotal: .*/MemTotal:  409600 kB/' /proc/meminfo >/run/meminfo; mount --bind /run/meminfo /proc/meminfo"#
    );
    let root = "/var/snap/docker/common/var-lib-docker";
    let snap = format!(
        "{STOP_DOCKER}; mkdir -p {root}; mount -t tmpfs -o size=300M snap {root}
         systemd-run -q --unit=snap-$$ dockerd --data-root {root} -H unix:///run/docker.sock; {AWAIT_DOCKER}
         mount -t tmpfs -o size=32M full /var/lib/ceph; dd if=/dev/zero of=/var/lib/ceph/fill bs=64k status=none || true"
    );
    on_each(lab, &[("C1", &podman), ("C2", &remapped), ("C3", &snap)]);

    let cluster = CLUSTER.replace(IMAGE, ELSEWHERE);
    let spoiled = lab.inventory("engines.yaml", &cluster, ENTRIES);
    let before = snapshot(lab);
    let said = check(lab, &spoiled, 1);
    assert_fails(
        &said,
        &["docker C1", "docker C2", "room C2", "image C2", "docker C3", "room C3", "image C3"],
    );
    assert_words(
        &said,
        &[
            ("docker", "C1", &["Podman", "podman-docker"]),
            ("image", "C2", &["its Docker is amd64", ELSEWHERE, "is for arm64"]),
            ("docker", "C2", &["maps users", "userns-remap"]),
            ("room", "C2", &["400 MiB of memory", "the kernel would kill them"]),
            ("docker", "C3", &["Docker is a snap", "snap remove docker"]),
            (
                "room",
                "C3",
                &[
                    "0 % of the disk under /var/lib/ceph is free",
                    "a mon stops itself",
                    "its OSDs in files take 2 GiB",
                    &format!("are free in Docker's folder {root}"),
                    "the image does not fit",
                ],
            ),
        ],
    );
    // what costs nothing is found by `up` too, before it touches anything
    lab.cephdock(&spoiled, &["up"]).exits(1).says(&["C1", "what answers as Docker is Podman"]);
    assert_eq!(snapshot(lab), before);

    let mapped_no_more = format!(
        "umount /proc/meminfo; mv /root/daemon.json /etc/docker/daemon.json; systemctl reset-failed docker; systemctl -q restart docker; {AWAIT_DOCKER}"
    );
    let no_snap = format!(
        "systemctl -q stop 'snap-*'; umount /var/lib/ceph {root}; rm -rf /var/snap; rm -f /run/docker.sock; \
         systemctl reset-failed docker docker.socket; systemctl -q start docker.socket docker"
    );
    on_each(lab, &[("C1", DOCKER_AS_IT_WAS), ("C2", &mapped_no_more), ("C3", &no_snap)]);
}

/// Images that nodes have already under the name of the right one, and a file of one.
pub(super) fn images_of_another_machine(lab: &Own) {
    let import = |options: &str| {
        format!("tar -cC /etc hostname | docker import {options} - {IMAGE} >/dev/null")
    };
    let (own, other) = (import(""), import("--platform linux/arm64"));
    let theirs = format!("{own}; docker create --name mon {IMAGE} sh");
    on_each(lab, &[("C1", &own), ("C2", &theirs), ("C3", &other)]);
    let said = check(lab, &lab.inventory("images.yaml", CLUSTER, ENTRIES), 1);
    assert_fails(&said, &["ceph C2", "image C3"]);
    assert_words(
        &said,
        &[
            ("ceph", "C2", &["a container called mon", "docker rename"]),
            ("image", "C3", &["its Docker is amd64", "on it is for arm64", "docker rmi"]),
            ("image", "-", &["do not have the same", IMAGE]),
        ],
    );

    // the same image in a file, which no node has by its other name
    let name = "lab/elsewhere:1";
    let save = format!(
        "docker tag {IMAGE} {name} && timeout 120 docker save {name} && docker rmi {name} >/dev/null"
    );
    let inventory = lab.inventory("archive.yaml", "", "");
    let archive = inventory.with_file_name("elsewhere.tar");
    let mut saved = lab.command(&["ssh", "C3", &save]);
    saved.stdout(File::create(&archive).expect("a file"));
    assert!(saved.status().expect("ssh starts").success());
    let cluster =
        CLUSTER.replace(IMAGE, &format!("{name}\n  image_archive: {}", archive.display()));
    let inventory = lab.inventory("archive.yaml", &cluster, ENTRIES);
    let said = check(lab, &inventory, 1);
    let images: Vec<String> = NODES.iter().map(|node| format!("image {node}")).collect();
    assert!(images.iter().all(|image| found(&said, "fail").contains(image)), "{said:#}");
    assert_words(&said, &[("image", "C1", &["its Docker is amd64", "elsewhere.tar is for arm64"])]);

    let remove = format!("docker rm -f mon 2>/dev/null || true; docker rmi -f {IMAGE}");
    on_each(lab, &NODES.map(|node| (node, remove.as_str())));
}
