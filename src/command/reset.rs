//! `reset`: take away what cephdock made, of the whole cluster or of one node. Shown first, and asked for.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::{CtrlC, Exit, Session, load, look, print_refusal};
use crate::cli::{Global, Reset as Options};
use crate::converge::{End, Mons, Run, steer};
use crate::event::{Event, Goal, StageTime};
use crate::facts::{Facts, Seen};
use crate::host::HostError;
use crate::inventory::NodeName;
use crate::plan::{Action, Plan, Waiting, reset};
use crate::report::reset_view::{DiskGoes, NodeGoes, ResetView};
use crate::report::{Failure, Look};

/// How long mons are waited for whose answer changes nothing.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(global: &Global, options: &Options) -> Exit {
    let Options { node, fsid, keep_data, dry_run } = options;
    let look = look(global);
    if let Some(why) = cannot_be_asked(global, *fsid, *dry_run) {
        return usage(look, why.0, why.1);
    }
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let names = || loaded.inventory.nodes.iter().map(|n| &n.name);
    let wanted = node.as_deref();
    let node = names().find(|name| Some(name.as_str()) == wanted).cloned();
    if let (Some(wanted), None) = (wanted, &node) {
        let names: Vec<&str> = names().map(NodeName::as_str).collect();
        let hint = format!("its nodes are {}", names.join(", "));
        return usage(look, &format!("the inventory has no node called {wanted}"), &hint);
    }
    let begun = std::time::Instant::now();
    let mut session = Session::open(loaded, look, true).await;
    let connecting = begun.elapsed().as_secs_f64();
    let scope = reset::Options { node: node.as_ref(), keep_data: *keep_data };
    let shown = !(look.quiet && global.yes);
    let target = match first_look(&session, look, *fsid, scope, shown).await {
        Ok((_, plan)) if *dry_run || (plan.is_empty() && !held_up(&plan)) => {
            session.close().await;
            return Exit::Done; // what is not there needs no answer
        }
        Ok((Some(target), plan)) if !plan.is_empty() => {
            if !(global.yes || agreed(look, &target)) {
                session.close().await;
                look.print_error("that is not its fsid: nothing was changed");
                return Exit::Refused;
            }
            target
        }
        Ok(_) => {
            session.close().await;
            return Exit::Failed;
        }
        Err(exit) => {
            session.close().await;
            return exit;
        }
    };
    let held = match session.lock(look, "reset").await {
        Ok(held) => held,
        Err(exit) => {
            session.close().await;
            return exit;
        }
    };
    session.show(look);
    let ctrl_c = CtrlC::listen(&session.events);
    let plan = |want: &_, facts: &_| reset::reset(want, facts, &target, scope);
    // where the whole cluster goes, nobody waits for mons that are silent
    let mons = if node.is_some() { Mons::Asked } else { Mons::LeftAlone };
    let (fleet, want) = (&session.fleet, &session.want);
    let Run { end, mut summary, facts: _ } =
        steer(fleet, want, plan, mons, &session.events, &ctrl_c.stop).await;
    summary.stages.insert(0, StageTime { title: "connect".into(), seconds: connecting });
    summary.seconds += connecting;
    summary.fsid = Some(target.fsid.to_string());
    summary.goal = match &node {
        Some(node) => Goal::NodeGone(node.clone()),
        None if *keep_data => Goal::DataKept,
        None => Goal::Gone,
    };
    if !matches!(end, End::Refused(_)) {
        session.events.send(Event::Summary(summary));
    }
    drop(ctrl_c);
    drop(held);
    session.close().await;
    ended(look, end)
}

fn ended(look: Look, end: End) -> Exit {
    match end {
        End::Done => Exit::Done,
        // the steps have failed before everybody's eyes; nodes that are off were named
        End::Partly | End::Failed(_) => Exit::Failed,
        End::Refused(refusal) => print_refusal(look, &refusal),
        End::Stopped => Exit::Stopped,
        End::Unlocked(HostError { what, hint, .. }) => {
            look.print_failure(&Failure { what, hint, ..Failure::default() });
            Exit::Failed
        }
        End::NoProgress(stage) => {
            look.print_failure(&Failure {
                what: format!("\"{stage}\" was done and is planned again: something undoes it"),
                hint: Some(
                    "is another cephdock or a configuration manager at work on these nodes?".into(),
                ),
                ..Failure::default()
            });
            Exit::NotThere
        }
    }
}

/// Why nobody could say yes, and what to write instead.
fn cannot_be_asked(
    global: &Global,
    fsid: Option<Uuid>,
    dry_run: bool,
) -> Option<(&'static str, &'static str)> {
    const HINT: &str = "in scripts, name the cluster that is to go: `cephdock reset --yes --fsid FSID`; `--dry-run` shows what would go";
    let asks = !global.yes && !dry_run;
    if global.yes && fsid.is_none() && !dry_run {
        Some(("--yes alone does not say which cluster is to go", HINT))
    } else if asks && (global.json || !std::io::stdin().is_terminal()) {
        Some(("there is no terminal to ask for the cluster's fsid", HINT))
    } else {
        None
    }
}

fn usage(look: Look, what: &str, hint: &str) -> Exit {
    let (what, hint) = (what.to_owned(), Some(hint.to_owned()));
    look.print_failure(&Failure { what, hint, ..Failure::default() });
    Exit::Usage
}

/// Looks, plans and shows what would go.
async fn first_look(
    session: &Session,
    look: Look,
    asked: Option<Uuid>,
    scope: reset::Options<'_>,
    show: bool,
) -> Result<(Option<reset::Target>, Plan), Exit> {
    let nodes = session.fleet.look().await;
    let ask = session.fleet.ask(&nodes);
    let cluster = match scope.node {
        Some(_) => ask.await,
        // they could only tell of nodes that the inventory does not name
        None => timeout(PATIENCE, ask).await.unwrap_or(Seen::Unknown("no mon answers".into())),
    };
    let facts = Facts { nodes, cluster, stirred: false };
    let want = &session.want;
    let target = reset::find(&facts, asked).map_err(|refusal| print_refusal(look, &refusal))?;
    let mut shown =
        ResetView { node: scope.node.cloned(), keep_data: scope.keep_data, ..ResetView::default() };
    let plan = match &target {
        Some(target) => {
            let plan = reset::reset(want, &facts, target, scope);
            let plan = plan.map_err(|refusal| print_refusal(look, &refusal))?;
            shown.fsid = target.fsid.to_string();
            shown.notes = pairs(&reset::notes(want, &facts, target, scope));
            plan
        }
        None => Plan { stages: Vec::new(), waiting: reset::out_of_reach(want, &facts, scope) },
    };
    describe(&plan, &mut shown);
    if show {
        look.print_reset(&shown);
    }
    Ok((target, plan))
}

fn held_up(plan: &Plan) -> bool {
    plan.waiting.iter().any(|w| w.holds_up)
}

fn pairs(waiting: &[Waiting]) -> Vec<(Option<NodeName>, String)> {
    waiting.iter().map(|w| (w.node.clone(), w.what.clone())).collect()
}

/// Asks for the fsid. Only who has read it can type it.
fn agreed(look: Look, target: &reset::Target) -> bool {
    let question = "Type the cluster's fsid to go on:";
    let answer = look.ask(question).and_then(|answer| answer.trim().parse::<Uuid>().ok());
    answer == Some(target.fsid)
}

fn describe(plan: &Plan, view: &mut ResetView) {
    view.skipped = pairs(&plan.waiting);
    for lane in plan.stages.iter().flat_map(|stage| &stage.lanes) {
        for step in &lane.steps {
            let node = &lane.node;
            match &step.action {
                Action::WaitUntil(_) | Action::Ceph(_) | Action::Exec(..) => {
                    view.cluster.push(step.action.to_string());
                }
                Action::WipeDisk(disk) => view.disks.push(DiskGoes {
                    node: node.clone(),
                    path: disk.path.clone(),
                    kernel_name: disk.kernel_name.clone(),
                    serial: disk.serial.clone(),
                    size: disk.size,
                    osd: disk.number,
                }),
                Action::RemoveContainer(daemon, ..) => {
                    goes(view, node).containers.push(daemon.container());
                }
                Action::RemoveFiles(removals) => {
                    let paths = removals.iter().filter_map(|r| r.all()).map(str::to_owned);
                    goes(view, node).files.extend(paths);
                }
                other => goes(view, node).other.push(other.to_string()),
            }
        }
    }
}

fn goes<'a>(view: &'a mut ResetView, node: &NodeName) -> &'a mut NodeGoes {
    let at = view.nodes.iter().position(|n| &n.node == node).unwrap_or_else(|| {
        let (containers, files, other) = (Vec::new(), Vec::new(), Vec::new());
        view.nodes.push(NodeGoes { node: node.clone(), containers, files, other });
        view.nodes.len() - 1
    });
    &mut view.nodes[at]
}
