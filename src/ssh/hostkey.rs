//! Is this the node? The host key against the inventory's pin, or against `known_hosts`.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use ssh2::MethodType;

use super::SshError;
use super::known_hosts::{self, Entry, Marker};
use crate::inventory::{HostKeyPolicy, Ssh};

/// Host key algorithms by family; a key recorded as `ssh-rsa` signs with either of the RSA algorithms.
const RSA: [&str; 3] = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];

/// The lines about this host and the spelling they were found under.
fn entries_for(settings: &Ssh) -> Result<Vec<Entry>, SshError> {
    let name = known_hosts::host_name(&settings.host, settings.port);
    let all = known_hosts::read(&settings.known_hosts)
        .map_err(|source| SshError::KnownHosts { path: settings.known_hosts.clone(), source })?;
    Ok(all.into_iter().filter(|e| e.names(&name)).collect())
}

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
        for entry in entries_for(settings)?.iter().filter(|e| e.marker == Marker::Host) {
            preferred.extend(expand(&entry.key_type));
        }
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

/// Whether `key` may be believed. Under `accept-new` a host that is nowhere named is added to `known_hosts`, if `record`;
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
    let known_hosts = settings.known_hosts.clone();
    let name = known_hosts::host_name(&host, port);
    let entries = entries_for(settings)?;
    let plain =
        if port == 22 { Vec::new() } else { entries_for(&Ssh { port: 22, ..settings.clone() })? };
    let with_key = |list: &[Entry], marker| {
        list.iter().find(|e| e.marker == marker && e.key == key).map(|e| e.line)
    };
    if let Some(line) =
        with_key(&entries, Marker::Revoked).or_else(|| with_key(&plain, Marker::Revoked))
    {
        return Err(SshError::HostKeyRevoked { host, port, fingerprint: seen, known_hosts, line });
    }
    if with_key(&entries, Marker::Host).is_some() {
        return Ok(());
    }
    if let Some(other) = entries.iter().find(|e| e.marker == Marker::Host) {
        let (key_type, line) = (key_type(key), other.line);
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
        HostKeyPolicy::AcceptNew => known_hosts::append(&known_hosts, &line_to_add)
            .map_err(|source| SshError::KnownHosts { path: known_hosts, source }),
        HostKeyPolicy::Strict => {
            let authority = entries.iter().chain(&plain).find(|e| e.marker == Marker::Authority);
            Err(SshError::HostKeyUnknown {
                host,
                port,
                key_type,
                fingerprint: seen,
                known_hosts: known_hosts.into(),
                line_to_add,
                authority: authority.map(|e| u32::try_from(e.line).unwrap_or(u32::MAX)),
            })
        }
    }
}
