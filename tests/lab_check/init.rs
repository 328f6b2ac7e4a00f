//! `init --scan`: an inventory of hosts that were looked at.

use std::path::Path;

use super::lab_support::own::Own;
use super::{IMAGE, found};

/// An inventory of hosts that were looked at, which `check` and `plan` take.
pub(super) fn of_hosts_that_were_looked_at(lab: &Own, inventory: &Path) {
    let ssh = std::fs::read_to_string(inventory).expect("the inventory");
    let value = |field: &str| {
        let line = ssh.lines().find(|l| l.trim_start().starts_with(field)).expect("the field");
        line.trim_start()[field.len()..].trim().to_owned()
    };
    let path = inventory.with_file_name("made.yaml");
    drop(std::fs::remove_file(&path));
    let (key, known) = (value("identity_file:"), value("known_hosts:"));
    let scan = [
        "init",
        "--scan",
        "10.32.3.61",
        "10.32.3.62",
        "ops@10.32.3.63",
        "--ssh-key",
        &key,
        "--known-hosts",
        &known,
        "--image",
        IMAGE,
        "--file",
        "2GiB",
    ];
    lab.cephdock(&path, &scan).exits(0).says(&["3 nodes in 10.32.3.0/24", "check"]);
    let text = std::fs::read_to_string(&path).expect("the inventory that was made");
    for part in ["name: C1", "roles: [mon, mgr, osd]", "user: ops", "# Docker "] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    lab.cephdock(&path, &["plan"]).exits(0).says(&["start daemons"]);
    // this machine's disk may be too full for a mon: that is the only thing `check` may find
    let run = lab.cephdock(&path, &["check", "--json"]);
    let fails = found(&run.json(), "fail");
    assert!(fails.iter().all(|f| f.starts_with("room ")), "{}", run.all());

    // never over what is there
    lab.cephdock(&path, &scan).exits(2).says(&["is there already"]);
    assert_eq!(std::fs::read_to_string(&path).expect("the same"), text);
    let nobody = inventory.with_file_name("nobody.yaml");
    lab.cephdock(&nobody, &["init", "--scan", "10.32.3.69", "--ssh-key", &key])
        .exits(1)
        .says(&["10.32.3.69"]);
    assert!(!nobody.exists());
}
