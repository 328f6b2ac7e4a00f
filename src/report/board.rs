//! Which node is doing what, and that as lines of text. Knows no terminal: [`super::bars`] draws what this composes.

use std::time::Duration;

use crate::event::Event;
use crate::inventory::NodeName;

use super::progress::Progress;
use super::screen::{Screen, Tone};
use super::text::{clean, count, cut, duration, put};

/// What is known of a run in progress.
#[derive(Debug)]
pub(super) struct Board {
    rows: Vec<Row>,
    phase: Phase,
}

/// A node.
#[derive(Debug)]
struct Row {
    name: NodeName,
    state: State,
    /// Oldest first.
    running: Vec<Step>,
    done: usize,
    failed: usize,
}

#[derive(Debug, PartialEq)]
enum State {
    Connecting,
    Ready,
    Unreachable(String),
}

#[derive(Debug)]
struct Step {
    id: u64,
    what: String,
    progress: Option<Progress>,
}

/// What all nodes are at together.
#[derive(Debug)]
enum Phase {
    Connecting,
    Observing,
    Planned(usize),
    Stage { title: String, steps: usize, done: usize, since: Duration },
}

/// A bar's cells.
const CELLS: usize = 16;

/// Names may have 63 characters; more than this leaves no room for what the node does.
const NAME_MAX: usize = 24;

impl Board {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), phase: Phase::Connecting }
    }

    /// Whether no node was ever spoken of.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes note of `event`, which happened `now` after the start.
    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Connecting { node } => self.row(node).state = State::Connecting,
            Event::Connected { node, .. } => self.row(node).state = State::Ready,
            Event::Unreachable { node, error } => {
                let row = self.row(node);
                row.state = State::Unreachable(clean(error));
                row.running.clear();
            }
            Event::Observing { .. } => self.phase = Phase::Observing,
            Event::Planned { steps, .. } => self.phase = Phase::Planned(*steps),
            Event::StageStarted { title, steps, .. } => {
                self.phase =
                    Phase::Stage { title: clean(title), steps: *steps, done: 0, since: now };
            }
            Event::StepStarted { node, step, what, why: _ } => {
                let row = self.row(node);
                row.state = State::Ready;
                row.running.push(Step { id: *step, what: clean(what), progress: None });
            }
            Event::StepProgress { node, step, .. } => {
                if let Some(s) = self.row(node).running.iter_mut().find(|s| s.id == *step) {
                    s.progress = Progress::from_event(event);
                }
            }
            Event::StepFinished { node, step, .. } => {
                self.ended(node, *step);
                self.row(node).done += 1;
            }
            Event::StepFailed { node, step, .. } => {
                self.ended(node, *step);
                self.row(node).failed += 1;
            }
            Event::StageFinished { .. }
            | Event::Warning { .. }
            | Event::Waiting { .. }
            | Event::Summary(_) => {}
        }
    }

    /// A header and a line a node, each at most as wide as the screen and together lower than it. Busy nodes come
    /// first where there is no room for all.
    pub(super) fn lines(&self, screen: &Screen, now: Duration) -> Vec<String> {
        let mut out = vec![self.header(screen, now)];
        // the header, the line that says how many are left out, and the cursor's own
        let room = screen.height.saturating_sub(3).max(1);
        let shown = self.shown(room);
        let name_width = shown.iter().map(|r| r.name.as_str().len()).max().unwrap_or(0);
        let name_width = name_width.min(NAME_MAX);
        out.extend(shown.iter().map(|r| self.line(r, name_width, screen, now)));
        let hidden = self.rows.len() - shown.len();
        if hidden > 0 {
            let more = format!("{} {}", screen.marks().ellipsis, count(hidden, "more node"));
            out.push(screen.paint(Tone::Dim, &more));
        }
        out
    }

    fn row(&mut self, node: &NodeName) -> &mut Row {
        let at = self.rows.iter().position(|r| &r.name == node).unwrap_or_else(|| {
            self.rows.push(Row {
                name: node.clone(),
                state: State::Ready,
                running: Vec::new(),
                done: 0,
                failed: 0,
            });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    fn ended(&mut self, node: &NodeName, step: u64) {
        self.row(node).running.retain(|s| s.id != step);
        if let Phase::Stage { done, .. } = &mut self.phase {
            *done += 1;
        }
    }

    /// The rows there is room for, in their order: those at work before those with trouble before the rest.
    fn shown(&self, room: usize) -> Vec<&Row> {
        let mut order: Vec<_> = (0..self.rows.len()).collect();
        if self.rows.len() > room {
            order.sort_by_key(|i| self.rows[*i].calm());
            order.truncate(room);
            order.sort_unstable();
        }
        order.into_iter().map(|i| &self.rows[i]).collect()
    }

    fn header(&self, screen: &Screen, now: Duration) -> String {
        let dot = screen.marks().dot;
        let (title, rest) = match &self.phase {
            Phase::Connecting => {
                (format!("connecting to {}", count(self.rows.len(), "node")), String::new())
            }
            Phase::Observing => {
                (format!("looking at {}", count(self.ready(), "node")), String::new())
            }
            Phase::Planned(0) => ("nothing left to do".into(), String::new()),
            Phase::Planned(steps) => (format!("planned {}", count(*steps, "step")), String::new()),
            Phase::Stage { title, steps, done, since } => {
                let took = duration(now.saturating_sub(*since).as_secs_f64());
                (title.clone(), format!(" {dot} {done} of {} {dot} {took}", count(*steps, "step")))
            }
        };
        let title =
            cut(&title, screen.width.saturating_sub(rest.chars().count()), screen.marks().ellipsis);
        format!("{}{}", screen.paint(Tone::Bold, &title), screen.paint(Tone::Dim, &rest))
    }

    fn ready(&self) -> usize {
        self.rows.iter().filter(|r| r.state == State::Ready).count()
    }

    fn line(&self, row: &Row, name_width: usize, screen: &Screen, now: Duration) -> String {
        let marks = screen.marks();
        let name = cut(row.name.as_str(), name_width, marks.ellipsis);
        // mark, space, name, two spaces
        let room = screen.width.saturating_sub(name_width + 4);
        let spin = usize::try_from(now.as_millis() / 100).unwrap_or(0) % marks.spinner.len();
        let busy = (marks.spinner[spin], None);
        let ((mark, tone), text) = match &row.state {
            State::Unreachable(why) => {
                ((marks.bad, Some(Tone::Bad)), format!("unreachable: {why}"))
            }
            State::Connecting => (busy, "connecting".into()),
            State::Ready if !row.running.is_empty() => (busy, running(&row.running, room, screen)),
            State::Ready if row.failed > 0 => {
                ((marks.bad, Some(Tone::Bad)), format!("{} failed", count(row.failed, "step")))
            }
            State::Ready if matches!(self.phase, Phase::Observing) => (busy, "looking".into()),
            State::Ready if row.done > 0 => {
                ((marks.ok, Some(Tone::Dim)), format!("{} done", count(row.done, "step")))
            }
            State::Ready => ((marks.ok, Some(Tone::Dim)), "connected".into()),
        };
        let line = format!("{mark} {name:<name_width$}  {}", cut(&text, room, marks.ellipsis));
        tone.map_or_else(|| line.clone(), |t| screen.paint(t, &line))
    }
}

impl Row {
    /// Sorts: 0 at work, 1 in trouble, 2 neither.
    fn calm(&self) -> u8 {
        match self.state {
            State::Unreachable(_) => 1,
            State::Connecting => 0,
            State::Ready if !self.running.is_empty() => 0,
            State::Ready if self.failed > 0 => 1,
            State::Ready => 2,
        }
    }
}

/// What a node's steps are, in `room` columns, and how far the youngest of them is that counts anything.
fn running(steps: &[Step], room: usize, screen: &Screen) -> String {
    let ellipsis = screen.marks().ellipsis;
    let counts = |s: &&Step| s.progress.as_ref().is_some_and(|p| !p.words().is_empty());
    let Some(focus) = steps.iter().rev().find(counts).or(steps.last()) else {
        return String::new();
    };
    let suffix = focus.progress.as_ref().map_or_else(String::new, |p| suffix(p, room, screen));
    let room = room.saturating_sub(suffix.chars().count());
    let mut text = join(steps, focus, room, ellipsis);
    let message = focus.progress.as_ref().map(|p| p.message.as_str()).filter(|m| !m.is_empty());
    if let (Some(m), [_]) = (message, steps) {
        put(&mut text, format_args!(": {m}"));
    }
    cut(&text, room, ellipsis) + &suffix
}

/// The bar and the figures, as much of them as leaves the step's name legible.
fn suffix(progress: &Progress, room: usize, screen: &Screen) -> String {
    const NAME_NEEDS: usize = 16;
    let (full, empty) = screen.marks().bar;
    let figures = progress.figures();
    let bar = progress.cells(CELLS).map(|n| full.repeat(n) + &empty.repeat(CELLS - n));
    let with_bar = bar.map(|b| format!("{b}  {figures}"));
    with_bar
        .into_iter()
        .chain([figures, progress.short()])
        .map(|s| if s.is_empty() { s } else { format!("  {s}") })
        .find(|s| s.chars().count() + NAME_NEEDS <= room)
        .unwrap_or_default()
}

/// `start mon`, `start mon, osd-0`, `start mon, osd-0 (+3)`; `focus` and a count where the steps have no verb in common.
fn join(steps: &[Step], focus: &Step, room: usize, ellipsis: &str) -> String {
    let plus = |n: usize| if n == 0 { String::new() } else { format!(" (+{n})") };
    let verb = focus.what.split(' ').next().unwrap_or_default();
    // only single words are joined: "write a, b" reads well, "open the firewall, the gate" does not
    let objects: Option<Vec<&str>> = steps
        .iter()
        .map(|s| s.what.strip_prefix(verb)?.strip_prefix(' ').filter(|o| !o.contains(' ')))
        .collect();
    let all = steps.len();
    // as many as fit, at least one
    let joined = objects.and_then(|o| {
        (1..=all)
            .rev()
            .map(|n| format!("{verb} {}{}", o[..n].join(", "), plus(all - n)))
            .find(|text| text.chars().count() <= room)
    });
    joined.unwrap_or_else(|| {
        let plus = plus(all - 1);
        cut(&focus.what, room.saturating_sub(plus.len()), ellipsis) + &plus
    })
}
