//! Volumes over all nodes: the list, one in full, what unsticking finds, and the proof across nodes.

use serde_json::json;

use crate::inventory::NodeName;
use crate::volume::fleet::proof::{PROOF, Trial, Turn};
use crate::volume::fleet::unstick::{Cure, Plan};
use crate::volume::fleet::view::{ImageView, Unknown, Volume, Volumes};
use crate::volume::fleet::{Image, Snapshot};
use crate::volume::time::spoken;

use super::screen::{Screen, Tone};
use super::table::table;
use super::text::{bytes, clean, count, put};
use super::{Look, Stream};

impl Look {
    /// Prints all volumes: a table, or one JSON object.
    pub fn print_volumes(&self, volumes: &Volumes) {
        if self.json {
            self.print_json(volumes);
        } else {
            self.print(&list(volumes, &self.screen()));
        }
    }

    /// Prints all that is known of a volume: a block, or one JSON object.
    pub fn print_volume(&self, volume: &Volume, unknown: &[Unknown]) {
        if self.json {
            self.print_json(&json!({"volume": volume, "unknown": unknown}));
        } else {
            self.print(&(one(volume, &self.screen()) + &not_seen(unknown, &self.screen())));
        }
    }

    /// Prints a volume's snapshots: a table, or one JSON object.
    pub fn print_snapshots(&self, volume: &str, snapshots: &[Snapshot]) {
        if self.json {
            self.print_json(&json!({"volume": volume, "snapshots": snapshots}));
        } else {
            self.print(&snapshot_list(volume, snapshots, &self.screen()));
        }
    }

    /// Prints what keeps a name from being used, and what would be done.
    pub fn print_unstick(&self, name: &str, plan: &Plan) {
        if self.json {
            let findings = plan.findings.iter().map(|f| {
                let cure = f.cure.as_ref().ok().map(ToString::to_string);
                json!({"node": f.node, "what": f.what, "cure": cure, "not_cured": f.cure.as_ref().err()})
            });
            let findings: Vec<_> = findings.collect();
            self.print_json(&json!({"event": "found", "volume": name, "findings": findings, "notes": plan.notes}));
        } else {
            self.print(&found(name, plan, &self.screen()));
        }
    }

    /// Prints how a cure ended.
    pub fn print_cure(&self, cure: &Cure, error: Option<&str>) {
        let what = cure.to_string();
        if self.json {
            self.print_json(
                &json!({"event": "cured", "node": cure.node(), "what": what, "error": error}),
            );
            return;
        }
        let place = cure.node().map_or("Ceph", NodeName::as_str);
        let screen = self.screen();
        match error {
            Some(error) => {
                self.print_error(&format!("error: {place}: {}: {}", clean(&what), clean(error)));
            }
            None if self.quiet => {}
            None => {
                let mark = screen.paint(Tone::Good, screen.marks().ok);
                self.print(&format!("{mark} {place}: {}\n", clean(&what)));
            }
        }
    }

    /// Tells on a terminal that a node has had its turn; the table with all of them follows.
    pub fn print_turn(&self, turn: &Turn) {
        if !self.json && !self.quiet && Stream::Err.is_terminal() {
            let what = turn.error.as_deref().or(turn.did).unwrap_or_default();
            self.print_error(&format!("{}: {}", turn.node, clean(what)));
        }
    }

    /// Prints the proof: a table, or one JSON object.
    pub fn print_trial(&self, trial: &Trial) {
        if self.json {
            let mut value = json!(trial);
            value["passed"] = json!(trial.passed());
            self.print_json(&value);
        } else if !self.quiet || !trial.passed() {
            self.print(&proof(trial, &self.screen()));
        }
    }
}

fn names(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

/// Renders all volumes.
pub fn list(volumes: &Volumes, screen: &Screen) -> String {
    let mut out = String::new();
    let rows: Vec<Vec<String>> = volumes.volumes.iter().map(row).collect();
    let seen = !volumes.unknown.iter().any(|u| u.node.is_none());
    if !rows.is_empty() {
        out.push_str(&table(
            &["VOLUME", "SIZE", "USED", "OWNER", "MAPPED", "HEALTH"],
            &rows,
            0,
            screen,
        ));
    } else if seen {
        out.push_str(
            "There are no volumes yet: docker volume create -d cephdock -o size=10GiB NAME\n",
        );
    }
    out + &not_seen(&volumes.unknown, screen)
}

fn row(volume: &Volume) -> Vec<String> {
    let size = volume.image.as_ref().map_or_else(|| "-".into(), |i| bytes(i.size));
    let used = volume.image.as_ref().and_then(|i| i.used).map_or_else(|| "-".into(), bytes);
    let owner = volume.holders.first().map_or_else(
        || "-".into(),
        |h| h.node.as_ref().map_or_else(|| clean(&h.address), ToString::to_string),
    );
    let mut mapped: Vec<&NodeName> = volume.mapped.iter().map(|m| &m.node).collect();
    mapped.dedup();
    vec![clean(&volume.name), size, used, owner, names(&mapped), clean(&volume.health)]
}

/// What could not be looked at: what is missing above may be there.
fn not_seen(unknown: &[Unknown], screen: &Screen) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    let title = screen.paint(Tone::Warn, "Not known, because it could not be looked at:");
    let name = |u: &Unknown| u.node.as_ref().map_or_else(|| "Ceph".into(), ToString::to_string);
    let rows: Vec<_> = unknown.iter().map(|u| vec![name(u), clean(&u.why)]).collect();
    format!("\n{title}\n{}", table(&[], &rows, 2, screen))
}

/// Renders all that is known of a volume.
pub fn one(volume: &Volume, screen: &Screen) -> String {
    let tone = if volume.well { Tone::Good } else { Tone::Bad };
    let mut out = format!(
        "{} {}  {}\n",
        screen.paint(Tone::Bold, "volume"),
        clean(&volume.name),
        screen.paint(tone, &clean(&volume.health))
    );
    let mut rows = Vec::new();
    let mut put_row = |word: &str, text: String| rows.push(vec![word.to_owned(), clean(&text)]);
    match &volume.image {
        Some(image) => of_image(image, &volume.name, &mut put_row),
        None => put_row("image", "there is none of that name".into()),
    }
    for holder in &volume.holders {
        let node = holder.node.as_ref().map_or("a client of no known node", NodeName::as_str);
        let since =
            holder.since.as_ref().map_or_else(String::new, |s| format!(" since {}", spoken(s)));
        let reach = if holder.reachable || holder.node.is_none() { "" } else { ", out of reach" };
        put_row("held by", format!("{node}{since} ({}){reach}", holder.address));
    }
    for mapped in &volume.mapped {
        let stale = if mapped.stale {
            format!(", stale: image id {}", mapped.image_id)
        } else {
            String::new()
        };
        let at = if mapped.mounts.is_empty() {
            "mounted nowhere".into()
        } else {
            format!("mounted at {}", mapped.mounts.join(", "))
        };
        put_row("mapped", format!("{} on {}{stale}, {at}", mapped.device, mapped.node));
    }
    for held in &volume.held {
        let error = held.error.as_ref().map_or_else(String::new, |e| format!("; {e}"));
        put_row(
            "in use",
            format!(
                "on {} by {} since {}{error}",
                held.node,
                count(held.users, "user"),
                spoken(&held.since)
            ),
        );
    }
    for c in &volume.containers {
        let state = if c.running { "runs" } else { "is stopped" };
        put_row("container", format!("{} on {} {state}", c.container, c.node));
    }
    let listed: Vec<&NodeName> = volume.listed_on.iter().collect();
    put_row(
        "known to",
        format!(
            "the Docker of {}",
            if listed.is_empty() { "no node".into() } else { names(&listed) }
        ),
    );
    out.push_str(&table(&[], &rows, 2, screen));
    out
}

fn of_image(image: &ImageView, name: &str, put_row: &mut impl FnMut(&str, String)) {
    put_row("image", format!("{}/{name}, id {}", image.pool, image.id));
    let used = image.used.map_or_else(String::new, |used| format!(", {} used", bytes(used)));
    put_row("size", format!("{}{used}", bytes(image.size)));
    let kind = match (image.fs, image.lock) {
        (_, None) => "not known: cephdock's driver did not make it".into(),
        (None, Some(_)) => "none yet: it has never been mounted".into(),
        (Some(fs), Some(_)) => fs.name().to_owned(),
    };
    put_row("filesystem", kind);
    if let Some(lock) = image.lock {
        let lock = format!("{lock:?}").to_lowercase();
        put_row(
            "writers",
            if image.read_only {
                "none: it is only read".into()
            } else {
                format!("one node ({lock})")
            },
        );
    }
    let created = image.created.as_ref().map(|c| spoken(c));
    let made = match (&image.made_on, created) {
        (Some(node), Some(when)) => format!("on {node}, {when}"),
        (None, Some(when)) => when,
        (Some(node), None) => format!("on {node}"),
        (None, None) => String::new(),
    };
    if !made.is_empty() {
        put_row("made", made);
    }
    if let Some(from) = &image.from {
        put_row("made from", from.clone());
    }
    put_row("features", image.features.join(" "));
    for snap in &image.snapshots {
        put_row("snapshot", in_words(snap));
    }
    for lock in &image.locks {
        put_row("lock", format!("{} at {} ({})", lock.client, lock.address, lock.cookie));
    }
}

fn in_words(snap: &Snapshot) -> String {
    let when = snap.created.as_ref().map_or_else(String::new, |c| format!(", {}", spoken(c)));
    let clones = if snap.clones.is_empty() {
        String::new()
    } else {
        format!(", made from it: {}", snap.clones.join(", "))
    };
    format!("{}{when}, {}{clones}", snap.name, bytes(snap.size))
}

/// Renders a volume's snapshots.
pub fn snapshot_list(volume: &str, snapshots: &[Snapshot], screen: &Screen) -> String {
    if snapshots.is_empty() {
        return format!("Volume {} has no snapshots.\n", clean(volume));
    }
    let rows: Vec<_> = snapshots
        .iter()
        .map(|s| {
            let clones = if s.clones.is_empty() { "-".into() } else { s.clones.join(", ") };
            let when = s.created.as_ref().map_or_else(|| "-".into(), |c| spoken(c));
            vec![clean(&s.name), bytes(s.size), when, clean(&clones)]
        })
        .collect();
    table(&["SNAPSHOT", "SIZE", "MADE", "VOLUMES FROM IT"], &rows, 0, screen)
}

/// What goes with a volume, above the question.
pub fn goes(image: &Image) -> String {
    let used =
        image.used.map_or_else(String::new, |used| format!(", of which {} are used", bytes(used)));
    format!(
        "Volume {} and all that is in it will be lost: {}{used}.",
        clean(&image.name),
        bytes(image.size)
    )
}

/// Renders what keeps a name from being used.
pub fn found(name: &str, plan: &Plan, screen: &Screen) -> String {
    let mut out = String::new();
    let place = |node: &Option<NodeName>| node.as_ref().map_or("Ceph", NodeName::as_str).to_owned();
    if plan.findings.is_empty() {
        put(&mut out, format_args!("Nothing stale of {} was found.\n", clean(name)));
    }
    let cured: Vec<Vec<String>> = plan
        .findings
        .iter()
        .filter_map(|f| {
            Some(vec![place(&f.node), clean(&f.what), clean(&f.cure.as_ref().ok()?.to_string())])
        })
        .collect();
    if !cured.is_empty() {
        let title = format!("This holds the name {}, and can be cured:", clean(name));
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Bold, &title)));
        out.push_str(&table(&["WHERE", "WHAT", "CURE"], &cured, 2, screen));
    }
    let left: Vec<Vec<String>> = plan
        .left()
        .filter_map(|f| Some(vec![place(&f.node), clean(&f.what), clean(f.cure.as_ref().err()?)]))
        .collect();
    if !left.is_empty() {
        out.push_str(if cured.is_empty() { "" } else { "\n" });
        let title = "This is left as it is:";
        put(&mut out, format_args!("{}\n", screen.paint(Tone::Warn, title)));
        out.push_str(&table(&["WHERE", "WHAT", "WHY"], &left, 2, screen));
    }
    for note in &plan.notes {
        for (n, line) in
            super::text::wrap(&clean(note), screen.width.saturating_sub(6)).iter().enumerate()
        {
            put(&mut out, format_args!("{}{line}\n", if n == 0 { "note: " } else { "      " }));
        }
    }
    out
}

/// Renders the proof.
pub fn proof(trial: &Trial, screen: &Screen) -> String {
    let marks = screen.marks();
    let rows: Vec<Vec<String>> = trial
        .nodes
        .iter()
        .map(|turn| {
            let mark = if turn.error.is_none() { marks.ok } else { marks.bad };
            let what = match (&turn.error, &turn.hint) {
                (Some(error), Some(hint)) => format!("{error}; {hint}"),
                (Some(error), None) => error.clone(),
                (None, _) => turn.did.unwrap_or_default().to_owned(),
            };
            let seconds = turn.seconds.map_or_else(|| "-".into(), super::text::duration);
            let sum =
                turn.sha256.as_ref().map_or_else(|| "-".into(), |s| s.chars().take(12).collect());
            vec![format!("{mark}{}{}", super::table::NBSP, turn.node), seconds, sum, clean(&what)]
        })
        .collect();
    let mut out = table(&["NODE", "TIME", "SHA-256", "WHAT"], &rows, 0, screen);
    let could = trial.nodes.iter().filter(|n| n.error.is_none()).count();
    let of = count(trial.nodes.len(), "node");
    let verdict = format!(
        "{could} of {of} could see the same data ({PROOF}), with the driver {}.",
        clean(&trial.driver)
    );
    let tone = if could == trial.nodes.len() { Tone::Good } else { Tone::Bad };
    put(&mut out, format_args!("\n{}\n", screen.paint(tone, &verdict)));
    if !trial.left.is_empty() {
        put(
            &mut out,
            format_args!("\n{}\n", screen.paint(Tone::Warn, "This could not be cleaned up:")),
        );
        let rows: Vec<_> = trial.left.iter().map(|l| vec![clean(l)]).collect();
        out.push_str(&table(&[], &rows, 2, screen));
    }
    out
}
