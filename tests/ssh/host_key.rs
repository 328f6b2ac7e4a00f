//! Is it the node?

use std::fs;
use std::sync::Arc;

use cephdock::inventory::{HostKeyPolicy, Jump, Ssh};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};

use crate::sshd::{Sshd, keygen, run};
use crate::{SOON, connect};

fn accept_new(sshd: &Sshd) -> Ssh {
    Ssh { host_key: HostKeyPolicy::AcceptNew, ..sshd.settings() }
}

/// Another machine's key: type and base64.
fn other_key(sshd: &Sshd) -> String {
    let line = keygen(&sshd.path("another_host"), "ed25519", "");
    line.rsplit_once(' ').expect("a comment").0.to_owned()
}

/// A fingerprint as ssh-keygen prints it.
fn fingerprint(sshd: &Sshd, name: &str) -> String {
    let line = run("ssh-keygen", &["-l", "-f", sshd.path(name).to_str().expect("text")]);
    line.split(' ').nth(1).expect("a fingerprint").to_owned()
}

#[tokio::test]
async fn unknown_is_refused_and_the_hint_makes_it_known() {
    let sshd = Sshd::start("");
    fs::remove_file(sshd.path("known_hosts")).expect("removed");
    let error = connect(&sshd.settings()).await.expect_err("unknown");
    let hint = error.hint().expect("one");
    let SshError::HostKeyUnknown { line_to_add, fingerprint: seen, key_type, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((seen, key_type.as_str()), (fingerprint(&sshd, "host_ed25519"), "ssh-ed25519"));
    assert!(hint.contains(&line_to_add) && hint.contains("accept-new"), "{hint}");
    assert!(!sshd.path("known_hosts").exists());
    fs::write(sshd.path("known_hosts"), line_to_add).expect("written");
    connect(&sshd.settings()).await.expect("known now");
}

#[tokio::test]
async fn accept_new_records_the_key() {
    let sshd = Sshd::start("");
    fs::remove_file(sshd.path("known_hosts")).expect("removed");
    connect(&accept_new(&sshd)).await.expect("accepted");
    let recorded = fs::read_to_string(sshd.path("known_hosts")).expect("made");
    assert_eq!(recorded, format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key()));
    connect(&sshd.settings()).await.expect("known now");
    connect(&accept_new(&sshd)).await.expect("still known");
    assert_eq!(fs::read_to_string(sshd.path("known_hosts")).expect("there"), recorded);
}

#[tokio::test]
async fn a_dry_run_accepts_a_new_key_and_records_nothing() {
    let sshd = Sshd::start("");
    fs::remove_file(sshd.path("known_hosts")).expect("removed");
    let local = LocalSsh { record_host_keys: false, ..LocalSsh::default() };
    let client = Client::new(Arc::new(Nobody), local);
    client.connect(&accept_new(&sshd), SOON).await.expect("accepted");
    assert!(!sshd.path("known_hosts").exists());
}

#[tokio::test]
async fn accept_new_for_several_nodes_at_once() {
    let nodes: Vec<_> = (0..4).map(|_| Sshd::start("")).collect();
    let known_hosts = nodes[0].path("new/known_hosts");
    let settings: Vec<_> =
        nodes.iter().map(|n| Ssh { known_hosts: known_hosts.clone(), ..accept_new(n) }).collect();
    for result in futures_util::future::join_all(settings.iter().map(connect)).await {
        result.expect("accepted");
    }
    assert_eq!(fs::read_to_string(&known_hosts).expect("made").lines().count(), nodes.len());
    for settings in settings {
        connect(&Ssh { host_key: HostKeyPolicy::Strict, ..settings }).await.expect("known now");
    }
}

#[tokio::test]
async fn a_changed_key_is_refused_under_either_policy() {
    let sshd = Sshd::start("");
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let text = format!("# one\nelsewhere {}\n{name} {}\n", sshd.host_key(), other_key(&sshd));
    fs::write(sshd.path("known_hosts"), &text).expect("written");
    for settings in [sshd.settings(), accept_new(&sshd)] {
        let error = connect(&settings).await.expect_err("changed");
        assert!(matches!(error, SshError::HostKeyChanged { line: 3, .. }), "{error:?}");
        assert!(error.hint().expect("one").contains(&format!("-R '{name}'")), "{error:?}");
    }
    assert_eq!(fs::read_to_string(sshd.path("known_hosts")).expect("there"), text);
}

#[tokio::test]
async fn every_way_of_naming_the_host() {
    let sshd = Sshd::start("");
    let (port, key) = (sshd.port, sshd.host_key());
    for names in [
        format!("[127.0.0.1]:{port}"),
        format!("b1,[127.0.0.1]:{port},b2"),
        "[127.0.0.*]:*".to_owned(),
        // without a port it counts for every port
        "127.0.0.1".to_owned(),
    ] {
        fs::write(sshd.path("known_hosts"), format!("odd line\n{names} {key}\n")).expect("written");
        connect(&sshd.settings()).await.unwrap_or_else(|e| panic!("{names}: {e}"));
    }
    for names in [
        format!("[127.0.0.2]:{port}"),
        format!("[127.0.0.1]:{port},![127.0.0.1]:*"),
        "127.0.0.2".into(),
    ] {
        fs::write(sshd.path("known_hosts"), format!("{names} {key}\n")).expect("written");
        let error = connect(&sshd.settings()).await.expect_err(&names);
        assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{names}: {error:?}");
    }
}

/// Hashes every name in the `known_hosts` file.
fn hash(sshd: &Sshd) {
    run("ssh-keygen", &["-H", "-f", sshd.path("known_hosts").to_str().expect("text")]);
    let text = fs::read_to_string(sshd.path("known_hosts")).expect("there");
    assert!(text.starts_with("|1|"), "{text}");
}

#[tokio::test]
async fn hashed_names() {
    let sshd = Sshd::start("");
    hash(&sshd);
    connect(&sshd.settings()).await.expect("known");
    fs::write(
        sshd.path("known_hosts"),
        format!("[127.0.0.1]:{} {}\n", sshd.port, other_key(&sshd)),
    )
    .expect("written");
    hash(&sshd);
    let error = connect(&sshd.settings()).await.expect_err("changed");
    assert!(matches!(error, SshError::HostKeyChanged { line: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_revoked_key_is_refused_though_it_is_recorded() {
    let sshd = Sshd::start("");
    let recorded = fs::read_to_string(sshd.path("known_hosts")).expect("there");
    fs::write(sshd.path("known_hosts"), format!("{recorded}@revoked * {}\n", sshd.host_key()))
        .expect("written");
    for settings in [sshd.settings(), accept_new(&sshd)] {
        let error = connect(&settings).await.expect_err("revoked");
        assert!(matches!(error, SshError::HostKeyRevoked { line: 2, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_server_is_asked_for_the_key_that_is_recorded() {
    let rsa = tempfile::tempdir().expect("a folder");
    let path = rsa.path().join("rsa");
    let public = keygen(&path, "rsa", "");
    let sshd = Sshd::start(&format!("HostKey {}", path.display()));
    fs::write(sshd.path("known_hosts"), format!("[127.0.0.1]:{} {public}", sshd.port))
        .expect("written");
    connect(&sshd.settings()).await.expect("known by its RSA key");
    hash(&sshd);
    connect(&sshd.settings()).await.expect("known by its RSA key, hashed");
}

#[tokio::test]
async fn a_pinned_key_alone_counts() {
    let rsa = tempfile::tempdir().expect("a folder");
    let path = rsa.path().join("rsa");
    keygen(&path, "rsa", "");
    let sshd = Sshd::start(&format!("HostKey {}", path.display()));
    // known_hosts holds another key, which would be refused
    fs::write(
        sshd.path("known_hosts"),
        format!("[127.0.0.1]:{} {}\n", sshd.port, other_key(&sshd)),
    )
    .expect("written");
    let pinned = |pin: String| Ssh { fingerprint: Some(pin), ..sshd.settings() };
    let seen = fingerprint(&sshd, "host_ed25519");
    connect(&pinned(seen.clone())).await.expect("the pinned key");
    let rsa = run("ssh-keygen", &["-l", "-f", path.to_str().expect("text")]);
    let rsa = rsa.split(' ').nth(1).expect("a fingerprint").to_owned();
    connect(&pinned(rsa))
        .await
        .expect("the pinned key, though the server has another that it would rather show");
    let wrong = fingerprint(&sshd, "another_host");
    let error = connect(&pinned(wrong.clone())).await.expect_err("pinned otherwise");
    let SshError::FingerprintMismatch { expected, seen: shown, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((expected, shown), (wrong, seen));
}

/// A host key with a certificate, and the public key of who signed it. The folder goes last.
fn certified() -> (tempfile::TempDir, String, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let text = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let authority = keygen(&dir.path().join("ca"), "ed25519", "");
    keygen(&dir.path().join("host"), "ed25519", "");
    let (ca, public) = (text("ca"), text("host.pub"));
    run("ssh-keygen", &["-q", "-s", &ca, "-I", "the host", "-h", "-n", "127.0.0.1", &public]);
    let config = format!("HostKey {}\nHostCertificate {}\n", text("host"), text("host-cert.pub"));
    (dir, config, authority.rsplit_once(' ').expect("a comment").0.to_owned())
}

#[tokio::test]
async fn a_host_that_shows_a_certificate_only() {
    let (_dir, config, authority) = certified();
    let sshd =
        Sshd::start(&format!("{config}HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com\n"));
    fs::write(sshd.path("known_hosts"), format!("@cert-authority * {authority}\n"))
        .expect("written");
    for settings in [sshd.settings(), accept_new(&sshd)] {
        let error = connect(&settings).await.expect_err("a certificate");
        let SshError::HostCertificate { offered, .. } = &error else { panic!("{error:?}") };
        assert_eq!(offered, &["ssh-ed25519-cert-v01@openssh.com"]);
        let said = error.to_string();
        assert!(said.contains("host certificates are not supported"), "{said}");
        assert!(error.hint().expect("one").contains("HostKeyAlgorithms"), "{error:?}");
    }
    // through a bastion too
    let bastion = Sshd::start("");
    bastion.authorize(&fs::read_to_string(sshd.path("id.pub")).expect("public"));
    fs::copy(bastion.path("known_hosts"), sshd.path("known_hosts")).expect("copied");
    let jump = Jump { user: None, host: "127.0.0.1".into(), port: Some(bastion.port) };
    let error = connect(&Ssh { jump: vec![jump], ..sshd.settings() }).await.expect_err("the same");
    assert!(matches!(error, SshError::HostCertificate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_that_is_known_by_an_authority_only() {
    let (dir, config, authority) = certified();
    let sshd = Sshd::start(&config);
    fs::write(
        sshd.path("known_hosts"),
        format!("# ours\n@cert-authority [127.0.0.1]:* {authority}\n"),
    )
    .expect("written");
    let error = connect(&sshd.settings()).await.expect_err("not known");
    let hint = error.hint().expect("one");
    for part in ["known_hosts:2 names an authority", "host certificates are not supported"] {
        assert!(hint.contains(part), "{part}: {hint}");
    }
    let SshError::HostKeyUnknown { line_to_add, authority: Some(2), .. } = error else {
        panic!("{error:?}");
    };
    assert!(hint.contains(&line_to_add), "{hint}");
    // that is all it takes, with the certificate still there
    let text = fs::read_to_string(sshd.path("known_hosts")).expect("there");
    fs::write(sshd.path("known_hosts"), format!("{text}{line_to_add}\n")).expect("written");
    connect(&sshd.settings()).await.expect("known now");
    drop(dir);
}
