//! A connection to the daemon's socket, one way or the other.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::{Failure, Via};
use crate::ssh::{ExecIo, Session};

/// Helpers at once: each costs one of sshd's sessions (`MaxSessions`, 10), and commands need some too. `ssh/line.rs` has
/// room for as many where it has to make connections for them.
const HELPERS: usize = 8;

/// Makes connections to one daemon.
#[derive(Debug, Clone)]
pub(super) struct Dial(Way);

#[derive(Debug, Clone)]
enum Way {
    /// This machine's own.
    Local(Arc<Path>),
    Socket {
        session: Session,
        path: Arc<str>,
    },
    Helper {
        session: Session,
        command: Arc<str>,
        slots: Arc<Semaphore>,
    },
}

impl Dial {
    /// To a socket of this machine.
    pub(super) fn local(socket: &Path) -> Self {
        Self(Way::Local(socket.into()))
    }

    pub(super) fn new(session: Session, via: Via, socket: &str) -> Self {
        let sudo = match via {
            Via::Local | Via::ForwardedSocket => {
                return Self(Way::Socket { session, path: socket.into() });
            }
            Via::DialStdio => "",
            Via::SudoDialStdio => "sudo -n ",
        };
        let url = format!("unix://{socket}");
        let quoted = shlex::try_quote(&url).unwrap_or_default();
        // a shell that is no login shell may not look where Docker was put
        let script = format!(
            "PATH=\"$PATH:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/snap/bin\"; export PATH; \
             exec {sudo}docker -H {quoted} system dial-stdio"
        );
        // the login shell may be any; sh is there
        let command = format!("exec sh -c {}", shlex::try_quote(&script).unwrap_or_default());
        let slots = Arc::new(Semaphore::new(HELPERS));
        Self(Way::Helper { session, command: command.into(), slots })
    }

    /// A new connection.
    async fn dial(&self) -> Result<UnixStream, Failure> {
        let (session, command, slots) = match &self.0 {
            Way::Local(path) => return Ok(UnixStream::connect(path).await?),
            Way::Socket { session, path } => return Ok(session.open_unix(path).await?),
            Way::Helper { session, command, slots } => (session, command, slots),
        };
        let slot = slots.clone().acquire_owned().await;
        let ExecIo { io, mut stderr, exit } = session.exec(command).await?;
        tokio::spawn(async move {
            // read, so that a talkative helper is not held up; what it says matters only to ping()
            drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await);
            drop(exit.wait().await);
            drop(slot);
        });
        Ok(io)
    }

    /// Whether Docker answers this way.
    pub(super) async fn ping(&self, deadline: Duration) -> Result<(), Failure> {
        const REQUEST: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
        let answer = match &self.0 {
            Way::Local(_) | Way::Socket { .. } => {
                let mut stream = self.dial().await?;
                let mut answer = Vec::new();
                // a failing write or read is told by what was not answered
                drop(stream.write_all(REQUEST).await);
                drop(stream.read_to_end(&mut answer).await);
                answer
            }
            Way::Helper { session, command, .. } => {
                let out = session.run(command, REQUEST, deadline).await?;
                if out.stdout.is_empty() {
                    let stderr = String::from_utf8_lossy(&out.stderr);
                    let said = stderr
                        .lines()
                        .rfind(|l| !l.trim().is_empty())
                        .unwrap_or("it said nothing")
                        .trim();
                    return Err(Failure::Helper { exit: out.exit, said: said.to_owned() });
                }
                out.stdout
            }
        };
        if answer.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        Err(Failure::Answer(
            String::from_utf8_lossy(&answer)
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(80)
                .collect(),
        ))
    }
}

/// What hyper's client dials with.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Dial);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.0.clone();
        Box::pin(async move { dial.dial().await.map(TokioIo::new).map_err(io::Error::other) })
    }
}
