//! `nodes:`: each of them, and what must be true of all together.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::check::{At, Check, Fields};
use super::problem::quoted;
use super::schema;
use super::ssh::{self, SshPart};
use super::tree::{Node as Tree, Span, Value};
use super::values::{self, Wrong};
use super::{Node, NodeName, OsdSpec, Roles};

/// What one entry of `nodes:` says. `None` where a problem was noted.
#[derive(Debug)]
pub(super) struct NodePart {
    name: Option<At<NodeName>>,
    address: Option<At<IpAddr>>,
    roles: Option<At<Roles>>,
    /// Whether any OSD is named, right or wrong.
    has_osds: bool,
    osds: Vec<OsdSpec>,
    ssh: SshPart,
}

/// Reads `nodes:`; `at` is the field's place.
pub(super) fn read(check: &mut Check<'_>, node: &Tree, at: Span) -> Vec<NodePart> {
    const EXAMPLE: &str = "write a list: `- {name: B1, address: 10.32.3.147, roles: [mon, mgr]}`";
    match &node.value {
        Value::Seq(items) if items.is_empty() => {
            check.error(at, "`nodes` is empty: a cluster needs at least one node", EXAMPLE);
            Vec::new()
        }
        Value::Seq(items) => items.iter().filter_map(|item| read_one(check, item)).collect(),
        Value::Null | Value::Scalar(_) | Value::Map(_) => {
            check.error(node.span, "`nodes` is a list of nodes", EXAMPLE);
            Vec::new()
        }
    }
}

fn read_one(check: &mut Check<'_>, node: &Tree) -> Option<NodePart> {
    let fields = check.fields(node, node.span, &schema::NODE)?;
    let name = check.required(&fields, "name", "B1", |_, t| node_name(t));
    let address = check.required(&fields, "address", "10.32.3.147", |_, t| values::address(t));
    let roles = if let Some((_, node)) = fields.get("roles") {
        read_roles(check, node)
    } else {
        check.missing(
            &fields,
            "roles",
            "add `roles: [mon, mgr, osd]`, or `roles: []` for a pure client",
        );
        None
    };
    let (has_osds, osds) = match fields.get("osds") {
        Some((_, node)) => read_osds(check, node),
        None => (false, Vec::new()),
    };
    match &roles {
        Some(roles) if roles.it.osd && !has_osds => check.error(
            roles.span,
            "this node has the role `osd` and no `osds`",
            "add `osds: [{device: /dev/sdb}]`, or `osds: [{file: 20GiB}]` to try it out; or drop the role",
        ),
        Some(roles) if !roles.it.osd && has_osds => check.error(
            fields.get("osds").map_or(fields.at, |(key, _)| key.span),
            "this node has `osds` and not the role `osd`",
            "add `osd` to its `roles`, or leave `osds` out",
        ),
        _ => {}
    }
    let ssh = read_ssh(check, &fields);
    Some(NodePart { name, address, roles, has_osds, osds, ssh })
}

fn read_ssh(check: &mut Check<'_>, fields: &Fields<'_>) -> SshPart {
    match fields.get("ssh") {
        Some((key, node)) => ssh::read_node(check, node, key.span),
        None => SshPart::default(),
    }
}

fn node_name(text: &str) -> Result<NodeName, Wrong> {
    let name = NodeName::new(text)
        .map_err(|rule| Wrong::new(format!("{} cannot be a node's name", quoted(text)), rule))?;
    let device = text.strip_prefix("osd.").is_some_and(|id| id.parse::<u32>().is_ok());
    if device || text.eq_ignore_ascii_case("default") {
        return Err(Wrong::new(
            format!("{} means something else in the CRUSH map", quoted(text)),
            "give the node another name, for example `B1`",
        ));
    }
    Ok(name)
}

fn read_roles(check: &mut Check<'_>, node: &Tree) -> Option<At<Roles>> {
    let items = match &node.value {
        Value::Seq(items) => items,
        Value::Scalar(text) => {
            let fix = format!(
                "write `roles: [{}]`",
                text.split_whitespace().collect::<Vec<_>>().join(", ")
            );
            check.error(node.span, "`roles` is a list", fix);
            return None;
        }
        Value::Null | Value::Map(_) => {
            check.error(node.span, "`roles` is a list", "write it as `roles: [mon, mgr, osd]`");
            return None;
        }
    };
    let mut roles = Roles::default();
    let mut wrong = false;
    for item in items {
        let Value::Scalar(text) = &item.value else {
            let fix = "write the names of roles in one list: `roles: [mon, mgr, osd]`";
            check.error(item.span, "a role is a single word", fix);
            wrong = true;
            continue;
        };
        let Some(role) = check.note(item.span, role(text)) else {
            wrong = true;
            continue;
        };
        let flag = match role {
            "mon" => &mut roles.mon,
            "mgr" => &mut roles.mgr,
            _ => &mut roles.osd,
        };
        if *flag {
            check.error(item.span, format!("the role `{role}` is given twice"), "keep one");
        }
        *flag = true;
    }
    (!wrong).then_some(At { it: roles, span: node.span })
}

fn role(text: &str) -> Result<&'static str, Wrong> {
    if text == "client" {
        return Err(Wrong::new(
            "`client` is not a role: every node is a client",
            "leave it out; `roles: []` makes a pure client",
        ));
    }
    values::word(text, &["mon", "mgr", "osd"])
}

fn read_osds(check: &mut Check<'_>, node: &Tree) -> (bool, Vec<OsdSpec>) {
    let Value::Seq(items) = &node.value else {
        let fix = "write a list of `- device: /dev/sdb` or `- file: 20GiB` lines";
        check.error(node.span, "`osds` is a list", fix);
        return (true, Vec::new());
    };
    let mut osds: Vec<At<OsdSpec>> = Vec::new();
    for item in items {
        let Some(osd) = read_osd(check, item) else { continue };
        let same =
            |earlier: &&At<OsdSpec>| matches!(osd.it, OsdSpec::Device(_)) && earlier.it == osd.it;
        if let Some(earlier) = osds.iter().find(same) {
            let line = check.line(earlier.span);
            check.error(
                osd.span,
                format!("this disk is already an OSD of this node, on line {line}"),
                "name every disk once",
            );
        }
        osds.push(osd);
    }
    (!items.is_empty(), osds.into_iter().map(|o| o.it).collect())
}

fn read_osd(check: &mut Check<'_>, item: &Tree) -> Option<At<OsdSpec>> {
    if let Value::Scalar(text) = &item.value {
        let field = if text.starts_with('/') { "device" } else { "file" };
        let fix = if values::device(text).is_ok() || values::file_size(text).is_ok() {
            format!("write `{field}: {text}`")
        } else {
            "write `device: /dev/sdb` or `file: 20GiB`".to_owned()
        };
        check.error(item.span, "an OSD is a mapping of fields", fix);
        return None;
    }
    let fields = check.fields(item, item.span, &schema::OSD)?;
    let device = check.optional(&fields, "device", "/dev/sdb", |_, t| values::device(t));
    let file = check.optional(&fields, "file", "20GiB", |_, t| values::file_size(t));
    match (fields.get("device"), fields.get("file")) {
        (Some(_), Some((key, _))) => {
            check.error(
                key.span,
                "an OSD is a device or a file, not both",
                "make it two entries, or leave one out",
            );
            None
        }
        (None, None) => {
            check.error(
                fields.at,
                "this OSD has neither `device` nor `file`",
                "write `device: /dev/sdb`, or `file: 20GiB` to try it out",
            );
            None
        }
        _ => device
            .map(|d| At { it: OsdSpec::Device(d.it), span: d.span })
            .or_else(|| file.map(|f| At { it: OsdSpec::File(f.it), span: f.span })),
    }
}

/// Checks what concerns several nodes, or a node and the cluster. `at` is the place of `nodes:`.
pub(super) fn compare(
    check: &mut Check<'_>,
    nodes: &[NodePart],
    network: Option<IpNet>,
    pool_size: Option<&At<u8>>,
    at: Span,
) {
    names(check, nodes);
    addresses(check, nodes, network);
    // with a role misspelt, "there is no mon" would only be noise
    let roles: Option<Vec<Roles>> = nodes.iter().map(|n| n.roles.as_ref().map(|r| r.it)).collect();
    if let Some(roles) = roles.filter(|r| !r.is_empty()) {
        quorum(check, &roles, at);
        copies(check, nodes, pool_size, at);
    }
}

fn names(check: &mut Check<'_>, nodes: &[NodePart]) {
    let names: Vec<&At<NodeName>> = nodes.iter().filter_map(|n| n.name.as_ref()).collect();
    for (index, name) in names.iter().enumerate() {
        let same = |n: &&&At<NodeName>| n.it.as_str().eq_ignore_ascii_case(name.it.as_str());
        let Some(earlier) = names[..index].iter().find(same) else { continue };
        let line = check.line(earlier.span);
        let message = if earlier.it == name.it {
            format!("the name `{}` is already taken, on line {line}", name.it)
        } else {
            format!("`{}` and `{}` on line {line} differ only in case", name.it, earlier.it)
        };
        check.error(name.span, message, "give every node a name of its own");
    }
}

fn addresses(check: &mut Check<'_>, nodes: &[NodePart], network: Option<IpNet>) {
    let addresses: Vec<&At<IpAddr>> = nodes.iter().filter_map(|n| n.address.as_ref()).collect();
    for (index, address) in addresses.iter().enumerate() {
        if let Some(earlier) = addresses[..index].iter().find(|a| a.it == address.it) {
            let line = check.line(earlier.span);
            check.error(
                address.span,
                format!("the address `{}` is already taken, on line {line}", address.it),
                "give every node its own address",
            );
        }
        if let Some(network) = network {
            let result = within(address.it, network);
            check.note(address.span, result);
        }
    }
}

fn within(address: IpAddr, network: IpNet) -> Result<(), Wrong> {
    if address.is_ipv4() != network.addr().is_ipv4() {
        let (one, other) = if address.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        return Err(Wrong::new(
            format!("`{address}` is {one}, and `cluster.public_network` is {other}"),
            format!("write the node's {other} address in `{network}`, or change the network"),
        ));
    }
    if !network.contains(&address) {
        return Err(Wrong::new(
            format!("`{address}` is outside `cluster.public_network`, which is `{network}`"),
            "write the node's address in that network; an address that only SSH uses goes under the node's `ssh:` as \
             `host`",
        ));
    }
    // networks of one or two addresses have none to spare
    let roomy = network.max_prefix_len() - network.prefix_len() > 1;
    if roomy && address == network.network() {
        return Err(Wrong::new(
            format!("`{address}` is the network's own address"),
            format!("write the node's address in `{network}`"),
        ));
    }
    if roomy && address.is_ipv4() && address == network.broadcast() {
        return Err(Wrong::new(
            format!("`{address}` is the network's broadcast address"),
            format!("write the node's address in `{network}`"),
        ));
    }
    Ok(())
}

fn quorum(check: &mut Check<'_>, roles: &[Roles], at: Span) {
    let mons = roles.iter().filter(|r| r.mon).count();
    if mons == 0 {
        check.error(
            at,
            "no node has the role `mon`",
            "add `mon` to the roles of one node, or better of three",
        );
    } else if mons.is_multiple_of(2) {
        let (less, more) = (mons - 1, mons + 1);
        let message = format!(
            "{mons} mons are no safer than {less}: a majority must be left, so no more of them may fail"
        );
        check.warning(at, message, format!("use an odd number of mons, {less} or {more}"));
    }
    if !roles.iter().any(|r| r.mgr) {
        check.error(
            at,
            "no node has the role `mgr`",
            "add `mgr` to the roles of a node, best one that is a mon too",
        );
    }
}

fn copies(check: &mut Check<'_>, nodes: &[NodePart], pool_size: Option<&At<u8>>, at: Span) {
    let hosts = nodes.iter().filter(|n| n.has_osds).count();
    // a role `osd` without `osds` was told where it stands
    let meant = nodes.iter().any(|n| n.roles.as_ref().is_some_and(|r| r.it.osd));
    if hosts == 0 && !meant {
        check.error(
            at,
            "no node has an OSD: there is nothing to store data on",
            "add `osd` to a node's roles and `osds: [{device: /dev/sdb}]` to the node",
        );
    }
    if let Some(size) = pool_size.filter(|s| hosts > 0 && usize::from(s.it) > hosts) {
        let nodes = if hosts == 1 { "node has" } else { "nodes have" };
        check.error(
            size.span,
            format!("{} copies need as many nodes with OSDs, and {hosts} {nodes} any", size.it),
            format!("write `size: {hosts}`, or give more nodes OSDs"),
        );
    }
}

/// The nodes; `None` if what is required was wrong. Notes two nodes that are the same machine to SSH.
pub(super) fn complete(
    check: &mut Check<'_>,
    parts: Vec<NodePart>,
    defaults: &SshPart,
    known_hosts: &Path,
) -> Option<Vec<Node>> {
    let mut nodes: Vec<(Node, Span)> = Vec::new();
    let mut whole = true;
    for part in parts {
        let (Some(name), Some(address), Some(roles)) = (part.name, part.address, part.roles) else {
            whole = false;
            continue;
        };
        let span = part.ssh.host_span();
        let ssh = ssh::merged(part.ssh, defaults, address.it, known_hosts.to_owned());
        let same = |(n, _): &&(Node, Span)| {
            n.ssh.host == ssh.host && n.ssh.port == ssh.port && n.ssh.jump == ssh.jump
        };
        // two equal addresses are told already; this is about `ssh.host`
        let twin = nodes.iter().find(same).filter(|(n, _)| n.address != address.it);
        if let Some((twin, earlier)) = twin {
            let line = check.line(*earlier);
            check.error(
                span.unwrap_or(address.span),
                format!("SSH would reach `{}` (line {line}) here, not another machine", twin.name),
                "give every node its own `ssh.host`, or its own `ssh.port`",
            );
        }
        let node =
            Node { name: name.it, address: address.it, ssh, roles: roles.it, osds: part.osds };
        nodes.push((node, span.unwrap_or(address.span)));
    }
    whole.then(|| nodes.into_iter().map(|(node, _)| node).collect())
}

/// Whether a node is left to the default `known_hosts` file.
pub(super) fn need_known_hosts(nodes: &[NodePart]) -> bool {
    nodes.iter().any(|n| !n.ssh.names_known_hosts())
}
