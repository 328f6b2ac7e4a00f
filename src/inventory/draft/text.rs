//! The proposal as text, with its comments.

use std::fmt::Write as _;

use super::{Draft, DraftNode, DraftOsd, Wishes};
use crate::inventory::edit::scalar;
use crate::inventory::file::DEFAULT_IMAGE;

/// The text of it.
pub fn text(draft: &Draft, wishes: &Wishes) -> String {
    let mut out = String::from(
        "# Made by `cephdock init`. Look at it, above all at the disks: `cephdock up` formats them. Then:\n\
         #   cephdock check     finds what stands in the way\n\
         #   cephdock up        makes the cluster\n\
         # inventory.example.yaml of cephdock explains every field there is.\n\n\
         cluster:\n  # Where clients, mons and OSDs reach each other. Every node's `address` lies in it.\n",
    );
    put(&mut out, format_args!("  public_network: {}\n", draft.network));
    match &wishes.image {
        Some(image) => put(&mut out, format_args!("  image: {}\n", scalar(image))),
        None => put(
            &mut out,
            format_args!(
                "  # image: {DEFAULT_IMAGE}      # any image that holds the Ceph programs\n"
            ),
        ),
    }
    let hosts = draft.nodes.iter().filter(|n| !n.osds.is_empty()).count();
    put(
        &mut out,
        format_args!(
            "  # A second network, for the OSDs' replication traffic alone:\n  # cluster_network: {}\n  # The pool that volumes are made in; a copy on each of {} hosts.\n  pool: {{name: rbd, size: {}}}\n",
            if draft.network.addr().is_ipv4() { "10.99.0.0/24" } else { "fd00:99::/64" },
            hosts.min(3),
            hosts.min(3)
        ),
    );
    ssh(&mut out, wishes);
    out.push_str("\nnodes:\n");
    for (i, node) in draft.nodes.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        entry(&mut out, node);
    }
    out.push_str(
        "\n# Each of these has its default here.\n\
         # client: {packages: auto, admin_key: all}     # installs ceph-common; the admin key on every node\n\
         # firewall: auto                               # opens Ceph's ports in firewalld or ufw, whichever runs\n\
         # volumes: {driver: cephdock}                  # Docker volumes on the cluster\n",
    );
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

fn ssh(out: &mut String, wishes: &Wishes) {
    let Wishes { user, port, identity_file, jump, known_hosts, accept_new, .. } = wishes;
    out.push_str("\n# How to log in. Your own ~/.ssh/config and agent are used too.\n");
    let words = [user, identity_file, jump, known_hosts];
    if words.iter().all(|w| w.is_none()) && port.is_none() && !accept_new {
        out.push_str("# ssh: {user: root}      # another user needs sudo without a password\n");
        return;
    }
    out.push_str("ssh:\n");
    let port = port.map(|p| p.to_string());
    for (field, value) in [
        ("user", user),
        ("port", &port),
        ("identity_file", identity_file),
        ("jump", jump),
        ("known_hosts", known_hosts),
    ] {
        if let Some(value) = value {
            put(out, format_args!("  {field}: {}\n", scalar(value)));
        }
    }
    if *accept_new {
        out.push_str("  host_key: accept-new      # trusts a host the first time it is seen\n");
    }
}

fn entry(out: &mut String, node: &DraftNode) {
    let DraftNode { name, address, roles, osds, host } = node;
    if !host.about.is_empty() {
        put(out, format_args!("  # {}\n", comment(&host.about.join(", "))));
    }
    put(out, format_args!("  - name: {}\n", scalar(name.as_str())));
    put(out, format_args!("    address: {}\n", scalar(&address.to_string())));
    put(out, format_args!("    roles: [{}]\n", roles.join(", ")));
    if !osds.is_empty() {
        out.push_str("    osds:\n");
    }
    for osd in osds {
        match osd {
            DraftOsd::Device(disk) if disk.about.is_empty() => {
                put(out, format_args!("      - device: {}\n", scalar(&disk.path)));
            }
            DraftOsd::Device(disk) => {
                let about = comment(&disk.about);
                put(out, format_args!("      - device: {}      # {about}\n", scalar(&disk.path)));
            }
            DraftOsd::File(size) => put(
                out,
                format_args!(
                    "      - file: {}      # under /var/lib/ceph: for trying it out\n",
                    scalar(size)
                ),
            ),
        }
    }
    for disk in &host.taken {
        if !osds.iter().any(|o| matches!(o, DraftOsd::Device(d) if d.path == disk.path)) {
            put(
                out,
                format_args!(
                    "    # not taken: {}, {}\n",
                    comment(&disk.path),
                    comment(&disk.about)
                ),
            );
        }
    }
    let mut ssh = Vec::new();
    if host.ssh_host.parse() != Ok(*address) {
        ssh.push(format!("host: {}", scalar(&host.ssh_host)));
    }
    ssh.extend(host.ssh_port.map(|port| format!("port: {port}")));
    ssh.extend(host.ssh_user.as_ref().map(|user| format!("user: {}", scalar(user))));
    if !ssh.is_empty() {
        put(out, format_args!("    ssh: {{{}}}\n", ssh.join(", ")));
    }
}

/// What a host said, on one line of a comment.
fn comment(text: &str) -> String {
    crate::inventory::problem::visible(text)
}
