//! A fleet in memory that stands in for real nodes: the same planner, loop and stages, other hosts.
//!
//! What a step does is played honestly (see `node` and `ceph`): a mon's store is made from nothing but the seed files
//! that lie on its node, an OSD formats nothing but a blank disk and comes up only with the key the mons know. What may
//! never happen at all is noted in [`World::crimes`]; [`Sim::up`] fails the test over it.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cephdock::converge::{End, Mons, Planner, Run, converge, steer};
use cephdock::daemon::DaemonId;
use cephdock::event::Events;
use cephdock::facts::{ClusterFacts, Facts, NodeFacts};
use cephdock::host::{Fleet, Host, HostError, Lock, StepReport};
use cephdock::identity::Identity;
use cephdock::image::ImageFact;
use cephdock::image::archive::Archived;
use cephdock::inventory::file::parse;
use cephdock::inventory::{Inventory, NodeName, VolumeDriver};
use cephdock::plan::{self, Action, Condition, Plan, Refusal, reset};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) mod ceph;
pub(crate) mod firewall;
pub(crate) mod lint;
pub(crate) mod node;
pub(crate) mod plugin;
mod remove;
pub(crate) mod service;

pub(crate) use node::NodeState;

/// What is to go wrong with a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// cephdock is killed before the step has done anything.
    CutBefore,
    /// cephdock is killed half-way: files written up to the half, a container made and not started.
    CutMiddle,
    /// As above, and the OSD's container is stopped while it formats.
    CutMkfs,
    /// cephdock is killed when the step is done and before anything else is.
    CutAfter,
    /// The step fails and does nothing.
    Fail(&'static str),
    /// The step says that all went well and does nothing.
    Ignore,
    /// A node loses its power; the step goes on where it can.
    PowerOff(&'static str),
    /// The user asks to stop while the step runs.
    Stop,
    /// The connection is lost half-way of the step; the second time in a run it is not made again.
    LoseMiddle,
    /// The same when the step is done and nobody has been told.
    LoseAfter,
    /// These nodes' locks end while the step runs; another process has it on the second ones by the time that they are
    /// taken again.
    Unlock(&'static [&'static str], &'static [&'static str]),
}

/// Asked before every step: its number in the run, its node, what it is.
type Hook = Box<dyn FnMut(usize, &NodeName, &Action) -> Fault + Send>;

/// All nodes and what runs on them.
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeName, NodeState>,
    pub(crate) ceph: ceph::Clusters,
    /// What the image archive holds.
    pub(crate) archived: Option<ImageFact>,
    /// What was done, `B1: start mon.B1`.
    pub(crate) done: Vec<String>,
    /// What must never happen.
    pub(crate) crimes: Vec<String>,
    hook: Hook,
    steps: usize,
    /// How often each node's connection was lost and made again in this run: odd where it is lost.
    lost: BTreeMap<NodeName, u8>,
    /// Where the lock was taken by this process, and whether it has ended, or another one has it.
    locks: BTreeMap<NodeName, SimLock>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum SimLock {
    Held,
    Ended,
    Taken,
}

/// A world, an inventory for it, and the process that is run on them.
pub(crate) struct Sim {
    pub(crate) want: Inventory,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    cut: Notify,
    stop: watch::Sender<bool>,
}

/// Reads an inventory. One that says nothing of `volumes:` asks for no driver here, so that tests of other things need
/// not look at it; the program that nodes get is the first version of cephdock.
pub(crate) fn inventory(text: &str) -> Inventory {
    let mut want = match parse(text, Path::new("inventory.yaml"), Some(Path::new("/root"))) {
        Ok(loaded) => loaded.inventory,
        Err(problems) => panic!("{problems}"),
    };
    if !text.contains("volumes:") {
        want.volumes.driver = VolumeDriver::None;
    }
    want.volumes.programs = Some(vec![service::program("1")]);
    want
}

/// A node's name.
pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("tests use valid names")
}

/// The identity that a run with this seed would mint.
pub(crate) fn identity(want: &Inventory, seed: u8) -> Identity {
    Identity::mint(want, [seed; 48], 1_700_000_000)
}

/// The planner, and the linter on every plan it makes.
pub(crate) fn linted(want: &Inventory, seen: &Facts, id: &Identity) -> Result<Plan, Refusal> {
    checked(want, seen, id, plan::up)
}

/// The planner of `add-node` for this node, and the linter.
pub(crate) fn adding(node: &str) -> impl Planner + Copy + use<'_> {
    move |want: &Inventory, seen: &Facts, id: &Identity| {
        checked(want, seen, id, |want, seen, id| plan::add_node(&name(node), want, seen, id))
    }
}

fn checked(
    want: &Inventory,
    seen: &Facts,
    id: &Identity,
    planner: impl Planner,
) -> Result<Plan, Refusal> {
    let plan = planner(want, seen, id);
    assert_eq!(plan, planner(want, seen, id), "planning twice gives two plans");
    if let Ok(plan) = &plan {
        let problems = lint::problems(want, seen, id, plan);
        assert!(problems.is_empty(), "the plan is unsound: {problems:#?}\n{plan:#?}");
    }
    plan
}

impl Sim {
    /// Nodes with power and Docker, and blank disks wherever the inventory names one.
    pub(crate) fn new(yaml: &str) -> Self {
        let world = World {
            nodes: BTreeMap::new(),
            ceph: ceph::Clusters::default(),
            archived: None,
            done: Vec::new(),
            crimes: Vec::new(),
            hook: Box::new(|_, _, _| Fault::None),
            steps: 0,
            lost: BTreeMap::new(),
            locks: BTreeMap::new(),
        };
        let shared = Shared {
            world: Mutex::new(world),
            cut: Notify::new(),
            stop: watch::Sender::new(false),
        };
        let mut sim = Self { want: inventory(yaml), shared: Arc::new(shared) };
        sim.wants(yaml);
        sim
    }

    /// Another inventory; nodes and disks that are new to the world are added to it.
    pub(crate) fn wants(&mut self, yaml: &str) {
        self.want = inventory(yaml);
        let mut world = self.world();
        for node in &self.want.nodes {
            let state = world.nodes.entry(node.name.clone()).or_default();
            state.equip(node);
            state.looks_for(&self.want.cluster.image);
        }
    }

    /// The image archive that the inventory names holds this image.
    pub(crate) fn archives(&mut self, id: &str) {
        let image = ImageFact::new(format!("sha256:{id}"), Vec::new(), &[id.to_owned()]);
        let archive = self.want.cluster.image_archive.as_mut().expect("the inventory names one");
        let architectures = ["amd64".to_owned()].into();
        archive.archived = Some(Archived { image: image.clone(), bytes: 512 << 20, architectures });
        self.world().archived = Some(image);
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no test goes on after a panic")
    }

    /// Changes a node.
    pub(crate) fn node(&self, at: &str, change: impl FnOnce(&mut NodeState)) {
        let mut world = self.world();
        change(world.nodes.get_mut(&name(at)).expect("the node is in the world"));
        world.live();
    }

    /// What goes wrong from now on.
    pub(crate) fn on_step(
        &self,
        hook: impl FnMut(usize, &NodeName, &Action) -> Fault + Send + 'static,
    ) {
        self.world().hook = Box::new(hook);
    }

    pub(crate) fn fleet(&self) -> Fleet<SimHost> {
        let host = |node: &cephdock::inventory::Node| {
            let host = SimHost { name: node.name.clone(), shared: Arc::clone(&self.shared) };
            (node.name.clone(), Ok(Arc::new(host)))
        };
        Fleet { hosts: self.want.nodes.iter().map(host).collect() }
    }

    /// One process of cephdock that would mint the identity of `seed`. `None`: it was killed.
    pub(crate) async fn up(&self, seed: u8) -> Option<Run> {
        self.run(seed, linted).await
    }

    /// One process that adds a node. `None`: it was killed.
    pub(crate) async fn add_node(&self, seed: u8, node: &str) -> Option<Run> {
        self.run(seed, adding(node)).await
    }

    async fn run(&self, seed: u8, planner: impl Planner) -> Option<Run> {
        let mint = || identity(&self.want, seed).undecided();
        let stop = self.shared.stop.subscribe();
        let fleet = self.fleet();
        let events = Events::nowhere();
        self.process(converge(&fleet, &self.want, planner, mint, &events, &stop)).await
    }

    /// One process of `cephdock reset`. The cluster is the one asked for, or the one there is; no cluster is no step.
    /// `None`: it was killed.
    pub(crate) async fn reset(
        &self,
        fsid: Option<Uuid>,
        options: reset::Options<'_>,
    ) -> Option<End> {
        let stop = self.shared.stop.subscribe();
        let fleet = self.fleet();
        self.process(async {
            let facts = fleet.observe().await;
            let target = match reset::find(&facts, fsid) {
                Ok(Some(target)) => target,
                Ok(None) if facts.unreachable().next().is_some() => return End::Partly,
                Ok(None) => return End::Done,
                Err(refusal) => return End::Refused(refusal),
            };
            let plan = |want: &Inventory, facts: &Facts| {
                let plan = reset::reset(want, facts, &target, options);
                assert_eq!(plan, reset::reset(want, facts, &target, options));
                plan
            };
            let mons = if options.node.is_some() { Mons::Asked } else { Mons::LeftAlone };
            steer(&fleet, &self.want, plan, mons, &Events::nowhere(), &stop).await.end
        })
        .await
    }

    async fn process<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        {
            let mut world = self.world();
            world.steps = 0;
            world.lost.clear();
            let mons = self.want.mons().filter(|n| world.nodes[&n.name].power);
            world.locks = mons.map(|n| (n.name.clone(), SimLock::Held)).collect();
            world.done.clear();
            // what a process has found out dies with it
            world.nodes.values_mut().for_each(|node| node.looked = false);
        }
        self.shared.stop.send_replace(false);
        let run = tokio::select! {
            run = work => Some(run),
            () = self.shared.cut.notified() => None,
        };
        let mut world = self.world();
        world.hook = Box::new(|_, _, _| Fault::None);
        assert!(world.crimes.is_empty(), "{:#?}", world.crimes);
        run
    }
}

impl World {
    pub(crate) fn at(&self, node: &str) -> &NodeState {
        &self.nodes[&name(node)]
    }

    /// Numbers a step and says what is to go wrong with it.
    fn begin(&mut self, node: &NodeName, action: &Action) -> Fault {
        let number = self.steps;
        self.steps += 1;
        assert!(self.steps < 1000, "the run does not end: {node}: {action}");
        let fault = (self.hook)(number, node, action);
        if let Fault::PowerOff(off) = fault {
            self.nodes.get_mut(&name(off)).expect("the node is in the world").power = false;
        }
        if let Fault::Unlock(ended, taken) = fault {
            self.locks.extend(ended.iter().map(|n| (name(n), SimLock::Ended)));
            self.locks.extend(taken.iter().map(|n| (name(n), SimLock::Taken)));
        }
        self.live();
        fault
    }
}

/// One node of the world.
pub(crate) struct SimHost {
    name: NodeName,
    shared: Arc<Shared>,
}

impl SimHost {
    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no test goes on after a panic")
    }

    fn reached(&self) -> Result<(), HostError> {
        let world = self.world();
        if world.nodes[&self.name].power && world.lost.get(&self.name).is_none_or(|n| n % 2 == 0) {
            return Ok(());
        }
        Err(HostError { lost: true, ..HostError::new("no route to host") })
    }

    /// Somebody else may be at work on the cluster.
    fn unlocked(&self) -> bool {
        self.world().locks.values().any(|lock| *lock != SimLock::Held)
    }

    /// The process is killed: this step never comes back.
    async fn die(&self) -> ! {
        self.shared.cut.notify_one();
        std::future::pending().await
    }

    async fn wait(&self, condition: &Condition, step: &StepReport) -> Result<(), HostError> {
        let begun = Instant::now();
        loop {
            self.reached()?;
            let seen = self.ask().await.ok();
            let progress = condition.progress(seen.as_ref());
            if progress.met() {
                return Ok(());
            }
            if let Some(why) = step.hopeless.borrow().clone() {
                return Err(HostError::new(why));
            }
            if begun.elapsed() > condition.deadline() {
                return Err(HostError::new(format!(
                    "waited for {condition}: {}",
                    progress.message
                )));
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
}

impl Host for SimHost {
    async fn observe(&self) -> Result<NodeFacts, HostError> {
        self.reached()?;
        let mut world = self.world();
        world.live();
        Ok(world.nodes[&self.name].facts())
    }

    async fn ask(&self) -> Result<ClusterFacts, HostError> {
        self.reached()?;
        let mut world = self.world();
        world.live();
        world.ask(&self.name).map_err(HostError::new)
    }

    async fn perform(&self, action: &Action, step: &StepReport) -> Result<(), HostError> {
        assert!(!self.unlocked(), "{}: {action} was begun without the lock", self.name);
        let fault = self.world().begin(&self.name, action);
        self.reached()?;
        match fault {
            Fault::CutBefore => self.die().await,
            Fault::Fail(why) => return Err(HostError::new(why)),
            Fault::Ignore => return Ok(()),
            Fault::Stop => drop(self.shared.stop.send_replace(true)),
            _ => {}
        }
        if let Action::WaitUntil(condition) = action {
            self.wait(condition, step).await?;
        } else {
            let mut world = self.world();
            let result = world.act(&self.name, action, &fault);
            world.live();
            drop(world);
            result.map_err(HostError::new)?;
        }
        if matches!(fault, Fault::CutMiddle | Fault::CutMkfs | Fault::CutAfter) {
            self.die().await;
        }
        if matches!(fault, Fault::LoseMiddle | Fault::LoseAfter) {
            *self.world().lost.entry(self.name.clone()).or_default() += 1;
            self.reached()?;
        }
        self.world().done.push(format!("{}: {action}", self.name));
        Ok(())
    }

    async fn logs(&self, daemon: &DaemonId, _lines: usize) -> Result<Vec<String>, HostError> {
        let world = self.world();
        let container = world.nodes[&self.name].containers.get(&daemon.container());
        let container = container.ok_or_else(|| HostError::new("no such container"))?;
        Ok(vec![container.said.clone()])
    }

    async fn restore(&self) -> Result<bool, HostError> {
        let mut world = self.world();
        let off = !world.nodes[&self.name].power;
        match world.lost.get_mut(&self.name) {
            Some(times) if *times == 1 && !off => *times = 2,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn lock(&self) -> Lock {
        let world = self.world();
        match world.locks.get(&self.name) {
            None => Lock::None,
            Some(SimLock::Held) => Lock::Held,
            Some(_) => Lock::Ended,
        }
    }

    async fn lock_again(&self) -> Result<(), HostError> {
        self.reached()?;
        let mut world = self.world();
        if world.locks[&self.name] == SimLock::Taken {
            return Err(HostError::new("another cephdock is at work: ops@desk, since noon"));
        }
        world.locks.insert(self.name.clone(), SimLock::Held);
        Ok(())
    }
}
