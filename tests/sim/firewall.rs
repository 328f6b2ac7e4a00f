//! The firewall of a simulated node: one zone or one list of rules, and what it keeps out.

use std::collections::{BTreeMap, BTreeSet};

use cephdock::facts::FirewallFacts;
use cephdock::facts::firewall::{Firewalld, PortRule, Running, Ufw, UfwRule, Zone};
use cephdock::plan::{FirewallManager, Place};

use super::NodeState;

/// What lets nobody in but for its rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Firewall {
    pub(crate) manager: FirewallManager,
    pub(crate) running: Running,
    /// In force.
    pub(crate) live: BTreeSet<PortRule>,
    /// In force after a restart.
    pub(crate) permanent: BTreeSet<PortRule>,
}

const ZONE: &str = "public";

impl Firewall {
    pub(crate) fn new(manager: FirewallManager) -> Self {
        let (live, permanent) = (BTreeSet::new(), BTreeSet::new());
        Self { manager, running: Running::Yes, live, permanent }
    }

    pub(super) fn facts(&self) -> FirewallFacts {
        let mut facts = FirewallFacts::default();
        let running = self.running.clone();
        let one = |rules: &BTreeSet<PortRule>| {
            let zone = Zone { rules: rules.clone(), ..Zone::default() };
            BTreeMap::from([(ZONE.to_owned(), zone)])
        };
        match self.manager {
            FirewallManager::Firewalld => {
                let default_zone = ZONE.to_owned();
                let answers = running == Running::Yes;
                let live = if answers { one(&self.live) } else { BTreeMap::new() };
                let permanent = one(&self.permanent);
                facts.firewalld = Some(Firewalld { running, default_zone, live, permanent });
            }
            FirewallManager::Ufw => {
                let rule = |rule: &PortRule| UfwRule {
                    rule: rule.clone(),
                    action: "allow".into(),
                    ours: true,
                    live: self.live.contains(rule),
                };
                let rules = self.permanent.iter().map(rule).collect();
                facts.ufw = Some(Ufw { running, rules });
            }
        }
        facts
    }

    pub(super) fn change(&mut self, rules: &[(Place, PortRule)], open: bool) -> Result<(), String> {
        for (place, rule) in rules {
            let daemon = matches!(place, Place::Live(_) | Place::Permanent(_));
            if daemon && self.running != Running::Yes {
                return Err("FirewallD is not running".into());
            }
            if let Place::Live(zone) | Place::Permanent(zone) | Place::Stopped(zone) = place
                && zone != ZONE
            {
                return Err(format!("INVALID_ZONE: {zone}"));
            }
            let sides: &mut [&mut BTreeSet<PortRule>] = match place {
                Place::Live(_) => &mut [&mut self.live],
                Place::Permanent(_) | Place::Stopped(_) => &mut [&mut self.permanent],
                // what is in the file already is not put into the kernel again
                Place::Ufw if open && self.permanent.contains(rule) => &mut [],
                Place::Ufw | Place::UfwAgain => &mut [&mut self.live, &mut self.permanent],
            };
            for side in sides {
                if open {
                    side.insert(rule.clone())
                } else {
                    side.remove(rule)
                };
            }
        }
        Ok(())
    }
}

impl NodeState {
    /// Whether others get in to these ports.
    pub(super) fn lets_in(&self, ports: &str) -> bool {
        match &self.firewall {
            Some(firewall) if firewall.running != Running::No => {
                firewall.live.iter().any(|rule| rule.ports == ports)
            }
            _ => true,
        }
    }
}
