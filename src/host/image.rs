//! Images: how they come to a node, and what one can do that nobody can tell from its name.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::node::Node;
use super::{DOCKER_HANGS, HostError, StepReport, docker_late};
use crate::daemon::LABEL_LOOK;
use crate::docker::image::{self, ImageError};
use crate::event::Unit;
use crate::identity::KeyType;
use crate::image::{Login, registry};
use crate::plan::ImageFile;

/// Starting a container on a slow node, and a program in it.
const DEADLINE: Duration = Duration::from_secs(90);

/// ceph-authtool knows `--key-type` since there is more than one.
const SCRIPT: &str = "command -v ceph-authtool >/dev/null || { echo none; exit; }
case $(ceph-authtool --help 2>&1) in *--key-type*) echo aes256k ;; *) echo aes ;; esac";

impl Node {
    /// Pulls an image, with the login of its registry where there is one.
    pub(super) async fn pull(
        &self,
        reference: &str,
        login: Option<&Login>,
        step: &StepReport,
    ) -> Result<(), HostError> {
        let docker = self.docker()?;
        let told = |message: &'static str, done, total| {
            step.progress(message, Some((done, total, Unit::Bytes)));
        };
        let error = match image::pull(docker, reference, login, told).await {
            Ok(()) => return Ok(()),
            Err(ImageError::Docker(e)) => self.docker_error(&format!("pull {reference}"), &e),
            Err(other) => HostError::new(format!("the pull of {reference}: {other}")),
        };
        if error.lost {
            return Err(error);
        }
        let hint = if is_refused(&error.what) {
            refused(reference, login)
        } else {
            format!(
                "try `docker pull {reference}` on the node; an image that it cannot reach comes as a file with \
                 `cluster.image_archive`"
            )
        };
        Err(error.hint(hint))
    }

    /// Sends an image file to the node's Docker.
    pub(super) async fn load(&self, file: &ImageFile, step: &StepReport) -> Result<(), HostError> {
        let docker = self.docker()?;
        let told = |message: &'static str, done, total| {
            step.progress(message, Some((done, total, Unit::Bytes)));
        };
        let error = match image::load(docker, &file.path, file.bytes, told).await {
            Ok(()) => return self.must_have(&file.reference, file).await,
            Err(ImageError::Docker(e)) => self.docker_error(&format!("load {file}"), &e),
            Err(other) => HostError::new(format!("loading {file}: {other}")),
        };
        if error.lost {
            return Err(error);
        }
        Err(error.hint("is there room for it where the node's Docker keeps its images (`docker info -f '{{.DockerRootDir}}'`)? The next run sends it again"))
    }

    /// Docker says that all went well; it may have taken the image in under another name.
    async fn must_have(&self, reference: &str, file: &ImageFile) -> Result<(), HostError> {
        let docker = self.docker()?;
        let inspect = timeout(DEADLINE, docker.inspect_image(reference)).await;
        match inspect {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(self.docker_error(&format!("find {reference} in {file}"), &e)),
            Err(_) => Err(docker_late(&format!("find {reference}"), DEADLINE)),
        }
    }

    /// Looks with a container that is gone again afterwards; it has no network and none of the node's folders.
    pub(super) async fn look_into(&self, reference: &str) -> Result<(), HostError> {
        let docker = self.docker()?;
        let body = ContainerCreateBody {
            image: Some(reference.to_owned()),
            entrypoint: Some(vec!["/bin/sh".into()]),
            cmd: Some(vec!["-c".into(), SCRIPT.into()]),
            user: Some("0:0".into()),
            attach_stdout: Some(true),
            labels: Some(HashMap::from([(LABEL_LOOK.to_owned(), "keys".to_owned())])),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                auto_remove: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let look = async {
            let id = docker.create_container(None::<query::CreateContainerOptions>, body).await?.id;
            let options =
                query::AttachContainerOptionsBuilder::default().stdout(true).stream(true).build();
            let mut output = docker.attach_container(&id, Some(options)).await?.output;
            docker.start_container(&id, None::<query::StartContainerOptions>).await?;
            let mut said = Vec::new();
            while let Some(item) = output.next().await {
                if let LogOutput::StdOut { message } = item? {
                    said.extend_from_slice(&message);
                }
            }
            Ok::<_, bollard::errors::Error>(said)
        };
        let said = timeout(DEADLINE, look)
            .await
            .map_err(|_| {
                let seconds = DEADLINE.as_secs();
                let what = format!("a container of {reference} did not end within {seconds} s");
                HostError::new(what).hint(DOCKER_HANGS)
            })?
            .map_err(|e| self.docker_error(&format!("run a container of {reference}"), &e))?;
        let keys = match String::from_utf8_lossy(&said).trim() {
            "aes256k" => KeyType::Aes256k,
            "aes" => KeyType::Aes,
            "none" => {
                return Err(HostError::new(format!("{reference} holds no Ceph programs"))
                    .hint("name an image that does, such as quay.io/ceph/ceph:v19"));
            }
            other => {
                let what = format!("a container of {reference} gave no answer: {other:?}");
                let hint = format!(
                    "is it an image of Ceph's? `docker run --rm {reference} ceph --version` on the node tells"
                );
                return Err(HostError::new(what).hint(hint));
            }
        };
        self.image_keys.get_or_init(|| keys);
        Ok(())
    }
}

/// Whether a registry wants another login: what registries say, and what Docker makes of it.
fn is_refused(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "denied",
        "docker login",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// What to do about it.
fn refused(reference: &str, login: Option<&Login>) -> String {
    let server = registry(reference);
    match login {
        Some(login) => format!(
            "{server} does not take the login {login}: check `cluster.registry.username` and the password in {}, and \
             whether that account may pull {reference}",
            login.source
        ),
        None => format!(
            "{server} wants a login, or has no such image: put `registry: {{server: {server}, username: …, \
             password_file: …}}` under `cluster:`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_refused_login_is_told_from_other_troubles() {
        for said in [
            "Docker could not pull r:1/c: Head \"http://r:1/v2/c/manifests/1\": no basic auth credentials",
            "Docker could not pull r:1/c: unauthorized: authentication required",
            "Docker could not pull c: pull access denied for c, repository does not exist or may require 'docker login'",
            "Docker could not pull c: denied: requested access to the resource is denied",
        ] {
            assert!(is_refused(said), "{said}");
        }
        assert!(!is_refused("Docker could not pull r:1/c: dial tcp: connection refused"));
        assert!(!is_refused("Docker could not pull r:1/c: manifest unknown"));
    }

    #[test]
    fn what_to_do_names_the_login_and_never_the_password() {
        let login = Login {
            server: "r:1".into(),
            username: "ceph".into(),
            password: Secret::new("HUNTER2"),
            source: "the file /pw".into(),
        };
        let hint = refused("r:1/c", Some(&login));
        assert!(hint.contains("ceph at r:1") && hint.contains("the file /pw"), "{hint}");
        assert!(!format!("{hint}{login:?}").contains("HUNTER2"));
        assert!(refused("r:1/c", None).contains("server: r:1"));
    }
}
