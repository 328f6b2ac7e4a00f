//! Is this the node? The host key against the inventory's pin, or against `known_hosts`.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use ssh2::MethodType;

use super::SshError;
use super::known_hosts::{self, Entry, Known, Marker};
use crate::inventory::{HostKeyPolicy, Ssh};

/// Host key algorithms by family; a key recorded as `ssh-rsa` signs with either of the RSA algorithms.
const RSA: [&str; 3] = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];

/// Asks the server for a key of a type we can check, as OpenSSH does: of a type that `known_hosts` records, or of one
/// of `only` where a pinned key is searched for.
pub(super) fn prefer(
    session: &ssh2::Session,
    settings: &Ssh,
    only: Option<&str>,
) -> Result<(), SshError> {
    let handshake = |e: &ssh2::Error| SshError::Handshake {
        to: super::client::address(settings),
        why: e.message().to_owned(),
    };
    // libssh2 takes certificates too, but neither looks who signed one nor what for
    let mut all = session.supported_algs(MethodType::HostKey).map_err(|e| handshake(&e))?;
    all.retain(|a| !a.contains("-cert-"));
    let expand = |key_type: &str| -> Vec<&str> {
        if key_type == "ssh-rsa" {
            RSA.iter().filter_map(|r| all.iter().find(|a| *a == r)).copied().collect()
        } else {
            all.iter().filter(|a| **a == key_type).copied().collect()
        }
    };
    let mut preferred: Vec<&str> = Vec::new();
    if let Some(family) = only {
        preferred = all.iter().filter(|a| self::family(a) == family).copied().collect();
    } else if settings.fingerprint.is_none() {
        let known = Known::read(settings);
        let entries = known.of(&settings.host, settings.port);
        let revoked =
            |e: &Entry| entries.iter().any(|r| r.marker == Marker::Revoked && r.key == e.key);
        let mut types = std::collections::HashSet::new();
        for entry in entries.iter().filter(|e| e.marker == Marker::Host) {
            // as OpenSSH has it: a type is not asked for where the first recorded key of it is revoked
            if types.insert(entry.key_type.as_str()) && !revoked(entry) {
                preferred.extend(expand(&entry.key_type));
            }
        }
        // several that are recorded: in OpenSSH's order, which is libssh2's, whatever the order of the lines
        preferred.sort_by_key(|p| all.iter().position(|a| a == p));
        preferred.extend(&all);
    } else {
        preferred.extend(&all);
    }
    let mut seen = std::collections::HashSet::new();
    preferred.retain(|a| seen.insert(*a));
    session.method_pref(MethodType::HostKey, &preferred.join(",")).map_err(|e| handshake(&e))
}

/// The families a server usually has one key each of.
pub(super) const FAMILIES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

fn family(algorithm: &str) -> &'static str {
    FAMILIES.into_iter().find(|f| algorithm.contains(f)).unwrap_or("other")
}

/// `SHA256:…` as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The type a key blob names itself: its first length-prefixed string.
fn key_type(key: &[u8]) -> String {
    let named = key
        .split_first_chunk::<4>()
        .and_then(|(len, rest)| rest.get(..u32::from_be_bytes(*len) as usize));
    named.map_or_else(|| "unknown".to_owned(), |n| String::from_utf8_lossy(n).into_owned())
}

/// Whether `key` may be believed. Under `accept-new` a host that is nowhere named is added to the user's first file, if `record`;
/// in any case it is noted in `met`, and only the host that is noted there is believed.
pub(super) fn verify(
    key: &[u8],
    settings: &Ssh,
    record: bool,
    met: &OnceLock<String>,
) -> Result<(), SshError> {
    let seen = fingerprint(key);
    if let Some(pin) = &settings.fingerprint {
        // some tools pad the base64, OpenSSH does not
        return if pin.trim_end_matches('=') == seen {
            Ok(())
        } else {
            let to = super::client::address(settings);
            Err(SshError::FingerprintMismatch { to, expected: pin.clone(), seen })
        };
    }
    let (host, port) = (settings.host.clone(), settings.port);
    let name = known_hosts::host_name(&host, port);
    let known = Known::read(settings);
    let entries = known.of(&host, port);
    let plain = if port == 22 { Vec::new() } else { known.of(&host, 22) };
    let with_key = |list: &[&Entry], marker| {
        list.iter()
            .find(|e| e.marker == marker && e.key == key)
            .map(|e| (e.file.to_path_buf(), e.line))
    };
    if let Some((known_hosts, line)) =
        with_key(&entries, Marker::Revoked).or_else(|| with_key(&plain, Marker::Revoked))
    {
        return Err(SshError::HostKeyRevoked { host, port, fingerprint: seen, known_hosts, line });
    }
    if with_key(&entries, Marker::Host).is_some() {
        return Ok(());
    }
    if let Some(other) = entries.iter().find(|e| e.marker == Marker::Host) {
        let (key_type, known_hosts, line) = (key_type(key), other.file.to_path_buf(), other.line);
        return Err(SshError::HostKeyChanged {
            host,
            port,
            key_type,
            fingerprint: seen,
            known_hosts,
            line,
        });
    }
    // a key recorded without a port counts for all ports, but only as a "yes": another port may be another machine
    if with_key(&plain, Marker::Host).is_some() {
        return Ok(());
    }
    if let Some((path, source)) = known.unread {
        return Err(SshError::KnownHosts { path, source });
    }
    let key_type = key_type(key);
    let line_to_add = known_hosts::line(&name, &key_type, key);
    if settings.host_key == HostKeyPolicy::AcceptNew {
        let first = met.get_or_init(|| seen.clone());
        if *first != seen {
            let to = super::client::address(settings);
            return Err(SshError::AnotherHost { to, first: first.clone(), seen });
        }
    }
    match settings.host_key {
        HostKeyPolicy::AcceptNew if !record => Ok(()),
        HostKeyPolicy::AcceptNew => match settings.known_hosts.first() {
            Some(first) => known_hosts::append(first, &line_to_add)
                .map_err(|source| SshError::KnownHosts { path: first.clone(), source }),
            None => Ok(()),
        },
        HostKeyPolicy::Strict => {
            let authority = entries.iter().chain(&plain).find(|e| e.marker == Marker::Authority);
            let mut files = settings.known_hosts.iter().chain(&settings.global_known_hosts);
            Err(SshError::HostKeyUnknown {
                host,
                port,
                key_type,
                fingerprint: seen,
                known_hosts: files.next().map(|f| f.as_path().into()),
                line_to_add: line_to_add.into(),
                authority: authority.map(|e| format!("{}:{}", e.file.display(), e.line).into()),
            })
        }
    }
}
