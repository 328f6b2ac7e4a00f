//! What is wrong with an inventory, and where: one [`Problem`] each, all of them together as [`Problems`].

use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level as Severity, Origin, Renderer, Snippet};
use serde::Serialize;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The inventory cannot be used.
    Error,
    /// It can, but probably not to the user's liking.
    Warning,
}

/// One thing that is wrong, with its place and what to write instead. Holds all that is needed to show it, and no
/// secret: values that may be one are starred out in [`Problem::text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Error or warning.
    pub level: Level,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line it concerns; 0 for a mere place.
    pub length: usize,
    /// The offending line. `None` where the file as a whole is meant (it is missing, say).
    pub text: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead.
    pub fix: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(super) fn of_file(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            line: 1,
            column: 1,
            length: 0,
            text: None,
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The problem as a compiler would show it, without a newline at the end: `path:line:column`, the line with the
    /// place marked, and the fix as help. `color` adds ANSI escapes.
    pub fn render(&self, path: &Path, color: bool) -> String {
        let level = match self.level {
            Level::Error => Severity::ERROR,
            Level::Warning => Severity::WARNING,
        };
        let path = visible(&path.to_string_lossy());
        let group = Group::with_title(level.primary_title(&self.message));
        let group = match self.text.as_deref() {
            None => group.element(Origin::path(path)),
            Some(text) if text.trim().is_empty() => {
                group.element(Origin::path(path).line(self.line).char_column(self.column))
            }
            Some(text) => {
                let start = byte_of_char(text, self.column - 1);
                let end = byte_of_char(text, self.column - 1 + self.length);
                let mark = AnnotationKind::Primary.span(start..end);
                group.element(
                    Snippet::source(text).line_start(self.line).path(path).annotation(mark),
                )
            }
        };
        let group = group.element(Severity::HELP.message(&self.fix));
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown = renderer.render(&[group]);
        // the renderer pads lines to its margins
        shown.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// Everything that is wrong with an inventory, in the order of the file, warnings included; at least one is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.render(false))]
pub struct Problems {
    /// The inventory's path as the user gave it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// A single problem of the file as a whole.
    pub(super) fn of_file(path: &Path, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problems: vec![Problem::of_file(message, fix)] }
    }

    /// Every problem as [`Problem::render`] shows it, with an empty line between two.
    pub fn render(&self, color: bool) -> String {
        let shown: Vec<_> = self.problems.iter().map(|p| p.render(&self.path, color)).collect();
        shown.join("\n\n")
    }
}

/// `text` with control characters and those that turn the direction of writing escaped, so that a file cannot draw on
/// the terminal.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turning = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
        if c.is_control() || turning {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` in backticks, made harmless and short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown = visible(text);
    match shown.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("`{}…`", &shown[..cut]),
        None => format!("`{shown}`"),
    }
}

fn byte_of_char(text: &str, index: usize) -> usize {
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
}
