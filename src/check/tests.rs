//! Each check, failing once: one thing is wrong with a fleet that is right, and that is what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use super::paths::ways;
use super::{CHECKS, Evidence, Level, Report, Topic, Went, before_up, clock, run};
use crate::facts::bluestore::Label;
use crate::facts::firewall::{Firewalld, Running, Zone};
use crate::facts::survey::{
    Attempt, Came, Clock, Engine, Fare, Large, Listener, Paths, Registered, Space, Survey,
};
use crate::facts::{
    ClientFacts, ConfFact, DiskContent, DiskFact, Docker, DockerFacts, Facts, NodeFacts,
    PackageManager, RbdModule, Seen,
};
use crate::identity::Identity;
use crate::image::ImageFact;
use crate::image::archive::Archived;
use crate::inventory::file::{Loaded, parse};
use crate::inventory::{ImageArchive, Inventory, NodeName};
use crate::plan::obstacles;

const YAML: &str = "cluster: {public_network: 10.32.3.0/24, cluster_network: 10.99.0.0/24}\nnodes:
  - {name: B1, address: 10.32.3.1, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}
  - {name: B2, address: 10.32.3.2, roles: [mon, mgr, osd], osds: [{file: 20GiB}]}
  - {name: B3, address: 10.32.3.3, roles: [mon, osd], osds: [{file: 20GiB}]}
  - {name: B4, address: 10.32.3.4, roles: [], ssh: {user: ops, port: 2222}}\n";

/// A fleet on which nothing stands in the way.
struct World {
    loaded: Loaded,
    facts: Facts,
    surveys: BTreeMap<NodeName, Seen<Survey>>,
    clocks: BTreeMap<NodeName, Seen<Clock>>,
    paths: Paths,
}

fn name(n: u8) -> NodeName {
    NodeName::new(&format!("B{n}")).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn node(n: u8) -> NodeFacts {
    let public = ip(&format!("10.32.3.{n}"));
    let private = ip(&format!("10.99.0.{n}"));
    let disk = DiskFact {
        kernel_name: "sdb".into(),
        size: 100 << 30,
        serial: Some(format!("S{n}")),
        stable_path: "/dev/sdb".into(),
        content: DiskContent::Blank,
    };
    let mut facts = NodeFacts {
        hostname: format!("b{n}"),
        kernel: "6.1.0".into(),
        arch: "x86_64".into(),
        addresses: vec![ip("127.0.0.1"), public, private],
        free_bytes: Some(100 << 30),
        client: ClientFacts {
            manager: Some(PackageManager::Apt),
            module: RbdModule::Loadable,
            ..ClientFacts::default()
        },
        docker: Docker::Up(DockerFacts {
            version: "26.1.5".into(),
            arch: "amd64".into(),
            ..DockerFacts::default()
        }),
        ..NodeFacts::default()
    };
    if n == 1 {
        facts.disks.insert("/dev/sdb".into(), disk);
    }
    facts.firewall.interfaces = [(public, "eth0".to_owned()), (private, "eth1".to_owned())].into();
    facts
}

fn survey() -> Survey {
    let space = Space { total: 200 << 30, free: 100 << 30 };
    Survey {
        memory: Some(32 << 30),
        mtu: [("eth0".to_owned(), 1500), ("eth1".to_owned(), 9000)].into(),
        listening: vec![Listener { address: ip("0.0.0.0"), port: 22, program: None }],
        space: ["/var/lib/ceph", "/var/lib/docker"].map(|p| (p.to_owned(), space)).into(),
        keepers: BTreeSet::from(["chronyd".to_owned()]),
        rootless: Vec::new(),
        engine: Some(Engine {
            root: "/var/lib/docker".into(),
            security: vec!["name=seccomp,profile=builtin".into()],
        }),
        registry: Some(Seen::Value(Registered { architectures: ["amd64".to_owned()].into() })),
        held: None,
    }
}

impl World {
    fn new() -> Self {
        Self::of(YAML)
    }

    fn of(yaml: &str) -> Self {
        let loaded = parse(yaml, Path::new("inventory.yaml"), Some(Path::new("/root"))).unwrap();
        let names: Vec<(u8, NodeName)> =
            (1..).zip(loaded.inventory.nodes.iter().map(|n| n.name.clone())).collect();
        let nodes = names.iter().map(|(n, name)| (name.clone(), Seen::Value(node(*n)))).collect();
        let facts = Facts { nodes, cluster: Seen::Absent, stirred: false };
        let surveys: BTreeMap<_, _> =
            names.iter().map(|(_, name)| (name.clone(), Seen::Value(survey()))).collect();
        let clock = Seen::Value(Clock { ahead: 3.0, within: 0.001 });
        let clocks = names.iter().map(|(_, name)| (name.clone(), clock.clone())).collect();
        let mut paths = Paths::default();
        for way in ways(&loaded.inventory, &facts, &surveys) {
            for port in way.ports {
                let (from, to, address) = (way.from.clone(), way.to.clone(), way.address);
                paths.attempts.push(Attempt { from, to, address, port, came: Came::Through });
            }
            let (from, to, address) = (way.from, way.to, way.address);
            let (size, fare) = (way.mtu.unwrap(), Fare::Arrive);
            paths.large.push(Large { from, to, address, size, fare });
        }
        Self { loaded, facts, surveys, clocks, paths }
    }

    fn facts(&mut self, n: u8) -> &mut NodeFacts {
        match self.facts.nodes.get_mut(&name(n)) {
            Some(Seen::Value(facts)) => facts,
            _ => panic!("B{n} was not seen"),
        }
    }

    fn docker(&mut self, n: u8) -> &mut DockerFacts {
        match &mut self.facts(n).docker {
            Docker::Up(docker) => docker,
            Docker::Down(_) => panic!("B{n} has no Docker"),
        }
    }

    fn survey(&mut self, n: u8) -> &mut Survey {
        match self.surveys.get_mut(&name(n)) {
            Some(Seen::Value(survey)) => survey,
            _ => panic!("B{n} was not surveyed"),
        }
    }

    fn engine(&mut self, n: u8) -> &mut Engine {
        self.survey(n).engine.as_mut().unwrap()
    }

    fn clock(&mut self, n: u8, ahead: f64, within: f64) {
        self.clocks.insert(name(n), Seen::Value(Clock { ahead, within }));
    }

    /// What came of all connections to a node's public address.
    fn came(&mut self, to: u8, came: &Came) {
        let all = self.paths.attempts.iter_mut();
        let address = ip(&format!("10.32.3.{to}"));
        all.filter(|a| a.address == address).for_each(|a| a.came = came.clone());
    }

    fn set(&mut self, section: &str, option: &str, value: &str) {
        let config = &mut self.loaded.inventory.cluster.config;
        config.entry(section.into()).or_default().insert(option.into(), value.into());
    }

    fn want(&self) -> &Inventory {
        &self.loaded.inventory
    }

    fn evidence(&self) -> Evidence<'_> {
        let want = self.want();
        let new = Identity::mint(want, [7; 48], 1_700_000_000);
        let whose = crate::converge::adopt(want, &self.facts);
        let id = whose.as_ref().ok().map(|id| id.as_ref().unwrap_or(&new));
        Evidence {
            want,
            warnings: &self.loaded.warnings,
            facts: &self.facts,
            obstacles: obstacles(want, &self.facts, id),
            whose: whose.map(|_| ()),
            surveys: self.surveys.clone(),
            clocks: self.clocks.clone(),
            paths: Some(self.paths.clone()),
        }
    }

    fn report(&self) -> Report {
        run(&self.evidence())
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let report = World::new().report();
    assert_eq!(report.findings, []);
    assert!(report.ok());
    for node in &report.nodes {
        for topic in Topic::COLUMNS {
            assert_eq!(report.went(node, topic), Went::Ok, "{node} {topic:?}");
        }
    }
}

/// What is wrong, what it is about, how bad it is, on which node, and words of what is said.
type Case = (fn(&mut World), Topic, Level, Option<u8>, &'static [&'static str]);

/// A whole OSD, of a cluster that nobody knows.
fn osd() -> DiskContent {
    DiskContent::BlueStore(Label {
        osd_uuid: uuid::Uuid::from_u128(1),
        whoami: Some(4),
        ceph_fsid: Some(uuid::Uuid::from_u128(2)),
        complete: true,
    })
}

fn archive(architecture: &str) -> ImageArchive {
    let architectures = [architecture.to_owned()].into();
    let archived = Archived { image: ImageFact::default(), bytes: 1 << 30, architectures };
    ImageArchive { path: "/srv/ceph.tar".into(), archived: Some(archived) }
}

const BLOCKED: &str = "No route to host";

fn blocked() -> Came {
    Came::Blocked(BLOCKED.into())
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    (|w| { w.facts.nodes.insert(name(4), Seen::Unknown("connection refused".into())); },
        Topic::Login, Level::Fail, Some(4), &["connection refused", "`ssh -p 2222 ops@10.32.3.4 sudo -n true`"]),
    (|w| w.facts(2).docker = Docker::Down("Docker cannot be used: nobody is there".into()),
        Topic::Docker, Level::Fail, Some(2), &["nobody is there", "systemctl enable --now docker"]),
    (|w| { w.facts(2).docker = Docker::Down("gone".into()); w.survey(2).rootless = vec!["/run/user/1000/docker.sock".into()]; },
        Topic::Docker, Level::Fail, Some(2), &["/run/user/1000/docker.sock"]),
    (|w| w.facts(4).docker = Docker::Down("permission denied while trying to connect".into()),
        Topic::Docker, Level::Fail, Some(4), &["`usermod -aG docker ops`"]),
    (|w| { w.surveys.insert(name(2), Seen::Unknown("no shell".into())); },
        Topic::Room, Level::Unchecked, Some(2), &["no shell"]),
    (|w| w.docker(2).components = vec!["Podman Engine".into()],
        Topic::Docker, Level::Fail, Some(2), &["Podman"]),
    (|w| w.docker(2).components = vec!["Engine".into(), "rootlesskit".into()],
        Topic::Docker, Level::Fail, Some(2), &["rootless"]),
    (|w| w.engine(4).security.push("name=rootless".into()),
        Topic::Docker, Level::Fail, Some(4), &["rootless"]),
    (|w| w.docker(2).version = "20.10.9-ce".into(),
        Topic::Docker, Level::Fail, Some(2), &["20.10.9-ce", "older than 20.10.10"]),
    (|w| w.engine(2).security.push("name=userns".into()),
        Topic::Docker, Level::Fail, Some(2), &["userns-remap"]),
    (|w| w.engine(2).root = "/var/snap/docker/common/var-lib-docker".into(),
        Topic::Docker, Level::Fail, Some(2), &["snap"]),
    (|w| { w.facts(1).hostname = "node".into(); w.facts(3).hostname = "node".into(); },
        Topic::Name, Level::Note, Some(3), &["B1 and B3 all say", "`hostnamectl hostname B3`"]),
    (|w| w.facts(2).addresses.retain(|a| *a != ip("10.32.3.2")),
        Topic::Net, Level::Fail, Some(2), &["10.32.3.2", "10.99.0.2"]),
    (|w| w.facts(3).addresses.push(ip("10.32.3.2")),
        Topic::Net, Level::Fail, Some(2), &["an interface of B3 too"]),
    (|w| w.facts(3).addresses.retain(|a| *a != ip("10.99.0.3")),
        Topic::Net, Level::Fail, Some(3), &["10.99.0.0/24"]),
    (|w| w.survey(2).listening.push(Listener { address: ip("::"), port: 6789, program: Some("nginx".into()) }),
        Topic::Ports, Level::Fail, Some(2), &["nginx listens on port 6789", "ss -ltnp"]),
    (|w| w.came(2, &blocked()),
        Topic::Paths, Level::Fail, Some(2), &["B1, B3 and B4 cannot connect to 3300, 6789, 6800, 7050 and 7300 of 10.32.3.2", BLOCKED, "nft list ruleset"]),
    (|w| { w.came(2, &blocked()); w.facts(2).firewall.blocks = vec!["nft inet mine in (policy drop)".into()]; },
        Topic::Paths, Level::Fail, Some(2), &["`nft insert rule inet mine in ip saddr 10.32.3.0/24 tcp dport '{ 3300, 6789, 6800-7300 }' accept`"]),
    (|w| { w.came(2, &blocked()); w.facts(2).firewall.blocks = vec!["nft ip6 filter INPUT (policy drop)".into(), "iptables INPUT (policy drop)".into()]; },
        Topic::Paths, Level::Fail, Some(2), &["let 3300, 6789, 6800-7300/tcp in from 10.32.3.0/24: on it (`nft list ruleset`)"]),
    (|w| { w.came(2, &Came::Refused); },
        Topic::Paths, Level::Fail, Some(2), &["connection refused"]),
    (|w| { w.came(2, &Came::Refused); w.paths.no_listener.insert(name(2)); },
        Topic::Paths, Level::Note, Some(2), &["nothing listened"]),
    (|w| { w.paths.untried.insert(name(4), "it has no shell".into()); },
        Topic::Paths, Level::Unchecked, Some(4), &["it has no shell"]),
    (|w| w.facts(3).firewall.firewalld = Some(Firewalld { running: Running::Silent("exit 1".into()), ..Firewalld::default() }),
        Topic::Paths, Level::Fail, Some(3), &["does not answer (exit 1)"]),
    (|w| { let large = w.paths.large.iter_mut(); large.filter(|l| l.address == ip("10.99.0.3")).for_each(|l| l.fare = Fare::TooLarge); },
        Topic::Mtu, Level::Fail, Some(3), &["packets of 9000 bytes", "from B1 and B2 to 10.99.0.3"]),
    (|w| { let large = w.paths.large.iter_mut(); large.filter(|l| l.address == ip("10.32.3.3")).for_each(|l| l.fare = Fare::TooLarge); },
        Topic::Mtu, Level::Fail, Some(3), &["packets of 1500 bytes", "mtu 1400"]),
    (|w| { let large = w.paths.large.iter_mut(); large.filter(|l| l.address == ip("10.32.3.3")).for_each(|l| l.fare = Fare::Told); },
        Topic::Mtu, Level::Note, Some(3), &["packets of 1500 bytes", "from B1, B2 and B4 to 10.32.3.3", "told so"]),
    (|w| { let large = w.paths.large.iter_mut(); large.filter(|l| l.to == name(3)).for_each(|l| l.fare = Fare::Unanswered); },
        Topic::Mtu, Level::Unchecked, Some(3), &["does not answer the pings"]),
    (|w| { w.paths.no_ping.insert(name(1)); },
        Topic::Mtu, Level::Unchecked, Some(1), &["no `ping`"]),
    (|w| { w.survey(2).mtu.insert("eth1".into(), 1500); },
        Topic::Mtu, Level::Note, Some(2), &["1500", "9000", "10.99.0.0/24"]),
    (|w| w.clock(2, 3.12, 0.002),
        Topic::Clock, Level::Fail, Some(2), &["120 ms ahead of the median", "measured to 2.0 ms", "50 ms"]),
    (|w| w.clock(4, 2.0, 0.002),
        Topic::Clock, Level::Note, Some(4), &["1000 ms behind"]),
    (|w| w.clock(2, 3.12, 0.5),
        Topic::Clock, Level::Unchecked, Some(2), &["120 ms", "measured to 500.0 ms"]),
    (|w| { w.clocks.insert(name(2), Seen::Unknown("no date".into())); },
        Topic::Clock, Level::Unchecked, Some(2), &["no date"]),
    (|w| w.survey(3).keepers.clear(),
        Topic::Clock, Level::Note, Some(3), &["chrony"]),
    (|w| w.facts(1).disks.get_mut("/dev/sdb").unwrap().content = DiskContent::Occupied(vec!["a filesystem (ext4)".into()]),
        Topic::Disks, Level::Fail, Some(1), &["/dev/sdb (100 GiB) is not blank: a filesystem (ext4)", "wipefs"]),
    (|w| { w.facts(1).disks.get_mut("/dev/sdb").unwrap().content = DiskContent::Missing; w.facts(1).docker = Docker::Down("off".into()); },
        Topic::Disks, Level::Fail, Some(1), &["there is no /dev/sdb"]),
    (|w| { w.facts.nodes.insert(name(2), Seen::Unknown("off".into())); w.facts(1).disks.get_mut("/dev/sdb").unwrap().content = osd(); },
        Topic::Disks, Level::Unchecked, Some(1), &["/dev/sdb is not blank", "cannot be told now"]),
    // nobody's OSD, whoever has the identity
    (|w| { w.facts.nodes.insert(name(2), Seen::Unknown("off".into())); w.facts(1).disks.get_mut("/dev/sdb").unwrap().content = DiskContent::Missing; },
        Topic::Disks, Level::Fail, Some(1), &["there is no /dev/sdb"]),
    (|w| w.facts(3).conf = Some(ConfFact { fsid: None, ours: false }),
        Topic::Ceph, Level::Fail, Some(3), &["/etc/ceph/ceph.conf"]),
    (|w| { w.facts.nodes.insert(name(2), Seen::Unknown("off".into())); },
        Topic::Ceph, Level::Unchecked, Some(2), &["off"]),
    (|w| { w.facts(3).identity = crate::facts::IdentityFile::Damaged("not JSON".into()); },
        Topic::Ceph, Level::Fail, Some(3), &["not JSON"]),
    (|w| w.survey(3).registry = Some(Seen::Unknown("unauthorized".into())),
        Topic::Image, Level::Fail, Some(3), &["quay.io/ceph/ceph:v19: unauthorized", "docker pull", "image_archive"]),
    (|w| w.docker(3).arch = "arm64".into(),
        Topic::Image, Level::Fail, Some(3), &["its Docker is arm64", "is for amd64"]),
    (|w| { w.docker(3).arch.clear(); w.facts(3).arch = "aarch64".into(); },
        Topic::Image, Level::Fail, Some(3), &["its Docker is arm64", "is for amd64"]),
    (|w| w.loaded.inventory.cluster.image_archive = Some(archive("arm64")),
        Topic::Image, Level::Fail, Some(3), &["its Docker is amd64", "/srv/ceph.tar is for arm64", "docker pull --platform linux/amd64"]),
    (|w| { w.docker(3).image = Some(ImageFact::default()); w.survey(3).held = Some("arm64".into()); },
        Topic::Image, Level::Fail, Some(3), &["its Docker is amd64", "quay.io/ceph/ceph:v19 on it is for arm64", "`docker rmi quay.io/ceph/ceph:v19`"]),
    (|w| w.survey(2).memory = Some(500 << 20),
        Topic::Room, Level::Fail, Some(2), &["500 MiB of memory", "6 GiB", "4 GiB of it its OSD"]),
    (|w| w.survey(2).memory = Some(5 << 30),
        Topic::Room, Level::Note, Some(2), &["5 GiB of memory"]),
    (|w| { w.survey(3).space.insert("/var/lib/ceph".into(), Space { total: 100 << 30, free: 20 << 30 }); },
        Topic::Room, Level::Fail, Some(3), &["20 % of the disk", "unhealthy"]),
    (|w| { w.survey(3).space.insert("/var/lib/ceph".into(), Space { total: 100 << 30, free: 2 << 30 }); },
        Topic::Room, Level::Fail, Some(3), &["2 % of the disk", "stops itself"]),
    (|w| w.facts(3).free_bytes = Some(10 << 30),
        Topic::Room, Level::Fail, Some(3), &["20 GiB", "10 GiB are free"]),
    (|w| { w.survey(1).space.insert("/var/lib/docker".into(), Space { total: 9 << 30, free: 100 << 20 }); },
        Topic::Room, Level::Fail, Some(1), &["100 MiB are free in Docker's folder"]),
    (|w| { w.survey(1).space.insert("/var/lib/docker".into(), Space { total: 9 << 30, free: 1 << 30 }); },
        Topic::Room, Level::Note, Some(1), &["1 GiB are free"]),
    (|w| w.facts(4).client.manager = None,
        Topic::Client, Level::Fail, Some(4), &["no package manager"]),
    (|w| w.facts(4).client.module = RbdModule::Absent,
        Topic::Client, Level::Note, Some(4), &["no rbd module"]),
    (|w| *w = World::of(&YAML.replace("name: B4, address: 10.32.3.4, roles: []", "name: B4, address: 10.32.3.4, roles: [mon]")),
        Topic::Cluster, Level::Note, None, &["4 mons are no safer than 3"]),
    (|w| *w = World::of(&YAML.replace("{name: B2, address: 10.32.3.2, roles: [mon, mgr, osd]", "{name: B2, address: 10.32.3.2, roles: [mgr, osd]").replace("roles: [mon, osd]", "roles: [osd]")),
        Topic::Cluster, Level::Note, None, &["one mon"]),
    (|w| w.loaded.inventory.cluster.pool.size = 1,
        Topic::Cluster, Level::Note, None, &["one copy"]),
];

#[test]
fn each_fault_is_found_and_told_with_a_reason_and_a_cure() {
    for (i, (spoil, topic, level, node, words)) in CASES.iter().enumerate() {
        let mut world = World::new();
        spoil(&mut world);
        let report = world.report();
        let node = node.map(name);
        let found = report
            .findings
            .iter()
            .find(|f| f.topic == *topic && f.level == *level && f.node == node)
            .unwrap_or_else(|| panic!("case {i}, {words:?}: {:#?}", report.findings));
        let said = format!("{} {} {}", found.what, found.why, found.fix);
        for word in *words {
            assert!(said.contains(word), "case {i}: {word:?} is not in {said:?}");
        }
        if *level == Level::Fail {
            assert!(!found.what.is_empty() && !report.ok(), "{found:?}");
            assert!(topic == &Topic::Client || !found.why.is_empty(), "{found:?}");
            assert!(topic == &Topic::Client || !found.fix.is_empty(), "{found:?}");
            assert_eq!(report.went(&node.unwrap(), *topic), Went::Fail);
        }
        // nothing else is said to be in the way
        let others = report.findings.iter().filter(|f| f.level == Level::Fail && f.topic != *topic);
        let others: Vec<_> =
            others.filter(|f| f.topic != Topic::Login && f.topic != Topic::Docker).collect();
        assert!(others.is_empty(), "case {i}: {others:#?}");
    }
}

/// Every check of the table has to have found something by then.
#[test]
fn no_check_is_without_its_case() {
    let mut worlds: Vec<World> = CASES
        .iter()
        .map(|(spoil, ..)| {
            let mut world = World::new();
            spoil(&mut world);
            world
        })
        .collect();
    // two nodes with different images of one name, and a packet filter of nobody known
    let mut images = World::new();
    for (n, id) in [(1, "sha256:aa"), (2, "sha256:bb")] {
        images.docker(n).image = Some(ImageFact { id: id.into(), ..Default::default() });
    }
    images.facts(3).firewall.blocks = vec!["nft inet mine in (policy drop)".into()];
    images.paths = Paths::default();
    worlds.push(images);
    for check in CHECKS {
        let found = worlds.iter().any(|w| check.findings(&w.evidence()).next().is_some());
        assert!(found, "a check about {:?} never found anything", check.topic);
    }
}

#[test]
fn a_port_that_up_is_going_to_open_is_no_fault() {
    let mut world = World::new();
    world.came(2, &blocked());
    let zone = Zone { interfaces: vec!["eth0".into()], ..Zone::default() };
    world.facts(2).firewall.firewalld = Some(Firewalld {
        running: Running::Yes,
        default_zone: "public".into(),
        live: [("public".to_owned(), zone)].into(),
        permanent: BTreeMap::new(),
    });
    let report = world.report();
    assert!(report.ok(), "{:#?}", report.findings);
    assert_eq!(report.went(&name(2), Topic::Paths), Went::Note);
    assert!(report.findings[0].fix.contains("opens these ports"), "{:#?}", report.findings);

    // left alone, it is one
    world.loaded.inventory.firewall = crate::inventory::AutoOff::Off;
    let report = world.report();
    assert!(!report.ok());
    assert!(report.findings[0].fix.contains("firewall: auto"), "{:#?}", report.findings);
}

#[test]
fn of_two_clocks_that_disagree_one_is_right() {
    let yaml = "cluster: {public_network: 10.32.3.0/24, pool: {size: 1}}\nnodes:
  - {name: B1, address: 10.32.3.1, roles: [mon, mgr, osd], osds: [{file: 20GiB}]}
  - {name: B2, address: 10.32.3.2, roles: [mon]}\n";
    let mut world = World::of(yaml);
    world.clock(2, 3.08, 0.001);
    let evidence = world.evidence();
    let ahead: Vec<String> =
        clock::against_median(&evidence).iter().map(|o| format!("{:.3}", o.ahead)).collect();
    assert_eq!(ahead, ["0.000", "0.080"]);
    assert!(!world.report().ok());
    world.set("mon", "mon_clock_drift_allowed", "0.5");
    assert!(world.report().ok());
}

#[test]
fn what_the_inventory_allows_is_allowed() {
    let mut world = World::new();
    world.survey(3).space.insert("/var/lib/ceph".into(), Space { total: 100, free: 12 });
    world.set("mon", "mon_data_avail_warn", "10");
    world.survey(2).memory = Some(4 << 30);
    world.set("global", "osd_memory_target", "2G");
    assert_eq!(world.report().findings, []);
}

#[test]
fn our_own_mon_is_in_nobodys_way() {
    use crate::daemon::DaemonId;
    use crate::facts::{ContainerFact, ContainerState, OurLabels};
    let mut world = World::new();
    for port in [3300, 6789] {
        world.survey(2).listening.push(Listener { address: ip("10.32.3.2"), port, program: None });
    }
    assert_eq!(world.report().went(&name(2), Topic::Ports), Went::Fail);
    let ours = OurLabels { fsid: "x".into(), daemon: DaemonId::mon(&name(2)), spec: "y".into() };
    world.docker(2).containers.push(ContainerFact {
        name: "mon".into(),
        ours: Some(ours),
        state: ContainerState::Running,
        image: String::new(),
        image_id: None,
        as_made: true,
        restarts: 0,
        exit_code: None,
        out_of_memory: false,
        error: None,
    });
    assert_eq!(world.report().went(&name(2), Topic::Ports), Went::Ok);
}

#[test]
fn up_stops_for_what_its_own_facts_tell() {
    let mut world = World::new();
    assert_eq!(before_up(world.want(), &world.facts), Ok(()));
    world.docker(2).version = "19.03.15".into();
    world.facts(3).addresses.retain(|a| *a != ip("10.99.0.3"));
    // the planner finds these by itself
    world.facts(1).disks.clear();
    world.facts.nodes.insert(name(4), Seen::Unknown("off".into()));
    let refusal = before_up(world.want(), &world.facts).unwrap_err();
    assert!(!refusal.to_protect_data);
    let nodes: Vec<&str> = refusal.findings.iter().map(|f| f.node.as_str()).collect();
    assert_eq!(nodes, ["B2", "B3"]);
}

#[test]
fn every_way_there_is() {
    let world = World::new();
    let ways = ways(world.want(), &world.facts, &world.surveys);
    let of = |from: u8, to: u8| {
        let ways = ways.iter().filter(|w| w.from == name(from) && w.to == name(to));
        ways.map(|w| (w.address.to_string(), w.ports.clone(), w.mtu)).collect::<Vec<_>>()
    };
    let all = vec![3300, 6789, 6800, 7050, 7300];
    let others = vec![6800, 7050, 7300];
    assert_eq!(
        of(1, 2),
        [("10.32.3.2".into(), all.clone(), Some(1500)), ("10.99.0.2".into(), others, Some(9000))]
    );
    assert_eq!(of(4, 1), [("10.32.3.1".into(), all, Some(1500))]);
    assert_eq!(of(1, 4), [], "a pure client is nobody's target");
    assert_eq!(of(1, 1), []);
}

/// As Podman 4.3 answers: with a version of its own, and with 404 where Docker asks a registry.
#[test]
fn podman_is_no_old_docker_without_a_registry() {
    let mut world = World::new();
    world.docker(2).components = vec!["Podman Engine".into(), "Conmon".into()];
    world.docker(2).version = "4.3.1".into();
    world.survey(2).registry = Some(Seen::Unknown("Not Found".into()));
    let report = world.report();
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert!(report.findings[0].what.contains("is Podman"), "{:#?}", report.findings);
}

#[test]
fn an_image_that_a_node_has_or_can_run_is_right() {
    let mut world = World::new();
    let registered = |architecture: &str| {
        Some(Seen::Value(Registered { architectures: [architecture.to_owned()].into() }))
    };
    // nothing is pulled there
    world.docker(2).image = Some(ImageFact::default());
    world.survey(2).held = Some("amd64".into());
    world.survey(2).registry = registered("arm64");
    // 64-bit processors run these too
    world.survey(3).registry = registered("386");
    // a 64-bit kernel under a 32-bit system
    world.docker(1).arch = "386".into();
    world.survey(1).registry = registered("386");
    assert_eq!(world.report().findings, []);
}
