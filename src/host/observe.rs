//! Looking at a node: one shell probe and Docker's lists, at the same time.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, ImageInspect,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use tokio::time::timeout;

use super::node::Node;
use super::{HostError, docker_late, quote};
use crate::daemon::{DaemonId, Kind, LABEL_FSID, LABEL_ID, LABEL_KIND, LABEL_LOOK, LABEL_SPEC};
use crate::facts::{
    ContainerFact, ContainerState, Docker, DockerFacts, NodeFacts, OurLabels, probe,
};
use crate::image::ImageFact;
use crate::volume::unit;

const PROBE: &str = include_str!("probe.sh");
const PROBE_DEADLINE: Duration = Duration::from_secs(60);
const DOCKER_DEADLINE: Duration = Duration::from_secs(30);

impl Node {
    pub(super) async fn look(&self) -> Result<NodeFacts, HostError> {
        let (probe, docker) = tokio::join!(self.probe(), self.docker_facts());
        let mut facts = probe?;
        facts.image_keys = self.image_keys.get().copied();
        facts.docker = match self.sure(docker).await {
            Ok(docker) => Docker::Up(docker),
            Err(error) if error.lost => return Err(error),
            Err(error) => Docker::Down(error.what),
        };
        Ok(facts)
    }

    async fn probe(&self) -> Result<NodeFacts, HostError> {
        let list = |paths: &[String]| quote(&paths.join(" "));
        let serves = if self.serves { "yes" } else { "no" };
        let (files, disks) = (list(&self.files)?, list(&self.disks)?);
        let (program, unit, root) = (unit::PROGRAM_PATH, unit::UNIT_PATH, unit::ROOT);
        let left = list(&unit::left_behind())?;
        let script = format!(
            "FILES={files}\nDISKS={disks}\nSERVES={serves}\nPROGRAM={program} UNIT={unit} ROOT={root} LEFT={left}\n{PROBE}"
        );
        let output = self.shell("sh -s", script.as_bytes(), PROBE_DEADLINE).await?;
        probe::parse(&String::from_utf8_lossy(&output))
            .map_err(|e| HostError::new(format!("looking at the node: {e}")))
    }

    async fn docker_facts(&self) -> Result<DockerFacts, HostError> {
        let docker = self.docker()?;
        let late = |_| docker_late("answer", DOCKER_DEADLINE);
        timeout(DOCKER_DEADLINE, async {
            let all = ListContainersOptionsBuilder::default().all(true).build();
            let (list, image, version, plugin) = tokio::join!(
                docker.list_containers(Some(all)),
                docker.inspect_image(&self.image),
                docker.version(),
                self.plugin_fact()
            );
            let list = list.map_err(|e| self.docker_error("list its containers", &e))?;
            let image = match image {
                Ok(image) => fact_of(image),
                Err(bollard::errors::Error::DockerResponseServerError {
                    status_code: 404, ..
                }) => None,
                Err(e) => return Err(self.docker_error("look for the image", &e)),
            };
            let version = version.map_err(|e| self.docker_error("tell its version", &e))?;
            let ours_or_named =
                list.iter().filter(|c| ours(c.labels.as_ref()).is_some() || named(&name(c)));
            let facts = ours_or_named.map(|c| self.container(docker, c));
            let containers: Result<Vec<_>, _> =
                futures_util::future::join_all(facts).await.into_iter().collect();
            Ok(DockerFacts {
                version: version.version.unwrap_or_default(),
                arch: version.arch.unwrap_or_default(),
                components: version.components.into_iter().flatten().map(|c| c.name).collect(),
                image,
                plugin: plugin?.map(Box::new),
                containers: containers?.into_iter().flatten().collect(),
                looks: list
                    .iter()
                    .filter(|c| is_left_over(c))
                    .filter_map(|c| c.id.clone())
                    .collect(),
            })
        })
        .await
        .map_err(late)?
    }

    /// `None`: it was removed meanwhile.
    async fn container(
        &self,
        docker: &bollard::Docker,
        c: &ContainerSummary,
    ) -> Result<Option<ContainerFact>, HostError> {
        let ours = ours(c.labels.as_ref());
        let id = c.id.clone().unwrap_or_default();
        let inspect = match docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(inspect) => inspect,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Ok(None);
            }
            Err(e) => return Err(self.docker_error("inspect a container", &e)),
        };
        Ok(Some(ContainerFact {
            name: name(c),
            ours,
            state: state(c.state.as_ref()),
            image: inspect.config.as_ref().and_then(|x| x.image.clone()).unwrap_or_default(),
            image_id: inspect.image.clone(),
            as_made: as_made(&inspect),
            restarts: inspect.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            exit_code: inspect.state.as_ref().and_then(|s| s.exit_code),
            out_of_memory: inspect.state.as_ref().and_then(|s| s.oom_killed).unwrap_or(false),
            error: inspect.state.and_then(|s| s.error).filter(|e| !e.is_empty()),
        }))
    }
}

fn fact_of(image: ImageInspect) -> Option<ImageFact> {
    let digests = image.repo_digests.unwrap_or_default();
    let digests =
        digests.iter().filter_map(|d| d.split_once('@')).map(|(_, digest)| digest.to_owned());
    let layers = image.root_fs.and_then(|r| r.layers).unwrap_or_default();
    Some(ImageFact::new(image.id?, digests.collect(), &layers))
}

fn name(c: &ContainerSummary) -> String {
    // a container that is linked to has further names, with more than one slash
    let names = c.names.as_deref().unwrap_or_default();
    let own = names.iter().find(|n| n.matches('/').count() <= 1).or(names.first());
    own.map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default()
}

/// Whether a daemon of ours could have this name.
fn named(name: &str) -> bool {
    name == "mon"
        || name == "mgr"
        || name.strip_prefix("osd-").is_some_and(|id| id.parse::<u32>().is_ok())
}

pub(super) fn ours(labels: Option<&HashMap<String, String>>) -> Option<OurLabels> {
    let labels = labels?;
    let kind = Kind::parse(labels.get(LABEL_KIND)?)?;
    let daemon = DaemonId { kind, id: labels.get(LABEL_ID)?.clone() };
    Some(OurLabels {
        fsid: labels.get(LABEL_FSID)?.clone(),
        daemon,
        spec: labels.get(LABEL_SPEC)?.clone(),
    })
}

/// Whether it was to look into an image and will not: one that runs goes by itself when it has ended.
fn is_left_over(c: &ContainerSummary) -> bool {
    c.labels.as_ref().is_some_and(|labels| labels.contains_key(LABEL_LOOK))
        && state(c.state.as_ref()) != ContainerState::Running
}

/// Docker's word for it, as `docker inspect` has it.
pub(crate) fn container_state(word: &str) -> ContainerState {
    match word {
        "created" => ContainerState::Created,
        "running" => ContainerState::Running,
        "restarting" => ContainerState::Restarting,
        "paused" => ContainerState::Paused,
        "exited" => ContainerState::Exited,
        _ => ContainerState::Dead,
    }
}

fn state(state: Option<&ContainerSummaryStateEnum>) -> ContainerState {
    use ContainerSummaryStateEnum as Docker;
    match state {
        Some(Docker::CREATED) => ContainerState::Created,
        Some(Docker::RUNNING) => ContainerState::Running,
        Some(Docker::RESTARTING) => ContainerState::Restarting,
        Some(Docker::PAUSED) => ContainerState::Paused,
        Some(Docker::EXITED) => ContainerState::Exited,
        _ => ContainerState::Dead,
    }
}

/// What `docker update` can change behind a label's back: cephdock sets the restart policy and no limits.
fn as_made(inspect: &ContainerInspectResponse) -> bool {
    let Some(host) = &inspect.host_config else { return true };
    let none = |limit: Option<i64>| limit.is_none_or(|n| n <= 0);
    let policy = host.restart_policy.as_ref().and_then(|p| p.name);
    policy == Some(RestartPolicyNameEnum::UNLESS_STOPPED)
        && none(host.memory)
        && none(host.nano_cpus)
        && host.cpuset_cpus.as_deref().unwrap_or_default().is_empty()
}
