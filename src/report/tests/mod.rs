//! Every screen as a snapshot, 80 columns wide unless its name says otherwise.

use std::time::{Duration, SystemTime};

use insta::assert_snapshot;

use crate::inventory::NodeName;

use super::screen::Screen;
use super::{Failure, error, text};

mod checks;
mod errors;
mod run;
mod tables;
mod views;
mod volumes;

const PLAIN: Screen = Screen { width: 80, height: 24, color: false, unicode: true };
const ASCII: Screen = Screen { unicode: false, ..PLAIN };
const COLOR: Screen = Screen { color: true, ..PLAIN };
const FSID: &str = "1b4c8e0a-5d9f-4a37-9c53-6f0e2d7b8a11";

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Fails where a line is wider than `width`; escape sequences have none.
fn fits(text: &str, width: usize) {
    for line in text.lines() {
        let shown = text::clean(line).chars().count();
        assert!(shown <= width, "{shown} columns: {line}");
    }
}

#[test]
fn sizes_are_binary_and_short() {
    let shown: Vec<_> =
        [0, 1023, 1024, 1536, 10 << 20, 120 << 20, (1 << 30) - 1, 60 << 30, u64::MAX]
            .into_iter()
            .map(text::bytes)
            .collect();
    assert_eq!(
        shown,
        [
            "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "120 MiB", "1.0 GiB", "60.0 GiB",
            "16.0 EiB"
        ]
    );
}

#[test]
fn durations_round_into_the_next_unit() {
    let shown: Vec<_> = [0.0, 3.24, 9.96, 42.4, 59.7, 65.0, 3599.9, 7620.0, -1.0, f64::NAN]
        .into_iter()
        .map(text::duration)
        .collect();
    assert_eq!(
        shown,
        [
            "0.0 s", "3.2 s", "10 s", "42 s", "1m 00s", "1m 05s", "1h 00m", "2h 07m", "0.0 s",
            "0.0 s"
        ]
    );
}

#[test]
fn times_are_rfc3339_in_utc() {
    let at = |s| text::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(at(1_795_352_701), "2026-11-22T13:05:01Z");
    assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
}

#[test]
fn nothing_from_elsewhere_steers_the_terminal() {
    assert_eq!(
        text::clean("\x1b[31mred\x1b[0m \x1b]0;title\x07after \x1b]8;;http://x\x1b\\link"),
        "red after link"
    );
    assert_eq!(text::clean("50 %\r100 %\x08\x7f \u{9b}2Jx \x1b(Bok\x1b"), "50 %100 % x ok");
    assert_eq!(text::clean("a\tb\nc\n"), "a b c");
    assert_eq!(text::clean("txt.\u{202e}exe"), "txt.exe");
    assert_eq!(text::clean("unfinished \x1b]0;title"), "unfinished");
    assert_eq!(text::clean("Grüße ● 日本"), "Grüße ● 日本");
}

proptest::proptest! {
    #[test]
    fn clean_text_holds_no_control_character(s in "(\\PC|\\x1b|\\[|\\]|\u{9b}|\\x07|\n|.){0,60}") {
        proptest::prop_assert!(!text::clean(&s).chars().any(char::is_control));
    }

    #[test]
    fn cut_text_is_never_wider(s in "\\PC{0,40}", width in 0usize..30) {
        proptest::prop_assert!(text::cut(&s, width, "...").chars().count() <= width);
    }
}

/// The first half of a command can be one that does more: `dd` without its `count=`.
#[test]
fn a_command_is_not_broken_however_wide_it_is() {
    let dd = format!("`dd if=/dev/zero of=/dev/disk/by-id/scsi-{} bs=1M count=10`", "0".repeat(60));
    let hint = format!("wipe it (`wipefs -a /dev/sdb` and {dd}); otherwise name another disk");
    for width in [20, 60, 80, 100] {
        let screen = Screen { width, ..PLAIN };
        let failure = Failure { hint: Some(hint.clone()), ..Failure::default() };
        for shown in [text::wrap(&hint, width).join("\n"), error::render(&failure, &screen)] {
            assert!(shown.contains(&dd), "{shown}");
            assert!(shown.contains("`wipefs -a /dev/sdb`"), "{shown}");
        }
    }
    let stray = format!("`{}`", "word ".repeat(60));
    fits(&text::wrap(&stray, 40).join("\n"), 40);
}

fn failure() -> Failure {
    Failure {
        what: "2 of 12 steps failed".into(),
        causes: vec![
            "B2: start osd-1".into(),
            "the container ended with status 1\nand said nothing more".into(),
        ],
        log: vec![
            "bdev(0x55 /dev/sdb) open\x1b[2J got: (16) Device or resource busy".into(),
            String::new(),
        ],
        hint: Some(
            "see what holds /dev/sdb with `lsblk /dev/sdb`, then run `cephdock up` again".into(),
        ),
    }
}

#[test]
fn an_error_with_everything() {
    assert_snapshot!(error::render(&failure(), &PLAIN));
}

#[test]
fn an_error_in_ascii_and_alone() {
    let alone = Failure { what: "no inventory.yaml here".into(), ..Failure::default() };
    assert_snapshot!(error::render(&failure(), &ASCII) + "\n" + &error::render(&alone, &ASCII));
}

#[test]
fn an_error_in_color() {
    assert_snapshot!(error::render(&failure(), &COLOR).replace('\x1b', "ESC"));
}
