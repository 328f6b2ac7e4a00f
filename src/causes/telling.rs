//! What of a daemon's log is worth showing.

use std::collections::BTreeSet;

use super::last_run;
use crate::support::without_keys;

/// The lines of a daemon's log that tell the most: its last errors, or else its last lines, each only once. A crash ends
/// with hundreds of lines that say nothing. What looks like a key is taken out.
pub fn telling(log: &[String], most: usize) -> Vec<String> {
    const SIGNS: [&str; 6] = [" -1 ", "rror", "ailed", "what():", "refused", "No space"];
    let dump = log.iter().position(|l| l.contains("--- begin dump of recent events"));
    let log = &log[..dump.unwrap_or(log.len())];
    let tells = |l: &&String| {
        SIGNS.iter().any(|s| l.contains(s)) && !l.contains("  4 rocksdb: ") // its options and statistics
    };
    // what the last start says goes before what the others have said
    let mut lines: Vec<&String> = last_run(log).iter().filter(tells).collect();
    if lines.is_empty() {
        lines = log.iter().filter(tells).collect();
    }
    if lines.is_empty() {
        lines = log.iter().collect();
    }
    let mut said = BTreeSet::new();
    let last = lines.into_iter().rev().filter(|line| said.insert(words(line)));
    let mut last: Vec<String> = last.take(most).map(|line| without_keys(line)).collect();
    last.reverse();
    last
}

/// A line without the time and the thread that Ceph puts before it: a daemon that starts again says the same again.
fn words(line: &str) -> &str {
    let thread = |w: &str| w.len() >= 8 && w.chars().all(|c| c.is_ascii_hexdigit());
    match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
        [time, id, rest] if time.starts_with("20") && time.contains('T') && thread(id) => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn the_errors_of_a_crash_and_not_its_dump() {
        let log = [
            "starting",
            "terminate called",
            "  what():  cannot set permissions",
            "--- begin dump of recent events ---",
            "x -1 y",
        ];
        let log: Vec<String> = log.iter().map(|l| (*l).to_owned()).collect();
        assert_eq!(telling(&log, 5), ["  what():  cannot set permissions"]);
        assert_eq!(telling(&log[..2], 1), ["terminate called"]);
    }

    #[test]
    fn what_a_daemon_says_at_every_start_is_shown_once() {
        let line =
            |s: u32, what: &str| format!("2026-11-26T18:18:0{s}.520+0000 7fb570a8a6c0 -1 {what}");
        let log = [line(1, "no disk"), line(2, "no key"), line(3, "no disk"), line(4, "no key")];
        assert_eq!(telling(&log, 5), log[2..]);
    }

    #[test]
    fn the_key_that_a_daemon_cannot_read_is_not_shown() {
        let log = [
            "-1 auth: error setting modifier for [osd.0] type=key val=AgB+eAhrxbYaECAA3zvuhKlRDXVIfcsN48KMBJfYo5Ml60yD+8m6DefeJck=: Malformed input [buffer:3]",
        ];
        let shown = telling(&log.map(str::to_owned), 5);
        assert!(
            shown[0].contains("(removed): Malformed") && !shown[0].contains("eJck"),
            "{shown:?}"
        );
    }
}
