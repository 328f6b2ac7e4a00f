//! Keys and OSD numbers in a cluster that runs: what its mons do not know yet.

use std::collections::BTreeMap;

use serde_json::json;

use super::fleet::Fleet;
use super::osds::Osds;
use super::{Action, Lane, MonCommand, Step, Why, volumes};
use crate::daemon::mon::Entity;
use crate::daemon::{DaemonId, mgr, mon, osd};
use crate::facts::ClusterFacts;
use crate::identity::Identity;
use crate::secret::{Secret, sha256};

pub(super) fn register(fleet: &Fleet, id: &Identity, osds: &Osds) -> Vec<Lane> {
    let (Some(cluster), Some(asker)) = (fleet.cluster(), fleet.asker()) else { return Vec::new() };
    let known =
        |entity: &Entity| cluster.auth.get(&entity.name).map(|d| *d == sha256(entity.key.expose()));
    let mut steps = Vec::new();

    let mut entities = vec![mon::bootstrap_osd_entity(id)];
    entities.extend(volumes::entity(fleet.want, id));
    let mgrs = fleet.want.nodes.iter().filter(|n| n.roles.mgr && fleet.in_scope(&n.name));
    entities.extend(mgrs.map(|n| mgr::entity(id, &DaemonId::mgr(&n.name))));
    for osd in osds.all.iter().filter(|o| fleet.in_scope(&o.node)) {
        let entity = osd::entity(id, &osd.daemon(), osd.uuid);
        // An OSD whose key is there registers itself when it boots. One that has neither key nor number gets both at
        // once; `osd new` does nothing where they are there already.
        if !cluster.osds.contains_key(&osd.number) && known(&entity).is_none() {
            steps.push(Step::new(
                Action::Ceph(vec![osd_new(osd.uuid, osd.number, &entity)]),
                Why::Missing,
            ));
        } else {
            entities.push(entity);
        }
    }
    for entity in &entities {
        let why = match known(entity) {
            Some(true) if may(cluster, entity) => continue,
            Some(_) => Why::Differs,
            None => Why::Missing,
        };
        steps.push(Step::new(Action::Ceph(vec![import(entity)]), why));
    }
    vec![Lane::new(&asker.node.name, steps)]
}

/// Whether a client's key may do what it shall and nothing else, as far as that is known.
fn may(cluster: &ClusterFacts, entity: &Entity) -> bool {
    let Some(seen) = cluster.caps.get(&entity.name) else { return true };
    let seen = seen.iter().map(|(kind, cap)| (kind.as_str(), cap));
    seen.eq(entity.caps.iter().map(|(kind, cap)| (*kind, cap)).collect::<BTreeMap<_, _>>())
}

/// Sets an entity's key and capabilities, whatever they were.
fn import(entity: &Entity) -> MonCommand {
    MonCommand {
        json: json!({"prefix": "auth import"}),
        about: entity.name.clone(),
        input: Some(entity.keyring(true)),
    }
}

fn osd_new(uuid: uuid::Uuid, number: u32, entity: &Entity) -> MonCommand {
    MonCommand {
        json: json!({"prefix": "osd new", "uuid": uuid.to_string(), "id": number}),
        about: entity.name.clone(),
        input: Some(Secret::new(json!({"cephx_secret": entity.key.expose()}).to_string())),
    }
}
