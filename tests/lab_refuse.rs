//! What cephdock does not do: touch data, guess, or go half-way when something is wrong.

mod lab_support;

use std::fs;
use std::path::Path;

use lab_support::{Lab, NODES, Run, lab};
use serde_json::Value;

/// `up` has to end with this code, name all of `parts`, and leave `nodes` as they were.
fn refused(lab: &Lab, inventory: &Path, code: i32, nodes: &[&str], parts: &[&str]) -> Run {
    let before = lab.snapshot(nodes);
    let run = lab.cephdock(inventory, &["up"]).exits(code).says(parts);
    lab.cephdock(inventory, &["plan"]).exits(code).says(parts);
    lab.assert_untouched(nodes, &before);
    run
}

/// `check` says this of these nodes, and nothing else of this level of the topic.
fn assert_said(check: &Value, (topic, level): (&str, &str), expected: &[(&str, &str)]) {
    let all = check["findings"].as_array().expect("findings").iter();
    let said: Vec<&Value> = all.filter(|f| f["topic"] == topic && f["level"] == level).collect();
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (found, (node, what)) in said.iter().zip(expected) {
        assert_eq!(found["node"], *node, "{said:#?}");
        let text = found["what"].as_str().unwrap_or_default();
        assert!(text.contains(what), "{what}: {text}");
    }
}

/// `check` says this of these nodes' disks, and nothing else of this level of any disk.
fn assert_disks(check: &Value, level: &str, expected: &[(&str, &str)]) {
    assert_said(check, ("disks", level), expected);
    let all = check["findings"].as_array().expect("findings").iter();
    let mut said = all.filter(|f| f["topic"] == "disks" && f["level"] == level);
    assert!(said.all(|f| f["what"].to_string().contains("/dev/ubdb")), "{check}");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_disk_that_is_not_blank() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    lab.sh("B1", "mkfs.ext4 -q -L photos /dev/ubdb");
    // one partition of type Linux, from sector 2048
    lab.sh(
        "B2",
        r"printf '\0\0\0\0\203\0\0\0\0\010\0\0\0\0\020\0' | dd of=/dev/ubdb bs=1 seek=446 conv=notrunc status=none
          printf '\125\252' | dd of=/dev/ubdb bs=1 seek=510 conv=notrunc,fsync status=none; blockdev --rereadpt /dev/ubdb",
    );
    lab.sh("B3", "pvcreate -q /dev/ubdb");
    let run = refused(
        &lab,
        &inventory,
        3,
        &NODES,
        &["/dev/ubdb", "4 GiB", "ext4", "photos", "LVM2_member", "wipefs"],
    );
    for (node, what) in [("B1", "ext4"), ("B2", "partition table (dos)"), ("B3", "LVM2_member")] {
        let line = run.err.lines().find(|l| l.contains(node)).unwrap_or_default();
        assert!(line.contains(what), "{node}: {line}");
    }
    lab.sh("B3", "date -s '+2 seconds'");
    let check = lab.cephdock(&inventory, &["check", "--json"]).exits(1).json();
    lab.lab(120, &["start", "B3"]).ok(); // which sets its clock
    assert_said(&check, ("clock", "fail"), &[("B3", "ms ahead of the median")]);
    assert_disks(&check, "fail", &[("B1", "ext4"), ("B2", "dos"), ("B3", "LVM2")]);
    for (disk, what) in
        check["disks"].as_array().expect("disks").iter().zip(["ext4", "dos", "LVM2"])
    {
        assert!(disk["holds"].as_str().is_some_and(|h| h.contains(what)), "{check}");
    }

    lab.fresh();
    lab.sh("B1", "mkfs.ext4 -q /dev/ubdb && mount /dev/ubdb /mnt && echo here >/mnt/kept");
    lab.sh(
        "B2",
        "pvcreate -q /dev/ubdb && vgcreate -q vg /dev/ubdb && lvcreate -qq -an -Zn -L 64M -n lv vg",
    );
    // nothing that blkid knows, and not in the first sectors
    lab.sh("B3", "dd if=/dev/urandom of=/dev/ubdb bs=4k seek=200 count=1 conv=fsync status=none");
    refused(&lab, &inventory, 3, &NODES, &["B1", "mounted at /mnt", "B2", "B3", "not all zeros"]);
    let check = lab.cephdock(&inventory, &["check", "--json"]).exits(1).json();
    let found = [("B1", "mounted at /mnt"), ("B2", "LVM2"), ("B3", "not all zeros")];
    assert_disks(&check, "fail", &found);
    assert_eq!(lab.sh("B1", "cat /mnt/kept; umount /mnt").trim(), "here");

    // one node is enough to stop all: no container and no file anywhere
    lab.fresh();
    lab.sh("B3", "mkfs.ext4 -q /dev/ubdb");
    refused(&lab, &inventory, 3, &NODES, &["B3", "ext4"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_disk_that_is_not_there() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[("/dev/ubdb}]}\n  - {name: B3", "/dev/sdz}]}\n  - {name: B3")]);
    refused(&lab, &inventory, 3, &NODES, &["B2", "there is no /dev/sdz", "lsblk"]);
    let inventory =
        lab.inventory(&[("/dev/ubdb}]}\n  - {name: B3", "/dev/ubda}]}\n  - {name: B3")]);
    refused(&lab, &inventory, 3, &NODES, &["B2", "/dev/ubda", "mounted at /"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn somebody_elses_containers_and_files() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    let run = "docker run -d --net=host --name mon registry.lab:5000/ceph/ceph:v18 sleep 1d";
    lab.sh("B2", run);
    lab.sh("B3", "mkdir -p /etc/ceph && printf '[global]\\nfsid = 11111111-2222-3333-4444-555555555555\\n' >/etc/ceph/ceph.conf");
    refused(
        &lab,
        &inventory,
        3,
        &NODES,
        &[
            "B2",
            "a container called mon",
            "docker rename",
            "B3",
            "11111111-2222-3333-4444-555555555555",
        ],
    );
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_key_that_the_node_does_not_take() {
    let lab = lab();
    lab.fresh();
    let key = lab.dir.join("wrong");
    drop(fs::remove_file(&key));
    let path = key.to_str().expect("text");
    let keygen = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", path])
        .status();
    assert!(keygen.expect("ssh-keygen").success());
    let address = lab.address("B2");
    let inventory = lab.inventory(&[(
        &format!("B2, address: {address}"),
        &format!("B2, address: {address}, ssh: {{identity_file: {path}}}"),
    )]);
    refused(&lab, &inventory, 1, &NODES, &["B2", "root cannot log in to", path, "authorized_keys"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_node_that_is_off_at_the_first_run() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    lab.lab(60, &["cut", "B3"]).ok();
    refused(
        &lab,
        &inventory,
        1,
        &["B1", "B2"],
        &["B3", &lab.address("B3"), "run the same command again"],
    );
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn docker_that_does_not_run() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    lab.sh("B2", "systemctl stop docker.socket docker");
    refused(&lab, &inventory, 1, &["B1", "B3"], &["B2", "Docker", "systemctl"]);
    let files = lab.sh("B2", "ls -d /etc/ceph /var/lib/ceph 2>&1 || true");
    assert_eq!(files.matches("No such file").count(), 2, "{files}");
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    assert_eq!(status["nodes"][1]["reachable"], false);
    assert_eq!(status["nodes"][0]["reachable"], true);
    lab.sh("B2", "systemctl start docker.socket docker");
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0).summary();
    assert_eq!(up["health"], "HEALTH_OK");
    an_osd_of_nobody_knows_whom(&lab);
    whose_is_it_and_a_disk_named_twice(&lab, &inventory);
    an_osd_that_lost_its_disk(&lab, &inventory);
}

/// No node shows the cluster's identity, and one that may hold it is out of reach.
fn an_osd_of_nobody_knows_whom(lab: &Lab) {
    let (here, away) = ("/var/lib/ceph/cephdock/identity.json", "/root/identity.json");
    let address = lab.address("B2");
    let b2 = format!("B2, address: {address}");
    let unreachable = lab.inventory(&[(&b2, &format!("{b2}, ssh: {{port: 2}}"))]);
    for node in ["B1", "B3"] {
        lab.sh(node, &format!("mv {here} {away}"));
    }
    let check = lab.cephdock(&unreachable, &["check", "--json"]).exits(1).json();
    for node in ["B1", "B3"] {
        lab.sh(node, &format!("mv {away} {here}"));
    }
    let what = "is not blank: it carries an OSD";
    assert_disks(&check, "unchecked", &[("B1", what), ("B3", what)]);
    assert_disks(&check, "fail", &[]);
}

/// The mon nodes hold identities of different clusters; and a disk has two names, and an OSD by each.
fn whose_is_it_and_a_disk_named_twice(lab: &Lab, inventory: &Path) {
    let identity = "/var/lib/ceph/cephdock/identity.json";
    let other = r#"s/("fsid": *")[0-9a-f]{8}/\100000000/"#;
    lab.sh("B3", &format!("cp -p {identity} /root/kept && sed -i -E '{other}' {identity}"));
    let check = lab.cephdock(inventory, &["check", "--json"]).exits(1).json();
    let refused = lab.cephdock(inventory, &["up"]).exits(3);
    lab.sh("B3", &format!("mv /root/kept {identity}"));
    let what = "it holds the identity of the cluster ";
    assert_said(&check, ("ceph", "fail"), &[("B1", what), ("B2", what), ("B3", what)]);
    refused.says(&["it holds the identity of the cluster 00000000-"]);

    lab.sh("B1", "ln -s ubdb /dev/again");
    let twice = lab.inventory(&[("{file: 3GiB}", "{device: /dev/again}")]);
    let check = lab.cephdock(&twice, &["check", "--json"]).exits(1).json();
    lab.sh("B1", "rm /dev/again");
    assert_said(&check, ("disks", "fail"), &[("B1", "are the same disk, /dev/ubdb")]);
}

/// Somebody has put a new disk in its place.
fn an_osd_that_lost_its_disk(lab: &Lab, inventory: &Path) {
    lab.sh(
        "B3",
        "docker stop $(docker ps -q -f name=osd) && dd if=/dev/zero of=/dev/ubdb bs=1M count=16 conv=fsync status=none",
    );
    let check = lab.cephdock(inventory, &["check", "--json"]).exits(1).json();
    assert_disks(&check, "fail", &[("B3", "blank now; was the disk replaced?")]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_image_that_cannot_be_pulled() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[("ceph/ceph:v18", "ceph/ceph:v0")]);
    let before = lab.snapshot(&NODES);
    let image = "registry.lab:5000/ceph/ceph:v0";
    lab.cephdock(&inventory, &["up"]).exits(1).says(&NODES).says(&[
        image,
        "docker pull",
        "cluster.image_archive",
    ]);
    lab.assert_untouched(&NODES, &before);
    let up = lab.cephdock(&lab.inventory(&[]), &["up", "--json"]).exits(0).summary();
    assert_eq!(up["health"], "HEALTH_OK");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_node_without_room() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    let fill = "fallocate -l $(($(df --output=avail -B1 / | tail -n1) + 0)) /fill; dd if=/dev/zero of=/fill.2 bs=64k status=none; cat /fill.2 >>/fill; rm -f /fill.2; dd if=/dev/zero bs=4k status=none >>/fill; df --output=avail /";
    lab.ssh("B2", fill);
    let run = lab.cephdock(&inventory, &["up", "--json"]).exits(1);
    let failed = run.events_of("step-failed");
    assert!(!failed.is_empty(), "{}", run.all());
    for step in &failed {
        assert_eq!(step["node"], "B2", "{step}");
        assert!(step["error"].as_str().is_some_and(|e| e.contains("No space left")), "{step}");
        assert!(step["hint"].as_str().is_some_and(|h| h.contains("make room")), "{step}");
    }
    lab.sh("B2", "rm -f /fill");
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0).summary();
    assert_eq!(up["health"], "HEALTH_OK");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_daemon_that_runs_out_of_room() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);
    // enough for files, not for a container's or a mon's data
    lab.sh("B2", "fallocate -l $(($(df --output=avail -B1 / | tail -n1) - 6000000)) /fill");
    let run = lab.cephdock(&inventory, &["up"]).exits(1).says(&["B2", "pace", "hint"]);
    drop(run);
    lab.sh("B2", "rm -f /fill");
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_address_that_is_not_the_nodes() {
    let lab = lab();
    lab.fresh();
    let address = lab.address("B2");
    let other = address.replace(".148", ".199");
    let inventory = lab.inventory(&[(
        &format!("address: {address}"),
        &format!("address: {other}, ssh: {{host: {address}}}"),
    )]);
    refused(&lab, &inventory, 1, &NODES, &["B2", &other, &address, "set `address`"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_inventory_with_mistakes_contacts_nobody() {
    let lab = lab();
    let address = lab.address("B1");
    let network = address.replace(".147", ".0/24");
    let inventory =
        lab.inventory(&[(&network, "192.168.77.0/24"), ("roles: [mon, osd]", "rolls: [mon, osd]")]);
    // nobody could be contacted: it would hang or say so
    let run = lab.cephdock(&inventory, &["up", "--json"]).exits(2);
    assert!(!run.out.contains("\"connecting\""), "{}", run.out);
    run.says(&["B1", "B2", "B3", "public_network", "rolls", "roles"]);
    lab.cephdock(&inventory, &["up", "--nonsense"]).exits(2);
    lab.cephdock(Path::new("/nowhere.yaml"), &["up"]).exits(2).says(&["/nowhere.yaml"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_host_key_that_has_changed() {
    let lab = lab();
    lab.fresh();
    let keys = lab.lab(60, &["known-hosts"]).ok().out;
    let (b1, b2) = (lab.address("B1"), lab.address("B2"));
    let key_of = |address: &str| {
        let line = keys.lines().find(|l| l.starts_with(&format!("{address} "))).expect("a key");
        line.split_once(' ').expect("two words").1.to_owned()
    };
    let forged: String = keys
        .lines()
        .map(|l| {
            if l.starts_with(&format!("{b2} ")) {
                format!("{b2} {}\n", key_of(&b1))
            } else {
                format!("{l}\n")
            }
        })
        .collect();
    let path = lab.dir.join("forged");
    fs::write(&path, forged).expect("a file");
    let standard = lab.lab(60, &["inventory"]).ok().out;
    let line = standard.lines().find(|l| l.contains("known_hosts:")).expect("a line");
    let new = format!("  known_hosts: {}", path.display());
    for policy in ["strict", "accept-new"] {
        let inventory =
            lab.inventory(&[(line, &new), ("host_key: strict", &format!("host_key: {policy}"))]);
        refused(&lab, &inventory, 1, &NODES, &["B2", "host key", "CHANGED", "ssh-keygen"]);
    }
    // and one that nobody knows
    fs::write(&path, "").expect("a file");
    let inventory = lab.inventory(&[(line, &new)]);
    refused(
        &lab,
        &inventory,
        1,
        &NODES,
        &["B1", "B2", "B3", "is not known", "SHA256:", "accept-new"],
    );
    // `plan` looks only; `up` learns the keys, even where it is refused afterwards
    let accept = ("host_key: strict", "host_key: accept-new");
    lab.cephdock(&lab.inventory(&[(line, &new), accept]), &["plan", "--json"]).exits(0);
    assert_eq!(fs::read_to_string(&path).expect("the file"), "");
    let disk = ("/dev/ubdb}]}\n  - {name: B3", "/dev/sdz}]}\n  - {name: B3");
    lab.cephdock(&lab.inventory(&[(line, &new), accept, disk]), &["up"]).exits(3);
    let learnt = fs::read_to_string(&path).expect("the file");
    assert_eq!(learnt.lines().count(), 3, "{learnt}");
}

/// A daemon's folder gets its name while it is looked at: an OSD is never seen without its key, which would be written
/// once more, and as root, where the OSD is about to read it.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_look_while_an_osd_is_being_made() {
    let lab = lab();
    lab.fresh();
    let dir = "/var/lib/ceph/osd/ceph-9";
    lab.sh(
        "B1",
        &format!(
            "rm -f /tmp/enough; mkdir -p {dir} && echo key >{dir}/keyring
             (until [ -e /tmp/enough ]; do mv -T {dir} {dir}.prepare; sleep 0.3; mv -T {dir}.prepare {dir}; sleep 0.3; done) >/dev/null 2>&1 &"
        ),
    );
    let probe = include_str!("../src/host/probe.sh");
    let looks = lab.sh(
        "B1",
        &format!("cat >/tmp/probe <<'END'\nFILES=\nDISKS=\n{probe}\nEND\nfor _ in $(seq 60); do sh /tmp/probe; done; touch /tmp/enough"),
    );
    let looks: Vec<_> = looks
        .split_inclusive("\n@@end\n")
        .filter(|l| l.contains("@@host"))
        .map(|l| cephdock::facts::probe::parse(l).expect("a whole look"))
        .collect();
    assert_eq!(looks.len(), 60);
    let made = looks.iter().filter(|l| l.osd_dirs.contains_key(&9)).count();
    assert!(made > 0 && made < 60, "it was seen both ways: {made}");
    for look in looks.iter().filter(|l| l.osd_dirs.contains_key(&9)) {
        assert!(look.files.contains_key(&format!("{dir}/keyring")), "{look:?}");
    }
}
