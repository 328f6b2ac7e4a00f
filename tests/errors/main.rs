//! Every sentence that an error can say, found in the source, as it is shown at 80 columns.
//!
//! Nobody has to remember to add one here: what makes an error's sentence is found by its form (see [`sites`]), so that a
//! new error is in a snapshot or fails this test.

mod reader;
mod sample;
mod scope;
mod sites;
mod source;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use cephdock::report::{Failure, Screen, error};

use sites::{Sentence, Site, Sites};
use source::Source;
use text::{Piece, Text};

const SCREEN: Screen = Screen { width: 80, height: 24, color: false, unicode: true };

/// What was found. It is read once for all tests.
struct Found {
    sites: Vec<Site>,
    unread: BTreeSet<String>,
    calls: BTreeMap<String, usize>,
    written: BTreeMap<&'static str, usize>,
}

/// What makes an error, as it is written.
const MAKERS: &[&str] = &[
    "HostError::new(",
    "Trouble::new(",
    "Wrong::new(",
    "Refusal::new(",
    "Found::fail(",
    "Found::note(",
    "Found::unchecked(",
    ".hint(",
];

static FOUND: LazyLock<Found> = LazyLock::new(|| {
    let source = Source::read(&["src/lib.rs", "src/main.rs"]);
    let sites = Sites::of(&source);
    let count = |maker: &&'static str| (*maker, source.written(maker));
    Found {
        unread: sites.unread.iter().cloned().chain(sites.reader.unread.borrow().clone()).collect(),
        calls: sites.calls.into_iter().collect(),
        written: MAKERS.iter().map(count).collect(),
        sites: sites.found,
    }
});

/// A text with samples in its holes; a hole that has none shows what the source calls it.
fn filled(file: &str, text: &Text, long: bool) -> String {
    let mut out = String::new();
    for piece in &text.pieces {
        let said = match piece {
            Piece::Text(text) => {
                text.replace("{name}", "osd-3").replace("{dir}", "/var/lib/ceph/osd/ceph-3")
            }
            Piece::Hole { name, debug, .. } => {
                let sample = sample::of(file, name).map_or(format!("<{name}>"), str::to_owned);
                let sample = if long { sample::long(&sample) } else { sample };
                if *debug { format!("{sample:?}") } else { sample }
            }
        };
        out.push_str(&said);
    }
    out
}

/// Whether what makes it says on which node it is.
fn on_a_node(kind: &str) -> bool {
    ["HostError", "Finding", "Found", "Waiting", "added"].contains(&kind)
}

/// An error as a person sees it; of one that only says why another failed, and of what to do about one, that alone.
fn shown(site: &Site, sentence: &Sentence, long: bool) -> String {
    let fill = |text: &Option<Text>| text.as_ref().map(|t| filled(site.file, t, long));
    let (what, why, hint) = (fill(&sentence.what), fill(&sentence.why), fill(&sentence.hint));
    let (mut failure, mut skip) = (Failure { hint, ..Failure::default() }, 0);
    match what {
        Some(what) if site.kind == "reason" => {
            failure.causes.push(what);
            skip = 1;
        }
        Some(what) => {
            let node = if on_a_node(&site.kind) { "B2: " } else { "" };
            failure.what = format!("{node}{what}");
        }
        None => skip = 1,
    }
    failure.causes.extend(why);
    let text = error::render(&failure, &SCREEN);
    text.split_inclusive('\n').skip(skip).collect()
}

/// The room that a file belongs to.
fn room(file: &str) -> &str {
    let path = file.strip_prefix("src/").unwrap_or(file);
    path.split(['/', '.']).next().unwrap_or(path)
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes it");
}

fn catalogue(sites: &[&Site]) -> String {
    let mut out = String::new();
    let mut file = "";
    for site in sites {
        if site.file != file {
            file = site.file;
            put(&mut out, format_args!("\n━━ {file}\n"));
        }
        let mut told = BTreeSet::new();
        let (spoken, passed): (Vec<_>, Vec<_>) = site.sentences.iter().partition(|s| s.speaks());
        for text in spoken.iter().map(|s| shown(site, s, false)) {
            if told.is_empty() {
                put(&mut out, format_args!("\n── {} ({})\n", site.function, site.kind));
            }
            if told.insert(text.clone()) {
                out.push_str(&text);
            }
        }
        let mut names = BTreeSet::new();
        for sentence in passed {
            names.extend(sentence.names());
        }
        if told.is_empty() && !names.is_empty() {
            let names: Vec<String> = names.into_iter().collect();
            let made = names.join(", ");
            let made =
                format_args!("\n── {} ({}): made elsewhere: {made}\n", site.function, site.kind);
            put(&mut out, made);
        }
    }
    out.trim_start().to_owned()
}

#[test]
fn every_sentence_of_an_error_at_80_columns() {
    let mut rooms: BTreeMap<&str, Vec<&Site>> = BTreeMap::new();
    for site in &FOUND.sites {
        rooms.entry(room(site.file)).or_default().push(site);
    }
    for (room, sites) in &rooms {
        insta::assert_snapshot!(*room, catalogue(sites));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors/snapshots");
    let there = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name());
    let there: BTreeSet<String> = there.map(|f| f.to_string_lossy().into_owned()).collect();
    let expected = rooms.keys().map(|room| format!("errors__{room}.snap")).collect();
    assert_eq!(there, expected, "a snapshot for each room");
}

/// A form that is not understood would let errors fall out of the catalogue.
#[test]
fn every_place_was_read() {
    assert_eq!(FOUND.unread, BTreeSet::new(), "forms that are not understood");
    for (maker, written) in &FOUND.written {
        let seen = FOUND.calls.get(*maker).copied().unwrap_or_default();
        assert_eq!(seen, *written, "{maker}…): so many are written, and so many were read");
    }
    // the way through the source is not lost somewhere: what each of these forms is for is found
    for (kind, least) in
        [("HostError", 90), ("Trouble", 40), ("Wrong", 60), ("Found", 40), ("reason", 60)]
    {
        let found = FOUND.sites.iter().filter(|s| s.kind == kind).count();
        assert!(found >= least, "{found} places of {kind}");
    }
}

/// What can be told without understanding it.
#[test]
fn sentences_are_in_the_houses_style() {
    let mut wrong = Vec::new();
    for site in &FOUND.sites {
        for sentence in &site.sentences {
            if sentence.speaks() && sentence.hint.is_none() && HINTED.contains(&site.kind.as_str())
            {
                wrong.push(format!("{} {}: it does not say what to do", site.file, site.function));
            }
            for text in sentence.texts() {
                let said = filled(site.file, text, false);
                for fault in faults(site, text, &said) {
                    wrong.push(format!("{} {}: {fault}: {said}", site.file, site.function));
                }
            }
            for long in [false, true] {
                let shown = shown(site, sentence, long);
                if let Some(line) = shown.lines().find(|line| too_wide(line)) {
                    wrong.push(format!("{} {}: too wide: {line}", site.file, site.function));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Errors that people meet as they are, and that nothing is added to.
const HINTED: &[&str] = &["Trouble", "Wrong", "Refusal", "Finding", "Problem"];

/// Words that begin a command and no sentence.
const COMMANDS: &[&str] = &[
    "cephdock up",
    "cephdock volume ",
    "cephdock status",
    "cephdock check",
    "cephdock reset",
    "cephdock ceph ",
    "docker rm ",
    "docker stop ",
    "docker start ",
    "docker pull ",
    "docker logs ",
    "docker plugin ",
    "docker volume ",
    "rbd snap ",
    "rbd unmap ",
    "rbd feature ",
    "rbd map ",
    "systemctl ",
    "journalctl ",
    "chmod 6",
    "wipefs ",
    "usermod ",
];

fn faults(site: &Site, text: &Text, said: &str) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let mut fault = |is: bool, what| faults.extend(is.then_some(what));
    fault(said.trim().is_empty(), "it says nothing");
    fault(said.ends_with('.') && site.kind != "printed", "it ends with a full stop");
    fault(said.matches('`').count() % 2 == 1, "a backtick has no other");
    let bare = said.trim_start_matches("it ").trim();
    fault(bare == "failed" || bare == "error", "it does not say what");
    fault(said.lines().any(|l| l.trim_start().contains("  ")), "two spaces");
    let own = text.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Hole { .. } => "…",
    });
    let outside: String = own.collect::<String>().split('`').step_by(2).collect();
    let command = COMMANDS.iter().any(|c| outside.contains(c));
    fault(command, "a command stands outside of backticks, where it may be broken");
    let structures = text.pieces.iter().any(|piece| match piece {
        // text from elsewhere is shown in quotes; all else has words of its own
        Piece::Hole { name, debug: true, .. } => sample::of(site.file, name).is_none(),
        _ => false,
    });
    fault(structures, "`{:?}` of something that may be a structure");
    faults
}

/// Whether a line is wider than the screen, and could have been broken.
fn too_wide(line: &str) -> bool {
    if line.chars().count() <= SCREEN.width {
        return false;
    }
    // behind its label: one word, one command, or a line that the text itself has after its first, there to be copied
    let rest = line.trim_start();
    let rest = ["error: ", "caused by: ", "hint: "]
        .iter()
        .find_map(|l| rest.strip_prefix(l))
        .unwrap_or(rest);
    let rest = rest.trim_start_matches("B2: ");
    let command = rest.starts_with(['`', '(', '"']) && rest.matches('`').count() == 2;
    let copied = rest.contains(" ssh-ed25519 AAAA")
        || rest.starts_with("- {")
        || rest.starts_with("ssh-keygen ");
    rest.contains(' ') && !command && !copied
}
