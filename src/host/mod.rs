//! The edge: SSH and Docker. The only room that touches a node, and it decides nothing.
//!
//! [`Host`] is the one seam: a fleet in memory stands in for it in the tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::daemon::DaemonId;
use crate::event::{Event, Events, Unit};
use crate::facts::{ClusterFacts, Facts, NodeFacts, Seen};
use crate::inventory::NodeName;
use crate::plan::Action;

mod ask;
mod containers;
mod exec;
mod files;
mod firewall;
mod image;
mod lock;
mod managers;
mod node;
mod observe;
mod packages;
mod paths;
mod perform;
mod plugins;
mod remove;
mod reports;
mod service;
mod survey;
mod talk;
mod trial;
mod volumes;
mod wait;

pub use lock::{Lock, LockError, OperatorLock};
pub use node::{Node, connect_all};
pub(crate) use observe::container_state;
pub(crate) use plugins::MirrorSpec;

/// A node that can be looked at and worked on. Errors are [`HostError`]s: with `lost` where the connection is gone, else what
/// was seen.
pub trait Host: Send + Sync + 'static {
    /// Looks at the node. Writes, pulls and starts nothing.
    fn observe(&self) -> impl Future<Output = Result<NodeFacts, HostError>> + Send;
    /// Asks the mons through this node's mon container.
    fn ask(&self) -> impl Future<Output = Result<ClusterFacts, HostError>> + Send;
    /// Does one thing.
    fn perform(
        &self,
        action: &Action,
        step: &StepReport,
    ) -> impl Future<Output = Result<(), HostError>> + Send;
    /// The last lines of a daemon's log, oldest first, both streams.
    fn logs(
        &self,
        daemon: &DaemonId,
        lines: usize,
    ) -> impl Future<Output = Result<Vec<String>, HostError>> + Send;
    /// Makes a lost connection anew, once in a run. True: it was lost, and the node can be worked on again.
    fn restore(&self) -> impl Future<Output = Result<bool, HostError>> + Send {
        async { Ok(false) }
    }
    /// How the operator's lock stands here.
    fn lock(&self) -> Lock {
        Lock::None
    }
    /// Takes the lock again, where it has ended. An error that is not [`HostError::lost`]: it was not to be had.
    fn lock_again(&self) -> impl Future<Output = Result<(), HostError>> + Send {
        async { Ok(()) }
    }
}

/// A word for a shell on a node.
fn quote(text: &str) -> Result<String, HostError> {
    let quoted = shlex::try_quote(text).map(std::borrow::Cow::into_owned);
    quoted.map_err(|e| HostError::new(format!("{text:?} cannot be given to a shell: {e}")))
}

/// What to do about a Docker that does not answer.
const DOCKER_HANGS: &str = "see on the node what Docker waits for, often a disk (`journalctl -u docker`, `dmesg`); then run the same command again";

/// What to do where no mon answers.
const NO_MON: &str =
    "`cephdock status` shows the mons: more than half of them have to run and reach each other";

/// Docker took too long.
fn docker_late(doing: &str, after: Duration) -> HostError {
    HostError::new(format!("Docker did not {doing} within {} s", after.as_secs()))
        .hint(DOCKER_HANGS)
}

/// Why something on a node failed. The node's name is added where it is reported.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{what}")]
pub struct HostError {
    /// What was seen, in one sentence.
    pub what: String,
    /// The node cannot be reached any more: nothing else will work on it in this run.
    pub lost: bool,
    /// The last lines of the log of the daemon concerned, oldest first; empty where there is none.
    pub log: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl HostError {
    /// One sentence, and nothing else known.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), lost: false, log: Vec::new(), hint: None }
    }

    /// What was seen and what to do about it, in one sentence.
    pub fn sentence(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.what),
            None => self.what.clone(),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where a step tells how far it is.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Who listens.
    pub events: Events,
    /// Where the step is done.
    pub node: NodeName,
    /// Its number in the run.
    pub step: u64,
    /// Filled when a daemon is found to fall over again and again: whoever waits need not wait any longer.
    pub hopeless: watch::Receiver<Option<String>>,
}

impl StepReport {
    /// Of something that is no step of a run, and that nobody listens to.
    pub(crate) fn unseen(node: &NodeName) -> Self {
        let hopeless = watch::channel(None).1;
        Self { events: Events::nowhere(), node: node.clone(), step: 0, hopeless }
    }

    /// Tells in words.
    pub fn say(&self, message: impl Into<String>) {
        self.progress(message, None);
    }

    /// Tells in words and numbers: done, total and what they count.
    pub fn progress(&self, message: impl Into<String>, figures: Option<(u64, u64, Unit)>) {
        self.events.send(Event::StepProgress {
            node: self.node.clone(),
            step: self.step,
            message: message.into(),
            done: figures.map(|f| f.0),
            total: figures.map(|f| f.1),
            unit: figures.map(|f| f.2),
        });
    }
}

/// A mon that has not answered for this long is not waited for alone.
const SILENCE: Duration = Duration::from_secs(3);

/// All nodes of the inventory: those that were reached, and why the others were not.
#[derive(Debug)]
pub struct Fleet<H> {
    /// In the order of their names.
    pub hosts: BTreeMap<NodeName, Result<Arc<H>, HostError>>,
}

impl<H: Host> Fleet<H> {
    /// Looks at every node at once, then asks the mons through the first node that runs one and gets an answer.
    pub async fn observe(&self) -> Facts {
        let nodes = self.look().await;
        let cluster = self.ask(&nodes).await;
        Facts { nodes, cluster, stirred: false }
    }

    /// Looks at every node at once.
    pub async fn look(&self) -> BTreeMap<NodeName, Seen<NodeFacts>> {
        let looks = self.hosts.iter().map(|(name, host)| async move {
            let seen = match host {
                Ok(host) => host.observe().await,
                Err(error) => Err(error.clone()),
            };
            (name.clone(), seen.map_or_else(|e| Seen::Unknown(e.sentence()), Seen::Value))
        });
        futures_util::future::join_all(looks).await.into_iter().collect()
    }

    /// Asks through the first node with a running mon; through the others too, one after another, while it is silent.
    pub async fn ask(&self, nodes: &BTreeMap<NodeName, Seen<NodeFacts>>) -> Seen<ClusterFacts> {
        let seen = nodes.values().filter_map(Seen::value);
        // a node that could not be looked at may hold a mon
        let made =
            seen.clone().count() < nodes.len() || seen.clone().any(|f| !f.mon_stores.is_empty());
        let runs = |name: &NodeName| {
            nodes.get(name).and_then(Seen::value).is_some_and(|f| !f.running_mons().is_empty())
        };
        let hosts = self.hosts.iter().filter_map(|(name, host)| Some((name, host.as_ref().ok()?)));
        let asks = hosts.filter(|(name, _)| runs(name)).enumerate().map(|(turn, (name, host))| {
            Box::pin(async move {
                tokio::time::sleep(SILENCE * u32::try_from(turn).unwrap_or(u32::MAX)).await;
                host.ask().await.map_err(|e| format!("asked through {name}: {}", e.what))
            })
        });
        let asks: Vec<_> = asks.collect();
        if asks.is_empty() {
            return if made {
                Seen::Unknown("no mon runs on the nodes that were reached".into())
            } else {
                Seen::Absent
            };
        }
        match futures_util::future::select_ok(asks).await {
            Ok((cluster, _)) => Seen::Value(cluster),
            Err(why) => Seen::Unknown(why),
        }
    }

    /// Makes the connections anew that were lost, each once in a run, and takes the operator's lock again where it has
    /// ended, and says so. True: one of them is there again, so it is worth another look.
    ///
    /// # Errors
    /// Another one has the lock, or may have it: nothing more may be done, on any node.
    pub async fn restore(&self, events: &Events) -> Result<bool, HostError> {
        let restored = self.reached().map(|(name, host)| reconnect(name, host, events));
        let mut again = futures_util::future::join_all(restored).await.contains(&true);
        // one node after another: of two that come at once, one gets all
        for (name, host) in self.reached().filter(|(_, host)| host.lock() == Lock::Ended) {
            let mut taken = host.lock_again().await;
            if taken.as_ref().is_err_and(|e| e.lost) && reconnect(name, host, events).await {
                taken = host.lock_again().await;
            }
            match taken {
                Ok(()) => {
                    let message = "the lock on it had ended and has been taken again".to_owned();
                    events.send(Event::Warning { node: Some(name.clone()), message });
                    again = true;
                }
                // as long as others are held, nobody else gets all of them
                Err(error) if error.lost => {}
                Err(error) => {
                    return Err(HostError { what: format!("{name}: {}", error.what), ..error });
                }
            }
        }
        let locks = || self.reached().map(|(name, host)| (name, host.lock()));
        let gone = locks().find(|(_, lock)| *lock == Lock::Gone);
        match gone {
            Some((name, _)) if !locks().any(|(_, lock)| lock == Lock::Held) => {
                let what = format!(
                    "the lock on {name} is lost, and no other mon node holds one: another cephdock may be at work on this cluster"
                );
                Err(HostError::new(what)
                    .hint("run the same command again once the mon nodes answer"))
            }
            _ => Ok(again),
        }
    }

    /// Whether a lock that this process had has ended, and has not been looked after: no step may be begun.
    pub fn unlocked(&self) -> bool {
        self.reached().any(|(_, host)| host.lock() == Lock::Ended)
    }

    fn reached(&self) -> impl Iterator<Item = (&NodeName, &Arc<H>)> {
        self.hosts.iter().filter_map(|(name, host)| Some((name, host.as_ref().ok()?)))
    }

    /// The host called `name`, if it was reached.
    pub fn get(&self, name: &NodeName) -> Option<&Arc<H>> {
        self.hosts.get(name).and_then(|h| h.as_ref().ok())
    }
}

/// Makes a lost connection anew, and says so. True: it was lost and is there again.
async fn reconnect<H: Host>(name: &NodeName, host: &Arc<H>, events: &Events) -> bool {
    let (there, message) = match host.restore().await {
        Ok(false) => return false,
        Ok(true) => (true, "the connection was lost and has been made again".to_owned()),
        Err(error) => {
            let why = error.sentence();
            (false, format!("the connection was lost and could not be made again: {why}"))
        }
    };
    events.send(Event::Warning { node: Some(name.clone()), message });
    there
}
