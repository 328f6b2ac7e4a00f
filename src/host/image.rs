//! What an image can do that nobody can tell from its name.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::HostError;
use super::node::Node;
use crate::identity::KeyType;

/// Starting a container on a slow node, and a program in it.
const DEADLINE: Duration = Duration::from_secs(90);
const LABEL: &str = "cephdock.look";

/// ceph-authtool knows `--key-type` since there is more than one.
const SCRIPT: &str = "command -v ceph-authtool >/dev/null || { echo none; exit; }
case $(ceph-authtool --help 2>&1) in *--key-type*) echo aes256k ;; *) echo aes ;; esac";

impl Node {
    /// Looks with a container that is gone again afterwards; it has no network and none of the node's folders.
    pub(super) async fn look_into(&self, reference: &str) -> Result<(), HostError> {
        let docker = self.docker()?;
        let body = ContainerCreateBody {
            image: Some(reference.to_owned()),
            entrypoint: Some(vec!["/bin/sh".into()]),
            cmd: Some(vec!["-c".into(), SCRIPT.into()]),
            user: Some("0:0".into()),
            attach_stdout: Some(true),
            labels: Some(HashMap::from([(LABEL.to_owned(), "keys".to_owned())])),
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
                HostError::new(format!(
                    "a container of {reference} did not end within {} s",
                    DEADLINE.as_secs()
                ))
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
                return Err(HostError::new(format!(
                    "a container of {reference} gave no answer: {other:?}"
                )));
            }
        };
        self.image_keys.get_or_init(|| keys);
        Ok(())
    }
}
