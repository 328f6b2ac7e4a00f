//! Many streams on one connection, and its end.

use std::os::unix::net::UnixListener as StdListener;

use cephdock::ssh::{Exit, Session, SshError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::sshd::Sshd;
use crate::{SOON, connect, eventually, stdout};

const MIB: usize = 1 << 20;

/// Bytes that tell where they belong.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i / 251 * 31 + i + seed * 97) % 256).expect("a byte")).collect()
}

/// A Unix socket that says everything again, while the test runs.
fn echo_server(sshd: &Sshd) -> String {
    let path = sshd.path("echo");
    let listener = UnixListener::bind(&path).expect("bound");
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut r, mut w) = peer.split();
                drop(tokio::io::copy(&mut r, &mut w).await);
            });
        }
    });
    path.to_str().expect("text").to_owned()
}

/// Sends `count` different streams through `cat` at once and compares what comes back.
async fn echo(session: &Session, count: usize, len: usize) {
    let one = async |seed| {
        let data = pattern(seed, len);
        let out =
            session.run("cat", &data, SOON).await.unwrap_or_else(|e| panic!("stream {seed}: {e}"));
        assert_eq!(out.exit, Exit::Code(0));
        assert!(out.stdout == data, "stream {seed}: {} bytes came back", out.stdout.len());
    };
    futures_util::future::join_all((0..count).map(one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_streams_are_byte_exact_both_ways() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    echo(&session, 8, 4 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rekeying_under_load() {
    let sshd = Sshd::start("RekeyLimit 1M\nLogLevel DEBUG1");
    let session = connect(&sshd.settings()).await.expect("logged in");
    echo(&session, 4, 4 * MIB).await;
    let rekeyed = sshd.log().matches("set_newkeys: rekeying").count();
    assert!(rekeyed >= 8, "rekeyed {rekeyed} times only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_holds_up_nobody() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let mut stalled = session.exec("head -c 20000000 /dev/zero").await.expect("started");
    // now something has come, and is not read
    stalled.io.readable().await.expect("a stream");
    for i in 0..20 {
        assert_eq!(stdout(&session, &format!("echo {i}")).await, format!("{i}\n"));
    }
    echo(&session, 2, MIB).await;
    let mut all = Vec::new();
    stalled.io.read_to_end(&mut all).await.expect("read");
    assert_eq!(all.len(), 20_000_000);
    assert_eq!(stalled.exit.wait().await.expect("ended"), Exit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sshd_fails_everybody() {
    let mut sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let mut callers: Vec<_> = (0..4)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.run("cat /dev/zero", b"", SOON).await })
        })
        .collect();
    let quiet = session.clone();
    callers.push(tokio::spawn(async move { quiet.run("sleep 30", b"", SOON).await }));
    let mut flowing = session.exec("cat /dev/zero").await.expect("started");
    let mut some = vec![0; MIB];
    flowing.io.read_exact(&mut some).await.expect("flowing");
    sshd.kill();
    for caller in callers {
        let result = caller.await.expect("no panic");
        assert!(matches!(result, Err(SshError::Lost { .. })), "{:?}", result.map(|o| o.exit));
    }
    let mut rest = Vec::new();
    drop(flowing.io.read_to_end(&mut rest).await);
    assert!(matches!(flowing.exit.wait().await, Err(SshError::Lost { .. })));
    let why = session.lost().expect("a reason");
    let later = session.open_unix("/nowhere").await.expect_err("lost");
    assert_eq!(later.to_string(), format!("the SSH connection was lost: {why}"));
}

#[tokio::test]
async fn an_idle_connection_answers_the_servers_keepalives() {
    let sshd = Sshd::start("ClientAliveInterval 2\nClientAliveCountMax 1");
    let idle = connect(&sshd.settings()).await.expect("logged in");
    // one that only has a half-closed stream open: sshd has said EOF, we have not
    let half = connect(&sshd.settings()).await.expect("logged in");
    let listener = UnixListener::bind(sshd.path("half")).expect("bound");
    let mut ours = half.open_unix(sshd.path("half").to_str().expect("text")).await.expect("open");
    let (mut theirs, _) = listener.accept().await.expect("accepted");
    theirs.shutdown().await.expect("shut");
    assert_eq!(ours.read(&mut [0; 8]).await.expect("an end"), 0);
    // and one whose reader sleeps
    let stalled = connect(&sshd.settings()).await.expect("logged in");
    let flowing = stalled.exec("cat /dev/zero").await.expect("started");
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    for (session, what) in [(&idle, "idle"), (&half, "half-closed"), (&stalled, "stalled")] {
        assert_eq!(stdout(session, "echo here").await, "here\n", "{what}");
    }
    ours.write_all(b"late").await.expect("written");
    let mut late = [0; 4];
    theirs.read_exact(&mut late).await.expect("still open this way");
    drop(flowing);
}

#[tokio::test]
async fn a_refused_channel_leaves_the_connection_alone() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let error = session.open_unix("/nowhere").await.expect_err("no such socket");
    assert!(matches!(error, SshError::Refused { .. }), "{error:?}");
    assert_eq!(stdout(&session, "echo on").await, "on\n");
    assert_eq!(session.lost(), None);
}

#[tokio::test]
async fn a_slow_command_is_given_up_on() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let deadline = std::time::Duration::from_millis(100);
    let error = session.run("sleep 30", b"", deadline).await.expect_err("slow");
    assert!(matches!(error, SshError::Timeout { .. }), "{error:?}");
    assert_eq!(stdout(&session, "echo on").await, "on\n");
    // the command may go on, the connection does not wait for it
    drop(session);
    eventually("sshd sees the end", || sshd.connections() == 0).await;
}

#[tokio::test]
async fn the_connection_ends_with_its_last_user() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let socket = sshd.path("socket");
    let listener = StdListener::bind(&socket).expect("bound");
    let stream = session.open_unix(socket.to_str().expect("text")).await.expect("open");
    assert_eq!(sshd.connections(), 1);
    drop(session.clone());
    drop(session);
    drop(listener.accept().expect("accepted"));
    drop(stream);
    eventually("sshd sees the end", || sshd.connections() == 0).await;
    assert!(sshd.log().contains("done"), "a proper goodbye:\n{}", sshd.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_channels_leave_nothing_behind() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let socket = echo_server(&sshd);
    let path = socket.as_str();
    for round in 0..50 {
        let one = async |i: usize| {
            let mut stream = session.open_unix(path).await.expect("open");
            let word = format!("{round}/{i}");
            stream.write_all(word.as_bytes()).await.expect("written");
            if i.is_multiple_of(3) {
                return; // hung up on in the middle
            }
            stream.shutdown().await.expect("shut");
            let mut back = String::new();
            stream.read_to_string(&mut back).await.expect("read");
            assert_eq!(back, word);
        };
        futures_util::future::join_all((0..20).map(one)).await;
    }
    assert_eq!(session.lost(), None);
}

/// A read for one channel takes in what has come for all. An answer that arrives while idle channels have their turn is
/// then in libssh2's queue, and nothing on the socket says so.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_overlooked_among_idle_channels() {
    let sshd = Sshd::start("");
    let session = connect(&sshd.settings()).await.expect("logged in");
    let path = echo_server(&sshd);
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(session.open_unix(&path).await.expect("open"));
    }
    let mut busy = session.open_unix(&path).await.expect("open");
    let rounds = async {
        for round in 0u32..3000 {
            let word = round.to_be_bytes();
            busy.write_all(&word).await.expect("written");
            let mut back = [0; 4];
            busy.read_exact(&mut back).await.expect("read");
            assert_eq!(back, word);
        }
    };
    tokio::time::timeout(SOON, rounds).await.expect("every answer in time");
}
