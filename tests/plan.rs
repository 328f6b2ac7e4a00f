//! What is planned for what is seen: every file in `tests/plan/cases` is an inventory, facts and the plan they give.
//!
//! A case has
//! - `inventory:` the file's text; without `volumes:` no driver is asked for;
//! - `start:` `fresh` (blank nodes) or `running` (a cluster at rest): the facts that a fleet in memory shows;
//! - `archive:` the id of the image that the inventory's archive holds;
//! - `then:` the inventory that is planned for, where it is another one;
//! - `add-node:` the node that `add-node` is asked for; otherwise the plan is `up`'s;
//! - `identity:` which nodes hold it (`on`), whether the mons have met (`established`), which nodes hold another one's
//!   (`other`) or a damaged file (`damaged`); otherwise as the fleet has it;
//! - `facts:` what is seen otherwise, laid over those facts (`null` takes away). A node may be a text: it cannot be
//!   reached, and why; so may `docker` (it does not answer) and `cluster` (`absent`, or why no mon answers).
//!   Containers stand by their names. `{fsid}`, `{osd NODE DISK}` (an OSD's uuid) and `{key NODE DISK}` (the digest of
//!   its key) are filled in;
//! - `reset:` that `cephdock reset` is planned, not `up`: `{fsid, node, keep_data}`, each as on the command line;
//! - `expect:` the plan as text, the last part of the file. `UPDATE=1 cargo test --test plan` writes it anew.

mod sim;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use cephdock::converge;
use cephdock::facts::{ClusterFacts, Facts, IdentityFile, NodeFacts, Seen};
use cephdock::identity::Identity;
use cephdock::inventory::{Inventory, OsdSpec};
use cephdock::plan::{Action, Plan, Refusal, reset};
use cephdock::report::{PlanView, Screen, error, plan_view};
use cephdock::secret::sha256;
use serde::Deserialize;
use serde_json::Value;
use sim::{Sim, adding, identity, inventory, linted, name};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    inventory: String,
    #[serde(default)]
    then: Option<String>,
    #[serde(default, rename = "add-node")]
    add_node: Option<String>,
    #[serde(default)]
    archive: Option<String>,
    start: Start,
    #[serde(default)]
    identity: Option<Holders>,
    #[serde(default)]
    facts: Seed,
    #[serde(default)]
    reset: Option<Reset>,
    #[serde(rename = "expect")]
    _expect: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Start {
    Fresh,
    Running,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Holders {
    on: Option<Vec<String>>,
    established: Option<bool>,
    other: Vec<String>,
    damaged: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    #[serde(default)]
    fsid: Option<Uuid>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    keep_data: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Seed {
    nodes: BTreeMap<String, Value>,
    cluster: Value,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/cases");
    let entries = std::fs::read_dir(&folder).expect("the cases are part of the project");
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.expect("a folder can be listed").path()).collect();
    files.sort();
    files
}

#[tokio::test(start_paused = true)]
async fn every_case_gives_the_plan_that_it_expects() {
    let files = cases();
    assert!(files.len() > 40, "there are only {} cases", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a case can be read");
        let title = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (expected, given) = run(&title, &text).await;
        if given.trim() == expected.trim() {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            let (head, _) = text.split_once("\nexpect:").expect("a case says what it expects");
            let lines =
                given.trim_end().lines().map(|l| format!("  {l}").trim_end().to_owned() + "\n");
            let new = format!("{head}\nexpect: |\n{}", lines.collect::<String>());
            std::fs::write(&file, new).expect("a case can be written");
        }
        wrong.push(format!("=== {title}\n--- expected\n{expected}\n--- given\n{given}"));
    }
    assert!(wrong.is_empty(), "{} cases are not as expected:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is expected, and what comes.
async fn run(title: &str, text: &str) -> (String, String) {
    let made = plan_of(title, text).await;
    let shown = match (&made.result, made.nothing) {
        (_, true) => "nothing of a cluster".into(),
        (Ok(plan), _) => planned(plan),
        (Err(refusal), _) => refused(refusal),
    };
    (made.expect, named(&shown, &made.want, &made.ids))
}

/// A case, and what is planned.
struct Made {
    expect: String,
    want: Inventory,
    ids: Identity,
    facts: Facts,
    result: Result<Plan, Refusal>,
    /// A reset finds nothing.
    nothing: bool,
}

async fn plan_of(title: &str, text: &str) -> Made {
    let plain: Plain = serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{title}: {e}"));
    let ids = identity(&inventory(&plain.inventory), SEED);
    let case: Case =
        serde_yaml::from_str(&filled(text, &ids)).unwrap_or_else(|e| panic!("{title}: {e}"));
    let mut sim = Sim::new(&case.inventory);
    if let Some(id) = &case.archive {
        sim.archives(id);
    }
    if case.start == Start::Running {
        let run = sim.up(SEED).await.expect("nothing kills it");
        assert!(matches!(run.end, converge::End::Done), "{title}: {:?}", run.end);
    }
    if let Some(then) = &case.then {
        sim.wants(then);
    }
    let mut facts = sim.fleet().observe().await;
    case.facts.lay_over(title, &mut facts);
    hold(&case.identity.unwrap_or_default(), &sim.want, &mut facts);

    let mut nothing = false;
    let result = match (&case.reset, converge::adopt(&sim.want, &facts)) {
        (Some(reset), _) => reset.plan(&sim.want, &facts).map(|plan| {
            nothing = plan.is_none();
            plan.unwrap_or_default()
        }),
        (None, Ok(id)) => {
            let id = id.unwrap_or_else(|| identity(&sim.want, SEED));
            match &case.add_node {
                Some(node) => adding(node)(&sim.want, &facts, &id),
                None => linted(&sim.want, &facts, &id),
            }
        }
        (None, Err(refusal)) => Err(refusal),
    };
    Made { expect: plain.expect, want: sim.want.clone(), ids, facts, result, nothing }
}

const SEED: u8 = 1;

const SCREEN: Screen = Screen { width: 80, height: 24, color: false, unicode: true };

/// Lines that are wider than the screen, but for those that are one word: a path is not broken.
fn too_wide(text: &str) -> Vec<&str> {
    let wide = |l: &&str| l.chars().count() > SCREEN.width && l.split_whitespace().count() > 1;
    text.lines().filter(wide).collect()
}

#[tokio::test(start_paused = true)]
async fn every_plan_fits_a_screen() {
    // those that differ most
    const SHOWN: [&str; 6] = [
        "client-of-a-fresh-cluster",
        "firewalld-of-a-fresh-node",
        "nothing-to-do",
        "off-one-node-and-a-new-one",
        "container-drifted-and-running",
        "volumes-of-a-fresh-cluster",
    ];
    let (mut screens, mut wide) = (String::new(), Vec::new());
    for file in cases() {
        let text = std::fs::read_to_string(&file).expect("a case can be read");
        let title = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let made = plan_of(&title, &text).await;
        let Ok(plan) = &made.result else { continue };
        let shown = plan_view::render(&PlanView::of(plan, &made.facts), &SCREEN);
        let shown = named(&shown, &made.want, &made.ids);
        if !too_wide(&shown).is_empty() {
            wide.push(format!("=== {title}\n{}", too_wide(&shown).join("\n")));
        }
        if SHOWN.contains(&title.as_str()) {
            writeln!(screens, "=== {title}\n{shown}").expect("a text takes all");
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
    insta::assert_snapshot!(screens);
}

/// Whatever is refused, as people read it: what was seen, on which node, and what to do.
#[tokio::test(start_paused = true)]
async fn every_refusal_is_shown_with_its_place_and_what_to_do() {
    let (mut screens, mut lame) = (String::new(), Vec::new());
    for file in cases() {
        let text = std::fs::read_to_string(&file).expect("a case can be read");
        let title = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let made = plan_of(&title, &text).await;
        let Err(refusal) = &made.result else { continue };
        let shown: Vec<String> =
            error::of_refusal(refusal).map(|f| error::render(&f, &SCREEN)).collect();
        let says = |f: &cephdock::plan::Finding| f.what.len() > 10 && f.hint.len() > 10;
        if refusal.findings.is_empty() || !refusal.findings.iter().all(says) {
            lame.push(title.clone());
        }
        let shown = named(&shown.concat(), &made.want, &made.ids);
        writeln!(screens, "=== {title}\n{shown}").expect("a text takes all");
    }
    assert!(lame.is_empty(), "no place or nothing to do: {lame:?}");
    insta::assert_snapshot!(screens);
}

impl Reset {
    fn plan(&self, want: &Inventory, facts: &Facts) -> Result<Option<Plan>, Refusal> {
        let node = self.node.as_deref().map(name);
        let options = reset::Options { node: node.as_ref(), keep_data: self.keep_data };
        let Some(target) = reset::find(facts, self.fsid)? else { return Ok(None) };
        let mut plan = reset::reset(want, facts, &target, options)?;
        plan.waiting.extend(reset::notes(want, facts, &target, options));
        Ok(Some(plan))
    }
}

/// What is read before anything is filled in.
#[derive(Deserialize)]
struct Plain {
    inventory: String,
    expect: String,
}

/// Fills in what stands in braces.
fn filled(text: &str, id: &Identity) -> String {
    let mut parts = text.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (words, rest) = part.split_once('}').unwrap_or((part, ""));
        let value = match words.split(' ').collect::<Vec<_>>()[..] {
            ["fsid"] => id.fsid.to_string(),
            ["osd", node, disk] => id.osd_uuid(&name(node), disk).to_string(),
            ["key", node, disk] => sha256(id.osd_key(id.osd_uuid(&name(node), disk)).expose()),
            _ => {
                out.push('{');
                out.push_str(part);
                continue;
            }
        };
        out.push_str(&value);
        out.push_str(rest);
    }
    out
}

/// Puts the names back into what is shown.
fn named(shown: &str, want: &Inventory, id: &Identity) -> String {
    let mut shown = shown.replace(&id.fsid.to_string(), "{fsid}");
    for node in &want.nodes {
        let mut files = 0;
        for spec in &node.osds {
            let disk = if let OsdSpec::Device(path) = spec {
                format!("{}-{}", node.name, path.file_name().unwrap_or_default().to_string_lossy())
            } else {
                files += 1;
                format!("file-{files}")
            };
            let uuid = id.osd_uuid(&node.name, &disk).to_string();
            shown = shown.replace(&uuid, &format!("{{osd {} {disk}}}", node.name));
        }
    }
    shown
}

impl Seed {
    fn lay_over(&self, title: &str, facts: &mut Facts) {
        for (node, patch) in &self.nodes {
            let seen =
                facts.nodes.get_mut(&name(node)).unwrap_or_else(|| panic!("{title}: no {node}"));
            *seen = match (patch, &*seen) {
                (Value::String(why), _) => Seen::Unknown(why.clone()),
                (patch, Seen::Value(old)) => Seen::Value(with(title, old, patch)),
                (_, other) => panic!("{title}: {node} is {other:?}"),
            };
        }
        facts.cluster = match (&self.cluster, &facts.cluster) {
            (Value::Null, same) => same.clone(),
            (Value::String(absent), _) if absent == "absent" => Seen::Absent,
            (Value::String(why), _) => Seen::Unknown(why.clone()),
            (patch, old) => {
                let old = old.value().cloned().unwrap_or_default();
                let mut value = serde_json::to_value(old).expect("facts are plain");
                merge(&mut value, patch);
                let new: ClusterFacts = serde_json::from_value(value)
                    .unwrap_or_else(|e| panic!("{title}: cluster: {e}"));
                Seen::Value(new)
            }
        };
    }
}

/// A node's facts with others laid over them.
fn with(title: &str, old: &NodeFacts, patch: &Value) -> NodeFacts {
    let mut value = serde_json::to_value(old).expect("facts are plain");
    let mut patch = patch.clone();
    if let Some(Value::String(why)) = patch.get("docker") {
        value["docker"] = serde_json::json!({ "down": why });
    } else if let Some(docker) = patch.get("docker").cloned() {
        let up = &mut value["docker"]["up"];
        let list = up["containers"].as_array().cloned().unwrap_or_default();
        let by_name =
            list.into_iter().map(|c| (c["name"].as_str().unwrap_or_default().to_owned(), c));
        up["containers"] = Value::Object(by_name.collect());
        merge(up, &docker);
        let named = up["containers"].as_object().cloned().unwrap_or_default();
        let list = named.into_iter().map(|(name, mut container)| {
            container["name"] = name.into();
            container
        });
        up["containers"] = Value::Array(list.collect());
    }
    if let Some(patch) = patch.as_object_mut() {
        patch.remove("docker");
    }
    merge(&mut value, &patch);
    let mut new: NodeFacts =
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{title}: {e}"));
    new.identity = old.identity.clone();
    new
}

/// JSON merge patch: maps are merged, all else is replaced, `null` takes away.
fn merge(value: &mut Value, patch: &Value) {
    let (Value::Object(old), Value::Object(new)) = (&mut *value, patch) else {
        *value = patch.clone();
        if let Value::Object(map) = value {
            map.retain(|_, v| !v.is_null());
        }
        return;
    };
    for (key, patch) in new {
        if patch.is_null() {
            old.remove(key);
        } else {
            merge(old.entry(key).or_insert(Value::Null), patch);
        }
    }
}

fn hold(holders: &Holders, want: &Inventory, facts: &mut Facts) {
    for (node, seen) in &mut facts.nodes {
        let Seen::Value(facts) = seen else { continue };
        let listed = |list: &[String]| list.iter().any(|n| n == node.as_str());
        if let Some(on) = &holders.on {
            let held = match &facts.identity {
                IdentityFile::Found(id) => id.clone(),
                _ => identity(want, SEED),
            };
            facts.identity =
                if listed(on) { IdentityFile::Found(held) } else { IdentityFile::Absent };
        }
        if let (IdentityFile::Found(id), Some(established)) =
            (&mut facts.identity, holders.established)
        {
            id.established = established;
        }
        if listed(&holders.other) {
            facts.identity = IdentityFile::Found(identity(want, SEED + 1));
        }
        if listed(&holders.damaged) {
            facts.identity =
                IdentityFile::Damaged("not a valid identity file (line 1, column 1)".into());
        }
    }
}

fn planned(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for stage in &plan.stages {
        lines.push(stage.name.to_string());
        for lane in &stage.lanes {
            for (index, step) in lane.steps.iter().enumerate() {
                let lead = if index == 0 { lane.node.as_str() } else { "" };
                let made_of = made_of(&step.action);
                lines.push(format!("  {lead:<2} {}{made_of} -- {}", step.action, step.why));
            }
        }
    }
    if plan.stages.is_empty() {
        lines.push("nothing to do".into());
    }
    for waiting in &plan.waiting {
        let kind = if waiting.holds_up { "waiting" } else { "worth knowing" };
        let node = waiting.node.as_ref().map(|n| format!("{n}: ")).unwrap_or_default();
        lines.push(format!("{kind}: {node}{}", waiting.what));
    }
    lines.join("\n")
}

/// What an OSD is made of, and where ports are opened.
fn made_of(action: &Action) -> String {
    match action {
        Action::Run(spec) | Action::Replace(spec) => {
            match spec.args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [_, uuid, _, device, ""] => format!(" ({uuid} on {device})"),
                [_, uuid, _, "", bytes] => format!(" ({uuid} in {bytes} bytes)"),
                _ => String::new(),
            }
        }
        Action::OpenPorts(spec) | Action::ClosePorts(spec) => {
            let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (place, rule) in &spec.rules {
                let ports = format!("{} from {}", rule.ports, rule.network);
                places.entry(format!("{place:?}")).or_default().push(ports);
            }
            let lines = places
                .iter()
                .map(|(place, rules)| format!("\n       {place}: {}", rules.join(", ")));
            lines.collect::<Vec<_>>().concat() + "\n      "
        }
        _ => String::new(),
    }
}

fn refused(refusal: &Refusal) -> String {
    let kind = if refusal.to_protect_data { "refused, to protect data" } else { "refused" };
    let findings =
        refusal.findings.iter().map(|f| format!("{kind}: {}: {}\n  {}\n", f.node, f.what, f.hint));
    findings.collect()
}
