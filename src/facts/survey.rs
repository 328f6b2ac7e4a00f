//! What `check` looks at beyond a node's probe: things that no plan depends on and that may stand in its way all the
//! same. Plain data, and the pure parsers of what `host/survey.sh` and `host/connect.sh` print.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Seen;
use crate::inventory::NodeName;

/// What one survey of a node showed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Survey {
    /// All of its memory, in bytes.
    pub memory: Option<u64>,
    /// The MTU of each interface, in bytes, by the kernel's name for it.
    pub mtu: BTreeMap<String, u32>,
    /// Who listens on TCP.
    pub listening: Vec<Listener>,
    /// How full the filesystems are that hold /var/lib/ceph and Docker's folder, by these paths.
    pub space: BTreeMap<String, Space>,
    /// Names of programs that run and keep the clock right, such as `chronyd`.
    pub keepers: BTreeSet<String>,
    /// Paths of sockets of Dockers that run for a single user, on the node.
    pub rootless: Vec<String>,
    /// What Docker says of itself. `None`: it does not answer, or was not asked.
    pub engine: Option<Engine>,
    /// The image in its registry, as seen from here. Absent: there was no need to look.
    pub registry: Option<Seen<Registered>>,
    /// The architecture of the image as the node itself has it, in Docker's words. `None`: it has none, or does not tell.
    pub held: Option<String>,
}

/// A program that listens on a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where; the unspecified address stands for every address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The program's name, where the node tells.
    pub program: Option<String>,
}

impl Listener {
    /// Whether somebody else who wants this address and port does not get them.
    pub fn is_in_the_way(&self, address: IpAddr, port: u16) -> bool {
        // `::` takes the same port of IPv4 too, unless it was told not to
        let all = self.address.is_unspecified() && (self.address.is_ipv6() || address.is_ipv4());
        self.port == port && (all || self.address == address)
    }
}

/// A filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub total: u64,
    /// Bytes that are free to anybody.
    pub free: u64,
}

/// What `docker info` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Engine {
    /// The folder on the node where it keeps images and containers (`DockerRootDir`).
    pub root: String,
    /// `SecurityOptions`: `name=seccomp,profile=builtin`, `name=rootless`, `name=userns` and the like.
    pub security: Vec<String>,
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// The architectures it is there for, in Docker's words (`amd64`). Empty: the registry does not tell.
    pub architectures: BTreeSet<String>,
}

/// A node's clock against this machine's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// How far it is ahead, in seconds.
    pub ahead: f64,
    /// How far off this may be: half the round trip.
    pub within: f64,
}

/// What became of one connection from a node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who connected.
    pub from: NodeName,
    /// To whom.
    pub to: NodeName,
    /// By which of its addresses.
    pub address: IpAddr,
    /// And port.
    pub port: u16,
    /// What became of it.
    pub came: Came,
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Somebody answered.
    Through,
    /// The node answered that nobody listens: its packets pass, for all that can be told.
    Refused,
    /// Neither. The system's word for it.
    Blocked(String),
}

/// How large packets fare from a node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// Who sent them.
    pub from: NodeName,
    /// To whom.
    pub to: NodeName,
    /// By which of its addresses.
    pub address: IpAddr,
    /// Their size in bytes: the sender's MTU.
    pub size: u32,
    /// What became of them.
    pub fare: Fare,
}

/// What became of large packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fare {
    /// They arrive whole.
    Arrive,
    /// Small ones arrive and these do not.
    TooLarge,
    /// The same, and the sender is told so (RFC 8201, RFC 1191): TCP sends smaller ones.
    Told,
    /// Not even small ones are answered.
    Unanswered,
}

/// How the nodes reach each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Paths {
    /// Each connection that was tried.
    pub attempts: Vec<Attempt>,
    /// Each path that large packets were sent along.
    pub large: Vec<Large>,
    /// Nodes from which nothing could be tried, with the reason.
    pub untried: BTreeMap<NodeName, String>,
    /// Nodes that lack a `ping` which can be told not to have packets fragmented.
    pub no_ping: BTreeSet<NodeName>,
    /// Nodes on which nothing could listen for the occasion.
    pub no_listener: BTreeSet<NodeName>,
}

/// Reads the survey. Docker is asked elsewhere.
///
/// # Errors
/// A section that is not known, or an output that was cut off before its end.
pub fn parse(text: &str) -> Result<Survey, String> {
    let mut survey = Survey::default();
    let mut complete = false;
    for section in text.split("\n@@").skip(1) {
        let (name, body) = section.split_once('\n').unwrap_or((section, ""));
        let lines = || body.lines().map(str::trim).filter(|l| !l.is_empty());
        match name {
            "memory" => survey.memory = kib(body.split_ascii_whitespace().next()),
            "mtu" => survey.mtu = lines().filter_map(mtu).collect(),
            "listening" => survey.listening = lines().filter_map(listener).collect(),
            "space" => survey.space = lines().filter_map(space).collect(),
            "keeper" => survey.keepers = lines().map(str::to_owned).collect(),
            "rootless" => survey.rootless = lines().map(str::to_owned).collect(),
            "end" => complete = true,
            _ => return Err(format!("the survey printed an unknown section {name:?}")),
        }
    }
    if complete { Ok(survey) } else { Err("the survey was cut off before its end".into()) }
}

fn kib(word: Option<&str>) -> Option<u64> {
    word?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A line of `ip -o link`: `2: eth0@if3: <BROADCAST,UP> mtu 1500 qdisc …`.
fn mtu(line: &str) -> Option<(String, u32)> {
    let mut words = line.split_ascii_whitespace();
    let interface = words.nth(1)?.trim_end_matches(':');
    let interface = interface.split('@').next().unwrap_or(interface);
    let mtu = words.skip_while(|w| *w != "mtu").nth(1)?.parse().ok()?;
    Some((interface.to_owned(), mtu))
}

/// A line of `PATH KIB KIB`; the path may hold spaces.
fn space(line: &str) -> Option<(String, Space)> {
    let (rest, free) = line.rsplit_once(' ')?;
    let (path, total) = rest.rsplit_once(' ')?;
    Some((path.to_owned(), Space { total: kib(Some(total))?, free: kib(Some(free))? }))
}

/// A line of `ss -Hltnp`, or of /proc/net/tcp and tcp6 where there is no ss.
fn listener(line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    if words.first() == Some(&"LISTEN") {
        let (address, port) = words.get(3)?.rsplit_once(':')?;
        let address = address.trim_matches(['[', ']']).split(['%', ']']).next()?;
        let address = match address {
            "*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            address => address.parse().ok()?,
        };
        let program = line.split_once("users:((\"").and_then(|(_, rest)| rest.split_once('"'));
        let program = program.map(|(name, _)| name.to_owned());
        return Some(Listener { address, port: port.parse().ok()?, program });
    }
    // `0: 0100007F:0CE4 00000000:0000 0A …`, 0A being LISTEN (linux/include/net/tcp_states.h)
    let (address, port) = words.get(1)?.split_once(':')?;
    if words.get(3) != Some(&"0A") {
        return None;
    }
    let address = hex_address(address)?;
    Some(Listener { address, port: u16::from_str_radix(port, 16).ok()?, program: None })
}

/// Words of four bytes each, in the order of a little-endian processor.
fn hex_address(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| {
        let word = u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok()?;
        Some(word.to_le_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = (0..4).map(word).collect::<Option<Vec<_>>>()?.concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
        }
        _ => None,
    }
}

/// What `host/connect.sh` printed on a node: lines `through`, `refused` or `blocked`, `ping`, and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connected {
    /// Address, port, and what became of the connection.
    pub came: Vec<(IpAddr, u16, Came)>,
    /// Address, and what became of large packets.
    pub fare: Vec<(IpAddr, Fare)>,
    /// Nothing on it can connect.
    pub unable: bool,
    /// It has no `ping` that will do.
    pub no_ping: bool,
    /// It got to its end.
    pub complete: bool,
}

/// Reads it. Lines of any other kind are passed over.
pub fn connected(text: &str) -> Connected {
    let mut all = Connected::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        let address = words.next().and_then(|w| w.parse::<IpAddr>().ok());
        match (kind, address) {
            ("unable", _) => all.unable = true,
            ("no-ping", _) => all.no_ping = true,
            ("end", _) => all.complete = true,
            ("ping", Some(address)) => match words.next() {
                Some("large") => all.fare.push((address, Fare::Arrive)),
                Some("told") => all.fare.push((address, Fare::Told)),
                Some("small") => all.fare.push((address, Fare::TooLarge)),
                Some("none") => all.fare.push((address, Fare::Unanswered)),
                _ => {}
            },
            ("through" | "refused" | "blocked", Some(address)) => {
                let Some(port) = words.next().and_then(|w| w.parse().ok()) else { continue };
                let came = match kind {
                    "through" => Came::Through,
                    "refused" => Came::Refused,
                    _ => Came::Blocked(words.collect::<Vec<_>>().join(" ")),
                };
                all.came.push((address, port, came));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_survey() {
        let text = "\n@@memory\n16384 kB\n\n@@mtu\n1: lo: <LOOPBACK> mtu 65536 qdisc noqueue\n\
            2: eth0@if3: <UP> mtu 1500 qdisc noqueue\n0: wlan0: mtu 9000\n\n@@listening\n\
            LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=7,fd=3))\n\
            LISTEN 0 512 [::]:6789 [::]:*\n\
            LISTEN 0 512 *:3300 *:* users:((\"ceph-mon\",pid=8,fd=3))\n\
            LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*\n\
            \n@@space\n/var/lib/ceph 1000 400\n/srv/my docker 10 5\n\n@@keeper\nchronyd\n\
            \n@@rootless\n/run/user/1000/docker.sock\n\n@@end\n";
        let survey = parse(text).unwrap();
        assert_eq!(survey.memory, Some(16 << 20));
        assert_eq!((survey.mtu["eth0"], survey.mtu["wlan0"]), (1500, 9000));
        let ports: Vec<u16> = survey.listening.iter().map(|l| l.port).collect();
        assert_eq!(ports, [22, 6789, 3300, 53]);
        assert_eq!(survey.listening[2].program.as_deref(), Some("ceph-mon"));
        assert_eq!(survey.listening[1].program, None);
        assert_eq!(survey.space["/srv/my docker"], Space { total: 10240, free: 5120 });
        assert!(survey.keepers.contains("chronyd"));
        assert_eq!(survey.rootless, ["/run/user/1000/docker.sock"]);
        assert!(parse("\n@@memory\n1 kB\n").is_err());
    }

    #[test]
    fn without_ss_the_kernel_is_read() {
        let head =
            "sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
        let four = "0: 2903200A:1A85 00000000:0000 0A 00000000:00000000 00:00000000";
        let six =
            "1: 00000000000000000000000000000000:0CE4 00000000000000000000000000000000:0000 0A 0:0";
        let open = "2: 2903200A:0016 0103200A:9C40 01 00000000:00000000";
        let text = format!("\n@@listening\n{head}\n{four}\n{six}\n{open}\n\n@@end\n");
        let listening = parse(&text).unwrap().listening;
        let seen: Vec<_> = listening.iter().map(|l| (l.address.to_string(), l.port)).collect();
        assert_eq!(seen, [("10.32.3.41".into(), 6789), ("::".into(), 3300)]);
    }

    #[test]
    fn who_is_in_the_way() {
        let at = |address: &str| Listener {
            address: address.parse().unwrap(),
            port: 3300,
            program: None,
        };
        let mine: IpAddr = "10.32.3.41".parse().unwrap();
        for (address, expected) in
            [("10.32.3.41", true), ("0.0.0.0", true), ("::", true), ("127.0.0.1", false)]
        {
            assert_eq!(at(address).is_in_the_way(mine, 3300), expected, "{address}");
        }
        assert!(!at("0.0.0.0").is_in_the_way("fd00::1".parse().unwrap(), 3300));
        assert!(!at("10.32.3.41").is_in_the_way(mine, 6789));
    }

    #[test]
    fn what_became_of_connections() {
        let text = "through 10.0.0.2 3300\nrefused fd00::2 6800\nblocked 10.0.0.2 6789 No route to host\n\
            ping 10.0.0.2 small\nping fd00::2 told\nno-ping\nrubbish\nblocked nobody 1\nend\n";
        let seen = connected(text);
        assert_eq!(seen.came.len(), 3);
        assert_eq!(seen.came[2].2, Came::Blocked("No route to host".into()));
        let fare = |address: &str, fare| (address.parse().unwrap(), fare);
        assert_eq!(seen.fare, [fare("10.0.0.2", Fare::TooLarge), fare("fd00::2", Fare::Told)]);
        assert!(seen.no_ping && seen.complete && !seen.unable);
    }

    proptest::proptest! {
        #[test]
        fn rubbish_is_no_reason_to_fall_over(text in "(\\PC|\n|@@|listening|space| |:|[0-9A-F]){0,80}") {
            drop(parse(&format!("\n@@listening\n{text}\n@@space\n{text}\n@@end\n")));
            drop(connected(&text));
        }
    }
}
