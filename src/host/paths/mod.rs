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
        let io = self.session().ok()?.exec(&listen_command(at)).await.ok()?.io;
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
        let output = self.shell("sh -s", connect_script(ways).as_bytes(), DEADLINE).await?;
        Ok(connected(&String::from_utf8_lossy(&output)))
    }
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn listen_command(at: &BTreeSet<(IpAddr, u16)>) -> String {
    let mut command = String::from("exec sh -c");
    let seconds = ALIVE.as_secs().to_string();
    for word in [LISTEN, "sh", LISTEN_PYTHON, LISTEN_PERL, &seconds] {
        command.push(' ');
        command.push_str(&quoted(word));
    }
    for (address, port) in at {
        write!(command, " {address} {port}").unwrap_or_default();
    }
    command
}

fn connect_script(ways: &[&Way]) -> String {
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
        writeln!(script, "{name}={}", quoted(value)).unwrap_or_default();
    }
    script + CONNECT
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::facts::survey::Came;

    /// A shell that finds these programs and hardly any other.
    fn shell(only: &[&str], folder: &Path) -> Command {
        for program in only {
            // the system's own first: what stands in a user's path may be a script that needs more
            let path = std::env::var_os("PATH").unwrap_or_default();
            let dirs = ["/usr/bin".into(), "/bin".into()].into_iter();
            let found = dirs
                .chain(std::env::split_paths(&path))
                .map(|dir| dir.join(program))
                .find(|path| path.is_file());
            let found = found.unwrap_or_else(|| panic!("this machine has no {program}"));
            std::os::unix::fs::symlink(found, folder.join(program)).unwrap();
        }
        let mut command = Command::new("/bin/sh");
        command.env("PATH", folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn way(address: &str, ports: &[u16]) -> Way {
        let [from, to] = ["B1", "B2"].map(|n| NodeName::new(n).unwrap());
        Way { from, to, address: address.parse().unwrap(), ports: ports.to_vec(), mtu: None }
    }

    /// Whichever program a node has, it tells who answers from who does not.
    #[test]
    fn each_program_connects() {
        let (four, six) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let port = |l: &TcpListener| l.local_addr().unwrap().port();
        let nobody = port(&TcpListener::bind("127.0.0.1:0").unwrap());
        // an address that no machine may be reached at: the kernel itself says no
        let ways = [
            way("127.0.0.1", &[port(&four), nobody]),
            way("::1", &[port(&six)]),
            way("255.255.255.255", &[3300]),
        ];
        let script = connect_script(&ways.iter().collect::<Vec<_>>());
        for only in [&["python3"][..], &["perl"], &["bash", "timeout", "sed"]] {
            let folder = tempfile::tempdir().unwrap();
            let mut child = shell(&[only, &["grep"]].concat(), folder.path())
                .arg("-s")
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            let out = child.wait_with_output().unwrap();
            let seen = connected(&String::from_utf8_lossy(&out.stdout));
            assert!(seen.complete && !seen.unable && seen.no_ping, "{only:?}: {seen:?}");
            let came = |address: &str, port: u16| {
                let address: IpAddr = address.parse().unwrap();
                let came = seen.came.iter().find(|c| (c.0, c.1) == (address, port));
                came.unwrap_or_else(|| panic!("{only:?}: {seen:?}")).2.clone()
            };
            assert_eq!(came("127.0.0.1", port(&four)), Came::Through, "{only:?}");
            assert_eq!(came("::1", port(&six)), Came::Through, "{only:?}");
            assert_eq!(came("127.0.0.1", nobody), Came::Refused, "{only:?}");
            let Came::Blocked(why) = came("255.255.255.255", 3300) else {
                panic!("{only:?}: {seen:?}")
            };
            assert!(!why.is_empty(), "{only:?}");
        }
    }

    /// What `ping` says of a large packet, and of small ones behind it.
    #[test]
    fn packets_that_are_too_large_are_lost_or_told_of() {
        use crate::facts::survey::Fare;
        let folder = tempfile::tempdir().unwrap();
        let ping = "#!/bin/sh\ncase \"$*\" in\n -V) echo ping from iputils 20240905 ;;\n\
             *'-M do'*::1) exit 0 ;;\n *'-M do'*::3) echo '1 packets transmitted, 0 received, +1 errors, 100% packet loss'; exit 1 ;;\n\
             *'-M do'* | *::4) echo '1 packets transmitted, 0 received, 100% packet loss'; exit 1 ;;\nesac\n";
        let path = folder.path().join("ping");
        std::fs::write(&path, ping).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let at = |n: u8| format!("fd00::{n}");
        let ways = [1, 2, 3, 4].map(|n| Way { mtu: Some(1500), ..way(&at(n), &[]) });
        let script = connect_script(&ways.iter().collect::<Vec<_>>());
        assert!(script.contains("fd00::1 1452"), "{script}");
        let mut child = shell(&["grep", "sh"], folder.path()).arg("-s").spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let mut seen = connected(&String::from_utf8_lossy(&out.stdout)).fare;
        seen.sort_by_key(|(address, _)| *address);
        let fares = [Fare::Arrive, Fare::TooLarge, Fare::Told, Fare::Unanswered];
        let expected: Vec<_> = (1..).map(|n| at(n).parse().unwrap()).zip(fares).collect();
        assert_eq!(seen, expected);
    }

    /// Whichever program a node has, it listens until nobody holds its stdin, also beside one that listens already.
    #[test]
    fn each_program_listens_until_it_is_let_go() {
        for only in ["python3", "perl"] {
            let there = TcpListener::bind("127.0.0.1:0").unwrap();
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let at = [there.local_addr().unwrap(), free].map(|a| (a.ip(), a.port()));
            let folder = tempfile::tempdir().unwrap();
            let mut child: Child = shell(&[only, "sh"], folder.path())
                .args(["-c", &listen_command(&at.into())])
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap());
            let mut said = String::new();
            lines.read_line(&mut said).unwrap();
            assert_eq!(said, "ready\n", "{only}");
            assert!(TcpStream::connect(free).is_ok(), "{only}");
            drop(child.stdin.take());
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            assert!(child.wait().unwrap().success(), "{only}: {rest}");
            assert!(TcpStream::connect(free).is_err(), "{only} is still there");
        }
    }

    #[test]
    fn a_node_with_none_of_them_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let out = shell(&["sh"], folder.path())
            .args(["-c", &listen_command(&BTreeSet::new())])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "unable\n");
    }
}
