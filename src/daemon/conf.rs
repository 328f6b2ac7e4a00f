//! The text of /etc/ceph/ceph.conf.

use std::collections::BTreeMap;
use std::net::IpAddr;

use uuid::Uuid;

use super::CONF_MARK;
use crate::inventory::{Inventory, VolumeDriver};

/// Of OSDs, where cephdock's volumes are used: another node has the volume of a node that has died, with a mon and OSDs
/// on it, in 20 s (`osd_heartbeat_grace`) and some, plus the watch's 12 s, instead of a minute and more.
const FAILOVER: [(&str, &str); 4] = [
    // A client that has died with a volume is taken to be dead after this, and not after Ceph's own 30 s: only then can
    // another node have the volume. The kernel's client and librbd ping their watches every 5 s (`osd_keepalive_timeout`
    // in the kernel's libceph, `objecter_tick_interval`), so a lost ping is still forgiven. Who is taken for dead is shut
    // out (with all volumes of the node: they share a client) only if another node asks for one of its volumes meanwhile.
    ("osd_client_watch_timeout", "12"),
    // OSDs ping each other at random times up to this apart (6 s by default), and the grace runs from the first ping
    // that was not answered. How long one may be silent stays as it is.
    ("osd_heartbeat_interval", "3"),
    // An OSD that speaks to the mon of the dead node could tell nobody what it sees for up to 30 and 10 s (the defaults of
    // these two), and a second witness from another host is asked for (`mon_osd_min_down_reporters`).
    ("mon_client_ping_timeout", "15"),
    ("mon_client_ping_interval", "5"),
];

const REPORTERS: &str = "mon_osd_min_down_reporters";

/// ceph.conf for every node of `want`. Options of the inventory's `config:` stand beside and above cephdock's own.
pub fn text(want: &Inventory, fsid: Uuid) -> String {
    let mut sections: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let global = sections.entry("global").or_default();
    global.insert("fsid", fsid.to_string());
    // plain addresses: every client since Jewel reads them, and finds both protocols' default ports by itself
    let mons: Vec<String> = want.mons().map(|n| super::mon::host(n.address)).collect();
    global.insert("mon_host", mons.join(","));
    global.insert("public_network", want.cluster.public_network.to_string());
    if let Some(network) = want.cluster.cluster_network {
        global.insert("cluster_network", network.to_string());
    }
    if want.nodes.iter().any(|n| matches!(n.address, IpAddr::V6(_))) {
        global.insert("ms_bind_ipv6", "true".into());
        global.insert("ms_bind_ipv4", "false".into());
    }
    // so that the mgr's own pool has as many copies as ours, and comes to rest on the same hosts
    global.insert("osd_pool_default_size", want.cluster.pool.size.to_string());
    if want.cluster.pool.size == 1 {
        // asked for in the inventory: no other host could hold a second copy
        global.insert("mon_allow_pool_size_one", "true".into());
        global.insert("mon_warn_on_pool_no_redundancy", "false".into());
    }
    // every client of this cluster is new enough; otherwise it warns for ever (CVE-2021-20288)
    sections
        .entry("mon")
        .or_default()
        .insert("auth_allow_insecure_global_id_reclaim", "false".into());
    // a daemon's own section would win over what somebody says for all
    let said = |option| want.cluster.config.get("global").is_some_and(|s| s.contains_key(option));
    // the mons want to hear of a dead OSD from two hosts; where there is one other, they would wait until the OSD has told
    // them nothing for 15 minutes (`mon_osd_report_timeout`), and so would everybody who reads or writes
    if want.nodes.iter().filter(|n| n.roles.osd).count() == 2 && !said(REPORTERS) {
        sections.entry("mon").or_default().insert(REPORTERS, "1".into());
    }
    if want.volumes.driver == VolumeDriver::Cephdock {
        let options = FAILOVER.into_iter().filter(|(option, _)| !said(*option));
        let section = sections.entry("osd").or_default();
        section.extend(options.map(|(option, value)| (option, value.to_owned())));
    }
    for (section, options) in &want.cluster.config {
        let section = sections.entry(section).or_default();
        for (option, value) in options {
            section.insert(option, value.clone());
        }
    }

    let mut text = format!(
        "{CONF_MARK} Changes made here are put back by the next `cephdock up`;\n\
         # options of your own go under cluster.config in the inventory.\n"
    );
    for (section, options) in sections {
        text += "\n[";
        text += section;
        text += "]\n";
        for (option, value) in options {
            text += option;
            text += " = ";
            text += &quoted(&value);
            text += "\n";
        }
    }
    text
}

/// A value as Ceph's parser takes it: `#` and `;` would begin a comment.
fn quoted(value: &str) -> String {
    if value.contains(['#', ';', '"', '\\']) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{quoted, text};
    use crate::inventory::file::parse;

    /// The lines of ceph.conf that speak of it.
    fn watch_timeout(more: &str) -> Vec<String> {
        let inventory = format!(
            "cluster: {{public_network: 10.0.0.0/24, {more}\nnodes: [{{name: a, address: 10.0.0.1, roles: [mon, mgr, osd], osds: [{{file: 4GiB}}]}}]\n"
        );
        let loaded = parse(&inventory, Path::new("x.yaml"), Some(Path::new("/root"))).unwrap();
        let text = text(&loaded.inventory, uuid::Uuid::nil());
        text.lines().filter(|l| l.contains("watch_timeout")).map(str::to_owned).collect()
    }

    #[test]
    fn dead_clients_are_given_up_sooner_unless_somebody_says_otherwise() {
        let line = |seconds: u32| vec![format!("osd_client_watch_timeout = {seconds}")];
        assert_eq!(watch_timeout("}"), line(12));
        assert_eq!(watch_timeout("config: {osd: {osd client watch timeout: 25}}}"), line(25));
        assert_eq!(watch_timeout("config: {global: {osd_client_watch_timeout: 40}}}"), line(40));
        assert_eq!(watch_timeout("}\nvolumes: {driver: none}"), line(0)[1..]);
    }

    /// Ceph's defaults are IPv4 and nothing else: `ms_bind_ipv4` is true there and `ms_bind_ipv6` false.
    #[test]
    fn a_cluster_of_ipv6_binds_to_nothing_else() {
        let lines = |network: &str, address: &str| -> Vec<String> {
            let inventory = format!(
                "cluster: {{public_network: '{network}'}}\nnodes: [{{name: a, address: '{address}', roles: [mon, mgr, osd], osds: [{{file: 4GiB}}]}}]\n"
            );
            let loaded = parse(&inventory, Path::new("x.yaml"), Some(Path::new("/root"))).unwrap();
            let text = text(&loaded.inventory, uuid::Uuid::nil());
            let about = |l: &&str| ["ms_bind", "mon_host"].iter().any(|o| l.starts_with(o));
            text.lines().filter(about).map(str::to_owned).collect()
        };
        assert_eq!(
            lines("fd00:32::/64", "FD00:32:0:0::1"),
            ["mon_host = [fd00:32::1]", "ms_bind_ipv4 = false", "ms_bind_ipv6 = true"]
        );
        assert_eq!(lines("10.0.0.0/24", "10.0.0.1"), ["mon_host = 10.0.0.1"]);
    }

    #[test]
    fn with_two_hosts_of_osds_one_is_believed_about_the_other() {
        let node = |n: u8| {
            format!(
                "{{name: n{n}, address: 10.0.0.{n}, roles: [mon, mgr, osd], osds: [{{file: 4GiB}}]}}"
            )
        };
        let reporters = |hosts: u8, config: &str| {
            let nodes: Vec<String> = (1..=hosts).map(node).collect();
            let inventory = format!(
                "cluster: {{public_network: 10.0.0.0/24, config: {config}}}\nnodes: [{}]\n",
                nodes.join(", ")
            );
            let loaded = parse(&inventory, Path::new("x.yaml"), Some(Path::new("/root"))).unwrap();
            let text = text(&loaded.inventory, uuid::Uuid::nil());
            text.lines().filter(|l| l.contains("reporters")).map(str::to_owned).collect::<Vec<_>>()
        };
        let one = ["mon_osd_min_down_reporters = 1"];
        assert_eq!(reporters(1, "{}"), Vec::<String>::new());
        assert_eq!(reporters(2, "{}"), one);
        assert_eq!(reporters(3, "{}"), Vec::<String>::new());
        let two = ["mon_osd_min_down_reporters = 2"];
        assert_eq!(reporters(2, "{global: {mon_osd_min_down_reporters: 2}}"), two);
        assert_eq!(reporters(2, "{mon: {mon osd min down reporters: 2}}"), two);
    }

    #[test]
    fn a_value_with_a_comment_sign_is_quoted() {
        assert_eq!(quoted("2G"), "2G");
        assert_eq!(quoted("a=1;b=2"), "\"a=1;b=2\"");
        assert_eq!(quoted("say \"x\""), "\"say \\\"x\\\"\"");
    }
}
