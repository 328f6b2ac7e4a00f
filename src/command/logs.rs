//! `logs`: what a daemon says.

use super::{Exit, Session, load, look};
use crate::cli::{Global, Logs};
use crate::daemon::{DaemonId, Kind};
use crate::event::Said;
use crate::inventory::NodeName;
use crate::report::Failure;
use crate::support::without_keys;

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
            format!("{daemon:?} is no daemon"),
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
    let read = match session.fleet.hosts.values().next() {
        Some(Ok(host)) => {
            let mut print = |said: Said<'_>| match said {
                Said::Out(bytes) => look.pass_on(Said::Out(public(bytes).as_bytes())),
                Said::Err(bytes) => look.pass_on(Said::Err(public(bytes).as_bytes())),
            };
            tokio::select! {
                read = host.follow(&daemon, *lines, *follow, &mut print) => read,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }
        Some(Err(error)) => Err(error.clone()),
        None => Ok(()),
    };
    session.close().await;
    match read {
        Ok(()) => Exit::Done,
        Err(error) => {
            failed(format!("{node}: {}", error.what), error.hint);
            Exit::Failed
        }
    }
}

/// What a daemon says, without its key: it says that one when it cannot read it. Docker passes on whole lines.
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
        let shown = public(said);
        assert!(
            !shown.contains("AgB+") && shown.ends_with(": Malformed input\n-1 osd.0 1\n"),
            "{shown}"
        );
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
