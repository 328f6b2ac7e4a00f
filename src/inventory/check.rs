//! Collects problems while the tree is walked, and knows what must not be shown of it.

use std::path::{Path, PathBuf};

use super::problem::{Level, Problem, quoted};
use super::schema::{self, Section};
use super::secrets;
use super::tree::{Key, Node, Span, Value};
use super::values::Wrong;

/// Something with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// The thing.
    pub(super) it: T,
    /// Its place.
    pub(super) span: Span,
}

/// The problems found so far, and what is needed to read values.
pub(super) struct Check<'t> {
    text: &'t str,
    folder: PathBuf,
    home: Option<PathBuf>,
    hidden: Vec<Span>,
    found: Vec<(Level, Span, Wrong)>,
}

impl<'t> Check<'t> {
    /// Nothing found yet in `text`, the inventory at `path`.
    pub(super) fn new(text: &'t str, path: &Path, home: Option<&Path>, hidden: Vec<Span>) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { text, folder, home: home.map(Path::to_owned), hidden, found: Vec::new() }
    }

    /// Notes an error.
    pub(super) fn error(&mut self, at: Span, message: impl Into<String>, fix: impl Into<String>) {
        self.found.push((Level::Error, at, Wrong::new(message, fix)));
    }

    /// Notes a warning.
    pub(super) fn warning(&mut self, at: Span, message: impl Into<String>, fix: impl Into<String>) {
        self.found.push((Level::Warning, at, Wrong::new(message, fix)));
    }

    /// The value, or its problem noted at `at`.
    pub(super) fn note<T>(&mut self, at: Span, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.found.push((Level::Error, at, wrong))).ok()
    }

    /// The line of a place, from 1, for "already used on line …".
    pub(super) fn line(&self, at: Span) -> usize {
        1 + self.text[..at.start].matches('\n').count()
    }

    /// The home folder, for defaults under it.
    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// A path as the user means it: `~` is the home folder, relative ones start at the inventory's folder.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Wrong::new("this is not a path", "write the path of a file"));
        }
        let Some(rest) = text.strip_prefix('~') else { return Ok(self.folder.join(text)) };
        match (&self.home, rest.strip_prefix('/')) {
            (Some(home), _) if rest.is_empty() => Ok(home.clone()),
            (Some(home), Some(rest)) => Ok(home.join(rest)),
            (None, _) => Err(Wrong::new(
                "`~` means nothing here: the home folder is not known",
                "set HOME, or write the whole path",
            )),
            (_, None) => Err(Wrong::new(
                "`~` followed by a user's name is not understood",
                "write the whole path, or `~/…` for your own home folder",
            )),
        }
    }

    /// The fields of the mapping `node`, with unknown and duplicate ones noted. `at` is where to say that one is missing.
    /// `None` (and a problem) if it is no mapping.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        at: Span,
        section: &'static Section,
    ) -> Option<Fields<'n>> {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => {
                return Some(Fields { at, section, entries: Vec::new(), meant: Vec::new() });
            }
            Value::Scalar(_) | Value::Seq(_) => {
                let message = format!("{} is a mapping of fields", section.title);
                let fix = format!(
                    "write `field: value` lines; it knows {}",
                    schema::listed(&section.names())
                );
                self.error(node.span, message, fix);
                return None;
            }
        };
        let (mut known, mut meant) = (Vec::new(), Vec::new());
        for (key, value) in self.unique(entries) {
            if section.has(&key.name) {
                known.push((key, value));
            } else if section.title == schema::REGISTRY.title && key.name == "password" {
                meant.push("password_file");
                self.error(
                    key.span,
                    "a password does not belong in the inventory",
                    "put it in a file and name that with `password_file: ./registry-password`, or name an environment \
                     variable with `password_env: REGISTRY_PASSWORD`",
                );
            } else {
                meant.extend(schema::meant(section, &key.name));
                let message = format!("{} has no field {}", section.title, quoted(&key.name));
                self.error(key.span, message, schema::instead_of(section, &key.name));
            }
        }
        Some(Fields { at, section, entries: known, meant })
    }

    /// The first of each key; the others are noted.
    pub(super) fn unique<'n>(&mut self, entries: &'n [(Key, Node)]) -> Vec<(&'n Key, &'n Node)> {
        let mut first: Vec<(&Key, &Node)> = Vec::new();
        for (key, value) in entries {
            if let Some((earlier, _)) = first.iter().find(|(k, _)| k.name == key.name) {
                let line = self.line(earlier.span);
                self.error(
                    key.span,
                    format!("{} is given twice, first on line {line}", quoted(&key.name)),
                    "keep one of the two",
                );
            } else {
                first.push((key, value));
            }
        }
        first
    }

    /// The text of a plain value; anything else is noted, with `example` as the fix.
    pub(super) fn scalar<'n>(
        &mut self,
        name: &str,
        node: &'n Node,
        example: &str,
    ) -> Option<&'n str> {
        let is = match &node.value {
            Value::Scalar(text) => return Some(text),
            Value::Null => "is empty",
            Value::Seq(_) => "is a single value, not a list",
            Value::Map(_) => "is a single value, not a mapping",
        };
        self.error(node.span, format!("`{name}` {is}"), format!("write `{name}: {example}`"));
        None
    }

    /// The field `name`, read by `read`; `None` if it is absent, empty or wrong, which is noted.
    pub(super) fn optional<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        example: &str,
        read: impl FnOnce(&Self, &str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        let (_, node) = fields.get(name)?;
        let text = self.scalar(name, node, example)?;
        let result = read(self, text).map_err(|wrong| {
            if !self.hidden.contains(&node.span) {
                return wrong;
            }
            // what is hidden on its line must not be quoted in words
            let message = format!("`{name}` seems to hold a password, which has no place here");
            Wrong::new(message, format!("write `{name}: {example}`"))
        });
        let it = self.note(node.span, result)?;
        Some(At { it, span: node.span })
    }

    /// The same for a field that must be there.
    pub(super) fn required<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        example: &str,
        read: impl FnOnce(&Self, &str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        if fields.get(name).is_none() {
            self.missing(fields, name, &format!("add `{name}: {example}`"));
        }
        self.optional(fields, name, example, read)
    }

    /// Notes that the required field `name` is missing or empty, unless a misspelt one was told already.
    pub(super) fn missing(&mut self, fields: &Fields<'_>, name: &'static str, fix: &str) {
        if fields.is_meant(name) {
            return;
        }
        let (at, is) = match fields.entries.iter().find(|(key, _)| key.name == name) {
            Some((key, _)) => (key.span, "is empty"),
            None => (fields.at, "is missing"),
        };
        self.error(at, format!("{}: `{name}` {is}", fields.section.title), fix);
    }

    /// A place to say something of later, when all else is known to be good.
    pub(super) fn place(&self, at: Span) -> Problem {
        at_place(self.text, &self.hidden, at, Level::Error, Wrong::new("", ""))
    }

    /// Whether an error was noted.
    pub(super) fn failed(&self) -> bool {
        self.found.iter().any(|(level, ..)| *level == Level::Error)
    }

    /// All problems in the order of the file. One that comes from several uses of an alias is told once.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(_, span, _)| span.start);
        let mut problems: Vec<Problem> = Vec::new();
        for (level, span, wrong) in self.found {
            let problem = at_place(self.text, &self.hidden, span, level, wrong);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }
}

/// A problem with its line, of which `hidden` parts are starred out.
pub(super) fn at_place(
    text: &str,
    hidden: &[Span],
    span: Span,
    level: Level,
    wrong: Wrong,
) -> Problem {
    let before = &text[..span.start];
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = &text[begin..];
    let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let shown = secrets::starred(line, begin, hidden);
    let column = 1 + text[begin..span.start].chars().count();
    let end = span.end.min(begin + line.len()).max(span.start);
    Problem {
        level,
        line: 1 + before.matches('\n').count(),
        column,
        length: text[span.start..end].chars().count(),
        text: Some(shown),
        message: wrong.message,
        fix: wrong.fix,
    }
}

/// The known fields of a mapping.
pub(super) struct Fields<'n> {
    /// Where to say that one is missing.
    pub(super) at: Span,
    section: &'static Section,
    entries: Vec<(&'n Key, &'n Node)>,
    meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Whether an unknown field of the mapping was probably meant to be `name`.
    pub(super) fn is_meant(&self, name: &str) -> bool {
        self.meant.contains(&name)
    }

    /// The field `name`, unless it is absent or empty.
    pub(super) fn get(&self, name: &'static str) -> Option<(&'n Key, &'n Node)> {
        debug_assert!(self.section.has(name), "{name} is not in the schema");
        self.entries
            .iter()
            .find(|(key, node)| key.name == name && !matches!(node.value, Value::Null))
            .copied()
    }
}
