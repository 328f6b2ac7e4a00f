//! `up`: make the cluster as the inventory says.

use std::time::Instant;

use super::{CtrlC, Exit, Session, complete, load, look, mint, planned, print_refusal};
use crate::cli::{Global, Up};
use crate::converge::{End, Planner, Run, converge};
use crate::event::{Event, StageTime};
use crate::host::HostError;
use crate::inventory::file::Loaded;
use crate::report::{Failure, Look};

pub(super) async fn run(global: &Global, options: &Up) -> Exit {
    let Up { dry_run: _ } = options; // `plan` does that
    let look = look(global);
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    converge_on(loaded, look, "up", planned).await
}

/// Connects, takes the lock, runs until the plan is empty, and says how it ended.
pub(super) async fn converge_on(
    loaded: Loaded,
    look: Look,
    doing: &str,
    planner: impl Planner,
) -> Exit {
    let loaded = match complete(loaded, look, true) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let begun = Instant::now();
    let session = Session::open(loaded, look, false).await;
    let held = match session.lock(look, doing).await {
        Ok(held) => held,
        Err(exit) => {
            session.close().await;
            return exit;
        }
    };
    let connecting = begun.elapsed().as_secs_f64();
    let ctrl_c = CtrlC::listen(&session.events);
    let want = &session.want;
    let Run { end, mut summary, facts: _ } =
        converge(&session.fleet, want, planner, || mint(want), &session.events, &ctrl_c.stop).await;
    summary.stages.insert(0, StageTime { title: "connect".into(), seconds: connecting });
    summary.seconds += connecting;
    let healthy = summary.health.as_deref() == Some("HEALTH_OK");
    // a refusal is printed as what it is
    if !matches!(end, End::Refused(_)) {
        session.events.send(Event::Summary(summary));
    }
    drop(ctrl_c);
    drop(held);
    session.close().await;
    match end {
        End::Done if healthy => Exit::Done,
        End::Done => Exit::NotThere,
        // nodes that are off, and what they hold up
        End::Partly => Exit::Failed,
        End::Failed(failures) => {
            // the steps have failed before everybody's eyes; what a daemon's log says was fetched afterwards
            for failure in failures.into_iter().filter(|f| !f.error.log.is_empty()) {
                let error = failure.error;
                let (why, hint) = failure.cause.map(|c| (c.what, c.hint)).unzip();
                look.print_failure(&Failure {
                    what: format!("{}: {}", failure.node, error.what),
                    causes: why.into_iter().collect(),
                    log: error.log,
                    hint,
                });
            }
            Exit::Failed
        }
        End::Refused(refusal) => print_refusal(look, &refusal),
        End::Stopped => Exit::Stopped,
        End::Unlocked(HostError { what, hint, .. }) => {
            look.print_failure(&Failure { what, hint, ..Failure::default() });
            Exit::Failed
        }
        End::NoProgress(stage) => {
            look.print_failure(&Failure {
                what: format!("\"{stage}\" was done and is planned again: something undoes it"),
                hint: Some("is another cephdock or a configuration manager at work on these nodes? `cephdock plan` shows what is missing".into()),
                ..Failure::default()
            });
            Exit::NotThere
        }
    }
}
