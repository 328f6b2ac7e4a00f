//! Opening a channel, step by step.

use std::io;
use std::os::unix::net::UnixStream as StdUnix;
use std::time::Instant;

use tokio::sync::oneshot;

use super::channel::Channel;
use super::{Exit, SshError, codes};

/// What a channel is to lead to.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A Unix socket on the server (`direct-streamlocal@openssh.com`).
    Unix(String),
    /// A TCP port, as seen from the server (`direct-tcpip`).
    Tcp(String, u16),
    /// A command.
    Exec(String),
    /// Nothing: it makes the connection read, and the other end answer.
    Probe,
}

impl What {
    fn describe(&self) -> String {
        match self {
            Self::Unix(path) => format!("a connection to {path}"),
            Self::Tcp(host, port) => format!("a connection to {host}:{port}"),
            // the command itself may be long, or not for every log
            Self::Exec(_) => "to run a command".into(),
            Self::Probe => "a channel".into(),
        }
    }
}

/// The caller's ends.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) io: StdUnix,
    /// Of a command: stderr and the exit to come.
    pub(super) command: Option<(StdUnix, oneshot::Receiver<Exit>)>,
}

/// Somebody asks for a channel.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: What,
    /// `None`: nobody waits for it.
    pub(super) reply: Option<oneshot::Sender<Result<Opened, SshError>>>,
}

/// A request that is being worked on.
pub(super) struct Opening {
    pub(super) request: Request,
    pub(super) begun: Instant,
    /// Open already; of a command, its start is still to be confirmed.
    channel: Option<ssh2::Channel>,
}

/// How far it got.
pub(super) enum Progress {
    /// The server's answer is awaited.
    Waiting,
    /// The caller has it.
    Open(Channel),
    /// It came to nothing, or nobody wants it; what is open of it is to be closed.
    Over(Option<ssh2::Channel>),
    /// The connection is gone.
    Fatal(String),
}

impl Opening {
    pub(super) fn new(request: Request) -> Self {
        Self { request, begun: Instant::now(), channel: None }
    }

    /// One step further.
    pub(super) fn advance(&mut self, session: &ssh2::Session) -> Progress {
        let mut channel = match self.channel.take() {
            Some(channel) => channel,
            None => match open(session, &self.request.what) {
                Ok(channel) => channel,
                Err(e) => return self.failed(&e, None),
            },
        };
        if let What::Exec(command) = &self.request.what
            && let Err(e) = channel.exec(command)
        {
            return self.failed(&e, Some(channel));
        }
        self.hand_over(channel)
    }

    fn failed(&mut self, e: &ssh2::Error, channel: Option<ssh2::Channel>) -> Progress {
        if codes::again(e) {
            self.channel = channel;
            return Progress::Waiting;
        }
        // a host behind this one that does not answer: libssh2 gives up after 60 s and forgets the channel, and the
        // connection is well (`packet_read_timeout` in its session.h)
        let unanswered = matches!(self.request.what, What::Tcp(..)) && codes::timed_out(e);
        if !unanswered && !codes::channel_only(e) {
            return Progress::Fatal(codes::reason(e));
        }
        if let Some(reply) = self.request.reply.take() {
            let why = e.message().to_owned();
            let full = channel.is_none()
                && matches!(self.request.what, What::Exec(_))
                && e.code() == ssh2::ErrorCode::Session(codes::CHANNEL_FAILURE);
            drop(reply.send(Err(if full {
                SshError::NoSession { why }
            } else {
                SshError::Refused { what: self.request.what.describe(), why }
            })));
        }
        Progress::Over(channel)
    }

    fn hand_over(&mut self, channel: ssh2::Channel) -> Progress {
        let Some(reply) = self.request.reply.take() else { return Progress::Over(Some(channel)) };
        let sockets = || -> io::Result<_> {
            let command = matches!(self.request.what, What::Exec(_)).then(pair).transpose()?;
            Ok((pair()?, command))
        };
        let ((ours, theirs), command) = match sockets() {
            Ok(sockets) => sockets,
            Err(source) => {
                drop(reply.send(Err(SshError::Local { what: "make a socket pair", source })));
                return Progress::Over(Some(channel));
            }
        };
        let (ours_err, theirs_err) = command.map_or((None, None), |(ours, theirs)| {
            let (exited, exit) = oneshot::channel();
            (Some((ours, exited)), Some((theirs, exit)))
        });
        // a caller that no longer waits drops its ends, and the channel closes by that
        drop(reply.send(Ok(Opened { io: theirs, command: theirs_err })));
        Progress::Open(Channel::new(channel, ours, ours_err))
    }
}

fn open(session: &ssh2::Session, what: &What) -> Result<ssh2::Channel, ssh2::Error> {
    match what {
        What::Unix(path) => session.channel_direct_streamlocal(path, None),
        What::Tcp(host, port) => session.channel_direct_tcpip(host, *port, None),
        What::Exec(_) | What::Probe => session.channel_session(),
    }
}

fn pair() -> io::Result<(StdUnix, StdUnix)> {
    let (a, b) = StdUnix::pair()?;
    a.set_nonblocking(true)?;
    b.set_nonblocking(true)?;
    Ok((a, b))
}
