//! Errors as a person reads them: what failed, why, what the daemon said last, and what to do next.

use serde::Serialize;

use crate::plan::Refusal;

use super::screen::{Screen, Tone};
use super::text::{clean, clean_lines, pieces, put, wrap};

/// An error to show. Plain data, so that whoever holds the error decides what of it is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What failed, in one sentence.
    pub what: String,
    /// Why, and why that, outermost first.
    pub causes: Vec<String>,
    /// The last lines of the log of the daemon concerned.
    pub log: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

/// Renders an error:
///
/// ```text
/// error: node B2: start osd-1 failed
///   caused by: the container exited with status 1
///   │ last lines of the log
/// hint: …
/// ```
pub fn render(failure: &Failure, screen: &Screen) -> String {
    let mut out = String::new();
    push_block(&mut out, (Tone::Loud, "error:"), &failure.what, screen);
    for cause in &failure.causes {
        push_block(&mut out, (Tone::Bad, "  caused by:"), cause, screen);
    }
    out.push_str(&quote(&failure.log, 2, screen));
    if let Some(hint) = &failure.hint {
        push_block(&mut out, (Tone::Good, "hint:"), hint, screen);
    }
    out
}

/// Quoted lines of a log, each behind a rule; a longer one goes on below, further in.
pub(super) fn quote(log: &[String], indent: usize, screen: &Screen) -> String {
    let rule = screen.paint(Tone::Dim, screen.marks().quote);
    let width = screen.width.saturating_sub(indent + 4);
    let mut out = String::new();
    for line in log.iter().flat_map(|l| clean_lines(l)) {
        // what fits keeps its spaces
        let lines = if line.chars().count() <= width + 2 { vec![line] } else { wrap(&line, width) };
        for (i, line) in lines.iter().enumerate() {
            let line = if i == 0 { line.clone() } else { format!("  {line}") };
            out.push_str(format!("{:indent$}{rule} {line}", "").trim_end());
            out.push('\n');
        }
        if lines.is_empty() {
            put(&mut out, format_args!("{:indent$}{rule}\n", ""));
        }
    }
    out
}

/// A label with its text; what follows on further lines is indented. Paths, and commands in backticks, are not broken:
/// they are there to be copied. Lines that the text itself has after its first are left whole.
fn push_block(out: &mut String, (tone, label): (Tone, &str), text: &str, screen: &Screen) {
    const INDENT: usize = 6;
    let (begin, word) = label.split_at(label.len() - label.trim_start().len());
    put(out, format_args!("{begin}{}", screen.paint(tone, word)));
    let mut used = label.chars().count();
    let lines = clean_lines(text).filter(|l| !l.is_empty());
    for (number, line) in lines.enumerate() {
        if number > 0 {
            put(out, format_args!("\n{:INDENT$}{line}", ""));
            continue;
        }
        for (i, word) in pieces(&line).iter().enumerate() {
            let wide = word.chars().count();
            // the first word stands behind the label, however long it is
            if i == 0 || used + 1 + wide <= screen.width {
                put(out, format_args!(" {word}"));
                used += 1 + wide;
            } else {
                put(out, format_args!("\n{:INDENT$}{word}", ""));
                used = INDENT + wide;
            }
        }
    }
    out.push('\n');
}

/// Why there is no plan, a failure for each reason. What is to be done about several in a row is said once, below them.
pub fn of_refusal(refusal: &Refusal) -> impl Iterator<Item = Failure> + '_ {
    let next = refusal.findings.iter().skip(1).map(Some).chain([None]);
    refusal.findings.iter().zip(next).map(|(finding, next)| Failure {
        what: format!("{}: {}", finding.node, finding.what),
        hint: next.is_none_or(|n| n.hint != finding.hint).then(|| finding.hint.clone()),
        ..Failure::default()
    })
}

/// A failed step as a failure.
pub(super) fn of_step(
    node: &str,
    what: &str,
    error: &str,
    log: &[String],
    hint: Option<&String>,
) -> Failure {
    Failure {
        what: format!("{node}: {} failed", clean(what)),
        causes: vec![error.to_owned()],
        log: log.to_vec(),
        hint: hint.cloned(),
    }
}
