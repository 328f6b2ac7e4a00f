//! The bars: puts the lines that [`Board`] composes on a terminal and keeps them there. They are drawn on stderr;
//! what is to stay is printed above them, and the summary goes to stdout once they are gone.

use std::io::{stderr, stdout};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::Event;

use super::board::Board;
use super::screen::{Color, Screen, Stream, Tone};
use super::summary::{self, Failed};
use super::text::{clean, count, duration};
use super::{Reporter, error, write};

/// Draws bars.
pub(super) struct Bars {
    group: MultiProgress,
    /// One a line of the board, from the top.
    slots: Vec<ProgressBar>,
    board: Board,
    started: Instant,
    color: Color,
    verbose: bool,
    failed: Vec<Failed>,
}

impl Bars {
    /// Bars on stderr. `verbose` leaves a line above them for each step that is done.
    pub(super) fn new(group: MultiProgress, color: Color, verbose: bool) -> Self {
        Self {
            group,
            slots: Vec::new(),
            board: Board::new(),
            started: Instant::now(),
            color,
            verbose,
            failed: Vec::new(),
        }
    }

    fn screen(&self) -> Screen {
        Screen::of(Stream::Err, self.color)
    }

    /// Prints `text` above the bars. Not by `MultiProgress::println`, which prints nothing where bars are hidden.
    fn above(&self, text: &str) {
        self.group.suspend(|| write(&mut stderr(), text));
    }

    /// Shows `lines`, with as many bars.
    fn show(&mut self, lines: Vec<String>) {
        while self.slots.len() > lines.len() {
            if let Some(bar) = self.slots.pop() {
                bar.finish_and_clear();
                self.group.remove(&bar);
            }
        }
        while self.slots.len() < lines.len() {
            // wide_msg cuts at the width the terminal has when it is drawn, be it narrower by then
            let style = ProgressStyle::with_template("{wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.slots.push(self.group.add(ProgressBar::new_spinner().with_style(style)));
        }
        for (bar, line) in self.slots.iter().zip(lines) {
            bar.set_message(line);
        }
    }

    fn clear(&mut self) {
        self.show(Vec::new());
        // a terminal that is gone cannot be cleared, and does not matter
        drop(self.group.clear());
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &Event) {
        self.board.event(event, self.started.elapsed());
        let screen = self.screen();
        match event {
            Event::StepFailed { node, what, error, log, hint, .. } => {
                let failure = error::of_step(node.as_str(), what, error, log, hint.as_ref());
                self.above(&error::render(&failure, &screen));
                self.failed.extend(Failed::from_event(event));
            }
            Event::Unreachable { node, error } => {
                let label = screen.paint(Tone::Bad, "unreachable:");
                self.above(&format!("{label} {node}: {}\n", clean(error)));
            }
            Event::Warning { node, message } => {
                let label = screen.paint(Tone::Warn, "warning:");
                let node = node.as_ref().map(|n| format!("{n}: ")).unwrap_or_default();
                self.above(&format!("{label} {node}{}\n", clean(message)));
            }
            Event::Waiting { node, what } if self.verbose => {
                let node = node.as_ref().map(|n| format!("{n}: ")).unwrap_or_default();
                self.above(&format!("waiting: {node}{}\n", clean(what)));
            }
            Event::Planned { stages, steps, .. } if self.verbose => {
                let text =
                    format!("plan: {} in {}\n", count(*steps, "step"), count(*stages, "stage"));
                self.above(&screen.paint(Tone::Dim, &text));
            }
            Event::StepFinished { node, what, seconds, .. } if self.verbose => {
                let ok = screen.paint(Tone::Good, screen.marks().ok);
                self.above(&format!("{ok} {node}: {} ({})\n", clean(what), duration(*seconds)));
            }
            Event::Summary(s) => {
                self.clear();
                let screen = Screen::of(Stream::Out, self.color);
                let text = summary::render(s, &self.failed, self.verbose, &screen);
                write(&mut stdout(), &text);
                // nothing more to follow: an empty board would be drawn below the summary
                self.board = Board::new();
            }
            _ => {}
        }
    }

    fn tick(&mut self) {
        if !self.board.is_empty() {
            let lines = self.board.lines(&self.screen(), self.started.elapsed());
            self.show(lines);
        }
    }

    fn end(&mut self) {
        self.clear();
    }
}
