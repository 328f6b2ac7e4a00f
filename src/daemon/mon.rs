//! ceph-mon: its container, and the seed its store is made from.

use std::net::IpAddr;

use uuid::Uuid;

use super::{ContainerSpec, DaemonId, script};
use crate::identity::{Identity, InitialMon};
use crate::inventory::{Inventory, Node};
use crate::secret::Secret;

/// Put into a store that cephdock made: the cluster's fsid. ceph-mon ignores it.
pub const STORE_MARK: &str = "cephdock.fsid";

/// The folder from which a mon's store is made, gone once it is.
pub fn seed_dir(daemon: &DaemonId) -> String {
    format!("{}.bootstrap", daemon.data_dir())
}

/// The file of the seed that lists the first monmap, one `NAME ADDRESSES` a line.
pub fn seed_monmap(mons: &[InitialMon]) -> String {
    mons.iter()
        .fold(String::new(), |text, mon| text + &mon.name + " " + &addresses(mon.address) + "\n")
}

/// Both of a mon's addresses in monmaptool's form: without msgr2 a cluster warns for ever (`MON_MSGR2_NOT_ENABLED`).
pub fn addresses(ip: IpAddr) -> String {
    let ip = host(ip);
    format!("[v2:{ip}:3300,v1:{ip}:6789]")
}

/// An address as it stands before a port.
pub fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A cephx key with its capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `client.admin` and the like.
    pub name: String,
    /// Its key.
    pub key: Secret,
    /// Daemon kind and capability: `mon`, `allow *`.
    pub caps: Vec<(&'static str, String)>,
}

impl Entity {
    /// A key with these capabilities.
    pub(crate) fn new(name: impl Into<String>, key: Secret, caps: &[(&'static str, &str)]) -> Self {
        let caps = caps.iter().map(|(kind, cap)| (*kind, (*cap).to_owned())).collect();
        Self { name: name.into(), key, caps }
    }

    /// A keyring file with this key. `caps`: with the capabilities, as the mons need them.
    pub fn keyring(&self, caps: bool) -> Secret {
        let mut text = format!("[{}]\n\tkey = {}\n", self.name, self.key.expose());
        for (kind, cap) in self.caps.iter().filter(|_| caps) {
            text = text + "\tcaps " + kind + " = \"" + cap + "\"\n";
        }
        Secret::new(text)
    }
}

/// The mons' own key.
pub fn mon_entity(id: &Identity) -> Entity {
    Entity::new("mon.", id.key("mon."), &[("mon", "allow *")])
}

/// client.admin.
pub fn admin_entity(id: &Identity) -> Entity {
    let caps = &[("mon", "allow *"), ("osd", "allow *"), ("mds", "allow *"), ("mgr", "allow *")];
    Entity::new("client.admin", id.key("client.admin"), caps)
}

/// client.bootstrap-osd, which may register OSDs.
pub fn bootstrap_osd_entity(id: &Identity) -> Entity {
    let name = "client.bootstrap-osd";
    Entity::new(name, id.key(name), &[("mon", "profile bootstrap-osd")])
}

/// The container of the mon on `node`.
pub fn container(want: &Inventory, node: &Node, fsid: Uuid) -> ContainerSpec {
    let daemon = DaemonId::mon(&node.name);
    ContainerSpec {
        fsid,
        image: want.cluster.image.clone(),
        script: script(SCRIPT),
        args: vec![daemon.id.clone(), fsid.to_string(), node.address.to_string()],
        binds: vec!["/etc/ceph:/etc/ceph".into(), "/var/lib/ceph/mon:/var/lib/ceph/mon".into()],
        privileged: false,
        daemon,
    }
}

/// Makes the store from the seed if there is none, then becomes the mon. A seed that holds `join` asks the running mons
/// for their monmap instead of starting from the first one.
const SCRIPT: &str = r#"id=$1 fsid=$2 address=$3
data=/var/lib/ceph/mon/ceph-$id seed=$data.bootstrap new=$data.prepare
if [ ! -d "$data" ]; then
  rm -rf "$new"; mkdir -m 700 "$new"
  if [ -e "$seed/join" ]; then
    ceph --connect-timeout 60 mon getmap -o "$seed/monmap"
  else
    # Ceph 19.2.6 and 20.2.4 let nobody in with an `aes` key, which clients need, unless the first monmap says so
    set --
    if monmaptool --help 2>&1 | grep -q -e --auth-allowed-ciphers; then set -- --auth-allowed-ciphers aes,aes256k; fi
    while read -r name addresses; do set -- "$@" --addv "$name" "$addresses"; done <"$seed/mons"
    monmaptool --create --clobber --fsid "$fsid" "$@" "$seed/monmap"
  fi
  ceph-mon --mkfs -i "$id" --mon-data "$new" --monmap "$seed/monmap" --keyring "$seed/keyring"
  echo "$fsid" >"$new/cephdock.fsid"
  chown -R ceph:ceph "$new"
  sync "$new/cephdock.fsid"
  mv -T "$new" "$data"
fi
rm -rf "$seed"
exec ceph-mon -f -i "$id" --public-addr "$address" OPTIONS --default-mon-cluster-log-to-file=false --default-mon-cluster-log-to-stderr=true
"#;
