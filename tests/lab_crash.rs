//! cephdock is killed in the middle of a bring-up; the next run finishes the same cluster.

mod lab_support;

use lab_support::{Lab, NODES, OSDS, lab, until};
use serde_json::Value;

/// Brings up a new cluster, kills it at the moment that `is` it, and lets the next run finish.
fn killed_at(lab: &Lab, what: &str, is: impl Fn(&Value) -> bool) {
    lab.fresh();
    let inventory = lab.inventory(&[]);
    let mut running = lab.start_cephdock(&inventory, &["up", "--json"]);
    running.wait_for(what, 240, is);
    running.kill();
    let fsids = lab.everywhere("grep -o '\"fsid\": \"[^\"]*' /var/lib/ceph/cephdock/identity.json");

    lab.cephdock(&inventory, &["plan", "--check"]).exits(4);
    until("what the killed run had started on the nodes to end", 60, || {
        let left = lab.everywhere(
            "ps axww -o args | grep -E '^(python3 -c|docker system dial-stdio|sh -s|sh -c .*cephdock-lock)' || true",
        );
        if left.iter().all(String::is_empty) { Ok(()) } else { Err(format!("{left:.400?}")) }
    });
    let mut up = lab.start_cephdock(&inventory, &["up", "--json"]);
    up.wait_for("a first stage", 120, |e| e["event"] == "stage-started");
    // somebody ends what holds the lock there: it is taken again, and the run goes on
    lab.sh("B2", "pkill -KILL -f '^sh -c command -v flock' || true");
    let up = up.end("up", 420).exits(0);
    let warned = up.events_of("warning");
    let again = |w: &Value| w["message"] == "the lock on it had ended and has been taken again";
    assert!(warned.iter().any(|w| w["node"] == "B2" && again(w)), "{}", up.all());
    let fsid = up.summary()["fsid"].as_str().expect("an fsid").to_owned();
    assert_eq!(up.summary()["health"], "HEALTH_OK");
    for (node, seen) in NODES.iter().zip(fsids) {
        assert!(seen.contains(&fsid), "{node} had {seen} when {what}, the cluster is now {fsid}");
    }
    let dump = lab.ceph("B1", "osd dump");
    assert_eq!(dump["fsid"], fsid.as_str());
    let osds = dump["osds"].as_array().expect("OSDs");
    assert_eq!(osds.len() as u64, OSDS, "no OSD too many in the map: {osds:?}");
    assert_eq!(dump["max_osd"], OSDS, "no number was wasted");
    assert!(osds.iter().all(|o| o["up"] == 1 && o["in"] == 1), "{osds:?}");
    let keys = lab.ceph("B1", "auth ls");
    let keys = keys["auth_dump"].as_array().expect("keys");
    let osd_keys =
        keys.iter().filter(|k| k["entity"].as_str().is_some_and(|e| e.starts_with("osd.")));
    assert_eq!(osd_keys.count() as u64, OSDS, "no key too many");
    assert_eq!(lab.cephdock(&inventory, &["up", "--json"]).exits(0).summary()["steps"], 0);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn right_after_the_identity_is_written() {
    killed_at(&lab(), "the identity was written", |e| {
        e["event"] == "stage-finished" && e["stage"] == "identity"
    });
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn while_daemons_start() {
    killed_at(&lab(), "the first daemon had started", |e| {
        e["event"] == "step-finished" && e["what"].as_str().is_some_and(|w| w.starts_with("start "))
    });
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn while_it_waits_for_the_osds() {
    killed_at(&lab(), "it waited for the OSDs", |e| {
        e["event"] == "step-started"
            && e["what"].as_str().is_some_and(|w| w.contains("OSDs to come up"))
    });
}
