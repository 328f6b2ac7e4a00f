//! `cluster:`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

use super::check::{At, Check};
use super::login;
use super::problem::quoted;
use super::schema;
use super::tree::{Key, Node, Span, Value};
use super::values::{self, Wrong};
use super::{Cluster, ImageArchive, PasswordSource, Pool, Registry};

/// The image without `cluster.image`: the newest release that has had a year of fixes.
pub const DEFAULT_IMAGE: &str = "quay.io/ceph/ceph:v19";

/// The pool without `cluster.pool.name`: the one that `rbd` takes when none is named.
const DEFAULT_POOL: &str = "rbd";

/// Ceph's own default, and enough for any single failure.
const DEFAULT_POOL_SIZE: u8 = 3;

type Config = BTreeMap<String, BTreeMap<String, String>>;

/// What `cluster:` says. Complete unless a problem was noted.
#[derive(Debug, Default)]
pub(super) struct ClusterPart {
    /// Also needed to check the nodes' addresses.
    pub(super) public_network: Option<At<IpNet>>,
    /// Checked against the nodes with OSDs.
    pub(super) pool_size: Option<At<u8>>,
    cluster_network: Option<IpNet>,
    /// What is only named in the inventory is looked for later, and may have to be spoken of then.
    pub(super) image_archive: Option<At<PathBuf>>,
    /// Where the registry's server stands.
    pub(super) server: Option<Span>,
    /// Where its password is said to be.
    pub(super) password: Option<Span>,
    image: Option<At<String>>,
    registry: Option<Registry>,
    pool_name: Option<String>,
    config: Config,
}

impl ClusterPart {
    /// The cluster; `None` if what is required was wrong.
    pub(super) fn complete(self, osd_hosts: usize) -> Option<Cluster> {
        let most = u8::try_from(osd_hosts).unwrap_or(u8::MAX).min(DEFAULT_POOL_SIZE);
        Some(Cluster {
            public_network: self.public_network?.it,
            cluster_network: self.cluster_network,
            image: self.image.map_or_else(|| DEFAULT_IMAGE.to_owned(), |i| i.it),
            registry: self.registry,
            image_archive: self.image_archive.map(|a| ImageArchive { path: a.it, archived: None }),
            pool: Pool {
                name: self.pool_name.unwrap_or_else(|| DEFAULT_POOL.to_owned()),
                size: self.pool_size.map_or(most, |s| s.it),
            },
            config: self.config,
        })
    }
}

/// Reads `cluster:`.
pub(super) fn read(check: &mut Check<'_>, node: &Node, at: Span) -> ClusterPart {
    let Some(fields) = check.fields(node, at, &schema::CLUSTER) else {
        return ClusterPart::default();
    };
    let network = |_: &Check<'_>, t: &str| values::network(t);
    let public_network = check.required(&fields, "public_network", "10.32.3.0/24", network);
    let cluster_network = check.optional(&fields, "cluster_network", "10.99.0.0/24", network);
    if let (Some(public), Some(cluster)) = (&public_network, &cluster_network) {
        compare(check, public.it, cluster);
    }
    let image = check.optional(&fields, "image", DEFAULT_IMAGE, |_, t| values::reference(t));
    let archive = check.optional(&fields, "image_archive", "./ceph.tar", Check::path);
    let (registry, server, password) = match fields.get("registry") {
        Some((key, node)) => registry(check, node, key.span),
        None => (None, None, None),
    };
    if let (Some(image), Some(_)) = (&image, &archive)
        && image.it.contains('@')
    {
        check.error(
            image.span,
            "an image that is named by its digest does not come from a file: Docker keeps no digest of what it loads",
            "name it by the tag that it has in `image_archive`, or leave `image_archive` out",
        );
    }
    let (pool_name, pool_size) = match fields.get("pool") {
        Some((key, node)) => pool(check, node, key.span),
        None => (None, None),
    };
    let config = fields.get("config").map(|(_, n)| config(check, n)).unwrap_or_default();
    ClusterPart {
        public_network,
        pool_size,
        cluster_network: cluster_network.map(|n| n.it),
        image_archive: archive,
        server,
        password,
        image,
        registry,
        pool_name,
        config,
    }
}

fn compare(check: &mut Check<'_>, public: IpNet, cluster: &At<IpNet>) {
    let at = cluster.span;
    let family = |n: IpNet| if n.addr().is_ipv4() { "IPv4" } else { "IPv6" };
    if family(public) != family(cluster.it) {
        check.error(
            at,
            format!(
                "the cluster network is {}, the public network {}",
                family(cluster.it),
                family(public)
            ),
            "use one family for both",
        );
    } else if public == cluster.it {
        check.warning(
            at,
            "the cluster network is the public network, so this changes nothing",
            "leave `cluster_network` out",
        );
    } else if public.contains(&cluster.it) || cluster.it.contains(&public) {
        check.error(
            at,
            format!("`{}` and the public network `{public}` overlap", cluster.it),
            "use a network of its own for replication, or leave `cluster_network` out",
        );
    }
}

fn pool(check: &mut Check<'_>, node: &Node, at: Span) -> (Option<String>, Option<At<u8>>) {
    let Some(fields) = check.fields(node, at, &schema::POOL) else { return (None, None) };
    let name = check.optional(&fields, "name", DEFAULT_POOL, |_, t| values::pool_name(t));
    let size = check.optional(&fields, "size", "3", |_, t| values::pool_size(t));
    (name.map(|n| n.it), size)
}

/// The registry, and where its server and the place of its password stand.
fn registry(
    check: &mut Check<'_>,
    node: &Node,
    at: Span,
) -> (Option<Registry>, Option<Span>, Option<Span>) {
    let Some(fields) = check.fields(node, at, &schema::REGISTRY) else {
        return (None, None, None);
    };
    let server =
        check.required(&fields, "server", "r.example:5000", |_, t| values::registry_server(t));
    let username = check.required(&fields, "username", "ceph", |_, t| login::user(t));
    let file = check.optional(&fields, "password_file", "./registry-password", Check::path);
    let env =
        check.optional(&fields, "password_env", "REGISTRY_PASSWORD", |_, t| values::env_name(t));
    let places = (
        server.as_ref().map(|s| s.span),
        file.as_ref().map(|f| f.span).or(env.as_ref().map(|e| e.span)),
    );
    let password = match (fields.get("password_file"), fields.get("password_env")) {
        (Some(_), Some((key, _))) => {
            check.error(
                key.span,
                "the password is said to be in two places",
                "keep `password_file` or `password_env`, not both",
            );
            None
        }
        (None, None) if fields.is_meant("password_file") || fields.is_meant("password_env") => None,
        (None, None) => {
            check.error(
                fields.at,
                "`cluster.registry:` does not say where the password is",
                "add `password_file: ./registry-password` or `password_env: REGISTRY_PASSWORD`",
            );
            None
        }
        _ => file
            .map(|f| PasswordSource::File(f.it))
            .or_else(|| env.map(|e| PasswordSource::Env(e.it))),
    };
    let registry = match (server, username, password) {
        (Some(server), Some(username), Some(password)) => {
            Some(Registry { server: server.it, username: username.it, password, login: None })
        }
        _ => None,
    };
    (registry, places.0, places.1)
}

fn config(check: &mut Check<'_>, node: &Node) -> Config {
    let mut config = Config::new();
    for (key, body) in entries(check, node, "`cluster.config`", "global: {osd_memory_target: 2G}") {
        let section = conf_section(&key.name);
        if check.note(key.span, section).is_none() {
            continue;
        }
        let mut options = BTreeMap::<String, String>::new();
        for (key, value) in entries(check, body, "a section of `cluster.config`", "option: value") {
            let Some((name, value)) = conf_option(check, key, value) else { continue };
            if options.insert(name.clone(), value).is_some() {
                check.error(
                    key.span,
                    format!("the option {} is given twice", quoted(&name)),
                    "keep one of the two: spaces, `-` and `_` are the same to Ceph",
                );
            }
        }
        config.insert(key.name.clone(), options);
    }
    config
}

/// The entries of a mapping with free names.
fn entries<'n>(
    check: &mut Check<'_>,
    node: &'n Node,
    title: &str,
    example: &str,
) -> Vec<(&'n Key, &'n Node)> {
    match &node.value {
        Value::Map(entries) => check.unique(entries),
        Value::Null => Vec::new(),
        Value::Scalar(_) | Value::Seq(_) => {
            let fix = format!("write it as `{example}`");
            check.error(node.span, format!("{title} is a mapping"), fix);
            Vec::new()
        }
    }
}

fn conf_section(name: &str) -> Result<(), Wrong> {
    let (kind, id) = name.split_once('.').map_or((name, None), |(kind, id)| (kind, Some(id)));
    let known = schema::CONF_SECTIONS.contains(&kind);
    let id_ok = id.is_none_or(|id| {
        kind != "global"
            && !id.is_empty()
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    });
    if known && id_ok {
        return Ok(());
    }
    let fix = match schema::nearest(&kind.to_lowercase(), &schema::CONF_SECTIONS) {
        Some(near) if !known => format!("did you mean `{near}`?"),
        _ => format!(
            "use one of {}, or one daemon's such as `mon.B1`; options go inside: `global: {{option: value}}`",
            schema::listed(&schema::CONF_SECTIONS)
        ),
    };
    Err(Wrong::new(format!("{} is not a section of ceph.conf", quoted(name)), fix))
}

fn conf_option(check: &mut Check<'_>, key: &Key, value: &Node) -> Option<(String, String)> {
    let name = key.name.trim().replace([' ', '-'], "_").to_lowercase();
    if let Some((_, instead)) = schema::DECIDED.iter().find(|(decided, _)| *decided == name) {
        check.error(key.span, format!("cephdock decides {} itself", quoted(&name)), *instead);
        return None;
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_/".contains(c)) {
        let message = format!("{} cannot be an option of ceph.conf", quoted(&key.name));
        check.error(key.span, message, "use letters, digits and `_`: `osd_memory_target`");
        return None;
    }
    let text = check.scalar(&name, value, "value")?;
    // a line break would begin another option
    let text = text.trim_end_matches('\n');
    if text.chars().any(char::is_control) {
        check.error(value.span, "a value of ceph.conf is a single line", "write it on one line");
        return None;
    }
    Some((name, text.to_owned()))
}
