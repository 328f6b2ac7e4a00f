//! A node's Docker, over its SSH connection: [`connect`] finds a way to the daemon and puts bollard on it.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion};
use hyper::header::{HeaderMap, HeaderValue};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::ssh::{Session, SshError};

mod dial;
pub mod image;
pub mod plugin;

use dial::{Connector, Dial};

/// Idle connections kept: a call on one costs one round trip, on a new one three.
const IDLE: usize = 8;
/// bollard's own limit on an answer's head. Callers know better and set their own, so this one only has to be long.
const LONG: Duration = Duration::from_hours(24);

/// A Docker daemon that answered.
#[derive(Debug, Clone)]
pub struct Docker {
    /// Its API. Calls have no useful time limit of their own.
    pub api: bollard::Docker,
    /// The way it is reached.
    pub via: Via,
    /// For calls that bollard does not make.
    dial: Dial,
}

/// A way to a daemon's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// sshd connects to the socket.
    ForwardedSocket,
    /// `docker system dial-stdio` does.
    DialStdio,
    /// The same, run by root.
    SudoDialStdio,
    /// It is this machine's own.
    Local,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ForwardedSocket => "forwarded socket",
            Self::DialStdio => "dial-stdio",
            Self::SudoDialStdio => "sudo dial-stdio",
            Self::Local => "this machine's socket",
        })
    }
}

/// No way led to the daemon.
#[derive(Debug, thiserror::Error)]
#[error("Docker does not answer at {socket}: {}", join(tried))]
pub struct DockerUnreachable {
    /// The path of the daemon's socket, on the node (or on this machine, for the demo).
    pub socket: String,
    /// Each way and why it failed, in the order they were tried.
    pub tried: Vec<(Via, Failure)>,
}

/// Why one way failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No channel, or no connection.
    #[error("{0}")]
    Ssh(#[from] SshError),
    /// No connection on this machine.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The helper ended, with these words.
    #[error("{exit}: {said}")]
    Helper {
        /// How it ended.
        exit: crate::ssh::Exit,
        /// The last line of its stderr.
        said: String,
    },
    /// Something answered, but not Docker's API.
    #[error("unexpected answer {0:?}")]
    Answer(String),
    /// The API version could not be agreed on.
    #[error("no API version in common: {0}")]
    Version(bollard::errors::Error),
    /// Nothing in time.
    #[error("no answer in {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

fn join(tried: &[(Via, Failure)]) -> String {
    let each: Vec<_> = tried.iter().map(|(via, why)| format!("{via}: {why}")).collect();
    each.join("; ")
}

impl DockerUnreachable {
    /// What the user should do, in one sentence, where that is known.
    pub fn hint(&self) -> Option<String> {
        let mut words = String::new();
        for (_, failure) in &self.tried {
            match failure {
                Failure::Ssh(e @ SshError::Lost { .. }) => return e.hint(),
                Failure::Helper { said, .. } => words.push_str(said),
                Failure::Io(error) => return Some(local_hint(error.kind())),
                _ => {}
            }
        }
        let has = |part: &str| words.contains(part);
        // the most telling word first: sudo's refusal comes on top of whatever came before
        Some(if has("docker: not found") || has("docker: command not found") {
            "install Docker on the node (its `docker` command was not found either)".into()
        } else if has("permission denied") {
            "add the user to the group docker (`usermod -aG docker USER`, then log in anew), or allow it sudo without \
             a password"
                .into()
        } else if has("Cannot connect to the Docker daemon")
            || has("no such file")
            || has("connection refused")
        {
            "start Docker on the node: `systemctl start docker`".into()
        } else {
            "check `docker version` on the node; the forwarded socket also needs `AllowStreamLocalForwarding yes` and \
             `AllowTcpForwarding yes` in its sshd_config"
                .into()
        })
    }
}

/// Finds a way to the daemon behind `socket` (a path on the node) by asking it for `/_ping` through each, and agrees on
/// an API version. `deadline` is for each way.
///
/// # Errors
/// Every way that was tried, each with its reason.
pub async fn connect(
    session: &Session,
    socket: &str,
    user_is_root: bool,
    deadline: Duration,
) -> Result<Docker, DockerUnreachable> {
    let mut ways = vec![Via::ForwardedSocket, Via::DialStdio];
    if !user_is_root {
        ways.push(Via::SudoDialStdio);
    }
    let mut tried = Vec::new();
    for via in ways {
        let dial = Dial::new(session.clone(), via, socket);
        let attempt = async {
            dial.ping(deadline).await?;
            bollard_over(dial.clone()).negotiate_version().await.map_err(Failure::Version)
        };
        match tokio::time::timeout(deadline, attempt).await {
            Ok(Ok(api)) => return Ok(Docker { api, via, dial }),
            Ok(Err(failure)) => tried.push((via, failure)),
            Err(_) => tried.push((via, Failure::Timeout(deadline))),
        }
        if let Some(why) = session.lost() {
            tried.push((via, SshError::Lost { why }.into()));
            break;
        }
    }
    Err(DockerUnreachable { socket: socket.to_owned(), tried })
}

/// This machine's own daemon, behind `socket`.
///
/// # Errors
/// It does not answer there.
pub async fn local(socket: &Path, deadline: Duration) -> Result<Docker, DockerUnreachable> {
    let via = Via::Local;
    let dial = Dial::local(socket);
    let attempt = async {
        dial.ping(deadline).await?;
        bollard_over(dial.clone()).negotiate_version().await.map_err(Failure::Version)
    };
    let failure = match tokio::time::timeout(deadline, attempt).await {
        Ok(Ok(api)) => return Ok(Docker { api, via, dial }),
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Timeout(deadline),
    };
    let socket = socket.to_string_lossy().into_owned();
    Err(DockerUnreachable { socket, tried: vec![(via, failure)] })
}

fn local_hint(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "run it as root, or as a user in the group docker (`usermod -aG docker USER`, then log in anew)"
        }
        _ => "install and start Docker, or name its socket: `DOCKER_HOST=unix:///path/docker.sock`",
    }
    .into()
}

/// bollard on a pool of connections that `dial` makes.
fn bollard_over(dial: Dial) -> bollard::Docker {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE)
        .pool_idle_timeout(Duration::from_mins(1))
        .pool_timer(TokioTimer::new())
        .build(Connector(dial));
    let transport = move |mut request: BollardRequest| {
        let client = client.clone();
        url_safe(request.headers_mut());
        Box::pin(async move {
            let response = client.request(request).await;
            response.map_err(|e| bollard::errors::Error::IOError { err: io::Error::other(e) })
        })
    };
    // only where negotiation starts from; never older than what a daemon still speaks
    let newest = ClientVersion { major_version: 1, minor_version: 53 };
    bollard::Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        LONG.as_secs(),
        &newest,
    )
    .expect("the address is constant and well-formed")
}

/// Docker wants its login header in the URL-safe alphabet of base64, and takes one that it cannot read for none at all;
/// bollard writes the other alphabet, so that passwords with `?`, `~` or letters beyond ASCII would not arrive.
fn url_safe(headers: &mut HeaderMap) {
    let Some(value) = headers.get_mut(REGISTRY_LOGIN) else { return };
    let swap = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    let bytes: Vec<u8> = value.as_bytes().iter().map(swap).collect();
    if let Ok(mut safe) = HeaderValue::from_bytes(&bytes) {
        safe.set_sensitive(true); // no `Debug` of it shows the login
        *value = safe;
    }
}

/// The header that carries a registry's login.
const REGISTRY_LOGIN: &str = "X-Registry-Auth";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::Exit;

    #[test]
    fn a_login_header_is_in_dockers_alphabet_and_shown_to_nobody() {
        let mut headers = HeaderMap::new();
        headers.insert(REGISTRY_LOGIN, HeaderValue::from_static("ab+/cd=="));
        url_safe(&mut headers);
        assert_eq!(headers[REGISTRY_LOGIN], "ab-_cd==");
        assert_eq!(format!("{headers:?}"), r#"{"x-registry-auth": Sensitive}"#);
    }

    #[test]
    fn the_hint_follows_what_was_said() {
        let refused = || {
            let what = "a connection to /var/run/docker.sock".into();
            (Via::ForwardedSocket, SshError::Refused { what, why: "connect failed".into() }.into())
        };
        for (said, expected) in [
            (vec!["sh: 1: exec: docker: not found"], "install Docker"),
            (
                vec!["sh: line 1: exec: docker: not found", "sudo: docker: command not found"],
                "install Docker",
            ),
            (
                vec!["permission denied while trying to connect to the Docker daemon socket"],
                "group docker",
            ),
            (
                vec!["permission denied while trying to connect", "sudo: a password is required"],
                "sudo without a password",
            ),
            (
                vec!["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."],
                "systemctl start docker",
            ),
            (vec!["something else"], "AllowStreamLocalForwarding"),
        ] {
            let helper = |said: &&str| {
                (Via::DialStdio, Failure::Helper { exit: Exit::Code(1), said: (*said).to_owned() })
            };
            let tried = std::iter::once(refused()).chain(said.iter().map(helper)).collect();
            let error = DockerUnreachable { socket: "/var/run/docker.sock".into(), tried };
            let hint = error.hint().expect("one");
            assert!(hint.contains(expected), "{said:?}: {hint}");
        }
    }
}
