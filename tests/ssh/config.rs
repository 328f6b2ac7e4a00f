//! The user's own SSH configuration, read by OpenSSH itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cephdock::inventory::{Ssh, Unset};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};

use crate::sshd::{Sshd, keygen, user};
use crate::{SOON, stdout};

/// An alias that leaves everything to the configuration.
fn open(node: &Sshd, alias: &str) -> Ssh {
    Ssh {
        host: alias.into(),
        port: 22,
        user: "nobody-of-that-name".into(),
        identity_files: Vec::new(),
        known_hosts: "/nonexistent/known_hosts".into(),
        unset: Unset::ALL,
        ..node.settings()
    }
}

fn client(folder: &Path, config: &str) -> Client {
    let path = folder.join("config");
    fs::write(&path, config).expect("written");
    let local = LocalSsh { config: Some(path), ..LocalSsh::default() };
    Client::new(Arc::new(Nobody), local)
}

#[tokio::test]
async fn an_alias_gives_host_port_user_key_and_known_hosts() {
    let node = Sshd::start("");
    let text = format!(
        "Host b?\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n\
         Host *\n  User somebody-else\n",
        node.port,
        user(),
        node.path("id").display(),
        node.path("known_hosts").display(),
    );
    let client = client(node.dir.path(), &text);
    let session = client.connect(&open(&node, "b1"), SOON).await.expect("as configured");
    assert_eq!(stdout(&session, "id -un").await.trim(), user());

    // what the inventory says goes before it
    let settings =
        Ssh { user: "nobody-of-that-name".into(), unset: Unset::default(), ..node.settings() };
    let settings = Ssh { host: "b1".into(), ..settings };
    let error = client.connect(&settings, SOON).await.expect_err("no such user");
    assert!(
        matches!(&error, SshError::Auth { user, .. } if user == "nobody-of-that-name"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_jump_host_and_its_own_settings() {
    let (bastion, node) = (Sshd::start(""), Sshd::start(""));
    let text = format!(
        "Host inside\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump outside\n  IdentityFile {}\n  UserKnownHostsFile {}\n\
         Host outside\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n\
         Host *\n  User {}\n",
        node.port,
        node.path("id").display(),
        node.path("known_hosts").display(),
        bastion.port,
        bastion.path("id").display(),
        bastion.path("known_hosts").display(),
        user(),
    );
    let client = client(node.dir.path(), &text);
    let session = client.connect(&open(&node, "inside"), SOON).await.expect("through");
    let seen = stdout(&session, "echo $SSH_CONNECTION").await;
    assert!(seen.trim().ends_with(&node.port.to_string()), "{seen}");
    assert!(bastion.log().contains("Accepted publickey"), "{}", bastion.log());
}

#[tokio::test]
async fn several_keys_of_which_the_second_fits() {
    let node = Sshd::start("");
    let other = node.path("other");
    keygen(&other, "ed25519", "");
    let text = format!(
        "Match host 127.0.0.1\n  IdentityFile {}\n  IdentityFile {}\n",
        other.display(),
        node.path("id").display()
    );
    let unset = Unset { identity_files: true, ..Unset::default() };
    let settings = Ssh { identity_files: Vec::new(), unset, ..node.settings() };
    client(node.dir.path(), &text).connect(&settings, SOON).await.expect("with the second key");
}

#[tokio::test]
async fn what_cannot_be_used_is_said() {
    let node = Sshd::start("");
    for (text, word) in [
        ("Host *\n  ProxyCommand nc %h %p\n", "ProxyCommand"),
        ("Host *\n  Port many\n", "line 2"),
        ("Hst *\n", "hst"),
    ] {
        let client = client(node.dir.path(), text);
        let error = client.connect(&open(&node, "127.0.0.1"), SOON).await.expect_err(text);
        let SshError::Config { why, .. } = &error else { panic!("{text}: {error:?}") };
        assert!(why.to_lowercase().contains(&word.to_lowercase()), "{text}: {why}");
        assert!(error.hint().is_some_and(|h| h.contains("ssh -G")), "{text}");
    }
}
