//! What the documents tell people to type: blocks of commands and of YAML, code in the middle of a sentence, links.

use std::fs;
use std::path::{Path, PathBuf};

/// A document.
#[derive(Debug)]
pub(crate) struct Page {
    /// Below the project's folder.
    pub(crate) path: PathBuf,
    pub(crate) blocks: Vec<Block>,
    /// Its lines outside of blocks, with their numbers.
    pub(crate) prose: Vec<(usize, String)>,
}

/// Lines that are shown as they are: between fences, or indented.
#[derive(Debug)]
pub(crate) struct Block {
    /// The number of its first line.
    pub(crate) line: usize,
    /// What the fence says it is; empty where it is indented.
    pub(crate) language: String,
    /// The heading it stands under.
    pub(crate) heading: String,
    pub(crate) lines: Vec<String>,
}

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All documents that tell people what to type.
pub(crate) fn all() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = vec!["README.md".into(), "ARCHITECTURE.md".into()];
    for folder in ["examples", "docs"] {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        let names = entries.map(|e| e.expect("a folder can be listed").file_name());
        paths.extend(
            names
                .map(|n| Path::new(folder).join(n))
                .filter(|p| p.extension().is_some_and(|e| e == "md")),
        );
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).expect("a document");
            Page::read(path, &text)
        })
        .collect()
}

/// One of them.
pub(crate) fn one(path: &str) -> Page {
    Page::read(path.into(), &fs::read_to_string(root().join(path)).expect("a document"))
}

impl Page {
    pub(crate) fn read(path: PathBuf, text: &str) -> Self {
        let mut page = Self { path, blocks: Vec::new(), prose: Vec::new() };
        let mut heading = String::new();
        let mut open: Option<Block> = None;
        let mut before = "";
        for (number, line) in (1..).zip(text.lines()) {
            let start = |language: &str| Block {
                line: number,
                language: language.to_owned(),
                heading: heading.clone(),
                lines: Vec::new(),
            };
            match (&mut open, line.strip_prefix("```"), line.strip_prefix("    ")) {
                (Some(block), Some(_), _) if block.line > 0 && fenced(block) => {
                    page.blocks.extend(open.take());
                }
                (Some(block), _, _) if fenced(block) => block.lines.push(line.to_owned()),
                (Some(block), None, Some(code)) => block.lines.push(code.to_owned()),
                // a list's own lines are indented too; only what comes after an empty line is a block
                (None, None, Some(code)) if before.trim().is_empty() => {
                    open = Some(Block { lines: vec![code.to_owned()], ..start("") });
                }
                (_, fence, _) => {
                    page.blocks.extend(open.take());
                    match fence {
                        Some("") => open = Some(start("text")),
                        Some(language) => open = Some(start(language)),
                        None => {
                            if let Some(title) = line.strip_prefix('#') {
                                title.trim_start_matches('#').trim().clone_into(&mut heading);
                            }
                            page.prose.push((number, line.to_owned()));
                        }
                    }
                }
            }
            before = line;
        }
        page.blocks.extend(open);
        page
    }

    /// The commands of the blocks under a heading that begins so, in their order, without their comments.
    pub(crate) fn commands_under(&self, heading: &str) -> Vec<String> {
        let blocks =
            self.blocks.iter().filter(|b| b.heading.starts_with(heading) && b.is_commands());
        blocks
            .flat_map(|b| &b.lines)
            .map(|l| without_comment(l).to_owned())
            .filter(|l| !l.is_empty())
            .collect()
    }

    /// The YAML under a heading that begins so.
    pub(crate) fn yaml_under(&self, heading: &str) -> String {
        let block =
            self.blocks.iter().find(|b| b.heading.starts_with(heading) && b.language == "yaml");
        block
            .unwrap_or_else(|| panic!("{} has no YAML under {heading:?}", self.path.display()))
            .lines
            .join("\n")
            + "\n"
    }

    /// Code in the middle of sentences and in tables, with its line.
    pub(crate) fn spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        for (number, line) in &self.prose {
            let odd = line.split('`').skip(1).step_by(2);
            spans.extend(odd.map(|s| (*number, s.replace("\\|", "|"))));
        }
        spans
    }

    /// What its links lead to, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.prose {
            let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            links.extend(ends.map(|(to, _)| (*number, to.to_owned())));
        }
        links
    }

    /// What a link to one of its headings may be called.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let titles = self.prose.iter().filter(|(_, l)| l.starts_with('#'));
        let anchor = |title: &str| {
            let kept = title.trim_start_matches('#').trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>()
                .replace(' ', "-")
        };
        titles.map(|(_, title)| anchor(title)).collect()
    }
}

fn fenced(block: &Block) -> bool {
    !block.language.is_empty()
}

/// What people type, by its first word.
const PROGRAMS: [&str; 7] =
    ["cephdock", "target/release/cephdock", "make", "cargo", "docker", "ssh", "$EDITOR"];

impl Block {
    /// Commands to be typed, and not what a program shows.
    pub(crate) fn is_commands(&self) -> bool {
        let first = self.lines.iter().find(|l| !l.trim().is_empty());
        let shell = ["", "sh", "console", "bash"].contains(&self.language.as_str());
        shell && first.is_some_and(|l| PROGRAMS.contains(&l.split(' ').next().unwrap_or_default()))
    }
}

/// A command's text up to ` #`.
pub(crate) fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(command, _)| command).trim_end()
}
