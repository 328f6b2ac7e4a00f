//! The way through the source: each expression once, with what is in sight there.

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, FnArg, ImplItem, Item, ItemEnum, ItemStruct, Member, Stmt};

use super::{Added, LISTS, Made, NO_ERRORS, Role, Sites, WORDS, WORDS_OF_METHODS, role};
use crate::reader::shown;
use crate::scope::{Bound, Env, Scope};
use crate::source::{address, for_tests, is_error, type_name};

impl Sites<'_> {
    /// `….hint(…)` and its like: the error that it is said of and all that is added to it are one place.
    fn chain(&mut self, expr: &'static Expr) -> bool {
        let (mut base, mut more) = (expr, Vec::new());
        while let Expr::MethodCall(it) = base
            && let Some((frame, arguments)) = self.target(base)
            && self.adds(frame)
        {
            if !self.taken.insert(address(base)) {
                return true; // seen from its end
            }
            self.reached.insert(frame);
            for made in self.made[&frame].clone().into_iter().filter(|m| m.adds) {
                let caller = self.scope.clone();
                more.extend(made.parts.into_iter().map(|(role, expr, scope)| {
                    (role, expr, scope.called(frame, arguments.clone(), &caller))
                }));
            }
            base = &it.receiver;
        }
        if more.is_empty() {
            return false;
        }
        let id = address(expr) ^ 1; // an address of its own: what is taken is the call
        let mut inner = base;
        let mut outer = None;
        if let Expr::Path(path) = base
            && let Some(name) = path.path.get_ident()
            && let Some(Bound::To(value, part, env)) = self.scope.env.find(&name.to_string())
            && part.is_empty()
        {
            outer = Some(std::mem::replace(&mut self.scope.env, env));
            inner = value;
            self.uses.entry(address(value)).or_default().1 += 1;
        }
        let target = self.target(inner).filter(|(f, _)| self.made.contains_key(f));
        match target {
            Some((frame, arguments)) if !self.adds(frame) => {
                if outer.is_none() {
                    self.taken.insert(address(inner));
                }
                self.called(id, frame, &arguments, &more);
            }
            _ => {
                let said = match inner {
                    Expr::Struct(it) if outer.is_none() => {
                        self.taken.insert(address(inner));
                        self.fields(it)
                    }
                    _ => vec![self.part(Role::What, base)],
                };
                let parts = said.into_iter().chain(more);
                self.note(id, Made::of("added", parts.collect()));
            }
        }
        if let Some(env) = outer {
            self.scope.env = env;
        }
        true
    }

    /// A function's or closure's body, whose arguments are `env`.
    fn body(&mut self, name: &str, frame: usize, env: Env, walk: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.scope.env, env);
        self.function.push((name.to_owned(), frame));
        self.reader.returns.borrow_mut().insert(frame, Vec::new());
        walk(self);
        self.function.pop();
        self.scope.env = outer;
    }

    fn gives(&mut self, expr: &'static Expr) {
        if let Some((_, frame)) = self.function.last() {
            let mut returns = self.reader.returns.borrow_mut();
            returns.entry(*frame).or_default().push((expr, self.scope.env.clone()));
        }
    }

    fn function(&mut self, sig: &'static syn::Signature, block: &'static syn::Block) {
        let id = address(block);
        let env = Env::default().arguments(id, sig);
        let name = match &self.scope.owner {
            Some(owner) => format!("{owner}::{}", sig.ident),
            None => sig.ident.to_string(),
        };
        self.body(&name, id, env, |s| {
            s.statements(&block.stmts);
            // a function that is called for what to do
            let hint = sig.ident == "hint" || sig.ident.to_string().ends_with("_hint");
            let takes = sig.inputs.iter().all(|i| {
                matches!(i, FnArg::Receiver(r) if r.mutability.is_none()) || sig.ident != "hint"
            });
            if hint && takes {
                s.reader.busy.borrow_mut().push(id); // one that calls itself says no more by that
                let returns = s.reader.returns.borrow()[&id].clone();
                for (expr, env) in returns {
                    let parts = vec![(Role::Hint, expr, s.scope.with(env))];
                    s.note(address(expr), Made::of("what to do", parts));
                }
                s.reader.busy.borrow_mut().pop();
            }
        });
    }

    fn statements(&mut self, stmts: &'static [Stmt]) {
        self.scope.env = self.scope.env.constants(stmts);
        for (number, stmt) in stmts.iter().enumerate() {
            self.visit_stmt(stmt);
            if let Stmt::Expr(expr, None) = stmt
                && number + 1 == stmts.len()
            {
                self.gives(expr);
            }
        }
    }

    /// `#[error("…")]`.
    fn attribute(&mut self, name: &str, kind: &str, attrs: &'static [Attribute]) {
        let Some(attr) = attrs.iter().find(|a| a.path().is_ident("error")) else { return };
        let syn::Meta::List(list) = &attr.meta else { panic!("{name}: an error of another form") };
        if list.tokens.to_string() == "transparent" {
            return;
        }
        let text = format!("format!({})", list.tokens).replace(", .", ", it.");
        let expr: &'static Expr =
            Box::leak(Box::new(syn::parse_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))));
        self.function.push((name.to_owned(), 0));
        let parts = vec![self.part(Role::What, expr)];
        self.note(address(expr), Made::of(kind, parts));
        self.function.pop();
    }
}

impl Visit<'static> for Sites<'_> {
    fn visit_item(&mut self, item: &'static Item) {
        match item {
            Item::Mod(it) if for_tests(&it.attrs) => {}
            Item::Fn(it) if for_tests(&it.attrs) => {}
            Item::Impl(it) if for_tests(&it.attrs) => {}
            Item::Use(it) if for_tests(&it.attrs) => {}
            Item::Fn(it) => self.function(&it.sig, &it.block),
            Item::Impl(it) => {
                let outer = self.scope.owner.replace(type_name(&it.self_ty));
                for item in &it.items {
                    match item {
                        ImplItem::Fn(it) if for_tests(&it.attrs) => {}
                        ImplItem::Fn(it) => self.function(&it.sig, &it.block),
                        other => self.visit_impl_item(other),
                    }
                }
                self.scope.owner = outer;
            }
            Item::Trait(it) => {
                let outer = self.scope.owner.replace(it.ident.to_string());
                for item in &it.items {
                    if let syn::TraitItem::Fn(f) = item
                        && let Some(block) = &f.default
                    {
                        self.function(&f.sig, block);
                    }
                }
                self.scope.owner = outer;
            }
            Item::Const(it) if !for_tests(&it.attrs) => {
                self.function.push((it.ident.to_string(), 0));
                self.visit_expr(&it.expr);
                if it.ident == "ADVICE" {
                    self.advice(&it.expr);
                }
                self.function.pop();
            }
            other => visit::visit_item(self, other),
        }
    }

    fn visit_item_enum(&mut self, it: &'static ItemEnum) {
        if !is_error(&it.attrs) {
            return;
        }
        for variant in &it.variants {
            let name = format!("{}::{}", it.ident, variant.ident);
            let said = variant.attrs.iter().any(|a| a.path().is_ident("error"));
            assert!(said, "{name} says nothing");
            self.attribute(&name, &it.ident.to_string(), &variant.attrs);
        }
    }

    fn visit_item_struct(&mut self, it: &'static ItemStruct) {
        if is_error(&it.attrs) {
            self.attribute(&it.ident.to_string(), &it.ident.to_string(), &it.attrs);
        }
    }

    fn visit_block(&mut self, it: &'static syn::Block) {
        let outer = self.scope.env.clone();
        self.scope.env = outer.constants(&it.stmts);
        it.stmts.iter().for_each(|stmt| self.visit_stmt(stmt));
        self.scope.env = outer;
    }

    fn visit_local(&mut self, it: &'static syn::Local) {
        if let Some(init) = &it.init {
            self.visit_expr(&init.expr);
            if let Some((_, otherwise)) = &init.diverge {
                self.visit_expr(otherwise);
            }
        }
        let value = it.init.as_ref().map(|init| &*init.expr);
        self.scope.env = self.scope.env.bind(&it.pat, value);
    }

    fn visit_expr(&mut self, expr: &'static Expr) {
        match expr {
            Expr::Struct(it) => self.structure(expr, it),
            Expr::Call(it) => self.call(expr, it),
            Expr::MethodCall(it) => self.method(expr, it),
            other => visit::visit_expr(self, other),
        }
    }

    fn visit_expr_let(&mut self, it: &'static syn::ExprLet) {
        self.visit_expr(&it.expr);
        self.scope.env = self.scope.env.bind(&it.pat, Some(&it.expr));
    }

    fn visit_arm(&mut self, it: &'static syn::Arm) {
        let outer = self.scope.env.clone();
        self.scope.env = outer.bind(&it.pat, None);
        if let syn::Pat::Guard(guard) = &it.pat {
            self.visit_expr(&guard.guard);
        }
        self.visit_expr(&it.body);
        self.scope.env = outer;
    }

    fn visit_expr_for_loop(&mut self, it: &'static syn::ExprForLoop) {
        self.visit_expr(&it.expr);
        let outer = self.scope.env.clone();
        self.scope.env = outer.bind(&it.pat, None);
        self.visit_block(&it.body);
        self.scope.env = outer;
    }

    fn visit_expr_closure(&mut self, it: &'static syn::ExprClosure) {
        let id = address(it);
        let env = self.scope.env.parameters(id, it.inputs.iter());
        let name = self.function.last().map_or(String::new(), |(name, _)| name.clone());
        self.body(&name, id, env, |s| {
            s.visit_expr(&it.body);
            s.gives(&it.body);
        });
    }

    fn visit_expr_return(&mut self, it: &'static syn::ExprReturn) {
        if let Some(expr) = &it.expr {
            self.visit_expr(expr);
            self.gives(expr);
        }
    }

    fn visit_expr_assign(&mut self, it: &'static syn::ExprAssign) {
        visit::visit_expr_assign(self, it);
        if let Expr::Field(left) = &*it.left
            && let Member::Named(name) = &left.member
            && let Some(role) = role(&name.to_string()).filter(|role| *role != Role::What)
        {
            let parts = vec![self.part(role, &it.right)];
            self.note(address(it), Made { adds: true, ..Made::of("added", parts) });
        }
    }

    fn visit_expr_path(&mut self, it: &'static syn::ExprPath) {
        if let Some(name) = it.path.get_ident()
            && let Some(Bound::To(value, part, _)) = self.scope.env.find(&name.to_string())
            && part.is_empty()
        {
            self.uses.entry(address(value)).or_default().0 += 1;
        }
        // a function that makes errors, as a value: whoever calls it has the words
        let known = |name: &syn::Ident| self.scope.env.find(&name.to_string()).is_some();
        if it.path.get_ident().is_some_and(known) {
            return;
        }
        if let Some(function) = self.reader.function(it, 1, &self.scope)
            && let Some(all) = self.made.get(&function.id())
        {
            for made in all.clone() {
                let what = [self.part(Role::What, Box::leak(Box::new(Expr::Path(it.clone()))))];
                self.note(address(it), Made { parts: what.into(), ..made });
            }
        }
    }

    fn visit_macro(&mut self, it: &'static syn::Macro) {
        if let Some(arguments) = self.reader.source.arguments(it) {
            for argument in arguments {
                match argument {
                    Expr::Assign(named) => self.visit_expr(&named.right),
                    other => self.visit_expr(other),
                }
            }
            if it.path.is_ident("eprintln") {
                let expr = syn::parse_str(&format!("format!({})", it.tokens)).expect("a call");
                let parts = vec![self.part(Role::What, Box::leak(Box::new(expr)))];
                self.note(address(it), Made::of("printed", parts));
            }
        } else {
            let text = it.tokens.to_string();
            let names = [
                "HostError",
                "Trouble",
                "Refusal",
                "Finding",
                "Failure",
                "RbdError",
                "Wrong",
                "Found",
            ];
            let name = it.path.segments.last().expect("a name").ident.to_string();
            if name != "matches" && names.iter().any(|n| text.contains(n)) {
                self.unread.insert(format!("{}: {name}!", self.scope.file));
            }
        }
    }
}

impl Sites<'_> {
    /// The fields of a structure that hold sentences.
    fn fields(&self, it: &'static syn::ExprStruct) -> Added {
        let role = |field: &'static syn::FieldValue| match &field.member {
            Member::Named(name) => Some(self.part(role(&name.to_string())?, &field.expr)),
            Member::Unnamed(_) => None,
        };
        it.fields.iter().filter_map(role).collect()
    }

    fn structure(&mut self, expr: &'static Expr, it: &'static syn::ExprStruct) {
        it.fields.iter().for_each(|f| self.visit_expr(&f.expr));
        it.rest.iter().for_each(|rest| self.visit_expr(rest));
        let name = it.path.segments.last().expect("a name").ident.to_string();
        let kind = if name == "Self" { self.scope.owner.clone().unwrap_or_default() } else { name };
        if NO_ERRORS.contains(&kind.as_str()) {
            return;
        }
        let parts = self.fields(it);
        if parts.is_empty() || self.taken.contains(&address(expr)) {
            return;
        }
        let id = address(expr);
        if let Some(rest) = &it.rest
            && !parts.iter().any(|(role, ..)| *role == Role::What)
            && let Some((frame, arguments)) = self.target(rest)
            && self.made.contains_key(&frame)
        {
            self.taken.insert(address(&**rest));
            return self.called(id, frame, &arguments, &parts);
        }
        self.note(id, Made::of(&kind, parts));
    }

    fn method(&mut self, expr: &'static Expr, it: &'static syn::ExprMethodCall) {
        let name = it.method.to_string();
        *self.calls.entry(format!(".{name}(")).or_default() += 1;
        if !self.chain(expr)
            && let Some((frame, arguments)) = self.target(expr)
        {
            self.called(address(expr), frame, &arguments, &Vec::new());
        }
        if WORDS_OF_METHODS.contains(&name.as_str())
            && let [argument] = it.args.iter().collect::<Vec<_>>().as_slice()
        {
            let (argument, scope) = match argument {
                Expr::Closure(closure) => {
                    let env = self.scope.env.parameters(address(closure), closure.inputs.iter());
                    (&*closure.body, self.scope.with(env))
                }
                other => (*other, self.scope.clone()),
            };
            self.words(address(expr), argument, scope);
        }
        if name == "push"
            && LISTS.iter().any(|list| shown(&it.receiver).ends_with(list))
            && let Some(argument) = it.args.first()
        {
            self.words(address(expr), argument, self.scope.clone());
        }
        if name == "print_error"
            && let Some(argument) = it.args.first()
        {
            let parts = vec![self.part(Role::What, argument)];
            self.note(address(expr), Made::of("printed", parts));
        }
        self.visit_expr(&it.receiver);
        it.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn call(&mut self, expr: &'static Expr, it: &'static syn::ExprCall) {
        if let Expr::Path(path) = &*it.func {
            let names: Vec<String> =
                path.path.segments.iter().rev().take(2).map(|s| s.ident.to_string()).collect();
            let owner = names.get(1).map_or("", String::as_str);
            *self.calls.entry(format!("{owner}::{}(", names[0])).or_default() += 1;
            let variant = self.reader.source.errors.contains(owner)
                && names[0].starts_with(char::is_uppercase);
            if (variant || WORDS.contains(&names[0].as_str()))
                && let [argument] = it.args.iter().collect::<Vec<_>>().as_slice()
            {
                self.words(address(expr), argument, self.scope.clone());
            }
        }
        if let Some((frame, _)) = self.reader.callee(it, &self.scope) {
            let arguments: Vec<&'static Expr> = it.args.iter().collect();
            self.called(address(expr), frame, &arguments, &Vec::new());
        }
        // what is called is no value
        if !matches!(&*it.func, Expr::Path(_)) {
            self.visit_expr(&it.func);
        }
        it.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    /// Words that stand for an error by themselves, alone or with what to do.
    fn words(&mut self, id: usize, expr: &'static Expr, scope: Scope) {
        let roles = [Role::What, Role::Hint];
        let parts = match expr {
            Expr::Tuple(it) if it.elems.len() == 2 => {
                roles.into_iter().zip(&it.elems).map(|(r, e)| (r, e, scope.clone())).collect()
            }
            other => vec![(Role::What, other, scope)],
        };
        self.note(id, Made::of("reason", parts));
    }

    /// What to do about Ceph's health checks: pairs of codes and a line.
    fn advice(&mut self, expr: &'static Expr) {
        match expr {
            Expr::Reference(it) => self.advice(&it.expr),
            Expr::Array(it) => it.elems.iter().for_each(|e| self.advice(e)),
            Expr::Tuple(it) => {
                let codes = shown(&it.elems[0]);
                self.function.push((codes, 0));
                let parts = vec![self.part(Role::Hint, &it.elems[1])];
                self.note(address(expr), Made::of("what to do", parts));
                self.function.pop();
            }
            other => panic!("advice of another form: {}", shown(other)),
        }
    }
}
