//! YAML text to [`Inventory`]: [`load`] reads the file, [`parse`] its text. Both tell everything that is wrong at once.
//!
//! ```text
//! text ─ tree::read ─> Node ─ cluster, ssh, nodes, volumes ─> parts ─ nodes::compare ─> Inventory
//!                                 └─── every problem ─> check::Check <───┘
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::check::{self, Check, Fields};
use super::cluster::{self, ClusterPart};
use super::outside::{self, Places};
use super::problem::{Level, Problem, Problems};
use super::ssh::{self, SshPart};
use super::tree::{self, Node, Span, Syntax, Value};
use super::values::{self, Wrong};
use super::{AutoOff, Inventory, nodes, schema, secrets, volumes};

pub use super::cluster::DEFAULT_IMAGE;

/// An inventory, and what the user should know of it all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The inventory.
    pub inventory: Inventory,
    /// Problems of [`Level::Warning`], in the order of the file.
    pub warnings: Vec<Problem>,
    /// The file, for what is found wrong with it later.
    pub(super) path: PathBuf,
    pub(super) places: Places,
}

/// Reads the inventory at `path`. `~` in it is the home folder of whoever runs cephdock.
///
/// # Errors
/// Everything that is wrong with it; a file that cannot be read at all is one problem too.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|b| *b == b'\n').count();
            return Err(Problems::of_file(
                path,
                format!("the inventory is not UTF-8 text; the first odd byte is on line {line}"),
                "save it as UTF-8, or find out whether this is the file you meant",
            ));
        }
    };
    parse(text, path, std::env::home_dir().as_deref())
}

fn unreadable(path: &Path, error: &io::Error) -> Problems {
    let (message, fix) = match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no inventory here".to_owned(),
            "`cephdock init` writes one; `-i PATH` names another file",
        ),
        io::ErrorKind::IsADirectory => {
            ("this is a folder, not an inventory".to_owned(), "name the file in it with `-i PATH`")
        }
        io::ErrorKind::PermissionDenied => (
            "the inventory may not be read by you".to_owned(),
            "run `chmod u+r` on it, or run cephdock as its owner",
        ),
        _ => (
            format!("the inventory cannot be read: {error}"),
            "name a file that can be read with `-i PATH`",
        ),
    };
    Problems::of_file(path, message, fix)
}

/// Reads an inventory from its text. `path` is for messages, and relative paths in it start at its folder; `home` is
/// what `~` means.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, path: &Path, home: Option<&Path>) -> Result<Loaded, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = tree::read(text).map_err(|syntax| Problems {
        path: path.to_owned(),
        problems: vec![not_yaml(text, &syntax)],
    })?;
    if matches!(root.value, Value::Null) {
        return Err(Problems::of_file(
            path,
            "the inventory is empty",
            "copy inventory.example.yaml and edit it",
        ));
    }
    let mut check = Check::new(text, path, home, secrets::hidden(&root));
    let inventory = read(&mut check, &root);
    let failed = check.failed();
    let problems = check.finish();
    match inventory {
        Some((inventory, places)) if !failed => {
            Ok(Loaded { inventory, warnings: problems, path: path.to_owned(), places })
        }
        _ => Err(Problems { path: path.to_owned(), problems }),
    }
}

/// What the parser stumbled over, with the cause where we know it better.
fn not_yaml(text: &str, syntax: &Syntax) -> Problem {
    let (span, wrong) = tabs(text).unwrap_or_else(|| {
        let fix = match syntax.message.as_str() {
            m if m.contains("multiple YAML documents") => {
                "keep one document: take out the `---` or `...` line and what does not belong to it"
            }
            m if m.contains("quote") => "close the quote that opens here",
            m if m.contains("unexpected character") => "put the value in single quotes: 'value'",
            m if m.contains("anchor") => {
                "define it with `&name` before it is used with `*name`, or put a literal `*` in quotes"
            }
            m if m.contains("mapping values are not allowed") => {
                "put values with `: ` in single quotes, and indent the fields of one mapping equally"
            }
            _ => {
                "indent the fields of one mapping equally, and close every bracket and quote; the cause may be on a line \
                 above"
            }
        };
        let message = if syntax.message.contains("multiple YAML documents") {
            "a second YAML document begins here".to_owned()
        } else {
            format!("this is not YAML: {}", syntax.message)
        };
        (syntax.span, Wrong::new(message, fix))
    });
    check::at_place(text, &secrets::hidden_in_text(text), span, Level::Error, wrong)
}

/// The first line that is indented with a tab: what the parser says of it is hard to understand, and often about
/// another line.
fn tabs(text: &str) -> Option<(Span, Wrong)> {
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim_start();
        if let Some(tab) =
            line[..indent].find('\t').filter(|_| !content.is_empty() && !content.starts_with('#'))
        {
            let span = Span { start: begin + tab, end: begin + tab + 1 };
            let wrong = Wrong::new(
                "this line is indented with a tab, which YAML does not allow",
                "indent with spaces, two for each level, here and on every other line",
            );
            return Some((span, wrong));
        }
        begin += line.len();
    }
    None
}

fn read(check: &mut Check<'_>, root: &Node) -> Option<(Inventory, Places)> {
    let fields = check.fields(root, root.span, &schema::TOP)?;
    let at = |name: &'static str| fields.get(name).map_or(fields.at, |(key, _)| key.span);
    let node = |name: &'static str| fields.get(name).map(|(_, node)| node);
    let cluster = if let Some(node) = node("cluster") {
        cluster::read(check, node, at("cluster"))
    } else {
        check.missing(&fields, "cluster", "add `cluster: {public_network: 10.32.3.0/24}`");
        ClusterPart::default()
    };
    let defaults = match node("ssh") {
        Some(node) => ssh::read_defaults(check, node, at("ssh")),
        None => SshPart::default(),
    };
    let parts = if let Some(node) = node("nodes") {
        nodes::read(check, node, at("nodes"))
    } else {
        let fix = "add `nodes:` with an entry for each host: `- {name: B1, address: 10.32.3.147, roles: [mon, mgr]}`";
        check.missing(&fields, "nodes", fix);
        Vec::new()
    };
    let network = cluster.public_network.as_ref().map(|n| n.it);
    nodes::compare(check, &parts, network, cluster.pool_size.as_ref(), at("nodes"));
    let client = volumes::read_client(check, node("client"), at("client"));
    let firewall = check.optional(&fields, "firewall", "auto", |_, t| values::auto_off(t));
    let (volumes, driver_binary) = volumes::read(check, node("volumes"), at("volumes"));
    let known_hosts = known_hosts(check, &fields, &defaults, &parts);
    let nodes = nodes::complete(check, parts, &defaults, &known_hosts)?;
    let hosts = nodes.iter().filter(|n| !n.osds.is_empty()).count();
    let server = cluster.server;
    let places = Places {
        image_archive: cluster.image_archive.as_ref().map(|a| check.place(a.span)),
        password: cluster.password.map(|span| check.place(span)),
        driver_binary: driver_binary.map(|span| check.place(span)),
    };
    let cluster = cluster.complete(hosts)?;
    let firewall = firewall.map_or(AutoOff::Auto, |f| f.it);
    let inventory = Inventory { cluster, nodes, client, firewall, volumes };
    if let (Some(at), Some(wrong)) = (server, outside::useless_login(&inventory)) {
        check.warning(at, wrong.message, wrong.fix);
    }
    Some((inventory, places))
}

/// The `known_hosts` file of nodes that name none.
fn known_hosts(
    check: &mut Check<'_>,
    fields: &Fields<'_>,
    defaults: &SshPart,
    parts: &[nodes::NodePart],
) -> PathBuf {
    if let Some(home) = check.home() {
        return home.join(".ssh/known_hosts");
    }
    if !defaults.names_known_hosts() && nodes::need_known_hosts(parts) {
        check.error(
            fields.get("ssh").map_or(fields.at, |(key, _)| key.span),
            "the home folder is not known, and so the known_hosts file is not",
            "set HOME, or name the file: `ssh: {known_hosts: /etc/ssh/ssh_known_hosts}`",
        );
    }
    PathBuf::new()
}
