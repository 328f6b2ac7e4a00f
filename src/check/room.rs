//! Memory and free space.

use super::{Evidence, Found};
use crate::inventory::OsdSpec;
use crate::plan::size as bytes;

/// What an OSD makes use of unless `osd_memory_target` says otherwise (Ceph's default).
const OSD_MEMORY: u64 = 4 << 30;
/// What a daemon takes at the very least, with next to no data: seen with Ceph 18 and one OSD a node.
const LEAST_MEMORY: u64 = 200 << 20;
/// Ceph's mon and mgr with the default modules, in a small cluster.
const OTHER_MEMORY: u64 = 1 << 30;
/// `mon_data_avail_warn` and `mon_data_avail_crit`, in per cent (Ceph's defaults).
const MON_SPACE: (u64, u64) = (30, 5);
/// An image of Ceph's own, packed and unpacked, and an image of a few programs.
const IMAGE: u64 = 2 << 30;
const LEAST_IMAGE: u64 = 512 << 20;

const CEPH: &str = "/var/lib/ceph";

pub(super) fn memory(evidence: &Evidence) -> Vec<Found> {
    let target = evidence.config("osd", "osd_memory_target").and_then(size).unwrap_or(OSD_MEMORY);
    let mut found = Vec::new();
    for (node, _) in evidence.seen() {
        let Some(has) = evidence.survey(&node.name).and_then(|s| s.memory) else { continue };
        let osds = node.osds.len() as u64;
        let others = u64::from(node.roles.mon) + u64::from(node.roles.mgr);
        let (least, wanted) =
            (LEAST_MEMORY * (osds + others), target.saturating_mul(osds) + OTHER_MEMORY * others);
        let each = bytes(target);
        let what = format!(
            "it has {} of memory, and its daemons want {} ({})",
            bytes(has),
            bytes(wanted),
            if osds == 1 {
                format!("{each} of it its OSD")
            } else {
                format!("{osds} OSDs of {each} each")
            },
        );
        let fix = "give it more, or let each OSD have less: `config: {osd: {osd_memory_target: 2G}}` in the inventory";
        if has < least {
            found.push(Found::fail(&node.name, what).why("the kernel would kill them").fix(fix));
        } else if has < wanted {
            found.push(
                Found::note(&node.name, what)
                    .why("under load the kernel may kill an OSD for want of memory")
                    .fix(fix),
            );
        }
    }
    found
}

/// A number of bytes as ceph.conf has it: `2147483648`, `2G`, `2GiB`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let power = match text[end..].trim_start().chars().next() {
        None => 0,
        Some(unit) => "KMGT".find(unit.to_ascii_uppercase())? + 1,
    };
    number.checked_mul(1 << (10 * power))
}

/// A mon stops itself on a full disk, and one that is rather full is no healthy mon.
pub(super) fn for_mons(evidence: &Evidence) -> Vec<Found> {
    let percent = |option: &str, default| {
        let set = evidence.config("mon", option).and_then(|v| v.trim().parse::<u64>().ok());
        set.unwrap_or(default)
    };
    let warn = percent("mon_data_avail_warn", MON_SPACE.0);
    let crit = percent("mon_data_avail_crit", MON_SPACE.1);
    let mut found = Vec::new();
    for (node, _) in evidence.seen().filter(|(node, _)| node.roles.mon) {
        let space = evidence.survey(&node.name).and_then(|s| s.space.get(CEPH));
        let Some(space) = space.filter(|s| s.total > 0) else { continue };
        // as the mon counts: in whole per cent, rounded down
        let free = space.free.saturating_mul(100) / space.total;
        if free > warn {
            continue;
        }
        let (why, option) = if free <= crit {
            (format!("a mon stops itself at {crit} % and below"), "mon_data_avail_crit")
        } else {
            (
                format!("at {warn} % and below a mon calls the cluster unhealthy"),
                "mon_data_avail_warn",
            )
        };
        found.push(
            Found::fail(
                &node.name,
                format!(
                    "{free} % of the disk under {CEPH} is free ({} of {})",
                    bytes(space.free),
                    bytes(space.total)
                ),
            )
            .why(why)
            .fix(format!(
                "make room, or mount a disk at {CEPH}; to try it out: `config: {{mon: {{{option}: 1}}}}` in the inventory"
            )),
        );
    }
    found
}

/// Those that are made already have their room.
pub(super) fn for_osd_files(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    for (node, facts) in evidence.seen().filter(|(_, facts)| facts.osd_dirs.is_empty()) {
        let files = node.osds.iter().filter_map(|osd| match osd {
            OsdSpec::File(bytes) => Some(*bytes),
            OsdSpec::Device(_) => None,
        });
        let wanted: u64 = files.sum();
        let Some(free) = facts.free_bytes.filter(|free| wanted > *free) else { continue };
        found.push(
            Found::fail(
                &node.name,
                format!("its OSDs in files take {}, and {} are free", bytes(wanted), bytes(free)),
            )
            .why("an OSD that finds no room stops, and so does everything else on that disk")
            .fix("make room, or ask for smaller files in the inventory"),
        );
    }
    found
}

pub(super) fn for_the_image(evidence: &Evidence) -> Vec<Found> {
    let mut found = Vec::new();
    let archived = evidence.want.cluster.image_archive.as_ref().and_then(|a| a.archived.as_ref());
    for (node, facts) in evidence.seen() {
        let roles = node.roles;
        let has = facts.docker.up().is_none_or(|d| d.image.is_some());
        if has || !(roles.mon || roles.mgr || roles.osd) {
            continue;
        }
        let Some(survey) = evidence.survey(&node.name) else { continue };
        let root = survey.engine.as_ref().map(|e| e.root.as_str());
        let Some((root, space)) = root.and_then(|root| Some((root, survey.space.get(root)?)))
        else {
            continue;
        };
        let least = archived.map_or(LEAST_IMAGE, |a| a.bytes);
        let what = format!("{} are free in Docker's folder {root}", bytes(space.free));
        let fix = "make room (`docker system df` shows what Docker itself holds), or move its `data-root`";
        if space.free < least {
            found.push(Found::fail(&node.name, what).why("the image does not fit").fix(fix));
        } else if space.free < IMAGE {
            found.push(
                Found::note(&node.name, what)
                    .why(format!("an image of Ceph's takes up to {}", bytes(IMAGE)))
                    .fix(fix),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_as_ceph_writes_them() {
        let all = ["2147483648", "2G", "2 GiB", "512M", "1K", "", "two", "3X"];
        assert_eq!(
            all.map(super::size),
            [
                Some(2 << 30),
                Some(2 << 30),
                Some(2 << 30),
                Some(512 << 20),
                Some(1024),
                None,
                None,
                None
            ]
        );
    }
}
