//! The connections to one node: the one that everything runs over, another in its place where it is lost, and more beside
//! it where the server runs no more commands on it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::opening::{Opened, What};
use super::{Client, Handle, Session, SshError};
use crate::inventory::Ssh;

/// Connections beside the first at most. With `MaxSessions 1` each runs one command, and so many have room: the helpers
/// that lead to Docker (8), the lock (on the first connection), and four commands.
const BESIDE: usize = 12;
/// A node may be back a moment after it went: its sshd restarts, its network comes up.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// How another connection to the same node is made.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) settings: Ssh,
    pub(super) patience: Duration,
}

impl Way {
    pub(super) async fn connect(&self) -> Result<Arc<Handle>, SshError> {
        let session = self.client.connect_once(&self.settings, self.patience).await?;
        Ok(session.0.now())
    }
}

/// The connections to a node.
pub(super) struct Line {
    now: Mutex<Arc<Handle>>,
    /// `None`: this is a jump host's connection, and another is made for whoever needs one.
    way: Option<Way>,
    /// Each for commands that the server would not run beside others.
    beside: tokio::sync::Mutex<Vec<Arc<Handle>>>,
    /// Whether it was tried already to make the connection again.
    again: tokio::sync::Mutex<bool>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lost", &self.now().lost.get()).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(first: Arc<Handle>, way: Option<Way>) -> Self {
        Self {
            now: Mutex::new(first),
            way,
            beside: tokio::sync::Mutex::default(),
            again: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Arc<Handle> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a channel on the connection, and a command that has no room there on one beside it. With the connection that
    /// it is on.
    pub(super) async fn open(&self, what: What) -> Result<(Opened, Arc<Handle>), SshError> {
        let first = self.now();
        match (first.open(what.clone()).await, &self.way) {
            (Ok(opened), _) => Ok((opened, first)),
            (Err(SshError::NoSession { .. }), Some(way)) => {
                // boxed: a jump host's connection is a session too
                Box::pin(self.open_beside(way, what)).await
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn open_beside(&self, way: &Way, what: What) -> Result<(Opened, Arc<Handle>), SshError> {
        let mut beside = self.beside.lock().await;
        beside.retain(|handle| handle.lost.get().is_none());
        for handle in &*beside {
            match handle.open(what.clone()).await {
                // not where one was lost: the command may have begun there, and must not run twice
                Err(SshError::NoSession { .. }) => {}
                other => return other.map(|opened| (opened, handle.clone())),
            }
        }
        if beside.len() >= BESIDE {
            let why = format!("{} connections to it have no room", beside.len() + 1);
            return Err(SshError::NoSession { why });
        }
        let handle = way.connect().await?;
        let opened = alone(&handle, what).await?;
        beside.push(handle.clone());
        Ok((opened, handle))
    }

    /// See [`Session::restore`].
    pub(super) async fn restore(&self) -> Result<bool, SshError> {
        let mut again = self.again.lock().await;
        let (Some(_), Some(way)) = (self.now().lost.get(), &self.way) else { return Ok(false) };
        if std::mem::replace(&mut *again, true) {
            return Ok(false);
        }
        let begun = Instant::now();
        let handle = loop {
            match way.connect().await {
                Ok(handle) => break handle,
                Err(error) if begun.elapsed() > PATIENCE || !passes(&error) => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = handle;
        Ok(true)
    }
}

/// Opens a channel on a connection that nobody else uses. The driver itself has one there now and then, for a moment.
async fn alone(handle: &Handle, what: What) -> Result<Opened, SshError> {
    let mut pause = Duration::from_millis(10);
    loop {
        match handle.open(what.clone()).await {
            Err(SshError::NoSession { .. }) if pause < Duration::from_secs(1) => {}
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Whether it may be otherwise in a moment.
fn passes(error: &SshError) -> bool {
    match error {
        SshError::Connect { .. }
        | SshError::Timeout { .. }
        | SshError::Handshake { .. }
        | SshError::Lost { .. } => true,
        SshError::Jump { source, .. } => passes(source),
        _ => false,
    }
}

impl Session {
    /// A session over `first`, which knows the way to the node.
    pub(super) fn by(first: Arc<Handle>, way: Way) -> Self {
        Self(Arc::new(Line::new(first, Some(way))))
    }

    /// Makes the connection anew where it was lost, once in a session's life. True: it was lost, and is there again; what
    /// ran over it is gone all the same.
    ///
    /// # Errors
    /// It was lost and cannot be made.
    pub async fn restore(&self) -> Result<bool, SshError> {
        self.0.restore().await
    }
}
