//! The user's own SSH configuration, read by OpenSSH itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cephdock::inventory::{Jump, Ssh, Unset};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};

use crate::login::Agent;
use crate::sshd::{Sshd, keygen, run, user};
use crate::{SOON, stdout};

/// An alias that leaves everything to the configuration.
fn open(node: &Sshd, alias: &str) -> Ssh {
    Ssh {
        host: alias.into(),
        port: 22,
        user: "nobody-of-that-name".into(),
        identity_files: Vec::new(),
        known_hosts: vec!["/nonexistent/known_hosts".into()],
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

/// What the configuration says of an alias that is one of `sshd`, with more lines.
fn host(alias: &str, sshd: &Sshd, more: &str) -> String {
    format!(
        "Host {alias}\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n{more}",
        sshd.port,
        sshd.path("id").display(),
        sshd.path("known_hosts").display(),
    )
}

#[tokio::test]
async fn a_jump_host_that_has_one_itself() {
    let (outer, inner, node) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let text = host("inside", &node, "  ProxyJump middle\n")
        + &host("middle", &inner, "  ProxyJump outside\n")
        + &host("outside", &outer, "")
        + &format!("Host *\n  User {}\n", user());
    let client = client(node.dir.path(), &text);
    client.connect(&open(&node, "inside"), SOON).await.expect("through both");
    for bastion in [&outer, &inner] {
        assert_eq!(bastion.log().matches("Accepted publickey").count(), 1, "{}", bastion.log());
    }
    assert!(outer.log().contains("Accepted publickey"));

    // the inventory names the last one alone
    let jump = vec![Jump { user: None, host: "middle".into(), port: None }];
    let unset = Unset { jump: false, ..Unset::ALL };
    let settings = Ssh { jump, unset, ..open(&node, "inside") };
    client.connect(&settings, SOON).await.expect("through both");
}

#[tokio::test]
async fn jump_hosts_for_every_host_and_in_a_circle() {
    let (bastion, node) = (Sshd::start(""), Sshd::start(""));
    // meant for all others, and said of the jump host too
    let text = host("outside", &bastion, "")
        + &host("inside", &node, "")
        + &format!("Host *\n  User {}\n  ProxyJump outside\n", user());
    let all = client(node.dir.path(), &text);
    all.connect(&open(&node, "inside"), SOON).await.expect("through it");
    assert!(bastion.log().contains("Accepted publickey"), "{}", bastion.log());

    let text =
        host("one", &bastion, "  ProxyJump two\n") + &host("two", &node, "  ProxyJump one\n");
    let circle = client(node.dir.path(), &text);
    let error = circle.connect(&open(&node, "one"), SOON).await.expect_err("never there");
    let SshError::Config { why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("circle"), "{why}");
}

#[tokio::test]
async fn strict_host_key_checking() {
    let node = Sshd::start("");
    fs::remove_file(node.path("known_hosts")).expect("removed");
    let with = |policy: &str| {
        let more = format!("  User {}\n  StrictHostKeyChecking {policy}\n", user());
        client(node.dir.path(), &host("b1", &node, &more))
    };
    // `no` would take any key; here that is no answer
    for policy in ["yes", "ask", "no"] {
        let error = with(policy).connect(&open(&node, "b1"), SOON).await.expect_err(policy);
        assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{policy}: {error:?}");
    }
    with("accept-new").connect(&open(&node, "b1"), SOON).await.expect("accepted");
}

#[tokio::test]
async fn identities_only_leaves_the_agents_other_keys_alone() {
    let node = Sshd::start("");
    let agent = Agent::start(node.path("agent")).await;
    agent.add(&node.path("id"));
    let other = node.path("other");
    keygen(&other, "ed25519", "");
    let named = |key: &Path, only: &str| {
        let text = format!(
            "Host b1\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  UserKnownHostsFile {}\n  IdentityFile {}\n  \
             IdentitiesOnly {only}\n",
            node.port,
            user(),
            node.path("known_hosts").display(),
            key.display(),
        );
        let path = node.path(&format!("config-{only}"));
        fs::write(&path, text).expect("written");
        let agent_socket = Some(agent.socket.clone());
        let local = LocalSsh { agent_socket, config: Some(path), ..LocalSsh::default() };
        Client::new(Arc::new(Nobody), local)
    };
    let settings = open(&node, "b1");
    named(&other, "no").connect(&settings, SOON).await.expect("the agent's key is tried");
    let error = named(&other, "yes").connect(&settings, SOON).await.expect_err("it is not");
    assert!(matches!(error, SshError::Auth { .. }), "{error:?}");
    // the key is the agent's alone: of its file only the public half is left
    fs::copy(node.path("id.pub"), node.path("only.pub")).expect("copied");
    fs::copy(node.path("id"), node.path("only")).expect("copied");
    run(
        "ssh-keygen",
        &["-q", "-p", "-P", "", "-N", "sesame", "-f", node.path("only").to_str().expect("text")],
    );
    named(&node.path("only"), "yes").connect(&settings, SOON).await.expect("by the agent");
}
