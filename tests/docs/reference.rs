//! `docs/inventory.md`, made from the table of fields that the parser has, and that table against the parser.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cephdock::inventory::file::{Loaded, parse};
use cephdock::inventory::problem::Problems;
use cephdock::inventory::schema::{Field, LeftOut, SECTIONS, Section};
use cephdock::inventory::{Inventory, Unset};
use serde_json::{Value, json};

use crate::pages::root;

const PLACE: &str = "docs/inventory.md";

const HEAD: &str = "\
# Every field of the inventory

Made from the table that the parser has (`UPDATE=1 cargo test --test docs` writes it anew). A whole inventory with
comments is [inventory.example.yaml](../inventory.example.yaml); `cephdock init` writes one for your hosts, and every mistake
in one is told with its place and what to write instead.

Paths: `~` is your home folder, and relative ones start at the inventory's folder. Sizes have a unit: `20GiB` and `20G` are
binary, `20GB` is decimal. Where `ssh:` leaves something open, `~/.ssh/config` counts before the defaults below. Passwords
and keys never stand in an inventory.
";

/// The document.
fn document() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let heading = match section.path.trim_end_matches('.') {
            "" => "The file".to_owned(),
            path => format!("`{path}`"),
        };
        writeln!(
            text,
            "\n## {heading}\n\n| field | takes | such as | left out | meaning |\n|---|---|---|---|---|"
        )
        .expect("memory");
        for Field { name, takes, example, default, meaning } in section.fields {
            let left_out = match default {
                LeftOut::Required => "**required**".to_owned(),
                LeftOut::Nothing => "–".to_owned(),
                LeftOut::Is(value) => format!("`{value}`"),
                LeftOut::Depends(how) => (*how).to_owned(),
            };
            writeln!(
                text,
                "| `{}{name}` | {takes} | `{example}` | {left_out} | {meaning} |",
                section.path
            )
            .expect("memory");
        }
    }
    text
}

#[test]
fn the_reference_is_what_the_parser_knows() {
    let (path, made) = (root().join(PLACE), document());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &made).expect("written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    assert!(readme.contains(&format!("]({PLACE})")), "README.md does not lead to {PLACE}");
    let line = there.lines().zip(made.lines()).position(|(a, b)| a != b);
    assert!(
        there == made,
        "{PLACE} is not current (line {line:?}): UPDATE=1 cargo test --test docs"
    );
}

/// An inventory in which the section is there, with all that it cannot do without.
fn around(section: &Section, field: &str) -> Value {
    let node = |name: &str, last: u8| json!({"name": name, "address": format!("10.32.3.{last}"), "roles": ["mon", "mgr", "osd"], "osds": [{"file": "20GiB"}]});
    let nodes = [("A", 1), ("B", 2), ("C", 3)].map(|(name, last)| node(name, last));
    let mut whole = json!({"cluster": {"public_network": "10.32.3.0/24"}, "nodes": nodes});
    match section.path {
        "cluster.registry." => {
            whole["cluster"]["image"] = "r.example:5000/ceph/ceph:v19".into();
            whole["cluster"]["registry"] =
                json!({"server": "r.example:5000", "username": "u", "password_file": "./p"});
        }
        "cluster.pool." => whole["cluster"]["pool"] = json!({}),
        "nodes[].ssh." => whole["nodes"][0]["ssh"] = json!({}),
        "nodes[].osds[]." => whole["nodes"][0]["osds"][0] = json!({}),
        "volumes." if ["alias", "settings"].contains(&field) => {
            whole["volumes"] = json!({"driver": "rexray/rbd"});
        }
        _ => {}
    }
    // one of the two says where the password is
    if field == "password_env" {
        whole["cluster"]["registry"].as_object_mut().expect("a mapping").remove("password_file");
    }
    if section.path == "cluster." && field == "registry" {
        whole["cluster"]["image"] = "r.example/ceph/ceph:v19".into();
    }
    whole
}

/// The mapping that the section is.
fn inside<'v>(whole: &'v mut Value, section: &Section) -> &'v mut Value {
    let mut at = whole;
    for part in section.path.split_terminator('.') {
        at = match part.strip_suffix("[]") {
            Some(list) => &mut at[list][0],
            None => &mut at[part],
        };
        if at.is_null() {
            *at = json!({});
        }
    }
    at
}

/// Reads the inventory with `value`, as YAML, for the field; `None` leaves it out.
fn with(section: &Section, field: &str, value: Option<&str>) -> Result<Loaded, Problems> {
    const MARK: &str = "\"the value\"";
    let mut whole = around(section, field);
    let mapping = inside(&mut whole, section);
    match value {
        Some(_) => mapping[field] = "the value".into(),
        None => drop(mapping.as_object_mut().expect("a mapping").remove(field)),
    }
    // JSON is YAML
    let text = whole.to_string().replace(MARK, value.unwrap_or_default());
    parse(&text, Path::new("/site/inventory.yaml"), Some(Path::new("/home/ops")))
}

fn each() -> impl Iterator<Item = (Section, &'static Field)> {
    SECTIONS.into_iter().flat_map(|s| s.fields.iter().map(move |f| (s, f)))
}

#[test]
fn every_example_of_the_reference_is_taken_without_a_warning() {
    for (section, field) in each() {
        let what = format!("{}{}: {}", section.path, field.name, field.example);
        let loaded = with(&section, field.name, Some(field.example));
        let loaded = loaded.unwrap_or_else(|p| panic!("{what}: {p}"));
        assert_eq!(loaded.warnings, [], "{what}");
    }
}

/// The inventory, whatever was said and whatever was left out to come to it.
fn meant(loaded: Loaded) -> Inventory {
    let mut inventory = loaded.inventory;
    for node in &mut inventory.nodes {
        node.ssh.unset = Unset::ALL;
    }
    inventory
}

#[test]
fn every_default_of_the_reference_is_what_leaving_it_out_comes_to() {
    for (section, field) in each() {
        let what = format!("{}{}", section.path, field.name);
        let without = with(&section, field.name, None);
        match field.default {
            LeftOut::Required => {
                let problems = without.expect_err(&what).to_string();
                assert!(problems.contains(field.name), "{what}: {problems}");
            }
            LeftOut::Is(value) => {
                let said = with(&section, field.name, Some(value))
                    .unwrap_or_else(|p| panic!("{what}: {p}"));
                let without = without.unwrap_or_else(|p| panic!("{what}: {p}"));
                assert_eq!(
                    meant(said),
                    meant(without),
                    "{what} is not {value} where it is left out"
                );
                // and it is no accident: another value makes a difference
                let other = if field.example == value { other(field.name) } else { field.example };
                let other = with(&section, field.name, Some(other))
                    .unwrap_or_else(|p| panic!("{what}: {p}"));
                assert_ne!(
                    meant(other),
                    meant(with(&section, field.name, None).expect("good")),
                    "{what}"
                );
            }
            LeftOut::Nothing => drop(without.unwrap_or_else(|p| panic!("{what}: {p}"))),
            LeftOut::Depends(_) => {}
        }
    }
}

/// Another value than the default, for fields whose example is the default.
fn other(field: &str) -> &'static str {
    match field {
        "firewall" => "off",
        "name" => "volumes",
        "known_hosts" => "/etc/known",
        _ => panic!("{field} needs another value here"),
    }
}
