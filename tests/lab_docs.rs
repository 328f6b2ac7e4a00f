//! The README's first real cluster and the tutorial's walk-through, typed as they stand there, on nodes with the addresses
//! that they use. `tests/docs` sees to it that they are taken at all.
//!
//! What is different from the documents stands in [`Typist::as_here`], and what is left out in [`left_out`], each with its
//! reason, and is printed.

#![allow(clippy::print_stdout, reason = "what is left out is told, with its reason")]

#[path = "docs/pages.rs"]
#[allow(dead_code, reason = "the other test uses the rest of it")]
mod pages;

mod lab_support;
#[path = "lab_docs/talk.rs"]
mod talk;

use std::fs;
use std::path::PathBuf;

use lab_support::own::Own;
use lab_support::{Run, until};

/// What this lab's nodes cannot do, and why: `None` where they can.
fn left_out(command: &str) -> Option<&'static str> {
    match command.split(' ').next().unwrap_or_default() {
        "cargo" => Some("the test is given a program that is built"),
        "docker" | "ssh" => {
            Some("a volume needs krbd, which these nodes have not: tests/lab_volumes.rs does it")
        }
        _ if command == "cephdock volume test" => {
            Some("a volume needs krbd, which these nodes have not: tests/lab_volumes.rs does it")
        }
        _ => None,
    }
}

/// Words that a command has to say, for what the documents promise of it.
fn promised(command: &str, first: bool) -> &'static [&'static str] {
    match command {
        "cephdock check" => &["login", "docker", "paths", "clock", "B1", "B2", "B3"],
        "cephdock plan" if first => &["mon", "osd", "B1", "B2", "B3"],
        "cephdock up" => &["HEALTH_OK"],
        "cephdock status" => &["HEALTH_OK", "B1", "B2", "B3", "osd-0", "osd-2"],
        _ if command.starts_with("cephdock init --scan") => &["Wrote ./inventory.yaml", "3 nodes"],
        _ if command.starts_with("cephdock add-node") => &["HEALTH_OK"],
        _ => &[],
    }
}

/// Whoever follows a document, in a folder and with a home of their own.
struct Typist {
    lab: Own,
    folder: tempfile::TempDir,
}

impl Typist {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Their `~/.ssh/config`: the names that the README uses for the hosts, and how the lab's nodes are logged in to.
    fn settle_in(&self) {
        let all = self.lab.lab(60, &["inventory"]).ok().out;
        let field = |name: &str| {
            let line = all.lines().find_map(|l| l.trim().strip_prefix(name)).expect("it is there");
            line.trim().to_owned()
        };
        let (key, known) = (field("identity_file:"), field("known_hosts:"));
        let hosts = [("b1", 147), ("b2", 148), ("b3", 149)];
        let hosts = hosts.map(|(name, last)| format!("Host {name}\n  HostName 10.32.3.{last}\n"));
        let all =
            format!("Host *\n  User root\n  IdentityFile {key}\n  UserKnownHostsFile {known}\n");
        let text = hosts.concat() + &all;
        fs::create_dir_all(self.path(".ssh")).expect("a folder");
        fs::write(self.path(".ssh/config"), text).expect("a file");
    }

    /// Types a command of a document.
    fn types(&self, command: &str) -> Run {
        let script = command.replace("cephdock ", concat!(env!("CARGO_BIN_EXE_cephdock"), " "));
        let (folder, home) =
            (self.folder.path().display(), format!("HOME={}", self.folder.path().display()));
        let cd = format!("cd {folder} || exit; {script}");
        self.lab.lab(400, &["run", "env", &home, "sh", "-c", &cd])
    }

    /// A command as it is typed here. What is put in is what a reader puts in, or what these nodes need.
    fn as_here(&self, command: &str) -> String {
        let command = command.replace("target/release/cephdock", "cephdock");
        if command.starts_with("cephdock init") {
            // these nodes have no disk of their own
            return format!("{command} --file 2GiB --image registry.lab:5000/ceph/ceph:v18");
        }
        if command == "cephdock reset" {
            // the question for the fsid is answered
            let fsid =
                self.types("cephdock status --json").json()["fsid"].as_str().map(str::to_owned);
            return format!("{command} --yes --fsid {}", fsid.expect("a cluster"));
        }
        command.replace("--device /dev/sdb", "--file 2GiB")
    }

    /// The inventory, for nodes without a disk, with an image that there is, and this machine's disk fuller than a mon likes.
    fn edits(&self, text: &str) {
        let mut text = text.replace("{device: /dev/sdb}", "{file: 2GiB}");
        let cluster = "cluster:\n";
        assert!(text.contains(cluster), "{text}");
        let image = if text.contains("\n  image:") {
            ""
        } else {
            "  image: registry.lab:5000/ceph/ceph:v18\n"
        };
        text = text.replacen(
            cluster,
            &format!(
                "{cluster}{image}  config: {{global: {{mgr_initial_modules: iostat nfs}}, mon: {{mon_data_avail_warn: 1, \
                 mon_data_avail_crit: 1}}}}\n"
            ),
            1,
        );
        text += "client: {packages: off}\nvolumes: {driver: none}\n";
        fs::write(self.path("inventory.yaml"), text).expect("an inventory");
    }

    /// Follows a document's commands to their end.
    fn follows(&self, name: &str, commands: &[String], first: bool) {
        for command in commands {
            if let Some(why) = left_out(command) {
                println!("{name}: `{command}` is not run: {why}");
                continue;
            }
            if command.starts_with("$EDITOR") {
                let text = fs::read_to_string(self.path("inventory.yaml")).expect("init wrote it");
                self.edits(&text);
                continue;
            }
            let typed = self.as_here(command);
            println!("{name}: {typed}");
            let ran = self.types(&typed).exits(0);
            let known = command.replace("target/release/cephdock", "cephdock");
            ran.says(promised(&known, first));
        }
    }
}

#[test]
#[ignore = "needs the lab: make lab-test"]
fn the_readme_and_the_tutorial_as_they_are_typed() {
    let nodes = [
        "B1/nspawn=10.32.3.147",
        "B2/nspawn=10.32.3.148",
        "B3/nspawn=10.32.3.149",
        "B4/nspawn=10.32.3.150",
    ];
    let lab = Own::boot_bare("labdocs", &nodes);
    let folder = tempfile::tempdir().expect("a folder");
    let typist = Typist { lab, folder };
    typist.settle_in();

    let readme = pages::one("README.md").commands_under("Your first real cluster");
    assert!(readme.iter().any(|c| c.ends_with("cephdock up")), "{readme:?}");
    typist.follows("README.md", &readme, true);
    talk::logs_and_ceph(&typist);

    // the same nodes, and the inventory of the other document
    let tutorial = pages::one("examples/tutorial.md");
    typist.edits(&tutorial.yaml_under("1."));
    let commands = tutorial.commands_under("");
    let away = commands.iter().position(|c| c == "cephdock reset").expect("it ends with that");
    typist.follows("examples/tutorial.md", &commands[..away], false);
    a_connection_that_is_lost_costs_no_run(&typist);
    typist.follows("examples/tutorial.md", &commands[away..], false);
    for node in ["B1", "B4"] {
        let left = typist.lab.sh(node, "docker ps -aq; ls /var/lib/ceph 2>/dev/null || true");
        assert_eq!(left, "", "on {node}");
    }
}

/// In the middle of a run every process of sshd's that serves B2 is killed; the run goes on to its end.
fn a_connection_that_is_lost_costs_no_run(typist: &Typist) {
    // stopped in good order, so that the mons know: otherwise they take it for up, and the run is over before it is cut
    typist.lab.sh("B2", "docker stop osd-1 >/dev/null; docker rm -f mgr osd-1 >/dev/null");
    let out = typist.path("up.json");
    let program = env!("CARGO_BIN_EXE_cephdock");
    let script = format!(
        "cd {} && exec {program} up --json >up.json 2>up.err",
        typist.folder.path().display()
    );
    let home = format!("HOME={}", typist.folder.path().display());
    let mut up =
        typist.lab.command(&["run", "env", &home, "sh", "-c", &script]).spawn().expect("it starts");
    until("a step", 60, || {
        let said = fs::read_to_string(&out).unwrap_or_default();
        if said.contains("step-started") { Ok(()) } else { Err(said) }
    });
    // but not the one that this comes by
    let kill = "own=' '; p=$$; while [ \"$p\" -gt 1 ]; do own=\"$own$p \"; p=$(awk '/^PPid/ {print $2}' /proc/$p/status); done; \
         for p in $(pgrep 'sshd-session|sshd'); do case \"$own\" in *\" $p \"*) ;; *) \
         grep -q 'sshd.*-D' /proc/$p/cmdline || kill -9 $p ;; esac; done; true";
    typist.lab.sh("B2", kill);
    let ended = up.wait().expect("it ends");
    let said = fs::read_to_string(&out).expect("its events");
    assert_eq!(ended.code(), Some(0), "{said}");
    assert!(said.contains("the connection was lost and has been made again"), "{said}");
    typist.types("cephdock plan --check").exits(0);
}
