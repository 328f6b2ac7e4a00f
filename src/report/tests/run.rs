//! A run as it is followed and as it ends: summary, lines, JSON and the board of the bars.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use insta::assert_snapshot;

use crate::event::{Event, Goal, StageTime, Summary, Unit, Unreachable};

use super::super::board::Board;
use super::super::lines::Lines;
use super::super::screen::Screen;
use super::super::summary::Failed;
use super::super::{Reporter, json, summary};
use super::{ASCII, COLOR, FSID, PLAIN, fits, node};

fn fresh() -> Summary {
    let stage = |title: &str, seconds| StageTime { title: title.into(), seconds };
    Summary {
        goal: Goal::Inventory,
        fsid: Some(FSID.into()),
        health: Some("HEALTH_OK".into()),
        steps: 31,
        converged: true,
        seconds: 125.2,
        stages: vec![
            stage("connect", 1.2),
            stage("observe", 3.04),
            stage("pull images", 81.4),
            stage("start daemons", 39.0),
        ],
        unreachable: vec![],
        remaining: vec![],
    }
}

fn failed() -> Failed {
    Failed {
        node: node("B2"),
        what: "start osd-1".into(),
        error: "the container ended with status 1".into(),
    }
}

#[test]
fn summary_of_a_fresh_cluster() {
    assert_snapshot!(summary::render(&fresh(), &[], false, &PLAIN));
}

#[test]
fn summary_of_nothing_to_do() {
    let s = Summary { steps: 0, seconds: 4.2, ..fresh() };
    assert_snapshot!(summary::render(&s, &[], false, &PLAIN), @"Nothing to do: the cluster is as the inventory says (HEALTH_OK).");
}

#[test]
fn summaries_of_what_is_gone() {
    let of = |goal| {
        summary::render(
            &Summary { goal, health: None, stages: vec![], ..fresh() },
            &[],
            false,
            &PLAIN,
        )
    };
    let all = [Goal::Gone, Goal::DataKept, Goal::NodeGone(node("B4"))].map(of);
    assert_snapshot!(all.join("\n"));
}

#[test]
fn summary_of_nothing_to_do_on_an_unhealthy_cluster_points_to_status() {
    let s = Summary { steps: 0, health: Some("HEALTH_WARN".into()), ..fresh() };
    assert_snapshot!(summary::render(&s, &[], false, &PLAIN), @"Nothing to do: the cluster is as the inventory says (HEALTH_WARN). `cephdock status` says more.");
}

#[test]
fn summary_of_a_failed_run() {
    let s = Summary {
        converged: false,
        health: Some("HEALTH_WARN".into()),
        steps: 29,
        remaining: vec!["osd-1 on B2".into(), "pool rbd".into()],
        ..fresh()
    };
    assert_snapshot!(summary::render(&s, &[failed()], false, &PLAIN));
}

#[test]
fn summary_with_one_node_unreachable() {
    let s = Summary {
        converged: false,
        steps: 0,
        health: None,
        fsid: None,
        unreachable: vec![Unreachable { node: node("B3"), error: "connect to 10.32.3.149:22: connection refused (os error 111), after 3 attempts in 30 s".into() }],
        ..fresh()
    };
    let text = summary::render(&s, &[], false, &PLAIN);
    fits(&text, 80);
    assert_snapshot!(text);
}

/// A writer that a test can look into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What lines come of `events`, each with its second.
fn lines(events: &[(u64, Event)], quiet: bool, verbose: bool) -> String {
    let out = Shared::default();
    let now = Arc::new(Mutex::new(0));
    let tells = now.clone();
    let clock = Box::new(move || {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_352_701 + *tells.lock().unwrap())
    });
    let mut lines = Lines::new(out.clone(), clock, PLAIN, quiet, verbose);
    for (second, event) in events {
        *now.lock().unwrap() = *second;
        lines.event(event);
    }
    lines.end();
    let bytes = out.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn pulled(step: u64, name: &str, mib: u64) -> Event {
    Event::StepProgress {
        node: node(name),
        step,
        message: String::new(),
        done: Some(mib << 20),
        total: Some(400 << 20),
        unit: Some(Unit::Bytes),
    }
}

fn started(name: &str, step: u64, what: &str) -> Event {
    Event::StepStarted { node: node(name), step, what: what.into(), why: "it is missing".into() }
}

fn finished(name: &str, step: u64, what: &str, seconds: f64) -> Event {
    Event::StepFinished { node: node(name), step, what: what.into(), seconds }
}

fn step_failed() -> Event {
    Event::StepFailed {
        node: node("B2"),
        step: 4,
        what: "start osd-1".into(),
        error: "the container ended with status 1".into(),
        log: vec!["open got: (16) Device or resource busy\x1b[1A".into()],
        hint: Some("`cephdock logs B2 osd-1` shows all of it".into()),
    }
}

fn a_run() -> Vec<(u64, Event)> {
    let stage = |stage: &str, title: &str, steps| Event::StageStarted {
        stage: stage.into(),
        title: title.into(),
        steps,
    };
    let mut run = vec![
        (0, Event::Connecting { node: node("B1") }),
        (0, Event::Connecting { node: node("B2") }),
        (0, Event::Connecting { node: node("storage-3") }),
        (1, Event::Connected { node: node("B1"), docker: "forwarded socket".into() }),
        (1, Event::Connected { node: node("B2"), docker: "dial-stdio".into() }),
        (3, Event::Unreachable { node: node("storage-3"), error: "connection refused".into() }),
        (3, Event::Observing { round: 1 }),
        (4, Event::Planned { round: 1, stages: 2, steps: 4 }),
        (
            4,
            Event::Waiting {
                node: Some(node("storage-3")),
                what: "all of it: the node is not reachable".into(),
            },
        ),
        (4, Event::Warning { node: None, message: "2 mons: an odd number survives more".into() }),
        (4, stage("pull", "pull images", 2)),
        (4, started("B1", 1, "pull ceph:v19")),
        (4, started("B2", 2, "pull ceph:v19")),
    ];
    for second in 4..17 {
        run.push((second, pulled(1, "B1", (second - 3) * 25)));
    }
    run.extend([
        (17, finished("B1", 1, "pull ceph:v19", 13.1)),
        (17, finished("B2", 2, "pull ceph:v19", 13.0)),
        (17, Event::StageFinished { stage: "pull".into(), seconds: 13.2, ok: true }),
        (18, Event::Planned { round: 2, stages: 1, steps: 2 }),
        (18, stage("start", "start daemons", 2)),
        (18, started("B1", 3, "start osd-0")),
        (18, started("B2", 4, "start osd-1")),
        (19, finished("B1", 3, "start osd-0", 1.2)),
        (20, step_failed()),
        (20, Event::StageFinished { stage: "start".into(), seconds: 2.0, ok: false }),
        (
            20,
            Event::Summary(Summary {
                goal: Goal::Inventory,
                steps: 3,
                converged: false,
                seconds: 20.1,
                health: Some("HEALTH_WARN".into()),
                unreachable: vec![Unreachable {
                    node: node("storage-3"),
                    error: "connection refused".into(),
                }],
                remaining: vec!["osd-1 on B2".into()],
                ..fresh()
            }),
        ),
    ]);
    run
}

#[test]
fn lines_of_a_run() {
    assert_snapshot!(lines(&a_run(), false, false));
}

#[test]
fn lines_of_a_run_verbose() {
    assert_snapshot!(lines(&a_run(), false, true));
}

#[test]
fn quiet_lines_say_only_what_is_wrong() {
    assert_snapshot!(lines(&a_run(), true, false));
    let good = [(0, Event::Observing { round: 1 }), (1, Event::Summary(fresh()))];
    assert_eq!(lines(&good, true, false), "");
}

#[test]
fn progress_of_a_step_has_a_line_every_five_seconds() {
    let mut events = vec![(0, started("B1", 1, "pull ceph:v19"))];
    events.extend((0..400).map(|i| (i / 25, pulled(1, "B1", i))));
    let text = lines(&events, false, false);
    assert_eq!(text.lines().count(), 3, "after 5, 10 and 15 seconds of 16: {text}");
}

#[test]
fn events_are_one_line_each() {
    let text: String = a_run().iter().map(|(_, e)| json::line(e)).collect();
    assert_eq!(text.lines().count(), a_run().len());
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["event"].is_string(), "{line}");
    }
    assert_snapshot!(
        json::line(&step_failed())
            + &json::line(&pulled(1, "B1", 25))
            + &json::line(&Event::Summary(fresh()))
    );
}

#[test]
fn json_shows_no_control_character() {
    let warning = Event::Warning { node: None, message: "a\u{9b}2J\u{7f}\nb".into() };
    let line = json::line(&warning);
    assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["message"], "a\u{9b}2J\u{7f}\nb");
}

/// A board after `events`, at its `now`th second.
fn board(events: &[(u64, Event)], now: u64, screen: &Screen) -> String {
    let mut board = Board::new();
    for (second, event) in events {
        board.event(event, Duration::from_secs(*second));
    }
    let text = board.lines(screen, Duration::from_secs(now)).join("\n");
    fits(&text, screen.width);
    assert!(text.lines().count() < screen.height, "{text}");
    text
}

#[test]
fn board_while_connecting_and_pulling_and_after_a_failure() {
    let run = a_run();
    let shown: Vec<_> =
        [2, 5, 7, 22, run.len() - 1].map(|n| board(&run[..n], run[n - 1].0, &PLAIN)).into();
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn board_shrinks_with_the_terminal() {
    let run = a_run();
    let shown: Vec<_> =
        [60, 40].map(|width| board(&run[..20], 10, &Screen { width, ..PLAIN })).into();
    assert_snapshot!(shown.join("\n\n") + "\n\n" + &board(&run[..20], 10, &ASCII));
}

#[test]
fn board_in_color() {
    let run = a_run();
    assert_snapshot!(board(&run[..run.len() - 2], 20, &COLOR).replace('\x1b', "ESC"));
}

#[test]
fn several_steps_of_a_node_share_its_line() {
    let mut events: Vec<_> =
        (1..=9).map(|i| (0, started("B1", i, &format!("start osd-{i}")))).collect();
    events.push((0, started("B2", 20, "start mon")));
    events.push((0, started("B2", 21, "start mgr")));
    events.push((0, started("B3", 30, "start mon")));
    events.push((0, started("B3", 31, "write /etc/ceph/ceph.conf")));
    events.push((0, started("B4", 40, "pull ceph:v19")));
    events.push((0, started("B4", 41, "open the firewall")));
    events.push((0, pulled(40, "B4", 100)));
    assert_snapshot!(
        board(&events, 0, &PLAIN) + "\n\n" + &board(&events, 0, &Screen { width: 50, ..PLAIN })
    );
}

#[test]
fn a_low_terminal_shows_the_nodes_at_work() {
    let mut events: Vec<_> = (1..=24)
        .map(|i| {
            (
                0,
                Event::Connected {
                    node: node(&format!("n{i:02}")),
                    docker: "forwarded socket".into(),
                },
            )
        })
        .collect();
    events.push((1, started("n23", 1, "start osd-22")));
    events.push((1, Event::Unreachable { node: node("n17"), error: "timed out".into() }));
    assert_snapshot!(board(&events, 1, &Screen { height: 10, ..PLAIN }));
}
