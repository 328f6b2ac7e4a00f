//! A third-party volume plugin: `volumes.driver: rexray/rbd`. Pulled, set and enabled on every node, each a step of its
//! own, so that a run that was cut off between them is gone on with.
//!
//! Docker keeps no labels on plugins. So a file on the node says that cephdock brought it there: written before the pull,
//! and only where there was no such plugin. One that was there already is set and enabled as the inventory says, and
//! stays when the cluster goes.

use std::collections::BTreeMap;

use super::fleet::{Fleet, Usable};
use super::reset::Target;
use super::{Action, FileSpec, Lane, Removal, Step, Waiting, Why};
use crate::facts::plugin::PluginFact;
use crate::image::tagged;
use crate::inventory::{Inventory, NodeName, VolumeDriver};
use crate::secret::{Secret, sha256};

/// Beside the Ceph files' folder, so that it can outlive them.
const MARKS: &str = "/var/lib/cephdock/plugins/";

/// The plugin's name on the nodes, where the inventory names one.
pub fn wanted(want: &Inventory) -> Option<String> {
    match &want.volumes.driver {
        VolumeDriver::Plugin(name) => Some(tagged(name)),
        VolumeDriver::Cephdock | VolumeDriver::None => None,
    }
}

/// The file that says that cephdock brought the plugin of this name.
pub fn mark(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    format!("{MARKS}{}", name.chars().map(safe).collect::<String>())
}

/// The steps, a lane a node.
pub(super) fn all(fleet: &Fleet) -> Vec<Lane> {
    let Some(name) = wanted(fleet.want) else { return Vec::new() };
    fleet.scope().map(|u| Lane::new(&u.node.name, steps(fleet.want, &name, u))).collect()
}

fn steps(want: &Inventory, name: &str, u: &Usable) -> Vec<Step> {
    let settings = &want.volumes.settings;
    let set = |settings: BTreeMap<String, Secret>, why| {
        Step::new(Action::SetPlugin { name: name.into(), settings }, why)
    };
    let enable = |why| Step::new(Action::EnablePlugin(name.into()), why);
    let mut steps = Vec::new();
    let Some(seen) = &u.docker.plugin else {
        let path = mark(name);
        let content = format!("{name}\n");
        if u.facts.files.get(&path).is_none_or(|file| file.sha256 != sha256(&content)) {
            let file =
                FileSpec { path, mode: 0o644, folder_mode: 0o755, content: Secret::new(content) };
            steps.push(Step::new(Action::WriteFiles(vec![file]), Why::Missing));
        }
        let remote = want.volumes.alias.clone().unwrap_or_else(|| name.to_owned());
        let login = want.cluster.login(&remote).cloned();
        let pull = Action::PullPlugin { name: name.into(), remote, login };
        steps.push(Step::new(pull, Why::Missing));
        if !settings.is_empty() {
            steps.push(set(settings.clone(), Why::Missing));
        }
        steps.push(enable(Why::Missing));
        return steps;
    };
    let differing = differing(settings, seen);
    let differs = !differing.is_empty();
    if differs {
        if seen.enabled {
            // Docker sets nothing of a plugin that runs
            steps.push(Step::new(Action::DisablePlugin(name.into()), Why::Differs));
        }
        steps.push(set(differing, Why::Differs));
    }
    if differs || !seen.enabled {
        steps.push(enable(Why::NotRunning));
    }
    steps
}

/// The settings that are another value. One that the plugin does not have is left out: Docker would refuse it, when the
/// plugin has been stopped for it already.
fn differing(settings: &BTreeMap<String, Secret>, seen: &PluginFact) -> BTreeMap<String, Secret> {
    let differs = |(key, value): &(&String, &Secret)| {
        seen.settings.get(*key).is_some_and(|digest| *digest != sha256(value.expose()))
    };
    settings.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Takes away the plugin that cephdock brought; Docker refuses while a volume or container needs it.
pub(super) fn undo(_: &Target, u: &Usable) -> Vec<Step> {
    let marks: Vec<&String> = u.facts.files.keys().filter(|path| path.starts_with(MARKS)).collect();
    let mut steps = Vec::new();
    if let Some(seen) = u.docker.plugin.as_ref().filter(|p| marks.contains(&&mark(&p.name))) {
        if seen.enabled {
            steps.push(Step::new(Action::DisablePlugin(seen.name.clone()), Why::OnlyForCeph));
        }
        steps.push(Step::new(Action::RemovePlugin(seen.name.clone()), Why::OnlyForCeph));
    }
    if !marks.is_empty() {
        let mut removals: Vec<Removal> =
            marks.into_iter().map(|path| Removal::All(path.clone())).collect();
        let folders = [MARKS.trim_end_matches('/'), "/var/lib/cephdock"];
        removals.extend(folders.map(|folder| Removal::IfEmpty(folder.into())));
        steps.push(Step::new(Action::RemoveFiles(removals), Why::OnlyForCeph));
    }
    steps
}

/// Settings that the plugin does not have.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    let Some(name) = wanted(fleet.want) else { return Vec::new() };
    let unknown = |u: &Usable| {
        let seen = u.docker.plugin.as_ref()?;
        let keys = fleet.want.volumes.settings.keys();
        let unknown: Vec<&str> =
            keys.filter(|key| !seen.settings.contains_key(*key)).map(String::as_str).collect();
        (!unknown.is_empty()).then(|| note(&u.node.name, &name, &unknown))
    };
    fleet.scope().filter_map(unknown).collect()
}

fn note(node: &NodeName, name: &str, unknown: &[&str]) -> Waiting {
    Waiting {
        node: Some(node.clone()),
        what: format!(
            "the plugin {name} has no setting called {}: `docker plugin inspect {name}` lists what it has",
            unknown.join(", ")
        ),
        holds_up: true,
    }
}
