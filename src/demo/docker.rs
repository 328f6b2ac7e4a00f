//! The demo's Docker: this machine's own. Looks, and does one step.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::spec::{self, LABEL, LABEL_IMAGE, NAME};
use super::{Seen, Step, Thing, VolumeSeen};
use crate::causes::telling;
use crate::docker;
use crate::event::Event;
use crate::facts::ContainerState;
use crate::host::{Host, HostError, Node, StepReport, container_state};
use crate::plan::Action;

/// One answer of Docker.
const CALL: Duration = Duration::from_secs(90);
/// How often a container that is waited for is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Lines of its log that go with an error.
const LOG_LINES: usize = 12;
/// Lines that they are taken from.
const LOG_READ: usize = 500;

/// This machine's Docker, and the image that the demo takes.
#[derive(Debug)]
pub struct Local {
    node: Node,
    image: String,
}

/// Docker's socket on this machine: what `DOCKER_HOST` says, or the first there is of those that Docker, Docker Desktop
/// and rootless Docker make.
///
/// # Errors
/// `DOCKER_HOST` is no socket of this machine.
pub fn socket() -> Result<PathBuf, String> {
    let environment = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(host) = environment("DOCKER_HOST") {
        let host = host.to_string_lossy();
        return match host.strip_prefix("unix://") {
            Some(path) => Ok(path.into()),
            None => Err(format!(
                "DOCKER_HOST is {host}, and the demo runs on this machine's own Docker"
            )),
        };
    }
    let usual = PathBuf::from("/var/run/docker.sock");
    let under = |name: &str, path: &str| environment(name).map(|v| PathBuf::from(v).join(path));
    let others = [
        under("HOME", ".docker/run/docker.sock"),
        under("HOME", ".docker/desktop/docker.sock"),
        under("XDG_RUNTIME_DIR", "docker.sock"),
    ];
    let mut all = std::iter::once(usual.clone()).chain(others.into_iter().flatten());
    Ok(all.find(|path| path.exists()).unwrap_or(usual))
}

impl Local {
    /// Docker behind `socket`, and what the demo takes there: the image that it was made with, or else `image`.
    ///
    /// # Errors
    /// Docker cannot be used.
    pub async fn open(socket: &std::path::Path, image: &str) -> Result<Self, HostError> {
        let docker = docker::local(socket, CALL).await.map_err(|e| {
            let error = HostError::new(e.to_string());
            match e.hint() {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        let mut local =
            Self { node: Node::local(spec::NODE, docker, NAME), image: image.to_owned() };
        if let Thing::Ours(volume) = local.volume().await? {
            local.image = volume.image;
        }
        Ok(local)
    }

    /// The image that the demo takes.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Looks, and changes nothing. `ask`: the mon too.
    ///
    /// # Errors
    /// Docker does not answer. A mon that does not is no error: [`Seen::cluster`] is empty then.
    pub async fn look(&self, ask: bool) -> Result<Seen, HostError> {
        let docker = self.node.docker()?;
        let inspect = self.call("look for the image", docker.inspect_image(&self.image));
        let (volume, container, image) = tokio::join!(self.volume(), self.container(), inspect);
        let container = container?;
        let cluster = match container {
            Thing::Ours(ContainerState::Running) if ask => self.node.ask().await.ok(),
            _ => None,
        };
        Ok(Seen { volume: volume?, container, image: image?.is_some(), cluster })
    }

    async fn volume(&self) -> Result<Thing<VolumeSeen>, HostError> {
        let docker = self.node.docker()?;
        let volume = self.call("look for the volume", docker.inspect_volume(NAME)).await?;
        Ok(volume.map_or(Thing::Absent, |volume| seen(&volume.labels)))
    }

    async fn container(&self) -> Result<Thing<ContainerState>, HostError> {
        let docker = self.node.docker()?;
        let inspect = docker.inspect_container(NAME, None::<query::InspectContainerOptions>);
        let Some(container) = self.call("look for the container", inspect).await? else {
            return Ok(Thing::Absent);
        };
        let labels = container.config.and_then(|c| c.labels).unwrap_or_default();
        if !labels.contains_key(LABEL) {
            return Ok(Thing::Foreign);
        }
        let status = container.state.and_then(|s| s.status).map(|s| s.to_string());
        Ok(Thing::Ours(container_state(status.as_deref().unwrap_or_default())))
    }

    /// Does one step.
    ///
    /// # Errors
    /// Docker refused it, or what is waited for did not come true in time; then with the last lines of the container's log.
    pub async fn perform(&self, step: &Step, report: &StepReport) -> Result<(), HostError> {
        let docker = self.node.docker()?;
        match step {
            Step::Pull => {
                let pull = Action::PullImage { image: self.image.clone(), login: None };
                self.node.perform(&pull, report).await
            }
            Step::MakeVolume => self.make_volume().await,
            Step::MakeContainer => self.make_container(report).await,
            Step::Start => self.start().await,
            Step::Wait(condition) => {
                let wait = Action::WaitUntil(condition.clone());
                let (give_up, hopeless) = watch::channel(None);
                let report = StepReport { hopeless, ..report.clone() };
                let waited = tokio::select! {
                    waited = self.node.perform(&wait, &report) => waited,
                    () = self.watch(&give_up) => Ok(()), // never: it only tells who waits
                };
                match waited {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        // a log that cannot be had is no reason to say nothing
                        let log = self.node.tail(NAME, LOG_READ).await.unwrap_or_default();
                        let error = HostError { log: telling(&log, LOG_LINES), ..error };
                        Err(error.hint(format!(
                            "look at `docker logs {NAME}`, and whether this machine has memory and disk to spare; then \
                             run the same command again, or `cephdock demo --down` to begin anew"
                        )))
                    }
                }
            }
            Step::RemoveContainer => {
                let options = query::RemoveContainerOptionsBuilder::default().force(true).build();
                let remove = docker.remove_container(NAME, Some(options));
                self.call("remove the container", remove).await.map(drop)
            }
            Step::RemoveVolume => {
                let remove = docker.remove_volume(NAME, None::<query::RemoveVolumeOptions>);
                self.call("remove the volume", remove).await.map(drop)
            }
        }
    }

    async fn make_volume(&self) -> Result<(), HostError> {
        let labels = HashMap::from([
            (LABEL.to_owned(), Uuid::new_v4().to_string()),
            (LABEL_IMAGE.to_owned(), self.image.clone()),
        ]);
        let volume = VolumeCreateRequest {
            name: Some(NAME.to_owned()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let docker = self.node.docker()?;
        self.call("make the volume", docker.create_volume(volume)).await.map(drop)
    }

    /// The labels of the volume that is there are what counts: another run may have made it.
    async fn make_container(&self, report: &StepReport) -> Result<(), HostError> {
        let Thing::Ours(volume) = self.volume().await? else {
            return Err(HostError::new(format!("the volume {NAME} has gone meanwhile"))
                .hint("run the same command again"));
        };
        let docker = self.node.docker()?;
        let options = query::CreateContainerOptionsBuilder::default().name(NAME).build();
        let create = docker.create_container(Some(options), body(&volume));
        match timeout(CALL, create).await {
            Ok(Ok(made)) => {
                for message in made.warnings {
                    let node = Some(report.node.clone());
                    report.events.send(Event::Warning { node, message });
                }
            }
            // another run has made it
            Ok(Err(Error::DockerResponseServerError { status_code: 409, .. })) => {}
            Ok(Err(e)) => return Err(self.node.docker_error("make the container", &e)),
            Err(_) => return Err(late("make the container")),
        }
        self.start().await
    }

    async fn start(&self) -> Result<(), HostError> {
        let docker = self.node.docker()?;
        if self.container().await? == Thing::Ours(ContainerState::Paused) {
            self.call("wake the container", docker.unpause_container(NAME)).await?;
        }
        let start = docker.start_container(NAME, None::<query::StartContainerOptions>);
        match self.call("start the container", start).await? {
            Some(()) => Ok(()),
            None => Err(HostError::new(format!("the container {NAME} has gone meanwhile"))
                .hint("run the same command again")),
        }
    }

    /// Tells who waits when the container has ended for good. Never ends.
    async fn watch(&self, give_up: &watch::Sender<Option<String>>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let ended = match self.container().await {
                Ok(Thing::Ours(ContainerState::Exited | ContainerState::Dead)) => "has ended",
                Ok(Thing::Absent) => "was removed",
                _ => continue,
            };
            give_up.send_replace(Some(format!("the container {NAME} {ended}")));
        }
    }

    /// `None`: there is no such thing.
    async fn call<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, HostError> {
        match timeout(CALL, call).await {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(e)) => Err(self.node.docker_error(doing, &e)),
            Err(_) => Err(late(doing)),
        }
    }
}

fn late(doing: &str) -> HostError {
    HostError::new(format!("Docker did not {doing} within {} s", CALL.as_secs()))
        .hint("see what it waits for, often a disk (`journalctl -u docker`, `dmesg`); then run the same command again")
}

fn seen(labels: &HashMap<String, String>) -> Thing<VolumeSeen> {
    let fsid = labels.get(LABEL).and_then(|fsid| fsid.parse().ok());
    match (fsid, labels.get(LABEL_IMAGE)) {
        (Some(fsid), Some(image)) => Thing::Ours(VolumeSeen { fsid, image: image.clone() }),
        _ => Thing::Foreign,
    }
}

fn body(volume: &VolumeSeen) -> ContainerCreateBody {
    let script = spec::script(&volume.image, volume.fsid);
    let memory = i64::try_from(spec::MEMORY).ok();
    ContainerCreateBody {
        image: Some(volume.image.clone()),
        entrypoint: Some(vec!["/bin/sh".into()]),
        cmd: Some(vec!["-c".into(), script, NAME.into()]),
        user: Some("0:0".into()),
        working_dir: Some("/".into()),
        hostname: Some(spec::NODE.into()),
        stop_timeout: Some(spec::STOP_SECONDS),
        labels: Some(HashMap::from([(LABEL.to_owned(), volume.fsid.to_string())])),
        host_config: Some(HostConfig {
            network_mode: Some("none".into()),
            binds: Some(vec![format!("{NAME}:/var/lib/ceph")]),
            memory,
            memory_swap: memory,
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::ON_FAILURE),
                maximum_retry_count: Some(spec::RESTARTS),
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
