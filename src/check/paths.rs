//! From every node to every other: which ways there are to try, and what is to be said of those that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::net::MON_PORTS;
use super::{Evidence, Found, listed};
use crate::facts::survey::{Came, Fare, Survey};
use crate::facts::{Facts, NodeFacts, Seen};
use crate::inventory::{AutoOff, Inventory, Node, NodeName};

/// A few of `ms_bind_port_min` to `ms_bind_port_max`, of which mgrs and OSDs take free ones: the first, one in the
/// middle, the last. A firewall may let in a range that ends too early.
const OTHER_PORTS: [u16; 3] = [6800, 7050, 7300];
/// The same, for a rule.
const OTHER_RANGE: &str = "6800-7300";

/// A way from a node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Who connects.
    pub from: NodeName,
    /// To whom.
    pub to: NodeName,
    /// By which of its addresses.
    pub address: IpAddr,
    /// And ports.
    pub ports: Vec<u16>,
    /// The size in bytes of the large packets that are sent: no more than either end's network card takes, for that is what TCP agrees on.
    pub mtu: Option<u32>,
}

/// All ways between the nodes that were seen: to daemons on the public network from everywhere, and between OSDs on
/// the cluster network. A node without daemons is nobody's target.
pub fn ways(
    want: &Inventory,
    facts: &Facts,
    surveys: &BTreeMap<NodeName, Seen<Survey>>,
) -> Vec<Way> {
    let seen: Vec<(&Node, &NodeFacts)> =
        want.nodes.iter().filter_map(|n| Some((n, facts.node(&n.name)?))).collect();
    let mtu = |node: &Node, facts: &NodeFacts, address: IpAddr| {
        let interface = facts.firewall.interfaces.get(&address)?;
        surveys.get(&node.name)?.value()?.mtu.get(interface).copied()
    };
    let mut ways = Vec::new();
    for (to, to_facts) in &seen {
        for (from, from_facts) in seen.iter().filter(|(from, _)| from.name != to.name) {
            let mut add = |address: IpAddr, own: IpAddr, ports: Vec<u16>| {
                let ends = [mtu(from, from_facts, own), mtu(to, to_facts, address)];
                let mtu = ends.into_iter().collect::<Option<Vec<u32>>>();
                let mtu = mtu.and_then(|ends| ends.into_iter().min());
                let (from, to) = (from.name.clone(), to.name.clone());
                ways.push(Way { from, to, address, ports, mtu });
            };
            let ports = ports_of(to);
            if !ports.is_empty() && to_facts.addresses.contains(&to.address) {
                add(to.address, from.address, ports);
            }
            let inside = want.cluster.cluster_network.filter(|_| from.roles.osd && to.roles.osd);
            let in_it = |facts: &NodeFacts| {
                facts.addresses.iter().copied().find(|a| inside.is_some_and(|n| n.contains(a)))
            };
            if let (Some(address), Some(own)) = (in_it(to_facts), in_it(from_facts)) {
                add(address, own, OTHER_PORTS.to_vec());
            }
        }
    }
    ways
}

fn ports_of(node: &Node) -> Vec<u16> {
    let mut ports = Vec::new();
    if node.roles.mon {
        ports.extend(MON_PORTS);
    }
    if node.roles.mgr || node.roles.osd {
        ports.extend(OTHER_PORTS);
    }
    ports
}

/// Ports of one address of a node that some others cannot connect to.
#[derive(Default)]
struct Shut {
    ports: BTreeSet<u16>,
    from: BTreeSet<NodeName>,
    said: BTreeSet<String>,
}

pub(super) fn connections(evidence: &Evidence) -> Vec<Found> {
    let Some(paths) = &evidence.paths else { return Vec::new() };
    let mut found = Vec::new();
    for (node, why) in &paths.untried {
        found.push(
            Found::unchecked(node, format!("whether it reaches the others was not tried: {why}"))
                .why("daemons and clients on it have to reach every mon and OSD")
                .fix("install python3 on it, or try by hand: `nc -vz ADDRESS 3300`"),
        );
    }
    // what `up` opens and what it does not are told apart
    let mut shut: BTreeMap<(&NodeName, IpAddr, bool), Shut> = BTreeMap::new();
    let mut guessed = BTreeSet::new();
    for attempt in &paths.attempts {
        let said = match &attempt.came {
            Came::Through => continue,
            Came::Refused => {
                if paths.no_listener.contains(&attempt.to) {
                    guessed.insert(&attempt.to);
                    continue;
                }
                "connection refused"
            }
            Came::Blocked(said) => said.as_str(),
        };
        let from = evidence.want.node(&attempt.from).map(|n| n.address);
        let rules = evidence.obstacles.opens.get(&attempt.to);
        let opens = from.is_some_and(|from| {
            let mut rules = rules.into_iter().flatten();
            rules.any(|r| r.network.contains(&from) && within(&r.ports, attempt.port))
        });
        let shut = shut.entry((&attempt.to, attempt.address, opens)).or_default();
        shut.ports.insert(attempt.port);
        shut.from.insert(attempt.from.clone());
        shut.said.insert(said.to_owned());
    }
    for ((to, address, opens), shut) in shut {
        let what = format!(
            "{} cannot connect to {} of {address}: {}",
            listed(&shut.from),
            listed(&shut.ports),
            listed(&shut.said)
        );
        found.push(if opens {
            Found::note(to, what)
                .why("its firewall keeps them out")
                .fix("nothing: `cephdock up` opens these ports to the networks of the inventory")
        } else {
            Found::fail(to, what)
                .why("its daemons have to be reached there by every node")
                .fix(how_to_open(evidence, to))
        });
    }
    for node in guessed {
        found.push(
            Found::note(
                node,
                "neither python3 nor perl is on it, so nothing listened for the test",
            )
            .why("that it refuses connections was taken as a sign that they get there"),
        );
    }
    found
}

/// `3300` or `6800-7300`.
fn within(ports: &str, port: u16) -> bool {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse::<u16>(), last.parse::<u16>());
    first.is_ok_and(|f| f <= port) && last.is_ok_and(|l| port <= l)
}

fn how_to_open(evidence: &Evidence, to: &NodeName) -> String {
    let facts = evidence.facts.node(to);
    let firewall = facts.map(|f| &f.firewall);
    let network = evidence.want.cluster.public_network;
    let mut ports: Vec<String> = Vec::new();
    if let Some(node) = evidence.want.node(to) {
        if node.roles.mon {
            ports.extend(MON_PORTS.map(|p| p.to_string()));
        }
        if node.roles.mgr || node.roles.osd {
            ports.push(OTHER_RANGE.into());
        }
    }
    let ports = ports.join(", ");
    if firewall.is_some_and(crate::facts::FirewallFacts::runs)
        && evidence.want.firewall == AutoOff::Off
    {
        return "`firewall: auto` in the inventory has `cephdock up` open them".into();
    }
    // `nft inet mine in (policy drop)`
    let chain = firewall.and_then(|f| f.blocking(network).next());
    let chain = chain.map(|c| c.split(" (").next().unwrap_or(c));
    match chain.and_then(|c| c.strip_prefix("nft ")) {
        Some(chain) => format!(
            "`nft insert rule {chain} ip{} saddr {network} tcp dport '{{ {ports} }}' accept`, and the same in the file that it comes from",
            if network.addr().is_ipv6() { "6" } else { "" },
        ),
        _ => format!(
            "let {ports}/tcp in from {network}: on it (`nft list ruleset`) and in whatever lies between (security groups, switches)"
        ),
    }
}

/// What the planner says of packet filters; where it was tried and works, it is no matter.
pub(super) fn filters(evidence: &Evidence) -> Vec<Found> {
    let reached = |node: &NodeName| {
        let Some(paths) = &evidence.paths else { return false };
        let mut to = paths.attempts.iter().filter(|a| &a.to == node).peekable();
        to.peek().is_some() && to.all(|a| a.came == Came::Through)
    };
    let mut found = Vec::new();
    for waiting in &evidence.obstacles.firewall {
        let Some(node) = waiting.node.as_ref().filter(|node| !reached(node)) else { continue };
        found.push(Found::note(node, &waiting.what));
    }
    for (node, facts) in evidence.seen().filter(|_| evidence.want.firewall == AutoOff::Auto) {
        use crate::facts::firewall::Running;
        let running = facts.firewall.firewalld.as_ref().map(|f| &f.running);
        if let Some(Running::Silent(why)) = running {
            found.push(
                Found::fail(&node.name, format!("firewalld runs and does not answer ({why})"))
                    .why("ports cannot be opened in it")
                    .fix("`systemctl restart firewalld`; with `firewall: off` in the inventory it is left alone"),
            );
        }
    }
    found
}

pub(super) fn large_packets(evidence: &Evidence) -> Vec<Found> {
    let Some(paths) = &evidence.paths else { return Vec::new() };
    let mut found = Vec::new();
    for node in &paths.no_ping {
        found.push(
            Found::unchecked(node, "it has no `ping` that can send packets of a fixed size")
                .why("large packets that get lost on the way make OSDs time out")
                .fix("`apt install iputils-ping` or `dnf install iputils`, then check again"),
        );
    }
    let mut lost: BTreeMap<(&NodeName, IpAddr, u32), Vec<&NodeName>> = BTreeMap::new();
    let mut told = lost.clone();
    let mut silent: BTreeMap<&NodeName, Vec<&NodeName>> = BTreeMap::new();
    for large in &paths.large {
        match large.fare {
            Fare::Arrive => {}
            Fare::TooLarge => {
                lost.entry((&large.to, large.address, large.size)).or_default().push(&large.from);
            }
            Fare::Told => {
                told.entry((&large.to, large.address, large.size)).or_default().push(&large.from);
            }
            Fare::Unanswered => silent.entry(&large.to).or_default().push(&large.from),
        }
    }
    // the usual MTU below this one; tunnels leave at least so much of the most usual
    let smaller = |size: u32| if size > 1500 { 1500 } else { 1400 };
    for ((to, address, size), from) in lost {
        found.push(
            Found::fail(
                to,
                format!(
                    "packets of {size} bytes, as large as both ends take, get lost on the way from {} to {address}",
                    listed(from)
                ),
            )
            .why("small messages pass and data does not: OSDs time out and nothing says why")
            .fix(format!(
                "have every switch between take {size} bytes, or set a smaller MTU on all nodes (`ip link set dev INTERFACE mtu {}`, and for good)",
                smaller(size)
            )),
        );
    }
    for ((to, address, size), from) in told {
        found.push(
            Found::note(
                to,
                format!(
                    "packets of {size} bytes, as large as both ends take, are too large for the way from {} to {address}, and the sender is told so",
                    listed(from)
                ),
            )
            .why("TCP sends smaller ones, for as long as no firewall keeps these messages (ICMP) from it; Linux remembers them for ten minutes")
            .fix(format!(
                "if it is not meant, have everything between take {size} bytes; otherwise set the MTU of that way on all nodes (`ip link set dev INTERFACE mtu {}`, and for good)",
                smaller(size)
            )),
        );
    }
    for (to, from) in silent {
        found.push(
            Found::unchecked(to, format!("it does not answer the pings of {}", listed(from)))
                .why("whether large packets arrive cannot be told"),
        );
    }
    found
}

/// Different MTUs in one network work, as each end of a TCP connection tells its own; they are seldom meant.
pub(super) fn same_mtu(evidence: &Evidence) -> Vec<Found> {
    let cluster = &evidence.want.cluster;
    let mut found = Vec::new();
    for network in [Some(cluster.public_network), cluster.cluster_network].into_iter().flatten() {
        let mut mtus: BTreeMap<u32, Vec<&NodeName>> = BTreeMap::new();
        for (node, facts) in evidence.seen() {
            let interfaces = facts.firewall.interfaces.iter();
            let interface = interfaces.filter(|(a, _)| network.contains(*a)).map(|(_, i)| i).next();
            let survey = evidence.survey(&node.name);
            let Some(mtu) = interface.and_then(|i| survey?.mtu.get(i)) else { continue };
            mtus.entry(*mtu).or_default().push(&node.name);
        }
        let Some((usual, _)) = mtus.iter().max_by_key(|(mtu, nodes)| (nodes.len(), **mtu)) else {
            continue;
        };
        let usual = *usual;
        for (mtu, nodes) in mtus.iter().filter(|(mtu, _)| **mtu != usual) {
            for node in nodes {
                found.push(
                    Found::note(
                        node,
                        format!("its MTU in {network} is {mtu}, and that of most nodes {usual}"),
                    )
                    .why("where a switch in between drops what is too large, connections hang")
                    .fix(format!("`ip link set dev INTERFACE mtu {usual}`, and for good in the network's configuration")),
                );
            }
        }
    }
    found
}
