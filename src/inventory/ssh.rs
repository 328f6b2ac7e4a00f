//! `ssh:`, at the top and under a node.

use std::net::IpAddr;
use std::path::PathBuf;

use super::check::{At, Check, Fields};
use super::login::{self, Route};
use super::schema;
use super::tree::{Node, Span};
use super::values::Wrong;
use super::{HostKeyPolicy, Ssh, Unset};

/// The machine's `known_hosts` files, where its SSH configuration names no others (`ssh_config(5)`).
const GLOBAL_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// What an `ssh:` says; `None` is left to the defaults.
#[derive(Debug, Default)]
pub(super) struct SshPart {
    host: Option<At<String>>,
    port: Option<u16>,
    user: Option<String>,
    identity_file: Option<PathBuf>,
    jump: Option<Route>,
    known_hosts: Option<PathBuf>,
    host_key: Option<HostKeyPolicy>,
    fingerprint: Option<String>,
}

impl SshPart {
    /// Where `host` is given, for problems with it.
    pub(super) fn host_span(&self) -> Option<Span> {
        self.host.as_ref().map(|h| h.span)
    }

    /// Whether it names a `known_hosts` file.
    pub(super) fn names_known_hosts(&self) -> bool {
        self.known_hosts.is_some()
    }
}

/// Reads the top-level `ssh:`.
pub(super) fn read_defaults(check: &mut Check<'_>, node: &Node, at: Span) -> SshPart {
    match check.fields(node, at, &schema::SSH) {
        Some(fields) => read_common(check, &fields),
        None => SshPart::default(),
    }
}

/// Reads a node's `ssh:`.
pub(super) fn read_node(check: &mut Check<'_>, node: &Node, at: Span) -> SshPart {
    let Some(fields) = check.fields(node, at, &schema::NODE_SSH) else {
        return SshPart::default();
    };
    let host = check.optional(&fields, "host", "b1.example.org", |_, t| login::host(t));
    let fingerprint =
        check.optional(&fields, "fingerprint", "SHA256:…", |_, t| login::fingerprint(t));
    SshPart { host, fingerprint: fingerprint.map(|f| f.it), ..read_common(check, &fields) }
}

fn read_common(check: &mut Check<'_>, fields: &Fields<'_>) -> SshPart {
    SshPart {
        host: None,
        port: check.optional(fields, "port", "22", |_, t| login::port(t)).map(|a| a.it),
        user: check.optional(fields, "user", "root", |_, t| login::user(t)).map(|a| a.it),
        identity_file: check
            .optional(fields, "identity_file", "~/.ssh/id_ed25519", private_key)
            .map(|a| a.it),
        jump: check.optional(fields, "jump", "ops@bastion", |_, t| login::jump(t)).map(|a| a.it),
        known_hosts: check
            .optional(fields, "known_hosts", "~/.ssh/known_hosts", Check::path)
            .map(|a| a.it),
        host_key: check
            .optional(fields, "host_key", "strict", |_, t| login::host_key(t))
            .map(|a| a.it),
        fingerprint: None,
    }
}

fn private_key(check: &Check<'_>, text: &str) -> Result<PathBuf, Wrong> {
    match text.strip_suffix(".pub") {
        Some(private) => Err(Wrong::new(
            "this looks like the public key",
            format!("name the private one: `{private}`"),
        )),
        None => check.path(text),
    }
}

/// A node's login: its own part over the defaults over what everybody has.
pub(super) fn merged(
    own: SshPart,
    defaults: &SshPart,
    address: IpAddr,
    known_hosts: PathBuf,
) -> Ssh {
    let unset = Unset {
        port: own.port.or(defaults.port).is_none(),
        user: own.user.is_none() && defaults.user.is_none(),
        jump: own.jump.is_none() && defaults.jump.is_none(),
        known_hosts: own.known_hosts.is_none() && defaults.known_hosts.is_none(),
        host_key: own.host_key.or(defaults.host_key).is_none(),
        identity_files: own.identity_file.is_none() && defaults.identity_file.is_none(),
    };
    Ssh {
        unset,
        host: own.host.map_or_else(|| address.to_string(), |h| h.it),
        port: own.port.or(defaults.port).unwrap_or(22),
        user: own.user.or_else(|| defaults.user.clone()).unwrap_or_else(|| "root".to_owned()),
        identity_files: own
            .identity_file
            .or_else(|| defaults.identity_file.clone())
            .into_iter()
            .collect(),
        identities_only: false,
        jump: own.jump.or_else(|| defaults.jump.clone()).map(Route::jumps).unwrap_or_default(),
        certificates: Vec::new(),
        known_hosts: vec![
            own.known_hosts.or_else(|| defaults.known_hosts.clone()).unwrap_or(known_hosts),
        ],
        global_known_hosts: GLOBAL_KNOWN_HOSTS.iter().map(PathBuf::from).collect(),
        host_key: own.host_key.or(defaults.host_key).unwrap_or(HostKeyPolicy::Strict),
        fingerprint: own.fingerprint,
    }
}
