//! Trying a volume out on a node: `cephdock volume test`. All that is made here has the trial's own name.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::HostError;
use super::node::Node;

/// The driver has 112 s for a mount, and Docker waits for 120.
const START: Duration = Duration::from_secs(130);
const RUN: Duration = Duration::from_secs(60);
const CALL: Duration = Duration::from_secs(90);
const LINES: usize = 200;
/// A shell and what a trial runs, of the node's own, for a node that has no image of Ceph's.
const PROGRAMS: &str = r#"LC_ALL=C; export LC_ALL
set --; for p in sh cat sha256sum sync; do set -- "$@" "$(command -v $p)"; done
libraries=$(for p in "$@"; do ldd "$p" 2>/dev/null; done | grep -o '/[^ ]*' | grep -v ':$' | sort -u)
# shellcheck disable=SC2086  # a list
tar -ch --absolute-names /bin/sh "$@" $libraries 2>/dev/null
"#;

impl Node {
    /// An image with a shell: Ceph's, or one that is made here of the node's own programs and called `name`.
    pub(crate) async fn trial_image(&self, name: &str) -> Result<String, HostError> {
        let docker = self.docker()?;
        match self.call("look for the image", docker.inspect_image(&self.image)).await {
            Ok(_) => return Ok(self.image.clone()),
            Err(failed) if failed.gone => {}
            Err(failed) => return Err(failed.error),
        }
        let tar = self.shell("sh -s", PROGRAMS.as_bytes(), CALL).await?;
        let options = query::CreateImageOptionsBuilder::default().from_src("-").repo(name).build();
        let body = bollard::body_full(tar.into());
        let mut stream = docker.create_image(Some(options), Some(body), None);
        let import = async {
            while let Some(item) = stream.next().await {
                item?;
            }
            Ok(name.to_owned())
        };
        self.call("import an image", import).await.map_err(|failed| failed.error)
    }

    /// Makes a volume.
    pub(crate) async fn make_volume(
        &self,
        name: &str,
        driver: &str,
        options: &[(&str, &str)],
    ) -> Result<(), HostError> {
        let options: HashMap<String, String> =
            options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = VolumeCreateRequest {
            name: Some(name.into()),
            driver: Some(driver.into()),
            driver_opts: Some(options),
            ..VolumeCreateRequest::default()
        };
        let made = timeout(START, self.docker()?.create_volume(request)).await;
        match made {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.docker_error("make a volume", &error)),
            Err(_) => Err(late("make a volume", START)),
        }
    }

    /// Runs a script in a container with the volume at /data, and gives what it printed. The container stays.
    pub(crate) async fn run_trial(
        &self,
        name: &str,
        image: &str,
        driver: &str,
        script: &str,
    ) -> Result<String, HostError> {
        let docker = self.docker()?;
        let options = query::CreateContainerOptionsBuilder::default().name(name).build();
        let create = docker.create_container(Some(options), body(name, image, driver, script));
        self.call("create a container", create).await.map_err(|f| f.error)?;
        let start = docker.start_container(name, None::<query::StartContainerOptions>);
        match timeout(START, start).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.docker_error("start a container", &error)),
            Err(_) => return Err(late("start a container", START)),
        }
        let mut wait = docker.wait_container(name, None::<query::WaitContainerOptions>);
        let code = match timeout(RUN, wait.next()).await {
            Ok(Some(Ok(ended))) => ended.status_code,
            // bollard makes an error of every exit code but 0
            Ok(Some(Err(Error::DockerContainerWaitError { code, .. }))) => code,
            Ok(Some(Err(error))) => return Err(self.docker_error("wait for a container", &error)),
            Ok(None) => return Err(HostError::new("Docker does not say how the container ended")),
            Err(_) => return Err(late("end a container", RUN)),
        };
        let said = self.tail(name, LINES).await?;
        if code == 0 {
            return Ok(said.join("\n"));
        }
        let last = said.last().map_or("it said nothing", String::as_str);
        Err(HostError::new(format!("the container ended with {code}: {last}")))
    }

    /// Removes the trial's container; one that is not there is no error.
    pub(crate) async fn end_trial(&self, name: &str) -> Result<(), HostError> {
        let options = query::RemoveContainerOptionsBuilder::default().force(true).build();
        let remove = self.docker()?.remove_container(name, Some(options));
        match self.call("remove a container", remove).await {
            Err(failed) if !failed.gone => Err(failed.error),
            _ => Ok(()),
        }
    }

    /// Removes the image that [`trial_image`](Self::trial_image) made, if it did.
    pub(crate) async fn remove_trial_image(&self, name: &str) -> Result<(), HostError> {
        let none = None::<query::RemoveImageOptions>;
        let remove = self.docker()?.remove_image(name, none, None);
        match self.call("remove an image", remove).await {
            Err(failed) if !failed.gone => Err(failed.error),
            _ => Ok(()),
        }
    }

    /// Removes the trial's volume, which is nobody else's.
    pub(crate) async fn remove_trial_volume(&self, name: &str) -> Result<(), HostError> {
        let remove = self.docker()?.remove_volume(name, None::<query::RemoveVolumeOptions>);
        match self.call("remove a volume", remove).await {
            Err(failed) if !failed.gone => Err(failed.error),
            _ => Ok(()),
        }
    }
}

fn late(doing: &str, after: Duration) -> HostError {
    HostError::new(format!("Docker did not {doing} within {} s", after.as_secs()))
        .hint("see `journalctl -u cephdock-volume-driver` there, and `cephdock status`")
}

fn body(name: &str, image: &str, driver: &str, script: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.into()),
        entrypoint: Some(vec!["/bin/sh".into()]),
        cmd: Some(vec!["-c".into(), script.into()]),
        user: Some("0:0".into()),
        working_dir: Some("/".into()),
        labels: Some(HashMap::from([("cephdock.test".to_owned(), name.to_owned())])),
        host_config: Some(HostConfig {
            network_mode: Some("host".into()), // it uses none, and some nodes have no bridge
            mounts: Some(vec![Mount {
                typ: Some(MountType::VOLUME),
                source: Some(name.into()),
                target: Some("/data".into()),
                volume_options: Some(MountVolumeOptions {
                    driver_config: Some(MountVolumeOptionsDriverConfig {
                        name: Some(driver.into()),
                        options: None,
                    }),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            }]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
