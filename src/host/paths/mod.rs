//! How the nodes reach each other, tried for real: every node connects to every other on the ports that Ceph uses, and
//! sends it packets as large as its network card takes.
//!
//! For the occasion something listens on these ports. It writes nothing, and is gone when this process lets go of it or
//! dies (sshd closes its stdin), or else after [`ALIVE`]. It never accepts: the kernel answers for it. Where a daemon
//! listens already that one answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::node::Node;
use super::{Fleet, HostError};
use crate::check::paths::Way;
use crate::facts::survey::{Attempt, Connected, Large, Paths, connected};
use crate::inventory::NodeName;

const LISTEN: &str = include_str!("listen.sh");
const LISTEN_PYTHON: &str = include_str!("listen.py");
const LISTEN_PERL: &str = include_str!("listen.pl");
const CONNECT: &str = include_str!("connect.sh");
const CONNECT_PYTHON: &str = include_str!("connect.py");
const CONNECT_PERL: &str = include_str!("connect.pl");

/// What listens is gone after this, whatever happens.
const ALIVE: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(10);
/// A connection that is not made within this is not made: TCP has asked twice by then.
const CONNECTING: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(45);

/// An IP and an ICMP header: what a packet holds beside its payload.
const HEADERS_V4: u32 = 28;
const HEADERS_V6: u32 = 48;

impl Fleet<Node> {
    /// Goes all these ways at once.
    pub async fn go(&self, ways: &[Way]) -> Paths {
        let mut paths = Paths::default();
        let held = self.listen(ways, &mut paths).await;
        let from: BTreeSet<&NodeName> = ways.iter().map(|w| &w.from).collect();
        let tries = from.into_iter().filter_map(|from| Some((from, self.get(from)?)));
        let tries = tries.map(|(from, host)| async move {
            let own: Vec<&Way> = ways.iter().filter(|w| &w.from == from).collect();
            (from, host.connect(&own).await, own)
        });
        for (from, connected, ways) in futures_util::future::join_all(tries).await {
            match connected {
                Ok(connected) => note(&mut paths, from, &connected, &ways),
                Err(error) => {
                    paths.untried.insert(from.clone(), error.sentence());
                }
            }
        }
        drop(held);
        paths
    }

    /// Has all targets listen. They do until the streams are dropped.
    async fn listen(&self, ways: &[Way], paths: &mut Paths) -> Vec<UnixStream> {
        let mut targets: BTreeMap<&NodeName, BTreeSet<(IpAddr, u16)>> = BTreeMap::new();
        for way in ways {
            let ports = way.ports.iter().map(|port| (way.address, *port));
            targets.entry(&way.to).or_default().extend(ports);
        }
        let hosts = targets.iter().filter_map(|(name, at)| Some((*name, self.get(name)?, at)));
        let listen = hosts.map(|(name, host, at)| async move { (name, host.listen(at).await) });
        let mut held = Vec::new();
        for (name, listening) in futures_util::future::join_all(listen).await {
            match listening {
                Some(stream) => held.push(stream),
                None => {
                    paths.no_listener.insert(name.clone());
                }
            }
        }
        held
    }
}

fn note(paths: &mut Paths, from: &NodeName, tried: &Connected, ways: &[&Way]) {
    let to = |address: &IpAddr| ways.iter().find(|w| w.address == *address);
    if tried.unable {
        let why = "it has none of python3, perl and bash to connect with";
        paths.untried.insert(from.clone(), why.into());
    } else if !tried.complete {
        paths.untried.insert(from.clone(), "its answer was cut off".into());
    }
    if tried.no_ping {
        paths.no_ping.insert(from.clone());
    }
    for (address, port, came) in &tried.came {
        let Some(way) = to(address) else { continue };
        let (from, to, came) = (from.clone(), way.to.clone(), came.clone());
        paths.attempts.push(Attempt { from, to, address: *address, port: *port, came });
    }
    for (address, fare) in &tried.fare {
        let Some((way, size)) = to(address).and_then(|w| Some((w, w.mtu?))) else { continue };
        let (from, to) = (from.clone(), way.to.clone());
        paths.large.push(Large { from, to, address: *address, size, fare: *fare });
    }
}

impl Node {
    /// `None`: nothing on the node can listen.
    async fn listen(self: &Arc<Self>, at: &BTreeSet<(IpAddr, u16)>) -> Option<UnixStream> {
        let mut command = String::from("exec sh -c");
        let seconds = ALIVE.as_secs().to_string();
        for word in [LISTEN, "sh", LISTEN_PYTHON, LISTEN_PERL, &seconds] {
            write!(command, " {}", shlex::try_quote(word).ok()?).ok()?;
        }
        for (address, port) in at {
            write!(command, " {address} {port}").ok()?;
        }
        let io = self.session().ok()?.exec(&command).await.ok()?.io;
        let mut lines = BufReader::new(io).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                match line.as_str() {
                    "ready" => return true,
                    "unable" => return false,
                    _ => {}
                }
            }
            false
        };
        let ready = tokio::time::timeout(READY, ready).await.unwrap_or(false);
        ready.then(|| lines.into_inner().into_inner())
    }

    async fn connect(&self, ways: &[&Way]) -> Result<Connected, HostError> {
        let (mut to, mut pings) = (String::new(), String::new());
        for way in ways {
            for port in &way.ports {
                write!(to, "{} {port} ", way.address).unwrap_or_default();
            }
            let headers = if way.address.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
            if let Some(payload) = way.mtu.and_then(|mtu| mtu.checked_sub(headers)) {
                write!(pings, "{} {payload} ", way.address).unwrap_or_default();
            }
        }
        let mut script = String::new();
        let seconds = CONNECTING.as_secs().to_string();
        for (name, value) in [
            ("PYTHON", CONNECT_PYTHON),
            ("PERL", CONNECT_PERL),
            ("SECONDS_EACH", &seconds),
            ("TO", &to),
            ("PINGS", &pings),
        ] {
            let value = shlex::try_quote(value).unwrap_or_default();
            writeln!(script, "{name}={value}").unwrap_or_default();
        }
        script.push_str(CONNECT);
        let output = self.shell("sh -s", script.as_bytes(), DEADLINE).await?;
        Ok(connected(&String::from_utf8_lossy(&output)))
    }
}
