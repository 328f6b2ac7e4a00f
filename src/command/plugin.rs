//! `plugin mirror`: copies a third-party plugin into a private registry, by one node's Docker.

use serde::Serialize;

use super::{Exit, Session, complete, load, look};
use crate::cli::{Global, Mirror};
use crate::host::MirrorSpec;
use crate::image::{is_from, mirrored, tagged};
use crate::report::Failure;

/// What is printed with `--json`.
#[derive(Serialize)]
struct Mirrored {
    plugin: String,
    alias: String,
    node: String,
}

pub(super) async fn run(global: &Global, options: &Mirror) -> Exit {
    let look = look(global);
    let mut loaded = match load(global, look).and_then(|loaded| complete(loaded, look, true)) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let failed = |what: String, hint: Option<String>, exit: Exit| {
        look.print_failure(&Failure { what, hint, ..Failure::default() });
        exit
    };
    let (remote, alias) = (tagged(&options.plugin), mirrored(&options.plugin, &options.registry));
    if is_from(&remote, &options.registry) && remote == alias {
        let hint = format!(
            "nothing has to be copied: name it in the inventory, `driver: {remote}` under `volumes:`"
        );
        return failed(format!("{remote} is in that registry"), Some(hint), Exit::Usage);
    }
    if let Some(only) = &options.node {
        let names: Vec<&str> = loaded.inventory.nodes.iter().map(|n| n.name.as_str()).collect();
        let hint = format!("it has {}", names.join(", "));
        loaded.inventory.nodes.retain(|n| n.name == *only);
        if loaded.inventory.nodes.is_empty() {
            let what = format!("the inventory has no node called {only}");
            return failed(what, Some(hint), Exit::Usage);
        }
    }
    let cluster = &loaded.inventory.cluster;
    let spec = MirrorSpec {
        pull: cluster.login(&remote).cloned(),
        push: cluster.login(&alias).cloned(),
        remote: remote.clone(),
        alias: alias.clone(),
    };
    let session = Session::open(loaded, look, true).await;
    let order = session.want.nodes.iter().map(|n| &n.name);
    let hosts = order.filter_map(|name| Some((name, session.fleet.hosts.get(name)?)));
    let usable = hosts.clone().find_map(|(name, host)| Some((name.clone(), host.as_ref().ok()?)));
    let first_error = hosts.clone().find_map(|(name, host)| Some((name, host.as_ref().err()?)));
    let ended = match (usable, first_error) {
        (Some((name, host)), _) => {
            let done = host.mirror_plugin(&spec).await.map(|()| name.to_string());
            done.map_err(|e| (format!("{name}: {}", e.what), e.hint))
        }
        (None, Some((name, error))) => Err((format!("{name}: {}", error.what), error.hint.clone())),
        (None, None) => Err(("the inventory has no node".into(), None)),
    };
    session.close().await;
    let node = match ended {
        Ok(node) => node,
        Err((what, hint)) => return failed(what, hint, Exit::Failed),
    };
    if look.json {
        look.print_json(&Mirrored { plugin: remote, alias, node });
    } else if !look.quiet {
        look.print(&format!(
            "{remote} is in the registry as {alias}. For the nodes to take it from there:\n\n  volumes:\n    \
             driver: {}\n    alias: {alias}\n",
            options.plugin
        ));
    }
    Exit::Done
}
