//! Parses what `host/probe.sh` prints about a node: sections that begin with a line `@@name`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::disk::{Raw, weigh};
use super::{
    ConfFact, FileFact, IdentityFile, MonStore, NodeFacts, OsdDir, client, firewall, service,
};
use crate::daemon::CONF_MARK;
use crate::identity::Identity;

/// Turns the probe's output into facts; `docker` is filled in elsewhere.
///
/// # Errors
/// A section that is not known, or an output that was cut off before its end.
pub fn parse(text: &str) -> Result<NodeFacts, String> {
    let mut facts = NodeFacts::default();
    let mut complete = false;
    for section in text.split("\n@@").skip(1) {
        let (head, body) = section.split_once('\n').unwrap_or((section, ""));
        let (name, argument) = head.split_once(' ').unwrap_or((head, ""));
        match name {
            "host" => host(body, &mut facts),
            "addr" => {
                facts.addresses = addresses(body);
                facts.networks = networks(body);
                facts.firewall.interfaces = firewall::interfaces(body);
            }
            "free" => facts.free_bytes = free(body),
            "files" => facts.files = files(body),
            "conf" => facts.conf = Some(conf(body)),
            "identity" => facts.identity = identity(body),
            "mons" => facts.mon_stores = mon_stores(body),
            "osds" => facts.osd_dirs = osd_dirs(body),
            "tree" => facts.tree = lines(body),
            "rbd" => facts.mapped.push(super::rbd::parse(body)),
            "disk" => {
                facts.disks.insert(argument.to_owned(), weigh(&disk(body)));
            }
            "client" => facts.client = client::parse(body),
            "driver" => facts.driver = service::parse(body),
            "end" => complete = true,
            _ if firewall::section(&mut facts.firewall, name, argument, body) => {}
            _ => return Err(format!("the probe printed an unknown section {name:?}")),
        }
    }
    if complete { Ok(facts) } else { Err("the probe was cut off before its end".into()) }
}

fn lines(body: &str) -> BTreeSet<String> {
    body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn host(body: &str, facts: &mut NodeFacts) {
    let mut words = body.split_ascii_whitespace().map(str::to_owned);
    facts.hostname = words.next().unwrap_or_default();
    facts.kernel = words.next().unwrap_or_default();
    facts.arch = words.next().unwrap_or_default();
}

/// Lines of `ip -o addr` (`2: eth0    inet 10.0.0.1/24 …`), or the bare addresses of `hostname -I`.
fn addresses(body: &str) -> Vec<IpAddr> {
    let words = body.split_ascii_whitespace();
    words.filter_map(|word| word.split('/').next()?.parse().ok()).collect()
}

/// What `df -Pk` printed about one file system.
fn free(body: &str) -> Option<u64> {
    let kib: u64 = body.trim_end().lines().last()?.split_ascii_whitespace().nth(3)?.parse().ok()?;
    Some(kib * 1024)
}

/// The words with a prefix among them.
fn networks(body: &str) -> Vec<IpNet> {
    let words = body.split_ascii_whitespace().filter(|word| word.contains('/'));
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Lines `s MODE PATH` of stat and `SHA256  PATH` of sha256sum.
fn files(body: &str) -> BTreeMap<String, FileFact> {
    let mut modes = BTreeMap::new();
    let mut sums = BTreeMap::new();
    for line in body.lines() {
        if let Some((mode, path)) = line.strip_prefix("s ").and_then(|l| l.split_once(' ')) {
            modes.insert(path.to_owned(), u32::from_str_radix(mode, 8).unwrap_or(0));
        } else if let Some((sum, path)) = line.split_once("  ") {
            sums.insert(path.to_owned(), sum.to_owned());
        }
    }
    let fact = |(path, sha256): (String, String)| {
        let mode = modes.get(&path).copied().unwrap_or(0);
        (path, FileFact { sha256, mode })
    };
    sums.into_iter().map(fact).collect()
}

/// Finds `fsid = …` wherever it stands: Ceph takes `fsid`, any case and spaces around the sign.
fn conf(body: &str) -> ConfFact {
    let fsid = body.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case("fsid").then(|| value.trim().parse().ok()).flatten()
    });
    ConfFact { fsid, ours: body.starts_with(CONF_MARK) }
}

fn identity(body: &str) -> IdentityFile {
    match Identity::parse(body) {
        Ok(id) => IdentityFile::Found(id),
        Err(why) => IdentityFile::Damaged(why),
    }
}

/// Lines `ceph-ID FSID`, the second word missing where there is no marker.
fn mon_stores(body: &str) -> BTreeMap<String, MonStore> {
    let lines = body.lines().filter_map(|line| {
        let (dir, fsid) = line.split_once(' ')?;
        let id = dir.strip_prefix("ceph-").unwrap_or(dir);
        Some((id.to_owned(), MonStore { fsid: fsid.trim().parse().ok() }))
    });
    lines.collect()
}

/// Lines `ceph-N UUID CEPH_FSID`, `-` where a file is missing.
fn osd_dirs(body: &str) -> BTreeMap<u32, OsdDir> {
    let lines = body.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let id = words.next()?.strip_prefix("ceph-")?.parse().ok()?;
        let uuid = words.next().and_then(|w| w.parse().ok());
        let ceph_fsid = words.next().and_then(|w| w.parse().ok());
        Some((id, OsdDir { uuid, ceph_fsid }))
    });
    lines.collect()
}

/// Lines `KEY VALUE`, and as they are those of `lsblk -P` (`KNAME="sdb" …`) and of `blkid -o export` (`TYPE=ext4`).
fn disk(body: &str) -> Raw {
    let mut raw = Raw::default();
    for line in body.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "exists" => raw.exists = true,
            "block" => raw.block = true,
            "real" => value.clone_into(&mut raw.real),
            "byid" => raw.by_id.push(value.to_owned()),
            "holder" => raw.holders.push(value.to_owned()),
            "swap" => raw.swap = true,
            "blkid-status" => raw.blkid_status = value.parse().ok(),
            "head" => raw.head = STANDARD.decode(value.replace(' ', "")).unwrap_or_default(),
            "zero" => raw.first_mib_zero = Some(value == "yes"),
            _ if line.starts_with("KNAME=\"") => raw.rows.push(pairs(line)),
            _ => raw.blkid.extend(line.split_once('=').map(|(k, v)| (k.into(), v.into()))),
        }
    }
    raw
}

/// `KEY="value" KEY="value"` of `lsblk -P`, in which values keep their spaces.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((key, tail)) = rest.split_once("=\"") {
        let Some((value, tail)) = tail.split_once('"') else { break };
        out.push((key.trim().to_owned(), value.to_owned()));
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DiskContent;

    #[test]
    fn a_whole_probe() {
        let text = "noise of a login script\n\
            \n@@host\nb1 6.1.0 x86_64\n\
            \n@@addr\n1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet6 fe80::1/64 scope link\n\
            \n@@free\nFilesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 4096 3072 1024 75% /\n\
            \n@@files\ns 600 /etc/ceph/ceph.client.admin.keyring\nabc  /etc/ceph/ceph.client.admin.keyring\n\
            \n@@conf\n[global]\nfsid = 00000000-0000-0000-0000-000000000007\n\
            \n@@mons\nceph-B1 00000000-0000-0000-0000-000000000007\nceph-old \n\
            \n@@osds\nceph-3 00000000-0000-0000-0000-000000000001 -\n\
            \n@@tree\n/etc/ceph\n/etc/ceph/rbdmap\n\
            \n@@rbd 0\ndevice /dev/rbd0\npool rbd\nname test\n\
            \n@@disk /dev/sdb\nexists\nblock\nreal /dev/sdb\nKNAME=\"sdb\" TYPE=\"disk\" SIZE=\"5\" SERIAL=\"A B\"\nblkid-status 2\nhead AAAA AAAA\nzero yes\n\
            \n@@end\n";
        let facts = parse(text).unwrap();
        assert_eq!((facts.hostname.as_str(), facts.arch.as_str()), ("b1", "x86_64"));
        assert_eq!(facts.addresses.len(), 2);
        assert_eq!(facts.networks[0].to_string(), "127.0.0.1/8");
        assert_eq!(facts.free_bytes, Some(1024 * 1024));
        assert_eq!(facts.files["/etc/ceph/ceph.client.admin.keyring"].mode, 0o600);
        let conf = facts.conf.unwrap();
        assert!(!conf.ours && conf.fsid.is_some());
        assert!(facts.mon_stores["B1"].fsid.is_some());
        assert!(facts.mon_stores["old"].fsid.is_none());
        assert!(facts.osd_dirs[&3].ceph_fsid.is_none());
        assert!(facts.tree.contains("/etc/ceph/rbdmap"));
        assert_eq!(facts.mapped[0].to_string(), "rbd/test");
        let disk = &facts.disks["/dev/sdb"];
        assert_eq!(disk.content, DiskContent::Blank);
        assert_eq!(disk.serial.as_deref(), Some("A B"));
    }

    #[test]
    fn what_blkid_found_on_a_disk() {
        let text = "\n@@disk /dev/sdc\nexists\nblock\nreal /dev/sdc\nKNAME=\"sdc\" TYPE=\"disk\" SIZE=\"5\" SERIAL=\"\"\n\
            DEVNAME=/dev/sdc\nLABEL=zero\\ yes\nTYPE=ext4\nUSAGE=filesystem\nblkid-status 0\nhead AAAA\nzero no\n\n@@end\n";
        let disk = &parse(text).unwrap().disks["/dev/sdc"];
        let found = DiskContent::Occupied(vec!["a filesystem (ext4, label zero\\ yes)".into()]);
        assert_eq!(disk.content, found);
    }

    #[test]
    fn half_a_probe_is_an_error() {
        assert!(parse("\n@@host\nb1 6.1 x86_64\n").is_err());
        assert!(parse("").is_err());
    }
}
