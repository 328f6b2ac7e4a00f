//! One SSH connection to a node, and channels on it.
//!
//! ```text
//! caller ── tokio UnixStream ══ socketpair ══╗
//! caller ── tokio UnixStream ══ socketpair ══╬═ driver thread ─ libssh2 ─ TCP (or a jump host's channel) ─ sshd
//! caller ── Session ── requests to open ─────╝
//! ```
//!
//! [`Client`] makes connections ([`client`]: deadline, tries; [`way`] and [`socket`]: jump hosts, TCP; [`hostkey`] and
//! [`known_hosts`]: is it the node; [`auth`]: logging in, with [`keyfile`] and [`certificate`]). A [`Session`] is a handle on the thread that owns one
//! ([`driver`]), or on several ([`mod@line`]: lost ones, `MaxSessions`); each channel ([`opening`], [`channel`]) is an ordinary
//! socket to its user. Nothing listens on this machine.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnix;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

mod auth;
mod certificate;
mod channel;
mod client;
mod clock;
mod codes;
mod config;
mod driver;
mod error;
mod hostkey;
mod keyfile;
mod known_hosts;
mod line;
mod offer;
mod opening;
mod prompt;
mod socket;
mod way;

pub use client::{Client, LocalSsh};
pub use error::SshError;
use line::Line;
use opening::{Opened, Request, What};
pub use prompt::{Nobody, Prompt, Prompts};

/// How long a server may take to open a channel. It usually takes a round trip. Longer than it takes to see that the other
/// end is gone (50 s, see [`socket`] and [`driver`]): what is lost is to be called so, for then it is made again.
const OPENING: Duration = Duration::from_mins(1);

/// A logged-in connection. Clones share it; it ends when the last clone and the last stream are dropped. Where the server
/// runs fewer commands at once than are asked for (`MaxSessions`), there are more connections behind it.
#[derive(Debug, Clone)]
pub struct Session(Arc<Line>);

/// One connection.
struct Handle {
    /// `None` only while being dropped.
    requests: Option<mpsc::Sender<Request>>,
    wake: Arc<OwnedFd>,
    lost: Arc<OnceLock<String>>,
}

impl Handle {
    fn wake(&self) {
        // fails only where the counter is full, and then the thread is awake
        drop(rustix::io::write(&*self.wake, &1u64.to_ne_bytes()).map_err(io::Error::from));
    }

    async fn open(&self, what: What) -> Result<Opened, SshError> {
        let (reply, opened) = oneshot::channel();
        let request = Request { what, reply: Some(reply) };
        let sent = self.requests.as_ref().is_some_and(|r| r.send(request).is_ok());
        if !sent {
            return Err(lost(&self.lost));
        }
        self.wake();
        match tokio::time::timeout(OPENING, opened).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(lost(&self.lost)),
            Err(_) => Err(SshError::Timeout {
                to: "the node".into(),
                doing: "opening a channel",
                after: OPENING,
            }),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // in this order: woken before the sender is gone, the thread would find nothing new and sleep on
        self.requests = None;
        self.wake();
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By a signal, named without `SIG`.
    Signal(String),
}

impl Exit {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by SIG{signal}"),
        }
    }
}

/// A running command.
#[derive(Debug)]
pub struct ExecIo {
    /// stdin (shut it down to end it) and stdout.
    pub io: UnixStream,
    /// stderr.
    pub stderr: UnixStream,
    /// How it ends.
    pub exit: PendingExit,
}

/// The exit of a command that may still run.
#[derive(Debug)]
pub struct PendingExit {
    exit: oneshot::Receiver<Exit>,
    lost: Arc<OnceLock<String>>,
}

impl PendingExit {
    /// Waits for the end. A stream that ended says nothing by itself: only this tells the command's end from the
    /// connection's.
    ///
    /// # Errors
    /// The connection was lost before the command's end was told.
    pub async fn wait(self) -> Result<Exit, SshError> {
        self.exit.await.map_err(|_| lost(&self.lost))
    }
}

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Everything it wrote to stdout.
    pub stdout: Vec<u8>,
    /// Everything it wrote to stderr.
    pub stderr: Vec<u8>,
}

fn lost(why: &OnceLock<String>) -> SshError {
    let why = why.get().map_or("its channel closed without an answer", String::as_str);
    SshError::Lost { why: why.to_owned() }
}

impl Session {
    /// Connects and logs in with this user's agent and key files. `deadline` covers everything but the time a user
    /// takes to answer `prompt`, which is called on a thread of its own. A [`Client`] does the same for many nodes, and
    /// shares the answers and the jump hosts' connections among them.
    ///
    /// # Errors
    /// Any [`SshError`] there is.
    pub async fn connect(
        settings: &crate::inventory::Ssh,
        prompt: Arc<dyn Prompt>,
        deadline: Duration,
    ) -> Result<Self, SshError> {
        Client::new(prompt, LocalSsh::of_this_user(true)).connect(settings, deadline).await
    }

    fn new(
        requests: mpsc::Sender<Request>,
        wake: Arc<OwnedFd>,
        lost: Arc<OnceLock<String>>,
    ) -> Self {
        let handle = Handle { requests: Some(requests), wake, lost };
        Self(Arc::new(Line::new(Arc::new(handle), None)))
    }

    /// Why the connection ended, if it has.
    pub fn lost(&self) -> Option<String> {
        self.0.now().lost.get().cloned()
    }

    /// Why the connection is lost, if it is: one that may have been cut without a word is asked for a sign of life first.
    /// For whoever got no answer in time, from the node or from Docker on it.
    pub async fn lost_after_all(&self) -> Option<String> {
        let now = self.0.now();
        // whatever comes back, the server is there; and where nothing does, the driver ends the connection
        drop(now.open(What::Probe).await);
        now.lost.get().cloned()
    }

    /// A connection to a Unix socket on the node. It ends like any socket does when the connection is lost, so a
    /// protocol without lengths should ask [`Session::lost`] before it believes an end.
    ///
    /// # Errors
    /// The server refused, nobody listens there, or the connection is lost.
    pub async fn open_unix(&self, path: &str) -> Result<UnixStream, SshError> {
        stream(self.0.open(What::Unix(path.to_owned())).await?.0.io)
    }

    /// A TCP connection from the node to somewhere else.
    async fn open_tcp(&self, host: &str, port: u16) -> Result<StdUnix, SshError> {
        Ok(self.0.open(What::Tcp(host.to_owned(), port)).await?.0.io)
    }

    /// Starts a command in the login shell of the node's user.
    ///
    /// # Errors
    /// The server has no room for it ([`SshError::NoSession`]), refused, or the connection is lost.
    pub async fn exec(&self, command: &str) -> Result<ExecIo, SshError> {
        let (opened, on) = self.0.open(What::Exec(command.to_owned())).await?;
        let (stderr, exit) = opened.command.ok_or_else(|| lost(&on.lost))?;
        let exit = PendingExit { exit, lost: on.lost.clone() };
        Ok(ExecIo { io: stream(opened.io)?, stderr: stream(stderr)?, exit })
    }

    /// Runs a command to its end, with `stdin` given up front. After `deadline` it is hung up on; whether it stops by
    /// that is its own affair (it does where it reads stdin or writes).
    ///
    /// # Errors
    /// As [`exec`](Self::exec), or the deadline passed. A command that fails is none: see [`Output::exit`].
    pub async fn run(
        &self,
        command: &str,
        stdin: &[u8],
        deadline: Duration,
    ) -> Result<Output, SshError> {
        let whole = async {
            let ExecIo { io, mut stderr, exit } = self.exec(command).await?;
            let (mut stdout, mut input) = io.into_split();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let feed = async {
                // a command that does not read all of its stdin is no failure
                drop(input.write_all(stdin).await);
                drop(input.shutdown().await);
            };
            // an error or an early end here is the connection's, which the missing exit tells
            let (_, _, ()) =
                tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err), feed);
            Ok(Output { exit: exit.wait().await?, stdout: out, stderr: err })
        };
        match tokio::time::timeout(deadline, whole).await {
            Ok(result) => result,
            Err(_) => Err(SshError::Timeout {
                to: "the node".into(),
                doing: "running a command",
                after: deadline,
            }),
        }
    }
}

fn stream(io: StdUnix) -> Result<UnixStream, SshError> {
    UnixStream::from_std(io).map_err(|source| SshError::Local { what: "register a socket", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As when a cable is cut: what is sent is not answered, and 45 s later the kernel says so.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_turns_out_to_be_lost_while_a_channel_is_opened_is_called_lost() {
        let (requests, inbox) = mpsc::channel::<Request>();
        let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("made");
        let lost = Arc::default();
        let handle = Handle { requests: Some(requests), wake: Arc::new(wake), lost };
        let driver = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let request = inbox.recv().expect("asked for");
            let gone = SshError::Lost { why: "it was cut".into() };
            drop(request.reply.expect("somebody waits").send(Err(gone)));
        };
        let (opened, ()) = tokio::join!(handle.open(What::Exec("true".into())), driver);
        assert!(matches!(opened, Err(SshError::Lost { .. })), "{opened:?}");
    }
}
