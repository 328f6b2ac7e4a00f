//! The thread that owns a connection.
//!
//! It is the only one that ever touches libssh2's objects; everybody else holds ends of socketpairs. A single owner,
//! because ssh2 frees a dropped channel without the session's lock, because only one channel can be opening at a time,
//! and because a read for one channel drains the socket for all of them, so that all of them have to look again.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::oneshot;

use super::channel::{Channel, Step};
use super::codes;
use super::opening::{Opening, Progress, Request, What};
use super::{Session, SshError};

/// Silent for this long, the other end is asked for a sign of life: the firewalls in between forget what is idle, and what
/// was cut without a word behind a jump host or a NAT never ends by itself.
const IDLE: Duration = Duration::from_secs(20);
/// What it gets to answer. Together 45 s, which is what the kernel takes where the cable is cut (see [`super::socket`]).
const ANSWER: Duration = Duration::from_secs(25);
/// The same for a connection to another host: longer than libssh2 waits for it, 60 s.
const ANSWER_OF_ANOTHER: Duration = Duration::from_secs(90);
/// What sshd gets to close the channels once nobody uses the connection.
const GOODBYE: Duration = Duration::from_secs(1);
/// A close has nothing to ask libssh2 for, so its answer may be overlooked for this long.
const NAP: Duration = Duration::from_millis(5);

/// Starts the thread; `establish` runs on it first, and `ready` hears how that went.
pub(super) fn spawn(
    establish: impl FnOnce() -> Result<(ssh2::Session, OwnedFd), SshError> + Send + 'static,
    ready: oneshot::Sender<Result<(), SshError>>,
) -> Result<Session, SshError> {
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| SshError::Local { what: "make an eventfd", source: e.into() })?;
    let wake = Arc::new(wake);
    let (requests, inbox) = mpsc::channel();
    let lost = Arc::new(OnceLock::new());
    let session = Session::new(requests, wake.clone(), lost.clone());
    let run = move || match establish() {
        Err(e) => drop(ready.send(Err(e))),
        Ok((session, socket)) => {
            if ready.send(Ok(())).is_ok() {
                Driver::new(session, socket, inbox, wake).run(&lost);
            }
        }
    };
    std::thread::Builder::new()
        .name("ssh".into())
        .spawn(run)
        .map_err(|source| SshError::Local { what: "start a thread", source })?;
    Ok(session)
}

/// Why a connection ends.
enum End {
    /// Nobody uses it any more.
    Unused,
    Lost(String),
}

struct Driver {
    session: ssh2::Session,
    socket: OwnedFd,
    inbox: mpsc::Receiver<Request>,
    wake: Arc<OwnedFd>,
    channels: Vec<Channel>,
    queue: VecDeque<Request>,
    opening: Option<Opening>,
    /// Channels nobody uses that still have to be closed.
    leftover: Vec<ssh2::Channel>,
    /// No [`Session`] is left to send requests.
    unused: bool,
    turn: usize,
    last_io: Instant,
    /// When the other end was last heard of.
    heard: Instant,
}

impl Driver {
    fn new(
        session: ssh2::Session,
        socket: OwnedFd,
        inbox: mpsc::Receiver<Request>,
        wake: Arc<OwnedFd>,
    ) -> Self {
        Self {
            session,
            socket,
            inbox,
            wake,
            channels: Vec::new(),
            queue: VecDeque::new(),
            opening: None,
            leftover: Vec::new(),
            unused: false,
            turn: 0,
            last_io: Instant::now(),
            heard: Instant::now(),
        }
    }

    fn run(mut self, lost: &OnceLock<String>) {
        let Err(end) = self.turns();
        let why = match &end {
            End::Unused => "it was closed".to_owned(),
            End::Lost(why) => why.clone(),
        };
        // said before any caller can see its stream end, so that "why" is there when it asks
        drop(lost.set(why.clone()));
        let opening = self.opening.take().map(|o| o.request);
        let waiting = opening.into_iter().chain(self.queue.drain(..)).chain(self.inbox.try_iter());
        for reply in waiting.filter_map(|r| r.reply) {
            drop(reply.send(Err(SshError::Lost { why: why.clone() })));
        }
        // channels are freed here, on their owner's thread; libssh2 may take a moment to say goodbye
        self.session.set_timeout(1000);
        self.session.set_blocking(matches!(end, End::Unused));
        self.channels.clear();
        self.leftover.clear();
        if matches!(end, End::Unused) {
            drop(self.session.disconnect(None, "done", None));
        }
    }

    fn turns(&mut self) -> Result<std::convert::Infallible, End> {
        let mut second_looks = 0;
        loop {
            self.take_requests();
            if self.is_over() {
                return Err(End::Unused);
            }
            let (mut progress, mut drained) = self.pump()?;
            // Opening comes last: nothing reads the socket after it in this turn, so its answer cannot be swallowed
            // unseen by another channel's read.
            let (opened, waiting) = self.open()?;
            progress |= opened;
            drained |= waiting;
            drained |= self.close_leftover()?;
            if progress {
                self.last_io = Instant::now();
                second_looks = 0;
                continue;
            }
            // A channel's read may have queued packets for one that had its turn already. Nothing would be readable
            // then although there is something to do, so look before sleeping.
            let out_blocked = matches!(
                self.session.block_directions(),
                ssh2::BlockDirections::Outbound | ssh2::BlockDirections::Both
            );
            let queued = self.channels.iter().any(|c| c.has_queued(out_blocked));
            if queued && second_looks < 2 {
                second_looks += 1;
                continue;
            }
            let nap = queued
                || !self.leftover.is_empty()
                || self.channels.iter().any(Channel::is_closing);
            self.sleep(nap, out_blocked, drained)?;
        }
    }

    fn take_requests(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(request) => self.queue.push_back(request),
                Err(mpsc::TryRecvError::Empty) => return,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.unused = true;
                    return;
                }
            }
        }
    }

    /// Nobody uses the connection any more. sshd may close a channel only after the command that was hung up on has
    /// ended by itself, which is not waited for.
    fn is_over(&self) -> bool {
        let closed = self.channels.is_empty()
            || (self.channels.iter().all(Channel::is_closing) && self.last_io.elapsed() > GOODBYE);
        self.unused && closed && self.opening.is_none() && self.queue.is_empty()
    }

    /// One turn of every channel, starting with another one each time: whether anything moved, and whether the
    /// socket was read empty.
    fn pump(&mut self) -> Result<(bool, bool), End> {
        let (mut progress, mut drained) = (false, false);
        let n = self.channels.len();
        self.turn = self.turn.wrapping_add(1);
        let mut done = Vec::new();
        for k in 0..n {
            let i = (k + self.turn) % n;
            let channel = &mut self.channels[i];
            match channel.turn(&self.session) {
                Step::Idle => {}
                Step::Progress => progress = true,
                Step::Done => {
                    done.push(i);
                    progress = true;
                }
                Step::Fatal(why) => return Err(End::Lost(why)),
            }
            drained |= channel.drained();
        }
        done.sort_unstable();
        for i in done.into_iter().rev() {
            self.channels.swap_remove(i);
        }
        Ok((progress, drained))
    }

    /// Goes on opening: whether anything moved, and whether an answer is awaited.
    fn open(&mut self) -> Result<(bool, bool), End> {
        if self.opening.is_none() {
            // whoever has stopped waiting is not waited for
            self.queue.retain(|r| r.reply.as_ref().is_none_or(|reply| !reply.is_closed()));
            self.opening = self.queue.pop_front().map(Opening::new);
        }
        let Some(mut opening) = self.opening.take() else { return Ok((false, false)) };
        match opening.advance(&self.session) {
            Progress::Waiting => {
                self.opening = Some(opening);
                return Ok((false, true));
            }
            Progress::Open(channel) => self.channels.push(channel),
            Progress::Over(channel) => self.leftover.extend(channel),
            Progress::Fatal(why) => {
                // put back: it is among those that hear why
                self.opening = Some(opening);
                return Err(End::Lost(why));
            }
        }
        Ok((true, false))
    }

    /// Whether an answer to a close is awaited.
    fn close_leftover(&mut self) -> Result<bool, End> {
        let mut fatal = None;
        self.leftover.retain_mut(|channel| match channel.close() {
            Err(e) if codes::again(&e) => true,
            Err(e) if !codes::channel_only(&e) => {
                fatal = Some(codes::reason(&e));
                false
            }
            Ok(()) | Err(_) => false,
        });
        fatal.map_or(Ok(!self.leftover.is_empty()), |why| Err(End::Lost(why)))
    }

    /// Waits until something can move. `drained`: somebody reads the socket in the next turn.
    fn sleep(&mut self, nap: bool, out_blocked: bool, drained: bool) -> Result<(), End> {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, out_blocked);
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.socket.as_fd(), flags),
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
        ];
        let mut callers = Vec::with_capacity(self.channels.len());
        for (i, channel) in self.channels.iter().enumerate() {
            channel.poll_fds(&mut fds, |at| callers.push((at, i)));
        }
        let next = if nap {
            NAP
        } else {
            self.patience().unwrap_or_default().max(Duration::from_millis(200))
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(next.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(next.subsec_nanos()),
        };
        // sshd leaves Nagle on for sessions without a terminal, and a small answer would wait 40 ms for our delayed
        // acknowledgement. The option does not stick. (It fails on a jump host's channel, which has no such delay.)
        drop(
            rustix::net::sockopt::set_tcp_quickack(&self.socket, true)
                .map_err(std::io::Error::from),
        );
        let polled = poll(&mut fds, Some(&timeout));
        let (socket, wake) = (fds[0].revents(), fds[1].revents());
        let hung_up = |at: &usize| fds[*at].revents().contains(PollFlags::HUP);
        let gone: Vec<usize> =
            callers.iter().filter(|(at, _)| hung_up(at)).map(|(_, i)| *i).collect();
        drop(fds);
        for i in gone {
            self.channels[i].caller_gone();
        }
        match polled {
            Ok(_) => {
                if wake.contains(PollFlags::IN) {
                    let mut count = [0; 8];
                    drop(rustix::io::read(&*self.wake, &mut count).map_err(std::io::Error::from));
                }
                if !socket.difference(PollFlags::OUT).is_empty() && !drained {
                    // The server spoke (a keepalive, a goodbye) and nobody reads. Opening a channel does, and gives
                    // the server its answer.
                    if self.unused && self.channels.is_empty() {
                        return Err(End::Unused);
                    }
                    self.queue.push_back(Request { what: What::Probe, reply: None });
                }
            }
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(End::Lost(e.to_string())),
        }
        if socket.contains(PollFlags::IN) {
            self.heard = Instant::now();
        } else if self.patience().is_none() {
            return self.doubt();
        }
        Ok(())
    }

    /// How much longer the other end may be silent; `None`: it was for too long.
    fn patience(&self) -> Option<Duration> {
        let silent = self.heard.elapsed();
        let (limit, silent) = match &self.opening {
            None if self.queue.is_empty() => (IDLE, silent),
            None => return Some(IDLE), // the next turn asks something anyhow
            Some(opening) => match opening.request.what {
                What::Tcp(..) => (ANSWER_OF_ANOTHER, silent.min(opening.begun.elapsed())),
                _ => (ANSWER, silent.min(opening.begun.elapsed())),
            },
        };
        limit.checked_sub(silent).filter(|left| !left.is_zero())
    }

    /// Asks for a sign of life, for which a channel is opened: whatever the answer, it is one. Not libssh2's own keepalive,
    /// which needs no answer and forgets the unsent part of its packet. Where an answer is awaited already, it will not come.
    fn doubt(&mut self) -> Result<(), End> {
        if let Some(opening) = &self.opening {
            let silent = self.heard.elapsed().min(opening.begun.elapsed()).as_secs();
            return Err(End::Lost(format!("the other end has not answered for {silent} s")));
        }
        self.queue.push_back(Request { what: What::Probe, reply: None });
        Ok(())
    }
}
