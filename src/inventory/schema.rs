//! The one place that knows all fields: for finding unknown ones, for suggesting known ones, and for `docs/inventory.md`.

mod fields;

pub use fields::{
    CLIENT, CLUSTER, NODE, NODE_SSH, OSD, POOL, REGISTRY, SECTIONS, SSH, TOP, VOLUMES,
};

/// A mapping of the inventory and its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// How to call it in a message: "`cluster.pool`", "a node".
    pub title: &'static str,
    /// What stands before its fields' names, as `docs/inventory.md` has them: `cluster.pool.`
    pub path: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// What people also call a field, and the field.
    also: &'static [(&'static str, &'static str)],
}

impl Section {
    /// Whether it has a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|f| f.name == name)
    }

    /// The names of its fields.
    pub fn names(&self) -> Vec<&'static str> {
        self.fields.iter().map(|f| f.name).collect()
    }
}

/// A field of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// What may stand there, with its unit where it has one.
    pub takes: &'static str,
    /// Something that may stand there, as YAML.
    pub example: &'static str,
    /// What it is where it is left out.
    pub default: LeftOut,
    /// What it means.
    pub meaning: &'static str,
}

/// What a field is where it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// It may not be.
    Required,
    /// There is none then, and nothing stands for it.
    Nothing,
    /// This, as YAML.
    Is(&'static str),
    /// It follows from something else.
    Depends(&'static str),
}

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
    let near = nearest(&lower, &section.names());
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
    format!("{} knows {}", section.title, listed(&section.names()))
}

/// The sections that have the field `name`.
fn elsewhere(name: &str) -> Vec<&'static str> {
    SECTIONS.iter().filter(|s| s.has(name)).map(|s| s.title).collect()
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
        assert_eq!(nearest("rolse", &NODE.names()), Some("roles"));
        assert_eq!(nearest("role", &NODE.names()), Some("roles"));
        assert_eq!(nearest("adress", &NODE.names()), Some("address"));
        assert_eq!(nearest("weather", &NODE.names()), None);
        assert_eq!(nearest(&"x".repeat(100_000), &NODE.names()), None);
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
                assert!(!section.has(also), "{also} in {}", section.title);
                assert!(section.has(field) || ssh, "{field} in {}", section.title);
            }
        }
    }
}
