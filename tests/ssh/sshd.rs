//! A real sshd on loopback, with a folder of its own, for as long as the value lives.

use std::collections::VecDeque;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use cephdock::inventory::{HostKeyPolicy, Ssh, Unset};
use cephdock::secret::Secret;
use cephdock::ssh::Prompt;
use tempfile::TempDir;

/// A running sshd; dropping it ends it and every connection it serves.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    extra: String,
    child: Child,
}

/// Runs a program that has to succeed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output();
    let out = out.unwrap_or_else(|e| {
        panic!("{program}: {e}; apt-get install openssh-server openssh-client")
    });
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// Makes a key pair; returns the public line.
pub(crate) fn keygen(path: &Path, key_type: &str, passphrase: &str) -> String {
    let path_text = path.to_str().expect("text");
    run("ssh-keygen", &["-q", "-t", key_type, "-N", passphrase, "-C", "test", "-f", path_text]);
    fs::read_to_string(path.with_extension("pub")).expect("a public key")
}

/// A port nobody has: each caller in this process gets another one, and the kernel says that it is free.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 200).expect("small") * 50;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Who the tests run as.
pub(crate) fn user() -> String {
    run("id", &["-un"]).trim().to_owned()
}

impl Sshd {
    /// Starts one with `extra` lines of configuration. Its key is ed25519, and known; `dir/id` may log in.
    pub(crate) fn start(extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let host = keygen(&path("host_ed25519"), "ed25519", "");
        let login = keygen(&path("id"), "ed25519", "");
        fs::write(path("authorized_keys"), login).expect("written");
        // somebody else may take the port before sshd does
        let started = (0..5).find_map(|_| {
            let port = free_port();
            let mut child = spawn(dir.path(), port, extra);
            answers(&mut child, port).then_some((child, port))
        });
        let log = || fs::read_to_string(path("log")).unwrap_or_default();
        let (child, port) = started.unwrap_or_else(|| panic!("sshd did not start:\n{}", log()));
        fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {host}")).expect("written");
        Self { dir, port, extra: extra.to_owned(), child }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Settings that work.
    pub(crate) fn settings(&self) -> Ssh {
        Ssh {
            host: "127.0.0.1".into(),
            port: self.port,
            user: user(),
            identity_files: vec![self.path("id")],
            identities_only: false,
            jump: Vec::new(),
            certificates: Vec::new(),
            known_hosts: vec![self.path("known_hosts")],
            // none of this machine's
            global_known_hosts: Vec::new(),
            host_key: HostKeyPolicy::Strict,
            fingerprint: None,
            unset: Unset::default(),
        }
    }

    /// The host's public key: type and base64.
    pub(crate) fn host_key(&self) -> String {
        let line = fs::read_to_string(self.path("host_ed25519.pub")).expect("a key");
        line.rsplit_once(' ').expect("a comment").0.to_owned()
    }

    /// Lets another key log in.
    pub(crate) fn authorize(&self, public: &str) {
        let mut keys = fs::read_to_string(self.path("authorized_keys")).expect("read");
        keys.push_str(public);
        fs::write(self.path("authorized_keys"), keys).expect("written");
    }

    /// What sshd logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Kills the processes that serve connections, as a crash would, and the listener with them.
    pub(crate) fn kill(&mut self) {
        let family = family(vec![self.child.id()]);
        end(&family);
        drop(self.child.wait());
    }

    /// Kills the processes that serve connections; new ones are taken.
    pub(crate) fn kill_connections(&self) {
        end(&family(children(self.child.id())));
    }

    /// Starts it again where it was killed, on the same port and with the same keys.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.dir.path(), self.port, &self.extra);
        assert!(answers(&mut self.child, self.port), "sshd did not start:\n{}", self.log());
    }

    /// How many connections it serves.
    pub(crate) fn connections(&self) -> usize {
        children(self.child.id()).len()
    }
}

/// Waits until sshd listens; false where it ended instead.
fn answers(child: &mut Child, port: u16) -> bool {
    for _ in 0..500 {
        if child.try_wait().expect("our child").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processes with all that come from them.
fn family(mut pids: Vec<u32>) -> Vec<u32> {
    let mut i = 0;
    while i < pids.len() {
        pids.extend(children(pids[i]));
        i += 1;
    }
    pids
}

fn end(pids: &[u32]) {
    for pid in pids {
        // one may have ended by itself meanwhile
        let mut kill = Command::new("kill");
        drop(kill.args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status());
    }
}

/// Process ids of `pid`'s children.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Whether this sshd knows `PerSourcePenalties`, as OpenSSH 9.8 and later do.
fn knows_penalties(program: &str) -> bool {
    let mut sshd = Command::new(program);
    let asked = sshd.args(["-T", "-f", "/dev/null", "-o", "PerSourcePenalties=no"]);
    let said = asked.output().expect("sshd starts").stderr;
    !String::from_utf8_lossy(&said).contains("Bad configuration option")
}

fn spawn(dir: &Path, port: u16, extra: &str) -> Child {
    let program = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"];
    let program = program.iter().find(|p| Path::new(p).exists());
    let program = program.expect("these tests need an SSH server: apt-get install openssh-server");
    // where it changes its root to before login; packages make it when their service starts
    if user() == "root" {
        fs::create_dir_all("/run/sshd").expect("made");
        fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)).expect("set");
    }
    let d = dir.display();
    // the login shell must not read this user's ~/.bashrc, which may take long or print; an empty HOME has none
    let extra = match extra.split_once("SetEnv ") {
        Some((before, after)) => format!("{before}SetEnv HOME={d} {after}"),
        None => format!("{extra}\nSetEnv HOME={d}"),
    };
    // the first value of an option counts, so `extra` goes first; of this one the last
    let startups = if extra.contains("MaxStartups") { "" } else { "MaxStartups 100\n" };
    // 127.0.0.1 would be shut out for a while where many logins fail
    let penalties = if knows_penalties(program) { "PerSourcePenalties no\n" } else { "" };
    let config = format!(
        "{extra}\n{penalties}ListenAddress 127.0.0.1:{port}\nHostKey {d}/host_ed25519\nPidFile none\nStrictModes no\n\
         AuthorizedKeysFile {d}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         UsePAM no\nPermitRootLogin yes\nLogLevel VERBOSE\n{startups}"
    );
    fs::write(dir.join("sshd_config"), config).expect("written");
    Command::new(program)
        .args(["-D", "-E"])
        .arg(dir.join("log"))
        .arg("-f")
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd starts")
}

/// Answers questions from a list, and remembers them.
pub(crate) struct Answers {
    questions: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<&'static str>>,
}

impl Answers {
    pub(crate) fn new(answers: &[&'static str]) -> Self {
        Self { questions: Mutex::default(), answers: Mutex::new(answers.iter().copied().collect()) }
    }

    /// The questions so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.questions.lock().expect("unpoisoned").clone()
    }
}

impl Prompt for Answers {
    fn secret(&self, question: &str) -> Option<Secret> {
        self.questions.lock().expect("unpoisoned").push(question.to_owned());
        self.answers.lock().expect("unpoisoned").pop_front().map(Secret::new)
    }
}
