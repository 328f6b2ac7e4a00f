//! What happens, as values. Work sends events; only `report/` turns them into something to look at. Nothing here knows
//! of terminals, colours or JSON; `--json` prints these very events, one a line.

use serde::Serialize;
use tokio::sync::mpsc;

use crate::inventory::NodeName;

/// Something that happened, in the order it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "a variant's own line says what its fields are")]
pub enum Event {
    /// A node is being connected to.
    Connecting { node: NodeName },
    /// The node is logged in to. `docker` says how its Docker is reached ("forwarded socket", "dial-stdio", …), or why not.
    Connected { node: NodeName, docker: String },
    /// The node could not be reached, or its Docker could not; the run goes on with the others where that is safe.
    Unreachable { node: NodeName, error: String },
    /// All nodes are being looked at (again); `round` counts from 1.
    Observing { round: usize },
    /// A plan was made. Zero steps: there is nothing to do.
    Planned { round: usize, stages: usize, steps: usize },
    /// A stage begins: `stage` is its name for programs ([`StageName`](crate::plan::StageName)), `title` a short phrase
    /// ("start daemons").
    StageStarted { stage: String, title: String, steps: usize },
    /// A stage ended after `seconds` of wall-clock time. `ok` is false where a step of it failed.
    StageFinished { stage: String, seconds: f64, ok: bool },
    /// A step begins on a node, and why it is needed. `step` counts within the run and ties the next three to it.
    StepStarted { node: NodeName, step: u64, what: String, why: String },
    /// How far a step is. `done`/`total` are bytes where `unit` is "bytes", else things.
    StepProgress {
        node: NodeName,
        step: u64,
        message: String,
        done: Option<u64>,
        total: Option<u64>,
        unit: Option<Unit>,
    },
    /// The step is done.
    StepFinished { node: NodeName, step: u64, what: String, seconds: f64 },
    /// The step failed. `log` holds the last lines of the daemon concerned, oldest first, if there is one; `hint` is what to
    /// do.
    StepFailed {
        node: NodeName,
        step: u64,
        what: String,
        error: String,
        log: Vec<String>,
        hint: Option<String>,
    },
    /// Something the user should know that stops nothing.
    Warning { node: Option<NodeName>, message: String },
    /// What the plan leaves alone for now, and why.
    Waiting { node: Option<NodeName>, what: String },
    /// The end of a run.
    Summary(Summary),
}

/// What a progress figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Daemons, placement groups and the like.
    Count,
}

/// What a run was for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Goal {
    /// A cluster as the inventory says.
    #[default]
    Inventory,
    /// No cluster.
    Gone,
    /// No cluster, and its data where it was.
    DataKept,
    /// A cluster without this node.
    NodeGone(NodeName),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What it was for.
    #[serde(skip)]
    pub goal: Goal,
    /// The cluster's fsid, once there is one.
    pub fsid: Option<String>,
    /// `HEALTH_OK` and the like; `None` where no mon answered.
    pub health: Option<String>,
    /// Steps that were done.
    pub steps: usize,
    /// Whether the last plan was empty and every node of the inventory took part.
    pub converged: bool,
    /// Wall-clock seconds of the whole run, connecting included.
    pub seconds: f64,
    /// Where the time went, in order: connecting, observing and each stage.
    pub stages: Vec<StageTime>,
    /// Nodes that could not take part, with the reason.
    pub unreachable: Vec<Unreachable>,
    /// What is left, one phrase each.
    pub remaining: Vec<String>,
}

/// A node that could not take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Which.
    pub node: NodeName,
    /// Why.
    pub error: String,
}

/// A stage and its seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage's title.
    pub title: String,
    /// Wall-clock seconds, all rounds of it together.
    pub seconds: f64,
}

/// A piece of what a program on a node prints, passed on as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// Of stdout.
    Out(&'a [u8]),
    /// Of stderr.
    Err(&'a [u8]),
}

/// Where events go. Cheap to clone; sending never blocks and never fails (nobody listening is fine).
#[derive(Debug, Clone)]
pub struct Events(Option<mpsc::UnboundedSender<Event>>);

impl Events {
    /// A channel: the sender's side, and the side a reporter reads.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(Some(tx)), rx)
    }

    /// Events that nobody reads.
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// Sends one.
    pub fn send(&self, event: Event) {
        if let Some(tx) = &self.0 {
            // a reporter that is gone must not stop the work
            drop(tx.send(event));
        }
    }
}
