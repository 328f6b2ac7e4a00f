//! What is looked at: a status and a plan.

use std::net::{IpAddr, Ipv4Addr};

use insta::assert_snapshot;

use crate::status::{
    Bytes, Check, DaemonState, DaemonStatus, Drift, Mons, NodeStatus, Osds, Pgs, RbdStatus,
    Severity, Status,
};

use super::super::plan_view::{self, PlanView, StageView, StepView};
use super::super::reset_view::{self, DiskGoes, NodeGoes, ResetView};
use super::super::screen::Screen;
use super::super::status_view;
use super::{ASCII, COLOR, FSID, PLAIN, fits, node};

fn daemon(kind: &str, id: &str, state: DaemonState) -> DaemonStatus {
    DaemonStatus {
        kind: kind.into(),
        id: id.into(),
        state,
        image: Some("quay.io/ceph/ceph:v19".into()),
        version: (state == DaemonState::Running).then(|| "19.2.3".into()),
        detail: None,
        log: vec![],
        cause: None,
    }
}

fn node_status(i: u8) -> NodeStatus {
    let name = format!("B{i}");
    NodeStatus {
        name: node(&name),
        address: IpAddr::V4(Ipv4Addr::new(10, 32, 3, 146 + i)),
        reachable: true,
        error: None,
        daemons: vec![
            daemon("mon", &name, DaemonState::Running),
            daemon("mgr", &name, DaemonState::Running),
            daemon("osd", &(i - 1).to_string(), DaemonState::Running),
        ],
        volume_driver: Some("cephdock".into()),
        rbd: Some(RbdStatus { available: true, loaded: true }),
        tools: Some("19.2.3".into()),
    }
}

fn dead(mut n: NodeStatus) -> NodeStatus {
    n.reachable = false;
    n.error =
        Some("connect to 10.32.3.149:22: no route to host (os error 113), after 3 attempts".into());
    n.daemons = vec![];
    n.volume_driver = None;
    n.rbd = None;
    n.tools = None;
    n
}

fn healthy() -> Status {
    Status {
        fsid: Some(FSID.into()),
        health: Some("HEALTH_OK".into()),
        checks: vec![],
        nodes: (1..=3).map(node_status).collect(),
        mons: Mons { total: 3, quorum: ["B1", "B2", "B3"].map(String::from).into() },
        osds: Osds { total: Some(3), up: Some(3), inside: Some(3) },
        pgs: Pgs { total: Some(33), active_clean: Some(33) },
        bytes: Bytes {
            total: Some(60 << 30),
            used: Some(81 << 20),
            available: Some((60 << 30) - (81 << 20)),
        },
        drift: vec![],
        notes: vec![],
    }
}

fn status(s: &Status, screen: &Screen) -> String {
    let text = status_view::render(s, screen);
    fits(&text, screen.width);
    text
}

#[test]
fn status_of_a_healthy_cluster() {
    assert_snapshot!(status(&healthy(), &PLAIN) + "\n" + &status(&healthy(), &ASCII));
}

#[test]
fn status_in_color() {
    let mut s = healthy();
    s.nodes[1].daemons[2].state = DaemonState::Restarting;
    s.nodes[2] = dead(node_status(3));
    assert_snapshot!(status(&s, &COLOR).replace('\x1b', "ESC"));
}

#[test]
fn status_with_one_node_dead() {
    let mut s = healthy();
    s.health = Some("HEALTH_WARN".into());
    s.nodes[2] = dead(node_status(3));
    s.nodes[1].daemons[2] = DaemonStatus {
        detail: Some("exited with 1, 3 min ago".into()),
        log: vec!["bdev(0x55 /dev/sdb) open got: (16) Device or resource busy\x1b[2J".into()],
        ..daemon("osd", "1", DaemonState::Stopped)
    };
    s.nodes.push(NodeStatus { daemons: vec![], ..node_status(4) });
    s.mons.quorum.pop();
    s.osds.up = Some(1);
    s.pgs.active_clean = Some(0);
    let check = |code: &str, severity, summary: &str| Check {
        code: code.into(),
        severity,
        summary: summary.into(),
        hint: crate::causes::advice(code).map(String::from),
    };
    s.checks = vec![
        check("MON_DOWN", Severity::Warning, "1/3 mons down, quorum B1,B2"),
        check(
            "PG_AVAILABILITY",
            Severity::Error,
            "Reduced data availability: 33 pgs inactive, 12 pgs peering, and a sentence long enough for a second line",
        ),
    ];
    s.drift = vec![
        Drift {
            node: Some(node("B2")),
            what: "osd-1 runs quay.io/ceph/ceph:v18, the inventory says quay.io/ceph/ceph:v19"
                .into(),
        },
        Drift { node: None, what: "pool rbd has size 2, not 3".into() },
    ];
    assert_snapshot!(status(&s, &PLAIN));
}

#[test]
fn status_of_nodes_without_rbd() {
    let mut s = healthy();
    for n in &mut s.nodes[..2] {
        n.rbd = Some(RbdStatus { available: false, loaded: false });
    }
    let note = |n: &str| Drift {
        node: Some(node(n)),
        what: "its kernel 6.18.0 has no rbd module, so volumes cannot work on it".into(),
    };
    s.notes = ["B1", "B2"].map(note).to_vec();
    assert_snapshot!(status(&s, &PLAIN));
}

/// What cannot run, what runs and is no use, and what several share.
#[test]
fn status_of_ailing_daemons_says_why() {
    use crate::causes::{Sick, explain};
    use crate::daemon::{DaemonId, Kind};
    use crate::facts::ContainerState;

    let mut s = healthy();
    s.health = Some("HEALTH_WARN".into());
    s.checks = ["OSD_DOWN", "MON_CLOCK_SKEW", "SOMETHING_NEW"]
        .map(|code| Check {
            code: code.into(),
            severity: Severity::Warning,
            summary: "in Ceph's own words".into(),
            hint: crate::causes::advice(code).map(String::from),
        })
        .into();
    let mut sick = |node: usize, daemon: usize, state, detail: &str, log: &str| {
        let d = &mut s.nodes[node].daemons[daemon];
        let id = DaemonId { kind: Kind::parse(&d.kind).unwrap(), id: d.id.clone() };
        let container = match state {
            DaemonState::Running => Some(ContainerState::Running),
            DaemonState::Restarting => Some(ContainerState::Restarting),
            DaemonState::Stopped => Some(ContainerState::Exited),
            DaemonState::Missing => None,
        };
        (d.state, d.detail) = (state, (!detail.is_empty()).then(|| detail.into()));
        d.log = log.lines().map(String::from).collect();
        let exit_code = Some(i64::from(detail.contains("exited with 1")));
        let log = d.log.clone();
        let sick = Sick {
            daemon: id,
            state: container,
            exit_code,
            out_of_memory: false,
            not_started: None,
            log: &log,
        };
        d.cause = explain(&sick);
    };
    sick(
        0,
        0,
        DaemonState::Running,
        "it is not in the quorum",
        "2026-11-26T18:15:50.016+0000 7f7a4464cb40 -1 mon.B1@0(electing) e1 nobody has seen this before, and it is long",
    );
    sick(
        0,
        2,
        DaemonState::Restarting,
        "exited with 1, restarted 9 times",
        "2026-11-26T18:18:01.520+0000 7fb570a8a6c0 -1 bluestore(/var/lib/ceph/osd/ceph-0/block) _read_bdev_label failed to open /var/lib/ceph/osd/ceph-0/block: (2) No such file or directory\n2026-11-26T18:18:02.520+0000 7fb570a8a6c0 -1 \x1b[0;31m ** ERROR: osd init failed: (2) No such file or directory\x1b[0m",
    );
    for node in [1, 2] {
        sick(node, 1, DaemonState::Missing, "", "");
        sick(node, 2, DaemonState::Stopped, "exited with 0", "");
    }
    assert_snapshot!(status(&s, &PLAIN) + "\n" + &status(&s, &COLOR).replace('\x1b', "ESC"));
}

fn no_mons() -> Status {
    let mut s = Status {
        fsid: Some(FSID.into()),
        checks: vec![Check::no_mon("timed out after 10 s")],
        nodes: (1..=3).map(node_status).collect(),
        mons: Mons { total: 3, quorum: vec![] },
        ..Status::default()
    };
    for n in &mut s.nodes {
        n.daemons[0] = daemon("mon", n.name.as_str(), DaemonState::Missing);
    }
    s
}

#[test]
fn status_with_all_mons_dead() {
    assert_snapshot!(status(&no_mons(), &PLAIN));
}

#[test]
fn status_of_24_nodes_with_many_osds_on_one() {
    let mut s = healthy();
    s.nodes = (1..=24).map(node_status).collect();
    s.nodes[4]
        .daemons
        .extend((30..60).map(|i| daemon("osd", &i.to_string(), DaemonState::Running)));
    s.nodes[7].daemons[0].version = Some("19.2.2".into());
    s.mons.total = 24;
    s.mons.quorum = (1..=24).map(|i| format!("B{i}")).collect();
    assert_snapshot!(status(&s, &PLAIN));
}

#[test]
fn status_as_json_keeps_its_shape() {
    let known = serde_json::to_value(healthy()).unwrap();
    let unknown = serde_json::to_value(no_mons()).unwrap();
    assert_eq!(unknown["health"], serde_json::Value::Null);
    assert_eq!(unknown["osds"]["up"], serde_json::Value::Null);
    assert_eq!(unknown["checks"][0]["code"], "CEPHDOCK_NO_MON");
    assert_eq!(unknown["checks"][0]["severity"], "error");
    for path in [
        "/fsid",
        "/health",
        "/checks",
        "/nodes/0/name",
        "/nodes/0/address",
        "/nodes/0/reachable",
        "/nodes/0/error",
        "/nodes/0/daemons/0/kind",
        "/nodes/0/daemons/0/id",
        "/nodes/0/daemons/0/state",
        "/nodes/0/daemons/0/image",
        "/nodes/0/daemons/0/version",
        "/nodes/0/daemons/0/log",
        "/nodes/0/daemons/0/cause",
        "/nodes/0/volume_driver",
        "/nodes/0/rbd/available",
        "/nodes/0/rbd/loaded",
        "/nodes/0/tools",
        "/notes",
        "/mons/total",
        "/mons/quorum/0",
        "/osds/total",
        "/osds/up",
        "/osds/in",
        "/pgs/total",
        "/pgs/active_clean",
        "/bytes/total",
        "/bytes/used",
        "/bytes/available",
    ] {
        assert!(known.pointer(path).is_some(), "{path} is missing");
    }
    assert_eq!(known["nodes"][0]["daemons"][0]["state"], "running");
    assert!(unknown["checks"][0]["hint"].is_string());
}

fn a_plan() -> PlanView {
    let step = |name: &str, what: &str, why: &str, destructive| StepView {
        node: node(name),
        what: what.into(),
        why: why.into(),
        destructive,
    };
    let all =
        |what: &str, why: &str| ["B1", "B2", "B3"].map(|n| step(n, what, why, false)).to_vec();
    PlanView {
        stages: vec![
            StageView {
                title: "prepare nodes".into(),
                steps: all("open 3300, 6789, 6800-7300/tcp in firewalld", "closed"),
            },
            StageView {
                title: "start mons".into(),
                steps: [
                    all("write /etc/ceph/ceph.conf", "not there"),
                    all("start mon", "not there"),
                ]
                .concat(),
            },
            StageView {
                title: "prepare disks".into(),
                steps: vec![
                    step("B1", "format /dev/sdb as osd-0", "blank, 1.8 TiB, serial S3X7", true),
                    step("B2", "format /dev/sdb as osd-1", "blank, 1.8 TiB, serial S3X9", true),
                    step("B3", "make a file of 20.0 GiB for osd-2", "not there", false),
                ],
            },
        ],
        waiting: vec![
            (Some(node("B4")), "all of it: not reachable".into()),
            (None, "pool rbd: no OSD yet".into()),
        ],
        notes: vec![],
        disks: [("B1", "S3X7", 0), ("B2", "S3X9", 1)]
            .map(|(name, serial, osd)| DiskGoes {
                node: node(name),
                path: format!("/dev/disk/by-id/ata-Some_Vendor_Of_Disks_4TB_{serial}"),
                kernel_name: "sdb".into(),
                serial: Some(serial.into()),
                size: 2_000_398_934_016,
                osd: Some(osd),
            })
            .into(),
        pulls: ["B1", "B2", "B3"].map(|n| (node(n), "quay.io/ceph/ceph:v19".into())).to_vec(),
    }
}

#[test]
fn plan_of_a_fresh_cluster() {
    let text = plan_view::render(&a_plan(), &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
}

#[test]
fn plan_in_color_marks_the_disks() {
    let plan = PlanView { waiting: vec![], pulls: vec![], ..a_plan() };
    assert_snapshot!(plan_view::render(&plan, &COLOR).replace('\x1b', "ESC"));
}

#[test]
fn plans_with_no_step() {
    assert_eq!(plan_view::render(&PlanView::default(), &PLAIN), "Nothing to do.\n");
    let note = (Some(node("B4")), "its kernel has no rbd module".to_owned());
    let known = PlanView { notes: vec![note], ..PlanView::default() };
    let text = plan_view::render(&known, &PLAIN);
    assert!(text.contains("Worth knowing:") && text.ends_with("Nothing to do.\n"), "{text}");
    let waiting = PlanView { stages: vec![], disks: vec![], pulls: vec![], ..a_plan() };
    assert_snapshot!(plan_view::render(&waiting, &PLAIN));
}

#[test]
fn plan_as_json_is_an_event() {
    let value = serde_json::to_value(a_plan()).unwrap();
    assert_eq!(value["event"], "plan");
    assert_eq!(value["stages"][2]["steps"][0]["destructive"], true);
}

fn reset() -> ResetView {
    let goes = |name: &str, osd: &str| NodeGoes {
        node: node(name),
        containers: ["mon", "mgr", osd].map(String::from).into(),
        files: vec![
            "/etc/ceph/ceph.client.admin.keyring".into(),
            format!("/var/lib/ceph/mon/ceph-{name}"),
            "/etc/ceph/ceph.conf".into(),
        ],
        other: vec![],
    };
    let disk = |name: &str, serial: Option<&str>, osd| DiskGoes {
        node: node(name),
        path: format!("/dev/disk/by-id/ata-Disk_{name}"),
        kernel_name: "sdb".into(),
        serial: serial.map(String::from),
        size: 4 << 40,
        osd,
    };
    ResetView {
        fsid: FSID.into(),
        nodes: vec![goes("B1", "osd-0"), goes("B2", "osd-1")],
        disks: vec![disk("B1", Some("S1"), Some(0)), disk("B2", None, None)],
        notes: vec![(Some(node("B2")), "left: /etc/ceph/rbdmap".into())],
        skipped: vec![(Some(node("B3")), "nothing is taken away: no route to host".into())],
        ..ResetView::default()
    }
}

#[test]
fn reset_shows_the_disks_last() {
    let text = reset_view::render(&reset(), &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
}

#[test]
fn reset_of_a_node_in_color() {
    let cluster = vec!["ceph osd out osd.0".into(), "ceph mon remove B1".into()];
    let view = ResetView { node: Some(node("B1")), cluster, ..reset() };
    assert_snapshot!(reset_view::render(&view, &COLOR));
}

#[test]
fn reset_of_nothing() {
    assert_snapshot!(reset_view::render(&ResetView::default(), &PLAIN), @"Nothing to do: nothing of the cluster is on the nodes that were reached.");
}
