//! Every node a client: host tools by each package manager, what goes wrong with them, and the kernel's rbd. On real
//! nodes: a small cluster of two light ones, and one with a kernel of its own.

mod lab_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use lab_support::{Lab, Run, until};
use serde_json::{Value, json};

const C1: &str = "10.32.3.61";
const C2: &str = "10.32.3.62";
const M1: &str = "10.32.3.63";

/// C1 is the whole cluster, C2 a pure client.
static THE_LAB: LazyLock<Lab> = LazyLock::new(|| {
    let lab = Lab::with_nodes(&[&format!("C1/nspawn={C1}"), &format!("C2/nspawn={C2}")]);
    for node in ["C1", "C2"] {
        // without a name server apt would ask for SRV records in vain, ten seconds each time
        lab.sh(node, "echo 'Acquire::EnableSrvRecords \"false\";' >/etc/apt/apt.conf.d/99lab");
    }
    lab
});
static TURN: Mutex<()> = Mutex::new(());

/// One test at a time. The cluster is there and healthy, C2 has apt and no `ceph-common`.
fn turn() -> (MutexGuard<'static, ()>, &'static Lab) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = &*THE_LAB;
    lab.sh("C2", RESTORE);
    lab.cephdock(&inventory(lab, "off", "all"), &["up"]).exits(0);
    (turn, lab)
}

/// Puts back what tests do to a node, and takes the package away. (`apt-get purge` would take /etc/ceph with it.)
const RESTORE: &str = r"set -e
touch /tmp/enough
for f in /usr/bin/*.hidden; do [ ! -e $f ] || mv $f ${f%.hidden}; done
[ ! -e /etc/apt/lab.list ] || mv /etc/apt/lab.list /etc/apt/sources.list.d/lab.list
rm -f /usr/local/bin/apk /usr/local/bin/rbd /usr/local/bin/ceph /etc/yum.repos.d/lab.repo /etc/zypp/repos.d/lab.repo
umount /var/cache/apt/archives 2>/dev/null || true
! command -v rpm >/dev/null || rpm -e ceph-common 2>/dev/null || true
apt-get -o DPkg::Lock::Timeout=60 -qq -y remove ceph-common >/dev/null 2>&1 || true
! command -v rbd";

fn inventory(lab: &Lab, packages: &str, admin_key: &str) -> PathBuf {
    with_nodes(lab, packages, admin_key, "")
}

fn with_nodes(lab: &Lab, packages: &str, admin_key: &str, more: &str) -> PathBuf {
    let standard = lab.lab(60, &["inventory"]).ok().out;
    let from = standard.find("ssh:").expect("ssh");
    let to = standard.find("nodes:").expect("nodes");
    let ssh = standard[from..to].trim_end();
    // light nodes have this machine's disk, which may be fuller than a mon likes
    let text = format!(
        "cluster:
  public_network: 10.32.3.0/24
  image: registry.lab:5000/ceph/ceph:v18
  config:
    global: {{mgr_initial_modules: iostat nfs}}
    mon: {{mon_data_avail_warn: 1, mon_data_avail_crit: 1}}
client: {{packages: {packages}, admin_key: {admin_key}}}
volumes: {{driver: none}}
{ssh}
nodes:
  - {{name: C1, address: {C1}, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}
  - {{name: C2, address: {C2}, roles: []}}
{more}"
    );
    let path = lab.dir.join(format!("clients-{packages}-{admin_key}-{}.yaml", more.len()));
    fs::write(&path, text).expect("an inventory");
    path
}

/// `up` that has nothing to do.
fn rests(lab: &Lab, inventory: &Path) {
    let again = lab.cephdock(inventory, &["up", "--json"]).exits(0);
    assert_eq!(again.summary()["steps"], 0, "{}", again.all());
}

/// As root, the host's own tools reach the cluster.
fn tools_work(lab: &Lab, node: &str) {
    let said = lab.sh(node, "ceph -s && rbd ls && rbd --version");
    assert!(said.contains("HEALTH_OK"), "{node}: {said}");
}

fn node_of<'s>(status: &'s Value, name: &str) -> &'s Value {
    let nodes = status["nodes"].as_array().expect("nodes");
    nodes.iter().find(|n| n["name"] == name).unwrap_or_else(|| panic!("no {name}: {status}"))
}

/// What steps said while they ran.
fn progress(run: &Run) -> String {
    let messages = run.events_of("step-progress");
    messages.iter().filter_map(|e| e["message"].as_str()).collect::<Vec<_>>().join("\n")
}

/// Locks a file on C2 as dpkg and rpm do, until /tmp/enough is there: no seconds are counted.
fn hold(lab: &Lab, file: &str) {
    let script = format!(
        "rm -f /tmp/enough /tmp/held; cat >/tmp/hold.py <<'E'
import fcntl, os, time
f = open('{file}', 'a'); fcntl.lockf(f, fcntl.LOCK_EX); open('/tmp/held', 'w')
while not os.path.exists('/tmp/enough'): time.sleep(.1)
E
python3 /tmp/hold.py >/dev/null 2>&1 </dev/null &
until [ -e /tmp/held ]; do sleep 0.1; done"
    );
    lab.sh("C2", &script);
}

/// Starts `up` while the lock of `file` is held, lets it go when `word` is said, and sees `up` to its end.
fn up_waits_for_lock(lab: &Lab, inventory: &Path, file: &str, word: &str) {
    hold(lab, file);
    let mut up = lab.start_cephdock(inventory, &["up", "--json"]);
    up.wait_for("word of the lock", 60, |event| {
        let said = event["message"].as_str().unwrap_or_default();
        said.contains("waiting for another package manager") && said.contains(word)
    });
    lab.sh("C2", "! command -v rbd; touch /tmp/enough");
    up.wait_for("the end", 120, |e| e["event"] == "summary" && e["converged"] == true);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn apt_until_the_tools_work_as_root_and_a_second_up_does_nothing() {
    let (_turn, lab) = turn();
    lab.sh("C1", RESTORE);
    // Debian's package closes /var/lib/ceph to all but its own ceph user, who need not be the image's
    let folders = r"find /etc/ceph /var/lib/ceph/* -maxdepth 2 ! -name rbdmap ! -path '/var/lib/ceph/mon/*/*' -printf '%p %m %U:%G\n' | sort
        docker inspect -f '{{.Id}} {{.State.StartedAt}}' mon mgr osd-0";
    let before = lab.sh("C1", folders);
    let inventory = inventory(lab, "auto", "all");

    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    assert_eq!(node_of(&status, "C2")["tools"], Value::Null);
    let up = lab.cephdock(&inventory, &["up", "--json"]).exits(0);
    for word in ["unpacking ceph-common", "setting up ceph-common"] {
        assert!(progress(&up).contains(word), "no {word}:\n{}", progress(&up));
    }
    for node in ["C1", "C2"] {
        tools_work(lab, node);
    }
    lab.sh("C1", "rbd create --size 8 seen-from-everywhere");
    assert_eq!(lab.sh("C2", "rbd ls").trim(), "seen-from-everywhere");
    lab.sh("C2", "rbd rm --no-progress seen-from-everywhere");
    rests(lab, &inventory);

    assert_eq!(lab.sh("C1", folders), before, "no folder and no daemon was touched");
    let closed = lab.sh("C1", "stat -c %U:%a /var/lib/ceph");
    assert_eq!(closed.trim(), "ceph:750", "the package has changed what this test is about");
    lab.sh("C1", "docker restart -t 30 mon mgr osd-0");
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["HEALTH_OK"]);

    // these nodes' kernel has no rbd: said, and no failure
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(0).json();
    for node in ["C1", "C2"] {
        let seen = node_of(&status, node);
        assert_eq!(seen["rbd"], json!({"available": false, "loaded": false}));
        assert_eq!(seen["tools"], "18.2.7");
        lab.sh(node, "! test -e /etc/modules-load.d/cephdock.conf");
    }
    let kernel = lab.sh("C1", "uname -r");
    let words = format!("its kernel {} has no rbd module", kernel.trim());
    lab.cephdock(&inventory, &["up"]).exits(0).says(&[&words]);
    lab.cephdock(&inventory, &["status"]).exits(0).says(&["Worth knowing", "C1, C2"]);
    lab.cephdock(&inventory, &["plan", "--check"]).exits(0).says(&["Nothing to do", "rbd"]);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn with_admin_key_mons_a_pure_client_holds_no_key() {
    let (_turn, lab) = turn();
    lab.sh("C2", "rm -rf /etc/ceph/* /var/lib/ceph/*");
    let mons = inventory(lab, "auto", "mons");
    lab.cephdock(&mons, &["up"]).exits(0);
    tools_work(lab, "C1");
    let files = lab.sh("C2", "find /etc/ceph /var/lib/ceph -type f ! -name rbdmap");
    assert_eq!(files.trim(), "/etc/ceph/ceph.conf");
    let refused = lab.ssh("C2", "timeout 20 ceph -s");
    assert_ne!(refused.code, 0, "{}", refused.all());
    rests(lab, &mons);

    let all = inventory(lab, "auto", "all");
    lab.cephdock(&all, &["up"]).exits(0);
    tools_work(lab, "C2");
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_locked_package_database_is_waited_for() {
    let (_turn, lab) = turn();
    let inventory = inventory(lab, "auto", "all");
    up_waits_for_lock(lab, &inventory, "/var/lib/dpkg/lock-frontend", "python3");
    tools_work(lab, "C2");
}

/// Nothing is cut off half-way on the node, and the next run finds it done or waits for it.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn killed_while_it_installs() {
    let (_turn, lab) = turn();
    let root = inventory(lab, "auto", "all");
    let text = fs::read_to_string(&root).expect("it was written");
    let with_sudo = root.with_file_name("clients-ops.yaml");
    fs::write(&with_sudo, text.replace("user: root", "user: ops")).expect("an inventory");
    for inventory in [root, with_sudo] {
        lab.sh("C2", RESTORE);
        // so that it takes a while
        lab.sh("C2", "apt-get -qq -y autoremove >/dev/null 2>&1");
        let mut up = lab.start_cephdock(&inventory, &["up", "--json"]);
        up.wait_for("a package to be unpacked", 120, |event| {
            event["message"].as_str().unwrap_or_default().starts_with("unpacking")
        });
        up.kill();
        lab.cephdock(&inventory, &["up"]).exits(0);
        tools_work(lab, "C2");
        assert_eq!(lab.sh("C2", "dpkg --audit"), "");
        rests(lab, &inventory);
    }
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn a_repository_without_the_package_and_a_full_disk() {
    let (_turn, lab) = turn();
    let inventory = inventory(lab, "auto", "all");
    lab.sh(
        "C2",
        "mv /etc/apt/sources.list.d/lab.list /etc/apt/lab.list; rm -rf /var/lib/apt/lists/*",
    );
    let run = lab.cephdock(&inventory, &["up", "--json"]).exits(1);
    assert_eq!(run.summary()["health"], "HEALTH_OK", "the cluster is up all the same");
    lab.cephdock(&inventory, &["up"]).exits(1).says(&[
        "C2",
        // "unable to locate", or "no installation candidate" where a package was there before
        "could not install ceph-common: E: ",
        "add a repository that has it",
        "client.packages: off",
    ]);
    lab.cephdock(&inventory, &["status"]).exits(4).says(&["install ceph-common with apt-get"]);
    lab.sh("C2", "mv /etc/apt/lab.list /etc/apt/sources.list.d/lab.list");

    // the lists are empty still: they are fetched
    lab.sh("C2", "apt-get clean; mount -t tmpfs -o size=1m tmpfs /var/cache/apt/archives");
    lab.cephdock(&inventory, &["up"]).exits(1).says(&["enough free space", "make room"]);
    lab.sh("C2", "umount /var/cache/apt/archives");
    lab.cephdock(&inventory, &["up"]).exits(0);
    tools_work(lab, "C2");
}

/// A real RPM repository with stand-ins for the programs in its package.
const RPM: &str = r#"set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dnf zypper rpm createrepo-c >/dev/null 2>&1
mkdir -p /root/rpm/repo /root/rpm/empty /etc/yum.repos.d /etc/zypp/repos.d; cd /root/rpm
printf '#!/bin/sh\necho "ceph version 18.2.7 (0) reef (stable)"\n' >tool; chmod +x tool
cat >c.spec <<'S'
Name: ceph-common
Version: 18.2.7
Release: 1
Summary: stand-ins
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
stand-ins
%install
mkdir -p %{buildroot}/usr/bin
cp /root/rpm/tool %{buildroot}/usr/bin/rbd
cp /root/rpm/tool %{buildroot}/usr/bin/ceph
%files
%attr(755,root,root) /usr/bin/ceph
%attr(755,root,root) /usr/bin/rbd
S
rpmbuild -bb --quiet --define '_rpmdir /root/rpm/repo' c.spec 2>/dev/null
createrepo_c -q repo 2>/dev/null; createrepo_c -q empty 2>/dev/null"#;

/// Makes C2 look like a machine with this manager, whose repository is in that folder.
fn only(lab: &Lab, manager: &str, repository: &str) {
    let script = format!(
        r"set -e; cd /usr/bin
for f in apt-get dnf zypper; do [ ! -e $f ] || mv $f $f.hidden; done
[ ! -e {manager}.hidden ] || mv {manager}.hidden {manager}
printf '[lab]\nname=lab\nbaseurl=file:///root/rpm/{repository}\nenabled=1\ngpgcheck=0\n' | tee /etc/yum.repos.d/lab.repo >/etc/zypp/repos.d/lab.repo"
    );
    lab.sh("C2", &script);
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn dnf_zypper_apk_and_a_machine_with_none() {
    let (_turn, lab) = turn();
    let auto = inventory(lab, "auto", "all");
    lab.sh("C2", RPM);

    only(lab, "dnf", "empty");
    let lacks = ["Unable to find a match: ceph-common", "centos-release-ceph"];
    lab.cephdock(&auto, &["up"]).exits(1).says(&lacks);
    only(lab, "dnf", "repo");
    lab.cephdock(&auto, &["up"]).exits(0).says(&["install ceph-common with dnf"]);
    lab.sh("C2", "rpm -q ceph-common && rbd --version");
    rests(lab, &auto);
    lab.sh("C2", "rpm -e ceph-common");
    up_waits_for_lock(lab, &auto, "/var/lib/rpm/.rpm.lock", "transaction lock on");
    lab.sh("C2", "rpm -e ceph-common");

    only(lab, "zypper", "empty");
    lab.cephdock(&auto, &["up"]).exits(1).says(&["No provider of 'ceph-common' found"]);
    only(lab, "zypper", "repo");
    lab.cephdock(&auto, &["up"]).exits(0).says(&["install ceph-common with zypper"]);
    rests(lab, &auto);
    lab.sh("C2", "rpm -e ceph-common");

    only(lab, "none", "repo");
    let run = lab.cephdock(&auto, &["up", "--json"]).exits(1);
    assert_eq!(run.summary()["health"], "HEALTH_OK");
    let said = ["C2: it has no ceph-common and no package manager that cephdock knows"];
    lab.cephdock(&auto, &["up"]).exits(1).says(&said);
    lab.cephdock(&inventory(lab, "off", "all"), &["up"]).exits(0);

    // a stand-in for apk that names packages as Alpine does: nothing here is a real Alpine
    let apk = r#"cat >/usr/local/bin/apk <<'S'
#!/bin/sh
case "$*" in
  *ceph18-common) cp /root/rpm/tool /usr/local/bin/rbd; cp /root/rpm/tool /usr/local/bin/ceph ;;
  update*) ;;
  *) echo "ERROR: unable to select packages:"; echo "  $3 (no such package):"; exit 1 ;;
esac
S
chmod +x /usr/local/bin/apk"#;
    lab.sh("C2", apk);
    lab.cephdock(&auto, &["up"]).exits(0).says(&["install ceph18-common", "with apk"]);
    rests(lab, &auto);
}

/// A node with a kernel of its own, which has rbd as a module.
#[test]
#[ignore = "needs the lab: make lab-test"]
fn the_kernel_module_is_loaded_and_stays_so_after_a_power_cut() {
    let (_turn, lab) = turn();
    lab.up(&["--bare", &format!("M1={M1}")]);
    let node = format!("  - {{name: M1, address: {M1}, roles: []}}\n");
    let inventory = with_nodes(lab, "off", "all", &node);
    lab.sh("M1", "! test -d /sys/bus/rbd");
    let rbd = |loaded: bool| json!({"available": true, "loaded": loaded});

    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(4).json();
    assert_eq!(node_of(&status, "M1")["rbd"], rbd(false));
    lab.cephdock(&inventory, &["up"]).exits(0).says(&["load the kernel module rbd"]);
    assert_eq!(lab.sh("M1", "cat /sys/module/rbd/initstate").trim(), "live");
    assert_eq!(lab.sh("M1", "grep -v '^#' /etc/modules-load.d/cephdock.conf").trim(), "rbd");
    rests(lab, &inventory);

    lab.lab(60, &["cut", "M1"]).ok();
    lab.lab(300, &["start", "M1"]).ok();
    until("the module after a power cut", 60, || {
        let seen = lab.ssh("M1", "cat /sys/module/rbd/initstate");
        if seen.out.trim() == "live" { Ok(()) } else { Err(seen.all()) }
    });
    let status = lab.cephdock(&inventory, &["status", "--json"]).exits(0).json();
    assert_eq!(node_of(&status, "M1")["rbd"], rbd(true));
    rests(lab, &inventory);

    // somebody takes both away
    lab.sh("M1", "rm /etc/modules-load.d/cephdock.conf; modprobe -r rbd");
    let drift = lab.cephdock(&inventory, &["status"]).exits(4);
    drift.says(&["write /etc/modules-load.d/cephdock.conf", "load the kernel module rbd"]);
    lab.cephdock(&inventory, &["up"]).exits(0);
    rests(lab, &inventory);
    lab.lab(60, &["down", "M1"]).ok();
}
