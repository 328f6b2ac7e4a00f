//! `logs`: what a daemon says.

use std::ops::ControlFlow;

use serde::Serialize;

use super::{Exit, Session, load, look};
use crate::cli::{Global, Logs};
use crate::daemon::{DaemonId, Kind};
use crate::event::Said;
use crate::inventory::NodeName;
use crate::report::{Failure, json, unheard};
use crate::support::without_keys;

/// A line that has come so far without an end is shown all the same.
const LONGEST: usize = 1 << 20;

/// A line with `--json`.
#[derive(Serialize)]
struct Spoken<'a> {
    node: &'a NodeName,
    daemon: &'a str,
    stream: &'static str,
    line: &'a str,
}

pub(super) async fn run(global: &Global, options: &Logs) -> Exit {
    let Logs { node, daemon, lines, follow } = options;
    let look = look(global);
    let mut loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let failed = |what: String, hint: Option<String>| {
        look.print_failure(&Failure { what, hint, ..Failure::default() });
    };
    let Some(daemon) = daemon_of(node, daemon) else {
        failed(
            format!("{daemon:?} is no daemon of {node}"),
            Some("write `mon`, `mgr`, or `osd-3` for OSD number 3".into()),
        );
        return Exit::Usage;
    };
    let names: Vec<String> = loaded.inventory.nodes.iter().map(|n| n.name.to_string()).collect();
    loaded.inventory.nodes.retain(|n| &n.name == node);
    if loaded.inventory.nodes.is_empty() {
        let hint = format!("it has {}", names.join(", "));
        failed(format!("the inventory has no node called {node}"), Some(hint));
        return Exit::Usage;
    }
    let session = Session::open(loaded, look, true).await;
    let name = daemon.to_string();
    let show = |(stream, line): (&'static str, String)| {
        let text = if look.json {
            json::line(&Spoken { node, daemon: &name, stream, line: &line })
        } else {
            line + "\n"
        };
        if look.pass_on(Said::Out(text.as_bytes())) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let mut whole = Lines::default();
    let read = match session.fleet.hosts.values().next() {
        Some(Ok(host)) => {
            let mut each = |said: Said<'_>| whole.take(said).into_iter().try_for_each(show);
            tokio::select! {
                read = host.follow(&daemon, *lines, *follow, &mut each) => read.map(Some),
                () = unheard() => Ok(Some(ControlFlow::Break(()))),
                _ = tokio::signal::ctrl_c() => Ok(None),
            }
        }
        Some(Err(error)) => Err(error.clone()),
        None => Ok(None),
    };
    let shown = whole.rest().into_iter().try_for_each(show);
    session.close().await;
    match read {
        // whoever follows a log ends it so
        Ok(None) if *follow => Exit::Done,
        Ok(None) => Exit::Stopped,
        Ok(Some(ControlFlow::Continue(()))) if *follow && shown.is_continue() => {
            failed(
                format!("{node}: {daemon} has ended, and its log with it"),
                Some(
                    "`cephdock status` says how it is now; the same command again follows it again"
                        .into(),
                ),
            );
            Exit::NotThere
        }
        Ok(Some(_)) => Exit::Done,
        Err(error) => {
            failed(format!("{node}: {}", error.what), error.hint);
            Exit::Failed
        }
    }
}

/// Whole lines of what comes in pieces: Docker cuts long ones, and a key must be seen whole to be taken out.
#[derive(Default)]
struct Lines {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Lines {
    /// The lines that `said` makes whole.
    fn take(&mut self, said: Said<'_>) -> Vec<(&'static str, String)> {
        let (stream, begun, bytes) = match said {
            Said::Out(bytes) => ("stdout", &mut self.out, bytes),
            Said::Err(bytes) => ("stderr", &mut self.err, bytes),
        };
        begun.extend_from_slice(bytes);
        let end = begun.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = if begun.len() - end > LONGEST { begun.len() } else { end };
        let whole: Vec<u8> = begun.drain(..end).collect();
        public(&whole).lines().map(|l| (stream, l.to_owned())).collect()
    }

    /// What has no end.
    fn rest(self) -> Vec<(&'static str, String)> {
        [("stdout", self.out), ("stderr", self.err)]
            .into_iter()
            .filter(|(_, rest)| !rest.is_empty())
            .map(|(stream, rest)| (stream, public(&rest)))
            .collect()
    }
}

/// What a daemon says, without its key: it says that one when it cannot read it.
fn public(said: &[u8]) -> String {
    without_keys(&String::from_utf8_lossy(said))
}

/// `mon`, `mgr`, `osd-3` or `osd.3`; a mon or mgr may be named in full (`mon.B1`).
fn daemon_of(node: &NodeName, text: &str) -> Option<DaemonId> {
    let (kind, id) = text.split_once(['.', '-']).unwrap_or((text, ""));
    match Kind::parse(kind)? {
        Kind::Mon if id.is_empty() || id == node.as_str() => Some(DaemonId::mon(node)),
        Kind::Mgr if id.is_empty() || id == node.as_str() => Some(DaemonId::mgr(node)),
        Kind::Osd => id.parse().ok().map(DaemonId::osd),
        Kind::Mon | Kind::Mgr => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_daemon_cannot_read_is_not_passed_on() {
        let said = b"-1 auth: error setting modifier for [osd.0] type=key val=AgB+eAh: Malformed input\n-1 osd.0 1\n";
        let mut lines = Lines::default();
        // in pieces, of which none holds all that tells a key
        let mut shown = lines.take(Said::Err(&said[..60]));
        assert_eq!(shown, []);
        shown.extend(lines.take(Said::Err(&said[60..])));
        let shown: Vec<_> = shown.iter().map(|(_, line)| line.as_str()).collect();
        assert!(!shown[0].contains("AgB+") && shown[0].ends_with(": Malformed input"), "{shown:?}");
        assert_eq!(shown[1..], ["-1 osd.0 1"]);
    }

    #[test]
    fn lines_of_both_streams_are_put_together_each_by_itself() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(Said::Out(b"one\ntw")), [("stdout", "one".to_owned())]);
        assert_eq!(lines.take(Said::Err(b"else\n")), [("stderr", "else".to_owned())]);
        assert_eq!(lines.take(Said::Out(b"o\n\n")).len(), 2, "an empty line is one");
        assert_eq!(lines.take(Said::Out(b"end")), []);
        assert_eq!(lines.take(Said::Err(&vec![b'x'; LONGEST + 1])).len(), 1);
        assert_eq!(lines.rest(), [("stdout", "end".to_owned())]);
    }

    #[test]
    fn daemons_as_people_write_them() {
        let node = NodeName::new("B-1").unwrap();
        let read = |text: &str| daemon_of(&node, text).map(|d| d.container());
        assert_eq!(read("mon").as_deref(), Some("mon"));
        assert_eq!(read("mgr.B-1").as_deref(), Some("mgr"));
        assert_eq!(read("osd.3").as_deref(), Some("osd-3"));
        assert_eq!(read("osd-12").as_deref(), Some("osd-12"));
        for wrong in ["osd", "osd-x", "mds", "mon.B2", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
