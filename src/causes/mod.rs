//! Why a daemon does not run as it should, and what to do: what its log, its exit code and Docker say, held against a
//! table of known causes. Pure.
//!
//! ```text
//! container, log ─> Sick ─ explain() ─> Cause     table.rs: the known causes, a row each
//! a check's code ───────── advice()  ─> a line    health.rs: Ceph's health checks, a row each
//! log ──────────────────── telling() ─> its lines that say the most
//! ```
//!
//! A cause that is not known is not guessed at: there is none, and the log's last lines stand alone.

use serde::Serialize;

use crate::daemon::{DaemonId, Kind};
use crate::facts::{ContainerFact, ContainerState};

mod health;
mod table;
mod telling;
#[cfg(test)]
mod tests;

pub use health::{advice, what_to_do};
pub use telling::telling;

/// A known cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// A name that scripts can look for, such as `no-space`.
    pub code: String,
    /// What has happened, in one sentence.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// A daemon that does not run as it should, and what is known of it.
#[derive(Debug, Clone)]
pub struct Sick<'a> {
    /// Which.
    pub daemon: DaemonId,
    /// What its container does; `None`: there is none.
    pub state: Option<ContainerState>,
    /// Exit code of its last run; from 128 on, 128 and the signal.
    pub exit_code: Option<i64>,
    /// The kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// Why Docker could not start it, in Docker's words.
    pub not_started: Option<&'a str>,
    /// The last lines of its log, oldest first.
    pub log: &'a [String],
}

impl<'a> Sick<'a> {
    /// A daemon as its container was seen, with the last lines of its log.
    pub fn seen(
        daemon: &DaemonId,
        container: Option<&'a ContainerFact>,
        log: &'a [String],
    ) -> Self {
        Self {
            daemon: daemon.clone(),
            state: container.map(|c| c.state),
            exit_code: container.and_then(|c| c.exit_code),
            out_of_memory: container.is_some_and(|c| c.out_of_memory),
            not_started: container.and_then(|c| c.error.as_deref()),
            log,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
struct Known {
    /// See [`Cause::code`].
    code: &'static str,
    /// The daemons that it is looked for in; of none: in all.
    of: &'static [Kind],
    /// What a line shows of it: all the parts of any of these.
    signs: &'static [&'static [&'static str]],
    /// See [`Cause::what`]. `{name}`: the container; `{dir}`: the daemon's data directory.
    what: &'static str,
    /// See [`Cause::hint`].
    hint: &'static str,
}

impl Known {
    fn shows(&self, daemon: &DaemonId, line: &str) -> bool {
        (self.of.is_empty() || self.of.contains(&daemon.kind))
            && self.signs.iter().any(|parts| parts.iter().all(|part| line.contains(part)))
    }

    fn cause(&self, daemon: &DaemonId) -> Cause {
        let fill = |text: &str| {
            text.replace("{name}", &daemon.container()).replace("{dir}", &daemon.data_dir())
        };
        Cause { code: self.code.to_owned(), what: fill(self.what), hint: fill(self.hint) }
    }
}

/// Why `sick` does not run as it should, where that is known. What Docker and the kernel know for certain goes first;
/// then the first row of the table that a line of its last run shows; then what its exit code alone says. A daemon that
/// ended in good order did not end of what some line of a long run tells.
pub fn explain(sick: &Sick<'_>) -> Option<Cause> {
    if sick.state.is_none() {
        return Some(table::MISSING.cause(&sick.daemon));
    }
    if sick.out_of_memory {
        return Some(table::OUT_OF_MEMORY.cause(&sick.daemon));
    }
    let last = last_run(sick.log);
    let ended = matches!(sick.state, Some(ContainerState::Exited | ContainerState::Restarting));
    let in_order = ended && matches!(sick.exit_code, Some(0 | 143));
    let crashed = ended && matches!(sick.exit_code, Some(134 | 139));
    let shown = |line: &str, row: &Known| {
        row.shows(&sick.daemon, line) && (crashed || !line.contains(table::BAD_CHECKSUM))
    };
    let known = |line: &str| {
        table::IN_LOGS.iter().position(|row| {
            shown(line, row) && (!in_order || table::ENDS_IN_ORDER.contains(&row.code))
        })
    };
    let docker = sick
        .not_started
        .and_then(|words| table::IN_LOGS.iter().position(|row| row.shows(&sick.daemon, words)));
    let mut row = last.iter().filter_map(|line| known(line)).chain(docker).min();
    if row.is_none() && sick.state != Some(ContainerState::Exited) {
        // it has just been started once more, and has not yet come to what the run before ended with
        let before = last_run(&sick.log[..sick.log.len() - last.len()]);
        row = before.iter().filter_map(|line| known(line)).min();
    }
    if let Some(row) = row {
        return Some(table::IN_LOGS[row].cause(&sick.daemon));
    }
    let row = match sick.state {
        Some(ContainerState::Paused) => Some(&table::PAUSED),
        Some(ContainerState::Created) => Some(&table::NEVER_STARTED),
        _ if ended => {
            table::EXITS.iter().find(|(code, _)| sick.exit_code == Some(*code)).map(|(_, row)| row)
        }
        _ => None,
    };
    row.map(|row| row.cause(&sick.daemon))
}

/// The lines of a daemon's last start, and those of its container's script before it. Older ones may tell of what has
/// been mended since. A daemon's first line names its version and its process.
pub(crate) fn last_run(log: &[String]) -> &[String] {
    let starts =
        |line: &String| line.contains(" ceph version ") && line.contains(", process ceph-");
    let begin = log.iter().rposition(starts).unwrap_or(0);
    &log[begin..]
}
