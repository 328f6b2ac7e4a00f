//! Rules of firewalld and ufw. Nothing is ever reloaded, see `plan/firewall.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::HostError;
use super::node::Node;
use crate::facts::firewall::{COMMENT, PortRule};
use crate::plan::{Place, PortsSpec};

/// A call of firewall-cmd or ufw is done in a second or two; on a node with much to do, and several calls.
const DEADLINE: Duration = Duration::from_secs(120);

impl Node {
    /// Opens or closes ports. Both firewalls take what is so already as done.
    pub(super) async fn ports(&self, spec: &PortsSpec, open: bool) -> Result<(), HostError> {
        let script = script(spec, open)
            .map_err(|e| HostError::new(format!("a zone cannot be named to the shell: {e}")))?;
        self.shell("sh -s", script.as_bytes(), DEADLINE).await.map(drop).map_err(explain)
    }
}

/// One call for each place in firewalld, with all its rules; one call a rule for ufw, which takes no more.
fn script(spec: &PortsSpec, open: bool) -> Result<String, shlex::QuoteError> {
    // only stderr is wanted, and of that only what goes with a failure
    let mut script = String::from(
        "LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH; set -e; exec >/dev/null\n",
    );
    let verb = if open { "add" } else { "remove" };
    let mut calls: BTreeMap<&Place, Vec<&PortRule>> = BTreeMap::new();
    for (place, rule) in &spec.rules {
        calls.entry(place).or_default().push(rule);
    }
    for (place, rules) in calls {
        let (program, zone) = match place {
            Place::Permanent(zone) => ("firewall-cmd --permanent", zone),
            Place::Live(zone) => ("firewall-cmd", zone),
            Place::Stopped(zone) => ("firewall-offline-cmd", zone),
            Place::Ufw | Place::UfwAgain => {
                for rule in rules {
                    let words = rule.ufw();
                    if !open || *place == Place::UfwAgain {
                        writeln!(script, "timeout 60 ufw delete allow {words}").unwrap_or_default();
                    }
                    if open {
                        writeln!(script, "timeout 60 ufw allow {words} comment {COMMENT}")
                            .unwrap_or_default();
                    }
                }
                continue;
            }
        };
        write!(script, "timeout 60 {program} {}", shlex::try_quote(&format!("--zone={zone}"))?)
            .unwrap_or_default();
        for rule in rules {
            let option = format!("--{verb}-rich-rule={}", rule.rich());
            write!(script, " {}", shlex::try_quote(&option)?).unwrap_or_default();
        }
        script.push('\n');
    }
    Ok(script)
}

fn explain(error: HostError) -> HostError {
    let again = "then run the same command again: it finishes what is missing";
    if error.what.contains("is not running") {
        let hint = format!("start firewalld, or stop and disable it if it is not wanted, {again}");
        return error.hint(hint);
    }
    // timeout's own
    if error.what.contains("exit status 124") {
        let what = "the firewall did not answer within 60 s";
        return HostError::new(what)
            .hint(format!("look at `systemctl status firewalld` or at `ufw status`, {again}"));
    }
    if error.what.contains("priority") {
        return error.hint(
            "rules with a priority take firewalld 0.7 or newer: open the ports by hand and set `firewall: off`",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FirewallManager;

    fn rule(network: &str, ports: &str) -> PortRule {
        PortRule { network: network.parse().unwrap(), ports: ports.into() }
    }

    #[test]
    fn one_call_for_each_place_in_firewalld() {
        let place = |p: fn(String) -> Place| p("public".into());
        let mut rules = Vec::new();
        for at in [place(Place::Live), place(Place::Permanent)] {
            rules.push((at.clone(), rule("10.32.3.0/24", "3300")));
            rules.push((at, rule("fd00:32::/64", "6800-7300")));
        }
        let spec = PortsSpec { manager: FirewallManager::Firewalld, rules };
        insta::assert_snapshot!(script(&spec, true).unwrap(), @r#"
        LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH; set -e; exec >/dev/null
        timeout 60 firewall-cmd --permanent '--zone=public' '--add-rich-rule=rule priority="6789" family="ipv4" source address="10.32.3.0/24" port port="3300" protocol="tcp" accept' '--add-rich-rule=rule priority="6789" family="ipv6" source address="fd00:32::/64" port port="6800-7300" protocol="tcp" accept'
        timeout 60 firewall-cmd '--zone=public' '--add-rich-rule=rule priority="6789" family="ipv4" source address="10.32.3.0/24" port port="3300" protocol="tcp" accept' '--add-rich-rule=rule priority="6789" family="ipv6" source address="fd00:32::/64" port port="6800-7300" protocol="tcp" accept'
        "#);
        assert!(!script(&spec, false).unwrap().contains("--add"));
    }

    #[test]
    fn one_call_a_rule_in_ufw() {
        let rules = vec![
            (Place::Ufw, rule("10.32.3.0/24", "6800-7300")),
            (Place::UfwAgain, rule("10.32.3.0/24", "3300")),
        ];
        let spec = PortsSpec { manager: FirewallManager::Ufw, rules };
        insta::assert_snapshot!(script(&spec, true).unwrap(), @r#"
        LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH; set -e; exec >/dev/null
        timeout 60 ufw allow proto tcp from 10.32.3.0/24 to any port 6800:7300 comment cephdock
        timeout 60 ufw delete allow proto tcp from 10.32.3.0/24 to any port 3300
        timeout 60 ufw allow proto tcp from 10.32.3.0/24 to any port 3300 comment cephdock
        "#);
        insta::assert_snapshot!(script(&spec, false).unwrap(), @r#"
        LC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH; set -e; exec >/dev/null
        timeout 60 ufw delete allow proto tcp from 10.32.3.0/24 to any port 6800:7300
        timeout 60 ufw delete allow proto tcp from 10.32.3.0/24 to any port 3300
        "#);
    }
}
