//! Is it the node?

use std::fs;
use std::sync::Arc;

use cephdock::inventory::{HostKeyPolicy, Jump, Ssh, Unset};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};

use crate::sshd::{Sshd, keygen, run, user};
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
    assert!(hint.contains(&*line_to_add) && hint.contains("accept-new"), "{hint}");
    assert!(!sshd.path("known_hosts").exists());
    fs::write(sshd.path("known_hosts"), &*line_to_add).expect("written");
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
    let settings: Vec<_> = nodes
        .iter()
        .map(|n| Ssh { known_hosts: vec![known_hosts.clone()], ..accept_new(n) })
        .collect();
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
    let SshError::HostKeyUnknown { line_to_add, authority: Some(line), .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*line, format!("{}:2", sshd.path("known_hosts").display()));
    assert!(hint.contains(&*line_to_add), "{hint}");
    // that is all it takes, with the certificate still there
    let text = fs::read_to_string(sshd.path("known_hosts")).expect("there");
    fs::write(sshd.path("known_hosts"), format!("{text}{line_to_add}\n")).expect("written");
    connect(&sshd.settings()).await.expect("known now");
    drop(dir);
}

/// A server with keys of two kinds, one of which the tests' own files know.
struct TwoKeys {
    sshd: Sshd,
    ecdsa: String,
    _dir: tempfile::TempDir,
}

impl TwoKeys {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ecdsa");
        let line = keygen(&path, "ecdsa", "");
        let sshd = Sshd::start(&format!("HostKey {}", path.display()));
        let ecdsa = line.rsplit_once(' ').expect("a comment").0.to_owned();
        Self { sshd, ecdsa, _dir: dir }
    }
}

/// `ssh` and cephdock with one configuration: whether each of them logs in.
async fn both(sshd: &Sshd, name: &str, lines: &str) -> (bool, Result<(), SshError>) {
    let text = format!(
        "Host node\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n \
         IdentityAgent none\n StrictHostKeyChecking yes\n BatchMode yes\n UpdateHostKeys no\n{lines}",
        sshd.port,
        user(),
        sshd.path("id").display(),
    );
    let config = sshd.path(name);
    fs::write(&config, text).expect("written");
    let theirs = tokio::process::Command::new("ssh")
        .arg("-F")
        .arg(&config)
        .args(["node", "true"])
        .stdin(std::process::Stdio::null())
        .output();
    let theirs = theirs.await.expect("ssh is there (apt-get install openssh-client)");
    let local = LocalSsh { config: Some(config), ..LocalSsh::default() };
    let settings = Ssh { host: "node".into(), unset: Unset::ALL, ..sshd.settings() };
    let ours = Client::new(Arc::new(Nobody), local).connect(&settings, SOON).await;
    (theirs.status.success(), ours.map(drop))
}

/// Files of every kind of line, as a generator of small numbers wants it.
#[tokio::test(flavor = "multi_thread")]
async fn what_openssh_believes_with_the_same_files_is_believed_and_nothing_else() {
    let TwoKeys { sshd, ecdsa, _dir } = TwoKeys::start();
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let (good, other) = (sshd.host_key(), other_key(&sshd));
    let other_ecdsa = keygen(&sshd.path("another_ecdsa"), "ecdsa", "");
    fs::write(sshd.path("hashed"), format!("{name} {good}\n")).expect("written");
    run("ssh-keygen", &["-H", "-f", sshd.path("hashed").to_str().expect("text")]);
    let hashed = fs::read_to_string(sshd.path("hashed")).expect("there");
    let lines = [
        format!("{name} {good}"),
        format!("{name} {ecdsa}"),
        format!("{name} {other}"),
        format!("{name} {other_ecdsa}"),
        format!("@revoked {name} {good}"),
        format!("@revoked * {other}"),
        format!("127.0.0.1 {good}"),
        format!("127.0.0.1 {other}"),
        format!("[127.0.0.*]:* {good}"),
        format!("elsewhere {good}"),
        format!("[127.0.0.*]:*,!{name} {good}"),
        format!("@cert-authority {name} {other}"),
        "no line at all".to_owned(),
        hashed,
    ];
    let mut state = 7_u32;
    let mut upto = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % n
    };
    let mut cases = Vec::new();
    for case in 0..60 {
        // the first user file's name holds blanks
        let names =
            ["a b", "two", "global", "global two"].map(|n| sshd.path(&format!("{n}{case}")));
        let mut text = String::new();
        for file in &names {
            let many = upto(3);
            let chosen: Vec<&str> = (0..many).map(|_| lines[upto(lines.len())].as_str()).collect();
            if !chosen.is_empty() || upto(2) == 0 {
                fs::write(file, chosen.join("\n") + "\n").expect("written");
            }
            text = [text, file.display().to_string(), chosen.join("\n")].join("\n");
        }
        let [a, b, c, d] = names.map(|n| format!("\"{}\"", n.display()));
        let user = [format!("{a} {b}"), format!("{a}\t {b}"), b, "none".into()];
        let user = &user[upto(5) % 4];
        let config = format!(" UserKnownHostsFile {user}\n GlobalKnownHostsFile {c} {d}\n");
        cases.push((format!("case{case}"), config, text));
    }
    let mut accepted = 0;
    for some in cases.chunks(6) {
        let ran = some.iter().map(|(name, config, _)| both(&sshd, name, config));
        for ((_, config, text), (theirs, ours)) in
            some.iter().zip(futures_util::future::join_all(ran).await)
        {
            assert_eq!(theirs, ours.is_ok(), "{config}{text}{ours:?}");
            accepted += usize::from(theirs);
        }
    }
    println!("{} cases, {accepted} of them accepted by both", cases.len());
    assert!((10..=50).contains(&accepted), "{accepted}: they do not tell much");
}

#[tokio::test]
async fn a_new_host_is_added_to_the_first_of_the_users_files_alone() {
    let sshd = Sshd::start("");
    let files = [sshd.path("first"), sshd.path("second"), sshd.path("global")];
    for file in &files[1..] {
        fs::write(file, "").expect("written");
    }
    let local = LocalSsh { record_host_keys: true, ..LocalSsh::default() };
    let [first, second, global] = files;
    let settings = Ssh {
        known_hosts: vec![first.clone(), second.clone()],
        global_known_hosts: vec![global.clone()],
        ..accept_new(&sshd)
    };
    let client = Client::new(Arc::new(Nobody), local);
    client.connect(&settings, SOON).await.expect("accepted");
    let recorded = fs::read_to_string(&first).expect("made");
    assert_eq!(recorded, format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key()));
    // one that another file knows is not new, and one that another file revokes is not believed
    fs::rename(&first, &global).expect("moved");
    client.connect(&settings, SOON).await.expect("known");
    assert!(!first.exists());
    fs::rename(&global, &first).expect("moved");
    fs::write(&second, format!("\n@revoked * {}\n", sshd.host_key())).expect("written");
    let error = client.connect(&settings, SOON).await.expect_err("revoked");
    let SshError::HostKeyRevoked { known_hosts, line: 2, .. } = error else { panic!("{error:?}") };
    assert_eq!(known_hosts, second);
    // the changed key is named with its file
    fs::remove_file(&first).expect("removed");
    fs::remove_file(&second).expect("removed");
    fs::write(&global, format!("* {}\n", other_key(&sshd))).expect("written");
    let error = client.connect(&settings, SOON).await.expect_err("changed");
    let SshError::HostKeyChanged { known_hosts, .. } = error else { panic!("{error:?}") };
    assert_eq!(known_hosts, global);
}

/// `UserKnownHostsFile none`, and a file that cannot be read.
#[tokio::test]
async fn no_file_of_the_users_own() {
    let sshd = Sshd::start("");
    let none = |settings: Ssh| Ssh { known_hosts: Vec::new(), ..settings };
    let error = connect(&none(sshd.settings())).await.expect_err("unknown");
    assert!(error.hint().expect("one").contains("pin it"), "{error:?}");
    connect(&none(accept_new(&sshd))).await.expect("accepted, and noted nowhere");
    // a folder is no file
    let unread = |settings: Ssh| Ssh {
        known_hosts: vec![sshd.dir.path().to_owned(), sshd.path("known_hosts")],
        ..settings
    };
    connect(&unread(sshd.settings())).await.expect("another file knows it");
    fs::remove_file(sshd.path("known_hosts")).expect("removed");
    for settings in [sshd.settings(), accept_new(&sshd)] {
        let error = connect(&unread(settings)).await.expect_err("it may be known there");
        let SshError::KnownHosts { path, .. } = &error else { panic!("{error:?}") };
        assert_eq!(path, sshd.dir.path());
    }
}
