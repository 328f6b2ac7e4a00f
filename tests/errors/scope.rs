//! What a name stands for where it is used.

use std::rc::Rc;

use syn::{Expr, FnArg, Item, Pat, Signature, Stmt};

/// What a name was bound to.
#[derive(Clone)]
pub(crate) enum Bound {
    /// A value, or the part of a tuple that the numbers lead to.
    To(&'static Expr, Vec<usize>, Env),
    /// The argument of this number of the function or closure with this address.
    Argument(usize, usize),
    /// Something that cannot be seen here.
    Unseen,
}

/// The names in sight, the nearest first.
#[derive(Clone, Default)]
pub(crate) struct Env(Option<Rc<Name>>);

struct Name {
    text: String,
    bound: Bound,
    outer: Env,
}

impl Env {
    #[must_use]
    pub(crate) fn with(&self, text: String, bound: Bound) -> Self {
        Self(Some(Rc::new(Name { text, bound, outer: self.clone() })))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Bound> {
        let mut here = self.0.as_ref()?;
        while here.text != name {
            here = here.outer.0.as_ref()?;
        }
        Some(here.bound.clone())
    }

    /// With the constants of a block, which are known in all of it.
    #[must_use]
    pub(crate) fn constants(&self, stmts: &'static [Stmt]) -> Self {
        let mut env = self.clone();
        for stmt in stmts {
            if let Stmt::Item(Item::Const(it)) = stmt {
                env = env.with(it.ident.to_string(), Bound::To(&it.expr, Vec::new(), self.clone()));
            }
        }
        env
    }

    /// With the names of `pat`, which takes `value` apart.
    #[must_use]
    pub(crate) fn bind(&self, pat: &'static Pat, value: Option<&'static Expr>) -> Self {
        let mut env = self.clone();
        let mut path = Vec::new();
        names(pat, &mut path, true, &mut |name, part| {
            let bound = match (value, part) {
                (Some(value), Some(way)) => Bound::To(value, way, self.clone()),
                _ => Bound::Unseen,
            };
            env = env.with(name, bound);
        });
        env
    }

    /// With the arguments of a function.
    #[must_use]
    pub(crate) fn arguments(&self, id: usize, sig: &'static Signature) -> Self {
        let typed = sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(&*typed.pat),
            FnArg::Receiver(_) => None,
        });
        self.parameters(id, typed)
    }

    /// With the arguments of a function or closure.
    #[must_use]
    pub(crate) fn parameters(&self, id: usize, pats: impl Iterator<Item = &'static Pat>) -> Self {
        let mut env = self.clone();
        for (number, pat) in pats.enumerate() {
            names(pat, &mut Vec::new(), true, &mut |name, part| {
                let whole = part.is_some_and(|p| p.is_empty());
                let bound = if whole { Bound::Argument(id, number) } else { Bound::Unseen };
                env = env.with(name, bound);
            });
        }
        env
    }
}

/// Every name in a pattern, with the way to its part through tuples alone.
fn names(
    pat: &'static Pat,
    path: &mut Vec<usize>,
    seen: bool,
    found: &mut impl FnMut(String, Option<Vec<usize>>),
) {
    match pat {
        Pat::Ident(it) => {
            found(it.ident.to_string(), seen.then(|| path.clone()));
            if let Some((_, inner)) = &it.subpat {
                names(inner, path, seen, found);
            }
        }
        Pat::Type(it) => names(&it.pat, path, seen, found),
        Pat::Paren(it) => names(&it.pat, path, seen, found),
        Pat::Reference(it) => names(&it.pat, path, seen, found),
        Pat::Guard(it) => names(&it.pat, path, seen, found),
        Pat::Tuple(it) => {
            for (number, inner) in it.elems.iter().enumerate() {
                path.push(number);
                names(inner, path, seen, found);
                path.pop();
            }
        }
        Pat::TupleStruct(it) => {
            // what is in a `Some` is what the whole is, if it is
            let some = it.path.is_ident("Some");
            it.elems.iter().for_each(|inner| names(inner, path, seen && some, found));
        }
        Pat::Struct(it) => it.fields.iter().for_each(|f| names(&f.pat, path, false, found)),
        Pat::Slice(it) => it.elems.iter().for_each(|inner| names(inner, path, false, found)),
        Pat::Or(it) => it.cases.iter().for_each(|inner| names(inner, path, false, found)),
        _ => {}
    }
}

/// What the arguments of the functions and closures on the way to a sentence are, the nearest first.
#[derive(Clone, Default)]
pub(crate) struct Frames(Vec<Rc<Frame>>);

struct Frame {
    id: usize,
    arguments: Vec<&'static Expr>,
    scope: Scope,
}

/// A place in the source.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) file: &'static str,
    pub(crate) owner: Option<String>,
    pub(crate) env: Env,
    pub(crate) frames: Frames,
}

impl Scope {
    /// The scope of what is called with `arguments` from `caller`.
    #[must_use]
    pub(crate) fn called(&self, id: usize, arguments: Vec<&'static Expr>, caller: &Self) -> Self {
        let mut frames = vec![Rc::new(Frame { id, arguments, scope: caller.clone() })];
        frames.extend(self.frames.0.iter().cloned());
        Self { frames: Frames(frames), ..self.clone() }
    }

    #[must_use]
    pub(crate) fn with(&self, env: Env) -> Self {
        Self { env, ..self.clone() }
    }

    /// What an argument is, and where it was given: there its caller's arguments may be known from here.
    pub(crate) fn argument(&self, id: usize, number: usize) -> Option<(&'static Expr, Self)> {
        let frame = self.frames.0.iter().find(|frame| frame.id == id)?;
        let mut scope = frame.scope.clone();
        for outer in self.frames.0.iter().filter(|f| f.id != id) {
            if !scope.frames.0.iter().any(|known| known.id == outer.id) {
                scope.frames.0.push(outer.clone());
            }
        }
        Some((frame.arguments.get(number)?, scope))
    }
}
