//! Plain lines with a time each: for logs and wherever standard output is no terminal.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::event::Event;

use super::error;
use super::progress::Progress;
use super::screen::{Screen, Tone};
use super::summary::{self, Failed};
use super::text::{clean, count, duration, rfc3339};
use super::{Reporter, write};

/// A step says how far it is at most this often: a pull ticks many times a second, and a log is read later.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What time it is.
pub(super) type Clock = Box<dyn Fn() -> SystemTime + Send>;

/// Writes lines.
pub(super) struct Lines<W> {
    out: W,
    clock: Clock,
    screen: Screen,
    quiet: bool,
    verbose: bool,
    /// Names are padded to the longest one seen.
    name_width: usize,
    /// What each running step is called, and when it last had a line or began.
    running: HashMap<u64, (String, SystemTime)>,
    failed: Vec<Failed>,
    planned: bool,
}

impl<W: Write + Send> Lines<W> {
    /// Lines on `out`. `quiet` leaves only what is wrong; `verbose` adds what begins.
    pub(super) fn new(out: W, clock: Clock, screen: Screen, quiet: bool, verbose: bool) -> Self {
        Self {
            out,
            clock,
            screen,
            quiet,
            verbose,
            name_width: 1,
            running: HashMap::new(),
            failed: Vec::new(),
            planned: false,
        }
    }

    /// One line with the time, the node (`-` for none) and `text`.
    fn line(&mut self, node: Option<&str>, tone: Option<Tone>, text: &str) {
        let node = node.unwrap_or("-");
        self.name_width = self.name_width.max(node.len());
        let time = rfc3339((self.clock)());
        let text = tone.map_or_else(|| text.to_owned(), |t| self.screen.paint(t, text));
        write(&mut self.out, &format!("{time} {node:<w$}  {text}\n", w = self.name_width));
    }

    /// A line about how things go.
    fn info(&mut self, node: Option<&str>, text: &str) {
        if !self.quiet {
            self.line(node, None, text);
        }
    }

    /// A line about something that only matters when one looks for it.
    fn detail(&mut self, node: Option<&str>, text: &str) {
        if self.verbose {
            self.info(node, text);
        }
    }

    fn progress(&mut self, step: u64, node: &str, event: &Event) {
        let now = (self.clock)();
        let Some((what, last)) = self.running.get_mut(&step) else { return };
        // a clock that was set back reads as "just now"
        let due = now.duration_since(*last).is_ok_and(|d| d >= PROGRESS_EVERY);
        if let (true, Some(p)) = (due, Progress::from_event(event)) {
            *last = now;
            let text = format!("{what}: {}", p.words());
            self.info(Some(node), &text);
        }
    }

    fn failed(
        &mut self,
        node: &str,
        what: &str,
        error: &str,
        log: &[String],
        hint: Option<&String>,
    ) {
        let text = format!("{}: FAILED: {}", clean(what), clean(error));
        self.line(Some(node), Some(Tone::Bad), &text);
        write(&mut self.out, &error::quote(log, 4, &self.screen.unbroken_unless(false)));
        if let Some(hint) = hint {
            write(&mut self.out, &format!("    hint: {}\n", clean(hint)));
        }
    }
}

impl<W: Write + Send> Reporter for Lines<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Connecting { node } => self.detail(Some(node.as_str()), "connecting"),
            Event::Connected { node, docker } => {
                self.info(Some(node.as_str()), &format!("connected ({})", clean(docker)));
            }
            Event::Unreachable { node, error } => {
                let text = format!("UNREACHABLE: {}", clean(error));
                self.line(Some(node.as_str()), Some(Tone::Bad), &text);
            }
            Event::Observing { .. } => self.detail(None, "looking at all nodes"),
            Event::Planned { stages, steps, .. } => {
                let text = match steps {
                    0 => "plan: nothing to do".to_owned(),
                    n => format!("plan: {} in {}", count(*n, "step"), count(*stages, "stage")),
                };
                // later rounds only plan what is left of the first
                if self.planned {
                    self.detail(None, &text);
                } else {
                    self.info(None, &text);
                }
                self.planned = true;
            }
            Event::StageStarted { title, steps, .. } => {
                self.info(None, &format!("stage: {} ({})", clean(title), count(*steps, "step")));
            }
            Event::StageFinished { stage, seconds, ok } => {
                let end = if *ok { "done" } else { "ended with failures" };
                self.detail(
                    None,
                    &format!("stage {}: {end} ({})", clean(stage), duration(*seconds)),
                );
            }
            Event::StepStarted { node, step, what, why } => {
                let what = clean(what);
                self.detail(Some(node.as_str()), &format!("{what} ({})", clean(why)));
                self.running.insert(*step, (what, (self.clock)()));
            }
            Event::StepProgress { node, step, .. } => self.progress(*step, node.as_str(), event),
            Event::StepFinished { node, step, what, seconds } => {
                self.running.remove(step);
                let text = format!("{}: done ({})", clean(what), duration(*seconds));
                self.info(Some(node.as_str()), &text);
            }
            Event::StepFailed { node, step, what, error, log, hint } => {
                self.running.remove(step);
                self.failed(node.as_str(), what, error, log, hint.as_ref());
                self.failed.extend(Failed::from_event(event));
            }
            Event::Warning { node, message } => {
                let node = node.as_ref().map(crate::inventory::NodeName::as_str);
                self.line(node, Some(Tone::Warn), &format!("WARNING: {}", clean(message)));
            }
            Event::Waiting { node, what } => {
                let node = node.as_ref().map(crate::inventory::NodeName::as_str);
                self.info(node, &format!("waiting: {}", clean(what)));
            }
            Event::Summary(s) => {
                if !self.quiet || !s.converged {
                    let text = summary::render(s, &self.failed, self.verbose, &self.screen);
                    write(&mut self.out, &format!("\n{text}"));
                }
            }
        }
    }
}
