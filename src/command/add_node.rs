//! `add-node`: one more node for a cluster that runs.

use std::io::Write as _;
use std::path::Path;

use super::{Exit, load, look, plan as show_plan, up};
use crate::cli::{AddNode, Global, Role};
use crate::inventory::Inventory;
use crate::inventory::edit::{self, EditError, NewNode};
use crate::inventory::file::{self, Loaded};
use crate::plan;
use crate::report::{Failure, Look, Screen, Stream};

pub(super) async fn run(global: &Global, options: AddNode) -> Exit {
    let look = look(global);
    let loaded = match load(global, look) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let (name, dry_run) = (options.name.clone(), options.dry_run);
    let loaded = match in_inventory(&global.inventory, look, loaded, options) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let planner = {
        let name = name.clone();
        move |want: &_, seen: &_, id: &_| plan::add_node(&name, want, seen, id)
    };
    if dry_run {
        show_plan::show(loaded, look, false, planner).await
    } else {
        up::converge_on(loaded, look, &format!("add-node {name}"), planner).await
    }
}

/// The inventory with the node in it, as it is or written there.
fn in_inventory(path: &Path, look: Look, loaded: Loaded, options: AddNode) -> Result<Loaded, Exit> {
    let there = loaded.inventory.node(&options.name).is_some();
    let dry_run = options.dry_run;
    let name = options.name.clone();
    let Some(new) = new_node(options) else {
        if there {
            return Ok(loaded);
        }
        let hint = format!(
            "`cephdock add-node {name} --address IP --role osd --device /dev/sdb` puts it there; so does your editor"
        );
        return Err(usage(
            look,
            format!(
                "{} has no node called {name}: it has {}",
                path.display(),
                names(&loaded.inventory)
            ),
            hint,
        ));
    };
    if there {
        // the same command was run before
        let same = loaded.inventory.node(&name).is_some_and(|node| new.describes(node));
        return same.then_some(loaded).ok_or_else(|| {
            usage(
                look,
                format!("{} has a node called {name} already, and not with these options", path.display()),
                format!("run `cephdock add-node {name}` without options to take it in as the inventory has it, or edit the inventory"),
            )
        });
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        usage(look, format!("{}: {error}", path.display()), "look at the file's permissions".into())
    })?;
    let home = std::env::home_dir();
    let (text, _) = edit::add(&text, path, home.as_deref(), &new).map_err(|error| match error {
        EditError::Problems(problems) => {
            if look.json {
                look.print_json(&problems);
            }
            look.print_error(&problems.render(Screen::of(Stream::Err, look.color).color));
            Exit::Usage
        }
        EditError::NoPlace(entry) => usage(
            look,
            format!("the place for {name} was not found in {}", path.display()),
            format!("put this under `nodes:` and run `cephdock add-node {name}`:\n  {entry}"),
        ),
    })?;
    if !dry_run {
        replace(path, &text).map_err(|error| {
            let what = format!("{} cannot be written: {error}", path.display());
            usage(look, what, "nothing was changed; make the file and its folder writable".into())
        })?;
    }
    // it was read a moment ago
    file::parse(&text, path, home.as_deref()).map_err(|_| Exit::Usage)
}

fn usage(look: Look, what: String, hint: String) -> Exit {
    look.print_failure(&Failure { what, hint: Some(hint), ..Failure::default() });
    Exit::Usage
}

fn names(want: &Inventory) -> String {
    let names: Vec<&str> = want.nodes.iter().map(|n| n.name.as_str()).collect();
    names.join(", ")
}

/// `None`: the node is to be found in the inventory.
fn new_node(options: AddNode) -> Option<NewNode> {
    let AddNode {
        name,
        address,
        role,
        device,
        file,
        ssh_host,
        ssh_port,
        ssh_user,
        fingerprint,
        dry_run: _,
    } = options;
    let mut roles: Vec<&'static str> = Vec::new();
    for (kind, text) in [(Role::Mon, "mon"), (Role::Mgr, "mgr"), (Role::Osd, "osd")] {
        if role.contains(&kind) {
            roles.push(text);
        }
    }
    let ssh = [
        ("host", ssh_host),
        ("port", ssh_port.map(|p| p.to_string())),
        ("user", ssh_user),
        ("fingerprint", fingerprint),
    ];
    let ssh = ssh.into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
    Some(NewNode { name, address: address?, roles, devices: device, files: file, ssh })
}

/// The new text in place of the old, whole or not at all, with the old one's permissions.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path)?; // a link stays a link
    let mut new = path.clone().into_os_string();
    new.push(".cephdock-new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)
}
