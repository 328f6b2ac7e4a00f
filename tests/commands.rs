//! Commands as people type them where no node is needed: manual pages, completions, and what is said of a mistake before
//! any node is contacted.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

const INVENTORY: &str = "
cluster: {public_network: 192.0.2.0/24}
nodes: [{name: B1, address: 192.0.2.1, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}]
";

/// Runs it in a folder with an inventory.
fn cephdock(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("inventory.yaml"), INVENTORY).expect("an inventory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cephdock"));
    command.args(args).current_dir(&folder).stdin(Stdio::null());
    command.env_remove("CEPHDOCK_INVENTORY").output().expect("it starts")
}

/// What it prints where all is well.
fn printed(args: &[&str]) -> String {
    let out = cephdock(args);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.is_empty(), "{args:?}: {said}");
    String::from_utf8(out.stdout).expect("text")
}

/// What it says where the command line is wrong: on stderr, with nothing on stdout.
fn usage(args: &[&str]) -> String {
    let out = cephdock(args);
    let said = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    assert!(out.stdout.is_empty(), "{args:?}");
    said
}

/// The commands below `of`, as its help lists them.
fn commands(of: &[&str]) -> Vec<String> {
    let help = printed(&[of, &["--help"]].concat());
    let list = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let list = list.take_while(|l| !l.is_empty());
    // a name has two spaces before it, what is said of it on further lines more
    let names = list.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    let names = names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let page = printed(&[&["man"], &words[..]].concat());
        let title = [&["cephdock"], &words[..]].concat().join("-");
        assert!(page.contains(&format!(".TH {title} 1 ")), "{words:?}: {page}");
        assert!(page.contains(".SH SYNOPSIS"), "{words:?}");
        seen += 1;
        waiting.extend(commands(&words).into_iter().map(|name| [&path[..], &[name]].concat()));
    }
    assert!(seen > 25, "{seen}");
    for (wrong, there) in [
        (&["nosuch"][..], "volume-driver"),
        (&["volume", "mend"], "unstick"),
        (&["up", "x"], "none"),
    ] {
        let said = usage(&[&["man"], wrong].concat());
        assert!(said.contains(&wrong.join(" ")) && said.contains(there), "{said}");
    }
}

#[test]
fn completions_are_programs_of_their_shells() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = printed(&["completions", shell]);
        for word in ["add-node", "unstick", "--keep-data"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    let text = printed(&["completions", "bash"]);
    bash.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    assert!(bash.wait().expect("it ends").success());
}

#[test]
fn mistakes_are_told_before_a_node_is_contacted() {
    for (args, parts) in [
        (&["logs", "B9", "mon"][..], &["no node called B9", "B1"][..]),
        (&["logs", "B1", "mds"], &["\"mds\"", "`osd-3`"]),
        (&["logs", "B1", "mon.B2"], &["\"mon.B2\" is no daemon of B1"]),
        (&["logs", "B1"], &["<DAEMON>"]),
        (&["ceph", "-s"], &["-- -s"]),
        (&["ceph", "--"], &["<ARGS>"]),
        (&["-i", "nowhere.yaml", "ceph", "--", "-s"], &["there is no inventory here"]),
        (&["status", "--watch", "0"], &["between 0.2 and 86400"]),
        (&["-i", "new.yaml", "init"], &["--scan", "--node"]),
        (&["init", "--node", "B1=192.0.2.1", "--network", "192.0.2.0/24"], &["is there already"]),
    ] {
        let said = usage(args);
        for part in parts {
            assert!(said.contains(part), "{args:?} does not say {part:?}: {said}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for args in [&["man"][..], &["completions", "zsh"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cephdock"));
        let mut child = command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut out = BufReader::with_capacity(64, child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("a line");
        drop(out);
        let ended = child.wait_with_output().expect("it ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{args:?}: {ended:?}");
    }
}

/// Runs a command on a terminal and types a line at each question. Prints what was said, and the exit code last.
const TYPIST: &str = concat!(
    include_str!("terminal.py"),
    r#"
answers = sys.argv[1].split("|")
def answer(said, terminal):
    if answers and said.endswith(b": "):
        os.write(terminal, answers.pop(0).encode())
        return b"\n"
said, code = typed(sys.argv[2:], 30, answer)
print(said.decode(errors="replace"))
print("exit", code)
"#
);

#[test]
fn init_asks_and_believes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let typed = |answers: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", TYPIST, answers, env!("CARGO_BIN_EXE_cephdock"), "init"]);
        command.current_dir(&folder).env("HOME", folder.path()).env("SSH_AUTH_SOCK", "");
        let out = command.output().expect("python3 is there");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    for (answers, exit, part) in [
        ("\n", 2, "no host was named"),
        ("b1\n|a user\n", 2, "this is not a user's name"),
        // Ctrl-D
        ("\x04", 130, "Hosts to look at"),
        ("b1\n|\x04", 130, "The login on them"),
    ] {
        let said = typed(answers);
        assert!(said.contains(part), "{answers:?}: {said}");
        assert!(said.trim_end().ends_with(&format!("exit {exit}")), "{answers:?}: {said}");
    }
    assert!(!folder.path().join("inventory.yaml").exists(), "nothing is written");
}
