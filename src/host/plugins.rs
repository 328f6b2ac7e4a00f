//! Docker's managed plugins on a node: looked at, pulled, set, enabled, removed.

use std::collections::BTreeMap;

use bollard::models::Plugin;
use bollard::query_parameters as query;

use super::containers::Failed;
use super::node::Node;
use super::{HostError, StepReport};
use crate::docker::image::ImageError;
use crate::docker::plugin;
use crate::event::Unit;
use crate::facts::plugin::PluginFact;
use crate::image::Login;
use crate::secret::{Secret, sha256};

/// A plugin to copy.
#[derive(Debug)]
pub(crate) struct MirrorSpec {
    /// Where it is.
    pub(crate) remote: String,
    /// What it shall be called, its registry in front.
    pub(crate) alias: String,
    /// The login to pull with.
    pub(crate) pull: Option<Login>,
    /// The login to push with.
    pub(crate) push: Option<Login>,
}

impl Node {
    /// The plugin that the inventory names. `None`: it names none, or the node has it not.
    pub(super) async fn plugin_fact(&self) -> Result<Option<PluginFact>, HostError> {
        let Some(name) = &self.plugin else { return Ok(None) };
        Ok(self.inspect_plugin(name).await?.map(|seen| fact_of(name, &seen)))
    }

    async fn inspect_plugin(&self, name: &str) -> Result<Option<Plugin>, HostError> {
        let call = self.docker()?.inspect_plugin(name);
        match self.call(&format!("look for the plugin {name}"), call).await {
            Ok(plugin) => Ok(Some(plugin)),
            Err(failed) if failed.gone => Ok(None),
            Err(failed) => Err(failed.error),
        }
    }

    pub(super) async fn pull_plugin(
        &self,
        name: &str,
        remote: &str,
        login: Option<&Login>,
        step: &StepReport,
    ) -> Result<(), HostError> {
        if self.inspect_plugin(name).await?.is_some() {
            return Ok(());
        }
        let docker = self.docker.as_ref().map_err(|why| HostError::new(why.clone()))?;
        let told = |message: &'static str, done, total| {
            step.progress(message, Some((done, total, Unit::Bytes)));
        };
        let error = match plugin::pull(docker, remote, name, login, told).await {
            Ok(()) => return Ok(()),
            Err(ImageError::Docker(e)) => {
                self.docker_error(&format!("pull the plugin {remote}"), &e)
            }
            Err(other) => HostError::new(format!("the pull of the plugin {remote}: {other}")),
        };
        if error.lost {
            return Err(error);
        }
        Err(error.hint(format!(
            "try `docker plugin install --disable {remote}` on the node. One that no public registry is reached for comes \
             from a private one: `cephdock plugin mirror`, then `volumes.alias`"
        )))
    }

    pub(super) async fn set_plugin(
        &self,
        name: &str,
        settings: &BTreeMap<String, Secret>,
    ) -> Result<(), HostError> {
        let set = settings.iter().map(|(key, value)| format!("{key}={}", value.expose())).collect();
        let call = self.docker()?.set_plugin_config(name, set);
        let doing = format!("set the plugin {name}");
        self.call(&doing, call).await.map_err(|Failed { error, .. }| {
            // Docker repeats the setting that it does not take
            let what = settings.values().fold(error.what, |what, value| {
                let secret = value.expose();
                if secret.is_empty() { what } else { what.replace(secret, "…") }
            });
            HostError { what, ..HostError::new("") }
                .hint(format!("`docker plugin inspect {name}` lists its settings"))
        })
    }

    pub(super) async fn enable_plugin(&self, name: &str) -> Result<(), HostError> {
        if self.inspect_plugin(name).await?.is_some_and(|p| p.enabled) {
            return Ok(());
        }
        // 0: as long as Docker sees fit
        let options = query::EnablePluginOptionsBuilder::default().timeout(0).build();
        let call = self.docker()?.enable_plugin(name, Some(options));
        let hint = "what the plugin says is in the journal of dockerd (`journalctl -u docker`); it may need folders of the node \
                    that are not there";
        self.call(&format!("enable the plugin {name}"), call).await.map_err(|f| f.error.hint(hint))
    }

    pub(super) async fn disable_plugin(&self, name: &str) -> Result<(), HostError> {
        let call = self.docker()?.disable_plugin(name, None);
        let hint = "remove the containers that use its volumes, or stop them, and run the same command again";
        self.call(&format!("disable the plugin {name}"), call).await.map_err(|f| f.error.hint(hint))
    }

    pub(super) async fn remove_plugin(&self, name: &str) -> Result<(), HostError> {
        let docker = self.docker.as_ref().map_err(|why| HostError::new(why.clone()))?;
        let removed = plugin::remove(docker, name).await;
        removed.map_err(|error| match error {
            ImageError::Docker(e) => self.docker_error(&format!("remove the plugin {name}"), &e),
            other => HostError::new(format!("the removal of the plugin {name}: {other}"))
                .hint("`docker plugin ls` on the node shows how it is; run the same command again"),
        })
    }

    /// Copies a plugin from one registry to another. Run again after it was cut off, it goes on.
    pub(crate) async fn mirror_plugin(&self, mirror: &MirrorSpec) -> Result<(), HostError> {
        let MirrorSpec { remote, alias, pull, push } = mirror;
        let docker = self.docker.as_ref().map_err(|why| HostError::new(why.clone()))?;
        if self.inspect_plugin(alias).await?.is_some_and(|p| p.enabled) {
            return Err(HostError::new(format!("the plugin {alias} is in use on this node"))
                .hint("have another node do it: `--node NAME`"));
        }
        self.pull_plugin(alias, remote, pull.as_ref(), &StepReport::unseen(&self.name)).await?;
        plugin::push(docker, alias, push.as_ref()).await.map_err(|error| {
            let what = match error {
                ImageError::Docker(e) => self.docker_error(&format!("push {alias}"), &e).what,
                other => format!("the push of {alias}: {other}"),
            };
            HostError::new(what).hint(
                "does that registry want a login (`cluster.registry` in the inventory), or is it plain HTTP and not among \
                 the node's `insecure-registries` (/etc/docker/daemon.json)?",
            )
        })?;
        self.remove_plugin(alias).await
    }
}

fn fact_of(name: &str, seen: &Plugin) -> PluginFact {
    let settings = seen.settings.env.iter().filter_map(|line| line.split_once('='));
    PluginFact {
        name: name.to_owned(),
        enabled: seen.enabled,
        settings: settings.map(|(key, value)| (key.to_owned(), sha256(value))).collect(),
    }
}
