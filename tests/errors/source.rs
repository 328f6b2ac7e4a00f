//! The crate's own source, module by module from its roots, without what is only for tests.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Block, Expr, File, ImplItem, Item, Macro, Signature, Token, TraitItem, Type};

/// A function with its place.
pub(crate) struct Function {
    pub(crate) file: &'static str,
    /// The type it belongs to.
    pub(crate) owner: Option<String>,
    pub(crate) sig: &'static Signature,
    pub(crate) block: &'static Block,
}

impl Function {
    /// What it is told apart by.
    pub(crate) fn id(&self) -> usize {
        address(self.block)
    }
}

/// What an expression is told apart by: the source is read once and kept.
pub(crate) fn address<T>(of: &'static T) -> usize {
    std::ptr::from_ref(of).addr()
}

type Parsed = Option<&'static [Expr]>;

/// All of it.
#[derive(Default)]
pub(crate) struct Source {
    /// Path under the package's folder, and what is in it.
    pub(crate) files: Vec<(&'static str, &'static File)>,
    pub(crate) functions: Vec<Function>,
    pub(crate) consts: BTreeMap<String, Vec<(&'static str, &'static Expr)>>,
    /// Enums that are errors: the arguments of their variants are sentences.
    pub(crate) errors: BTreeSet<String>,
    by_name: HashMap<String, Vec<usize>>,
    macros: RefCell<HashMap<usize, Parsed>>,
}

impl Source {
    /// Reads what `roots` lead to.
    pub(crate) fn read(roots: &[&str]) -> Self {
        let mut source = Self::default();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        for root in roots {
            let folder = Path::new(root).parent().expect("a file in a folder");
            source.file(package, Path::new(root), folder);
        }
        source.files.sort_by_key(|(path, _)| *path);
        source
    }

    /// Reads `path`, and the modules that it names, which are in `folder`.
    fn file(&mut self, package: &Path, path: &Path, folder: &Path) {
        let text = fs::read_to_string(package.join(path)).expect("a file of the crate");
        let file: &'static File = Box::leak(Box::new(syn::parse_file(&text).expect("Rust")));
        let name: &'static str = path.to_string_lossy().into_owned().leak();
        self.files.push((name, file));
        self.items(package, name, folder, &file.items);
    }

    fn items(&mut self, package: &Path, file: &'static str, folder: &Path, items: &'static [Item]) {
        for item in items {
            match item {
                Item::Mod(it) if !for_tests(&it.attrs) => {
                    let inner = folder.join(it.ident.to_string());
                    if let Some((_, items)) = &it.content {
                        self.items(package, file, &inner, items);
                        continue;
                    }
                    let (one, other) = (inner.with_extension("rs"), inner.join("mod.rs"));
                    let path = if package.join(&one).exists() { one } else { other };
                    self.file(package, &path, &inner);
                }
                Item::Fn(it) if !for_tests(&it.attrs) => {
                    self.function(file, None, &it.sig, &it.block);
                }
                Item::Impl(it) if !for_tests(&it.attrs) => {
                    let owner = type_name(&it.self_ty);
                    for item in &it.items {
                        match item {
                            ImplItem::Fn(it) if !for_tests(&it.attrs) => {
                                self.function(file, Some(owner.clone()), &it.sig, &it.block);
                            }
                            ImplItem::Const(it) => self.constant(file, &it.ident, &it.expr),
                            _ => {}
                        }
                    }
                }
                Item::Trait(it) => {
                    for item in &it.items {
                        if let TraitItem::Fn(f) = item
                            && let Some(block) = &f.default
                        {
                            self.function(file, Some(it.ident.to_string()), &f.sig, block);
                        }
                    }
                }
                Item::Const(it) if !for_tests(&it.attrs) => {
                    self.constant(file, &it.ident, &it.expr);
                }
                Item::Enum(it) if is_error(&it.attrs) => {
                    self.errors.insert(it.ident.to_string());
                }
                _ => {}
            }
        }
    }

    fn function(
        &mut self,
        file: &'static str,
        owner: Option<String>,
        sig: &'static Signature,
        block: &'static Block,
    ) {
        self.by_name.entry(sig.ident.to_string()).or_default().push(self.functions.len());
        self.functions.push(Function { file, owner, sig, block });
    }

    fn constant(&mut self, file: &'static str, name: &syn::Ident, expr: &'static Expr) {
        self.consts.entry(name.to_string()).or_default().push((file, expr));
    }

    /// What a macro is given, where that is a list of expressions.
    pub(crate) fn arguments(&self, mac: &'static Macro) -> Parsed {
        let read = || {
            let list = mac.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated).ok()?;
            Some(&*Box::leak(list.into_iter().collect::<Vec<_>>().into_boxed_slice()))
        };
        *self.macros.borrow_mut().entry(address(mac)).or_insert_with(read)
    }

    /// How often `maker` is written, whatever is around it: `Type::function(` or `.method(`.
    pub(crate) fn written(&self, maker: &str) -> usize {
        let words: Vec<&str> = match maker.split_once("::") {
            Some((owner, name)) => vec![owner, "::", name.trim_end_matches('(')],
            None => vec![".", maker.trim_matches(['.', '('])],
        };
        let pattern = format!("{} (", words.join(" "));
        let count = |file: &File| {
            file.items
                .iter()
                .map(|item| without_tests(item).matches(&pattern).count())
                .sum::<usize>()
        };
        self.files.iter().map(|(_, file)| count(file)).sum()
    }

    /// The functions that a call may mean: of `owner`, if it is named, with `arguments` besides `self`; of several, those
    /// in the caller's file.
    pub(crate) fn called(
        &self,
        from: &str,
        owner: Option<&str>,
        name: &str,
        arguments: usize,
        method: bool,
    ) -> Vec<&Function> {
        let Some(named) = self.by_name.get(name) else { return Vec::new() };
        let fits = |f: &&Function| {
            let own = f.sig.receiver().is_some();
            own == method
                && f.sig.inputs.len() == arguments + usize::from(own)
                && (method || owner.is_none_or(|o| f.owner.as_deref() == Some(o)))
                && (method || owner.is_some() || f.owner.is_none())
        };
        let all: Vec<&Function> = named.iter().map(|n| &self.functions[*n]).filter(fits).collect();
        let near: Vec<&Function> = all.iter().copied().filter(|f| f.file == from).collect();
        if near.is_empty() { all } else { near }
    }
}

/// An item's text, word by word, without what is only for tests.
fn without_tests(item: &Item) -> String {
    match item {
        Item::Mod(it) if for_tests(&it.attrs) => String::new(),
        Item::Fn(it) if for_tests(&it.attrs) => String::new(),
        Item::Impl(it) if for_tests(&it.attrs) => String::new(),
        Item::Mod(it) => {
            let items = it.content.iter().flat_map(|(_, items)| items);
            items.map(without_tests).collect()
        }
        Item::Impl(it) => {
            let item = |item: &ImplItem| match item {
                ImplItem::Fn(it) if for_tests(&it.attrs) => String::new(),
                other => format!(" {}", other.to_token_stream()),
            };
            it.items.iter().map(item).collect()
        }
        other => format!(" {}", other.to_token_stream()),
    }
}

/// The name of a type, without what is before it and in its brackets.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Path(it) => it.path.segments.last().expect("a name").ident.to_string(),
        Type::Reference(it) => type_name(&it.elem),
        _ => String::new(),
    }
}

/// `#[cfg(test)]`, `#[test]`.
pub(crate) fn for_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) => attr.path().is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

/// Whether `thiserror` makes an error of it.
pub(crate) fn is_error(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) => {
            attr.path().is_ident("derive") && list.tokens.to_string().contains("Error")
        }
        _ => false,
    })
}
