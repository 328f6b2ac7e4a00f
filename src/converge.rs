//! The loop: look, plan, carry out the first stage, look again; done when the plan is empty.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::watch;

use crate::apply::{Failure, apply};
use crate::causes::{self, Sick, telling};
use crate::daemon::DaemonId;
use crate::event::{Event, Events, Goal, StageTime, Summary, Unreachable};
use crate::facts::{ContainerFact, ContainerState, Facts, Seen};
use crate::host::{Fleet, Host, HostError};
use crate::identity::{Adopted, Identity};
use crate::inventory::{Inventory, NodeName};
use crate::plan::{self, Plan, Refusal, Stage, StageName, Waiting};

/// A planner: [`plan::up`] and its like, with whatever it was asked for bound to it.
pub trait Planner: Fn(&Inventory, &Facts, &Identity) -> Result<Plan, Refusal> {}

impl<P: Fn(&Inventory, &Facts, &Identity) -> Result<Plan, Refusal>> Planner for P {}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// The last plan was empty.
    Done,
    /// The last plan was empty, and something was left out: nodes that cannot be reached and the like.
    Partly,
    /// There is no plan; nothing of this round was done.
    Refused(Refusal),
    /// Steps failed.
    Failed(Vec<Failure>),
    /// The same stage was planned again right after it was carried out: something undoes it or it cannot be seen.
    NoProgress(String),
    /// The user asked to stop.
    Stopped,
    /// The operator's lock has ended, and another one has it or may have it. Nothing more was begun on any node.
    Unlocked(HostError),
}

/// A run: how it ended, and what is to be said about it.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// For the closing screen.
    pub summary: Summary,
    /// What was seen last.
    pub facts: Facts,
}

/// The cluster's identity as the nodes hold it, or a refusal. `None`: there is none yet.
///
/// # Errors
/// Two nodes hold different ones or one cannot be read (`to_protect_data`), or none was found and a mon node that may hold
/// one could not be looked at.
pub fn adopt(want: &Inventory, facts: &Facts) -> Result<Option<Identity>, Refusal> {
    let finding = |node: &NodeName, what: String, hint: &str| plan::Finding {
        node: node.clone(),
        what,
        hint: hint.to_owned(),
    };
    match Identity::adopt(want, facts) {
        Adopted::Found(id) => Ok(Some(id)),
        Adopted::None => Ok(None),
        Adopted::Unknown(nodes) => {
            let why: BTreeMap<&NodeName, &str> = facts.unreachable().collect();
            let find = |node: &NodeName| {
                let why = why.get(node).copied().unwrap_or("it was not looked at");
                finding(
                    node,
                    why.to_owned(),
                    "this mon node may hold a cluster already, so none is begun without a look at it: make it reachable and run the same command again",
                )
            };
            Err(Refusal { to_protect_data: false, findings: nodes.iter().map(find).collect() })
        }
        Adopted::Conflict(nodes) => {
            let find = |(node, fsid): &(NodeName, uuid::Uuid)| {
                finding(
                    node,
                    format!("it holds the identity of the cluster {fsid}"),
                    "these nodes belong to different clusters: is this the right inventory?",
                )
            };
            Err(Refusal { to_protect_data: true, findings: nodes.iter().map(find).collect() })
        }
        Adopted::Damaged(node, why) => Err(Refusal {
            to_protect_data: true,
            findings: vec![finding(
                &node,
                format!("{}: {why}", crate::identity::PATH),
                "copy the file from another mon node or a backup",
            )],
        }),
    }
}

/// Runs until the plan is empty. `mint` makes a new identity; it is asked at most once, and only if no node holds one.
pub async fn converge<H: Host>(
    fleet: &Fleet<H>,
    want: &Inventory,
    planner: impl Planner,
    mint: impl FnOnce() -> Identity,
    events: &Events,
    stop: &watch::Receiver<bool>,
) -> Run {
    let (mut mint, mut minted) = (Some(mint), None);
    let plan = move |want: &Inventory, facts: &Facts| {
        let adopted = adopt(want, facts)?;
        if let Some(mint) = mint.take_if(|_| adopted.is_none()) {
            minted = Some(mint());
        }
        // the same one until a node holds it
        let id =
            adopted.or_else(|| minted.clone()).expect("it is minted when it is first asked for");
        planner(want, facts, &id)
    };
    let mut run = steer(fleet, want, plan, Mons::Asked, events, stop).await;
    // mons that nobody hears are no cluster that is as it should be
    if matches!(run.end, End::Done) && run.facts.cluster.value().is_none() {
        (run.end, run.summary.converged) = (End::Partly, false);
    }
    run
}

/// Whether a planner needs what the mons say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mons {
    /// They are asked in every round.
    Asked,
    /// They are not. Asking silent ones takes its time.
    LeftAlone,
}

/// The loop itself, for any planner: runs until its plan is empty.
pub async fn steer<H: Host>(
    fleet: &Fleet<H>,
    want: &Inventory,
    mut planner: impl FnMut(&Inventory, &Facts) -> Result<Plan, Refusal>,
    mons: Mons,
    events: &Events,
    stop: &watch::Receiver<bool>,
) -> Run {
    let mut run = Loop { times: Vec::new(), steps: 0, begun: Instant::now() };
    let mut before: Option<Stage> = None;
    let mut round = 0;
    let mut stirred = false;
    loop {
        round += 1;
        events.send(Event::Observing { round });
        let looked = Instant::now();
        let mut facts = look(fleet, mons).await;
        match fleet.restore(events).await {
            Ok(true) => facts = look(fleet, mons).await,
            Ok(false) => {}
            Err(why) => return run.end(End::Unlocked(why), facts, &Plan::default()),
        }
        run.time("look at the nodes", looked);
        facts.stirred = stirred;
        let plan = match planner(want, &facts) {
            Ok(plan) => plan,
            Err(refusal) => return run.end(End::Refused(refusal), facts, &Plan::default()),
        };
        events.send(Event::Planned { round, stages: plan.stages.len(), steps: plan.steps() });
        let Some(stage) = plan.stages.first() else {
            let held_up = plan.waiting.iter().any(|w| w.holds_up);
            return run.end(if held_up { End::Partly } else { End::Done }, facts, &plan);
        };
        if *stop.borrow() {
            return run.end(End::Stopped, facts, &plan);
        }
        if before.as_ref() == Some(stage) {
            return run.end(End::NoProgress(stage.name.to_string()), facts, &plan);
        }
        stirred |= stage.name == StageName::Daemons;
        let started = Instant::now();
        let outcome = apply(fleet, stage, events, stop).await;
        run.time(&stage.name.to_string(), started);
        run.steps += outcome.done;
        // what came of a step whose connection was lost is seen by another look
        let lost = outcome.failures.iter().any(|f| f.error.lost);
        if lost || fleet.unlocked() {
            match fleet.restore(events).await {
                Err(why) => return run.end(End::Unlocked(why), facts, &plan),
                // a stage that was left in the middle is planned again
                Ok(again) if outcome.failures.is_empty() || (lost && again) => {
                    before = None;
                    continue;
                }
                Ok(_) => {}
            }
        }
        if !outcome.failures.is_empty() {
            let mut failures = outcome.failures;
            // what the round began with is old news by now
            let facts = fleet.observe().await;
            add_logs(fleet, &facts, &mut failures).await;
            return run.end(End::Failed(failures), facts, &plan);
        }
        stirred &= stage.name != StageName::Settle;
        before = Some(stage.clone());
    }
}

async fn look<H: Host>(fleet: &Fleet<H>, mons: Mons) -> Facts {
    match mons {
        Mons::Asked => fleet.observe().await,
        Mons::LeftAlone => {
            let cluster = Seen::Unknown("no mon was asked".into());
            Facts { nodes: fleet.look().await, cluster, stirred: false }
        }
    }
}

struct Loop {
    times: Vec<StageTime>,
    steps: usize,
    begun: Instant,
}

impl Loop {
    fn time(&mut self, title: &str, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        match self.times.iter_mut().find(|t| t.title == title) {
            Some(time) => time.seconds += seconds,
            None => self.times.push(StageTime { title: title.to_owned(), seconds }),
        }
    }

    fn end(self, end: End, facts: Facts, plan: &Plan) -> Run {
        let cluster = facts.cluster.value();
        let mut remaining: Vec<String> = plan.stages.iter().map(|s| s.name.to_string()).collect();
        remaining.extend(said(&plan.waiting));
        let summary = Summary {
            goal: Goal::default(),
            fsid: cluster.map(|c| c.fsid.to_string()),
            health: cluster.map(|c| c.health.clone()),
            steps: self.steps,
            converged: matches!(end, End::Done),
            seconds: self.begun.elapsed().as_secs_f64(),
            stages: self.times,
            unreachable: facts
                .unreachable()
                .map(|(node, why)| Unreachable { node: node.clone(), error: why.to_owned() })
                .collect(),
            remaining,
        };
        Run { end, summary, facts }
    }
}

/// One line for what is the same on several nodes.
fn said(waiting: &[Waiting]) -> Vec<String> {
    let mut nodes: Vec<(&str, Vec<&str>)> = Vec::new();
    for w in waiting {
        let node = w.node.as_ref().map(NodeName::as_str);
        match nodes.iter_mut().find(|(what, _)| *what == w.what) {
            Some((_, nodes)) => nodes.extend(node),
            None => nodes.push((&w.what, node.into_iter().collect())),
        }
    }
    let line = |(what, nodes): (&str, Vec<&str>)| {
        if nodes.is_empty() { what.to_owned() } else { format!("{}: {what}", nodes.join(", ")) }
    };
    nodes.into_iter().map(line).collect()
}

/// Lines of a daemon's log that go with a failure.
const LOG_LINES: usize = 12;
/// Lines that are read to find them: a crash writes many.
const LOG_READ: usize = 2000;

/// A wait fails on the node that asks, and its cause is often a daemon elsewhere: adds what the log of a daemon says that
/// does not run, wherever it is, and the cause where that is known. The daemon that the error names goes first.
async fn add_logs<H: Host>(fleet: &Fleet<H>, facts: &Facts, failures: &mut [Failure]) {
    let Some(failure) = failures.iter_mut().find(|f| f.error.log.is_empty() && !f.error.lost)
    else {
        return;
    };
    let mut fallen: Vec<(&NodeName, &ContainerFact, &DaemonId)> = Vec::new();
    for (name, seen) in &facts.nodes {
        let docker = seen.value().and_then(|node| node.docker.up());
        let containers = docker.map(|d| d.containers.as_slice()).unwrap_or_default();
        let ours = containers.iter().filter_map(|c| Some((name, c, &c.ours.as_ref()?.daemon)));
        fallen
            .extend(ours.filter(|(_, c, _)| c.state != ContainerState::Running || c.restarts > 0));
    }
    let names = |(node, _, daemon): &(&NodeName, &ContainerFact, &DaemonId)| {
        failure.error.what.starts_with(&format!("{daemon} on {node} "))
    };
    fallen.sort_by_key(|daemon| !names(daemon));
    for (name, container, daemon) in fallen {
        let Some(host) = fleet.get(name) else { continue };
        if let Ok(log) = host.logs(daemon, LOG_READ).await {
            failure.cause = causes::explain(&Sick::seen(daemon, Some(container), &log));
            failure.error.log =
                vec![format!("{daemon} on {name} does not run or was restarted; its log says:")];
            failure.error.log.extend(telling(&log, LOG_LINES));
            return;
        }
    }
}
