//! Carries out one stage: lanes side by side, the steps of a lane in order. Talks only to [`Events`].
//!
//! A step that fails ends its lane; the others go on to their end, and nothing is undone. The next run takes it up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::causes::Cause;
use crate::event::{Event, Events};
use crate::host::{Fleet, Host, HostError, StepReport};
use crate::inventory::NodeName;
use crate::plan::{Lane, Stage};
use crate::watchdog;

/// A step that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where.
    pub node: NodeName,
    /// The step, in words.
    pub what: String,
    /// Why, without the node's name.
    pub error: HostError,
    /// Why a daemon that it waits for does not run, where that is known.
    pub cause: Option<Cause>,
}

/// What came of a stage.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps that were done.
    pub done: usize,
    /// Steps that failed.
    pub failures: Vec<Failure>,
    /// Steps that were not begun, because an earlier one of their lane failed, the user asked to stop, or the
    /// operator's lock has ended.
    pub left: usize,
}

/// Carries out `stage`. When `stop` turns true or the operator's lock has ended, steps that run are finished and no other
/// is begun.
pub async fn apply<H: Host>(
    fleet: &Fleet<H>,
    stage: &Stage,
    events: &Events,
    stop: &watch::Receiver<bool>,
) -> Outcome {
    let begun = Instant::now();
    let name = stage_id(stage);
    events.send(Event::StageStarted {
        stage: name.clone(),
        title: stage.name.to_string(),
        steps: stage.steps(),
    });
    let (give_up, hopeless) = watch::channel(None);
    let lanes = stage.lanes.iter().map(|lane| async {
        let outcome = run_lane(fleet, lane, events, stop, &hopeless).await;
        if let Some(failure) = outcome.failures.first() {
            // what others wait for may never come now
            let why = format!("another step failed: {} on {}", failure.what, failure.node);
            give_up.send_if_modified(|told| told.is_none().then(|| *told = Some(why)).is_some());
        }
        outcome
    });
    let watch = async {
        let (node, daemon) = watchdog::falling(fleet).await;
        give_up.send_replace(Some(format!("{daemon} on {node} falls over again and again")));
        std::future::pending::<()>().await;
    };
    let lanes = tokio::select! {
        lanes = futures_util::future::join_all(lanes) => lanes,
        () = watch => Vec::new(), // never: it only tells the lanes
    };
    let mut outcome = Outcome::default();
    for lane in lanes {
        outcome.done += lane.done;
        outcome.left += lane.left;
        outcome.failures.extend(lane.failures);
    }
    let seconds = begun.elapsed().as_secs_f64();
    events.send(Event::StageFinished { stage: name, seconds, ok: outcome.failures.is_empty() });
    outcome
}

fn stage_id(stage: &Stage) -> String {
    serde_json::to_value(stage.name)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

async fn run_lane<H: Host>(
    fleet: &Fleet<H>,
    lane: &Lane,
    events: &Events,
    stop: &watch::Receiver<bool>,
    hopeless: &watch::Receiver<Option<String>>,
) -> Outcome {
    /// Steps are numbered over all runs of this process: an event's number means one step.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut outcome = Outcome::default();
    for (index, step) in lane.steps.iter().enumerate() {
        if *stop.borrow() || fleet.unlocked() {
            outcome.left = lane.steps.len() - index;
            break;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (node, what) = (lane.node.clone(), step.action.to_string());
        events.send(Event::StepStarted {
            node: node.clone(),
            step: number,
            what: what.clone(),
            why: step.why.to_string(),
        });
        let begun = Instant::now();
        let report = StepReport {
            events: events.clone(),
            node: node.clone(),
            step: number,
            hopeless: hopeless.clone(),
        };
        let result = match fleet.hosts.get(&node) {
            Some(Ok(host)) => host.perform(&step.action, &report).await,
            Some(Err(error)) => Err(error.clone()),
            None => Err(HostError::new("the node is not in the fleet")),
        };
        match result {
            Ok(()) => {
                outcome.done += 1;
                let seconds = begun.elapsed().as_secs_f64();
                events.send(Event::StepFinished { node, step: number, what, seconds });
            }
            Err(error) => {
                events.send(Event::StepFailed {
                    node: node.clone(),
                    step: number,
                    what: what.clone(),
                    error: error.what.clone(),
                    log: error.log.clone(),
                    hint: error.hint.clone(),
                });
                outcome.failures.push(Failure { node, what, error, cause: None });
                outcome.left = lane.steps.len() - index - 1;
                break;
            }
        }
    }
    outcome
}
