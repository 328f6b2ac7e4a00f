//! What `host/probe.sh` prints about a node's firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{FirewallFacts, Firewalld, PRIORITY, PortRule, Running, Ufw, UfwRule, Zone};

/// The comment of a ufw rule of ours as it stands in ufw's files: in hexadecimal digits.
const COMMENT_IN_RULES: &str = "63657068646f636b";

/// Reads one section of the probe's output into `facts`; false: there is no section of this name.
pub(in crate::facts) fn section(
    facts: &mut FirewallFacts,
    name: &str,
    argument: &str,
    body: &str,
) -> bool {
    match name {
        "firewalld" => facts.firewalld = Some(firewalld(argument, body)),
        "zonefile" => {
            // firewalld passes over a file that it cannot read, and so is it done here
            let zone = zone_file(body).unwrap_or_default();
            let firewalld = facts.firewalld.get_or_insert_default();
            firewalld.permanent.insert(argument.to_owned(), zone);
        }
        "ufw" => facts.ufw = Some(ufw(argument, body)),
        "input" => facts.blocks.extend(blocks(argument, body)),
        _ => return false,
    }
    true
}

/// Lines of `ip -o addr`: `2: eth0    inet 10.0.0.1/24 …`.
pub(in crate::facts) fn interfaces(body: &str) -> BTreeMap<IpAddr, String> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let interface = words.next()?.split('@').next()?.to_owned();
        let address = words.nth(1)?.split('/').next()?.parse().ok()?;
        Some((address, interface))
    };
    body.lines().filter_map(line).collect()
}

/// `STATE DEFAULT_ZONE`, and what `firewall-cmd --list-all-zones` printed, or a line `!CODE` and what it said instead.
fn firewalld(argument: &str, body: &str) -> Firewalld {
    let (state, default_zone) = argument.split_once(' ').unwrap_or((argument, ""));
    let mut facts = Firewalld { default_zone: default_zone.to_owned(), ..Firewalld::default() };
    if state != "yes" {
        return facts;
    }
    if let Some(failed) = body.strip_prefix('!') {
        let (code, said) = failed.split_once('\n').unwrap_or((failed, ""));
        let said = said.lines().map(str::trim).rfind(|l| !l.is_empty());
        facts.running = Running::Silent(match (code, said) {
            ("124", _) => "firewall-cmd got no answer in 15 s".into(),
            (_, Some(said)) => format!("firewall-cmd says: {said}"),
            (code, None) => format!("firewall-cmd ended with exit code {code}"),
        });
        return facts;
    }
    facts.running = Running::Yes;
    for block in body.split("\n\n") {
        let block = block.trim_matches('\n');
        let Some((head, rest)) = block.split_once('\n') else { continue };
        let (name, marks) = head.split_once(' ').unwrap_or((head, ""));
        // older ones do not mark it, and there the file's word counts
        if marks.contains("default") {
            name.clone_into(&mut facts.default_zone);
        }
        facts.live.insert(name.to_owned(), live_zone(rest));
    }
    facts
}

fn live_zone(text: &str) -> Zone {
    let mut zone = Zone::default();
    let words = |value: &str| value.split_ascii_whitespace().map(str::to_owned).collect();
    for line in text.lines().map(str::trim) {
        if line.starts_with("rule ") {
            zone.rules.extend(rich(line));
            continue;
        }
        match line.split_once(':') {
            Some(("target", value)) => zone.accepts = value.trim() == "ACCEPT",
            Some(("interfaces", value)) => zone.interfaces = words(value),
            Some(("sources", value)) => zone.sources = words(value),
            _ => {}
        }
    }
    zone
}

/// A rich rule, if it is ours to the letter.
fn rich(line: &str) -> Option<PortRule> {
    let value = |key: &str| line.split_once(key)?.1.split('"').next();
    let rule = PortRule::parse(value("source address=\"")?, value("port port=\"")?)?;
    (rule.rich() == line).then_some(rule)
}

/// A file of /etc/firewalld/zones.
fn zone_file(text: &str) -> Option<Zone> {
    let document = roxmltree::Document::parse(text.trim()).ok()?;
    let root = document.root_element();
    let mut zone = Zone { accepts: root.attribute("target") == Some("ACCEPT"), ..Zone::default() };
    for node in root.children().filter(roxmltree::Node::is_element) {
        match node.tag_name().name() {
            "interface" => zone.interfaces.extend(node.attribute("name").map(str::to_owned)),
            "source" => {
                let set = node.attribute("ipset").map(|set| format!("ipset:{set}"));
                let plain = node.attribute("address").or_else(|| node.attribute("mac"));
                zone.sources.extend(set.or(plain.map(str::to_owned)));
            }
            "rule" => zone.rules.extend(rule_element(node)),
            _ => {}
        }
    }
    Some(zone)
}

fn rule_element(rule: roxmltree::Node) -> Option<PortRule> {
    let parts: Vec<_> = rule.children().filter(roxmltree::Node::is_element).collect();
    let child = |name: &str| parts.iter().find(|p| p.tag_name().name() == name);
    let (source, port, accept) = (child("source")?, child("port")?, child("accept")?);
    let plain = parts.len() == 3
        && accept.first_element_child().is_none()
        && source.attributes().len() == 1
        && rule.attribute("priority") == Some(PRIORITY.to_string().as_str())
        && port.attribute("protocol") == Some("tcp");
    let made = PortRule::parse(source.attribute("address")?, port.attribute("port")?)?;
    plain.then_some(made)
}

/// `STATE`, and the lines `### tuple ### …` of user.rules and user6.rules and `-A …` of `iptables -S`.
fn ufw(argument: &str, body: &str) -> Ufw {
    let live: BTreeSet<PortRule> = body.lines().filter_map(iptables_rule).collect();
    let tuples = body.lines().filter_map(|line| line.strip_prefix("### tuple ### "));
    let rule = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (words, comment) = match words.split_last()? {
            (last, rest) if last.starts_with("comment=") => (rest, &last["comment=".len()..]),
            _ => (&words[..], ""),
        };
        let [action, "tcp", ports, "0.0.0.0/0" | "::/0", "any", network, "in"] = words[..] else {
            return None;
        };
        let rule = PortRule::parse(network, ports)?;
        let ours = comment == COMMENT_IN_RULES;
        let action = action.split('_').next().unwrap_or(action).to_owned();
        Some(UfwRule { live: live.contains(&rule), rule, action, ours })
    };
    let running = if argument == "yes" { Running::Yes } else { Running::No };
    Ufw { running, rules: tuples.filter_map(rule).collect() }
}

/// `-A ufw-user-input -s 10.32.3.0/24 -p tcp -m tcp --dport 3300 -j ACCEPT`.
fn iptables_rule(line: &str) -> Option<PortRule> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words[..] {
        [
            "-A",
            _,
            "-s",
            network,
            "-p",
            "tcp",
            "-m",
            _,
            "--dport" | "--dports",
            ports,
            "-j",
            "ACCEPT",
        ] => PortRule::parse(network, ports),
        _ => None,
    }
}

/// What in a chain on input stops whatever no rule lets in: its policy, or a rule without conditions. The text is that
/// of `nft list chain` or `iptables -S`.
fn blocks(name: &str, body: &str) -> Option<String> {
    let what = |line: &str| {
        let line = line.trim();
        if line.contains("policy drop;") || (line.starts_with("-P ") && line.ends_with(" DROP")) {
            return Some("policy drop".to_owned());
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let rest = match &words[..] {
            ["-A", _, "-j", rest @ ..] | ["counter", "packets", _, "bytes", _, rest @ ..] => rest,
            all => all,
        };
        let verdict = rest.first()?.to_ascii_lowercase();
        matches!(verdict.as_str(), "drop" | "reject").then(|| line.to_owned())
    };
    body.lines().find_map(what).map(|why| format!("{name} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &str, ports: &str) -> PortRule {
        PortRule { network: network.parse().unwrap(), ports: ports.into() }
    }

    /// What firewalld 2.3 printed, shortened to three zones and a user's rule.
    const LIVE: &str = r#"
docker (active)
  target: ACCEPT
  ingress-priority: 0
  egress-priority: 0
  icmp-block-inversion: no
  interfaces: docker0
  sources: 
  services: 
  rich rules: 

internal (active)
  target: default
  interfaces: 
  sources: 10.32.3.0/28 ipset:office
  services: dhcpv6-client mdns samba-client ssh
  rich rules: 

public (default, active)
  target: default
  ingress-priority: 0
  egress-priority: 0
  icmp-block-inversion: no
  interfaces: eth0 veth+
  sources: 
  services: dhcpv6-client ssh
  ports: 
  protocols: 
  forward: yes
  masquerade: no
  forward-ports: 
  source-ports: 
  icmp-blocks: 
  rich rules: 
	rule priority="6789" family="ipv6" source address="fd00:32:3::/64" port port="6800-7300" protocol="tcp" accept
	rule priority="6789" family="ipv4" source address="10.32.3.0/24" port port="3300" protocol="tcp" accept
	rule priority="6789" family="ipv4" source address="10.32.3.0/24" port port="3300" protocol="tcp" log accept
	rule family="ipv4" source address="10.32.3.0/24" port port="6789" protocol="tcp" accept
"#;

    #[test]
    fn the_zones_in_force() {
        let facts = firewalld("yes trusted", LIVE);
        assert_eq!((&facts.running, facts.default_zone.as_str()), (&Running::Yes, "public"));
        assert_eq!(facts.live.keys().collect::<Vec<_>>(), ["docker", "internal", "public"]);
        assert!(facts.live["docker"].accepts && !facts.live["public"].accepts);
        assert_eq!(facts.live["internal"].sources, ["10.32.3.0/28", "ipset:office"]);
        let public = &facts.live["public"];
        assert_eq!(public.interfaces, ["eth0", "veth+"]);
        // the others are the user's, whatever they look like
        let ours = [rule("10.32.3.0/24", "3300"), rule("fd00:32:3::/64", "6800-7300")];
        assert_eq!(public.rules, ours.into());
    }

    #[test]
    fn a_daemon_that_does_not_answer_or_does_not_run() {
        let silent = |body| match firewalld("yes public", body).running {
            Running::Silent(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(silent("!124\n\n"), "firewall-cmd got no answer in 15 s");
        assert_eq!(
            silent("!252\nFirewallD is not running\n"),
            "firewall-cmd says: FirewallD is not running"
        );
        assert_eq!(silent("!1\n"), "firewall-cmd ended with exit code 1");
        assert_eq!(firewalld("no public", "").running, Running::No);
    }

    /// As firewalld 2.3 wrote it, and a rule that a user wrote by hand.
    #[test]
    fn the_zones_of_later() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>Public</short>
  <interface name="eth1"/>
  <source address="10.9.0.0/16"/>
  <source mac="52:54:00:00:00:01"/>
  <source ipset="office"/>
  <service name="ssh"/>
  <rule family="ipv4" priority="6789">
    <source address="10.32.3.0/24"/>
    <port port="3300" protocol="tcp"/>
    <accept/>
  </rule>
  <rule family="ipv4" priority="6789">
    <source address="10.32.3.0/24"/>
    <port port="3300" protocol="tcp"/>
    <log/>
    <accept/>
  </rule>
  <rule family="ipv6" priority="6789">
    <source address="fd00:32::/64"/>
    <port port="6800-7300" protocol="tcp"/>
    <accept/>
  </rule>
  <rule family="ipv4">
    <source address="10.32.3.0/24"/>
    <port port="6789" protocol="tcp"/>
    <accept/>
  </rule>
  <forward/>
</zone>
"#;
        let zone = zone_file(text).unwrap();
        assert!(zone.accepts);
        assert_eq!(zone.interfaces, ["eth1"]);
        assert_eq!(zone.sources, ["10.9.0.0/16", "52:54:00:00:00:01", "ipset:office"]);
        let ours = [rule("10.32.3.0/24", "3300"), rule("fd00:32::/64", "6800-7300")];
        assert_eq!(zone.rules, ours.into());
        assert_eq!(zone_file("<zone>"), None);
    }

    /// As ufw 0.36 wrote it and iptables 1.8 printed it.
    #[test]
    fn the_rules_of_ufw() {
        let text = "
-N ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -s 10.32.3.0/24 -p tcp -m multiport --dports 6800:7300 -j ACCEPT
-N ufw6-user-input
-A ufw6-user-input -s fd00:32::/64 -p tcp -m tcp --dport 3300 -j ACCEPT
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 6789 0.0.0.0/0 any 10.32.3.0/24 in_eth0 comment=63657068646f636b
### tuple ### deny_log tcp 6789 0.0.0.0/0 any 10.32.3.0/24 in
### tuple ### allow tcp 6800:7300 0.0.0.0/0 any 10.32.3.0/24 in comment=63657068646f636b
### tuple ### allow tcp 3300 0.0.0.0/0 any 10.32.3.0/24 in comment=63657068646f636b
### tuple ### allow tcp 3300 ::/0 any fd00:32::/64 in comment=78
";
        let facts = ufw("yes", text);
        let seen = |r: &UfwRule| (r.rule.to_string(), r.action.clone(), r.ours, r.live);
        let expected = [
            ("22/tcp from 0.0.0.0/0", "allow", false, false),
            ("6789/tcp from 10.32.3.0/24", "deny", false, false),
            ("6800-7300/tcp from 10.32.3.0/24", "allow", true, true),
            ("3300/tcp from 10.32.3.0/24", "allow", true, false),
            ("3300/tcp from fd00:32::/64", "allow", false, true),
        ];
        let expected =
            expected.map(|(rule, action, ours, live)| (rule.into(), action.into(), ours, live));
        assert_eq!(facts.rules.iter().map(seen).collect::<Vec<_>>(), expected);
        assert_eq!((facts.running, ufw("no", "").running), (Running::Yes, Running::No));
    }

    #[test]
    fn chains_that_end_in_dropping() {
        let nft = "table inet mine {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\
                   \t\ttcp dport 22 accept\n\t\tct state invalid drop\n\t\tcounter packets 0 bytes 0 reject with icmpx admin-prohibited\n\t}\n}\n";
        assert_eq!(
            blocks("nft inet mine in", nft).unwrap(),
            "nft inet mine in (counter packets 0 bytes 0 reject with icmpx admin-prohibited)"
        );
        assert_eq!(
            blocks(
                "x",
                &nft.replace("counter packets 0 bytes 0 reject", "ip saddr 10.0.0.1 reject")
            ),
            None
        );
        assert_eq!(
            blocks("x", &nft.replace("policy accept", "policy drop")).unwrap(),
            "x (policy drop)"
        );
        let legacy = "-P INPUT ACCEPT\n-A INPUT -s 10.99.0.0/24 -j REJECT --reject-with icmp-host-prohibited\n";
        assert_eq!(blocks("x", legacy), None);
        let all = legacy.replace("-s 10.99.0.0/24 ", "");
        assert!(blocks("x", &all).unwrap().contains("-j REJECT"));
        assert_eq!(blocks("x", "-P INPUT DROP\n").unwrap(), "x (policy drop)");
    }

    #[test]
    fn the_interface_of_each_address() {
        let body = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
                    2: eth0    inet 10.32.3.11/24 scope global eth0\\       valid_lft forever preferred_lft forever\n\
                    2: eth0    inet6 fe80::1/64 scope link proto kernel_ll \\       valid_lft forever preferred_lft forever\n";
        let seen = interfaces(body);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[&"10.32.3.11".parse::<IpAddr>().unwrap()], "eth0");
        // what `hostname -I` prints tells no interface
        assert!(interfaces("10.32.3.11 fe80::1 \n").is_empty());
    }
}
