//! `support`: one archive with everything that helps to find out what is wrong, and no secret.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Exit, Session, load, look};
use crate::cli::{Global, Support};
use crate::facts::Facts;
use crate::host::Host;
use crate::report::Screen;
use crate::report::text::rfc3339;
use crate::report::{Failure, json, run_log, status_view};
use crate::status;
use crate::support::{Part, Redactor, pack};

/// Lines of each daemon's log.
const LOG_LINES: usize = 1000;
/// Logs of runs on this machine: the newest.
const RUNS: usize = 5;

pub(super) async fn run(global: &Global, options: &Support) -> Exit {
    let look = look(global);
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let now = SystemTime::now();
    let name = format!("cephdock-support-{}", rfc3339(now).replace(':', ""));
    let path = options.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    let failed = |what: String, hint: &str| {
        look.print_failure(&Failure { what, hint: Some(hint.into()), ..Failure::default() });
        Exit::Failed
    };
    // before anything else: nothing is overwritten, and nothing looked at for naught
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = match file {
        Ok(file) => file,
        Err(e) => {
            let what = format!("{} cannot be made: {e}", path.display());
            return failed(what, "name another file: `--output FILE`");
        }
    };
    let session = Session::open(loaded, look, true).await;
    let facts = session.fleet.observe().await;
    let mut parts = told(&session, &facts);
    parts.extend(logs(&session, &facts).await);
    let inventory = std::fs::read_to_string(&global.inventory).unwrap_or_default();
    parts.push(Part { name: "inventory.yaml".into(), text: inventory });
    parts.extend(runs());
    let redactor = Redactor::new(&session.want, &facts);
    session.close().await;
    for part in &mut parts {
        part.text = redactor.clean(&part.text);
    }
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if let Err(e) = pack(&name, &parts, seconds, file) {
        let what = format!("{} could not be written: {e}", path.display());
        return failed(what, "is the disk full?");
    }
    if look.json {
        let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
        look.print_json(&serde_json::json!({"archive": path, "files": names}));
    } else if !look.quiet {
        look.print(&format!(
            "{} holds {} files: versions, status, what was seen on each node, logs and the inventory. Keys and passwords are \
             taken out; names and addresses are not. Look it through before you give it away:\n\n  tar -xzf {0} -O | less\n",
            path.display(),
            parts.len()
        ));
    }
    Exit::Done
}

/// Versions, the status, and what was seen.
fn told(session: &Session, facts: &Facts) -> Vec<Part> {
    let part = |name: String, text: String| Part { name, text };
    let status = status::of(&session.want, facts);
    let mut parts = vec![
        part("version.txt".into(), format!("cephdock {}\n", env!("CARGO_PKG_VERSION"))),
        part("status.txt".into(), status_view::render(&status, &Screen::file())),
        part("status.json".into(), json::line(&status)),
        part("cluster.json".into(), json::line(&facts.cluster)),
    ];
    for (node, seen) in &facts.nodes {
        parts.push(part(format!("nodes/{node}.json"), json::line(seen)));
    }
    parts
}

/// What each daemon said last.
async fn logs(session: &Session, facts: &Facts) -> Vec<Part> {
    let mut reads = Vec::new();
    for (name, host) in &session.fleet.hosts {
        let Ok(host) = host else { continue };
        let docker = facts.node(name).and_then(|node| node.docker.up());
        let ours = docker.into_iter().flat_map(|d| &d.containers).filter_map(|c| c.ours.as_ref());
        reads.extend(ours.map(|ours| async move {
            let text = match host.logs(&ours.daemon, LOG_LINES).await {
                Ok(lines) => lines.join("\n") + "\n",
                Err(error) => format!("no log: {}\n", error.what),
            };
            Part { name: format!("logs/{name}/{}.log", ours.daemon.container()), text }
        }));
    }
    futures_util::future::join_all(reads).await
}

/// Logs of runs, of this user on this machine.
fn runs() -> Vec<Part> {
    let logs = run_log::folder().map(|folder| run_log::all(&folder)).unwrap_or_default();
    let newest = logs.iter().rev().take(RUNS);
    let read = newest.filter_map(|path| {
        let name = format!("runs/{}", path.file_name()?.to_string_lossy());
        Some(Part { name, text: std::fs::read_to_string(path).ok()? })
    });
    read.collect()
}
