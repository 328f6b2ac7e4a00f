//! A real node: one SSH connection, Docker through it, and what is known of the inventory there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::ask::Mons;
use super::lock::{Lock, Locked};
use super::{Fleet, Host, HostError, StepReport};
use crate::daemon::DaemonId;
use crate::docker::{self, Docker};
use crate::event::{Event, Events};
use crate::facts::{ClusterFacts, NodeFacts};
use crate::identity::KeyType;
use crate::inventory::{Inventory, NodeName};
use crate::plan::Action;
use crate::ssh::{Client, Session, SshError};

/// Docker's first answer, for each way to it.
const DOCKER_DEADLINE: Duration = Duration::from_secs(15);
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// A node that is logged in to.
#[derive(Debug)]
pub struct Node {
    pub(super) name: NodeName,
    /// `None`: it is this machine, and only its Docker is used.
    pub(super) session: Option<Session>,
    /// Why Docker cannot be used stays known: the node can still be looked at.
    pub(super) docker: Result<Docker, String>,
    /// Commands need `sudo -n` in front.
    pub(super) sudo: bool,
    pub(super) image: String,
    /// Device paths of the inventory.
    pub(super) disks: Vec<String>,
    /// Other paths whose content matters.
    pub(super) files: Vec<String>,
    /// The volume plugin that the inventory names.
    pub(super) plugin: Option<String>,
    /// The inventory has daemons here, which others have to reach.
    pub(super) serves: bool,
    /// The container through which the mons are asked, where it is not the mon's own.
    pub(super) mon_container: Option<&'static str>,
    pub(super) mons: Mutex<Option<Mons>>,
    /// What was found in the image.
    pub(super) image_keys: std::sync::OnceLock<KeyType>,
    /// The cluster's lock on this node, which dies with the connection.
    pub(super) locked: Locked,
}

/// Connects to all nodes of `want` at once, each within `patience` (TCP, handshake and login). A node that cannot be reached is an error in its place.
pub async fn connect_all(
    want: &Inventory,
    client: &Client,
    events: &Events,
    patience: Duration,
) -> Fleet<Node> {
    let connects = want.nodes.iter().map(|node| async move {
        events.send(Event::Connecting { node: node.name.clone() });
        let connected = connect(want, node, client, patience).await;
        events.send(match &connected {
            Ok(host) => Event::Connected {
                node: node.name.clone(),
                docker: match &host.docker {
                    Ok(docker) => docker.via.to_string(),
                    Err(why) => format!("not usable: {why}"),
                },
            },
            Err(error) => Event::Unreachable { node: node.name.clone(), error: error.sentence() },
        });
        (node.name.clone(), connected.map(Arc::new))
    });
    let hosts: BTreeMap<_, _> =
        futures_util::future::join_all(connects).await.into_iter().collect();
    Fleet { hosts }
}

async fn connect(
    want: &Inventory,
    node: &crate::inventory::Node,
    client: &Client,
    patience: Duration,
) -> Result<Node, HostError> {
    let settings = client.configured(&node.ssh).await?;
    let session = client.connect_configured(&settings, patience).await?;
    let root = settings.user == "root";
    let docker = docker::connect(&session, DOCKER_SOCKET, root, DOCKER_DEADLINE).await;
    let docker = docker.map_err(|e| match e.hint() {
        Some(hint) => format!("{e}; {hint}"),
        None => e.to_string(),
    });
    let disks = node.osds.iter().filter_map(|o| match o {
        crate::inventory::OsdSpec::Device(path) => Some(path.to_string_lossy().into_owned()),
        crate::inventory::OsdSpec::File(_) => None,
    });
    Ok(Node {
        name: node.name.clone(),
        session: Some(session),
        docker,
        sudo: !root,
        image: want.cluster.image.clone(),
        disks: disks.collect(),
        files: crate::plan::watched_files(want, &node.name),
        plugin: crate::plan::plugins::wanted(want),
        serves: node.roles.mon || node.roles.mgr || node.roles.osd,
        mon_container: None,
        mons: Mutex::new(None),
        image_keys: std::sync::OnceLock::new(),
        locked: Locked::default(),
    })
}

impl From<SshError> for HostError {
    fn from(error: SshError) -> Self {
        let what = std::iter::successors(std::error::Error::source(&error), |e| e.source())
            .fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        let lost = matches!(error, SshError::Lost { .. });
        Self { what, lost, log: Vec::new(), hint: error.hint() }
    }
}

fn connection_lost(why: String) -> HostError {
    SshError::Lost { why }.into()
}

impl Node {
    /// Runs a shell script as root, given on stdin so that nothing of it stands in a process list. Fails on an exit
    /// code other than 0, with the last line of stderr.
    pub(super) async fn shell(
        &self,
        command: &str,
        stdin: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, HostError> {
        let command = if self.sudo { format!("sudo -n {command}") } else { command.to_owned() };
        let output = self.session()?.run(&command, stdin, deadline).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said =
            stderr.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no message");
        if !output.exit.success() {
            let error = HostError::new(format!("a command failed ({}): {said}", output.exit));
            return Err(if self.sudo && stderr.contains("sudo") {
                error.hint("the login needs sudo without a password: a sudoers line such as `USER ALL=(ALL) NOPASSWD: ALL`")
            } else {
                error
            });
        }
        Ok(output.stdout)
    }

    /// This machine, by its own Docker. The mons are asked through the container `mon`.
    pub(crate) fn local(name: &str, docker: Docker, mon: &'static str) -> Self {
        Self {
            name: NodeName::new(name).expect("it is constant and valid"),
            session: None,
            docker: Ok(docker),
            sudo: false,
            image: String::new(),
            disks: Vec::new(),
            files: Vec::new(),
            plugin: None,
            serves: false,
            mon_container: Some(mon),
            mons: Mutex::new(None),
            image_keys: std::sync::OnceLock::new(),
            locked: Locked::default(),
        }
    }

    /// The login, which this machine has none of.
    pub(super) fn session(&self) -> Result<&Session, HostError> {
        self.session.as_ref().ok_or_else(|| HostError::new("this machine is not logged in to"))
    }

    /// Why the connection was lost, if it was.
    pub(super) fn lost(&self) -> Option<String> {
        self.session.as_ref()?.lost()
    }

    /// The error of a lost connection, if it was lost.
    pub(super) fn lost_error(&self) -> Option<HostError> {
        self.lost().map(connection_lost)
    }

    /// What came of something, where an error may be that of a connection which was cut without a word: then it is called so,
    /// and the connection is made again.
    pub(super) async fn sure<T>(&self, result: Result<T, HostError>) -> Result<T, HostError> {
        match (result, &self.session) {
            (Err(error), Some(session)) if !error.lost => {
                Err(session.lost_after_all().await.map_or(error, connection_lost))
            }
            (result, _) => result,
        }
    }

    /// Docker, or the error that says why not.
    pub(crate) fn docker(&self) -> Result<&bollard::Docker, HostError> {
        self.docker
            .as_ref()
            .map(|d| &d.api)
            .map_err(|why| HostError::new(format!("Docker cannot be used: {why}")))
    }

    /// An error of Docker's, or that of the lost connection behind it.
    pub(crate) fn docker_error(&self, doing: &str, error: &bollard::errors::Error) -> HostError {
        use bollard::errors::Error;
        if let Some(lost) = self.lost_error() {
            return lost;
        }
        let said = match error {
            Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
            Error::DockerStreamError { error } => error.trim().to_owned(),
            other => other.to_string(),
        };
        HostError::new(format!("Docker could not {doing}: {said}"))
    }
}

impl Host for Node {
    async fn observe(&self) -> Result<NodeFacts, HostError> {
        self.sure(self.look().await).await
    }

    async fn ask(&self) -> Result<ClusterFacts, HostError> {
        self.sure(self.ask_cluster(true).await).await
    }

    async fn perform(&self, action: &Action, step: &StepReport) -> Result<(), HostError> {
        self.sure(self.carry_out(action, step).await).await
    }

    async fn logs(&self, daemon: &DaemonId, lines: usize) -> Result<Vec<String>, HostError> {
        self.sure(self.tail(&daemon.container(), lines).await).await
    }

    async fn restore(&self) -> Result<bool, HostError> {
        let Some(session) = &self.session else { return Ok(false) };
        if !session.restore().await? {
            return Ok(false);
        }
        // it was at the other end of the old connection
        *self.mons.lock().await = None;
        Ok(true)
    }

    fn lock(&self) -> Lock {
        self.locked.state()
    }

    async fn lock_again(&self) -> Result<(), HostError> {
        self.take_again().await
    }
}
