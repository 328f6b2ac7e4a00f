//! What the SSH protocol runs over: a TCP connection, or a channel of a jump host's.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream as StdUnix;
use std::time::Duration;

use rustix::net::sockopt;

use super::client::address;
use super::clock::Clock;
use super::offer;
use super::{Session, SshError};
use crate::inventory::Ssh;

impl Socket {
    /// To the host of `settings`, through `via` where there is one.
    pub(super) async fn open(
        settings: &Ssh,
        via: Option<&Session>,
        clock: &Clock,
    ) -> Result<Self, SshError> {
        clock.doing("connecting");
        Ok(match via {
            None => Self::Tcp(tcp(settings, clock).await?),
            Some(jump) => Self::Channel(through(jump, settings, clock).await?),
        })
    }

    /// The kinds of host keys that are offered there; the connection is used up by that.
    pub(super) async fn offered(self) -> io::Result<Vec<String>> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                offer::host_keys(tokio::net::TcpStream::from_std(stream)?).await
            }
            Self::Channel(stream) => {
                stream.set_nonblocking(true)?;
                offer::host_keys(tokio::net::UnixStream::from_std(stream)?).await
            }
        }
    }
}

/// What the SSH protocol runs over.
pub(super) enum Socket {
    Tcp(TcpStream),
    /// A channel of the jump host's connection.
    Channel(StdUnix),
}

async fn tcp(settings: &Ssh, clock: &Clock) -> Result<TcpStream, SshError> {
    let to = address(settings);
    let resolve = |source| SshError::Resolve { host: settings.host.clone(), source };
    let found = tokio::time::timeout(
        clock.left(),
        tokio::net::lookup_host((settings.host.as_str(), settings.port)),
    );
    let addresses: Vec<_> = found.await.map_err(|_| clock.timeout())?.map_err(resolve)?.collect();
    let mut last = Err(resolve(io::Error::other("the name has no address")));
    for (i, address) in addresses.iter().enumerate() {
        // a dead first address must leave time for the next one
        let left = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = clock.left() / left;
        last = match tokio::time::timeout(share, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let connect = |source| SshError::Connect { to: to.clone(), source };
                let stream = stream.into_std().map_err(connect)?;
                notice_dead_peers(&stream).map_err(connect)?;
                return Ok(stream);
            }
            Ok(Err(source)) => Err(SshError::Connect { to: to.clone(), source }),
            Err(_) => Err(clock.timeout()),
        };
    }
    last
}

/// A cut cable is noticed by the kernel within 50 s. libssh2's own keepalive cannot do it: its packet lives on the C
/// stack, and half of it sent wedges the connection.
fn notice_dead_peers(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(20))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    sockopt::set_tcp_user_timeout(stream, 45_000)?;
    Ok(())
}

async fn through(jump: &Session, settings: &Ssh, clock: &Clock) -> Result<StdUnix, SshError> {
    let open = jump.open_tcp(&settings.host, settings.port);
    match tokio::time::timeout(clock.left(), open).await {
        Err(_) => Err(clock.timeout()),
        Ok(Err(SshError::Refused { why, .. })) => {
            let source = io::Error::other(format!("the jump host could not: {why}"));
            Err(SshError::Connect { to: address(settings), source })
        }
        Ok(other) => other,
    }
}
