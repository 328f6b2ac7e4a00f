//! `init`: writes an inventory, from what hosts show of themselves, from options, or by asking.

use std::io::{IsTerminal, Write as _};
use std::path::Path;

use ipnet::IpNet;
use serde::Serialize;

use super::{Exit, Session, look};
use crate::cli::{Global, Init};
use crate::facts::{DiskContent, DiskFact, Docker, NodeFacts, Seen};
use crate::inventory::draft::{self, Disk, Draft, DraftOsd, Host, Wishes};
use crate::inventory::file::{self, Loaded};
use crate::inventory::{Jump, NodeName, OsdSpec};
use crate::plan::size;
use crate::report::{Failure, Look, Screen, Stream};

pub(super) async fn run(global: &Global, options: Init) -> Exit {
    let look = look(global);
    match made(&global.inventory, look, options).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn made(path: &Path, look: Look, options: Init) -> Result<Exit, Exit> {
    // before anybody is asked or logged in to
    if path.symlink_metadata().is_ok() {
        return Err(is_there(look, path));
    }
    let asked = options.scan.is_empty() && options.node.is_empty();
    let (mut wishes, scan, nodes) = wishes(options);
    let hosts = if asked {
        let scan = ask(look, &mut wishes)?;
        scanned(path, look, &scan, &wishes).await?
    } else if scan.is_empty() {
        nodes.iter().map(|n| named(look, n)).collect::<Result<_, _>>()?
    } else {
        scanned(path, look, &scan, &wishes).await?
    };
    let draft = match draft::propose(hosts.clone(), &wishes) {
        // of several networks the user knows which one it is
        Err(why) if asked && wishes.network.is_none() => {
            look.print_error(&why);
            let answer = question(look, "The network for Ceph, such as 10.32.3.0/24:")?;
            wishes.network =
                Some(answer.parse::<IpNet>().map_err(|e| usage(look, e.to_string(), ""))?);
            draft::propose(hosts, &wishes)
        }
        draft => draft,
    };
    let draft = draft.map_err(|why| usage(look, why, "nothing was written"))?;
    let text = draft::text(&draft, &wishes);
    // what is written is what `check` and `up` take
    read(path, look, &text)?;
    write(path, &text).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => is_there(look, path),
        _ => usage(look, format!("{} cannot be written: {error}", path.display()), ""),
    })?;
    say(look, path, &draft);
    Ok(Exit::Done)
}

fn wishes(options: Init) -> (Wishes, Vec<String>, Vec<String>) {
    let Init {
        scan,
        node,
        network,
        device,
        file,
        image,
        ssh_user,
        ssh_port,
        ssh_key,
        ssh_jump,
        known_hosts,
        accept_new,
    } = options;
    let wishes = Wishes {
        network,
        image,
        user: ssh_user,
        port: ssh_port,
        identity_file: ssh_key,
        jump: ssh_jump,
        known_hosts,
        accept_new,
        devices: device,
        file,
    };
    (wishes, scan, node)
}

fn is_there(look: Look, path: &Path) -> Exit {
    usage(
        look,
        format!("{} is there already, and nothing is ever written over it", path.display()),
        "name another file with `-i`, or move that one away",
    )
}

fn usage(look: Look, what: String, hint: &str) -> Exit {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    look.print_failure(&Failure { what, hint, ..Failure::default() });
    Exit::Usage
}

fn ask(look: Look, wishes: &mut Wishes) -> Result<Vec<String>, Exit> {
    if !std::io::stdin().is_terminal() {
        return Err(usage(
            look,
            "no host was named, and there is nobody to ask".into(),
            "`cephdock init --scan HOST...` looks at hosts, `--node NAME=ADDRESS` takes your word for them",
        ));
    }
    let hosts = question(look, "Hosts to look at, [USER@]HOST[:PORT] each:")?;
    let hosts: Vec<String> =
        hosts.split([' ', ',']).filter(|h| !h.is_empty()).map(str::to_owned).collect();
    if hosts.is_empty() {
        return Err(usage(
            look,
            "no host was named".into(),
            "such as `root@10.32.3.147`; `--node NAME=ADDRESS` takes your word for one",
        ));
    }
    if wishes.user.is_none() {
        let user = question(look, "The login on them [root, or what ~/.ssh/config says]:")?;
        wishes.user = (!user.is_empty()).then_some(user);
    }
    Ok(hosts)
}

fn question(look: Look, question: &str) -> Result<String, Exit> {
    let answer = look.ask(question).ok_or(Exit::Stopped)?;
    Ok(answer.trim().to_owned())
}

/// `NAME=ADDRESS`.
fn named(look: Look, text: &str) -> Result<Host, Exit> {
    let parts = text.split_once('=').and_then(|(name, address)| {
        Some((NodeName::new(name).ok()?, address.parse::<std::net::IpAddr>().ok()?))
    });
    let Some((name, address)) = parts else {
        let hint = "such as `--node B1=10.32.3.147`";
        return Err(usage(look, format!("{text:?} is no NAME=ADDRESS"), hint));
    };
    Ok(Host {
        ssh_host: address.to_string(),
        name: name.to_string(),
        networks: vec![address.into()],
        ..Host::default()
    })
}

/// Logs in to the hosts and looks at them. All of them have to be reached: what is not seen cannot be proposed.
async fn scanned(
    path: &Path,
    look: Look,
    scan: &[String],
    wishes: &Wishes,
) -> Result<Vec<Host>, Exit> {
    let mut hosts = Vec::new();
    for text in scan {
        let host = Jump::parse(text).map_err(|_| {
            usage(look, format!("{text:?} is no host"), "write `HOST`, or `USER@HOST:PORT`")
        })?;
        hosts.push(Host {
            ssh_host: host.host,
            ssh_port: host.port,
            ssh_user: host.user,
            ..Host::default()
        });
    }
    let session = Session::open(to_look_at(path, look, &hosts, wishes)?, look, true).await;
    let seen = session.fleet.look().await;
    let names: Vec<NodeName> = session.want.nodes.iter().map(|n| n.name.clone()).collect();
    session.close().await;
    let mut failed = false;
    for (host, name) in hosts.iter_mut().zip(&names) {
        match seen.get(name) {
            Some(Seen::Value(facts)) => describe(host, facts),
            Some(Seen::Unknown(why)) => {
                failed = true;
                look.print_failure(&Failure {
                    what: format!("{}: {why}", host.ssh_host),
                    ..Failure::default()
                });
            }
            Some(Seen::Absent) | None => failed = true,
        }
    }
    if failed { Err(Exit::Failed) } else { Ok(hosts) }
}

/// Every disk of a host (`host/probe.sh`).
const ALL_DISKS: &str = "all";

/// The hosts as an inventory, read by its own parser so that they are logged in to as they will be. The addresses are
/// ones that nobody has (RFC 5737): they are what is to be found out.
fn to_look_at(path: &Path, look: Look, hosts: &[Host], wishes: &Wishes) -> Result<Loaded, Exit> {
    let stand_in = |(i, host): (usize, &Host)| {
        let address = std::net::Ipv4Addr::from(0xc000_0200_u32 + u32::try_from(i).unwrap_or(0) + 1);
        Host { networks: vec![std::net::IpAddr::V4(address).into()], ..host.clone() }
    };
    let hosts: Vec<Host> = hosts.iter().enumerate().map(stand_in).collect();
    let wishes = Wishes {
        network: "192.0.2.0/24".parse().ok(),
        file: Some("2GiB".into()),
        devices: Vec::new(),
        ..wishes.clone()
    };
    let draft = draft::propose(hosts, &wishes).map_err(|_| {
        usage(look, "more hosts than can be looked at once".into(), "name 250 at most")
    })?;
    let mut loaded = read(path, look, &draft::text(&draft, &wishes))?;
    loaded.warnings.clear();
    for node in &mut loaded.inventory.nodes {
        node.osds = vec![OsdSpec::Device(ALL_DISKS.into())];
    }
    Ok(loaded)
}

fn read(path: &Path, look: Look, text: &str) -> Result<Loaded, Exit> {
    file::parse(text, path, std::env::home_dir().as_deref()).map_err(|problems| {
        look.print_error(&problems.render(Screen::of(Stream::Err, look.color).color));
        Exit::Usage
    })
}

/// Networks of its own making: Docker's, a hypervisor's.
fn is_own(interface: &str) -> bool {
    ["lo", "docker", "br-", "veth", "virbr", "lxcbr", "lxdbr", "cni", "flannel"]
        .iter()
        .any(|start| interface.starts_with(start))
}

/// Smaller disks are not proposed.
const LEAST_DISK: u64 = 2 << 30;

fn describe(host: &mut Host, facts: &NodeFacts) {
    let is_public = |network: &&IpNet| {
        let address = network.addr();
        let link_local = match address {
            std::net::IpAddr::V4(a) => a.is_link_local(),
            std::net::IpAddr::V6(a) => a.is_unicast_link_local(),
        };
        let interface = facts.firewall.interfaces.get(&address).map_or("", String::as_str);
        !link_local && !address.is_loopback() && !is_own(interface)
    };
    host.name.clone_from(&facts.hostname);
    host.networks = facts.networks.iter().filter(is_public).copied().collect();
    host.about = vec![
        match &facts.docker {
            Docker::Up(docker) => format!("Docker {}", docker.version),
            Docker::Down(_) => "no Docker that answers".into(),
        },
        format!("Linux {} {}", facts.kernel, facts.arch),
    ];
    host.free = facts.free_bytes;
    for disk in facts.disks.values() {
        let it = Disk { path: disk.stable_path.clone(), about: about(disk) };
        match &disk.content {
            DiskContent::Blank if disk.size >= LEAST_DISK => host.blank.push(it),
            DiskContent::Missing => {}
            _ => host.taken.push(it),
        }
    }
}

fn about(disk: &DiskFact) -> String {
    let serial = disk.serial.as_ref().map_or(String::new(), |s| format!(", serial {s}"));
    let holds = match &disk.content {
        DiskContent::Blank => "blank".into(),
        DiskContent::Missing => "not there".into(),
        DiskContent::NotADisk(what) => what.clone(),
        DiskContent::BlueStore(_) => "it carries an OSD".into(),
        DiskContent::Occupied(found) => found.join("; "),
        DiskContent::Unknown(why) => why.clone(),
    };
    format!("{}{serial}, {holds}", size(disk.size))
}

/// Only where nothing is.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What was done, for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename = "init")]
struct Made<'a> {
    path: &'a Path,
    public_network: IpNet,
    nodes: Vec<&'a NodeName>,
}

fn say(look: Look, path: &Path, draft: &Draft) {
    if look.json {
        let nodes = draft.nodes.iter().map(|n| &n.name).collect();
        look.print_json(&Made { path, public_network: draft.network, nodes });
        return;
    }
    if look.quiet {
        return;
    }
    let with = |role: &str| draft.nodes.iter().filter(|n| n.roles.contains(&role)).count();
    let osds = || draft.nodes.iter().flat_map(|n| &n.osds);
    let disks = osds().filter(|o| matches!(o, DraftOsd::Device(_))).count();
    let shown = path.display();
    let option =
        if path == Path::new("./inventory.yaml") { String::new() } else { format!("-i {shown} ") };
    look.print(&format!(
        "Wrote {shown}: {} in {}; mons on {}, mgrs on {}, OSDs on {} and in {}.\n\
         Look at it, above all at the disks, then: cephdock {option}check\n",
        crate::report::text::count(draft.nodes.len(), "node"),
        draft.network,
        with("mon"),
        with("mgr"),
        crate::report::text::count(disks, "disk"),
        crate::report::text::count(osds().count() - disks, "file"),
    ));
}
