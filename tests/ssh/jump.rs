//! Through a bastion.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cephdock::inventory::{Jump, Ssh};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::sshd::Sshd;
use crate::{SOON, eventually, stdout};

/// Settings for `node` behind `bastion`; both know the node's login key, and one file knows both hosts.
pub(crate) fn through(bastion: &Sshd, node: &Sshd) -> Ssh {
    bastion.authorize(&fs::read_to_string(node.path("id.pub")).expect("public"));
    let known = |s: &Sshd| fs::read_to_string(s.path("known_hosts")).expect("there");
    let both = format!("{}{}", known(bastion), known(node));
    fs::write(node.path("both"), both).expect("written");
    let jump = Jump { user: None, host: "127.0.0.1".into(), port: Some(bastion.port) };
    Ssh { jump: vec![jump], known_hosts: vec![node.path("both")], ..node.settings() }
}

fn client() -> Client {
    Client::new(Arc::new(Nobody), LocalSsh::default())
}

#[tokio::test]
async fn nodes_share_one_connection_to_it() {
    let (bastion, one, two) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let (to_one, to_two) = (through(&bastion, &one), through(&bastion, &two));
    let client = client();
    let (a, b) = tokio::join!(client.connect(&to_one, SOON), client.connect(&to_two, SOON));
    let (a, b) = (a.expect("through"), b.expect("through"));
    for (session, node) in [(&a, &one), (&b, &two)] {
        // "client port server-address server-port"
        let seen = stdout(session, "echo $SSH_CONNECTION").await;
        assert!(seen.trim().ends_with(&node.port.to_string()), "{seen}");
    }
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 1, "{}", bastion.log());
    // the streams keep the bastion's connection alive after the client is gone
    drop(client);
    let data = vec![7; 3_000_000];
    let out = a.run("cat", &data, SOON).await.expect("ran");
    assert!(out.stdout == data);
}

/// A port that takes no connection and refuses none: its queue is full.
async fn silent() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(0).expect("listens");
    let to = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(to)).await {
        waiting.push(stream.expect("it is taken"));
    }
    (listener, waiting)
}

#[tokio::test]
async fn a_host_that_does_not_answer_holds_up_no_other() {
    let (bastion, node) = (Sshd::start(""), Sshd::start(""));
    let to_node = through(&bastion, &node);
    let (listener, _waiting) = silent().await;
    let port = listener.local_addr().expect("an address").port();
    let to_silence = Ssh { port, ..to_node.clone() };
    let client = client();
    let (short, long) = (Duration::from_secs(8), Duration::from_secs(30));
    let (silence, session) =
        tokio::join!(client.connect(&to_silence, short), client.connect(&to_node, long));
    assert!(matches!(silence, Err(SshError::Timeout { .. })), "{silence:?}");
    let session = session.expect("reached all the same");
    assert_eq!(stdout(&session, "echo here").await, "here\n");
}

#[tokio::test]
async fn the_bastion_is_told_apart_from_the_node() {
    let (bastion, node) = (Sshd::start(""), Sshd::start(""));
    let settings = through(&bastion, &node);
    let only_node = Ssh { known_hosts: vec![node.path("known_hosts")], ..settings.clone() };
    let error = client().connect(&only_node, SOON).await.expect_err("the bastion is unknown");
    let SshError::Jump { source, .. } = &error else { panic!("{error:?}") };
    assert!(
        matches!(**source, SshError::HostKeyUnknown { port, .. } if port == bastion.port),
        "{error:?}"
    );

    let only_bastion = Ssh { known_hosts: vec![bastion.path("known_hosts")], ..settings.clone() };
    let error = client().connect(&only_bastion, SOON).await.expect_err("the node is unknown");
    assert!(
        matches!(error, SshError::HostKeyUnknown { port, .. } if port == node.port),
        "{error:?}"
    );

    drop(node);
    fs::create_dir_all(settings.known_hosts[0].parent().expect("one")).expect("made");
    let settings = Ssh {
        known_hosts: vec![bastion.path("known_hosts")],
        identity_files: vec![bastion.path("id")],
        ..settings
    };
    let error = client().connect(&settings, SOON).await.expect_err("the node is down");
    assert!(matches!(error, SshError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_bastion_that_dies_takes_the_nodes_connection_with_it() {
    let (mut bastion, node) = (Sshd::start(""), Sshd::start(""));
    let settings = through(&bastion, &node);
    let client = client();
    let session = client.connect(&settings, SOON).await.expect("through");
    let waiting = session.run("cat", b"", SOON);
    waiting.await.expect("ran");
    let stuck = session.run("sleep 30", b"", SOON);
    let (result, ()) = tokio::join!(stuck, async { bastion.kill() });
    assert!(matches!(result, Err(SshError::Lost { .. })), "{result:?}");
    assert!(session.lost().is_some());
}

#[tokio::test]
async fn two_bastions_in_a_row() {
    let (outer, inner, node) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let settings = through(&inner, &node);
    outer.authorize(&fs::read_to_string(node.path("id.pub")).expect("public"));
    let outer_key = fs::read_to_string(outer.path("known_hosts")).expect("there");
    let known = fs::read_to_string(&settings.known_hosts[0]).expect("there");
    fs::write(&settings.known_hosts[0], known + &outer_key).expect("written");
    let first = Jump { user: None, host: "127.0.0.1".into(), port: Some(outer.port) };
    let settings = Ssh { jump: [vec![first], settings.jump].concat(), ..settings };
    let session = client().connect(&settings, SOON).await.expect("through both");
    let seen = stdout(&session, "echo $SSH_CONNECTION").await;
    assert!(seen.trim().ends_with(&node.port.to_string()), "{seen}");
    for bastion in [&outer, &inner] {
        assert!(bastion.log().contains("Accepted publickey"), "{}", bastion.log());
    }
    drop(outer);
    eventually("the way through a dead bastion ends", || session.lost().is_some()).await;
}

#[tokio::test]
async fn nodes_behind_a_bastion_that_hung_up_are_reached_again() {
    let (bastion, one, two) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let (to_one, to_two) = (through(&bastion, &one), through(&bastion, &two));
    let client = client();
    let (a, b) = tokio::join!(client.connect(&to_one, SOON), client.connect(&to_two, SOON));
    let (a, b) = (a.expect("through"), b.expect("through"));
    bastion.kill_connections();
    eventually("both are lost", || a.lost().is_some() && b.lost().is_some()).await;
    let (again_a, again_b) = tokio::join!(a.restore(), b.restore());
    assert!(again_a.expect("through") && again_b.expect("through"));
    assert_eq!(stdout(&a, "echo on").await, "on\n");
    assert_eq!(stdout(&b, "echo on").await, "on\n");
    // one new connection to the bastion for both
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 2, "{}", bastion.log());
}
