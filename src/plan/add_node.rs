//! What has to be so before one node can join: a cluster that runs, and the node itself.

use super::fleet::Fleet;
use super::{Finding, Refusal, answers, foreign};
use crate::identity::Identity;
use crate::inventory::NodeName;

pub(super) fn refuse(fleet: &Fleet, node: &NodeName, id: &Identity) -> Result<(), Refusal> {
    let refusal = |what: String, hint: &str| {
        let finding = Finding { node: node.clone(), what, hint: hint.to_owned() };
        Err(Refusal { to_protect_data: false, findings: vec![finding] })
    };
    if foreign::is_new(fleet, id) {
        return refusal(
            "there is no cluster yet that it could join".into(),
            "make it with `cephdock up`, which takes in every node of the inventory",
        );
    }
    if let Some((_, why)) = fleet.skipped.iter().find(|(name, _)| *name == node) {
        return refusal(
            why.clone(),
            "it cannot join while it is out of reach: mend that and run the same command again",
        );
    }
    if !answers(fleet.seen) {
        let why = match &fleet.seen.cluster {
            crate::facts::Seen::Unknown(why) => why.as_str(),
            _ => "none was ever made",
        };
        return refusal(
            format!("it cannot join while no mon answers: {why}"),
            "bring the cluster back first (`cephdock status`, then `cephdock up`)",
        );
    }
    Ok(())
}
