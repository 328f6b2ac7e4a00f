//! Containers. A container without our labels is never stopped, started or removed.

use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::node::Node;
use super::{HostError, docker_late};
use crate::daemon::{ContainerSpec, LABEL_SPEC};

const CALL: Duration = Duration::from_secs(90);
/// Seconds a daemon gets to end by itself.
const STOP_SECONDS: i32 = 60;

impl Node {
    /// Creates and starts the container. A container of this very spec that is there already is only started.
    pub(super) async fn run(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        let docker = self.docker()?;
        let name = spec.daemon.container();
        let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
        match self
            .call("create the container", docker.create_container(Some(options), body(spec)))
            .await
        {
            Ok(_) => {}
            Err(Failed { conflict: true, .. }) => self.must_be(spec).await?,
            Err(failed) => return Err(failed.error),
        }
        self.start(&name).await
    }

    async fn must_be(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        let label = self.label(&spec.daemon.container()).await?;
        if label.as_deref() == Some(spec.digest().as_str()) {
            return Ok(());
        }
        Err(HostError::new(format!(
            "a container called {} has come into being meanwhile",
            spec.daemon.container()
        ))
        .hint("run the same command again"))
    }

    /// The container's `cephdock.spec`; an error if the container is not ours.
    async fn label(&self, name: &str) -> Result<Option<String>, HostError> {
        let docker = self.docker()?;
        let inspect = docker.inspect_container(name, None::<query::InspectContainerOptions>);
        let inspect = self.call("inspect a container", inspect).await.map_err(|f| f.error)?;
        let labels = inspect.config.and_then(|c| c.labels).unwrap_or_default();
        Ok(labels.get(LABEL_SPEC).cloned())
    }

    pub(super) async fn start(&self, name: &str) -> Result<(), HostError> {
        let docker = self.docker()?;
        let start = docker.start_container(name, None::<query::StartContainerOptions>);
        self.call(&format!("start the container {name}"), start).await.map_err(|f| f.error)
    }

    pub(super) async fn replace(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        let docker = self.docker()?;
        let name = spec.daemon.container();
        if self.label(&name).await?.is_none() {
            let what = format!("the container {name} is not cephdock's; it was left alone");
            let hint = format!(
                "give it another name on the node (`docker rename {name} OTHER`), or remove it if nobody needs it; then run the same command again"
            );
            return Err(HostError::new(what).hint(hint));
        }
        let stop = query::StopContainerOptionsBuilder::default().t(STOP_SECONDS).build();
        let paused = docker.unpause_container(&name).await; // a frozen process cannot end by itself
        drop(paused); // it may well not be paused
        self.call("stop a container", docker.stop_container(&name, Some(stop)))
            .await
            .map_err(|f| f.error)?;
        let remove = query::RemoveContainerOptionsBuilder::default().build();
        self.call("remove a container", docker.remove_container(&name, Some(remove)))
            .await
            .map_err(|f| f.error)?;
        self.run(spec).await
    }

    /// The last lines of a container's log, both streams.
    pub(crate) async fn tail(&self, name: &str, lines: usize) -> Result<Vec<String>, HostError> {
        let docker = self.docker()?;
        let options = query::LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let read = async {
            let mut stream = docker.logs(name, Some(options));
            let mut text = Vec::new();
            while let Some(item) = stream.next().await {
                text.extend_from_slice(&item?.into_bytes());
            }
            Ok::<_, Error>(text)
        };
        let text = timeout(CALL, read)
            .await
            .map_err(|_| docker_late(&format!("give the log of {name}"), CALL))?
            .map_err(|e| self.docker_error("read a log", &e))?;
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }

    pub(super) async fn call<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failed> {
        match timeout(CALL, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(Failed {
                conflict: matches!(e, Error::DockerResponseServerError { status_code: 409, .. }),
                gone: matches!(e, Error::DockerResponseServerError { status_code: 404, .. }),
                error: self.docker_error(doing, &e),
            }),
            Err(_) => Err(Failed { conflict: false, gone: false, error: docker_late(doing, CALL) }),
        }
    }
}

pub(super) struct Failed {
    conflict: bool,
    /// It is not there.
    pub(super) gone: bool,
    pub(super) error: HostError,
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let labels = spec.labels().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let mut command = vec!["-c".to_owned(), spec.script.clone(), spec.daemon.container()];
    command.extend(spec.args.iter().cloned());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: Some(vec!["/bin/sh".into()]),
        cmd: Some(command),
        // an image may name a user of its own; the script begins as root and the daemon goes on as ceph
        user: Some("0:0".into()),
        // and a folder that its own user can write and ceph cannot: the mgr's databases do not open in such a one
        working_dir: Some("/".into()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some("host".into()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            binds: Some(spec.binds.clone()),
            privileged: Some(spec.privileged),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
