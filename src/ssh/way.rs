//! The jump hosts on the way to a node, the outermost first.

use super::{Client, SshError};
use crate::inventory::{Jump, Ssh, Unset};

/// More than anybody has; a longer way is one that never ends.
const LONGEST: usize = 8;

impl Client {
    /// With what the user's own configuration says of each, its `ProxyJump` for the outermost too, as OpenSSH does it.
    pub(super) async fn way(&self, node: &Ssh) -> Result<Vec<Ssh>, SshError> {
        let mut way = self.bastions(node).await?;
        while let Some(first) = way.first().filter(|f| !f.jump.is_empty()) {
            if way.len() >= LONGEST {
                let hosts: Vec<&str> = way.iter().map(|w| w.host.as_str()).collect();
                let why = format!("its jump hosts lead in a circle: {}", hosts.join(", "));
                return Err(SshError::Config { host: node.host.clone(), why });
            }
            let before = self.bastions(first).await?;
            way[0].jump.clear();
            // a `ProxyJump` under `Host *` is also that of the jump host itself, and is not meant for it
            if before.len() == 1 && same(&before[0], &way[0]) {
                break;
            }
            way.splice(0..0, before);
        }
        Ok(way)
    }

    /// The jump hosts that stand in `settings`.
    async fn bastions(&self, settings: &Ssh) -> Result<Vec<Ssh>, SshError> {
        let mut all = Vec::new();
        for (i, jump) in settings.jump.iter().enumerate() {
            all.push(self.configured(&bastion(jump, settings, i == 0)).await?);
        }
        Ok(all)
    }
}

/// Whether both are one login.
fn same(a: &Ssh, b: &Ssh) -> bool {
    (&a.host, a.port, &a.user) == (&b.host, b.port, &b.user)
}

/// How a jump host is logged in to: like the node behind it, where nothing else is said. The way to the `first` one may be
/// said by the user's configuration; the way to each other is the one before it.
fn bastion(jump: &Jump, node: &Ssh, first: bool) -> Ssh {
    Ssh {
        host: jump.host.clone(),
        port: jump.port.unwrap_or(22),
        user: jump.user.clone().unwrap_or_else(|| node.user.clone()),
        // a key that the user's configuration names is for that host alone
        identity_files: if node.unset.identity_files {
            Vec::new()
        } else {
            node.identity_files.clone()
        },
        identities_only: false,
        certificates: Vec::new(),
        jump: Vec::new(),
        fingerprint: None,
        unset: Unset {
            port: jump.port.is_none(),
            user: jump.user.is_none(),
            jump: first,
            ..node.unset
        },
        ..node.clone()
    }
}
