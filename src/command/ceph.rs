//! `ceph`: a ceph command, in the container of the first mon that runs.

use std::io::Read as _;
use std::ops::ControlFlow;

use tokio::sync::Notify;

use super::{Exit, Session, load, look};
use crate::cli::{Ceph, Global};
use crate::daemon::DaemonId;
use crate::event::Said;
use crate::report::{Failure, unheard};

/// Seconds in which the mons have to be found, unless ARGS say otherwise. `ceph` itself waits for 300 of them, and says
/// nothing.
const CONNECT: &str = "30";
/// More than any map or keyring.
const LARGEST_INPUT: u64 = 64 << 20;

pub(super) async fn run(global: &Global, options: &Ceph) -> Exit {
    let look = look(global);
    let mut loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let failed = |failure: &Failure| {
        look.print_failure(failure);
        Exit::Failed
    };
    let input = match reads_stdin(&options.args).then(input).transpose() {
        Ok(input) => input,
        Err(what) => return failed(&Failure { what, ..Failure::default() }),
    };
    loaded.inventory.nodes.retain(|n| n.roles.mon);
    let session = Session::open(loaded, look, true).await;
    let nodes = session.fleet.look().await;
    let runs = session.fleet.hosts.iter().find_map(|(name, host)| {
        let facts = nodes.get(name)?.value()?;
        (!facts.running_mons().is_empty()).then_some((name, host.as_ref().ok()?))
    });
    let Some((name, host)) = runs else {
        let unseen = session.fleet.hosts.iter().filter_map(|(name, host)| {
            host.as_ref().err().map(|error| format!("{name}: {}", error.what))
        });
        let causes: Vec<String> = unseen.collect();
        let none = causes.len() == session.fleet.hosts.len();
        let what = if none {
            "no node with a mon was reached"
        } else {
            "no mon runs on the nodes that were reached"
        };
        session.close().await;
        let hint = Some("`cephdock status` says what is there".into());
        return failed(&Failure { what: what.into(), causes, hint, ..Failure::default() });
    };
    let command = whole(&options.args, look.json);
    let spoken = Notify::new();
    let mut print = |said: Said<'_>| {
        spoken.notify_one();
        if look.pass_on(said) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let mon = DaemonId::mon(name);
    let ended = tokio::select! {
        ended = host.run_in(&mon, &command, input.as_deref(), &mut print) => ended,
        // one that has said nothing is about to do what it was told, whoever wants to hear of it
        () = async { spoken.notified().await; unheard().await } => Ok(None),
    };
    let ended = ended.map_err(|e| (format!("{name}: {}", e.what), e.hint));
    session.close().await;
    match ended {
        Ok(Some(0) | None) => Exit::Done,
        Ok(Some(_)) => Exit::Failed, // ceph has said why
        Err((what, hint)) => failed(&Failure { what, hint, ..Failure::default() }),
    }
}

/// `ceph` and what it is told. It takes the last of several of one option: what `args` say counts.
fn whole(args: &[String], json: bool) -> Vec<String> {
    let mut command: Vec<String> = ["ceph", "--connect-timeout", CONNECT].map(str::to_owned).into();
    if json {
        command.extend(["--format", "json"].map(str::to_owned));
    }
    command.extend(args.iter().cloned());
    command
}

/// Whether `ceph` is told to read its stdin. Without being told so it reads none, and neither does cephdock: whoever runs
/// it in a loop over lines keeps the others.
fn reads_stdin(args: &[String]) -> bool {
    let stdin = |file: &str| ["-", "/dev/stdin"].contains(&file);
    let joined = args.iter().any(|a| {
        ["--in-file=", "-i"].iter().any(|option| a.strip_prefix(option).is_some_and(stdin))
    });
    joined || args.windows(2).any(|w| ["-i", "--in-file"].contains(&w[0].as_str()) && stdin(&w[1]))
}

fn input() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(LARGEST_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("stdin cannot be read: {e}"))?;
    if bytes.len() as u64 > LARGEST_INPUT {
        return Err(format!("stdin has more than {} MiB", LARGEST_INPUT >> 20));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn stdin_is_for_those_that_ask_for_it() {
        for yes in
            ["auth import -i -", "osd setcrushmap --in-file -", "x -i-", "x --in-file=/dev/stdin"]
        {
            assert!(reads_stdin(&words(yes)), "{yes}");
        }
        for no in ["-s", "auth import -i /tmp/x", "config-key set a -", "tell osd.1 -i x -"] {
            assert!(!reads_stdin(&words(no)), "{no}");
        }
    }

    #[test]
    fn what_the_user_says_comes_last() {
        let command = whole(&words("-s -f plain"), true);
        assert_eq!(command.join(" "), "ceph --connect-timeout 30 --format json -s -f plain");
    }
}
