//! Real firewalls on real nodes: what they let in, before `up`, after it and after `reset`. Every question is asked by a
//! connection. The OSDs have a network of their own.

mod lab_support;

use std::fmt::Write as _;
use std::path::PathBuf;

use lab_support::Run;
use lab_support::own::Own;

/// An address of the admin's that lies in no network of the cluster's, and the one that lies in it.
const OUTSIDE: &str = "10.77.0.1";
const INSIDE: &str = "10.32.3.1";

/// Nodes that have the image, and an inventory of them.
struct Nodes {
    names: Vec<String>,
    inventory: PathBuf,
    lab: Own,
}

/// What became of a connection.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Came {
    /// Somebody answered.
    Through,
    /// The node answered that nobody listens: no firewall stood in the way.
    Nobody,
    /// A firewall sent it back or swallowed it.
    Blocked,
}

impl Nodes {
    /// `prefix`1, `prefix`2, …, each with its roles and an OSD in a file.
    fn boot(prefix: &str, roles: &[&str]) -> Self {
        let names: Vec<String> = (1..=roles.len()).map(|n| format!("{prefix}{n}")).collect();
        let specs: Vec<String> = names
            .iter()
            .zip(31..)
            .map(|(name, last)| format!("{name}/nspawn=10.32.3.{last}"))
            .collect();
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        let lab = Own::boot("labfw", &specs);
        lab.run(&["run", "ip", "addr", "add", &format!("{OUTSIDE}/24"), "dev", "br0"]).ok();
        for (name, last) in names.iter().zip(31..) {
            lab.sh(name, &format!("ip addr add 10.99.0.{last}/24 dev eth0"));
        }
        // nspawn nodes have this machine's disk, which may be fuller than a mon likes
        let cluster = "  public_network: 10.32.3.0/24
  cluster_network: 10.99.0.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config:
    global: {mgr_initial_modules: iostat nfs}
    mon: {mon_data_avail_warn: 1, mon_data_avail_crit: 1}
client: {packages: off}
volumes: {driver: none}";
        let mut entries = String::new();
        for ((name, roles), last) in names.iter().zip(roles).zip(31..) {
            writeln!(
                entries,
                "  - {{name: {name}, address: 10.32.3.{last}, roles: [{roles}], osds: [{{file: 2GiB}}]}}"
            )
            .expect("memory");
        }
        let inventory = lab.inventory(&format!("{prefix}.yaml"), cluster, &entries);
        Self { names, inventory, lab }
    }

    fn sh(&self, node: &str, command: &str) -> String {
        self.lab.sh(node, command)
    }

    fn each(&self, command: &str) -> Vec<String> {
        self.names.iter().map(|node| self.sh(node, command)).collect()
    }

    fn try_cephdock(&self, args: &[&str]) -> Run {
        self.lab.cephdock(&self.inventory, args)
    }

    fn cephdock(&self, args: &[&str]) -> String {
        self.try_cephdock(args).ok().all()
    }

    /// `up` succeeds, the cluster is healthy, and there is nothing left to do.
    fn up(&self) {
        self.cephdock(&["up"]);
        self.is_whole();
    }

    /// Nothing of the cluster is left.
    fn reset(&self) {
        let fsid = self.sh(&self.names[0], "sed -n 's/^fsid = //p' /etc/ceph/ceph.conf");
        let said = self.cephdock(&["reset", "--yes", "--fsid", fsid.trim()]);
        assert!(said.contains("Nothing of the cluster is left"), "{said}");
    }

    fn is_whole(&self) {
        // PGs of a pool that has just been made may move once more
        let mut said = String::new();
        let whole = (0..30).any(|_| {
            let out = self.try_cephdock(&["plan", "--check"]);
            said = out.all();
            assert!(!said.contains(" in firewalld") && !said.contains(" in ufw"), "{said}");
            out.code == 0 || {
                std::thread::sleep(std::time::Duration::from_secs(1));
                false
            }
        });
        assert!(whole, "{said}");
        let status = self.try_cephdock(&["status", "--json"]).json();
        assert_eq!(status["health"], "HEALTH_OK", "{status}");
    }

    /// Connects from the admin's address `from`.
    fn reach_as_admin(&self, from: &str, to: &str, port: u16) -> Came {
        let code = format!(
            "import socket\ntry: socket.create_connection(('{to}', {port}), 2, ('{from}', 0)); print('through')\n\
             except ConnectionRefusedError: print('nobody')\nexcept OSError: print('blocked')"
        );
        came(&self.lab.run(&["run", "python3", "-c", &code]).ok().out)
    }

    /// Connects from a node.
    fn reach(&self, node: &str, to: &str, port: u16) -> Came {
        let command = format!(
            "said=$(timeout 2 bash -c '</dev/tcp/{to}/{port}' 2>&1) && echo through || \
             case $said in *refused*) echo nobody ;; *) echo blocked ;; esac"
        );
        came(&self.sh(node, &command))
    }

    /// A port on which an OSD or mgr listens on a node.
    fn daemon_port(&self, node: &str) -> u16 {
        let list = self.sh(node, "ss -Hltn | grep -o '10.32.3.[0-9]*:6[89][0-9][0-9]' | head -n 1");
        list.trim().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a daemon listens")
    }
}

fn came(said: &str) -> Came {
    match said.trim() {
        "through" => Came::Through,
        "nobody" => Came::Nobody,
        "blocked" => Came::Blocked,
        other => panic!("{other:?}"),
    }
}

/// What permits a network that no inventory names: ours, by its looks.
const OF_IPV6: &str = r#"rule priority="6789" family="ipv6" source address="fd00:99::/64" port port="6800-7300" protocol="tcp" accept"#;
/// The user's own rules, in force and permanent: all that is not of ours, each line with its zone. firewalld lists rules
/// of one priority in any order.
const THEIRS: &str = "for side in '' --permanent; do firewall-cmd $side --list-all-zones | grep -v 'priority=\"6789\"' \
     | awk '/^[^ \t]/ {zone = $1} {print zone, $0}' | sort; done";
const OURS: &str = "firewall-cmd --list-all-zones | grep -c 'priority=\"6789\"'; cat /etc/firewalld/zones/*.xml | grep -c 'priority=\"6789\"'; true";

#[test]
#[ignore = "needs the lab: make lab-test"]
fn firewalld_on_three_nodes() {
    let nodes = Nodes::boot("W", &["mon, mgr, osd", "mon, mgr, osd", "mon, osd"]);
    let (w1, w2, w3) = ("10.32.3.31", "10.32.3.32", "10.32.3.33");
    nodes.each("systemctl -q enable --now firewalld");
    // W1: SSH only by a rule of the user's own, for the very network that cephdock opens ports to
    let ssh = r#"rule family="ipv4" source address="10.32.3.0/24" service name="ssh" accept"#;
    nodes.sh(
        "W1",
        &format!(
            "for p in --permanent ''; do firewall-cmd -q $p --add-rich-rule='{ssh}'; firewall-cmd -q $p --remove-service=ssh; done"
        ),
    );
    // W2: the network belongs to a zone of the user's already
    nodes.sh(
        "W2",
        "for p in --permanent ''; do firewall-cmd -q $p --zone=internal --add-source=10.32.3.0/24; done",
    );
    // W3: a rule that a reload would lose, and Docker with networks and a published port (here /proc/sys is read-only,
    // and Docker has to put up with IPv6 being on)
    nodes.sh(
        "W3",
        "firewall-cmd -q --add-port=9999/tcp; \
        echo '{\"insecure-registries\": [\"0.0.0.0/0\"]}' >/etc/docker/daemon.json; \
        mkdir -p /etc/systemd/system/docker.service.d; \
        printf '[Service]\\nEnvironment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1\\n' >/etc/systemd/system/docker.service.d/lab.conf; \
        systemctl daemon-reload; systemctl restart docker; \
        docker run -d --name web -p 8080:8080 registry.lab:5000/ceph/ceph:v18 python3 -m http.server 8080",
    );
    let theirs = nodes.each(THEIRS);
    assert!(theirs[2].contains("docker (active)"), "{}", theirs[2]);
    let web = || (0..20).any(|_| nodes.reach("W1", w3, 8080) == Came::Through);
    assert!(web(), "the published port answers before");
    for (node, to) in [("W1", w2), ("W2", w1), ("W1", w3)] {
        assert_eq!(nodes.reach(node, to, 3300), Came::Blocked, "{node} to {to}");
        assert_eq!(nodes.reach(node, to, 6800), Came::Blocked, "{node} to {to}");
    }

    nodes.up();
    for (node, to) in [("W1", w2), ("W2", w1), ("W1", w3)] {
        assert_eq!(nodes.reach(node, to, 3300), Came::Through, "{node} to {to}");
        assert_eq!(nodes.reach(node, to, 6789), Came::Through, "{node} to {to}");
        assert_eq!(nodes.reach(node, to, 7300), Came::Nobody, "{node} to {to}");
        assert_eq!(nodes.reach(node, to, 7301), Came::Blocked, "{node} to {to}");
        let on_their_own = to.replace("10.32.3.", "10.99.0.");
        assert_eq!(
            nodes.reach(node, &on_their_own, 7300),
            Came::Nobody,
            "{node} to {on_their_own}"
        );
        assert_eq!(
            nodes.reach(node, &on_their_own, 7301),
            Came::Blocked,
            "{node} to {on_their_own}"
        );
    }
    for (node, to) in [("W1", w1), ("W2", w2), ("W3", w3)] {
        for port in [3300, 6789, nodes.daemon_port(node)] {
            assert_eq!(nodes.reach_as_admin(INSIDE, to, port), Came::Through, "{node} {port}");
            assert_eq!(nodes.reach_as_admin(OUTSIDE, to, port), Came::Blocked, "{node} {port}");
        }
    }
    assert_eq!(nodes.each(THEIRS), theirs, "the user's rules are as they were");
    assert!(web(), "the published port answers still");
    let ours = nodes.each(OURS);
    assert_eq!(ours, ["6\n6\n"; 3], "each rule stands once, now and for later");

    // a second run has nothing to do
    let said = nodes.cephdock(&["up"]);
    assert!(!said.contains("firewalld"), "{said}");
    assert_eq!((nodes.each(THEIRS), nodes.each(OURS)), (theirs.clone(), ours.clone()));

    // what firewalld does itself loses none
    nodes.sh("W1", "firewall-cmd -q --reload");
    nodes.sh("W2", "systemctl restart firewalld");
    assert_eq!(nodes.reach("W3", w1, 3300), Came::Through);
    assert_eq!(nodes.reach("W3", w2, 3300), Came::Through);

    rules_that_were_taken_away(&nodes, &ours);
    stopped_in_the_middle(&nodes, &ours[2]);
    assert_eq!(nodes.reach("W1", w3, 3300), Came::Through);

    // somebody else needs a port of Ceph's too
    let rule = r#"rule family="ipv4" source address="10.77.0.0/24" port port="3300" protocol="tcp" accept"#;
    nodes.sh(
        "W1",
        &format!("for p in --permanent ''; do firewall-cmd -q $p --add-rich-rule='{rule}'; done"),
    );
    let theirs = nodes.each(THEIRS);
    assert_eq!(theirs[0].matches(rule).count(), 2, "{}", theirs[0]);
    nodes.reset();
    assert_eq!(nodes.each("firewall-cmd --state 2>&1"), ["running\n"; 3]);
    assert_eq!(nodes.each(OURS), ["0\n0\n"; 3]);
    assert_eq!(nodes.each(THEIRS), theirs, "the user's rules are as they were");
    let blocked = |node: &str, to: &str| {
        for port in [3300, 6789, 6800, 7300] {
            assert_eq!(nodes.reach(node, to, port), Came::Blocked, "{node} to {to}, port {port}");
        }
    };
    blocked("W1", w3);
    nodes.sh("W1", "firewall-cmd -q --reload");
    blocked("W3", w1);
    assert_eq!(nodes.reach_as_admin(OUTSIDE, w1, 3300), Came::Nobody, "their own rule lets in");
}

/// In force here, for later there.
fn rules_that_were_taken_away(nodes: &Nodes, ours: &[String]) {
    let rule = r#"rule priority="6789" family="ipv4" source address="10.32.3.0/24" port port="3300" protocol="tcp" accept"#;
    nodes.sh("W1", &format!("firewall-cmd -q --remove-rich-rule='{rule}'"));
    nodes.sh(
        "W2",
        &format!("firewall-cmd -q --permanent --zone=internal --remove-rich-rule='{rule}'"),
    );
    assert_eq!(nodes.reach("W3", "10.32.3.31", 3300), Came::Blocked);
    // and one of IPv6 that nothing needs
    nodes.sh(
        "W1",
        &format!(
            "for p in --permanent ''; do firewall-cmd -q $p --add-rich-rule='{OF_IPV6}'; done"
        ),
    );
    let plan = nodes.cephdock(&["plan"]);
    assert!(plan.contains("open 3300/tcp in firewalld"), "{plan}");
    assert!(plan.contains("close 6800-7300/tcp in firewalld"), "{plan}");
    nodes.up();
    assert_eq!(nodes.reach("W3", "10.32.3.31", 3300), Came::Through);
    assert_eq!(&nodes.each(OURS), ours);
}

fn stopped_in_the_middle(nodes: &Nodes, ours: &str) {
    // firewalld ends between the permanent and the live half of W3's rules
    nodes.sh(
        "W3",
        "for p in --permanent ''; do firewall-cmd $p --list-rich-rules | grep 6789 | while read -r r; do firewall-cmd -q $p --remove-rich-rule=\"$r\"; done; done; \
        printf '#!/bin/sh\\ncase \"$*\" in *--permanent*) ;; *--add-rich*) systemctl stop firewalld ;; esac\\nexec /usr/bin/firewall-cmd \"$@\"\\n' >/usr/local/bin/firewall-cmd; chmod +x /usr/local/bin/firewall-cmd",
    );
    let out = nodes.try_cephdock(&["up"]);
    let said = out.all();
    assert_eq!(out.code, 1, "{said}");
    assert!(
        said.contains("FirewallD is not running") && said.contains("start firewalld"),
        "{said}"
    );
    nodes.sh("W3", "rm /usr/local/bin/firewall-cmd; systemctl start firewalld");
    nodes.up();
    assert_eq!(nodes.sh("W3", OURS), ours);

    // it is there and says nothing
    nodes.sh("W3", "kill -STOP $(systemctl show -p MainPID --value firewalld)");
    let out = nodes.try_cephdock(&["up"]);
    nodes.sh("W3", "kill -CONT $(systemctl show -p MainPID --value firewalld)");
    let said = out.all();
    assert!(out.code != 0 && said.contains("firewalld runs there and does not answer"), "{said}");
    nodes.up();
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn ufw_on_one_node() {
    let nodes = Nodes::boot("U", &["mon, mgr, osd"]);
    let u1 = "10.32.3.31";
    nodes.sh(
        "U1",
        "apt-get update -qq; apt-get install -y -qq --no-install-recommends ufw >/dev/null 2>&1; ufw allow 22/tcp; \
        ufw allow proto tcp from 10.32.3.0/24 to any port 6789 comment mine; ufw --force enable",
    );
    for port in [3300, 6800] {
        assert_eq!(nodes.reach_as_admin(INSIDE, u1, port), Came::Blocked);
    }
    let theirs = "ufw status verbose | grep -v '# cephdock'; iptables -S | grep -v ufw-user-input";
    let before = nodes.sh("U1", theirs);

    nodes.up();
    for port in [3300, 6789, nodes.daemon_port("U1")] {
        assert_eq!(nodes.reach_as_admin(INSIDE, u1, port), Came::Through, "{port}");
        assert_eq!(nodes.reach_as_admin(OUTSIDE, u1, port), Came::Blocked, "{port}");
    }
    let status = nodes.sh("U1", "ufw status");
    assert_eq!(status.matches("# cephdock").count(), 5, "{status}");
    assert!(status.contains("# mine"), "{status}");
    let said = nodes.cephdock(&["up"]);
    assert!(!said.contains("ufw"), "{said}");
    assert_eq!(nodes.sh("U1", "ufw status"), status);
    assert_eq!(nodes.sh("U1", theirs), before, "the user's rules are as they were");

    nodes.sh("U1", "ufw reload");
    assert_eq!(nodes.reach_as_admin(INSIDE, u1, 3300), Came::Through);
    nodes.sh(
        "U1",
        "iptables -D ufw-user-input -s 10.32.3.0/24 -p tcp -m tcp --dport 3300 -j ACCEPT",
    );
    assert_eq!(nodes.reach_as_admin(INSIDE, u1, 3300), Came::Blocked);
    nodes.up();
    assert_eq!(nodes.reach_as_admin(INSIDE, u1, 3300), Came::Through);
    nodes.sh(
        "U1",
        "ufw delete allow proto tcp from 10.32.3.0/24 to any port 6800:7300; \
        ufw allow proto tcp from fd00:99::/64 to any port 6800:7300 comment cephdock",
    );
    let plan = nodes.cephdock(&["plan"]);
    assert!(plan.contains("close 6800-7300/tcp in ufw"), "{plan}");
    nodes.up();
    assert_eq!(nodes.sh("U1", "ufw status | grep -c '# cephdock'"), "5\n");

    nodes.reset();
    let status = nodes.sh("U1", "ufw status");
    assert!(status.contains("Status: active") && !status.contains("cephdock"), "{status}");
    assert_eq!(nodes.sh("U1", theirs), before, "the user's rules are as they were");
    let live = nodes.sh("U1", "iptables -S ufw-user-input; ip6tables -S ufw6-user-input");
    assert!(live.contains("--dport 6789") && !live.contains("6800"), "{live}");
    assert_eq!(nodes.reach_as_admin(INSIDE, u1, 6789), Came::Nobody, "their own rule lets in");
    for port in [3300, 6800, 7300] {
        assert_eq!(nodes.reach_as_admin(INSIDE, u1, port), Came::Blocked, "{port}");
    }
}
