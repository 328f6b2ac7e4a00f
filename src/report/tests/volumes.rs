//! Volumes: the list, one in full, what unsticking finds, and the proof.

use insta::assert_snapshot;

use crate::volume::fleet::change::Target;
use crate::volume::fleet::proof::{Trial, Turn};
use crate::volume::fleet::unstick::{Cure, Finding, Plan};
use crate::volume::fleet::view::{
    Held, HolderView, ImageView, Mapped, Referring, Unknown, Volume, Volumes,
};
use crate::volume::fleet::{LockHeld, Snapshot};
use crate::volume::options::{Fs, Lock};

use super::super::volume_view;
use super::{ASCII, PLAIN, fits, node};

const SINCE: &str = "2026-11-26T10:00:00Z";
const CLIENT: &str = "10.32.3.147:0/1434120812";

fn volume(name: &str, health: &str, well: bool) -> Volume {
    Volume {
        name: name.into(),
        health: health.into(),
        well,
        image: Some(ImageView {
            pool: "rbd".into(),
            id: "10c9d1a7a3f1".into(),
            size: 10 << 30,
            used: Some(3 << 29),
            fs: Some(Fs::Ext4),
            lock: Some(Lock::Exclusive),
            read_only: false,
            made_on: Some("B1".into()),
            created: Some(SINCE.into()),
            from: None,
            features: ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"]
                .map(String::from)
                .into(),
            snapshots: vec![],
            locks: vec![],
        }),
        holders: vec![],
        mapped: vec![],
        containers: vec![],
        listed_on: vec![node("B1"), node("B2")],
        held: vec![],
    }
}

fn in_use() -> Volume {
    let mut v = volume("data", "stale mapping on B3", false);
    let holder = HolderView {
        node: Some(node("B1")),
        address: CLIENT.into(),
        since: Some(SINCE.into()),
        reachable: true,
    };
    v.holders.push(holder);
    let mapped = |on: &str, id: &str, stale, mounts: &[&str]| Mapped {
        node: node(on),
        device: "/dev/rbd0".into(),
        image_id: id.into(),
        stale,
        mounts: mounts.iter().map(|m| (*m).to_owned()).collect(),
    };
    let at = "/var/lib/cephdock/volumes/data.10c9d1a7a3f1";
    v.mapped = vec![
        mapped("B1", "10c9d1a7a3f1", false, &[at, "/var/lib/postgresql/data"]),
        mapped("B3", "9f", true, &[]),
    ];
    let container = |on: &str, name: &str, running| Referring {
        node: node(on),
        container: name.into(),
        running,
        driver: "cephdock".into(),
    };
    v.containers = vec![container("B1", "db", true), container("B2", "old\x1b[2J", false)];
    v.held = vec![Held {
        node: node("B1"),
        image_id: "10c9d1a7a3f1".into(),
        users: 1,
        since: SINCE.into(),
        error: None,
    }];
    let image = v.image.as_mut().unwrap();
    image.snapshots = snapshots();
    let cookie = "auto 18446462598732840961".into();
    image.locks = vec![LockHeld { client: "client.4123".into(), cookie, address: CLIENT.into() }];
    v
}

fn snapshots() -> Vec<Snapshot> {
    let monday = Snapshot {
        name: "monday".into(),
        size: 10 << 30,
        created: Some(SINCE.into()),
        clones: vec!["rbd/copy".into(), "rbd/another-copy".into()],
    };
    vec![monday, Snapshot { name: "before-upgrade".into(), size: 8 << 30, ..Snapshot::default() }]
}

fn not_seen() -> Vec<Unknown> {
    let why = "10.32.3.149:22 did not answer within 8 s while connecting";
    vec![Unknown { node: Some(node("B4")), why: why.into() }]
}

#[test]
fn a_list_of_volumes_in_every_health() {
    let gone = Volume { image: None, ..volume("gone", "gone, and still held by B2, B3", false) };
    let far = Volume {
        holders: vec![HolderView {
            node: Some(node("B4")),
            address: CLIENT.into(),
            since: None,
            reachable: false,
        }],
        ..volume("logs", "in use by B4, which is out of reach", false)
    };
    let all = Volumes {
        volumes: vec![
            volume("a-volume-with-quite-a-long-name", "ok", true),
            in_use(),
            gone,
            far,
            volume("cephdock.new.half.B2", "half-made", false),
        ],
        unknown: not_seen(),
    };
    let text = volume_view::list(&all, &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
    let none = Volumes::default();
    assert_snapshot!("no_volumes", volume_view::list(&none, &PLAIN));
}

#[test]
fn one_volume_with_everything() {
    let text = volume_view::one(&in_use(), &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
}

#[test]
fn a_volumes_snapshots() {
    let text = volume_view::snapshot_list("data", &snapshots(), &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text + &volume_view::snapshot_list("data", &[], &PLAIN));
}

#[test]
fn what_unsticking_found() {
    let let_go = Cure::LetGo {
        node: node("B2"),
        number: 0,
        image_id: "9f".into(),
        mounts: vec!["/var/lib/cephdock/volumes/data.9f".into()],
    };
    let target = Target { pool: "rbd".into(), name: "data".into(), id: "10c9d1a7a3f1".into() };
    let lock =
        LockHeld { client: "client.4123".into(), cookie: "x".into(), address: CLIENT.into() };
    let finding = |on: Option<&str>, what: &str, cure| Finding {
        node: on.map(node),
        what: what.into(),
        cure,
    };
    let plan = Plan {
        findings: vec![
            finding(
                Some("B2"),
                "/dev/rbd0 is a mapping of an earlier image of that name (id 9f)",
                Ok(let_go),
            ),
            finding(
                None,
                "data is locked by client.4123, which does not watch it any more",
                Ok(Cure::BreakLock { target, lock }),
            ),
            finding(
                Some("B3"),
                "the running container web refers to data, which Docker keeps for driver cephdock",
                Err("it runs: stop it first (`docker stop web`)".into()),
            ),
        ],
        notes: vec![
            "B4 cannot be looked at, so what it holds is not known and stays: no route to host; run this again when it is back".into(),
        ],
    };
    let text = volume_view::found("data", &plan, &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
}

#[test]
fn the_proof_across_nodes() {
    let turn = |on: &str, did, error: Option<&str>, hint: Option<&str>| Turn {
        node: node(on),
        did,
        seconds: did.map(|_| 3.7),
        sha256: did
            .map(|_| "d8693bffaf2296e83e670bc4fca39cdfb74891f0217c528c4a4caaf029bfdb4d".into()),
        error: error.map(String::from),
        hint: hint.map(String::from),
    };
    let mut trial = Trial {
        volume: "cephdock-test-1f3a9c02".into(),
        driver: "cephdock".into(),
        nodes: vec![
            turn("B1", Some("wrote it"), None, None),
            turn("B2", Some("read it, added a line"), None, None),
        ],
        left: vec![],
    };
    let passed = volume_view::proof(&trial, &PLAIN);
    let why = "cephdock's volume driver does not run there";
    let hint = "`cephdock up` installs it; its unit is cephdock-volume-driver";
    trial.nodes.push(turn("B3", None, Some(why), Some(hint)));
    trial
        .left
        .push("the container cephdock-test-1f3a9c02 on B2: the SSH connection was lost".into());
    let failed = volume_view::proof(&trial, &ASCII);
    fits(&failed, 80);
    assert_snapshot!(passed + "\n" + &failed);
}
