//! What is written on: its size, and whether it shows colours and more than ASCII.

use std::env;
use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};

use rustix::termios::tcgetwinsize;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always, in files and pipes too.
    Always,
    /// Never.
    Never,
}

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Whether it is a terminal.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Out => stdout().is_terminal(),
            Self::Err => stderr().is_terminal(),
        }
    }

    /// Columns and rows, where it is a terminal that says.
    fn size(self) -> Option<(usize, usize)> {
        let size = match self {
            Self::Out => tcgetwinsize(stdout()),
            Self::Err => tcgetwinsize(stderr()),
        };
        let size = size.ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
    }
}

/// What a rendered text may use. Rendering asks nothing else of the world, so a test can stand in for any terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// In rows.
    pub height: usize,
    /// Whether colours are shown.
    pub color: bool,
    /// Whether the locale is UTF-8; else marks are ASCII.
    pub unicode: bool,
}

impl Screen {
    /// A file.
    pub fn file() -> Self {
        Self { width: 100, height: 24, color: false, unicode: true }
    }

    /// The same for text that is not broken where nobody looks at it on a terminal: a script looks for whole sentences.
    #[must_use]
    pub fn unbroken_unless(self, terminal: bool) -> Self {
        if terminal { self } else { Self { width: usize::MAX, ..self } }
    }

    /// The screen behind `stream`, as it is now: a terminal's size changes.
    pub fn of(stream: Stream, color: Color) -> Self {
        let columns = || env::var("COLUMNS").ok()?.parse().ok().filter(|n| *n > 0);
        let (width, height) = stream.size().unwrap_or_else(|| (columns().unwrap_or(80), 24));
        let color = is_colored(color, stream.is_terminal(), |n| env::var_os(n));
        Self { width: width.max(MIN_WIDTH), height, color, unicode: is_utf8(|n| env::var(n).ok()) }
    }

    /// `text` in a tone, if colours are on.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Loud => "1;31",
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Plain => return text.to_owned(),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The marks that this screen can show.
    pub fn marks(&self) -> &'static Marks {
        if self.unicode { &UNICODE } else { &ASCII }
    }
}

/// Whether colours are shown: on a terminal that can, unless `NO_COLOR` is set to anything (no-color.org) or the user
/// says otherwise.
fn is_colored(color: Color, terminal: bool, var: impl Fn(&str) -> Option<OsString>) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let set = var("NO_COLOR").is_some_and(|v| !v.is_empty());
            terminal && !set && var("TERM").is_none_or(|t| t != "dumb")
        }
    }
}

/// Below this nothing fits, and lines may as well be broken by the terminal.
const MIN_WIDTH: usize = 40;

/// Whether the terminal can neither move its cursor nor colour.
pub(super) fn is_dumb() -> bool {
    env::var("TERM").is_ok_and(|t| t == "dumb")
}

/// Whether the locale is UTF-8: the first of its three variables that is set decides, as in POSIX.
fn is_utf8(var: impl Fn(&str) -> Option<String>) -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| var(n).filter(|v| !v.is_empty()));
    locale.is_some_and(|l| {
        let l = l.to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    })
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Not to be overlooked.
    Loud,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
    /// As it comes.
    Plain,
}

/// The marks of a screen.
#[derive(Debug)]
pub struct Marks {
    /// Done, healthy.
    pub ok: &'static str,
    /// Failed, unreachable.
    pub bad: &'static str,
    /// A daemon that runs.
    pub running: &'static str,
    /// A daemon that does not.
    pub stopped: &'static str,
    /// A daemon that starts again and again.
    pub restarting: &'static str,
    /// A daemon that is not there.
    pub missing: &'static str,
    /// Text was left out here.
    pub ellipsis: &'static str,
    /// Left of quoted lines.
    pub quote: &'static str,
    /// Between phrases of a line.
    pub dot: &'static str,
    /// Something is going on; one after the other.
    pub spinner: &'static [&'static str],
    /// A bar's full and empty cell.
    pub bar: (&'static str, &'static str),
}

static UNICODE: Marks = Marks {
    ok: "✔",
    bad: "✘",
    running: "●",
    stopped: "○",
    restarting: "◐",
    missing: "✘",
    ellipsis: "…",
    quote: "│",
    dot: "·",
    spinner: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    bar: ("━", "─"),
};

static ASCII: Marks = Marks {
    ok: "+",
    bad: "x",
    running: "*",
    stopped: "o",
    restarting: "~",
    missing: "x",
    ellipsis: "...",
    quote: "|",
    dot: "-",
    spinner: &["|", "/", "-", "\\"],
    bar: ("#", "-"),
};

#[cfg(test)]
mod tests {
    use super::{Color, is_colored, is_utf8};

    #[test]
    fn colours_on_a_terminal_that_can_and_only_there() {
        let with = |color, terminal, vars: &[(&str, &str)]| {
            let var = |n: &str| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).into());
            is_colored(color, terminal, var)
        };
        let xterm = ("TERM", "xterm-256color");
        for (color, terminal, vars, shown) in [
            (Color::Auto, true, &[xterm][..], true),
            (Color::Auto, false, &[xterm], false),
            (Color::Auto, true, &[xterm, ("NO_COLOR", "1")], false),
            (Color::Auto, true, &[xterm, ("NO_COLOR", "0")], false),
            (Color::Auto, true, &[xterm, ("NO_COLOR", "")], true),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Auto, true, &[], true),
            (Color::Never, true, &[xterm], false),
            (Color::Always, false, &[("TERM", "dumb"), ("NO_COLOR", "1")], true),
        ] {
            assert_eq!(with(color, terminal, vars), shown, "{color:?} {terminal} {vars:?}");
        }
    }

    #[test]
    fn first_locale_variable_that_is_set_decides() {
        let with = |vars: &[(&str, &str)]| {
            is_utf8(|n| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned()))
        };
        assert!(with(&[("LANG", "en_US.UTF-8")]));
        assert!(with(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!with(&[]));
    }
}
