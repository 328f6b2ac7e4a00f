//! One channel: bytes between libssh2 and the socketpairs whose other ends the callers hold.
//!
//! Everything here runs on the connection's own thread, never blocks, and keeps three rules of libssh2:
//! a call that said EAGAIN is repeated with unchanged buffers; reads go only into an empty buffer; a read of nothing
//! is not the end, `eof()` is.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnix;

use rustix::event::{PollFd, PollFlags};
use tokio::sync::oneshot;

use super::{Exit, codes};

/// Bytes moved at once; libssh2's packets carry at most this much.
const BUFFER: usize = 32 * 1024;

struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER].into(), start: 0, end: 0 }
    }
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
    fn filled(&mut self, n: usize) {
        (self.start, self.end) = (0, n);
    }
    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
    fn consume(&mut self, n: usize) {
        self.start += n;
    }
    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// What a turn of a channel came to.
pub(super) enum Step {
    /// Nothing moved.
    Idle,
    /// Something moved: another turn may move more.
    Progress,
    /// The channel is closed and can go.
    Done,
    /// The whole connection is gone.
    Fatal(String),
}

/// The remote side of one direction: what a read or write came to.
enum Moved {
    Bytes(usize),
    Nothing,
    /// The end of the stream, or of the channel.
    End,
}

/// Sorts a result out; `Err` ends the connection.
fn moved(result: io::Result<usize>, session: &ssh2::Session) -> Result<Moved, String> {
    match result {
        Ok(0) => Ok(Moved::Nothing),
        Ok(n) => Ok(Moved::Bytes(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Moved::Nothing),
        // ssh2 drops the code on its way to an io::Error; the session still has it, as nobody called it since
        Err(e) => match ssh2::Error::last_session_error(session) {
            Some(code) if codes::channel_only(&code) => Ok(Moved::End),
            Some(code) if !codes::again(&code) => Err(codes::reason(&code)),
            _ => Err(e.to_string()),
        },
    }
}

/// stderr of a command, and where its exit is reported.
struct Command {
    stderr: StdUnix,
    buffer: Buffer,
    remote_eof: bool,
    told_eof: bool,
    /// Gone once reported, or once nobody waits for it.
    exit: Option<oneshot::Sender<Exit>>,
}

/// A channel in use.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of RFC 4254's half-closing"
)]
pub(super) struct Channel {
    remote: ssh2::Channel,
    io: StdUnix,
    command: Option<Command>,
    inbound: Buffer,
    outbound: Buffer,
    remote_eof: bool,
    /// The caller has been told that no more comes.
    told_eof: bool,
    /// The caller has said that no more comes.
    caller_eof: bool,
    eof_sent: bool,
    caller_gone: bool,
    closing: bool,
    /// This turn read the connection's socket until it was empty.
    drained: bool,
}

impl Channel {
    pub(super) fn new(
        remote: ssh2::Channel,
        io: StdUnix,
        command: Option<(StdUnix, oneshot::Sender<Exit>)>,
    ) -> Self {
        let command = command.map(|(stderr, exit)| Command {
            stderr,
            buffer: Buffer::new(),
            remote_eof: false,
            told_eof: false,
            exit: Some(exit),
        });
        Self {
            remote,
            io,
            command,
            inbound: Buffer::new(),
            outbound: Buffer::new(),
            remote_eof: false,
            told_eof: false,
            caller_eof: false,
            eof_sent: false,
            caller_gone: false,
            closing: false,
            drained: false,
        }
    }

    pub(super) fn drained(&self) -> bool {
        self.drained
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The caller has closed its end, both ways.
    pub(super) fn caller_gone(&mut self) {
        self.caller_gone = true;
    }

    /// Moves what can be moved.
    pub(super) fn turn(&mut self, session: &ssh2::Session) -> Step {
        self.drained = false;
        let result = if self.closing { self.close() } else { self.pump(session) };
        result.unwrap_or_else(Step::Fatal)
    }

    fn pump(&mut self, session: &ssh2::Session) -> Result<Step, String> {
        let mut progress = self.receive(session)?;
        progress |= self.deliver();
        progress |= self.stderr(session)?;
        progress |= self.collect();
        progress |= self.forward(session)?;
        progress |= self.send_eof()?;
        if self.is_over() {
            self.closing = true;
            progress = true;
        }
        Ok(if progress { Step::Progress } else { Step::Idle })
    }

    fn receive(&mut self, session: &ssh2::Session) -> Result<bool, String> {
        if self.remote_eof {
            return Ok(false);
        }
        if !self.inbound.is_empty() {
            // The caller is slow. The transport is still to be drained (keepalives, window adjusts, other channels);
            // the channel's window bounds what piles up. At eof() ssh2 returns before it would read.
            if !self.remote.eof() {
                moved(self.remote.read(&mut []), session)?;
                self.drained = true;
            }
            return Ok(false);
        }
        match moved(self.remote.read(&mut self.inbound.bytes), session)? {
            Moved::Bytes(n) => self.inbound.filled(n),
            Moved::Nothing if !self.remote.eof() => {
                self.drained = true;
                return Ok(false);
            }
            Moved::Nothing | Moved::End => self.remote_eof = true,
        }
        Ok(true)
    }

    fn deliver(&mut self) -> bool {
        let mut progress = false;
        if !self.inbound.is_empty() && !self.caller_gone {
            match self.io.write(self.inbound.rest()) {
                Ok(n) => {
                    self.inbound.consume(n);
                    progress = true;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.caller_gone = true;
                    progress = true;
                }
            }
        }
        if self.caller_gone {
            self.inbound.clear();
        }
        if self.remote_eof && self.inbound.is_empty() && !self.told_eof {
            // fails only where the caller is gone
            drop(self.io.shutdown(Shutdown::Write));
            self.told_eof = true;
            progress = true;
        }
        progress
    }

    fn stderr(&mut self, session: &ssh2::Session) -> Result<bool, String> {
        let Some(command) = &mut self.command else { return Ok(false) };
        let mut progress = false;
        if !command.remote_eof && command.buffer.is_empty() {
            match moved(self.remote.stderr().read(&mut command.buffer.bytes), session)? {
                Moved::Bytes(n) => {
                    command.buffer.filled(n);
                    progress = true;
                }
                Moved::Nothing if !self.remote.eof() => self.drained = true,
                Moved::Nothing | Moved::End => {
                    command.remote_eof = true;
                    progress = true;
                }
            }
        }
        if !command.buffer.is_empty() {
            match command.stderr.write(command.buffer.rest()) {
                Ok(n) => {
                    command.buffer.consume(n);
                    progress = true;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    command.buffer.clear();
                    progress = true;
                }
            }
        }
        if command.remote_eof && command.buffer.is_empty() && !command.told_eof {
            drop(command.stderr.shutdown(Shutdown::Write));
            command.told_eof = true;
            progress = true;
        }
        Ok(progress)
    }

    fn collect(&mut self) -> bool {
        if self.caller_eof || !self.outbound.is_empty() {
            return false;
        }
        match self.io.read(&mut self.outbound.bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => self.caller_eof = true,
            Ok(n) => self.outbound.filled(n),
        }
        true
    }

    fn forward(&mut self, session: &ssh2::Session) -> Result<bool, String> {
        if self.outbound.is_empty() {
            return Ok(false);
        }
        match moved(self.remote.write(self.outbound.rest()), session)? {
            Moved::Bytes(n) => self.outbound.consume(n),
            Moved::Nothing => {
                self.drained = true;
                return Ok(false);
            }
            Moved::End => {
                // the remote reads no more: what is left has nowhere to go
                self.outbound.clear();
                self.caller_eof = true;
                self.eof_sent = true;
            }
        }
        Ok(true)
    }

    fn send_eof(&mut self) -> Result<bool, String> {
        if self.eof_sent || !self.caller_eof || !self.outbound.is_empty() {
            return Ok(false);
        }
        match self.remote.send_eof() {
            Err(e) if codes::again(&e) => {
                self.drained = true;
                return Ok(false);
            }
            Err(e) if !codes::channel_only(&e) => return Err(codes::reason(&e)),
            Ok(()) | Err(_) => self.eof_sent = true,
        }
        Ok(true)
    }

    /// Both sides are done, or the caller has hung up.
    fn is_over(&mut self) -> bool {
        let caller_left = self.caller_gone && self.caller_eof;
        let mut waits_for_exit = false;
        let mut stderr_done = true;
        if let Some(command) = &mut self.command {
            if caller_left && command.exit.as_ref().is_some_and(oneshot::Sender::is_closed) {
                command.exit = None;
            }
            waits_for_exit = command.exit.is_some();
            stderr_done = command.remote_eof && command.buffer.is_empty();
        }
        let remote_done = self.remote_eof && self.inbound.is_empty() && stderr_done;
        let abandoned = caller_left && !waits_for_exit && self.outbound.is_empty();
        abandoned || (remote_done && (waits_for_exit || self.eof_sent))
    }

    /// Something for this channel is queued inside libssh2 already. Neither call reads the socket, so the answer is
    /// exact.
    pub(super) fn has_queued(&self, out_blocked: bool) -> bool {
        if self.closing {
            return false;
        }
        let inbound = self.inbound.is_empty()
            && !self.remote_eof
            && (self.remote.read_window().available > 0 || self.remote.eof());
        let outbound =
            !self.outbound.is_empty() && !out_blocked && self.remote.write_window().remaining > 0;
        inbound || outbound
    }

    fn close(&mut self) -> Result<Step, String> {
        self.drained = true;
        if let Some(command) = self.command.as_mut().filter(|c| c.exit.is_some()) {
            // the exit status comes before the remote's close
            match self.remote.wait_close() {
                Err(e) if codes::again(&e) => return Ok(Step::Idle),
                Err(e) if !codes::channel_only(&e) && !is_out_of_turn(&e) => {
                    return Err(codes::reason(&e));
                }
                Ok(()) | Err(_) => {}
            }
            // after a signal the status reads 0, so the signal is asked for first
            let signal = self.remote.exit_signal().ok().and_then(|s| s.exit_signal);
            let exit = match signal {
                Some(signal) => Exit::Signal(signal),
                None => Exit::Code(self.remote.exit_status().map_err(|e| codes::reason(&e))?),
            };
            if let Some(tx) = command.exit.take() {
                drop(tx.send(exit));
            }
        }
        match self.remote.close() {
            Err(e) if codes::again(&e) => Ok(Step::Idle),
            Err(e) if !codes::channel_only(&e) => Err(codes::reason(&e)),
            Ok(()) | Err(_) => Ok(Step::Done),
        }
    }

    /// What to wait for on the caller's sockets. `caller` is told the position of the one whose hang-up counts.
    pub(super) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>, caller: impl FnOnce(usize)) {
        if self.closing {
            return;
        }
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.outbound.is_empty() && !self.caller_eof);
        flags.set(PollFlags::OUT, !self.inbound.is_empty());
        // a half-closed socketpair shows IN only, HUP means both ways
        if !self.caller_gone {
            caller(fds.len());
            fds.push(PollFd::from_borrowed_fd(self.io.as_fd(), flags));
        }
        if let Some(command) = self.command.as_ref().filter(|c| !c.buffer.is_empty()) {
            fds.push(PollFd::from_borrowed_fd(command.stderr.as_fd(), PollFlags::OUT));
        }
    }
}

/// `wait_close` before the remote's EOF: cannot be, but is no reason to give the connection up.
fn is_out_of_turn(e: &ssh2::Error) -> bool {
    e.code() == ssh2::ErrorCode::Session(-34)
}
