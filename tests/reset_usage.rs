//! `cephdock reset` where nobody can be asked: before any node is contacted it says what to write.

use assert_cmd::Command;

const INVENTORY: &str = "
cluster: {public_network: 192.0.2.0/24}
nodes: [{name: B1, address: 192.0.2.1, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}]
";
const FSID: &str = "1b4c8e0a-5d9f-4a37-9c53-6f0e2d7b8a11";

/// What it says on stderr; the exit code has to be 2 and stdout empty.
fn usage(args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.yaml");
    std::fs::write(&path, INVENTORY).expect("an inventory");
    let mut cephdock = Command::new(env!("CARGO_BIN_EXE_cephdock"));
    let out = cephdock.arg("-i").arg(path).arg("reset").args(args).output().expect("it starts");
    let said = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    assert!(out.stdout.is_empty(), "{args:?}");
    said
}

#[test]
fn without_a_terminal_the_cluster_has_to_be_named() {
    for args in [&[][..], &["--fsid", FSID], &["--yes"], &["--json"], &["--keep-data"]] {
        assert!(usage(args).contains("cephdock reset --yes --fsid FSID"), "{args:?}");
    }
}

#[test]
fn what_cannot_be_meant() {
    assert!(usage(&["--yes", "--fsid", "1b4c"]).contains("--fsid"));
    assert!(usage(&["--node", "B1", "--keep-data", "--dry-run"]).contains("--keep-data"));
    let unknown = usage(&["--node", "B9", "--yes", "--fsid", FSID]);
    assert!(unknown.contains("no node called B9") && unknown.contains("B1"), "{unknown}");
}
