//! Errors as a person reads them: what failed, why, what the daemon said last, and what to do next.

use serde::Serialize;

use crate::plan::Refusal;

use super::screen::{Screen, Tone};
use super::text::{clean, clean_lines, put};

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
    push_block(&mut out, &screen.paint(Tone::Loud, "error:"), &failure.what);
    for cause in &failure.causes {
        push_block(&mut out, &format!("  {}", screen.paint(Tone::Bad, "caused by:")), cause);
    }
    out.push_str(&quote(&failure.log, 2, screen));
    if let Some(hint) = &failure.hint {
        push_block(&mut out, &screen.paint(Tone::Good, "hint:"), hint);
    }
    out
}

/// Quoted lines of a log, each behind a rule.
pub(super) fn quote(log: &[String], indent: usize, screen: &Screen) -> String {
    let rule = screen.paint(Tone::Dim, screen.marks().quote);
    let mut out = String::new();
    for line in log.iter().flat_map(|l| clean_lines(l)) {
        out.push_str(format!("{:indent$}{rule} {line}", "").trim_end());
        out.push('\n');
    }
    out
}

/// A label with its text; the text's further lines stand below, indented. Nothing is wrapped: a path or a command that
/// is broken cannot be copied.
fn push_block(out: &mut String, label: &str, text: &str) {
    let mut lines = clean_lines(text).filter(|l| !l.is_empty());
    put(out, format_args!("{label} {}", lines.next().unwrap_or_default()));
    for line in lines {
        out.push_str("\n      ");
        out.push_str(&line);
    }
    out.push('\n');
}

/// Why there is no plan, a failure for each reason.
pub fn of_refusal(refusal: &Refusal) -> impl Iterator<Item = Failure> + '_ {
    refusal.findings.iter().map(|finding| Failure {
        what: format!("{}: {}", finding.node, finding.what),
        hint: Some(finding.hint.clone()),
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
