//! A lab beside the others, for a test file that needs nodes of its own kind or number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::run::{Run, Running};
use super::{Command, LAB, bounded};

/// Booting two dozen nodes takes its time.
const BOOT_SECONDS: u64 = 900;
const SECONDS: u64 = 600;

/// A lab that is taken down when it is dropped.
pub(crate) struct Own {
    ns: &'static str,
    /// Settings of the lab.
    settings: &'static [(&'static str, &'static str)],
}

/// The folder of what the lab has built.
pub(crate) fn built() -> PathBuf {
    std::env::var_os("LAB_DIR").map_or_else(|| "/var/tmp/cephdock-lab".into(), PathBuf::from)
}

impl Own {
    /// Boots nodes given as `NAME/KIND=IP`, with the Ceph image on them.
    pub(crate) fn boot(ns: &'static str, nodes: &[&str]) -> Self {
        Self::up(ns, &[], nodes)
    }

    /// Boots them without the image.
    pub(crate) fn boot_bare(ns: &'static str, nodes: &[&str]) -> Self {
        Self::up(ns, &["--bare"], nodes)
    }

    fn up(ns: &'static str, options: &[&str], nodes: &[&str]) -> Self {
        let own = Self::without_nodes(ns, &[]);
        own.more(options, nodes);
        own
    }

    /// A lab without nodes yet, with these settings (`tests/lab/lab` lists them). What an earlier test of this name left
    /// is taken down.
    pub(crate) fn without_nodes(
        ns: &'static str,
        settings: &'static [(&'static str, &'static str)],
    ) -> Self {
        let own = Self { ns, settings };
        own.lab(60, &["down"]).ok();
        own
    }

    /// Boots more nodes, or the same ones where they were off.
    pub(crate) fn more(&self, options: &[&str], nodes: &[&str]) {
        self.lab(BOOT_SECONDS, &[&["up"], options, nodes].concat()).ok();
    }

    /// Runs `tests/lab/lab` in this lab.
    pub(crate) fn lab(&self, seconds: u64, args: &[&str]) -> Run {
        let mut command = bounded(seconds);
        self.environment(command.arg(LAB).args(args));
        Run::of(&format!("lab {}", args.join(" ")), &mut command)
    }

    /// The same, in the time that is enough for most.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.lab(SECONDS, args)
    }

    /// `tests/lab/lab ARGS` in this lab, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        self.environment(command.args(args).stdin(Stdio::null()));
        command
    }

    fn environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LAB_NS", self.ns).env("SSH_AUTH_SOCK", "").env_remove("LAB_NET");
        command.envs(self.settings.iter().copied())
    }

    /// Runs a shell command on a node as root.
    pub(crate) fn ssh(&self, node: &str, command: &str) -> Run {
        self.lab(SECONDS, &["ssh", node, command])
    }

    /// The output of a shell command on a node that has to succeed.
    pub(crate) fn sh(&self, node: &str, command: &str) -> String {
        self.ssh(node, command).ok().out
    }

    /// Puts a file on a node, as a program.
    pub(crate) fn send(&self, node: &str, file: &Path, to: &str) {
        let mut command = bounded(SECONDS);
        let put = format!("cat >{to}.part && chmod +x {to}.part && mv {to}.part {to}");
        command.arg(LAB).args(["ssh", node, &put]).stdin(fs::File::open(file).expect("the file"));
        Run::of(&format!("sending {}", file.display()), self.environment(&mut command)).ok();
    }

    /// Writes an inventory: the `cluster:` and `nodes:` given, and how the lab's nodes are logged in to.
    pub(crate) fn inventory(&self, name: &str, cluster: &str, nodes: &str) -> PathBuf {
        self.write(name, &format!("cluster:\n{cluster}\n{}\nnodes:\n{nodes}", self.login()))
    }

    /// The `ssh:` section of an inventory of the lab's nodes.
    pub(crate) fn login(&self) -> String {
        let all = self.lab(60, &["inventory"]).ok().out;
        let (from, to) = (all.find("ssh:").expect("ssh"), all.find("nodes:").expect("nodes"));
        all[from..to].trim_end().to_owned()
    }

    /// A folder for inventories and the like.
    pub(crate) fn dir(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.ns);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// Writes a file into that folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// Runs `cephdock -i INVENTORY ARGS` to its end, as the admin.
    pub(crate) fn cephdock(&self, inventory: &Path, args: &[&str]) -> Run {
        self.cephdock_as(Path::new(env!("CARGO_BIN_EXE_cephdock")), inventory, args)
    }

    /// The same with another build of it.
    pub(crate) fn cephdock_as(&self, program: &Path, inventory: &Path, args: &[&str]) -> Run {
        let (program, path) = (program.to_str().expect("text"), inventory.to_str().expect("text"));
        self.lab(SECONDS, &[&["run", program, "-i", path], args].concat())
    }

    /// Runs `cephdock -i INVENTORY ARGS` to its end as the admin, and measures the most memory that it had, in KiB.
    pub(crate) fn cephdock_measured(&self, inventory: &Path, args: &[&str]) -> (Run, u64) {
        let python = "import os, resource, subprocess, sys\n\
            code = subprocess.call(sys.argv[2:])\n\
            open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
            sys.exit(code)";
        let (peak, path) = (self.dir().join("peak"), inventory.to_str().expect("text"));
        let before = ["run", "python3", "-c", python, peak.to_str().expect("text")];
        let run =
            self.run(&[&before[..], &[env!("CARGO_BIN_EXE_cephdock"), "-i", path], args].concat());
        let kib = fs::read_to_string(&peak).expect("it was measured").parse().expect("a number");
        (run, kib)
    }

    /// Starts `cephdock`, to be looked at and killed while it runs.
    pub(crate) fn start_cephdock(&self, inventory: &Path, args: &[&str]) -> Running {
        let path = inventory.to_str().expect("text");
        let mut command = Command::new(LAB);
        command.args(["run", env!("CARGO_BIN_EXE_cephdock"), "-i", path]).args(args);
        Running::start(self.environment(&mut command))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.lab(120, &["down"]));
    }
}
