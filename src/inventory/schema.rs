//! The names of all fields: the one place that knows them, for finding unknown ones and for suggesting known ones.

/// A mapping of the inventory and its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// How to call it in a message: "`cluster.pool`", "a node".
    pub title: &'static str,
    /// Its fields.
    pub fields: &'static [&'static str],
    /// What people also call a field, and the field.
    also: &'static [(&'static str, &'static str)],
}

/// The file itself.
pub const TOP: Section = Section {
    title: "the inventory",
    fields: &["cluster", "ssh", "nodes", "client", "firewall", "volumes"],
    also: &[
        ("hosts", "nodes"),
        ("clients", "client"),
        ("volume", "volumes"),
        ("plugin", "volumes"),
    ],
};
/// `cluster:`
pub const CLUSTER: Section = Section {
    title: "`cluster:`",
    fields: &[
        "public_network",
        "cluster_network",
        "image",
        "image_archive",
        "registry",
        "pool",
        "config",
    ],
    also: &[
        ("network", "public_network"),
        ("private_network", "cluster_network"),
        ("archive", "image_archive"),
        ("pools", "pool"),
        ("conf", "config"),
        ("ceph_conf", "config"),
    ],
};
/// `cluster.registry:`
pub const REGISTRY: Section = Section {
    title: "`cluster.registry:`",
    fields: &["server", "username", "password_file", "password_env"],
    also: &[("host", "server"), ("url", "server"), ("user", "username"), ("login", "username")],
};
/// `cluster.pool:`
pub const POOL: Section = Section {
    title: "`cluster.pool:`",
    fields: &["name", "size"],
    also: &[("replicas", "size"), ("copies", "size"), ("replication", "size")],
};
/// The top-level `ssh:`
pub const SSH: Section = Section {
    title: "the top-level `ssh:`",
    fields: &["user", "port", "identity_file", "jump", "known_hosts", "host_key"],
    also: SSH_ALSO,
};
/// An entry of `nodes:`
pub const NODE: Section = Section {
    title: "a node",
    fields: &["name", "address", "roles", "osds", "ssh"],
    also: &[
        ("ip", "address"),
        ("addr", "address"),
        ("hostname", "name"),
        ("devices", "osds"),
        ("disks", "osds"),
    ],
};
/// `ssh:` of a node
pub const NODE_SSH: Section = Section {
    title: "a node's `ssh:`",
    fields: &[
        "host",
        "port",
        "user",
        "identity_file",
        "jump",
        "known_hosts",
        "host_key",
        "fingerprint",
    ],
    also: SSH_ALSO,
};
/// An entry of `osds:`
pub const OSD: Section = Section {
    title: "an OSD",
    fields: &["device", "file"],
    also: &[("disk", "device"), ("path", "device"), ("dev", "device"), ("size", "file")],
};
/// `client:`
pub const CLIENT: Section = Section {
    title: "`client:`",
    fields: &["packages", "admin_key"],
    also: &[("admin_keyring", "admin_key"), ("keyring", "admin_key")],
};
/// `volumes:`
pub const VOLUMES: Section = Section {
    title: "`volumes:`",
    fields: &["driver", "driver_binary", "alias", "settings"],
    also: &[
        ("plugin", "driver"),
        ("binary", "driver_binary"),
        ("driver_path", "driver_binary"),
        ("options", "settings"),
        ("env", "settings"),
    ],
};

const SSH_ALSO: &[(&str, &str)] = &[
    ("username", "user"),
    ("login", "user"),
    ("key", "identity_file"),
    ("key_file", "identity_file"),
    ("private_key", "identity_file"),
    ("bastion", "jump"),
    ("proxy_jump", "jump"),
    ("proxyjump", "jump"),
    ("known_hosts_file", "known_hosts"),
    ("strict_host_key_checking", "host_key"),
    ("address", "host"),
    ("hostname", "host"),
];

/// All of them, the outer ones first.
pub const SECTIONS: [Section; 10] =
    [TOP, CLUSTER, REGISTRY, POOL, SSH, NODE, NODE_SSH, OSD, CLIENT, VOLUMES];

/// Sections of ceph.conf that `cluster.config` may hold; the daemon types may also be followed by `.ID`.
pub(super) const CONF_SECTIONS: [&str; 6] = ["global", "mon", "mgr", "osd", "mds", "client"];

/// Options of ceph.conf that cephdock writes itself, and where to say what they should be.
pub(super) const DECIDED: [(&str, &str); 23] = [
    ("fsid", "leave it out: cephdock makes it once and adopts it from the mons ever after"),
    ("mon_host", "leave it out: it follows from the nodes with the role `mon`"),
    ("mon_initial_members", "leave it out: it follows from the nodes with the role `mon`"),
    ("mon_addr", "leave it out: it is the node's `address`"),
    ("public_network", "set `cluster.public_network` instead"),
    ("cluster_network", "set `cluster.cluster_network` instead"),
    ("public_addr", "leave it out: it is the node's `address`"),
    ("cluster_addr", "set `cluster.cluster_network` instead"),
    ("ms_bind_ipv4", "leave it out: it follows from `cluster.public_network`"),
    ("ms_bind_ipv6", "leave it out: it follows from `cluster.public_network`"),
    ("host", "leave it out: it is the node's `name`"),
    ("crush_location", "leave it out: a node's CRUSH host bucket is its `name`"),
    ("keyring", "leave it out: cephdock places every keyring where Ceph looks for it"),
    ("key", "leave it out: keys never belong in an inventory, cephdock makes them"),
    ("keyfile", "leave it out: cephdock places every keyring where Ceph looks for it"),
    ("mon_data", "leave it out: the paths under /var/lib/ceph are fixed"),
    ("mgr_data", "leave it out: the paths under /var/lib/ceph are fixed"),
    ("osd_data", "leave it out: the paths under /var/lib/ceph are fixed"),
    ("osd_uuid", "leave it out: it is derived from the node and the disk"),
    ("auth_cluster_required", "leave it out: it is always cephx"),
    ("auth_service_required", "leave it out: it is always cephx"),
    ("auth_client_required", "leave it out: it is always cephx"),
    ("include", "leave it out: put the options themselves under `cluster.config`"),
];

/// The field of `section` that was probably meant by the unknown `name`.
pub(super) fn meant(section: &Section, name: &str) -> Option<&'static str> {
    let lower = plain(name);
    if let Some((_, field)) = section.also.iter().find(|(also, _)| *also == lower) {
        return Some(field);
    }
    let near = nearest(&lower, section.fields);
    // a field of another section is more likely misplaced than misspelt
    near.filter(|field| *field == lower || elsewhere(&lower).is_empty())
}

/// What to write instead of the unknown field `name` of `section`.
pub(super) fn instead_of(section: &Section, name: &str) -> String {
    if let Some(field) = meant(section, name) {
        return format!("did you mean `{field}`?");
    }
    let lower = plain(name);
    let elsewhere = elsewhere(&lower);
    if !elsewhere.is_empty() {
        return format!("`{lower}` belongs in {}", elsewhere.join(" or "));
    }
    if section.title.contains("ssh") && lower.contains("pass") {
        return "leave it out: cephdock logs in with a key or the agent, and asks where a password is needed".into();
    }
    format!("{} knows {}", section.title, listed(section.fields))
}

/// The sections that have the field `name`.
fn elsewhere(name: &str) -> Vec<&'static str> {
    SECTIONS.iter().filter(|s| s.fields.contains(&name)).map(|s| s.title).collect()
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// The one of `known` that `word` is most likely a typo of.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|k| (distance(word, k), *k))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// "`a`, `b` and `c`".
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(|w| format!("`{w}`")).collect();
            format!("{} and `{last}`", most.join(", "))
        }
    }
}

/// How many letters must be added, dropped, changed or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // names are short; a long line of rubbish is no typo of any
    if a.len() > 2 * b.len() + 2 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_field_and_rubbish_finds_none() {
        assert_eq!(nearest("rolse", NODE.fields), Some("roles"));
        assert_eq!(nearest("role", NODE.fields), Some("roles"));
        assert_eq!(nearest("adress", NODE.fields), Some("address"));
        assert_eq!(nearest("weather", NODE.fields), None);
        assert_eq!(nearest(&"x".repeat(100_000), NODE.fields), None);
    }

    #[test]
    fn a_field_of_another_section_is_sent_there() {
        assert_eq!(instead_of(&TOP, "pool"), "`pool` belongs in `cluster:`");
        assert_eq!(
            instead_of(&NODE, "port"),
            "`port` belongs in the top-level `ssh:` or a node's `ssh:`"
        );
        assert_eq!(instead_of(&SSH, "fingerprint"), "`fingerprint` belongs in a node's `ssh:`");
    }

    #[test]
    fn every_other_name_leads_to_a_field_and_is_none_itself() {
        for section in SECTIONS {
            for (also, field) in section.also {
                let ssh = section.title.contains("ssh");
                assert!(!section.fields.contains(also), "{also} in {}", section.title);
                assert!(section.fields.contains(field) || ssh, "{field} in {}", section.title);
            }
        }
    }
}
