//! Every place where an error's sentence is made.
//!
//! A place is a structure with a field for such a sentence, an error's variant with words in it, `Err` of words and its
//! like. What is made of a function's own argument is made where that function is called, so there is the place:
//! `HostError::new` is no more than such a function, and so is a closure that a function makes for itself.

use std::collections::{BTreeSet, HashMap, HashSet};

use syn::Expr;
use syn::visit::Visit;

use crate::reader::Reader;
use crate::scope::{Env, Frames, Scope};
use crate::source::Source;
use crate::text::{Piece, Text};

mod walk;

/// What a part of an error is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// What was seen.
    What,
    /// Why that is bad, or came about.
    Why,
    /// What to do.
    Hint,
}

/// What fields with such sentences are called.
fn role(field: &str) -> Option<Role> {
    Some(match field {
        "what" | "message" | "said" => Role::What,
        "why" => Role::Why,
        "hint" | "fix" | "remedy" | "cure" => Role::Hint,
        _ => return None,
    })
}

/// Structures with such fields that tell of no error.
const NO_ERRORS: &[&str] = &[
    "Step",         // of a plan: what it does and why
    "StepStarted",  // the same, when it is done
    "StepFinished", // the same
    "StepProgress", // how far it is
    "Progress",     // how far the cluster is
    "StepView",     // a plan's, for the screen
    "Drift",        // what `status` lists as not as planned
    "Request",      // to an SSH connection's thread
    "Turn",         // of the proof across nodes
    "Login",        // how far a login is
];

/// Of what has an error's words as its argument.
const WORDS: &[&str] = &["Err", "Unknown", "Down"];
/// The same for methods; closures are looked into.
const WORDS_OF_METHODS: &[&str] = &["ok_or", "ok_or_else", "map_err"];
/// Lists of reasons.
const LISTS: &[&str] = &["tried", "wrong", "differs"];

/// One error that can be made at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) what: Option<Text>,
    pub(crate) why: Option<Text>,
    pub(crate) hint: Option<Text>,
}

impl Sentence {
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Text> {
        [&self.what, &self.why, &self.hint].into_iter().flatten()
    }

    /// Whether it has words of its own.
    pub(crate) fn speaks(&self) -> bool {
        self.texts().any(Text::speaks)
    }

    /// What it passes on, as the source calls it.
    pub(crate) fn names(&self) -> Vec<String> {
        let pieces = self.texts().flat_map(|t| &t.pieces);
        let name = |piece: &Piece| match piece {
            Piece::Hole { name, .. } => Some(format!("`{name}`")),
            Piece::Text(_) => None,
        };
        pieces.filter_map(name).collect()
    }
}

/// A place.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) file: &'static str,
    pub(crate) function: String,
    /// What is made, such as `HostError`.
    pub(crate) kind: String,
    pub(crate) sentences: Vec<Sentence>,
    id: usize,
}

/// What is made of a function's arguments.
#[derive(Clone)]
struct Made {
    kind: String,
    parts: Vec<(Role, &'static Expr, Scope)>,
    /// It adds to an error that there is.
    adds: bool,
    /// The place.
    id: usize,
    file: &'static str,
    function: String,
    /// In the order in which they were found.
    number: usize,
}

impl Made {
    fn of(kind: &str, parts: Vec<(Role, &'static Expr, Scope)>) -> Self {
        Self {
            kind: kind.into(),
            parts,
            adds: false,
            id: 0,
            file: "",
            function: String::new(),
            number: 0,
        }
    }
}

/// All places.
pub(crate) struct Sites<'s> {
    pub(crate) reader: Reader<'s>,
    pub(crate) found: Vec<Site>,
    pub(crate) calls: HashMap<String, usize>,
    /// Macros that name an error and could not be read.
    pub(crate) unread: BTreeSet<String>,
    made: HashMap<usize, Vec<Made>>,
    /// Functions that are called.
    reached: HashSet<usize>,
    scope: Scope,
    function: Vec<(String, usize)>,
    /// Part of another place.
    taken: HashSet<usize>,
    /// How often a value was used, and how often to add to it.
    uses: HashMap<usize, (usize, usize)>,
}

impl<'s> Sites<'s> {
    /// Looks through all of the source until nothing new is made of arguments.
    pub(crate) fn of(source: &'s Source) -> Self {
        let scope = Scope { file: "", owner: None, env: Env::default(), frames: Frames::default() };
        let reader = Reader {
            source,
            returns: HashMap::new().into(),
            busy: Vec::new().into(),
            unread: BTreeSet::new().into(),
        };
        let mut sites = Self {
            reader,
            found: Vec::new(),
            calls: HashMap::new(),
            unread: BTreeSet::new(),
            made: HashMap::new(),
            reached: HashSet::new(),
            scope,
            function: Vec::new(),
            taken: HashSet::new(),
            uses: HashMap::new(),
        };
        loop {
            let known: usize = sites.made.values().map(Vec::len).sum();
            let returns = sites.reader.returns.borrow().len();
            sites.round();
            let more = sites.made.values().map(Vec::len).sum::<usize>() > known;
            if !more && sites.reader.returns.borrow().len() == returns {
                break;
            }
        }
        sites.unreached();
        sites.found.sort_by_key(|site| site.file); // those of a file stay in its order
        let (taken, uses) = (&sites.taken, &sites.uses);
        sites.found.retain(|s| {
            let only_added_to = uses.get(&s.id).is_some_and(|(all, added)| all == added);
            !taken.contains(&s.id) && !only_added_to
        });
        sites
    }

    /// What is made of arguments that nobody is seen to give, as of a closure that another function calls.
    fn unreached(&mut self) {
        let made = self.made.iter().filter(|(frame, _)| !self.reached.contains(frame));
        let mut all: Vec<Made> =
            made.flat_map(|(_, all)| all.clone()).filter(|m| !m.adds).collect();
        all.sort_by_key(|made| made.number);
        for made in all {
            let mut sentence = Sentence { what: None, why: None, hint: None };
            for (role, expr, scope) in &made.parts {
                let said = self.reader.read(expr, scope).into_iter().find(|t| !t.absent);
                match role {
                    Role::What => sentence.what = said,
                    Role::Why => sentence.why = said,
                    Role::Hint => sentence.hint = said,
                }
            }
            let Made { kind, id, file, function, .. } = made;
            if kind != "reason" {
                let sentences = vec![sentence];
                self.found.push(Site { file, function, kind, sentences, id });
            }
        }
    }

    fn round(&mut self) {
        self.found.clear();
        self.calls.clear();
        self.taken.clear();
        self.uses.clear();
        for (path, file) in &self.reader.source.files {
            self.scope = Scope { file: path, owner: None, ..self.scope.clone() };
            self.scope.env = Env::default();
            file.items.iter().for_each(|item| self.visit_item(item));
        }
    }

    /// Notes what a place makes, or that it makes it of an argument.
    fn note(&mut self, id: usize, made: Made) {
        let read: Vec<(Role, Vec<Text>)> = made
            .parts
            .iter()
            .map(|(role, expr, scope)| (*role, self.reader.read(expr, scope)))
            .collect();
        let mut sentences: Vec<(Sentence, Vec<Text>)> =
            vec![(Sentence { what: None, why: None, hint: None }, Vec::new())];
        for (role, texts) in read {
            if texts.is_empty() {
                continue;
            }
            let mut all = Vec::new();
            for (sentence, with) in &sentences {
                for text in texts.iter().filter(|t| with.iter().all(|w| w.goes_with(t))) {
                    let mut next = sentence.clone();
                    let said = (!text.absent).then(|| text.clone());
                    match role {
                        Role::What => next.what = said,
                        Role::Why => next.why = said,
                        Role::Hint => next.hint = said,
                    }
                    let with = with.iter().chain([text]).cloned().collect();
                    all.push((next, with));
                }
            }
            sentences = all;
        }
        let mut here = Vec::new();
        for (sentence, texts) in sentences {
            // by whom, if it is an argument as a whole
            let argument = texts.iter().find_map(Text::argument).map(|(frame, _)| frame);
            match argument {
                Some(frame) => {
                    let (file, function) = (self.scope.file, self.name());
                    let number = self.made.values().map(Vec::len).sum();
                    let all = self.made.entry(frame).or_default();
                    if !all.iter().any(|m| m.id == id && m.kind == made.kind) {
                        all.push(Made { id, file, function, number, ..made.clone() });
                    }
                }
                None if !here.contains(&sentence) => here.push(sentence),
                None => {}
            }
        }
        if made.kind == "reason" || made.adds {
            here.retain(Sentence::speaks); // they pass on what another place made
        }
        if here.is_empty() {
            return;
        }
        let (file, function, kind) = (self.scope.file, self.name(), made.kind);
        self.found.push(Site { file, function, kind, sentences: here, id });
    }

    fn name(&self) -> String {
        self.function.last().map_or(String::new(), |(name, _)| name.clone())
    }

    fn part(&self, role: Role, expr: &'static Expr) -> (Role, &'static Expr, Scope) {
        (role, expr, self.scope.clone())
    }

    /// What a call makes of its arguments: as it is made there, said here.
    fn called(&mut self, id: usize, frame: usize, arguments: &[&'static Expr], more: &Added) {
        self.reached.insert(frame);
        for made in self.made.get(&frame).cloned().unwrap_or_default() {
            let caller = self.scope.clone();
            let parts = made.parts.into_iter().map(|(role, expr, scope)| {
                (role, expr, scope.called(frame, arguments.to_vec(), &caller))
            });
            let parts: Vec<_> = parts.chain(more.iter().cloned()).collect();
            self.note(id, Made { parts, ..made });
        }
    }

    /// The function or closure that a call leads to.
    fn target(&self, expr: &'static Expr) -> Option<(usize, Vec<&'static Expr>)> {
        match expr {
            Expr::Call(it) => {
                let (frame, _) = self.reader.callee(it, &self.scope)?;
                Some((frame, it.args.iter().collect()))
            }
            Expr::MethodCall(it) => {
                let name = it.method.to_string();
                let all =
                    self.reader.source.called(self.scope.file, None, &name, it.args.len(), true);
                let makes = |id: &usize| self.made.contains_key(id);
                let id = all.iter().map(|f| f.id()).find(makes)?;
                Some((id, it.args.iter().collect()))
            }
            _ => None,
        }
    }

    fn adds(&self, frame: usize) -> bool {
        self.made.get(&frame).is_some_and(|all| all.iter().any(|m| m.adds))
    }
}

type Added = Vec<(Role, &'static Expr, Scope)>;
