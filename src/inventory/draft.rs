//! An inventory that is made up: from what hosts showed of themselves to a proposal, and from a proposal to text with
//! comments. Pure. What comes out is read back by the inventory's own parser before anybody sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::NodeName;

mod text;

pub use text::text;

/// A host as it is known: looked at, or only named.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Host {
    /// What SSH connects to, as it was given.
    pub ssh_host: String,
    /// Its SSH port, if it is another one than the others'.
    pub ssh_port: Option<u16>,
    /// The login on it, if it is another one than the others'.
    pub ssh_user: Option<String>,
    /// What it calls itself, or shall be called.
    pub name: String,
    /// Its addresses with their networks; those of its own bridges and the like left out.
    pub networks: Vec<IpNet>,
    /// What is on it, for a comment: Docker, kernel, memory.
    pub about: Vec<String>,
    /// Blank disks.
    pub blank: Vec<Disk>,
    /// Disks with something on them.
    pub taken: Vec<Disk>,
    /// Free bytes where an OSD in a file would be.
    pub free: Option<u64>,
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its most stable path on the host.
    pub path: String,
    /// Size, serial number, what is on it, for a comment.
    pub about: String,
}

/// What the user said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wishes {
    /// The public network.
    pub network: Option<IpNet>,
    /// The image.
    pub image: Option<String>,
    /// The login on all hosts.
    pub user: Option<String>,
    /// The SSH port of all hosts.
    pub port: Option<u16>,
    /// The path of a private key, on the operator's machine.
    pub identity_file: Option<String>,
    /// Bastions: `[user@]host[:port]`, several with commas.
    pub jump: Option<String>,
    /// The `known_hosts` file.
    pub known_hosts: Option<String>,
    /// Trust hosts that are new.
    pub accept_new: bool,
    /// These disks for OSDs on every host, whatever was seen.
    pub devices: Vec<String>,
    /// An OSD in a file of this size on every host, as an inventory has it: `20GiB`.
    pub file: Option<String>,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The public network.
    pub network: IpNet,
    /// In the order in which hosts were given.
    pub nodes: Vec<DraftNode>,
}

/// A node of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftNode {
    /// Its name.
    pub name: NodeName,
    /// Its address in the public network.
    pub address: IpAddr,
    /// `mon`, `mgr`, `osd`.
    pub roles: Vec<&'static str>,
    /// Its OSDs.
    pub osds: Vec<DraftOsd>,
    host: Host,
}

/// An OSD of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftOsd {
    /// A disk.
    Device(Disk),
    /// A file of this size, as an inventory has it.
    File(String),
}

/// Mons: one, or three to survive the loss of one.
const MONS: usize = 3;
/// Mgrs: one that works and one that stands by.
const MGRS: usize = 2;
/// An OSD in a file takes a quarter of what is free, and not more than this many GiB.
const FILE_GIB: u64 = 20;
/// The smallest that an inventory takes.
const LEAST_FILE_GIB: u64 = 2;

/// Proposes an inventory.
///
/// # Errors
/// What is not known (a network that all hosts are in, an address in it), and how to tell it.
pub fn propose(hosts: Vec<Host>, wishes: &Wishes) -> Result<Draft, String> {
    if hosts.is_empty() {
        return Err("no host was named".into());
    }
    let network = match wishes.network {
        Some(network) => network.trunc(),
        None => common_network(&hosts)?,
    };
    let names = names(&hosts);
    let addresses = hosts.iter().map(|host| {
        let inside = host.networks.iter().map(IpNet::addr).filter(|a| network.contains(a));
        // the one that SSH uses, if it is one of several
        let ssh = host.ssh_host.parse::<IpAddr>().ok();
        let inside: Vec<IpAddr> = inside.collect();
        let address = inside.iter().find(|a| Some(**a) == ssh).or(inside.first());
        address.copied().ok_or_else(|| {
            format!("{} has no address in {network}: `--network` names another one", host.ssh_host)
        })
    });
    let addresses: Vec<IpAddr> = addresses.collect::<Result<_, _>>()?;
    let mons = if hosts.len() < MONS { 1 } else { MONS };
    let any_disk = !wishes.devices.is_empty() || hosts.iter().any(|h| !h.blank.is_empty());
    let nodes = hosts.into_iter().zip(names).zip(addresses).enumerate();
    let nodes = nodes.map(|(i, ((host, name), address))| {
        let osds = osds(&host, wishes, any_disk);
        let mut roles = Vec::new();
        roles.extend((i < mons).then_some("mon"));
        roles.extend((i < MGRS).then_some("mgr"));
        roles.extend((!osds.is_empty()).then_some("osd"));
        DraftNode { name, address, roles, osds, host }
    });
    let nodes: Vec<DraftNode> = nodes.collect();
    if nodes.iter().all(|n| n.osds.is_empty()) {
        return Err(
            "no host has a blank disk, nor room for an OSD in a file: name disks with `--device`, or `--file 4GiB`"
                .into(),
        );
    }
    Ok(Draft { network, nodes })
}

/// The network that all hosts have an address in; of several the one through which they were reached.
fn common_network(hosts: &[Host]) -> Result<IpNet, String> {
    let of = |host: &Host| host.networks.iter().map(IpNet::trunc).collect::<BTreeSet<_>>();
    let mut common = of(&hosts[0]);
    for host in &hosts[1..] {
        let own = of(host);
        common.retain(|network| own.contains(network));
    }
    // a network of one address is nobody else's
    common.retain(|network| network.prefix_len() < network.max_prefix_len());
    let reached = |network: &&IpNet| {
        let addresses = hosts.iter().filter_map(|h| h.ssh_host.parse::<IpAddr>().ok());
        addresses.into_iter().any(|a| network.contains(&a))
    };
    if let Some(network) = common.iter().find(reached) {
        return Ok(*network);
    }
    match common.len() {
        1 => Ok(common.into_iter().next().expect("there is one")),
        0 => {
            let each: Vec<String> = hosts
                .iter()
                .map(|h| {
                    let networks: Vec<String> = of(h).iter().map(ToString::to_string).collect();
                    format!("{} ({})", h.ssh_host, networks.join(", "))
                })
                .collect();
            Err(format!(
                "the hosts have no network in common: {}; `--network 10.32.3.0/24` names the one that Ceph is to use",
                each.join(", ")
            ))
        }
        _ => {
            let all: Vec<String> = common.iter().map(ToString::to_string).collect();
            Err(format!(
                "the hosts have several networks in common: `--network` names one of {}",
                all.join(", ")
            ))
        }
    }
}

/// Hostnames without their domain, where they are names and nobody else's; else `node1`, `node2`, …
fn names(hosts: &[Host]) -> Vec<NodeName> {
    let short = |host: &Host| {
        let first = if host.name.parse::<IpAddr>().is_ok() { "" } else { &host.name };
        NodeName::new(first.split('.').next().unwrap_or_default()).ok()
    };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for name in hosts.iter().filter_map(short) {
        *seen.entry(name.as_str().to_lowercase()).or_default() += 1;
    }
    let mut given: BTreeSet<String> = seen.keys().cloned().collect();
    let mut name = |(i, host): (usize, &Host)| {
        let own = short(host).filter(|n| seen[&n.as_str().to_lowercase()] == 1);
        own.unwrap_or_else(|| {
            let mut free = (i + 1..).map(|n| format!("node{n}"));
            let free = free.find(|n| !given.contains(n)).expect("there is no end of numbers");
            given.insert(free.clone());
            NodeName::new(&free).expect("letters and digits")
        })
    };
    hosts.iter().enumerate().map(&mut name).collect()
}

fn osds(host: &Host, wishes: &Wishes, any_disk: bool) -> Vec<DraftOsd> {
    let mut osds = Vec::new();
    if wishes.devices.is_empty() {
        if wishes.file.is_none() {
            osds.extend(host.blank.iter().cloned().map(DraftOsd::Device));
        }
    } else {
        let disk = |path: &String| {
            let mut seen = host.blank.iter().chain(&host.taken);
            let about = seen.find(|d| &d.path == path).map(|d| d.about.clone()).unwrap_or_default();
            DraftOsd::Device(Disk { path: path.clone(), about })
        };
        osds.extend(wishes.devices.iter().map(disk));
    }
    if let Some(size) = &wishes.file {
        osds.push(DraftOsd::File(size.clone()));
    } else if !any_disk {
        // a host that was not looked at has room for all that is known
        let gib = host.free.map_or(FILE_GIB, |free| (free / 4) >> 30).min(FILE_GIB);
        if gib >= LEAST_FILE_GIB {
            osds.push(DraftOsd::File(format!("{gib}GiB")));
        }
    }
    osds
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::inventory::file::parse;

    fn host(n: u8) -> Host {
        Host {
            ssh_host: format!("10.32.3.{n}"),
            name: format!("b{n}.example.org"),
            networks: vec![
                format!("10.32.3.{n}/24").parse().unwrap(),
                format!("192.168.7.{n}/24").parse().unwrap(),
            ],
            about: vec!["Docker 26.1.5".into(), "Linux 6.1.0".into()],
            blank: vec![Disk {
                path: format!("/dev/disk/by-id/ata-DISK_S{n}"),
                about: format!("4 TiB, serial S{n}, blank"),
            }],
            taken: vec![Disk {
                path: "/dev/sda".into(),
                about: "a partition table (gpt)\n- evil: true".into(),
            }],
            free: Some(40 << 30),
            ..Host::default()
        }
    }

    /// The draft's text, which the real parser has to take for what was meant.
    fn made(hosts: Vec<Host>, wishes: &Wishes) -> String {
        let draft = propose(hosts, wishes).unwrap();
        let text = text(&draft, wishes);
        let read = parse(&text, Path::new("inventory.yaml"), Some(Path::new("/root")));
        let loaded = read.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        assert_eq!(loaded.warnings, [], "{text}");
        let inventory = loaded.inventory;
        assert_eq!(inventory.cluster.public_network, draft.network);
        for (node, draft) in inventory.nodes.iter().zip(&draft.nodes) {
            assert_eq!((&node.name, node.address), (&draft.name, draft.address));
            assert_eq!(node.osds.len(), draft.osds.len());
            let roles = [("mon", node.roles.mon), ("mgr", node.roles.mgr), ("osd", node.roles.osd)];
            assert!(roles.iter().all(|(role, has)| draft.roles.contains(role) == *has), "{text}");
            assert_eq!(node.ssh.host, draft.host.ssh_host);
        }
        text
    }

    #[test]
    fn three_hosts_with_disks() {
        assert_snapshot!(made((1..=3).map(host).collect(), &Wishes::default()));
    }

    #[test]
    fn everything_that_can_be_wished_for() {
        let wishes = Wishes {
            network: Some("192.168.7.9/24".parse().unwrap()),
            image: Some("r.example:5000/ceph/ceph:v19".into()),
            user: Some("ops".into()),
            port: Some(2222),
            identity_file: Some("~/.ssh/it's mine".into()),
            jump: Some("ops@bastion:22".into()),
            known_hosts: Some("/etc/ssh/known".into()),
            accept_new: true,
            devices: vec!["/dev/sdb".into()],
            file: Some("4GiB".into()),
        };
        let mut hosts: Vec<Host> = (1..=4).map(host).collect();
        hosts[1].ssh_port = Some(22);
        hosts[2].ssh_user = Some("root".into());
        assert_snapshot!(made(hosts, &wishes));
    }

    #[test]
    fn hosts_without_a_blank_disk_try_it_out_in_files() {
        let bare = |n| Host { blank: Vec::new(), ..host(n) };
        let text = made(vec![bare(1), bare(2)], &Wishes::default());
        assert_eq!(text.matches("- file: 10GiB").count(), 2, "{text}");
        assert!(text.contains("size: 2}"), "{text}");
        // one disk is better than any file
        let text = made(vec![bare(1), bare(2), host(3)], &Wishes::default());
        assert!(!text.contains("file:"), "{text}");
        let full = Host { free: Some(3 << 30), ..bare(1) };
        assert!(propose(vec![full], &Wishes::default()).unwrap_err().contains("--device"));
    }

    #[test]
    fn hosts_that_are_only_named() {
        let named = |n: u8| Host {
            ssh_host: format!("10.32.3.{n}"),
            name: format!("B{n}"),
            networks: vec![format!("10.32.3.{n}/32").parse().unwrap()],
            ..Host::default()
        };
        let wishes = Wishes {
            network: Some("10.32.3.0/24".parse().unwrap()),
            devices: vec!["/dev/sdb".into()],
            ..Wishes::default()
        };
        let text = made(vec![named(1), named(2), named(3)], &wishes);
        assert!(text.contains("name: B3") && text.contains("device: /dev/sdb\n"), "{text}");
        assert!(propose(vec![named(1), named(2)], &Wishes::default()).is_err());
    }

    #[test]
    fn hosts_with_ipv6_alone() {
        let six = |n: u8| Host {
            ssh_host: format!("fd00:32::{n}"),
            networks: vec![
                format!("fd00:32::{n}/64").parse().unwrap(),
                format!("fd00:32::{n}9/64").parse().unwrap(),
            ],
            ..host(n)
        };
        let text = made((1..=3).map(six).collect(), &Wishes::default());
        for part in ["public_network: fd00:32::/64\n", "address: 'fd00:32::3'\n", "fd00:99::/64"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("host:"), "{text}");
        // what it proposes to be uncommented is taken
        let with = text.replace("# cluster_network", "cluster_network");
        assert!(parse(&with, Path::new("x.yaml"), Some(Path::new("/root"))).is_ok(), "{with}");
    }

    #[test]
    fn names_are_kept_where_they_are_names_and_given_where_they_are_not() {
        let called = |name: &str| Host { name: name.into(), ..Host::default() };
        let all = ["web.example.org", "DB", "db", "localhost_!", "10.32.3.4", "node4", ""];
        let names = names(&all.map(called));
        let names: Vec<&str> = names.iter().map(NodeName::as_str).collect();
        assert_eq!(names[0], "web");
        assert_eq!(names[1..], ["node2", "node3", "node5", "node6", "node4", "node7"]);
    }

    #[test]
    fn the_network_is_the_one_that_all_are_in() {
        let with = |ssh: &str, networks: &[&str]| Host {
            ssh_host: ssh.into(),
            networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
            ..Host::default()
        };
        let network = |hosts: &[Host]| common_network(hosts).map(|n| n.to_string());
        let two = [
            with("a", &["10.1.0.1/24", "10.2.0.1/24"]),
            with("10.2.0.2", &["10.1.0.2/24", "10.2.0.2/24"]),
        ];
        assert_eq!(network(&two).unwrap(), "10.2.0.0/24");
        let named = [two[0].clone(), Host { ssh_host: "b".into(), ..two[1].clone() }];
        assert!(network(&named).unwrap_err().contains("one of 10.1.0.0/24, 10.2.0.0/24"));
        let none = [with("a", &["10.1.0.1/24"]), with("b", &["10.2.0.1/24"])];
        assert!(network(&none).unwrap_err().contains("b (10.2.0.0/24)"));
        let six = [with("a", &["fd00::1/64"]), with("b", &["fd00::2/64"])];
        assert_eq!(network(&six).unwrap(), "fd00::/64");
    }
}
