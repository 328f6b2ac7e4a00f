//! Connections that are cut without a word: no end, no error, no answer.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use cephdock::daemon::DaemonId;
use cephdock::docker;
use cephdock::event::Events;
use cephdock::host::{Host, connect_all};
use cephdock::inventory::{self, Ssh};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::sshd::{Sshd, user};
use crate::{SOON, connect, stdout};

/// Stands before an sshd as a NAT does, or a bastion of whose two connections the far one is dead: what it has let
/// through it may forget, and then nothing comes through any more while everything stays open.
struct Nat {
    port: u16,
    forget: watch::Sender<()>,
}

impl Nat {
    async fn before(sshd: &Sshd) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let (forget, forgotten) = watch::channel(());
        let to = sshd.port;
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut forgotten = forgotten.clone();
                forgotten.mark_unchanged();
                tokio::spawn(async move {
                    let mut far =
                        TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.expect("there");
                    tokio::select! {
                        ended = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(ended),
                        _ = forgotten.changed() => std::future::pending().await,
                    }
                });
            }
        });
        let known = fs::read_to_string(sshd.path("known_hosts")).expect("there");
        let here = known.replace(&format!(":{to} "), &format!(":{port} "));
        fs::write(sshd.path("known_hosts"), known + &here).expect("written");
        Self { port, forget }
    }

    fn settings(&self, sshd: &Sshd) -> Ssh {
        Ssh { port: self.port, ..sshd.settings() }
    }

    fn forget(&self) {
        self.forget.send(()).expect("it listens");
    }
}

/// All at once: what they do is wait.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cut_without_a_word_is_lost() {
    tokio::join!(
        what_runs_over_it_ends_as_lost_and_it_is_made_again(),
        behind_a_bastion_that_goes_on(),
        a_failed_call_on_a_node_is_told_from_a_dead_connection(),
    );
}

/// Commands and calls to Docker have no deadline of their own here: what ends them is that the connection is found lost.
async fn what_runs_over_it_ends_as_lost_and_it_is_made_again() {
    let sshd = Sshd::start("");
    let nat = Nat::before(&sshd).await;
    let session = connect(&nat.settings(&sshd)).await.expect("logged in");
    let socket = sshd.path("docker.sock");
    crate::docker::serve(&socket);
    let docker =
        docker::connect(&session, socket.to_str().expect("text"), true, SOON).await.expect("found");
    let long = SOON * 60;
    let running = session.run("sleep 3600", b"", long);
    let call = async {
        docker.api.inspect_container("c1", None).await.expect("answered");
        nat.forget();
        docker.api.inspect_container("c2", None).await.expect_err("no answer can come")
    };
    let (ran, error) = tokio::join!(running, call);
    assert!(matches!(ran, Err(SshError::Lost { .. })), "{ran:?}");
    let why = session.lost().unwrap_or_else(|| panic!("not lost: {error}"));
    assert!(why.contains("has not answered"), "{why}");
    assert!(session.restore().await.expect("there again"));
    assert_eq!(stdout(&session, "echo on").await, "on\n");
    docker.api.inspect_container("c3", None).await.expect("answered");
}

/// The same behind a bastion, whose own connection is well and stays.
async fn behind_a_bastion_that_goes_on() {
    let (bastion, node) = (Sshd::start(""), Sshd::start(""));
    let nat = Nat::before(&node).await;
    let settings = Ssh { port: nat.port, ..crate::jump::through(&bastion, &node) };
    let client = Client::new(Arc::new(Nobody), LocalSsh::default());
    let session = client.connect(&settings, SOON).await.expect("through");
    nat.forget();
    // one that waits for an answer asks whether there is anybody
    let why = session.lost_after_all().await.expect("lost");
    assert!(why.contains("has not answered"), "{why}");
    assert!(session.restore().await.expect("through"));
    assert_eq!(session.lost_after_all().await, None);
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 1, "{}", bastion.log());
}

/// A server that is there, though it runs nothing and the command takes its time.
#[tokio::test]
async fn one_that_answers_is_not_lost() {
    for most in [0, 1, 10] {
        let sshd = Sshd::start(&format!("MaxSessions {most}"));
        let session = connect(&sshd.settings()).await.expect("logged in");
        let _held = session.exec("sleep 3600").await;
        assert_eq!(session.lost_after_all().await, None, "MaxSessions {most}");
    }
}

fn inventory(sshd: &Sshd, port: u16) -> inventory::Inventory {
    let text = format!(
        "cluster: {{public_network: 127.0.0.0/8}}\nssh: {{user: {}, port: {port}, identity_file: {}, known_hosts: {}}}\n\
         nodes: [{{name: a, address: 127.0.0.1, roles: [mon, mgr, osd], osds: [{{file: 2GiB}}]}}]\n",
        user(),
        sshd.path("id").display(),
        sshd.path("known_hosts").display()
    );
    let loaded =
        inventory::file::parse(&text, Path::new("inventory.yaml"), Some(Path::new("/root")));
    loaded.expect("valid").inventory
}

/// What fails for another reason, or by its own deadline, while the connection is dead.
async fn a_failed_call_on_a_node_is_told_from_a_dead_connection() {
    let sshd = Sshd::start("");
    let nat = Nat::before(&sshd).await;
    let want = inventory(&sshd, nat.port);
    let client = Client::new(Arc::new(Nobody), LocalSsh::default());
    let fleet = connect_all(&want, &client, &Events::nowhere(), SOON).await;
    let node = fleet.get(&want.nodes[0].name).expect("reached").clone();
    // there is no such container, or no Docker at all
    let nobody = DaemonId::osd(999_999_999);
    let error = node.logs(&nobody, 1).await.expect_err("none");
    assert!(!error.lost, "{error:?}");
    nat.forget();
    let error = node.logs(&nobody, 1).await.expect_err("none");
    assert!(error.lost, "{error:?}");
    assert!(node.restore().await.expect("there again"));
    let error = node.logs(&nobody, 1).await.expect_err("none");
    assert!(!error.lost, "{error:?}");
}
