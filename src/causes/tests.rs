//! The table against what daemons really said.
//!
//! `tests/causes/*.log` are the ends of real logs: Ceph 18.2.7 and 20.2.2 were run with what the file's name says, and
//! what `RocksDB` says of its statistics was left out. A file's first line names the daemon, what became of it, and the
//! cause that is expected. What could not be brought about here stands in [`NOT_BROUGHT_ABOUT`].

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::*;
use crate::report::text::wrap;
use ContainerState::{Created, Exited, Paused, Restarting, Running};

/// Lines as Ceph, Docker and the kernel have them in their sources or in public reports.
const NOT_BROUGHT_ABOUT: &[(&str, &str, &str)] = &[
    ("no-space-osd", "osd.3", r#"BlueFS.cc: 3137: ceph_abort_msg("bluefs enospc")"#),
    (
        "no-space-osd",
        "osd.3",
        "-1 bluefs _allocate allocation failed, needed 0x400000; unable to allocate 0x400000 on bdev 1",
    ),
    (
        "no-space",
        "osd.3",
        "mkdir: cannot create directory '/var/lib/ceph/osd/ceph-3.prepare': No space left on device",
    ),
    (
        "disk-error",
        "osd.3",
        "-1 bdev(0x55 /var/lib/ceph/osd/ceph-3/block) _aio_thread got r=-5 ((5) Input/output error)",
    ),
    (
        "disk-error",
        "osd.3",
        r#"KernelDevice.cc: 616: ceph_abort_msg("Unexpected IO error. This may suggest HW issue. Please check your dmesg!")"#,
    ),
    (
        "no-right",
        "osd.3",
        "-1 bluestore(/var/lib/ceph/osd/ceph-3/block) _read_bdev_label failed to open /var/lib/ceph/osd/ceph-3/block: (1) Operation not permitted",
    ),
    ("removed", "osd.3", "0 osd.3 98 map says i do not exist.  shutting down."),
    ("removed", "osd.3", "-1 osd.3 98 osdmap says I am destroyed"),
    ("stopped-by-admin", "osd.3", "0 osd.3 98 map says i am stopped by admin. shutting down."),
    ("wrong-architecture", "mgr.B1", "exec /bin/sh: exec format error"),
    (
        "not-there-to-mount",
        "osd.3",
        "error while creating mount source path '/run/udev': mkdir /run/udev: read-only file system",
    ),
    (
        "clock",
        "osd.3",
        "-1 osd.3 98 possible clock skew, rotating keys expired way too early (before 2026-11-26T18:00:00)",
    ),
    (
        "clock",
        "mon.B2",
        "0 log_channel(cluster) log [WRN] : message from mon.0 was stamped 12.3s in the future, clocks not synchronized",
    ),
    (
        "not-heard",
        "osd.3",
        "-1 osd.3 98 heartbeat_check: no reply from 10.32.3.149:6802 osd.2 ever on either front or back, first ping sent 2026-09-30T11:42:30.464605+0300",
    ),
    (
        "not-heard",
        "osd.3",
        "0 log_channel(cluster) log [WRN] : Monitor daemon marked osd.3 down, but it is still running; map e98 wrongly marked me down at e97",
    ),
    ("no-mon", "osd.3", "-1 monclient(hunting): authenticate timed out after 300"),
    ("no-mon", "mgr.B1", "-1 monclient: get_monmap_and_config failed to get config"),
    ("no-program", "mon.B1", "/bin/sh: 1: exec: ceph-mon: not found"),
    ("not-blank", "osd.3", "refused: /dev/sdb is not blank any more: it holds data"),
    (
        "disk-stalls",
        "osd.3",
        "1 heartbeat_map is_healthy 'OSD::osd_op_tp thread 0x7f' had suicide timed out after 150.000000000",
    ),
    (
        "newer-data",
        "osd.3",
        "-1 osd.3 0 OSD::init(): ERROR: on disk data includes unsupported features: compat={},rocompat={},incompat={99=x}",
    ),
];

fn daemon(name: &str) -> DaemonId {
    let (kind, id) = name.split_once('.').expect("kind.id");
    DaemonId { kind: Kind::parse(kind).expect("a kind"), id: id.to_owned() }
}

fn sick<'a>(name: &str, state: ContainerState, exit: Option<i64>, log: &'a [String]) -> Sick<'a> {
    Sick {
        daemon: daemon(name),
        state: Some(state),
        exit_code: exit,
        out_of_memory: false,
        not_started: None,
        log,
    }
}

fn code(sick: &Sick<'_>) -> String {
    explain(sick).map_or_else(|| "none".to_owned(), |c| c.code)
}

/// The name of every file with what it expects and what came of it.
fn files() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/causes");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("a file").path()).collect();
    paths.sort();
    let file = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        let (head, log) = text.split_once('\n').expect("a first line");
        let (seen, expected) = head.trim_start_matches("# ").split_once(": ").expect("a cause");
        let words: Vec<&str> = seen.split(' ').collect();
        let state = match words[1] {
            "running" => ContainerState::Running,
            "exited" => ContainerState::Exited,
            "restarting" => ContainerState::Restarting,
            other => panic!("{other}"),
        };
        let exit = words.get(2).map(|c| c.parse().expect("a number"));
        let log: Vec<String> = log.lines().map(str::to_owned).collect();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, expected.to_owned(), code(&sick(words[0], state, exit, &log)))
    };
    paths.iter().map(file).collect()
}

#[test]
fn real_logs_are_explained() {
    let files = files();
    assert!(files.len() > 60, "the logs are there");
    let wrong: Vec<_> = files.into_iter().filter(|(_, expected, said)| expected != said).collect();
    assert!(wrong.is_empty(), "file, expected, said: {wrong:#?}");
}

#[test]
fn what_could_not_be_brought_about_is_explained() {
    for (expected, name, line) in NOT_BROUGHT_ABOUT {
        let log = [(*line).to_owned()];
        assert_eq!(code(&sick(name, ContainerState::Exited, Some(1), &log)), *expected, "{line}");
    }
}

#[test]
fn every_row_is_shown_by_some_log() {
    let mut shown: BTreeSet<String> = files().into_iter().map(|(_, _, said)| said).collect();
    shown.extend(NOT_BROUGHT_ABOUT.iter().map(|(code, ..)| (*code).to_owned()));
    let rows = table::IN_LOGS.iter().map(|row| row.code.to_owned());
    let unseen: Vec<_> = rows.filter(|code| !shown.contains(code)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn what_docker_knows_goes_before_the_log_and_an_exit_code_after_it() {
    let log = ["-1 bluestore(/x) No valid bdev label found".to_owned()];
    let with = |state, exit, oom, log| {
        code(&Sick { out_of_memory: oom, ..sick("osd.3", state, exit, log) })
    };
    assert_eq!(with(Exited, Some(137), true, &log), "out-of-memory");
    assert_eq!(with(Exited, Some(137), false, &log), "no-label");
    assert_eq!(with(Exited, Some(137), false, &[]), "killed");
    assert_eq!(with(Restarting, Some(134), false, &[]), "crashed");
    assert_eq!(with(Exited, Some(0), false, &[]), "stopped");
    assert_eq!(with(Exited, Some(1), false, &[]), "none");
    assert_eq!(with(Running, Some(0), false, &[]), "none");
    assert_eq!(with(Paused, None, false, &[]), "paused");
    assert_eq!(with(Created, None, false, &[]), "never-started");
    let missing = Sick { state: None, ..sick("osd.3", Exited, None, &[]) };
    assert_eq!(code(&missing), "no-container");
    let words = "failed to create task for container: exec /bin/sh: exec format error";
    let not_started = Sick { not_started: Some(words), ..sick("mgr.B1", Created, Some(127), &[]) };
    assert_eq!(code(&not_started), "wrong-architecture");
}

#[test]
fn what_has_been_mended_since_the_last_start_is_no_cause() {
    let start = "2026-11-26T18:18:02.000+0000 7f  0 ceph version 18.2.7 (6b0e) reef (stable), process ceph-osd, pid 9";
    let log = [
        "-1 bluestore(/x) No valid bdev label found",
        start,
        "-1 osd.3 9 heartbeat_check: no reply from 10.0.0.1:6802",
    ];
    let log = log.map(str::to_owned);
    assert_eq!(code(&sick("osd.3", ContainerState::Running, Some(0), &log)), "not-heard");
    assert_eq!(code(&sick("osd.3", ContainerState::Exited, Some(1), &log[..2])), "none");
    // this start has not come that far yet
    assert_eq!(code(&sick("osd.3", Restarting, Some(1), &log[..2])), "no-label");
}

#[test]
fn a_line_of_a_long_run_is_no_cause_of_an_end_in_good_order() {
    let said =
        |line: &str, state, exit| code(&sick("osd.3", state, Some(exit), &[line.to_owned()]));
    let unheard = "-1 osd.3 9 heartbeat_check: no reply from 10.0.0.1:6802";
    for exit in [0, 143] {
        assert_eq!(said(unheard, Exited, exit), "stopped");
        assert_eq!(said("0 osd.3 98 map says i do not exist.", Exited, exit), "removed");
        assert_eq!(
            said("0 osd.3 98 map says i am stopped by admin.", Exited, exit),
            "stopped-by-admin"
        );
    }
    assert_eq!(said(unheard, Exited, 1), "not-heard");
    assert_eq!(said(unheard, Running, 0), "not-heard");
}

#[test]
fn a_bad_checksum_is_a_cause_where_the_osd_crashed() {
    let line = "-1 bluestore(/x) _verify_csum bad crc32c/0x1000 checksum at blob offset 0x0";
    let said = |state, exit| code(&sick("osd.3", state, Some(exit), &[line.to_owned()]));
    assert_eq!(said(Restarting, 134), "osd-damaged");
    assert_eq!(said(Exited, 139), "osd-damaged");
    assert_eq!(said(Running, 0), "none");
    assert_eq!(said(Exited, 1), "none");
    assert_eq!(said(Exited, 0), "stopped");
}

#[test]
fn the_texts_name_the_daemons_own_things() {
    let log = ["missing 'type' file and unable to infer osd type".to_owned()];
    let cause = explain(&sick("osd.3", ContainerState::Exited, Some(1), &log)).expect("known");
    assert!(cause.what.contains("/var/lib/ceph/osd/ceph-3"), "{cause:?}");
    assert!(cause.hint.contains("docker rm -f osd-3"), "{cause:?}");
}

/// Every text of the tables, to be read.
#[test]
fn all_causes_and_advice() {
    let single = [&table::OUT_OF_MEMORY, &table::MISSING, &table::PAUSED, &table::NEVER_STARTED];
    let rows =
        single.into_iter().chain(table::EXITS.iter().map(|(_, row)| row)).chain(table::IN_LOGS);
    let mut out = String::new();
    for row in rows {
        let daemon = daemon(if row.of.first() == Some(&Kind::Mon) { "mon.B1" } else { "osd.3" });
        let cause = row.cause(&daemon);
        writeln!(out, "{}", cause.code).unwrap();
        for text in [&cause.what, &cause.hint] {
            writeln!(out, "  {}", wrap(text, 78).join("\n  ")).unwrap();
        }
    }
    for (codes, line) in health::ADVICE {
        writeln!(
            out,
            "{}\n  {}",
            wrap(&codes.join(" "), 80).join("\n"),
            wrap(line, 78).join("\n  ")
        )
        .unwrap();
    }
    assert!(!out.contains('{'), "something is not filled in");
    insta::assert_snapshot!(out);
}
