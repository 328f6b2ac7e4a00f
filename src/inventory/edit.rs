//! A node added to an inventory's text: one line, and not a character of the rest is touched.
//!
//! YAML has many ways to write a list, so the line is put where it ought to go and the result is read back: it counts
//! only if it is the same inventory with this node as its last. Comments and order stay because nothing is written anew.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::file::parse;
use super::problem::Problems;
use super::tree::{self, Node, Value};
use super::{Inventory, NodeName, OsdSpec, values};

/// A node as it is asked for on a command line. What is wrong with it is found by the inventory's own checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// Its name.
    pub name: NodeName,
    /// Its address in the public network.
    pub address: IpAddr,
    /// `mon`, `mgr`, `osd`.
    pub roles: Vec<&'static str>,
    /// Whole disks for OSDs.
    pub devices: Vec<PathBuf>,
    /// Sizes of OSDs in files, as an inventory has them.
    pub files: Vec<String>,
    /// Fields of its own `ssh:`, by their names there.
    pub ssh: Vec<(&'static str, String)>,
}

/// Why a node could not be added. Nothing was written.
#[derive(Debug)]
pub enum EditError {
    /// The inventory, or what it would be with this node, is wrong.
    Problems(Problems),
    /// The file is written in a way that this cannot add to: the entry, for the user to put there.
    NoPlace(String),
}

impl NewNode {
    /// Whether `node` is as asked for here. What it has beyond that is its own affair.
    pub fn describes(&self, node: &super::Node) -> bool {
        let roles = [("mon", node.roles.mon), ("mgr", node.roles.mgr), ("osd", node.roles.osd)];
        let devices = self.devices.iter().map(|d| Some(OsdSpec::Device(d.clone())));
        let files = self.files.iter().map(|f| values::file_size(f).ok().map(OsdSpec::File));
        let ssh = |field: &str, value: &str| match field {
            "host" => node.ssh.host == value,
            "port" => node.ssh.port.to_string() == value,
            "user" => node.ssh.user == value,
            _ => node.ssh.fingerprint.as_deref() == Some(value),
        };
        node.address == self.address
            && roles.iter().all(|(role, has)| self.roles.contains(role) == *has)
            && devices.chain(files).eq(node.osds.iter().cloned().map(Some))
            && self.ssh.iter().all(|(field, value)| ssh(field, value))
    }

    /// The entry as one line of YAML, without its dash.
    pub fn entry(&self) -> String {
        let list = |items: &[String]| format!("[{}]", items.join(", "));
        let roles: Vec<String> = self.roles.iter().map(|r| (*r).to_owned()).collect();
        let mut text = format!(
            "{{name: {}, address: {}, roles: {}",
            scalar(self.name.as_str()),
            scalar(&self.address.to_string()),
            list(&roles)
        );
        let devices =
            self.devices.iter().map(|d| format!("{{device: {}}}", scalar(&d.to_string_lossy())));
        let osds: Vec<String> =
            devices.chain(self.files.iter().map(|f| format!("{{file: {}}}", scalar(f)))).collect();
        if !osds.is_empty() {
            write!(text, ", osds: {}", list(&osds)).unwrap_or_default();
        }
        let ssh: Vec<String> =
            self.ssh.iter().map(|(field, value)| format!("{field}: {}", scalar(value))).collect();
        if !ssh.is_empty() {
            write!(text, ", ssh: {{{}}}", ssh.join(", ")).unwrap_or_default();
        }
        text + "}"
    }
}

/// The text of the inventory at `path` with `new` as its last node.
///
/// # Errors
/// What is wrong with the inventory that it would be (an address that another node has, say), or that there is no place.
pub fn add(
    text: &str,
    path: &Path,
    home: Option<&Path>,
    new: &NewNode,
) -> Result<(String, Inventory), EditError> {
    let before = parse(text, path, home).map_err(EditError::Problems)?.inventory;
    let entry = new.entry();
    let mut wrong = None;
    for candidate in candidates(text, &entry) {
        if !reads_as_added(text, &candidate, new) {
            continue;
        }
        match parse(&candidate, path, home) {
            Ok(after) if same_but_for_last(&before, &after.inventory) => {
                return Ok((candidate, after.inventory));
            }
            Ok(_) => {}
            Err(problems) => wrong = wrong.or(Some(problems)),
        }
    }
    Err(wrong.map_or_else(|| EditError::NoPlace(format!("- {entry}")), EditError::Problems))
}

/// The text with the entry put in, in each of the places where it may belong; the likeliest first.
fn candidates(text: &str, entry: &str) -> Vec<String> {
    let Some(nodes) = nodes(text) else { return Vec::new() };
    let Some(last) = nodes.last() else { return Vec::new() };
    let (start, end) = (last.span.start, end(last).max(last.span.start));
    let put = |at: usize, what: &str| format!("{}{what}{}", &text[..at], &text[at..]);
    let line = &text[..start].rsplit_once('\n').map_or(&text[..start], |(_, line)| line);
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut all = Vec::new();
    if line.trim_start().starts_with('-') {
        // after the line on which the last entry ends, or one of the next: brackets may close there
        let ends = text[end..].match_indices('\n').map(|(i, _)| end + i + 1).take(8);
        all.extend(ends.map(|at| put(at, &format!("{indent}- {entry}\n"))));
        // the file may not end with a newline
        all.push(format!("{text}\n{indent}- {entry}\n"));
    }
    let braces = text[end..].match_indices('}').map(|(i, _)| end + i + 1).take(8);
    all.extend(braces.map(|at| put(at, &format!(", {entry}"))));
    all
}

fn nodes(text: &str) -> Option<Vec<Node>> {
    let Value::Map(fields) = tree::read(text).ok()?.value else { return None };
    match fields.into_iter().find(|(key, _)| key.name == "nodes")?.1.value {
        Value::Seq(nodes) => Some(nodes),
        Value::Null | Value::Scalar(_) | Value::Map(_) => None,
    }
}

/// Where the last thing in a node ends. Of a list or mapping only the beginning is known.
fn end(node: &Node) -> usize {
    let inside = match &node.value {
        Value::Null | Value::Scalar(_) => None,
        Value::Seq(items) => items.iter().map(end).max(),
        Value::Map(fields) => fields.iter().map(|(key, value)| end(value).max(key.span.end)).max(),
    };
    inside.unwrap_or(0).max(node.span.end)
}

/// Whether YAML reads `candidate` as the list of `text` with one more entry, this one.
fn reads_as_added(text: &str, candidate: &str, new: &NewNode) -> bool {
    let (Some(before), Some(after)) = (nodes(text), nodes(candidate)) else { return false };
    let named = |node: &Node| {
        let Value::Map(fields) = &node.value else { return false };
        fields.iter().any(|(key, value)| {
            key.name == "name"
                && matches!(&value.value, Value::Scalar(name) if name == new.name.as_str())
        })
    };
    after.len() == before.len() + 1 && after.last().is_some_and(named)
}

/// The default number of copies may grow with the hosts; everything else is the same.
fn same_but_for_last(before: &Inventory, after: &Inventory) -> bool {
    let Some((_, others)) = after.nodes.split_last() else { return false };
    let mut copy = before.clone();
    copy.cluster.pool.size = after.cluster.pool.size;
    others == before.nodes
        && copy.cluster == after.cluster
        && copy.client == after.client
        && copy.firewall == after.firewall
        && copy.volumes == after.volumes
}

/// A value that reads back as this text, wherever it stands: quoted unless it is plain beyond doubt.
pub(super) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-@".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    if word && text.chars().all(plain) && !text.eq_ignore_ascii_case("null") {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b4() -> NewNode {
        NewNode {
            name: NodeName::new("B4").unwrap(),
            address: "10.32.3.150".parse().unwrap(),
            roles: vec!["osd"],
            devices: vec!["/dev/sdb".into()],
            files: vec!["2GiB".into()],
            ssh: vec![("user", "ops".into()), ("port", "2222".into())],
        }
    }

    const ENTRY: &str = "{name: B4, address: 10.32.3.150, roles: [osd], osds: [{device: /dev/sdb}, {file: 2GiB}], ssh: {user: ops, port: 2222}}";
    const HEAD: &str = "# mine\ncluster: {public_network: 10.32.3.0/24}   # ours\n";

    fn added(text: &str, new: &NewNode) -> Result<String, EditError> {
        add(text, Path::new("inventory.yaml"), Some(Path::new("/root")), new).map(|(text, _)| text)
    }

    /// Every way to write the list, and the line that comes in; the rest has to stay as it was.
    #[test]
    fn an_entry_is_put_last_and_nothing_else_changes() {
        let block = "nodes:\n  # the first\n  - name: B1   # one\n    address: 10.32.3.147\n    roles: [mon, mgr, osd]\n    osds: [{file: 2GiB}]\n";
        for (before, after) in
            [("", "\n# the end\nfirewall: off\n"), ("", ""), ("# in front\n", "# behind\n\n")]
        {
            let text = format!("{HEAD}{before}{block}{after}");
            let expected = format!("{HEAD}{before}{block}  - {ENTRY}\n{after}");
            assert_eq!(added(&text, &b4()).unwrap(), expected);
        }
    }

    #[test]
    fn flow_style_and_entries_over_several_lines() {
        let one = "{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{file: 2GiB}]}";
        let flow = format!("{HEAD}nodes: [{one}]\n");
        assert_eq!(added(&flow, &b4()).unwrap(), format!("{HEAD}nodes: [{one}, {ENTRY}]\n"));
        let lines = format!(
            "{HEAD}nodes:\n- {{name: B1, address: 10.32.3.147,\n   roles: [mon, mgr, osd], osds: [{{file: 2GiB}}\n   ]\n  }}\nclient: {{packages: off}}\n"
        );
        let expected = lines.replace("  }\n", &format!("  }}\n- {ENTRY}\n"));
        assert_eq!(added(&lines, &b4()).unwrap(), expected);
    }

    #[test]
    fn a_file_without_a_newline_at_its_end() {
        let text = format!(
            "{HEAD}nodes:\n  - {{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}"
        );
        assert_eq!(added(&text, &b4()).unwrap(), format!("{text}\n  - {ENTRY}\n"));
    }

    #[test]
    fn an_address_that_is_taken_is_a_problem_of_the_inventory() {
        let text = format!(
            "{HEAD}nodes:\n  - {{name: B1, address: 10.32.3.150, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}\n"
        );
        let Err(EditError::Problems(problems)) = added(&text, &b4()) else { panic!("accepted") };
        assert!(problems.to_string().contains("10.32.3.150"), "{problems}");
    }

    #[test]
    fn odd_values_are_quoted() {
        assert_eq!(scalar("fd00::1"), "'fd00::1'");
        assert_eq!(scalar("/dev/disk/by-id/a-b_c"), "/dev/disk/by-id/a-b_c");
        assert_eq!(scalar("it's: #1"), "'it''s: #1'");
        assert_eq!(scalar("null"), "'null'");
    }
}
