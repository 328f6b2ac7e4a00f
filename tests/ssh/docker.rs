//! Finding the way to a daemon, and using it. The daemon is a stand-in that answers the few calls made here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cephdock::docker::{self, Failure, Via};
use cephdock::ssh::Session;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::sshd::Sshd;
use crate::{SOON, connect};

/// Serves a little of Docker's API at `socket` while the test runs.
pub(crate) fn serve(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("bound");
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(answer(peer));
        }
    });
}

async fn answer(peer: UnixStream) {
    let mut peer = BufReader::new(peer);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if peer.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.to_ascii_lowercase());
        }
        let path = head[0]
            .split(' ')
            .nth(1)
            .expect("a path")
            .split('?')
            .next()
            .expect("a path")
            .to_owned();
        let length = head
            .iter()
            .find_map(|l| l.strip_prefix("content-length: "))
            .map_or(0, |n| n.trim().parse().expect("a number"));
        let mut body = vec![0; length];
        if peer.read_exact(&mut body).await.is_err() {
            return;
        }
        if path.ends_with("/start") {
            // an exec: hijacked, and what comes in goes out again
            let switch =
                b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                           Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            peer.write_all(switch).await.expect("sent");
            let (mut r, mut w) = tokio::io::split(peer);
            drop(tokio::io::copy(&mut r, &mut w).await);
            drop(w.shutdown().await);
            return;
        }
        let answer = match path.split('/').rfind(|p| !p.is_empty() && *p != "json") {
            Some("_ping") => "OK".to_owned(),
            Some("version") => r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12"}"#.to_owned(),
            Some(id) => format!(r#"{{"Id":"{id}"}}"#),
            None => String::new(),
        };
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let close = head.iter().any(|l| l.trim() == "connection: close");
        if peer.write_all(text.as_bytes()).await.is_err() || close {
            return;
        }
    }
}

/// A folder of programs, as a line for sshd's configuration that puts it into the PATH.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn add(&self, name: &str, text: &str) -> &Self {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
        self
    }

    fn config(&self) -> String {
        format!("SetEnv PATH={}:/usr/bin:/bin", self.0.path().display())
    }
}

/// `docker -H unix://SOCKET system dial-stdio`.
const DOCKER: &str = r#"#!/usr/bin/perl
use strict; use IO::Socket::UNIX; use IO::Select;
my ($h, $url, @rest) = @ARGV;
"$h @rest" eq '-H system dial-stdio' or die "docker: called with @ARGV\n";
(my $path = $url) =~ s{^unix://}{};
my $s = IO::Socket::UNIX->new(Peer => $path) or die "Cannot connect to the Docker daemon at $url. Is the docker daemon running?\n";
my $sel = IO::Select->new($s, \*STDIN);
while (my @ready = $sel->can_read) {
  for my $from (@ready) {
    my $n = sysread($from, my $buf, 65536);
    if (!$n) { exit 0 if $from == $s; $sel->remove(\*STDIN); shutdown($s, 1); next; }
    my $to = $from == $s ? \*STDOUT : $s;
    for (my $at = 0; $at < $n;) { $at += syswrite($to, $buf, $n - $at, $at) // exit 1; }
  }
}
"#;

async fn node(config: &str) -> (Sshd, Session, PathBuf) {
    let sshd = Sshd::start(config);
    let session = connect(&sshd.settings()).await.expect("logged in");
    let socket = sshd.path("docker.sock");
    (sshd, session, socket)
}

/// Asks for twenty different containers at once.
async fn twenty_at_once(docker: &docker::Docker) {
    let one = async |i: usize| {
        let id = format!("c{i}");
        let found = docker.api.inspect_container(&id, None).await.expect("answered");
        assert_eq!(found.id, Some(id));
    };
    for _ in 0..5 {
        futures_util::future::join_all((0..20).map(one)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_forwarded_socket() {
    let (_sshd, session, socket) = node("MaxSessions 1").await;
    serve(&socket);
    let docker =
        docker::connect(&session, socket.to_str().expect("text"), true, SOON).await.expect("found");
    assert_eq!(docker.via, Via::ForwardedSocket);
    assert_eq!(docker.api.client_version().to_string(), "1.41");
    twenty_at_once(&docker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hijacked_stream() {
    use bollard::exec::{StartExecOptions, StartExecResults};
    use futures_util::StreamExt;
    let (_sshd, session, socket) = node("").await;
    serve(&socket);
    let docker =
        docker::connect(&session, socket.to_str().expect("text"), true, SOON).await.expect("found");
    let options = StartExecOptions { tty: true, ..StartExecOptions::default() };
    let started = docker.api.start_exec("e1", Some(options)).await.expect("started");
    let StartExecResults::Attached { mut output, mut input } = started else {
        panic!("not attached")
    };
    let sent = vec![b'x'; 3_000_000];
    let expected = sent.len();
    let feed = async {
        input.write_all(&sent).await.expect("written");
        input.shutdown().await.expect("shut");
    };
    let read = async {
        let mut bytes = 0;
        while let Some(chunk) = output.next().await {
            bytes += chunk.expect("a chunk").into_bytes().len();
        }
        bytes
    };
    let ((), bytes) = tokio::join!(feed, read);
    assert_eq!(bytes, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_dial_stdio_where_forwarding_is_off() {
    for off in ["AllowStreamLocalForwarding no", "AllowTcpForwarding no"] {
        let programs = Programs::new();
        programs.add("docker", DOCKER);
        // eight helpers and not one more fit
        let (_sshd, session, socket) =
            node(&format!("{off}\nMaxSessions 8\n{}", programs.config())).await;
        serve(&socket);
        let docker = docker::connect(&session, socket.to_str().expect("text"), true, SOON).await;
        let docker = docker.unwrap_or_else(|e| panic!("{off}: {e}"));
        assert_eq!(docker.via, Via::DialStdio, "{off}");
        twenty_at_once(&docker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sudo_where_the_user_may_not() {
    let programs = Programs::new();
    let denied =
        "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1";
    let guarded =
        format!("#!/bin/sh\n[ \"$FAKE_ROOT\" ] || {{ {denied}; }}\nexec docker-as-root \"$@\"\n");
    programs.add("docker", &guarded).add("docker-as-root", DOCKER);
    programs.add("sudo", "#!/bin/sh\n[ \"$1\" = -n ] || exit 9\nshift\nFAKE_ROOT=1 exec \"$@\"\n");
    let (_sshd, session, socket) =
        node(&format!("AllowStreamLocalForwarding no\n{}", programs.config())).await;
    serve(&socket);
    let socket = socket.to_str().expect("text");
    let docker = docker::connect(&session, socket, false, SOON).await.expect("found");
    assert_eq!(docker.via, Via::SudoDialStdio);
    twenty_at_once(&docker).await;

    let error = docker::connect(&session, socket, true, SOON).await.expect_err("sudo is not tried");
    assert_eq!(error.tried.len(), 2, "{error}");
    assert!(error.to_string().contains("permission denied while"), "{error}");
    assert!(error.hint().expect("one").contains("group docker"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_at_all() {
    let programs = Programs::new();
    programs.add("docker", DOCKER);
    let (mut sshd, session, socket) = node(&programs.config()).await;
    let socket = socket.to_str().expect("text");
    let error = docker::connect(&session, socket, true, SOON).await.expect_err("no daemon");
    let ways: Vec<_> = error.tried.iter().map(|(via, _)| *via).collect();
    assert_eq!(ways, [Via::ForwardedSocket, Via::DialStdio]);
    assert!(matches!(error.tried[1].1, Failure::Helper { .. }), "{error:?}");
    assert_eq!(error.hint().expect("one"), "start Docker on the node: `systemctl start docker`");

    sshd.kill();
    let error = docker::connect(&session, socket, true, SOON).await.expect_err("no node");
    assert!(error.to_string().contains("the SSH connection was lost"), "{error}");
}
