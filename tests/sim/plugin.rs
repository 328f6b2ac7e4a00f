//! A simulated Docker's managed plugin.

use std::collections::BTreeMap;

use cephdock::facts::plugin::PluginFact;
use cephdock::inventory::NodeName;
use cephdock::plan::Action;
use cephdock::secret::sha256;

use super::World;

/// A plugin that is installed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    /// What it was pulled from; empty: somebody else installed it.
    pub(crate) remote: String,
    pub(crate) enabled: bool,
    pub(crate) settings: BTreeMap<String, String>,
    /// A volume of it is mounted.
    pub(crate) in_use: bool,
}

impl Plugin {
    pub(super) fn fact(&self) -> PluginFact {
        let settings = self.settings.iter().map(|(key, value)| (key.clone(), sha256(value)));
        PluginFact { name: self.name.clone(), enabled: self.enabled, settings: settings.collect() }
    }
}

impl World {
    /// Like Docker: what runs is neither set nor removed, what is in use not disabled, and there is one of a name.
    pub(super) fn plugin(&mut self, at: &NodeName, action: &Action) -> Result<(), String> {
        let node = self.nodes.get_mut(at).expect("hosts are made from nodes");
        if let Action::PullPlugin { name, remote, .. } = action {
            let new = Plugin {
                name: name.clone(),
                remote: remote.clone(),
                settings: [("RBD_DEFAULTPOOL", "rbd"), ("LINUX_VOLUME_FILEMODE", "0700")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                ..Plugin::default()
            };
            node.plugin.get_or_insert(new);
            return Ok(());
        }
        let plugin = node.plugin.as_mut().ok_or("plugin not found")?;
        match action {
            Action::SetPlugin { settings, .. } => {
                if plugin.enabled {
                    return Err("cannot set on an active plugin".into());
                }
                for (key, value) in settings {
                    let set = plugin.settings.get_mut(key).ok_or("setting not found")?;
                    value.expose().clone_into(set);
                }
            }
            Action::EnablePlugin(_) => plugin.enabled = true,
            Action::DisablePlugin(_) if plugin.in_use => return Err("plugin is in use".into()),
            Action::DisablePlugin(_) => plugin.enabled = false,
            Action::RemovePlugin(_) => {
                if plugin.enabled {
                    return Err("plugin is enabled".into());
                }
                if plugin.remote.is_empty() {
                    self.crimes.push(format!("{at}: a stranger's plugin was removed"));
                }
                node.plugin = None;
            }
            other => panic!("{other} is not about a plugin"),
        }
        Ok(())
    }
}
