//! What an inventory only names, the image archive, the registry's password and a program, is read before any node is contacted,
//! and what is wrong with it is told with its place.

#![allow(clippy::unwrap_used, reason = "nothing here may fail")]

use std::fs;
use std::io::Write;
use std::path::Path;

use cephdock::inventory::file::{Loaded, load};
use cephdock::inventory::problem::{Level, Problems};
use cephdock::volume::program::Program;
use tempfile::TempDir;

/// A folder with an inventory in it; its address and port lead nowhere.
fn folder(cluster: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "cluster:\n  public_network: 127.0.0.0/8\n{cluster}ssh: {{port: 1, known_hosts: ./none}}\n\
         nodes: [{{name: a, address: 127.0.0.1, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}]\n"
    );
    fs::write(folder.path().join("inventory.yaml"), text).unwrap();
    folder
}

fn loaded(folder: &TempDir) -> Loaded {
    load(&folder.path().join("inventory.yaml")).unwrap()
}

fn shown(folder: &TempDir, problems: &Problems) -> String {
    problems.to_string().replace(folder.path().to_str().unwrap(), "DIR")
}

/// An archive with one image.
fn archive(path: &Path, tag: &str) {
    let config = r#"{"rootfs":{"type":"layers","diff_ids":["sha256:1"]}}"#;
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["{tag}"],"Layers":[]}}]"#);
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, content) in [("c.json", config), ("manifest.json", &manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().flush().unwrap();
}

#[test]
fn an_archive_says_what_it_holds_and_what_to_do() {
    let folder = folder("  image: ceph/ceph:v19\n  image_archive: ./ceph.tar\n");
    let path = folder.path().join("ceph.tar");
    let said = || shown(&folder, &loaded(&folder).read_archive().unwrap_err());
    insta::assert_snapshot!("archive_missing", said());
    fs::write(&path, "no archive at all").unwrap();
    insta::assert_snapshot!("archive_that_is_none", said());
    archive(&path, "ceph/ceph:v18");
    insta::assert_snapshot!("archive_of_another_image", said());
    archive(&path, "ceph/ceph:v19");
    let mut good = loaded(&folder);
    good.read_archive().unwrap();
    let archive = good.inventory.cluster.image_archive.unwrap();
    assert_eq!(archive.archived.unwrap().bytes, fs::metadata(&path).unwrap().len());
}

const REGISTRY: &str = "  image: r.example:5000/ceph:v19\n  registry: {server: r.example:5000, username: u, \
                        password_file: ./pw}\n";

#[test]
fn a_password_is_the_first_line_of_its_file_and_never_shown() {
    let folder = folder(REGISTRY);
    let path = folder.path().join("pw");
    let said = || shown(&folder, &loaded(&folder).read_password(true).unwrap_err());
    insta::assert_snapshot!("password_missing", said());
    fs::write(&path, "\nHUNTER2\n").unwrap();
    insta::assert_snapshot!("password_empty", said());
    fs::write(&path, "HUNTER2\r\nmore\n").unwrap();
    let mut good = loaded(&folder);
    good.read_password(true).unwrap();
    assert!(!format!("{good:?}").contains("HUNTER2"));
    let cluster = &good.inventory.cluster;
    assert_eq!(cluster.login("r.example:5000/ceph:v19").unwrap().password.expose(), "HUNTER2");
    // a login is for its own registry alone
    assert_eq!(cluster.login("quay.io/ceph/ceph:v19"), None);
}

#[test]
fn a_command_that_only_looks_can_do_without_a_password() {
    let folder =
        folder(&REGISTRY.replace("password_file: ./pw", "password_env: CEPHDOCK_NO_SUCH_VARIABLE"));
    let mut looked = loaded(&folder);
    looked.read_password(false).unwrap();
    let [warning] = &looked.warnings[..] else { panic!("{:?}", looked.warnings) };
    assert_eq!(warning.level, Level::Warning);
    assert!(warning.message.contains("CEPHDOCK_NO_SUCH_VARIABLE"), "{}", warning.message);
    // with an archive nothing is pulled, and nobody asks for it
    fs::write(folder.path().join("ceph.tar"), "").unwrap();
    let text = fs::read_to_string(folder.path().join("inventory.yaml")).unwrap();
    let text = text.replace("  image:", "  image_archive: ./ceph.tar\n  image:");
    fs::write(folder.path().join("inventory.yaml"), text).unwrap();
    loaded(&folder).read_password(true).unwrap();
}

/// `up` ends with 2 at once; `status` does not ask.
#[test]
fn nothing_is_contacted_before_all_of_it_is_there() {
    let folder = folder(REGISTRY);
    let run = |command: &str| {
        let mut cephdock = assert_cmd::Command::new(env!("CARGO_BIN_EXE_cephdock"));
        cephdock.current_dir(folder.path()).env("SSH_AUTH_SOCK", "").arg(command).output().unwrap()
    };
    let up = run("up");
    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(up.status.code(), Some(2), "{said}");
    assert!(said.contains("inventory.yaml:4") && said.contains("there is no file"), "{said}");
    assert!(!said.contains("127.0.0.1"), "it was contacted: {said}");
    assert_ne!(run("status").status.code(), Some(2));
}

#[test]
fn a_volume_driver_for_other_nodes_comes_before_this_very_program() {
    let folder = folder("  image: ceph:test\n");
    let file = folder.path().join("inventory.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let mut this = loaded(&folder);
    this.read_programs(true).unwrap();
    let programs = this.inventory.volumes.programs.unwrap();
    assert_eq!(programs.iter().map(Program::name).collect::<Vec<_>>(), ["this cephdock"]);

    fs::write(&file, format!("{text}volumes: {{driver_binary: ./cephdock-arm64}}\n")).unwrap();
    let said = || shown(&folder, &loaded(&folder).read_programs(true).unwrap_err());
    insta::assert_snapshot!("driver_missing", said());
    let path = folder.path().join("cephdock-arm64");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    insta::assert_snapshot!("driver_that_is_no_program", said());
    let mut looked = loaded(&folder);
    looked.read_programs(false).unwrap();
    assert!(looked.warnings.len() == 1 && looked.inventory.volumes.programs.is_none());
    let mut arm = b"\x7fELF\x02\x01\x01".to_vec();
    arm.resize(18, 0);
    arm.extend([183, 0]);
    fs::write(&path, arm).unwrap();
    let mut good = loaded(&folder);
    good.read_programs(true).unwrap();
    let programs = good.inventory.volumes.programs.unwrap();
    assert!(programs[0].is_for("aarch64") && programs.len() == 2, "{programs:?}");

    // where no driver of ours is asked for, nobody looks
    fs::write(&file, format!("{text}volumes: {{driver: none}}\n")).unwrap();
    let mut none = loaded(&folder);
    none.read_programs(true).unwrap();
    assert!(none.inventory.volumes.programs.is_none());
}
