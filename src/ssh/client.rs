//! From settings to a logged-in connection.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};

use super::auth;
use super::clock::Clock;
use super::codes;
use super::config;
use super::driver;
use super::hostkey;
use super::line::Way;
use super::offer;
use super::prompt::{Prompt, Prompts};
use super::socket::Socket;
use super::{Session, SshError};
use crate::inventory::Ssh;

/// What is used of the operator's own SSH set-up.
#[derive(Debug, Clone, Default)]
pub struct LocalSsh {
    /// The path of the agent's socket.
    pub agent_socket: Option<PathBuf>,
    /// The folder with the usual key files, `~/.ssh`.
    pub ssh_dir: Option<PathBuf>,
    /// The file with the user's SSH configuration.
    pub config: Option<PathBuf>,
    /// Whether a host key that is accepted because it is new is added to `known_hosts`. A dry run writes nothing.
    pub record_host_keys: bool,
}

impl LocalSsh {
    /// `SSH_AUTH_SOCK`, `~/.ssh` and `~/.ssh/config`.
    pub fn of_this_user(record_host_keys: bool) -> Self {
        Self {
            record_host_keys,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK")
                .filter(|s| !s.is_empty())
                .map(PathBuf::from),
            ssh_dir: std::env::home_dir().map(|h| h.join(".ssh")),
            config: std::env::home_dir().map(|h| h.join(".ssh/config")).filter(|c| c.is_file()),
        }
    }
}

/// How long to wait before each further try at a server that has hung up at once.
const BUSY: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
    Duration::from_millis(3000),
];

/// A jump host's connection opens one channel after the other, and one to a host that does not answer takes a minute. Whoever
/// has waited for this long gets a connection of its own to the jump host.
const HELD_UP: Duration = Duration::from_secs(2);

/// User, host and port.
type Hop = (String, String, u16);

/// The fingerprint of a host that was new when it was met first. A further connection, or one in place of a lost one, has
/// to lead to the same host, also where nothing is recorded.
pub(super) type Met = Arc<OnceLock<String>>;

/// What the connections of one run share: answers to questions, the agent, and the connections to jump hosts. Clones share
/// it too.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    prompt: Arc<dyn Prompt>,
    local: LocalSsh,
    /// By the way to each: every hop up to it.
    jumps: Mutex<HashMap<Vec<Hop>, Session>>,
    /// Who was met at the end of each way.
    met: std::sync::Mutex<HashMap<Vec<Hop>, Met>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("local", &self.0.local).finish_non_exhaustive()
    }
}

/// Who is to be logged in to, and what one try has of the one before it.
struct Destination<'a> {
    client: &'a Client,
    settings: &'a Ssh,
    /// The jump host's connection that leads there.
    via: Option<&'a Session>,
    clock: Arc<Clock>,
    met: Met,
}

impl Destination<'_> {
    async fn socket(&self) -> Result<Socket, SshError> {
        let Self { client, settings, via, clock, .. } = self;
        let open = Socket::open(settings, *via, clock);
        if via.is_none() {
            return open.await;
        }
        if let Ok(opened) = tokio::time::timeout(HELD_UP, open).await {
            return opened;
        }
        let another = Box::pin(client.jump(settings, clock.left(), Share::No)).await?;
        Socket::open(settings, another.0.as_ref(), clock).await
    }

    /// The error for a server that has nothing to show but a certificate, where that is what it is.
    async fn certificate(&self) -> Option<SshError> {
        let offered = async { self.socket().await.ok()?.offered().await.ok() };
        let offered = tokio::time::timeout(self.clock.left(), offered).await.ok()??;
        offer::certificates_only(&offered)
            .then(|| SshError::HostCertificate { to: address(self.settings), offered })
    }
}

/// Whether the last jump host's connection may be one that others use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Yes,
    No,
}

fn hop(settings: &Ssh) -> Hop {
    (settings.user.clone(), settings.host.clone(), settings.port)
}

/// `host:port` as people write it.
pub(super) fn address(settings: &Ssh) -> String {
    if settings.host.contains(':') {
        format!("[{}]:{}", settings.host, settings.port)
    } else {
        format!("{}:{}", settings.host, settings.port)
    }
}

impl Client {
    /// A client that asks through `prompt`, each question once.
    pub fn new(prompt: Arc<dyn Prompt>, local: LocalSsh) -> Self {
        let prompt = Arc::new(Prompts::new(prompt));
        let (jumps, met) = (Mutex::default(), std::sync::Mutex::default());
        Self(Arc::new(Shared { prompt, local, jumps, met }))
    }

    /// Connects and logs in. `deadline` covers everything but the time a user takes to answer; each jump host gets as
    /// much again, once for all nodes behind it.
    ///
    /// # Errors
    /// Any [`SshError`] there is, that of a jump host in [`SshError::Jump`].
    pub async fn connect(&self, settings: &Ssh, deadline: Duration) -> Result<Session, SshError> {
        self.connect_configured(&self.configured(settings).await?, deadline).await
    }

    /// Connects with settings as they are.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_configured(
        &self,
        settings: &Ssh,
        deadline: Duration,
    ) -> Result<Session, SshError> {
        let way = Way { client: self.clone(), settings: settings.clone(), patience: deadline };
        let first = way.connect().await?;
        Ok(Session::by(first, way))
    }

    /// One connection, that is not made again.
    pub(super) async fn connect_once(
        &self,
        settings: &Ssh,
        deadline: Duration,
    ) -> Result<Session, SshError> {
        let (via, mut hops) = self.jump(settings, deadline, Share::Yes).await?;
        hops.push(hop(settings));
        // the jump hosts' share is not this node's
        self.login(&self.destination(settings, via.as_ref(), deadline, self.met(hops))).await
    }

    fn destination<'a>(
        &'a self,
        settings: &'a Ssh,
        via: Option<&'a Session>,
        deadline: Duration,
        met: Met,
    ) -> Destination<'a> {
        let clock = Arc::new(Clock::start(address(settings), deadline));
        Destination { client: self, settings, via, clock, met }
    }

    /// With what the user's own SSH configuration says, where the inventory leaves it open.
    ///
    /// # Errors
    /// `ssh -G` refuses the file, or what it says cannot be done here (`ProxyCommand`).
    pub async fn configured(&self, settings: &Ssh) -> Result<Ssh, SshError> {
        if let Some(config) = &self.0.local.config {
            return config::apply(settings, config).await;
        }
        let known_hosts = config::known_hosts(settings, std::env::home_dir().as_deref());
        Ok(Ssh { known_hosts, ..settings.clone() })
    }

    fn met(&self, hops: Vec<Hop>) -> Met {
        let mut met = self.0.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.entry(hops).or_default().clone()
    }

    /// The connection to the last of a node's jump hosts, each made once and through the one before; and all of them.
    async fn jump(
        &self,
        node: &Ssh,
        deadline: Duration,
        share: Share,
    ) -> Result<(Option<Session>, Vec<Hop>), SshError> {
        let mut via: Option<Session> = None;
        let mut way = Vec::new();
        let bastions = self.way(node).await?;
        for (i, bastion) in bastions.iter().enumerate() {
            way.push(hop(bastion));
            let via_now = via.take();
            let login = async {
                let met = self.met(way.clone());
                let to = self.destination(bastion, via_now.as_ref(), deadline, met);
                self.login(&to).await.map_err(|source| SshError::Jump {
                    host: address(bastion),
                    source: Box::new(source),
                })
            };
            via = Some(if share == Share::No && i + 1 == bastions.len() {
                login.await?
            } else {
                let mut jumps = self.0.jumps.lock().await;
                if let Some(session) = jumps.get(&way).filter(|s| s.lost().is_none()) {
                    session.clone()
                } else {
                    let session = login.await?;
                    jumps.insert(way.clone(), session.clone());
                    session
                }
            });
        }
        Ok((via, way))
    }

    /// Tries again where another connection may do better: the server hung up while the user typed a passphrase, it took
    /// no more logins at that moment, or it showed another of its keys than the pinned one.
    async fn login(&self, to: &Destination<'_>) -> Result<Session, SshError> {
        match self.let_in(to).await {
            Err(SshError::Lost { .. }) if to.clock.was_asked() => self.attempt(to, None).await,
            Err(mismatch @ SshError::FingerprintMismatch { .. }) => {
                for family in hostkey::FAMILIES {
                    match self.attempt(to, Some(family)).await {
                        // it has no such key, or that is not the one either
                        Err(SshError::FingerprintMismatch { .. } | SshError::Handshake { .. }) => {}
                        other => return other,
                    }
                }
                Err(mismatch)
            }
            Err(failed @ SshError::Handshake { .. }) => {
                Err(to.certificate().await.unwrap_or(failed))
            }
            other => other,
        }
    }

    /// A server that hangs up before it has said who it is may have too many who are about to log in (`MaxStartups`).
    async fn let_in(&self, to: &Destination<'_>) -> Result<Session, SshError> {
        let mut result = self.attempt(to, None).await;
        for pause in BUSY {
            match &result {
                Err(SshError::Handshake { why, .. })
                    if codes::hung_up(why) && to.clock.left() > pause => {}
                _ => break,
            }
            tokio::time::sleep(pause).await;
            match self.attempt(to, None).await {
                // gone altogether: what it did first says more
                Err(SshError::Connect { .. }) => break,
                other => result = other,
            }
        }
        result
    }

    async fn attempt(
        &self,
        to: &Destination<'_>,
        family: Option<&'static str>,
    ) -> Result<Session, SshError> {
        let socket = to.socket().await?;
        let (settings, local) = (to.settings.clone(), self.0.local.clone());
        let (prompt, clock, met) = (self.0.prompt.clone(), to.clock.clone(), to.met.clone());
        let establish =
            move || establish(socket, &settings, &local, &*prompt, &clock, &met, family);
        let (ready, mut is_ready) = oneshot::channel();
        let session = driver::spawn(establish, ready)?;
        loop {
            // libssh2 keeps the deadline by itself; this is for what it cannot watch, such as a hanging agent
            let patience = to.clock.left() + Duration::from_millis(500);
            match tokio::time::timeout(patience, &mut is_ready).await {
                Ok(Ok(result)) => return result.map(|()| session),
                Ok(Err(_)) => return Err(SshError::Lost { why: "its thread ended".into() }),
                Err(_) if to.clock.left().is_zero() => return Err(to.clock.timeout()),
                Err(_) => {}
            }
        }
    }
}

/// On the connection's own thread: handshake, host key, login. The second value is our own handle on the socket, to
/// wait for it.
fn establish(
    socket: Socket,
    settings: &Ssh,
    local: &LocalSsh,
    prompt: &dyn Prompt,
    clock: &Clock,
    met: &OnceLock<String>,
    family: Option<&str>,
) -> Result<(ssh2::Session, OwnedFd), SshError> {
    let to = address(settings);
    let handshake = |e: &ssh2::Error| {
        if e.code() == ssh2::ErrorCode::Session(codes::TIMEOUT) {
            clock.timeout()
        } else {
            SshError::Handshake { to: to.clone(), why: codes::reason(e) }
        }
    };
    let no_handle = |source| SshError::Local { what: "duplicate a socket", source };
    let mut session = ssh2::Session::new().map_err(|e| handshake(&e))?;
    let fd = match socket {
        Socket::Tcp(stream) => {
            let fd = OwnedFd::from(stream.try_clone().map_err(no_handle)?);
            session.set_tcp_stream(stream);
            fd
        }
        Socket::Channel(stream) => {
            let fd = OwnedFd::from(stream.try_clone().map_err(no_handle)?);
            session.set_tcp_stream(stream);
            fd
        }
    };
    hostkey::prefer(&session, settings, family)?;
    clock.doing("exchanging keys");
    session.set_timeout(clock.left_ms());
    session.handshake().map_err(|e| handshake(&e))?;
    let (key, _) = session.host_key().ok_or_else(|| SshError::Handshake {
        to: to.clone(),
        why: "it showed no host key".into(),
    })?;
    hostkey::verify(key, settings, local.record_host_keys, met)?;
    auth::authenticate(&session, settings, local, prompt, clock)?;
    session.set_timeout(0);
    session.set_blocking(false);
    Ok((session, fd))
}
