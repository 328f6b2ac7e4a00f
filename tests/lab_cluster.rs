//! One cluster on three nodes: made, left alone, damaged, put back.

mod lab_support;

use std::collections::BTreeSet;

use lab_support::{Lab, NODES, OSDS, lab, until};
use serde_json::Value;

/// The containers that the standard inventory makes, by node.
const CONTAINERS: [(&str, &[&str]); 3] = [
    ("B1", &["mgr", "mon", "osd-0", "osd-1"]),
    ("B2", &["mgr", "mon", "osd-2"]),
    ("B3", &["mon", "osd-3"]),
];

fn inspect(lab: &Lab, node: &str) -> Vec<Value> {
    let out = lab.sh(node, "docker ps -aq | xargs -r docker inspect");
    serde_json::from_str(&out).expect("JSON of docker inspect")
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn plan_writes_nothing_and_up_makes_a_healthy_cluster() {
    let lab = lab();
    lab.fresh();
    let inventory = lab.inventory(&[]);

    let before = lab.snapshot(&NODES);
    let plan = lab.cephdock(&inventory, &["plan", "--json"]).exits(0).json();
    assert!(plan["stages"].as_array().is_some_and(|s| !s.is_empty()), "{plan}");
    lab.cephdock(&inventory, &["plan", "--check"]).exits(4);
    lab.cephdock(&inventory, &["up", "--dry-run"]).exits(0).says(&["/dev/ubdb"]);
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    assert_eq!(status["health"], Value::Null);
    let check = lab.cephdock(&inventory, &["check", "--json"]).exits(0).json();
    assert_eq!(check["disks"][2]["holds"], "blank", "{check}");
    lab.assert_untouched(&NODES, &before);

    let watch = "(while [ ! -e /tmp/enough ]; do ps axwwe -o args; sleep 0.5; done | sort -u >/tmp/seen) >/dev/null 2>&1 &";
    lab.everywhere(&format!("rm -f /tmp/enough; {watch}"));
    lab.cephdock(&inventory, &["up", "-vv"]).exits(0).says(&["HEALTH_OK"]);
    lab.everywhere("touch /tmp/enough");

    the_mons_see_a_whole_cluster(&lab);
    containers_are_as_promised(&lab);
    files_are_as_promised(&lab);
    lab.cephdock(&inventory, &["status", "-vv"]).exits(0);
    lab.cephdock(&inventory, &["up", "--json", "-vv"]).exits(0);
    // its own daemons and disks are in nobody's way
    lab.cephdock(&inventory, &["check", "--json"]).exits(0).says(&["osd.2"]);
    nothing_secret_is_shown(&lab);
    lab.settled();
}

fn the_mons_see_a_whole_cluster(lab: &Lab) {
    let status = lab.ceph("B1", "status");
    assert_eq!(status["health"]["status"], "HEALTH_OK", "{status}");
    let pgs = &status["pgmap"];
    assert_eq!(pgs["pgs_by_state"][0]["state_name"], "active+clean", "{pgs}");
    assert_eq!(pgs["pgs_by_state"][0]["count"], pgs["num_pgs"]);

    let mons = lab.ceph("B1", "mon dump");
    assert_eq!(mons["quorum"].as_array().map(Vec::len), Some(3));
    for (mon, node) in mons["mons"].as_array().expect("mons").iter().zip(NODES) {
        assert_eq!(mon["name"], node);
        let address = lab.address(node);
        let kinds: Vec<String> = mon["public_addrs"]["addrvec"]
            .as_array()
            .expect("addresses")
            .iter()
            .map(|a| format!("{} {}", a["type"], a["addr"]).replace('"', ""))
            .collect();
        assert_eq!(kinds, [format!("v2 {address}:3300"), format!("v1 {address}:6789")]);
    }
    let mgrs = lab.ceph("B1", "mgr dump");
    assert_eq!(mgrs["standbys"].as_array().map(Vec::len), Some(1));
    assert_eq!(mgrs["available"], true);

    let tree = lab.ceph("B1", "osd tree");
    let nodes = tree["nodes"].as_array().expect("the tree");
    let children = |host: &str| {
        let bucket = nodes.iter().find(|n| n["type"] == "host" && n["name"] == host);
        let bucket = bucket.unwrap_or_else(|| panic!("no host {host} in {tree}"));
        bucket["children"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(NODES.map(children), [2, 1, 1]);
    assert_eq!(nodes.iter().filter(|n| n["type"] == "host").count(), 3);
    let metadata = lab.ceph("B1", "osd metadata");
    let stores = metadata.as_array().expect("OSDs").iter();
    let devices = stores.filter(|o| o["bluestore_bdev_devices"] == "ubdb").count();
    assert_eq!(devices, 3, "a whole disk on each node");
    assert_eq!(
        lab.sh("B1", "stat -c %s /var/lib/ceph/osd/ceph-?/block | grep -c 3221225472").trim(),
        "1"
    );

    let pools = lab.ceph("B1", "osd pool ls detail");
    let pool = pools.as_array().expect("pools").iter().find(|p| p["pool_name"] == "rbd");
    let pool = pool.expect("the pool rbd");
    assert!(pool["application_metadata"]["rbd"].is_object(), "{pool}");
    assert_eq!(pool["size"], 3);
    let ls = lab.sh(
        "B1",
        "docker exec mon rbd create --size 64 first && docker exec mon rbd ls && docker exec mon rbd rm --no-progress first",
    );
    assert_eq!(ls.trim(), "first");
}

fn containers_are_as_promised(lab: &Lab) {
    let fsid = lab.ceph("B1", "status")["fsid"].as_str().expect("an fsid").to_owned();
    for (node, names) in CONTAINERS {
        let containers = inspect(lab, node);
        let found: BTreeSet<&str> = containers.iter().filter_map(|c| c["Name"].as_str()).collect();
        let wanted: Vec<String> = names.iter().map(|n| format!("/{n}")).collect();
        assert_eq!(found, wanted.iter().map(String::as_str).collect(), "on {node}");
        for container in &containers {
            let name = container["Name"].as_str().unwrap_or_default();
            let (kind, id) = match name.strip_prefix("/osd-") {
                Some(id) => ("osd", id),
                None => (&name[1..], node),
            };
            let labels = &container["Config"]["Labels"];
            assert_eq!(labels["cephdock.fsid"], fsid.as_str());
            assert_eq!(labels["cephdock.kind"], kind);
            assert_eq!(labels["cephdock.id"], id);
            assert_eq!(labels["cephdock.spec"].as_str().map(str::len), Some(64));
            let host = &container["HostConfig"];
            assert_eq!(host["NetworkMode"], "host");
            assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
            assert_eq!(host["Privileged"], kind == "osd", "{name} on {node}");
            assert_eq!(container["State"]["Running"], true);
            assert_eq!(container["RestartCount"], 0, "{name} on {node} fell over");
        }
        let users = lab.sh(node, "docker ps -q | xargs -n1 docker inspect -f '{{.State.Pid}}' | while read -r p; do stat -c %u /proc/$p; done | sort -u");
        let ceph = lab.sh(node, "docker exec mon id -u ceph");
        assert_eq!(users, ceph, "every daemon on {node} runs as ceph");
    }
}

fn files_are_as_promised(lab: &Lab) {
    for (node, containers) in CONTAINERS {
        let ceph = lab.sh(node, "docker exec mon id -u ceph").trim().to_owned();
        let stat = |path: &str| lab.sh(node, &format!("stat -c '%a %u' {path}")).trim().to_owned();
        assert_eq!(stat("/etc/ceph/ceph.conf"), "644 0");
        assert_eq!(stat("/etc/ceph/ceph.client.admin.keyring"), "600 0");
        assert_eq!(stat("/var/lib/ceph/cephdock/identity.json"), "600 0");
        assert_eq!(stat("/var/lib/ceph/bootstrap-osd/ceph.keyring"), "600 0");
        for container in containers {
            let (kind, id) = container.split_once('-').unwrap_or((container, node));
            let dir = format!("/var/lib/ceph/{kind}/ceph-{id}");
            let mode = stat(&dir);
            assert!(
                [format!("700 {ceph}"), format!("750 {ceph}")].contains(&mode),
                "{dir}: {mode}"
            );
            assert_eq!(stat(&format!("{dir}/keyring")), format!("600 {ceph}"), "{dir}");
        }
        let open = lab.sh(node, "find /etc/ceph /var/lib/ceph -name '*keyring*' -perm /077; find /etc/ceph /var/lib/ceph -name '*.cephdock-new' -o -name '*.prepare' -o -name '*.bootstrap'");
        assert_eq!(open, "", "keys that others can read, or something half-made, on {node}");
    }
}

/// No key of the cluster, nor the seed they come from, is anywhere that others see.
fn nothing_secret_is_shown(lab: &Lab) {
    let auth = lab.ceph("B1", "auth ls");
    let keys = auth["auth_dump"].as_array().expect("keys").iter();
    let mut secrets: Vec<String> =
        keys.filter_map(|k| Some(k["key"].as_str()?.to_owned())).collect();
    let identity = lab.sh("B1", "cat /var/lib/ceph/cephdock/identity.json");
    let identity: Value = serde_json::from_str(&identity).expect("the identity");
    secrets.push(identity["seed"].as_str().expect("a seed").to_owned());
    let mon = lab.sh("B1", "sed -n 's/.*key = //p' /var/lib/ceph/mon/ceph-B1/keyring");
    secrets.push(mon.trim().to_owned());
    assert!(secrets.len() >= 9, "mon, admin, bootstrap, mgrs, OSDs, the seed: {}", secrets.len());
    assert!(secrets.iter().all(|s| s.len() >= 40));

    let mut places = vec![("cephdock's output".to_owned(), lab.said())];
    for (place, command) in [
        ("docker inspect", "docker ps -aq | xargs docker inspect"),
        ("ps", "ps axwwe -o args"),
        ("ps during up", "cat /tmp/seen"),
        ("the environments", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"),
        ("docker logs", "for c in $(docker ps -aq); do docker logs $c 2>&1; done"),
        ("the journal", "journalctl -b --no-pager"),
        ("the image", "docker images -q | xargs docker inspect"),
    ] {
        for (node, text) in NODES.iter().zip(lab.everywhere(command)) {
            assert!(text.len() > 100, "{place} on {node} says next to nothing: {text}");
            places.push((format!("{place} on {node}"), text));
        }
    }
    for (place, text) in places {
        // the secret itself must not get into the report of this test
        let shown = secrets.iter().filter(|s| text.contains(s.as_str())).count();
        assert_eq!(shown, 0, "secrets shown by {place}");
    }
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn up_again_does_nothing() {
    let lab = lab();
    let inventory = lab.cluster();
    let before = lab.snapshot(&NODES);
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0);
    assert_eq!(up.summary()["steps"], 0);
    assert_eq!(up.summary()["converged"], true);
    assert_eq!(up.events_of("planned").len(), 1);
    assert!(up.events_of("step-started").is_empty());
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["othing to do", "HEALTH_OK"]);
    lab.cephdock(&inventory, &["plan", "--check"]).exits(0);
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(0).json();
    assert_eq!(status["drift"], Value::Array(Vec::new()));
    assert_eq!(status["osds"]["up"], OSDS);
    assert_eq!(status["mons"]["quorum"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["pgs"]["total"], status["pgs"]["active_clean"]);
    lab.assert_untouched(&NODES, &before);
}

/// What must stay the same about OSDs, whatever happens to their containers.
fn osds(lab: &Lab) -> Vec<(Value, Value)> {
    let dump = lab.ceph("B1", "osd dump");
    let osds = dump["osds"].as_array().expect("OSDs").iter();
    osds.map(|o| (o["osd"].clone(), o["uuid"].clone())).collect()
}

/// Damages a running cluster: `status` tells, `up` mends, nothing else changes.
fn damage(node: &str, daemon: (&str, &str), command: &str, state: &str) {
    let lab = lab();
    let inventory = lab.cluster();
    let before = osds(&lab);
    lab.sh(node, command);
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    let on_node = status["nodes"].as_array().expect("nodes").iter().find(|n| n["name"] == node);
    let on_node = on_node.expect("the node");
    let daemons = on_node["daemons"].as_array().expect("daemons");
    let seen = daemons.iter().find(|d| d["kind"] == daemon.0 && d["id"] == daemon.1);
    assert_eq!(seen.expect("the daemon")["state"], state, "{on_node}");
    let drift = status["drift"].as_array().expect("drift").iter().find(|d| d["node"] == node);
    let drift = drift.unwrap_or_else(|| panic!("no drift on {node}: {}", status["drift"]));
    let name = format!("{}.{}", daemon.0, daemon.1);
    assert!(drift["what"].as_str().is_some_and(|w| w.contains(&name)), "{drift}");
    lab.cephdock(&inventory, &["plan", "--check"]).exits(4).says(&[&name]);

    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0);
    assert_eq!(up.summary()["health"], "HEALTH_OK");
    let steps = up.events_of("step-finished");
    let on: BTreeSet<&str> = steps
        .iter()
        .filter(|e| {
            e["what"].as_str().is_some_and(|w| w.starts_with("start") || w.starts_with("replace"))
        })
        .filter_map(|e| e["node"].as_str())
        .collect();
    assert_eq!(on, BTreeSet::from([node]), "only what was damaged is started: {steps:?}");
    assert_eq!(osds(&lab), before, "OSDs keep their numbers and uuids");
    lab.cephdock(&inventory, &["status"]).exits(0);
    lab.cephdock(&inventory, &["plan", "--check"]).exits(0);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_stopped_osd_is_started() {
    damage("B2", ("osd", "2"), "docker stop osd-2", "stopped");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_removed_mon_is_made_again() {
    damage("B2", ("mon", "B2"), "docker rm -f mon", "missing");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_removed_osd_is_made_again() {
    damage("B1", ("osd", "1"), "docker rm -f osd-1", "missing");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_changed_restart_policy_is_put_back() {
    damage("B1", ("mgr", "B1"), "docker update --restart=no mgr", "running");
    let policy = lab().sh("B1", "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' mgr");
    assert_eq!(policy.trim(), "unless-stopped");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_paused_osd_runs_again() {
    damage("B3", ("osd", "3"), "docker pause osd-3", "stopped");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_key_and_configuration_that_were_changed_are_put_back() {
    let lab = lab();
    let inventory = lab.cluster();
    let before = lab.sh("B3", "sha256sum /etc/ceph/*");
    lab.sh(
        "B3",
        "echo 'debug_ms = 1' >>/etc/ceph/ceph.conf; chmod 644 /etc/ceph/ceph.client.admin.keyring",
    );
    lab.cephdock(&inventory, &["status"]).exits(4).says(&["B3", "/etc/ceph/ceph.conf"]);
    lab.cephdock(&inventory, &["up"]).exits(0);
    assert_eq!(lab.sh("B3", "sha256sum /etc/ceph/*"), before);
    assert_eq!(lab.sh("B3", "stat -c %a /etc/ceph/*keyring").trim(), "600");

    // a daemon's own key, which it has to be able to read when it starts again
    let key = "/var/lib/ceph/osd/ceph-3/keyring";
    let before = lab.sh("B3", &format!("sha256sum {key}"));
    lab.sh("B3", &format!("rm {key}; docker stop osd-3"));
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(lab.sh("B3", &format!("sha256sum {key}")), before);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn an_osd_without_data_directory_is_recognised_by_its_disk() {
    let lab = lab();
    let inventory = lab.cluster();
    let before = osds(&lab);
    lab.sh(
        "B1",
        "docker exec mon sh -c 'head -c 1000000 /dev/urandom >/tmp/o; rados -p rbd put kept /tmp/o; rbd create --size 8 kept'",
    );
    let sum = lab.sh("B1", "docker exec mon sha256sum /tmp/o | cut -c1-64");
    let label = "docker exec osd-2 ceph-bluestore-tool show-label --dev /dev/ubdb";
    let made = |text: &str| {
        serde_json::from_str::<Value>(text).expect("a label")["/dev/ubdb"]["btime"].clone()
    };
    let made_before = made(&lab.sh("B2", label));
    lab.sh("B2", "docker rm -f osd-2 && rm -rf /var/lib/ceph/osd/ceph-2");

    lab.cephdock(&inventory, &["plan"]).exits(0).says(&["osd.2", "/dev/ubdb carries its data"]);
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(osds(&lab), before);
    assert_eq!(made(&lab.sh("B2", label)), made_before, "the disk was formatted again");
    let read = "docker exec mon sh -c 'rados -p rbd get kept - | sha256sum | cut -c1-64; rbd ls | grep -x kept; rados -p rbd rm kept; rbd rm --no-progress kept'";
    assert_eq!(lab.sh("B2", read), format!("{sum}kept\n"));
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn what_a_daemon_that_falls_over_says_is_shown() {
    let lab = lab();
    let inventory = lab.cluster();
    lab.sh("B2", "docker stop osd-2; mv /var/lib/ceph/osd/ceph-2/type /root/");
    let why = "files were removed from its data directory, /var/lib/ceph/osd/ceph-2";
    let parts = ["osd.2 on B2", "missing 'type' file", "run the same command again", why];
    lab.cephdock(&inventory, &["up"]).exits(1).says(&parts);
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    let osd = status["nodes"][1]["daemons"].as_array().expect("daemons").iter();
    let osd = osd.clone().find(|d| d["id"] == "2").expect("osd.2");
    assert_eq!(osd["cause"]["code"], "osd-files-missing", "{osd}");
    assert!(osd["log"].to_string().contains("missing 'type' file"), "{osd}");
    lab.sh("B2", "mv /root/type /var/lib/ceph/osd/ceph-2/");
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_node_without_power() {
    let lab = lab();
    let inventory = lab.cluster();
    lab.lab(60, &["cut", "B3"]).ok();

    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    let nodes = status["nodes"].as_array().expect("nodes");
    let reachable: Vec<&Value> = nodes.iter().map(|n| &n["reachable"]).collect();
    assert_eq!(reachable, [true, true, false]);
    assert!(
        nodes[2]["error"].as_str().is_some_and(|e| e.contains(&lab.address("B3"))),
        "{}",
        nodes[2]
    );
    assert_eq!(nodes[0]["daemons"].as_array().map(Vec::len), Some(4), "the rest is shown");
    assert!(status["health"].is_string(), "two mons of three answer: {status}");
    lab.cephdock(&inventory, &["status"]).exits(4).says(&["B3", &lab.address("B3")]);

    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(1).summary();
    assert_eq!(up["converged"], false);
    assert!(up["unreachable"].to_string().contains("B3"), "{up}");
    lab.cephdock(&inventory, &["up"]).exits(1).says(&["B3", &lab.address("B3")]);
    assert_eq!(osds(&lab).len() as u64, OSDS);

    lab.lab(300, &["start", "B3"]).ok();
    until("the node's daemons to come back by themselves", 240, || {
        let status = lab.cephdock(&inventory, &["status", "--json"]);
        if status.code == 0 { Ok(()) } else { Err(status.all()) }
    });
    // the health may be OK a moment before every PG is clean
    until("nothing to be left to do", 60, || {
        let plan = lab.cephdock(&inventory, &["plan", "--check"]);
        if plan.code == 0 { Ok(()) } else { Err(plan.all()) }
    });
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0).summary();
    assert_eq!(up["steps"], 0, "{up}");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn no_mon_answers() {
    let lab = lab();
    let inventory = lab.cluster();
    let fsid = lab.ceph("B1", "status")["fsid"].clone();
    let before = osds(&lab);
    lab.everywhere("docker stop mon");
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    assert_eq!(status["health"], Value::Null);
    assert_eq!(status["fsid"], fsid, "the nodes know it");
    assert_eq!(status["osds"]["total"], Value::Null, "nobody could be asked");
    assert_eq!(status["checks"][0]["code"], "CEPHDOCK_NO_MON");
    assert!(status["nodes"].as_array().expect("nodes").iter().all(|n| n["reachable"] == true));
    lab.cephdock(&inventory, &["status"]).exits(4).says(&["no mon answers"]);

    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);
    assert_eq!(lab.ceph("B1", "status")["fsid"], fsid);
    assert_eq!(osds(&lab), before);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn what_a_former_cluster_left_is_refused() {
    let lab = lab();
    let inventory = lab.cluster();
    let fsid = lab.ceph("B1", "status")["fsid"].as_str().expect("an fsid").to_owned();
    lab.spoiled();

    // containers, configuration and stores are there, and nobody knows whose they are
    lab.everywhere("rm -rf /var/lib/ceph/cephdock");
    let before = lab.snapshot(&NODES);
    lab.cephdock(&inventory, &["up"]).exits(3).says(&[
        "B1",
        "B2",
        "B3",
        &fsid,
        "/etc/ceph/ceph.conf",
        "hint",
    ]);
    lab.assert_untouched(&NODES, &before);

    // data directories alone
    lab.everywhere("docker ps -aq | xargs docker rm -f; rm -rf /etc/ceph");
    let before = lab.snapshot(&NODES);
    let stores = ["mon store", &fsid, "/var/lib/ceph/osd/ceph-2"];
    lab.cephdock(&inventory, &["up"]).exits(3).says(&stores).says(&NODES);
    lab.assert_untouched(&NODES, &before);

    // the disks alone
    lab.everywhere("rm -rf /var/lib/ceph");
    let before = lab.snapshot(&NODES);
    let disks = ["/dev/ubdb", "osd.2", &fsid, "wipefs"];
    lab.cephdock(&inventory, &["up"]).exits(3).says(&disks).says(&NODES);
    lab.cephdock(&inventory, &["plan"]).exits(3).says(&disks);
    lab.assert_untouched(&NODES, &before);
}
