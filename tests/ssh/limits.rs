//! Servers that take no more, and connections that are lost.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cephdock::inventory::{HostKeyPolicy, Ssh};
use cephdock::ssh::{Client, LocalSsh, Nobody, SshError};
use futures_util::future::join_all;

use crate::sshd::Sshd;
use crate::{SOON, connect, eventually, stdout};

#[tokio::test]
async fn more_commands_than_a_connection_may_have() {
    for most in [1, 2] {
        let sshd = Sshd::start(&format!("MaxSessions {most}"));
        let session = connect(&sshd.settings()).await.expect("logged in");
        // one is held, as the lock on a mon node is, while others come and go
        let held = session.exec("cat").await.expect("started");
        for round in 0..3 {
            let words: Vec<String> = (0..4).map(|i| format!("{round}/{i}")).collect();
            let runs = words.iter().map(|w| session.run("cat", w.as_bytes(), SOON));
            for (word, out) in words.iter().zip(join_all(runs).await) {
                assert_eq!(out.expect("ran").stdout, word.as_bytes());
            }
        }
        let now = sshd.connections();
        // how many depends on how soon sshd frees a place
        assert!((2..=9).contains(&now), "{now} connections with MaxSessions {most}");
        drop((held, session));
        eventually("all of them end", || sshd.connections() == 0).await;
    }
}

/// As a mon node has it whose sshd forwards nothing: the lock, eight helpers that lead to Docker, and commands.
#[tokio::test]
async fn the_lock_and_all_of_dockers_helpers_leave_room_for_commands() {
    let sshd = Sshd::start("MaxSessions 1");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let held: Vec<_> = join_all((0..9).map(|_| session.exec("cat"))).await;
    let held: Vec<_> = held.into_iter().map(|h| h.expect("started")).collect();
    let runs = join_all((0..4).map(|_| session.run("echo there; sleep 1", b"", SOON))).await;
    for out in runs {
        assert_eq!(out.expect("ran").stdout, b"there\n");
    }
    drop(held);
}

#[tokio::test]
async fn a_server_that_runs_no_command_at_all() {
    let sshd = Sshd::start("MaxSessions 0");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let error = session.run("true", b"", SOON).await.expect_err("none may run");
    assert!(matches!(error, SshError::NoSession { .. }), "{error:?}");
    assert!(error.hint().expect("one").contains("MaxSessions"), "{error:?}");
}

/// Somebody who connects, is welcomed, and says nothing.
async fn silent_guest(sshd: &Sshd) -> TcpStream {
    let mut guest = None;
    eventually("somebody is let in", || {
        let mut stream = TcpStream::connect(("127.0.0.1", sshd.port)).expect("connected");
        let mut said = [0; 4];
        let welcome = stream.read_exact(&mut said).is_ok() && said == *b"SSH-";
        guest = welcome.then_some(stream);
        welcome
    })
    .await;
    guest.expect("it is there")
}

#[tokio::test]
async fn a_server_with_too_many_who_are_about_to_log_in() {
    let sshd = Sshd::start("MaxStartups 1");
    let guest = silent_guest(&sshd).await;
    let settings = sshd.settings();
    let turned_away = || sshd.log().matches("past MaxStartups").count();
    let before = turned_away();
    let settled = async {
        eventually("we are turned away", || turned_away() > before).await;
        drop(guest);
    };
    let (session, ()) = tokio::join!(connect(&settings), settled);
    assert_eq!(stdout(&session.expect("in the end"), "echo in").await, "in\n");

    // and where it stays so, that is what is said
    let _guest = silent_guest(&sshd).await;
    let error = connect(&sshd.settings()).await.expect_err("full");
    assert!(matches!(error, SshError::Handshake { .. }), "{error:?}");
    assert!(error.hint().expect("one").contains("MaxStartups"), "{error:?}");
}

#[tokio::test]
async fn a_lost_connection_is_made_again_once() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    assert!(!session.restore().await.expect("nothing to do"), "it was not lost");
    let running = session.run("sleep 60", b"", SOON);
    let cut = async {
        eventually("it runs", || sshd.connections() == 1).await;
        sshd.kill_connections();
    };
    let (ended, ()) = tokio::join!(running, cut);
    assert!(matches!(ended, Err(SshError::Lost { .. })), "{ended:?}");
    assert!(session.lost().is_some());
    let clone = session.clone();
    assert!(session.restore().await.expect("there again"));
    assert_eq!(session.lost(), None);
    assert_eq!(stdout(&clone, "echo on").await, "on\n");
    // not for ever
    sshd.kill_connections();
    eventually("it is lost", || session.lost().is_some()).await;
    assert!(!session.restore().await.expect("not tried"));
    assert!(matches!(session.run("true", b"", SOON).await, Err(SshError::Lost { .. })));
}

#[tokio::test]
async fn a_server_that_is_started_anew_is_waited_for() {
    let mut sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    sshd.kill();
    eventually("it is lost", || session.lost().is_some()).await;
    let back = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        sshd.start_again();
    };
    let (restored, ()) = tokio::join!(session.restore(), back);
    assert!(restored.expect("there again"));
    assert_eq!(stdout(&session, "echo on").await, "on\n");
}

/// Another machine comes up in its place.
fn replace(sshd: &mut Sshd) {
    sshd.kill();
    for file in ["host_ed25519", "host_ed25519.pub"] {
        std::fs::remove_file(sshd.path(file)).expect("removed");
    }
    crate::sshd::keygen(&sshd.path("host_ed25519"), "ed25519", "");
    sshd.start_again();
}

#[tokio::test]
async fn another_host_in_its_place_is_not_logged_in_to() {
    let mut sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    replace(&mut sshd);
    eventually("it is lost", || session.lost().is_some()).await;
    let error = session.restore().await.expect_err("another key");
    assert!(matches!(error, SshError::HostKeyChanged { .. }), "{error:?}");
}

/// Where new hosts are accepted and nothing is recorded, as `reset` does it.
#[tokio::test]
async fn another_host_is_not_new_where_one_was_met() {
    let mut sshd = Sshd::start("");
    let host_key = HostKeyPolicy::AcceptNew;
    let settings = Ssh { host_key, known_hosts: vec!["/dev/null".into()], ..sshd.settings() };
    let local = LocalSsh { record_host_keys: false, ..LocalSsh::default() };
    let client = Client::new(Arc::new(Nobody), local);
    let session = client.connect(&settings, SOON).await.expect("accepted");
    sshd.kill_connections();
    eventually("it is lost", || session.lost().is_some()).await;
    assert!(session.restore().await.expect("the same host"));
    let other = client.connect(&settings, SOON).await.expect("the same host");
    replace(&mut sshd);
    eventually("it is lost", || other.lost().is_some()).await;
    let error = other.restore().await.expect_err("another host");
    assert!(matches!(error, SshError::AnotherHost { .. }), "{error:?}");
}
