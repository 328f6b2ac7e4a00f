//! What a person or a script sees. Only this room and main.rs print.
//!
//! ```text
//! Event ─┬─ bars   a terminal: one line a node, redrawn in place on stderr; the summary on stdout
//!        ├─ lines  no terminal: one line an event on stdout, with its time
//!        └─ json   --json: the events themselves, one a line on stdout, and nothing else there
//! Status, PlanView, Failure ── rendered to a String by a function of (data, Screen), printed by Look
//! ```
//!
//! Which of the three it is, is decided once, in [`Look::mode`]. Everything that comes from a node passes
//! [`text::clean`] before it is shown.

use std::io::{Write, stderr, stdout};
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::event::{Event, Said};
use crate::status::Status;

mod bars;
mod board;
pub mod check_view;
mod disks;
pub mod error;
mod journal;
pub mod json;
mod lines;
pub mod plan_view;
mod progress;
pub mod reset_view;
pub mod run_log;
pub mod screen;
pub mod status_view;
pub mod summary;
pub mod table;
mod terminal;
#[cfg(test)]
mod tests;
pub mod text;
pub mod volume_view;

pub use error::Failure;
pub use journal::journal;
pub use plan_view::PlanView;
pub use screen::{Color, Screen, Stream};
pub use terminal::Terminal;

/// How the user wants things shown: the global options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// `--json`.
    pub json: bool,
    /// `-q`: nothing but what is wrong, on stderr.
    pub quiet: bool,
    /// `-v`, how often.
    pub verbose: u8,
    /// `--color`.
    pub color: Color,
}

/// One of the three ways to follow a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Redrawn in place.
    Bars,
    /// One line an event.
    Lines,
    /// One JSON object an event.
    Json,
}

impl Look {
    /// Bars need both streams on one terminal that can move its cursor: they are drawn on stderr, and a stdout that
    /// goes elsewhere wants the lines.
    pub fn mode(&self) -> Mode {
        let terminals = Stream::Out.is_terminal() && Stream::Err.is_terminal();
        match () {
            () if self.json => Mode::Json,
            () if self.quiet || !terminals || screen::is_dumb() => Mode::Lines,
            () => Mode::Bars,
        }
    }

    /// Standard output as it is now.
    pub fn screen(&self) -> Screen {
        Screen::of(Stream::Out, self.color)
    }

    /// Prints text that was rendered for [`Look::screen`] on stdout. Its reader may have gone (`| head`); that is no
    /// error.
    pub fn print(&self, text: &str) {
        write(&mut stdout(), text);
    }

    /// Passes on what a node said, to the stream it belongs to: byte for byte, but cleaned on a terminal, whose cursor it
    /// could move. False: nobody reads that stream any more.
    pub fn pass_on(&self, said: Said<'_>) -> bool {
        let (bytes, stream) = match said {
            Said::Out(bytes) => (bytes, Stream::Out),
            Said::Err(bytes) => (bytes, Stream::Err),
        };
        let cleaned = stream.is_terminal().then(|| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.split_inclusive('\n');
            lines
                .map(|l| {
                    text::clean(l.trim_end_matches('\n'))
                        + if l.ends_with('\n') { "\n" } else { "" }
                })
                .collect::<String>()
        });
        let bytes = cleaned.as_ref().map_or(bytes, String::as_bytes);
        match stream {
            Stream::Out => write(&mut stdout(), bytes),
            Stream::Err => write(&mut stderr(), bytes),
        }
    }

    /// Prints a value as one line of JSON on stdout.
    pub fn print_json<T: Serialize>(&self, value: &T) {
        self.print(&json::line(value));
    }

    /// Prints a status: a table, or one JSON object.
    pub fn print_status(&self, status: &Status) {
        if self.json {
            self.print_json(status);
        } else {
            self.print(&status_view::render(status, &self.screen()));
        }
    }

    /// Prints a status in the place of the one before (`--watch`): on a terminal it is cleared first, elsewhere each
    /// one follows after its time. False: nobody reads it any more.
    pub fn print_status_again(&self, status: &Status) -> bool {
        let text = if self.json {
            json::line(status)
        } else {
            let before = if Stream::Out.is_terminal() && !screen::is_dumb() {
                "\x1b[2J\x1b[H".to_owned()
            } else {
                format!("\n{}\n", text::rfc3339(SystemTime::now()))
            };
            before + &status_view::render(status, &self.screen())
        };
        write(&mut stdout(), &text)
    }

    /// Prints a plan: stages and steps, or one JSON object.
    pub fn print_plan(&self, plan: &PlanView) {
        if self.json {
            self.print_json(plan);
        } else {
            self.print(&plan_view::render(plan, &self.screen()));
        }
    }

    /// Prints what `check` found, or one JSON object.
    pub fn print_check(&self, view: &check_view::CheckView) {
        if self.json {
            self.print_json(view);
        } else if !self.quiet || !view.ok {
            self.print(&check_view::render(view, &self.screen()));
        }
    }

    /// Prints what a reset takes away, or one JSON object.
    pub fn print_reset(&self, view: &reset_view::ResetView) {
        if self.json {
            self.print_json(view);
        } else {
            self.print(&reset_view::render(view, &self.screen()));
        }
    }

    /// Asks on the terminal. `None`: there was no answer.
    pub fn ask(&self, question: &str) -> Option<String> {
        write(&mut stderr(), &format!("\n{question} "));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).ok()?;
        (read > 0).then_some(answer)
    }

    /// Prints an error on stderr, with `--json` too: stdout is for the events alone.
    pub fn print_failure(&self, failure: &Failure) {
        let screen = Screen::of(Stream::Err, self.color);
        let screen = screen.unbroken_unless(Stream::Err.is_terminal());
        write(&mut stderr(), &error::render(failure, &screen));
        run_log::add(&error::render(failure, &Screen::file().unbroken_unless(false)));
    }
}

impl Look {
    /// Prints text on stderr, such as what is wrong with the inventory.
    pub fn print_error(&self, text: &str) {
        write(&mut stderr(), &format!("{}\n", text.trim_end()));
    }
}

/// How soon it is noticed that nobody reads stdout any more.
const HEARD: Duration = Duration::from_millis(300);

/// Resolves when nobody reads stdout any more, as after `| head`: whoever only passes on what comes may wait long for
/// something to write. Never, where it is a file or a terminal that is there.
pub async fn unheard() {
    loop {
        tokio::time::sleep(HEARD).await;
        let out = stdout();
        // a pipe without a reader is an error without being asked for: poll(2)
        let mut fds = [PollFd::new(&out, PollFlags::empty())];
        let asked = poll(&mut fds, Some(&Timespec::default()));
        if asked.is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
    }
}

/// Somebody who is told what happens.
trait Reporter: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time passed; whoever shows it may do so.
    fn tick(&mut self) {}
    /// Nothing more will come.
    fn end(&mut self) {}
}

/// How often bars move: quick enough to look alive, slow enough to cost nothing over SSH.
const TICK: Duration = Duration::from_millis(100);

/// Shows `events` until nobody can send any more, and writes them to the log file if they are `logged`: what only looks
/// leaves no trace. Await it before anything else is printed.
pub async fn run(
    look: Look,
    terminal: Terminal,
    mut events: mpsc::UnboundedReceiver<Event>,
    logged: bool,
) {
    let mut reporter = reporter(look, terminal);
    let mut log = logged.then(run_log::begin).and_then(|begun| match begun {
        Ok(log) => {
            let clock = Box::new(SystemTime::now);
            Some(lines::Lines::new(log, clock, Screen::file(), false, true))
        }
        Err(why) => {
            let message = format!("this run has no log file: {why}");
            reporter.event(&Event::Warning { node: None, message });
            None
        }
    });
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            // first what happened, then the drawing of it
            biased;
            event = events.recv() => match event {
                Some(event) => {
                    reporter.event(&event);
                    if let Some(log) = &mut log {
                        log.event(&event);
                    }
                }
                None => break,
            },
            _ = ticks.tick() => reporter.tick(),
        }
    }
    reporter.end();
}

fn reporter(look: Look, terminal: Terminal) -> Box<dyn Reporter> {
    let clock = Box::new(SystemTime::now);
    let verbose = look.verbose > 0;
    match look.mode() {
        Mode::Bars => Box::new(bars::Bars::new(terminal.bars, look.color, verbose)),
        Mode::Json => Box::new(Json(stdout())),
        Mode::Lines if look.quiet => {
            let screen = Screen::of(Stream::Err, look.color);
            Box::new(lines::Lines::new(stderr(), clock, screen, true, verbose))
        }
        Mode::Lines => Box::new(lines::Lines::new(stdout(), clock, look.screen(), false, verbose)),
    }
}

/// Events as they are.
struct Json<W>(W);

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, event: &Event) {
        write(&mut self.0, &json::line(event));
    }
}

/// Writes and flushes. A stream that nobody reads any more must not stop work that others wait for: it is false then.
fn write(out: &mut impl Write, text: &(impl AsRef<[u8]> + ?Sized)) -> bool {
    out.write_all(text.as_ref()).and_then(|()| out.flush()).is_ok()
}
