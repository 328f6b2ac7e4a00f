//! The firewall of a node: which one runs, and which of its rules are cephdock's. [`parse`] reads it from what
//! `host/probe.sh` prints.
//!
//! A rule of ours is known by its looks alone. In firewalld it has the priority [`PRIORITY`], which nobody else has a
//! reason to use: rich rules have no comments, and a service or policy of an own name cannot be defined at run time.
//! In ufw it has the comment [`COMMENT`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The priority of a rich rule of ours, in firewalld 0.7 and later. Above 0, a rule is looked at after all of the zone's
/// plain ones and just before its default: what a user refuses stays refused.
pub const PRIORITY: i16 = 6789;
/// The comment of a ufw rule of ours.
pub const COMMENT: &str = "cephdock";
mod parse;

pub(super) use parse::{interfaces, section};

/// What filters a node's incoming packets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirewallFacts {
    /// firewalld, where it runs or has files.
    pub firewalld: Option<Firewalld>,
    /// ufw, where it runs or has rules.
    pub ufw: Option<Ufw>,
    /// Chains on input of nobody known that end in dropping or rejecting, such as `nft inet mine in (policy drop)` or
    /// `ip6tables INPUT (policy drop)`. Only looked for where neither firewalld nor ufw runs.
    pub blocks: Vec<String>,
    /// The interface of each address.
    pub interfaces: BTreeMap<IpAddr, String>,
}

impl FirewallFacts {
    /// Whether firewalld or ufw runs, answering or not.
    pub fn runs(&self) -> bool {
        let firewalld = self.firewalld.as_ref().map(|f| &f.running);
        let ufw = self.ufw.as_ref().map(|u| &u.running);
        [firewalld, ufw].into_iter().flatten().any(|running| *running != Running::No)
    }

    /// Those of [`blocks`](Self::blocks) that packets from `network` may go through: there are chains of one family.
    pub fn blocking(&self, network: IpNet) -> impl Iterator<Item = &str> {
        let others = if network.addr().is_ipv4() {
            ["nft ip6 ", "ip6tables "]
        } else {
            ["nft ip ", "iptables "]
        };
        let passes = move |chain: &&str| !others.iter().any(|other| chain.starts_with(other));
        self.blocks.iter().map(String::as_str).filter(passes)
    }
}

/// Whether a firewall runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Running {
    /// It is stopped, or was never started.
    #[default]
    No,
    /// It runs and answers.
    Yes,
    /// It runs and could not be asked; the text says why.
    Silent(String),
}

/// firewalld on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Firewalld {
    /// Whether it runs.
    pub running: Running,
    /// The zone of what belongs to no other.
    pub default_zone: String,
    /// What is in force, by zone; all zones there are. Empty unless it runs.
    pub live: BTreeMap<String, Zone>,
    /// What will be in force after a reload: the zones that /etc/firewalld/zones changes. The others are as shipped,
    /// without interfaces, sources and rules of ours.
    pub permanent: BTreeMap<String, Zone>,
}

/// One of firewalld's zones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zone {
    /// Interfaces bound to it; a `+` at the end stands for any further letters.
    pub interfaces: Vec<String>,
    /// Sources bound to it: networks, addresses, MAC addresses, `ipset:NAME`.
    pub sources: Vec<String>,
    /// It lets everything in.
    pub accepts: bool,
    /// Rules of ours.
    pub rules: BTreeSet<PortRule>,
}

/// TCP ports that are open to a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRule {
    /// Where connections come from.
    pub network: IpNet,
    /// A port or a range: `3300`, `6800-7300`.
    pub ports: String,
}

impl PortRule {
    /// The rich rule, exactly as firewalld writes it.
    pub fn rich(&self) -> String {
        let Self { network, ports } = self;
        let family = if network.addr().is_ipv4() { "ipv4" } else { "ipv6" };
        format!(
            r#"rule priority="{PRIORITY}" family="{family}" source address="{network}" port port="{ports}" protocol="tcp" accept"#
        )
    }

    /// The words that stand for it after `ufw allow` and `ufw delete allow`, but for the comment.
    pub fn ufw(&self) -> String {
        let Self { network, ports } = self;
        format!("proto tcp from {network} to any port {}", ports.replace('-', ":"))
    }

    fn parse(network: &str, ports: &str) -> Option<Self> {
        Some(Self { network: network.parse().ok()?, ports: ports.replace(':', "-") })
    }
}

impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/tcp from {}", self.ports, self.network)
    }
}

/// ufw on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ufw {
    /// Whether it is enabled and its chains are in the kernel. It never falls silent: it is no daemon.
    pub running: Running,
    /// Every rule about one port or range of TCP from a network to any address of this node, whoever made it.
    pub rules: Vec<UfwRule>,
}

/// A rule of ufw's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UfwRule {
    /// What it is about.
    pub rule: PortRule,
    /// `allow`, `deny`, `reject`, `limit`.
    pub action: String,
    /// It has our comment.
    pub ours: bool,
    /// It is in the kernel too.
    pub live: bool,
}
