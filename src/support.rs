//! `cephdock support`: what somebody who helps from afar wants to see, in one archive. Pure but for [`pack`], which writes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::daemon::DaemonId;
use crate::facts::{Facts, IdentityFile, Seen};
use crate::identity::Identity;
use crate::inventory::Inventory;

/// Shown in the place of a secret.
const REDACTED: &str = "(removed)";
/// A cephx key in base64 has 40 characters or more; `ceph` and its logs show it in no other way.
const KEY_LENGTH: usize = 40;

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path in there, such as `nodes/B1.json`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Takes secrets out of text: those that are known, and whatever looks like a key.
#[derive(Debug, Default)]
pub struct Redactor {
    known: BTreeSet<String>,
    /// A plugin's settings by name. Most are such as `rbd`, so a value is taken out only beside its name.
    settings: BTreeMap<String, String>,
}

impl Redactor {
    /// Knows what the inventory and the identities on the nodes hold.
    pub fn new(want: &Inventory, facts: &Facts) -> Self {
        let mut known = BTreeSet::new();
        let mut add = |secret: &str| {
            // an empty one would be found everywhere
            if !secret.is_empty() {
                known.insert(secret.to_owned());
            }
        };
        if let Some(login) = want.cluster.registry.as_ref().and_then(|r| r.login.as_ref()) {
            add(login.password.expose());
        }
        let nodes = facts.nodes.values().filter_map(Seen::value);
        for identity in nodes.filter_map(|node| match &node.identity {
            IdentityFile::Found(identity) => Some(identity),
            IdentityFile::Absent | IdentityFile::Damaged(_) => None,
        }) {
            for key in keys(want, facts, identity) {
                add(&key);
            }
        }
        let settings = want.volumes.settings.iter().filter(|(_, value)| !value.expose().is_empty());
        let settings = settings.map(|(key, value)| (key.clone(), value.expose().to_owned()));
        Self { known, settings: settings.collect() }
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        let lines = text.split_inclusive('\n').map(|line| {
            let beside = self.settings.iter().filter(|(key, _)| line.contains(*key));
            beside.fold(line.to_owned(), |line, (_, value)| line.replace(value, REDACTED))
        });
        let known = self.known.iter();
        without_keys(
            &known.fold(lines.collect::<String>(), |text, secret| text.replace(secret, REDACTED)),
        )
    }
}

/// A text without what looks like a cephx key. A daemon that cannot read its keyring writes the key into its log, where it
/// need not look like one: that it does not is why the daemon cannot read it.
pub fn without_keys(text: &str) -> String {
    text.split_inclusive('\n').map(|line| without_whole_keys(&without_unread_key(line))).collect()
}

/// A line without what a daemon took for a key: `… type=key val=KEY: Malformed input [buffer:3]`. Whatever stands in its
/// keyring may be in there, colons too.
fn without_unread_key(line: &str) -> String {
    const BEFORE: &str = "type=key val=";
    let Some(begin) = line.find(BEFORE).map(|at| at + BEFORE.len()) else {
        return line.to_owned();
    };
    let after = &line[begin..];
    let end = after.rfind(": ").unwrap_or_else(|| after.trim_end_matches(['\r', '\n']).len());
    format!("{}{REDACTED}{}", &line[..begin], &after[end..])
}

fn without_whole_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let end = |word: &mut String, out: &mut String| {
        let key = word.len() >= KEY_LENGTH && word.ends_with('=') && !is_hex(word);
        out.push_str(if key { REDACTED } else { word });
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "+/".contains(c) || (c == '=' && !word.is_empty()) {
            word.push(c);
            continue;
        }
        end(&mut word, &mut out);
        out.push(c);
    }
    end(&mut word, &mut out);
    out
}

fn is_hex(word: &str) -> bool {
    word.trim_end_matches('=').chars().all(|c| c.is_ascii_hexdigit())
}

/// Every key that comes from this identity, and the lines of its file, the seed among them.
fn keys(want: &Inventory, facts: &Facts, identity: &Identity) -> Vec<String> {
    let mut entities: BTreeSet<String> =
        ["mon.", "client.admin", "client.bootstrap-osd"].map(str::to_owned).into();
    entities.extend(want.nodes.iter().map(|node| DaemonId::mgr(&node.name).entity()));
    let cluster = facts.cluster.value();
    entities.extend(cluster.into_iter().flat_map(|c| c.auth.keys().cloned()));
    let mut keys: Vec<String> =
        entities.iter().map(|entity| identity.key(entity).expose().to_owned()).collect();
    let osds = cluster.into_iter().flat_map(|c| c.osds.values());
    keys.extend(osds.map(|osd| identity.osd_key(osd.uuid).expose().to_owned()));
    let text = identity.text();
    let quoted = text.expose().split('"').skip(1).step_by(2);
    // the long values: names and the fsid are no secrets
    keys.extend(quoted.filter(|value| value.len() > 36).map(str::to_owned));
    keys
}

/// Writes the parts as a gzipped tar, in one folder of this name. `seconds` since 1970 is the files' time.
///
/// # Errors
/// Those of `out`.
pub fn pack(folder: &str, parts: &[Part], seconds: u64, out: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        archive.append_data(
            &mut header,
            format!("{folder}/{}", part.name),
            part.text.as_bytes(),
        )?;
    }
    archive.into_inner()?.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn keys_are_removed_and_digests_stay() {
        let redactor = Redactor {
            known: BTreeSet::from(["hunter2".to_owned()]),
            settings: BTreeMap::from([("POOL".to_owned(), "rbd".to_owned())]),
        };
        let digest = "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7";
        for (text, expected) in [
            ("key = AQBnMkVlAAAAABAAqW5kZmFzZGZhc2RmYXNkZg==", "key = (removed)"),
            ("\"key\":\"AQBnMkVlAAAAABAAqW5kZmFzZGZhc2RmYXNkZg==\"", "\"key\":\"(removed)\""),
            ("PASSWORD=hunter2 x", "PASSWORD=(removed) x"),
            (digest, digest),
            ("/var/lib/ceph/osd/ceph-0/keyring=", "/var/lib/ceph/osd/ceph-0/keyring="),
            (
                "settings: {POOL: rbd}\nthe rbd module",
                "settings: {POOL: (removed)}\nthe rbd module",
            ),
            ("a=b", "a=b"),
            (
                "[osd.0] type=key val=AQBnMkVl: Malformed input [buffer:3]\nfine: yes\n",
                "[osd.0] type=key val=(removed): Malformed input [buffer:3]\nfine: yes\n",
            ),
            (
                "type=key val=AQBn: MkVlAA== x: end of buffer",
                "type=key val=(removed): end of buffer",
            ),
            ("type=key val=AQBnMkVl AAA\n", "type=key val=(removed)\n"),
            ("", ""),
        ] {
            assert_eq!(redactor.clean(text), expected);
        }
    }

    #[test]
    fn an_archive_is_read_again() {
        let part = |name: &str, text: &str| Part { name: name.into(), text: text.into() };
        let parts = [part("status.json", "{}"), part("logs/B1/mon.log", "a\nb\n")];
        let mut bytes = Vec::new();
        pack("cephdock-support", &parts, 1_700_000_000, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut read = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            read.push((name, text));
        }
        let all = [("status.json", "{}"), ("logs/B1/mon.log", "a\nb\n")];
        assert_eq!(read, all.map(|(n, t)| (format!("cephdock-support/{n}"), t.to_owned())));
    }
}
