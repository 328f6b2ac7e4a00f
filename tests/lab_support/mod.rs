//! Three real nodes, B1, B2 and B3, and the built `cephdock` run beside them as the admin.
//!
//! The nodes are booted once for a test file and shared by its tests, one at a time. Each test says what it starts
//! from: [`Lab::fresh`], nodes on which nothing of Ceph is left, or [`Lab::cluster`], the cluster of the standard
//! inventory. Both take what is there and put right what a failed test left. Everything has a deadline.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unused_self, reason = "only who has the lab may use its nodes")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) mod own;
mod run;
pub(crate) mod volumes;

pub(crate) use run::{Run, Running};

/// The nodes' names.
pub(crate) const NODES: [&str; 3] = ["B1", "B2", "B3"];
/// OSDs of the standard inventory: a disk on each node and a file on B1.
pub(crate) const OSDS: u64 = 4;

pub(crate) const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
const BOOT_SECONDS: u64 = 300;
const SSH_SECONDS: u64 = 120;
/// Longer than any of cephdock's own deadlines together would take in a test.
const CEPHDOCK_SECONDS: u64 = 420;

/// The lab of this test file.
pub(crate) struct Lab {
    /// A folder for inventories and the like.
    pub(crate) dir: PathBuf,
    /// What cephdock printed in this process, all runs together.
    said: Mutex<String>,
    /// Held open: when this process ends, in whatever way, its keeper takes the lab down.
    _keeper: ChildStdin,
}

/// Whether the nodes may be in a state that no test meant: at the start, and after a failed one.
static UNSURE: Mutex<bool> = Mutex::new(true);
static THE_LAB: LazyLock<Lab> = LazyLock::new(Lab::boot);
static TURN: Mutex<()> = Mutex::new(());

/// A test's turn at the lab.
pub(crate) struct Turn {
    lab: &'static Lab,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Turn {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.lab
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *unsure() = true;
        }
    }
}

fn unsure() -> MutexGuard<'static, bool> {
    UNSURE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lab, for one test at a time.
pub(crate) fn lab() -> Turn {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Turn { lab: &THE_LAB, _turn: turn }
}

impl Lab {
    fn boot() -> Self {
        let lab = Self::kept();
        lab.power_on();
        lab
    }

    /// Other nodes than the usual three: `NAME/KIND=ADDRESS`.
    pub(crate) fn with_nodes(nodes: &[&str]) -> Self {
        let lab = Self::kept();
        lab.up(nodes);
        lab
    }

    /// Boots nodes that do not run yet.
    pub(crate) fn up(&self, nodes: &[&str]) {
        let mut args = vec!["up"];
        args.extend(nodes);
        self.lab(BOOT_SECONDS, &args).ok();
    }

    /// No nodes yet.
    #[expect(clippy::zombie_processes, reason = "it outlives this process")]
    fn kept() -> Self {
        let ns = namespace();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&ns);
        fs::create_dir_all(&dir).expect("a folder for inventories");
        // the keeper of the test file before this one may still be at work: only one holds the lock
        let keep = "\"$0\" down && echo kept && cat >/dev/null; \"$0\" down";
        let mut keeper = Command::new("flock")
            .arg(dir.join("lock"))
            .args(["sh", "-c", keep, LAB])
            .env("LAB_NS", &ns)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group_of_its_own()
            .spawn()
            .expect("flock starts");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "kept\n", "the lab cannot be taken down");
        let stdin = keeper.stdin.take().expect("its input");
        Self { dir, said: Mutex::default(), _keeper: stdin }
    }

    /// Sees to it that all nodes run.
    pub(crate) fn power_on(&self) {
        let net = std::env::var("LAB_NET").unwrap_or_else(|_| "10.32.3".into());
        let nodes: Vec<String> =
            NODES.iter().zip(147..).map(|(name, last)| format!("{name}={net}.{last}")).collect();
        self.up(&nodes.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Runs `tests/lab/lab`.
    pub(crate) fn lab(&self, seconds: u64, args: &[&str]) -> Run {
        let mut command = bounded(seconds);
        command.arg(LAB).args(args).env("LAB_NS", namespace());
        Run::of(&format!("lab {}", args.join(" ")), &mut command)
    }

    /// Runs a shell command on a node as root.
    pub(crate) fn ssh(&self, node: &str, command: &str) -> Run {
        self.lab(SSH_SECONDS, &["ssh", node, command])
    }

    /// The output of a shell command on a node that has to succeed.
    pub(crate) fn sh(&self, node: &str, command: &str) -> String {
        self.ssh(node, command).ok().out
    }

    /// The same on every node at once, in the nodes' order.
    pub(crate) fn everywhere(&self, command: &str) -> Vec<String> {
        std::thread::scope(|scope| {
            let each: Vec<_> =
                NODES.iter().map(|node| scope.spawn(move || self.sh(node, command))).collect();
            each.into_iter().map(|thread| thread.join().expect("the command ran")).collect()
        })
    }

    /// The JSON that `ceph COMMAND` gives in the mon of a node.
    pub(crate) fn ceph(&self, node: &str, command: &str) -> Value {
        let out = self.sh(node, &format!("docker exec mon ceph {command} --format json"));
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("ceph {command}: {e}: {out}"))
    }

    /// Writes an inventory: the standard one with each `(old, new)` put in. `old` has to be there.
    pub(crate) fn inventory(&self, changes: &[(&str, &str)]) -> PathBuf {
        let mut text = self.lab(60, &["inventory"]).ok().out;
        // beside the disks, an OSD in a file
        let osds = ("/dev/ubdb}]}\n  - {name: B2", "/dev/ubdb}, {file: 3GiB}]}\n  - {name: B2");
        for (old, new) in std::iter::once(&osds).chain(changes) {
            assert!(text.contains(old), "the inventory has no {old:?}:\n{text}");
            text = text.replace(old, new);
        }
        // installing ceph-common takes minutes on these nodes, and a debug build is large to send: both have test files of
        // their own
        text += "client: {packages: off}\nvolumes: {driver: none}\n";
        let path = self.dir.join(format!("{}.yaml", number()));
        fs::write(&path, text).expect("an inventory");
        path
    }

    /// The address of a node.
    pub(crate) fn address(&self, node: &str) -> String {
        let list = self.lab(60, &["ls"]).ok().out;
        let line = list.lines().find(|l| l.starts_with(&format!("{node} "))).expect("the node");
        line.split_whitespace().nth(2).expect("its address").to_owned()
    }

    /// Runs `cephdock -i INVENTORY ARGS` to its end.
    pub(crate) fn cephdock(&self, inventory: &Path, args: &[&str]) -> Run {
        let run = Run::of(
            &format!("cephdock {}", args.join(" ")),
            bounded(CEPHDOCK_SECONDS).arg(LAB).args(cephdock(inventory, args)).envs(environment()),
        );
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        write!(said, "{}{}", run.out, run.err).expect("memory");
        run
    }

    /// Starts `cephdock`, to be looked at and killed while it runs.
    pub(crate) fn start_cephdock(&self, inventory: &Path, args: &[&str]) -> Running {
        let mut command = Command::new(LAB);
        command.args(cephdock(inventory, args)).envs(environment());
        Running::start(&mut command)
    }

    /// Everything that cephdock has printed.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nodes that run, with nothing of Ceph on them. What tests do to a node is undone here.
    pub(crate) fn fresh(&self) {
        for node in NODES {
            // a test that failed may have left it stopped, and a node counts as up when its Docker answers; on a node
            // that is off this does nothing
            drop(self.ssh(node, "systemctl start docker.socket docker"));
        }
        self.power_on();
        self.everywhere(
            "set -e; rm -f /fill /etc/ssh/sshd_config.d/test.conf; systemctl restart ssh; \
             systemctl start docker; \
             docker ps -aq | xargs -r docker unpause >/dev/null 2>&1 || true; \
             docker ps -aq | xargs -r docker rm -f >/dev/null; \
             rm -rf /etc/ceph /var/lib/ceph; \
             umount /dev/ubdb 2>/dev/null || true; vgchange -qan >/dev/null 2>&1 || true; \
             dd if=/dev/zero of=/dev/ubdb bs=1M count=16 conv=fsync status=none; \
             blockdev --rereadpt /dev/ubdb",
        );
        *unsure() = true;
    }

    /// The cluster of the standard inventory, healthy. Returns the inventory.
    pub(crate) fn cluster(&self) -> PathBuf {
        if *unsure() {
            self.fresh();
        }
        let inventory = self.inventory(&[]);
        self.cephdock(&inventory, &["up"]).exits(0);
        *unsure() = false;
        inventory
    }

    /// The nodes hold the healthy cluster of the standard inventory, whoever made it.
    pub(crate) fn settled(&self) {
        *unsure() = false;
    }

    /// The nodes are in a state that no other test can start from.
    pub(crate) fn spoiled(&self) {
        *unsure() = true;
    }

    /// What lies on nodes: files with their attributes and sums, containers, images, and the start of a disk that is not mounted. What
    /// daemons that run write themselves is left out.
    pub(crate) fn snapshot(&self, nodes: &[&str]) -> Vec<String> {
        let command = r#"find /etc/ceph /var/lib/ceph ! -path '*/store.db/*' ! -path '*/mon/*/external_log_to*' -printf '%p %y %m %U %G %l\n' 2>/dev/null | sort
            find /etc/ceph /var/lib/ceph -path '/var/lib/ceph/mon/*/*' -prune -o -path '/var/lib/ceph/osd/*/*' -prune -o -type f -printf '%p %T@\n' 2>/dev/null | sort
            find /etc/ceph /var/lib/ceph -path '/var/lib/ceph/mon/*/*' -prune -o -name block -prune -o -type f -exec sha256sum {} + 2>/dev/null | sort -k2
            docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}}'; docker images --no-trunc -q
            docker ps -aq | xargs -r docker inspect -f '{{.Id}} {{.State.StartedAt}}'
            [ -n "$(docker ps -q -f name=osd)" ] || findmnt -S /dev/ubdb >/dev/null || head -c 1M /dev/ubdb | sha256sum"#;
        nodes.iter().map(|node| self.sh(node, command)).collect()
    }

    /// Nothing may have changed on `nodes` since `before`, their [`snapshot`](Self::snapshot).
    pub(crate) fn assert_untouched(&self, nodes: &[&str], before: &[String]) {
        for ((node, before), after) in nodes.iter().zip(before).zip(self.snapshot(nodes)) {
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            let (before, after) = (lines(before), lines(&after));
            let changed: Vec<_> = before.symmetric_difference(&after).collect();
            assert!(changed.is_empty(), "changed on {node}: {changed:#?}");
        }
    }
}

/// Asks again and again until the answer is not `None`.
pub(crate) fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) => assert!(
                begun.elapsed() < Duration::from_secs(seconds),
                "waited {seconds} s for {what}: {seen}"
            ),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn namespace() -> String {
    std::env::var("LAB_NS").unwrap_or_else(|_| "labtest".into())
}

/// The admin's environment: nothing of this machine's own SSH.
fn environment() -> [(&'static str, String); 2] {
    [("LAB_NS", namespace()), ("SSH_AUTH_SOCK", String::new())]
}

fn cephdock(inventory: &Path, args: &[&str]) -> Vec<String> {
    let path = inventory.to_str().expect("text");
    let before = ["run", env!("CARGO_BIN_EXE_cephdock"), "-i", path];
    before.iter().chain(args).map(|a| (*a).to_owned()).collect()
}

/// A command that is ended when it takes longer.
fn bounded(seconds: u64) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", &seconds.to_string()]);
    command
}

fn number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Keeps a Ctrl-C in the terminal from ending the keeper before it has taken the lab down.
trait OfItsOwn {
    fn process_group_of_its_own(&mut self) -> &mut Self;
}

impl OfItsOwn for Command {
    fn process_group_of_its_own(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}
