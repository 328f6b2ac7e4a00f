//! Open ports: which networks get in to which ports of a node, and which rules of ours it lacks or has too many of.
//!
//! In firewalld, every rule goes into the zones that packets from the networks reach anyhow. A zone of our own, bound
//! to the networks, would be simpler, and could lock its user out: a source belongs to one zone only, so packets from
//! there would no longer meet the rules of the zone they met before, such as the one that lets SSH in. Here no
//! interface, source or default changes, and a rule of ours only lets in, after all that the user has written.
//!
//! Each rule goes into both the permanent configuration and what is in force, so that nothing is ever reloaded: a
//! reload drops whatever others have put in at run time, among it what Docker needs for its containers' networks.
//!
//! ufw has one list of rules, and its `allow` overwrites a rule about the same packets, `deny` among them: where the
//! user has one, none of ours is made.

use std::collections::BTreeSet;
use std::net::IpAddr; // a type: nothing is connected to here

use ipnet::IpNet;

use super::action::{FirewallManager, Place, PortsSpec};
use super::fleet::{Fleet, Usable};
use super::reset::Target;
use super::{Action, Lane, Step, Waiting, Why};
use crate::daemon::Kind;
use crate::facts::NodeFacts;
use crate::facts::firewall::{Firewalld, PortRule, Running, Ufw, UfwRule, Zone};
use crate::inventory::{AutoOff, Inventory, Node};

/// Both protocols of the mons.
const MON_PORTS: [&str; 2] = ["3300", "6789"];
/// `ms_bind_port_min` to `ms_bind_port_max`: mgrs and OSDs take free ones of these.
const OTHER_PORTS: &str = "6800-7300";

/// One lane a node, beside that of its files.
pub(super) fn ports(fleet: &Fleet) -> Vec<Lane> {
    if fleet.want.firewall == AutoOff::Off {
        return Vec::new();
    }
    let lane = |node: &Usable| {
        let wanted = wanted(fleet.want, node.node, node.facts);
        let mut steps = Vec::new();
        if let Some(firewalld) = running(node.facts) {
            steps.extend(in_firewalld(node, firewalld, &wanted));
        }
        if let Some(ufw) = node.facts.firewall.ufw.as_ref().filter(|u| u.running == Running::Yes) {
            steps.extend(in_ufw(ufw, &wanted));
        }
        Lane::new(&node.node.name, steps)
    };
    fleet.scope().map(lane).collect()
}

/// What [`close`] gives, for a node that it could be told of.
pub(super) fn undo(_: &Target, node: &Usable) -> Vec<Step> {
    close(node.facts).unwrap_or_default()
}

/// Takes out everything of ours, wherever in a node's firewalls it stands, running or stopped.
///
/// # Errors
/// firewalld runs and says nothing, so nobody knows what is there.
pub fn close(facts: &NodeFacts) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    if let Some(firewalld) = &facts.firewall.firewalld {
        if let Running::Silent(why) = &firewalld.running {
            return Err(silent(why));
        }
        let rules = ours(firewalld).into_iter().map(|(place, rule)| match place {
            Place::Permanent(zone) if firewalld.running == Running::No => {
                (Place::Stopped(zone), rule)
            }
            place => (place, rule),
        });
        steps.extend(step(false, FirewallManager::Firewalld, rules.collect(), Why::NotNeeded));
    }
    if let Some(ufw) = &facts.firewall.ufw {
        let ours = ufw.rules.iter().filter(|r| r.ours);
        let rules = ours.map(|r| (Place::Ufw, r.rule.clone())).collect();
        steps.extend(step(false, FirewallManager::Ufw, rules, Why::NotNeeded));
    }
    Ok(steps)
}

/// A node is left alone while its firewalld says nothing: its daemons might not be reached.
pub(super) fn answers(
    want: &Inventory,
    node: &Node,
    facts: &NodeFacts,
) -> Result<(), (String, String)> {
    let running = facts.firewall.firewalld.as_ref().map(|f| &f.running);
    match running {
        Some(Running::Silent(why))
            if want.firewall == AutoOff::Auto && !kinds(node, facts).is_empty() =>
        {
            let hint = format!(
                "look at `systemctl status firewalld` on {}, restart or stop it, then run the same command again; \
                 with `firewall: off` it is left alone",
                node.name
            );
            Err((silent(why), hint))
        }
        _ => Ok(()),
    }
}

fn silent(why: &str) -> String {
    format!("firewalld runs there and does not answer ({why})")
}

/// What may stand in the way, and is not cephdock's to change.
pub(super) fn waiting(fleet: &Fleet) -> Vec<Waiting> {
    if fleet.want.firewall == AutoOff::Off {
        return Vec::new();
    }
    let well = fleet.cluster().is_some_and(|c| c.health == "HEALTH_OK");
    let mut waiting = Vec::new();
    for node in fleet.scope() {
        let wanted = wanted(fleet.want, node.node, node.facts);
        let firewall = &node.facts.firewall;
        let mut say = |what: String| {
            let node = Some(node.node.name.clone());
            waiting.push(Waiting { node, what, holds_up: false });
        };
        // both networks are of one family
        let blocks: Vec<&str> = firewall.blocking(fleet.want.cluster.public_network).collect();
        if !wanted.is_empty() && !blocks.is_empty() && !firewall.runs() && !well {
            let ports: BTreeSet<&str> = wanted.iter().map(|r| r.ports.as_str()).collect();
            let networks: BTreeSet<String> = wanted.iter().map(|r| r.network.to_string()).collect();
            say(format!(
                "packet filter rules of neither firewalld nor ufw may keep others out: {}; they are left alone, and have to let in {}/tcp from {}",
                blocks.join(", "),
                join(ports.into_iter().map(str::to_owned)),
                join(networks.into_iter()),
            ));
        }
        let rules = firewall.ufw.as_ref().filter(|u| u.running == Running::Yes);
        let rules = rules.map(|u| u.rules.as_slice()).unwrap_or_default();
        let against = |r: &&UfwRule| !r.ours && r.action != "allow" && wanted.contains(&r.rule);
        for rule in rules.iter().filter(against) {
            say(format!("ufw has a rule to {} {}, which is left alone", rule.action, rule.rule));
        }
    }
    waiting
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn running(facts: &NodeFacts) -> Option<&Firewalld> {
    facts.firewall.firewalld.as_ref().filter(|f| f.running == Running::Yes)
}

/// The kinds of daemons that a node shall have, and those it has all the same: what runs is not cut off.
fn kinds(node: &Node, facts: &NodeFacts) -> BTreeSet<Kind> {
    let roles = node.roles;
    let wanted = [(roles.mon, Kind::Mon), (roles.mgr, Kind::Mgr), (roles.osd, Kind::Osd)];
    let containers = facts.docker.up().map(|d| d.containers.as_slice()).unwrap_or_default();
    let there = containers.iter().filter_map(|c| Some(c.ours.as_ref()?.daemon.kind));
    wanted.into_iter().filter(|(role, _)| *role).map(|(_, kind)| kind).chain(there).collect()
}

/// Every port that others have to reach on a node, for each network.
fn wanted(want: &Inventory, node: &Node, facts: &NodeFacts) -> BTreeSet<PortRule> {
    let networks = [Some(want.cluster.public_network), want.cluster.cluster_network];
    let mut ports = BTreeSet::new();
    for kind in kinds(node, facts) {
        match kind {
            Kind::Mon => ports.extend(MON_PORTS),
            Kind::Mgr | Kind::Osd => ports.extend([OTHER_PORTS]),
        }
    }
    let rule = |network| ports.iter().map(move |p| PortRule { network, ports: (*p).to_owned() });
    networks.into_iter().flatten().flat_map(rule).collect()
}

fn in_firewalld(node: &Usable, firewalld: &Firewalld, wanted: &BTreeSet<PortRule>) -> Vec<Step> {
    let mut shall = BTreeSet::new();
    for rule in wanted {
        for zone in zones(node, firewalld, rule.network) {
            if firewalld.live.contains_key(&zone) {
                shall.insert((Place::Live(zone.clone()), rule.clone()));
            }
            shall.insert((Place::Permanent(zone), rule.clone()));
        }
    }
    let ours = ours(firewalld);
    let manager = FirewallManager::Firewalld;
    // what is permanent comes first, in the order of places: cut off after it, the rest is still seen to be missing
    let missing = shall.difference(&ours).cloned().collect();
    let extra = ours.difference(&shall).cloned().collect();
    let steps =
        [step(true, manager, missing, Why::Closed), step(false, manager, extra, Why::NotNeeded)];
    steps.into_iter().flatten().collect()
}

fn step(
    open: bool,
    manager: FirewallManager,
    rules: Vec<(Place, PortRule)>,
    why: Why,
) -> Option<Step> {
    if rules.is_empty() {
        return None;
    }
    let spec = PortsSpec { manager, rules };
    Some(Step::new(if open { Action::OpenPorts(spec) } else { Action::ClosePorts(spec) }, why))
}

/// All rules of ours in firewalld.
fn ours(firewalld: &Firewalld) -> BTreeSet<(Place, PortRule)> {
    let rules = |(name, zone): (&String, &Zone), place: fn(String) -> Place| {
        let name = name.clone();
        zone.rules.clone().into_iter().map(move |rule| (place(name.clone()), rule))
    };
    let permanent = firewalld.permanent.iter().flat_map(|zone| rules(zone, Place::Permanent));
    let live = firewalld.live.iter().flat_map(|zone| rules(zone, Place::Live));
    permanent.chain(live).collect()
}

/// The zones that packets from `network` go through, now or after a restart of firewalld, but for those that let
/// everything in. A zone that a source is bound to comes before that of the interface.
fn zones(node: &Usable, firewalld: &Firewalld, network: IpNet) -> BTreeSet<String> {
    let mut zones = BTreeSet::new();
    for view in [&firewalld.live, &firewalld.permanent] {
        let mut all_of_it = false;
        for (name, zone) in view {
            for source in &zone.sources {
                match address_or_network(source) {
                    Some(source) if source.contains(&network) => all_of_it = true,
                    Some(source) if network.contains(&source) => {}
                    Some(_) => continue,
                    // a set of addresses, or a network card: it may well be one of ours
                    None => {}
                }
                zones.insert(name.clone());
            }
        }
        if !all_of_it {
            let of = |interface: &str| {
                let has = |z: &Zone| z.interfaces.iter().any(|i| same_interface(i, interface));
                let bound = view.iter().find(|(_, zone)| has(zone)).map(|(name, _)| name);
                bound.unwrap_or(&firewalld.default_zone).clone()
            };
            zones.extend(interfaces(node, network).into_iter().map(of));
        }
    }
    let accepts = |name: &String| {
        let views = [&firewalld.live, &firewalld.permanent];
        let mut zones = views.into_iter().filter_map(|view| view.get(name)).peekable();
        zones.peek().is_some() && zones.all(|zone| zone.accepts)
    };
    zones.retain(|name| !accepts(name));
    zones
}

fn address_or_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn same_interface(bound: &str, interface: &str) -> bool {
    match bound.strip_suffix('+') {
        Some(start) => interface.starts_with(start),
        None => bound == interface,
    }
}

/// Interfaces with an address in the network; where there is none, packets from there come to that of the public one.
fn interfaces<'a>(node: &Usable<'a>, network: IpNet) -> BTreeSet<&'a str> {
    let all = &node.facts.firewall.interfaces;
    let within: BTreeSet<&str> =
        all.iter().filter(|(a, _)| network.contains(*a)).map(|(_, i)| i.as_str()).collect();
    if within.is_empty() {
        // one that is not known is in no zone: the default one applies
        [all.get(&node.node.address).map_or("", String::as_str)].into()
    } else {
        within
    }
}

fn in_ufw(ufw: &Ufw, wanted: &BTreeSet<PortRule>) -> Vec<Step> {
    let missing = wanted.iter().filter_map(|rule| {
        let there = ufw.rules.iter().find(|r| &r.rule == rule);
        let place = match there {
            None => Place::Ufw,
            Some(there) if there.ours && (!there.live || there.action != "allow") => {
                Place::UfwAgain
            }
            Some(_) => return None,
        };
        Some((place, rule.clone()))
    });
    let extra = ufw.rules.iter().filter(|r| r.ours && !wanted.contains(&r.rule));
    let extra = extra.map(|r| (Place::Ufw, r.rule.clone())).collect();
    let manager = FirewallManager::Ufw;
    let steps = [
        step(true, manager, missing.collect(), Why::Closed),
        step(false, manager, extra, Why::NotNeeded),
    ];
    steps.into_iter().flatten().collect()
}
