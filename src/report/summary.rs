//! The end of a run: what was done, where the time went, and what is left.

use crate::event::{Event, Goal, Summary};
use crate::inventory::NodeName;

use super::screen::{Screen, Tone};
use super::table::table;
use super::text::{clean, count, duration, put};

/// A step that failed in this run; the summary names it once more, for its own report has long scrolled away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Where.
    pub node: NodeName,
    /// Which step.
    pub what: String,
    /// Why.
    pub error: String,
}

impl Failed {
    /// The failed step that `event` speaks of, if it does.
    pub fn from_event(event: &Event) -> Option<Self> {
        match event {
            Event::StepFailed { node, what, error, .. } => {
                Some(Self { node: node.clone(), what: what.clone(), error: error.clone() })
            }
            _ => None,
        }
    }
}

/// Renders the closing summary. `verbose` shows the table of times even if nothing was done.
pub fn render(summary: &Summary, failed: &[Failed], verbose: bool, screen: &Screen) -> String {
    let mut out = headline(summary, failed, screen);
    out.push('\n');
    if let (Some(fsid), false) = (&summary.fsid, nothing_to_do(summary, failed)) {
        put(&mut out, format_args!("Cluster {}\n", clean(fsid)));
    }
    if verbose || !nothing_to_do(summary, failed) {
        out.push_str(&times(summary, screen));
    }
    let failed: Vec<_> = failed
        .iter()
        .map(|f| vec![f.node.to_string(), format!("{}: {}", clean(&f.what), clean(&f.error))])
        .collect();
    section(&mut out, "Failed:", &failed, screen);
    let unreachable: Vec<_> =
        summary.unreachable.iter().map(|u| vec![u.node.to_string(), clean(&u.error)]).collect();
    section(&mut out, "Not reachable:", &unreachable, screen);
    let left: Vec<_> = summary.remaining.iter().map(|r| vec![clean(r)]).collect();
    let title = if summary.converged { "Worth knowing:" } else { "Left to do:" };
    section(&mut out, title, &left, screen);
    if !summary.converged {
        out.push_str("\nRun the same command again to go on from here.\n");
    }
    out
}

fn nothing_to_do(summary: &Summary, failed: &[Failed]) -> bool {
    summary.converged && summary.steps == 0 && failed.is_empty()
}

fn headline(s: &Summary, failed: &[Failed], screen: &Screen) -> String {
    let health = health(s.health.as_deref(), screen);
    let took = duration(s.seconds);
    if let Some(done) = gone(s, failed, &health) {
        return format!("{}: {done}", screen.paint(Tone::Good, "Done"));
    }
    if nothing_to_do(s, failed) {
        let more = match s.health.as_deref() {
            Some("HEALTH_OK") => "",
            _ => " `cephdock status` says more.",
        };
        return format!("Nothing to do: the cluster is as the inventory says ({health}).{more}");
    }
    let steps = count(s.steps, "step");
    let (tone, word) =
        if s.converged { (Tone::Good, "Done") } else { (Tone::Loud, "Not finished") };
    let word = screen.paint(tone, word);
    if s.converged {
        format!("{word}: {steps} in {took}. The cluster is as the inventory says ({health}).")
    } else {
        format!("{word}: {steps} done in {took} ({health}).")
    }
}

/// What there is to say when something is gone as it should be.
fn gone(s: &Summary, failed: &[Failed], health: &str) -> Option<String> {
    if !s.converged || !failed.is_empty() {
        return None;
    }
    let steps = format!("{} in {}.", count(s.steps, "step"), duration(s.seconds));
    match &s.goal {
        Goal::Inventory => None,
        Goal::Gone => Some(format!(
            "{steps} Nothing of the cluster is left on these nodes; `cephdock up` makes a new one."
        )),
        Goal::DataKept => {
            Some(format!("{steps} The cluster's data is kept; `cephdock up` brings it back."))
        }
        Goal::NodeGone(node) => Some(format!(
            "{steps} {node} is out of the cluster ({health}).\n\
             Take its entry out of the inventory: while it is there, `up` would take the node in again."
        )),
    }
}

/// A health in its colour; `None` is said in words.
pub(super) fn health(health: Option<&str>, screen: &Screen) -> String {
    match health {
        Some(h) => screen.paint(health_tone(h), &clean(h)),
        None => screen.paint(Tone::Bad, "health unknown"),
    }
}

fn health_tone(health: &str) -> Tone {
    match health {
        "HEALTH_OK" => Tone::Good,
        "HEALTH_WARN" => Tone::Warn,
        _ => Tone::Loud,
    }
}

/// The stages with their times, right-aligned, and the total below.
fn times(s: &Summary, screen: &Screen) -> String {
    if s.stages.is_empty() {
        return String::new();
    }
    let mut rows: Vec<_> =
        s.stages.iter().map(|t| (clean(&t.title), duration(t.seconds))).collect();
    rows.push(("total".into(), duration(s.seconds)));
    let right = rows.iter().map(|(_, d)| d.len()).max().unwrap_or(0);
    let rows: Vec<_> = rows.into_iter().map(|(t, d)| vec![t, format!("{d:>right$}")]).collect();
    format!("\n{}", table(&[], &rows, 2, screen))
}

fn section(out: &mut String, title: &str, rows: &[Vec<String>], screen: &Screen) {
    if !rows.is_empty() {
        put(out, format_args!("\n{}\n", screen.paint(Tone::Bold, title)));
        out.push_str(&table(&[], rows, 2, screen));
    }
}
