//! Every field of the inventory: its name, what it takes, what it is where it is left out, and what it means.
//!
//! The parser knows a field by its entry here, messages name it, and `docs/inventory.md` is made from it.

use super::{Field, LeftOut, Section};
use crate::inventory::file::DEFAULT_IMAGE;
use LeftOut::{Depends, Is, Nothing, Required};

/// The file itself.
pub const TOP: Section = Section {
    title: "the inventory",
    path: "",
    fields: &[
        Field {
            name: "cluster",
            takes: "a mapping",
            example: "{public_network: 10.32.3.0/24}",
            default: Required,
            meaning: "the cluster itself",
        },
        Field {
            name: "ssh",
            takes: "a mapping",
            example: "{user: root}",
            default: Nothing,
            meaning: "how to log in to the nodes, where they do not say otherwise",
        },
        Field {
            name: "nodes",
            takes: "a list",
            example: "[{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{device: /dev/sdb}]}]",
            default: Required,
            meaning: "the nodes; their order is the order of everything that is told",
        },
        Field {
            name: "client",
            takes: "a mapping",
            example: "{packages: auto}",
            default: Nothing,
            meaning: "what every node gets as a client of the cluster",
        },
        Field {
            name: "firewall",
            takes: "`auto` or `off`",
            example: "auto",
            default: Is("auto"),
            meaning: "whether the ports of a node's roles are opened to the cluster's networks, in firewalld or ufw, whichever runs there",
        },
        Field {
            name: "volumes",
            takes: "a mapping",
            example: "{driver: cephdock}",
            default: Nothing,
            meaning: "Docker volumes on the cluster",
        },
    ],
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
    path: "cluster.",
    fields: &[
        Field {
            name: "public_network",
            takes: "a network, IPv4 or IPv6",
            example: "10.32.3.0/24",
            default: Required,
            meaning: "where clients, mons and OSDs reach each other; every node's `address` lies in it",
        },
        Field {
            name: "cluster_network",
            takes: "a network of the same family",
            example: "10.99.0.0/24",
            default: Nothing,
            meaning: "a second network, for the OSDs' replication traffic alone; every node with OSDs has an address in it",
        },
        Field {
            name: "image",
            takes: "an image's reference",
            example: "r.example:5000/ceph/ceph:v19",
            default: Is(DEFAULT_IMAGE),
            meaning: "the image that holds the Ceph programs (Ceph 16 to 20)",
        },
        Field {
            name: "image_archive",
            takes: "the path of a file",
            example: "./ceph-v19.tar",
            default: Nothing,
            meaning: "a file made with `docker save`, gzipped or not, that is streamed to the nodes; nothing is pulled then",
        },
        Field {
            name: "registry",
            takes: "a mapping",
            example: "{server: r.example, username: ceph, password_file: ./pw}",
            default: Nothing,
            meaning: "the login for the image's registry, and for a plugin's; it is sent to no other",
        },
        Field {
            name: "pool",
            takes: "a mapping",
            example: "{name: rbd}",
            default: Nothing,
            meaning: "the RBD pool that volumes are made in",
        },
        Field {
            name: "config",
            takes: "mappings by section",
            example: "{osd: {osd_memory_target: 2G}}",
            default: Nothing,
            meaning: "more options for ceph.conf; sections are `global`, `mon`, `mgr`, `osd`, `mds`, `client`, or one daemon's such as `osd.0`. What cephdock decides itself (fsid, networks, mons, keyrings) is refused",
        },
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
    path: "cluster.registry.",
    fields: &[
        Field {
            name: "server",
            takes: "`host[:port]`",
            example: "r.example:5000",
            default: Required,
            meaning: "the registry",
        },
        Field {
            name: "username",
            takes: "a name",
            example: "ceph",
            default: Required,
            meaning: "the account",
        },
        Field {
            name: "password_file",
            takes: "the path of a file",
            example: "./registry-password",
            default: Depends("this or `password_env` is needed"),
            meaning: "the file whose first line is the password",
        },
        Field {
            name: "password_env",
            takes: "a variable's name",
            example: "REGISTRY_PASSWORD",
            default: Depends("this or `password_file` is needed"),
            meaning: "the environment variable of cephdock's that holds the password",
        },
    ],
    also: &[("host", "server"), ("url", "server"), ("user", "username"), ("login", "username")],
};
/// `cluster.pool:`
pub const POOL: Section = Section {
    title: "`cluster.pool:`",
    path: "cluster.pool.",
    fields: &[
        Field {
            name: "name",
            takes: "a name of 1 to 64 characters",
            example: "rbd",
            default: Is("rbd"),
            meaning: "the pool's name",
        },
        Field {
            name: "size",
            takes: "a number, 1 to 10",
            example: "3",
            default: Depends("3, or the number of nodes with OSDs if that is less"),
            meaning: "copies of each object; no more than there are nodes with OSDs",
        },
    ],
    also: &[("replicas", "size"), ("copies", "size"), ("replication", "size")],
};
/// The top-level `ssh:`
pub const SSH: Section = Section {
    title: "the top-level `ssh:`",
    path: "ssh.",
    fields: &[
        Field {
            name: "user",
            takes: "a login",
            example: "ops",
            default: Is("root"),
            meaning: "who logs in; another than root needs sudo without a password",
        },
        Field {
            name: "port",
            takes: "a TCP port",
            example: "2222",
            default: Is("22"),
            meaning: "where sshd listens",
        },
        Field {
            name: "identity_file",
            takes: "the path of a private key",
            example: "~/.ssh/id_ed25519",
            default: Depends(
                "the agent's keys, then `id_ed25519`, `id_ecdsa` and `id_rsa` in `~/.ssh`",
            ),
            meaning: "the key to log in with",
        },
        Field {
            name: "jump",
            takes: "`[user@]host[:port]`, several with commas; `none`",
            example: "ops@bastion.example.org:22",
            default: Nothing,
            meaning: "bastions to go through, in this order",
        },
        Field {
            name: "known_hosts",
            takes: "the path of a file",
            example: "~/.ssh/known_hosts",
            default: Is("~/.ssh/known_hosts"),
            meaning: "the file that names the host keys to be trusted, beside `/etc/ssh/ssh_known_hosts`",
        },
        Field {
            name: "host_key",
            takes: "`strict` or `accept-new`",
            example: "accept-new",
            default: Is("strict"),
            meaning: "what to do about a host that `known_hosts` does not name: refuse it, or trust and record it; a changed key is refused either way",
        },
    ],
    also: SSH_ALSO,
};
/// An entry of `nodes:`
pub const NODE: Section = Section {
    title: "a node",
    path: "nodes[].",
    fields: &[
        Field {
            name: "name",
            takes: "a name of 1 to 63 characters",
            example: "B1",
            default: Required,
            meaning: "the id of the node's daemons and its CRUSH host bucket, whatever its hostname is",
        },
        Field {
            name: "address",
            takes: "an IP address",
            example: "10.32.3.147",
            default: Required,
            meaning: "its address in the public network",
        },
        Field {
            name: "roles",
            takes: "a list of `mon`, `mgr`, `osd`",
            example: "[mon, mgr, osd]",
            default: Required,
            meaning: "the daemons that it runs; `[]` is a pure client",
        },
        Field {
            name: "osds",
            takes: "a list",
            example: "[{device: /dev/sdb}]",
            default: Depends("needed for the role `osd`, and for no other"),
            meaning: "its OSDs, one entry each",
        },
        Field {
            name: "ssh",
            takes: "a mapping",
            example: "{port: 2222}",
            default: Nothing,
            meaning: "how to log in to this node, where it is not as the top-level `ssh` says",
        },
    ],
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
    path: "nodes[].ssh.",
    fields: &[
        Field {
            name: "host",
            takes: "a name or an address",
            example: "b1.example.org",
            default: Depends("the node's `address`"),
            meaning: "what SSH connects to; may be an alias of `~/.ssh/config`",
        },
        Field {
            name: "port",
            takes: "a TCP port",
            example: "2222",
            default: Depends("as in the top-level `ssh`"),
            meaning: "where sshd listens",
        },
        Field {
            name: "user",
            takes: "a login",
            example: "ops",
            default: Depends("as in the top-level `ssh`"),
            meaning: "who logs in; another than root needs sudo without a password",
        },
        Field {
            name: "identity_file",
            takes: "the path of a private key",
            example: "~/.ssh/id_ed25519",
            default: Depends("as in the top-level `ssh`"),
            meaning: "the key to log in with",
        },
        Field {
            name: "jump",
            takes: "`[user@]host[:port]`, several with commas; `none`",
            example: "ops@bastion.example.org:22",
            default: Depends("as in the top-level `ssh`"),
            meaning: "bastions to go through, in this order",
        },
        Field {
            name: "known_hosts",
            takes: "the path of a file",
            example: "~/.ssh/known_hosts",
            default: Depends("as in the top-level `ssh`"),
            meaning: "the file that names the host keys to be trusted, beside `/etc/ssh/ssh_known_hosts`",
        },
        Field {
            name: "host_key",
            takes: "`strict` or `accept-new`",
            example: "accept-new",
            default: Depends("as in the top-level `ssh`"),
            meaning: "what to do about a host that `known_hosts` does not name: refuse it, or trust and record it; a changed key is refused either way",
        },
        Field {
            name: "fingerprint",
            takes: "`SHA256:…`, as `ssh-keygen -l` prints it",
            example: "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDYnKg5OjbjG9SYy8w",
            default: Nothing,
            meaning: "the node's host key, which alone counts then, `known_hosts` or not",
        },
    ],
    also: SSH_ALSO,
};
/// An entry of `osds:`
pub const OSD: Section = Section {
    title: "an OSD",
    path: "nodes[].osds[].",
    fields: &[
        Field {
            name: "device",
            takes: "a path under /dev",
            example: "/dev/disk/by-id/wwn-0x5000c500a0b1c2d3",
            default: Depends("this or `file` is needed"),
            meaning: "a whole blank disk; all that is on it will be gone",
        },
        Field {
            name: "file",
            takes: "a size of 2GiB or more, with its unit",
            example: "20GiB",
            default: Depends("this or `device` is needed"),
            meaning: "a file of this size under /var/lib/ceph: for trying it out",
        },
    ],
    also: &[("disk", "device"), ("path", "device"), ("dev", "device"), ("size", "file")],
};
/// `client:`
pub const CLIENT: Section = Section {
    title: "`client:`",
    path: "client.",
    fields: &[
        Field {
            name: "packages",
            takes: "`auto` or `off`",
            example: "off",
            default: Is("auto"),
            meaning: "whether ceph-common is installed where it is missing, by apt, dnf, yum, zypper or apk",
        },
        Field {
            name: "admin_key",
            takes: "`all` or `mons`",
            example: "mons",
            default: Is("all"),
            meaning: "which nodes hold the key of client.admin",
        },
    ],
    also: &[("admin_keyring", "admin_key"), ("keyring", "admin_key")],
};
/// `volumes:`
pub const VOLUMES: Section = Section {
    title: "`volumes:`",
    path: "volumes.",
    fields: &[
        Field {
            name: "driver",
            takes: "`cephdock`, `none`, or a plugin's reference",
            example: "none",
            default: Is("cephdock"),
            meaning: "the volume driver of every node: cephdock's own, none, or a managed plugin",
        },
        Field {
            name: "driver_binary",
            takes: "the path of a program",
            example: "./cephdock-aarch64",
            default: Nothing,
            meaning: "`cephdock` only: a cephdock for nodes on which this one does not run, being of another architecture or C library",
        },
        Field {
            name: "alias",
            takes: "a reference",
            example: "10.32.3.112:5011/rexray/rbd",
            default: Nothing,
            meaning: "plugins only: pull it from here instead",
        },
        Field {
            name: "settings",
            takes: "a mapping of names and values",
            example: "{RBD_DEFAULTPOOL: rbd}",
            default: Nothing,
            meaning: "plugins only: the plugin's settings; values may be secrets",
        },
    ],
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
