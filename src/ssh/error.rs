//! What can go wrong between here and a node, and what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a node could not be logged in to, or why something on an SSH connection failed.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The host's name has no address.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name as given.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// What the user's own SSH configuration says of the host cannot be used.
    #[error("the SSH configuration for {host} cannot be used: {why}")]
    Config {
        /// The host as the inventory has it.
        host: String,
        /// Why not.
        why: String,
    },
    /// No TCP connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// `host:port`.
        to: String,
        /// What the kernel or the jump host said.
        #[source]
        source: io::Error,
    },
    /// The deadline passed.
    #[error("{to} did not answer within {} s while {doing}", after.as_secs_f32())]
    Timeout {
        /// `host:port`, or the node's own name for a session.
        to: String,
        /// What was under way, such as "exchanging keys".
        doing: &'static str,
        /// The deadline that was given.
        after: Duration,
    },
    /// The other end does not speak SSH, or shares no algorithm with us.
    #[error("{to} did not complete the SSH handshake: {why}")]
    Handshake {
        /// `host:port`.
        to: String,
        /// libssh2's reason.
        why: String,
    },
    /// The `known_hosts` file could not be read or added to.
    #[error("cannot use the known_hosts file {}", path.display())]
    KnownHosts {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// `known_hosts` does not name the host, and the policy is strict.
    #[error("the host key of {} is not known ({key_type} {fingerprint})", super::known_hosts::host_name(host, *port))]
    HostKeyUnknown {
        /// Host as in the inventory.
        host: String,
        /// Its SSH port.
        port: u16,
        /// Such as `ssh-ed25519`.
        key_type: String,
        /// `SHA256:…` as `ssh-keygen -l` prints it.
        fingerprint: String,
        /// The file to add it to; `None` where the configuration names none at all.
        known_hosts: Option<Box<Path>>,
        /// The line that would make the host known.
        line_to_add: Box<str>,
        /// The line that names an authority for this host's certificates: `FILE:LINE`, counted from 1.
        authority: Option<Box<str>>,
    },
    /// The server proves itself with a certificate and nothing else, and libssh2 knows none.
    #[error("{to} shows nothing but a host certificate ({}), and host certificates are not supported", offered.join(", "))]
    HostCertificate {
        /// `host:port`.
        to: String,
        /// The kinds of host keys that it offers.
        offered: Vec<String>,
    },
    /// `known_hosts` holds another key for this host.
    #[error(
        "the host key of {} has CHANGED: it now shows {key_type} {fingerprint}, {}:{line} records another",
        super::known_hosts::host_name(host, *port), known_hosts.display()
    )]
    HostKeyChanged {
        /// Host as in the inventory.
        host: String,
        /// Its SSH port.
        port: u16,
        /// Type of the key that was shown.
        key_type: String,
        /// Fingerprint of the key that was shown.
        fingerprint: String,
        /// The file that records another key.
        known_hosts: PathBuf,
        /// The line of it, counted from 1.
        line: usize,
    },
    /// `known_hosts` marks the key as `@revoked`.
    #[error(
        "the host key of {} is revoked by {}:{line} ({fingerprint})",
        super::known_hosts::host_name(host, *port), known_hosts.display()
    )]
    HostKeyRevoked {
        /// Host as in the inventory.
        host: String,
        /// Its SSH port.
        port: u16,
        /// Fingerprint of the key that was shown.
        fingerprint: String,
        /// The file that revokes it.
        known_hosts: PathBuf,
        /// The line of it, counted from 1.
        line: usize,
    },
    /// The host shows another key than the inventory pins.
    #[error("the host key of {to} is {seen}, the inventory pins {expected}")]
    FingerprintMismatch {
        /// `host:port`.
        to: String,
        /// The inventory's `fingerprint`.
        expected: String,
        /// The key that was shown.
        seen: String,
    },
    /// The host shows another key than on the first connection to it, and none is recorded.
    #[error("the host key of {to} is {seen}, and was {first} when this run connected to it first")]
    AnotherHost {
        /// `host:port`.
        to: String,
        /// The key that was shown first.
        first: String,
        /// The key that is shown now.
        seen: String,
    },
    /// No key and no password was accepted.
    #[error("{user} cannot log in to {to}: {}", tried.join("; "))]
    Auth {
        /// The login.
        user: String,
        /// `host:port`.
        to: String,
        /// Each thing that was tried and how it ended.
        tried: Vec<String>,
        /// What can be mended on this machine, such as a key file's mode.
        remedy: Option<String>,
    },
    /// The server refused to open a channel; the connection itself is fine.
    #[error("the server refused {what}: {why}")]
    Refused {
        /// What was asked for, such as "a connection to /var/run/docker.sock".
        what: String,
        /// libssh2's reason (the server's own text is not passed on by it).
        why: String,
    },
    /// The server runs no more commands on the connections that there are (`MaxSessions`), nor on another one.
    #[error("the server runs no more commands: {why}")]
    NoSession {
        /// libssh2's reason (the server's own text is not passed on by it).
        why: String,
    },
    /// The connection is gone, and with it everything that ran over it.
    #[error("the SSH connection was lost: {why}")]
    Lost {
        /// Why it ended.
        why: String,
    },
    /// The jump host is the trouble, not the node.
    #[error("cannot get through the jump host {host}")]
    Jump {
        /// `host:port` of the jump host.
        host: String,
        /// What went wrong there.
        #[source]
        source: Box<SshError>,
    },
    /// This machine ran out of something (threads, file descriptors).
    #[error("cannot {what} on this machine")]
    Local {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl SshError {
    /// What the user should do, in one sentence, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Config { host, .. } => {
                format!("look at `ssh -G {host}`, or write what is needed under `ssh:` in the inventory")
            }
            Self::Resolve { .. } => "set ssh.host to a name or address that resolves from here".into(),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "is sshd running there, and is ssh.port right?".into()
            }
            Self::Connect { .. } | Self::Timeout { .. } => {
                "check ssh.host, ssh.port and the firewalls between here and there".into()
            }
            Self::Handshake { why, .. } if super::codes::hung_up(why) => {
                "check that an SSH server listens on that port, and whether it takes logins from here at this moment (`MaxStartups`, `PerSourcePenalties`, fail2ban)"
                    .into()
            }
            Self::Handshake { .. } => "check that an SSH server listens on that port".into(),
            Self::HostCertificate { .. } => {
                "let its sshd offer a plain key too: take `HostKeyAlgorithms` out of its sshd_config, or add `ssh-ed25519` to it; then record that key in known_hosts, or pin `fingerprint:`"
                    .into()
            }
            Self::KnownHosts { path, .. } => {
                format!("make {} readable and writable, or set ssh.known_hosts", path.display())
            }
            Self::HostKeyUnknown { known_hosts: None, .. } => {
                "compare the fingerprint with the node's own and pin it as `fingerprint`, or name a file in \
                 `ssh.known_hosts`: the SSH configuration names none"
                    .into()
            }
            Self::HostKeyUnknown { known_hosts: Some(file), line_to_add, authority, .. } => {
                let authority = authority.as_ref().map_or_else(String::new, |line| {
                    format!("{line} names an authority for this host, but host certificates are not supported: ")
                });
                format!(
                    "{authority}compare the fingerprint with the node's own, then add this line to {}, or set \
                     `host_key: accept-new`:\n{line_to_add}",
                    file.display()
                )
            }
            Self::HostKeyChanged { host, port, known_hosts, .. } => format!(
                "somebody may be in between; if the node was really installed anew:\n{}",
                forget(host, *port, known_hosts)
            ),
            Self::HostKeyRevoked { .. } => "give the node a new host key; this one is known to be stolen".into(),
            Self::FingerprintMismatch { .. } => {
                "somebody may be in between; if the node was really installed anew, correct `fingerprint`".into()
            }
            Self::AnotherHost { .. } => {
                "somebody may be in between, or another machine has its address: compare both with the node's own, then \
                 pin the right one as `fingerprint`"
                    .into()
            }
            Self::Auth { user, remedy, .. } => remedy.clone().unwrap_or_else(|| {
                format!(
                    "add the public key to ~{user}/.ssh/authorized_keys there (ssh-copy-id), or set ssh.identity_file"
                )
            }),
            Self::Refused { .. } => {
                "its sshd forbids it or has too many sessions: look at MaxSessions, AllowTcpForwarding and \
                 AllowStreamLocalForwarding in the node's sshd_config"
                    .into()
            }
            Self::NoSession { .. } => "set `MaxSessions` in the node's sshd_config to 10, which is sshd's default".into(),
            Self::Lost { .. } => "run the same command again once the node answers; nothing is lost by that".into(),
            Self::Jump { source, .. } => return source.hint(),
            Self::Local { .. } => "raise the limits of this machine (`ulimit -n`, `ulimit -u`)".into(),
        })
    }
}

/// The command that removes a host's recorded keys.
fn forget(host: &str, port: u16, known_hosts: &Path) -> String {
    let name = super::known_hosts::host_name(host, port);
    format!("ssh-keygen -f '{}' -R '{name}'", known_hosts.display())
}
