//! What `check` shows.

use insta::assert_snapshot;

use crate::check::{Finding, Level, Topic, Went};

use super::super::check_view::{self, CheckView, DiskView, NodeView};
use super::super::screen::Screen;
use super::{ASCII, COLOR, PLAIN, fits, node};

fn row(name: &str, ahead: f64, went: impl Fn(Topic) -> Went) -> NodeView {
    NodeView {
        name: node(name),
        checks: Topic::COLUMNS.map(|topic| (topic, went(topic))).into(),
        clock_ahead_ms: Some(ahead),
        clock_within_ms: Some(0.34),
    }
}

fn disk(at: &str, holds: &str) -> DiskView {
    DiskView {
        node: node(at),
        path: "/dev/disk/by-id/ata-WDC_WD40EFRX-68N32N0_WD-WCC7K0AA1234".into(),
        size: 4 << 40,
        serial: Some("WD-WCC7K0AA1234".into()),
        holds: holds.into(),
    }
}

fn well() -> CheckView {
    CheckView {
        ok: true,
        nodes: vec![
            row("B1", 0.0, |_| Went::Ok),
            row("B2", -0.01, |_| Went::Ok),
            row("B3", 0.62, |_| Went::Ok),
        ],
        clock_allowed_ms: 50.0,
        disks: vec![disk("B1", "blank"), disk("B2", "blank")],
        findings: vec![],
    }
}

fn finding(topic: Topic, level: Level, at: Option<&str>, say: [&str; 3]) -> Finding {
    let [what, why, fix] = say.map(String::from);
    Finding { topic, level, node: at.map(node), what, why, fix }
}

fn ill() -> CheckView {
    let blocked = [
        "B1 cannot connect to 3300 and 6789 of 10.32.3.149: No route to host",
        "its daemons have to be reached there by every node",
        "`nft insert rule inet mine in ip saddr 10.32.3.0/24 tcp dport '{ 3300, 6789, 6800-7300 }' accept`, and the same in the file that it comes from",
    ];
    let dirty = [
        "/dev/sdb (4 TiB) is not blank: a partition table (gpt); a partition, sdb1 (ext4)",
        "a disk is only formatted when nothing is on it",
        "if nothing on it is needed any more, wipe it by hand (`wipefs -a /dev/sdb` and `dd if=/dev/zero bs=1M count=10 of=/dev/sdb`); otherwise name another disk",
    ];
    let off = [
        "cannot connect to 10.32.3.150:22: connection refused\x1b[2J",
        "nothing can be looked at or done on it",
        "see to it that `ssh root@10.32.3.150 true` works",
    ];
    let module = ["its kernel 6.1.0 has no rbd module, so volumes cannot work on it", "", ""];
    let odd = [
        "line 3 of the inventory: 2 mons are no safer than 1",
        "",
        "use an odd number of mons, 1 or 3",
    ];
    let ping = [
        "it has no `ping` that can send packets of a fixed size",
        "large packets that get lost on the way make OSDs time out",
        "`apt install iputils-ping` or `dnf install iputils`, then check again",
    ];
    let late = [
        "its clock is 1204 ms ahead of the median of the nodes (measured to 0.3 ms); Ceph allows mons 50 ms",
        "mons that disagree about the time do not form a lasting quorum",
        "have one service keep it on every node: `apt install chrony`, `dnf install chrony`; then `chronyc makestep`",
    ];
    let mut away = row("a-node-with-a-long-name", 0.0, |topic| {
        if topic == Topic::Login { Went::Fail } else { Went::Unchecked }
    });
    (away.clock_ahead_ms, away.clock_within_ms) = (None, None);
    CheckView {
        ok: false,
        nodes: vec![
            row("B1", 0.0, |t| if t == Topic::Client { Went::Note } else { Went::Ok }),
            row("B2", 1204.3, |t| match t {
                Topic::Clock | Topic::Disks => Went::Fail,
                Topic::Client => Went::Note,
                Topic::Mtu => Went::Unchecked,
                _ => Went::Ok,
            }),
            row("B3", -0.2, |t| if t == Topic::Paths { Went::Fail } else { Went::Ok }),
            away,
        ],
        clock_allowed_ms: 50.0,
        disks: vec![
            disk("B1", "blank"),
            disk("B2", "a partition table (gpt); a partition, sdb1 (ext4)"),
        ],
        findings: vec![
            finding(Topic::Login, Level::Fail, Some("a-node-with-a-long-name"), off),
            finding(Topic::Paths, Level::Fail, Some("B3"), blocked),
            finding(Topic::Clock, Level::Fail, Some("B2"), late),
            finding(Topic::Disks, Level::Fail, Some("B2"), dirty),
            finding(Topic::Mtu, Level::Unchecked, Some("B2"), ping),
            finding(Topic::Client, Level::Note, Some("B1"), module),
            finding(Topic::Client, Level::Note, Some("B2"), module),
            finding(Topic::Cluster, Level::Note, None, odd),
        ],
    }
}

fn shown(view: &CheckView, screen: &Screen) -> String {
    let text = check_view::render(view, screen);
    // a command is never broken, whatever its length
    let lines = text.lines().filter(|l| l.matches('`').count() < 2 || l.len() <= 200);
    fits(&lines.filter(|l| !l.contains("nft insert")).collect::<Vec<_>>().join("\n"), screen.width);
    text
}

#[test]
fn nothing_in_the_way() {
    assert_snapshot!(shown(&well(), &PLAIN));
}

#[test]
fn much_in_the_way() {
    assert_snapshot!(shown(&ill(), &PLAIN));
}

#[test]
fn much_in_the_way_in_ascii_and_on_a_wide_screen() {
    assert_snapshot!(shown(&ill(), &Screen { width: 120, ..ASCII }));
}

#[test]
fn much_in_the_way_in_color() {
    assert_snapshot!(shown(&ill(), &COLOR).replace('\x1b', "ESC"));
}

#[test]
fn much_in_the_way_as_json() {
    assert_snapshot!(super::super::json::line(&ill()));
}
