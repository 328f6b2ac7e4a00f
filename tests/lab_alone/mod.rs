//! A lab for one test file, beside any other: bare nspawn nodes, and cephdock run by the admin.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab");
/// What no command of a test takes.
const SECONDS: &str = "420";

/// Nodes, from boot to the end of the test.
pub(crate) struct Lab {
    ns: &'static str,
    /// A folder for inventories and the like.
    pub(crate) dir: PathBuf,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    /// -1: a signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    /// The most memory it had, where it was measured.
    pub(crate) memory_kib: u64,
}

impl Said {
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// The folder of what the lab has built.
pub(crate) fn built() -> PathBuf {
    std::env::var_os("LAB_DIR").map_or_else(|| "/var/tmp/cephdock-lab".into(), PathBuf::from)
}

impl Lab {
    /// Boots bare nodes, and takes down what an earlier test of this name left.
    pub(crate) fn up(ns: &'static str, nodes: &[(&str, &str)]) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(ns);
        fs::create_dir_all(&dir).expect("a folder");
        let lab = Self { ns, dir };
        lab.run(&["down"]);
        let specs = nodes.iter().map(|(name, ip)| format!("{name}/nspawn={ip}"));
        let args: Vec<String> =
            ["up".to_owned(), "--bare".into()].into_iter().chain(specs).collect();
        let up = lab.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(up.ok, "{up:?}");
        lab
    }

    /// `tests/lab/lab ARGS`, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        command.args(args).env("LAB_NS", self.ns).env("SSH_AUTH_SOCK", "").env_remove("LAB_NET");
        command.stdin(Stdio::null());
        command
    }

    /// Runs `tests/lab/lab ARGS` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let lab = self.command(args);
        let mut command = Command::new("timeout");
        command.args(["-k", "5", SECONDS, LAB]).args(args).stdin(Stdio::null());
        for (name, value) in lab.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().expect("timeout starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            ok: output.status.success(),
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
            memory_kib: 0,
        }
    }

    /// The output of a shell command on a node that has to succeed.
    pub(crate) fn ssh(&self, node: &str, command: &str) -> String {
        let said = self.run(&["ssh", node, command]);
        assert!(said.ok, "{command}: {said:?}");
        said.out
    }

    /// Copies a program to a node.
    pub(crate) fn install(&self, node: &str, program: &str, path: &str) {
        let file = fs::File::open(program).expect("it was built");
        let mut command = self.command(&["ssh", node, &format!("cat >{path} && chmod +x {path}")]);
        let copied = command.stdin(file).status().expect("ssh starts");
        assert!(copied.success());
    }

    /// Writes a file into the test's folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// The `ssh:` section for the nodes.
    pub(crate) fn login(&self) -> String {
        let inventory = self.run(&["inventory"]).out;
        let from = inventory.find("ssh:").expect("ssh");
        let to = inventory.find("nodes:").expect("nodes");
        inventory[from..to].trim_end().to_owned()
    }

    /// Runs `cephdock -i INVENTORY ARGS` to its end, and measures its memory.
    pub(crate) fn cephdock(&self, inventory: &Path, args: &[&str]) -> Said {
        let path = inventory.to_str().expect("text");
        let python = "import os, resource, subprocess, sys\n\
            code = subprocess.call(sys.argv[2:])\n\
            open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
            sys.exit(code)";
        let peak = self.dir.join("peak");
        let mut all = vec!["run", "python3", "-c", python, peak.to_str().expect("text")];
        all.extend([env!("CARGO_BIN_EXE_cephdock"), "-i", path]);
        all.extend(args);
        let mut said = self.run(&all);
        let kib = fs::read_to_string(&peak).ok().and_then(|text| text.parse().ok());
        said.memory_kib = kib.unwrap_or(u64::MAX);
        said
    }

    /// Starts `cephdock --json`, to be killed while it runs.
    pub(crate) fn start(&self, inventory: &Path, args: &[&str]) -> Running {
        let path = inventory.to_str().expect("text");
        let mut command = self.command(&["run", env!("CARGO_BIN_EXE_cephdock"), "-i", path]);
        command.args(args);
        Running::start(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

/// cephdock while it runs. Dropping it kills it with SIGKILL.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().expect("it starts"))
    }

    /// Waits for an event that `is` it; the run has to come to it.
    pub(crate) fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        let out = self.0.stdout.as_mut().expect("its output");
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        for line in lines {
            if serde_json::from_str(&line).is_ok_and(|event| is(&event)) {
                return;
            }
            seen.push(line);
        }
        panic!("cephdock ended before {what}: {seen:#?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
