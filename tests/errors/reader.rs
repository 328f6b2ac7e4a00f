//! Reads what expressions say: through names, branches, closures and the crate's own functions.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use quote::ToTokens;
use syn::{Block, Expr, ExprMacro, Lit, ReturnType, Stmt};

use crate::sample;
use crate::scope::{Bound, Env, Scope};
use crate::source::{Function, Source, address, type_name};
use crate::text::{Part, Piece, Text, chosen, joined, once, quoted, split};

/// Names and calls on the way to a sentence: more of them go in a circle.
const DEEP: usize = 24;

/// Reads sentences.
pub(crate) struct Reader<'s> {
    pub(crate) source: &'s Source,
    /// What each function and closure gives back.
    pub(crate) returns: RefCell<HashMap<usize, Vec<(&'static Expr, Env)>>>,
    /// Functions that are being looked into.
    pub(crate) busy: RefCell<Vec<usize>>,
    /// Forms of expressions that are not understood.
    pub(crate) unread: RefCell<BTreeSet<String>>,
}

impl Reader<'_> {
    /// What `expr` may say.
    pub(crate) fn read(&self, expr: &'static Expr, scope: &Scope) -> Vec<Text> {
        self.at(expr, scope, 0)
    }

    fn at(&self, expr: &'static Expr, scope: &Scope, deep: usize) -> Vec<Text> {
        let hole = || vec![Text::hole(shown(expr))];
        match expr {
            Expr::Lit(it) => match &it.lit {
                Lit::Str(text) if text.value().is_empty() => vec![Text::absent()],
                Lit::Str(text) => vec![Text::of(text.value())],
                Lit::Char(one) => vec![Text::of(one.value())],
                _ => hole(),
            },
            Expr::Paren(it) => self.at(&it.expr, scope, deep),
            Expr::Group(it) => self.at(&it.expr, scope, deep),
            Expr::Reference(it) => self.at(&it.expr, scope, deep),
            Expr::Unary(it) => self.at(&it.expr, scope, deep),
            Expr::Block(it) => self.block(&it.block, scope, deep),
            Expr::If(it) => {
                let env = match &*it.cond {
                    Expr::Let(cond) => scope.env.bind(&cond.pat, Some(&cond.expr)),
                    _ => scope.env.clone(),
                };
                let yes = self.block(&it.then_branch, &scope.with(env), deep);
                let no = it.else_branch.as_ref().map(|(_, no)| self.at(no, scope, deep));
                chosen(address(it), [yes, no.unwrap_or_default()])
            }
            Expr::Match(it) => {
                let arm = |arm: &'static syn::Arm| {
                    let env = scope.env.bind(&arm.pat, None);
                    self.at(&arm.body, &scope.with(env), deep)
                };
                chosen(address(it), it.arms.iter().map(arm))
            }
            Expr::Path(it) => self.name(it, scope, deep),
            Expr::Macro(it) => self.formatted(it, scope, deep),
            Expr::MethodCall(it) => self.method(it, scope, deep),
            Expr::Call(it) => self.call(it, scope, deep),
            Expr::Try(it) => self.at(&it.expr, scope, deep),
            Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => Vec::new(),
            Expr::Binary(it) if matches!(it.op, syn::BinOp::Add(_)) => {
                let both = joined([self.at(&it.left, scope, deep), self.at(&it.right, scope, deep)]);
                if both.iter().any(Text::speaks) { both } else { hole() } // text, or a sum
            }
            Expr::Array(it) => {
                chosen(address(it), it.elems.iter().map(|one| self.at(one, scope, deep)))
            }
            Expr::Tuple(_) // apart, it is taken apart
            | Expr::Field(_)
            | Expr::Index(_)
            | Expr::Binary(_)
            | Expr::Cast(_)
            | Expr::Await(_)
            | Expr::Closure(_)
            | Expr::Range(_)
            | Expr::Infer(_)
            | Expr::Struct(_) => hole(),
            other => {
                self.unread.borrow_mut().insert(format!("{}: {}", scope.file, shown(other)));
                hole()
            }
        }
    }

    /// The part of a tuple that `part` leads to.
    fn part(
        &self,
        expr: &'static Expr,
        part: &[usize],
        scope: &Scope,
        deep: usize,
    ) -> Option<Vec<Text>> {
        let Some((first, rest)) = part.split_first() else {
            return Some(self.at(expr, scope, deep));
        };
        match expr {
            Expr::Paren(it) => self.part(&it.expr, part, scope, deep),
            Expr::Tuple(it) => self.part(it.elems.get(*first)?, rest, scope, deep),
            Expr::Block(it) => {
                let (last, env) = tail(&it.block, &scope.env)?;
                self.part(last, part, &scope.with(env), deep)
            }
            Expr::If(it) => {
                let (last, env) = tail(&it.then_branch, &scope.env)?;
                let yes = self.part(last, part, &scope.with(env), deep)?;
                let no = match &it.else_branch {
                    Some((_, no)) if !leaves(no) => self.part(no, part, scope, deep)?,
                    _ => Vec::new(),
                };
                Some(chosen(address(it), [yes, no]))
            }
            Expr::Match(it) => {
                let arms = it.arms.iter().map(|arm| {
                    if leaves(&arm.body) {
                        return Some(Vec::new());
                    }
                    let env = scope.env.bind(&arm.pat, None);
                    self.part(&arm.body, part, &scope.with(env), deep)
                });
                Some(chosen(address(it), arms.collect::<Option<Vec<_>>>()?))
            }
            Expr::Call(it) => {
                if let Expr::Path(path) = &*it.func
                    && path.path.is_ident("Some")
                {
                    return self.part(it.args.first()?, part, scope, deep);
                }
                let (id, inner) = self.callee(it, scope)?;
                self.given(id, part, &inner, deep)
            }
            Expr::Path(it) => match scope.env.find(&it.path.get_ident()?.to_string())? {
                Bound::To(value, outer, env) => {
                    let way: Vec<usize> = outer.iter().chain(part).copied().collect();
                    self.part(value, &way, &scope.with(env), deep)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What a function gives back, or a part of it.
    fn given(&self, id: usize, part: &[usize], scope: &Scope, deep: usize) -> Option<Vec<Text>> {
        let returns = self.returns.borrow().get(&id).cloned()?;
        if deep > DEEP || self.busy.borrow().contains(&id) {
            return None; // it calls itself
        }
        self.busy.borrow_mut().push(id);
        let each = returns.into_iter();
        let ways = each.map(|(expr, env)| self.part(expr, part, &scope.with(env), deep + 1));
        let ways = ways.collect::<Option<Vec<_>>>();
        self.busy.borrow_mut().pop();
        Some(chosen(id, ways?))
    }

    fn block(&self, block: &'static Block, scope: &Scope, deep: usize) -> Vec<Text> {
        match tail(block, &scope.env) {
            Some((last, env)) => self.at(last, &scope.with(env), deep),
            None => Vec::new(),
        }
    }

    fn name(&self, it: &'static syn::ExprPath, scope: &Scope, deep: usize) -> Vec<Text> {
        let last = it.path.segments.last().expect("a name").ident.to_string();
        if last == "None" {
            return vec![Text::absent()];
        }
        if deep > DEEP {
            return vec![Text::hole(last)];
        }
        let deep = deep + 1;
        let bound = it.path.get_ident().and_then(|_| scope.env.find(&last));
        match bound {
            Some(Bound::To(value, part, env)) => {
                let said = self.part(value, &part, &scope.with(env), deep);
                let named = |text: Text| match text.pieces.as_slice() {
                    [Piece::Hole { argument: None, .. }, ..] if !text.speaks() => {
                        Text { pieces: Text::hole(&last).pieces, ..text }
                    }
                    _ => text,
                };
                said.map_or_else(
                    || vec![Text::hole(&last)],
                    |all| once(all.into_iter().map(named).collect()),
                )
            }
            Some(Bound::Argument(id, number)) => {
                if let Some((value, caller)) = scope.argument(id, number) {
                    return self.at(value, &caller, deep);
                }
                let argument = Some((id, number));
                let hole = Piece::Hole { name: last, debug: false, argument };
                vec![Text { pieces: vec![hole], ..Text::default() }]
            }
            Some(Bound::Unseen) => vec![Text::hole(last)],
            None => {
                let all = self.source.consts.get(&last).map_or(&[][..], Vec::as_slice);
                let near = all.iter().find(|(file, _)| *file == scope.file).or(all.first());
                match near {
                    Some((_, value @ Expr::Lit(_))) => self.at(value, scope, deep),
                    _ => vec![Text::hole(shown_path(it))],
                }
            }
        }
    }

    fn method(&self, it: &'static syn::ExprMethodCall, scope: &Scope, deep: usize) -> Vec<Text> {
        let name = it.method.to_string();
        let receiver = || self.at(&it.receiver, scope, deep);
        let argument = |number: usize| {
            let Some(value) = it.args.get(number) else { return Vec::new() };
            match value {
                Expr::Closure(closure) => {
                    let env = scope.env.parameters(address(closure), closure.inputs.iter());
                    self.at(&closure.body, &scope.with(env), deep)
                }
                // a function's name where a closure is taken
                Expr::Path(_) if !matches!(name.as_str(), "unwrap_or" | "then_some" | "map_or") => {
                    vec![Text::hole(shown(value))]
                }
                value => self.at(value, scope, deep),
            }
        };
        let there = |all: Vec<Text>| all.into_iter().filter(|t| !t.absent).collect::<Vec<_>>();
        let here = || address(it);
        match name.as_str() {
            "into" | "to_owned" | "to_string" | "clone" | "as_str" | "as_deref" | "as_ref"
            | "cloned" | "into_owned" | "trim" | "trim_end" | "trim_start" | "filter"
            | "unwrap_or_default" | "map_err" | "expect" | "borrow" | "copied" | "ok"
            | "as_deref_mut" | "collect" | "iter" => receiver(),
            "unwrap_or" | "unwrap_or_else" | "or_else" | "or" | "ok_or" | "ok_or_else" => {
                chosen(here(), [there(receiver()), argument(0)])
            }
            "map_or" | "map_or_else" => chosen(here(), [argument(1), argument(0)]),
            // by a function's name: `.map(str::to_owned)`
            "map" if matches!(it.args.first(), Some(Expr::Path(_))) => receiver(),
            "map" | "and_then" | "then" | "then_some" => {
                chosen(here(), [argument(0), vec![Text::absent()]])
            }
            _ => {
                let hole = || vec![Text::hole(shown_method(it))];
                if sample::of(scope.file, &shown_method(it)).is_some() {
                    return hole();
                }
                let called = self.source.called(scope.file, None, &name, it.args.len(), true);
                let [function] = called.as_slice() else { return hole() };
                self.followed(function, it.args.iter().collect(), scope, deep).unwrap_or_else(hole)
            }
        }
    }

    fn call(&self, it: &'static syn::ExprCall, scope: &Scope, deep: usize) -> Vec<Text> {
        let hole = || vec![Text::hole(shown_call(it))];
        if let Expr::Path(path) = &*it.func {
            let last = path.path.segments.last().expect("a name").ident.to_string();
            if matches!(last.as_str(), "Some" | "Ok" | "Borrowed" | "Owned" | "from")
                && let [one] = it.args.iter().collect::<Vec<_>>().as_slice()
            {
                return self.at(one, scope, deep);
            }
        }
        if matches!(shown(&it.func).as_str(), "String::new" | "Vec::new") {
            return vec![Text::absent()];
        }
        if sample::of(scope.file, &shown_call(it)).is_some() {
            return hole();
        }
        let Some((id, inner)) = self.callee(it, scope) else { return hole() };
        if self.source.functions.iter().any(|f| f.id() == id && !says(f)) {
            return hole();
        }
        match self.given(id, &[], &inner, deep) {
            Some(all) if all.iter().any(Text::speaks) => all,
            _ => hole(),
        }
    }

    /// What a call leads to, and the scope there.
    pub(crate) fn callee(
        &self,
        it: &'static syn::ExprCall,
        scope: &Scope,
    ) -> Option<(usize, Scope)> {
        let Expr::Path(path) = &*it.func else { return None };
        let arguments: Vec<&'static Expr> = it.args.iter().collect();
        if let Some(name) = path.path.get_ident()
            && let Some(bound) = scope.env.find(&name.to_string())
        {
            let Bound::To(Expr::Closure(closure), part, env) = bound else { return None };
            let id = part.is_empty().then(|| address(closure))?;
            return Some((id, scope.with(env).called(id, arguments, scope)));
        }
        let function = self.function(path, arguments.len(), scope)?;
        let there = Scope {
            file: function.file,
            owner: function.owner.clone(),
            env: Env::default(),
            frames: scope.frames.clone(),
        };
        Some((function.id(), there.called(function.id(), arguments, scope)))
    }

    /// The function of the crate that a path means.
    pub(crate) fn function(
        &self,
        path: &syn::ExprPath,
        arguments: usize,
        scope: &Scope,
    ) -> Option<&Function> {
        let mut names = path.path.segments.iter().rev().map(|s| s.ident.to_string());
        let name = names.next()?;
        let owner = names.next().filter(|o| o.starts_with(char::is_uppercase));
        let owner = if owner.as_deref() == Some("Self") { scope.owner.clone() } else { owner };
        let called = self.source.called(scope.file, owner.as_deref(), &name, arguments, false);
        match called.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    fn followed(
        &self,
        function: &Function,
        arguments: Vec<&'static Expr>,
        scope: &Scope,
        deep: usize,
    ) -> Option<Vec<Text>> {
        if !says(function) {
            return None;
        }
        let there = Scope {
            file: function.file,
            owner: function.owner.clone(),
            env: Env::default(),
            frames: scope.frames.clone(),
        };
        let said =
            self.given(function.id(), &[], &there.called(function.id(), arguments, scope), deep)?;
        said.iter().any(Text::speaks).then_some(said)
    }

    fn formatted(&self, it: &'static ExprMacro, scope: &Scope, deep: usize) -> Vec<Text> {
        let name = it.mac.path.segments.last().expect("a name").ident.to_string();
        let hole = || vec![Text::hole(format!("{name}!"))];
        match name.as_str() {
            "vec" => {
                let all = self.source.arguments(&it.mac).unwrap_or_default();
                return chosen(address(it), all.iter().map(|one| self.at(one, scope, deep)));
            }
            "panic" | "unreachable" | "todo" => return Vec::new(),
            "format" | "format_args" | "concat" => {}
            _ => return hole(),
        }
        let Some(arguments) = self.source.arguments(&it.mac) else { return hole() };
        self.format(arguments, scope, deep)
    }

    /// A format string with its arguments.
    pub(crate) fn format(
        &self,
        arguments: &'static [Expr],
        scope: &Scope,
        deep: usize,
    ) -> Vec<Text> {
        let Some((Expr::Lit(first), rest)) = arguments.split_first() else { return Vec::new() };
        let Lit::Str(template) = &first.lit else { return Vec::new() };
        let mut next = 0;
        let parts = split(&template.value()).into_iter().map(|part| match part {
            Part::Text(text) => vec![Text::of(text)],
            Part::Argument { name, debug } => {
                let named =
                    |e: &&'static Expr| matches!(e, Expr::Assign(a) if shown(&a.left) == name);
                let value = if name.is_empty() {
                    next += 1;
                    rest.get(next - 1)
                } else if let Ok(number) = name.parse::<usize>() {
                    rest.get(number)
                } else {
                    rest.iter().find(|e| named(e))
                };
                let said = match value {
                    Some(Expr::Assign(it)) => self.at(&it.right, scope, deep),
                    Some(value) => self.at(value, scope, deep),
                    None => self.inline(&name, scope, deep),
                };
                let said = said.into_iter().filter(|t| !t.absent).collect();
                if debug { quoted(said) } else { said }
            }
        });
        joined(parts.collect::<Vec<_>>())
    }

    /// `{name}`.
    fn inline(&self, name: &str, scope: &Scope, deep: usize) -> Vec<Text> {
        let path: Expr = syn::parse_str(name).expect("a name");
        self.at(Box::leak(Box::new(path)), scope, deep)
    }
}

/// Whether a function gives back text.
fn says(function: &Function) -> bool {
    let ReturnType::Type(_, ty) = &function.sig.output else { return false };
    let text = ty.to_token_stream().to_string();
    let own = ["String", "str", "Cow"].iter().any(|t| text.split(' ').any(|word| word == *t));
    own && !matches!(type_name(ty).as_str(), "Result" | "Vec" | "BTreeMap" | "Impl")
}

/// The last expression of a block, and what is in sight there. A block that is left otherwise has none.
fn tail(block: &'static Block, env: &Env) -> Option<(&'static Expr, Env)> {
    let mut env = env.constants(&block.stmts);
    for stmt in &block.stmts {
        match stmt {
            Stmt::Local(it) => {
                env = env.bind(&it.pat, it.init.as_ref().map(|init| &*init.expr));
            }
            Stmt::Expr(expr, None) if !leaves(expr) => return Some((expr, env)),
            _ => {}
        }
    }
    None
}

/// Whether what comes after it is not reached.
fn leaves(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => true,
        Expr::Block(it) => {
            matches!(it.block.stmts.last(), Some(Stmt::Expr(last, _)) if leaves(last))
        }
        _ => false,
    }
}

/// An expression as a person would write it.
pub(crate) fn shown(of: &impl ToTokens) -> String {
    let text = of.to_token_stream().to_string();
    let mut out = String::new();
    for word in text.split(' ') {
        let glue = out.is_empty()
            || out.ends_with(['.', '(', '&', ':', '!', '|', '['])
            || word.starts_with(['.', '(', ')', ',', ':', '?', '!', ';', ']', '[']);
        if !glue {
            out.push(' ');
        }
        out.push_str(word);
    }
    out.trim_start_matches("self.").trim_start_matches("& ").trim_start_matches('&').to_owned()
}

fn shown_path(it: &syn::ExprPath) -> String {
    let names: Vec<String> = it.path.segments.iter().map(|s| s.ident.to_string()).collect();
    names[names.len().saturating_sub(2)..].join("::")
}

/// `name()` of a function's call; a method's keeps what it is called on.
fn shown_call(it: &syn::ExprCall) -> String {
    match &*it.func {
        Expr::Path(path) => format!("{}()", path.path.segments.last().expect("a name").ident),
        other => shown(other),
    }
}

fn shown_method(it: &syn::ExprMethodCall) -> String {
    format!("{}.{}()", shown(&it.receiver), it.method)
}
