//! Command lines, given to whoever would read them.

use std::collections::BTreeMap;
use std::fs;

use cephdock::cli::Cli;
use cephdock::volume::options::Options;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::pages::{root, without_comment};

/// What stands for something in a document, and something that it may stand for.
const PLACEHOLDERS: [(&str, &str); 11] = [
    ("NAME", "data"),
    ("NODE", "B1"),
    ("DAEMON", "mon"),
    ("osd-N", "osd-3"),
    ("SIZE", "40GiB"),
    ("SNAPSHOT", "monday"),
    ("SHELL", "bash"),
    ("PLUGIN", "rexray/rbd"),
    ("REGISTRY", "10.32.3.112:5011"),
    ("ARGS", "-s"),
    ("[COMMAND]", "up"),
];

/// Whether a line of a block of commands can be typed as it is.
pub(crate) fn line(text: &str) -> Result<(), String> {
    for command in commands(without_comment(text))? {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cephdock" | "target/release/cephdock", ..] => parsed(&command, true)?,
            ["make", targets @ ..] => targets.iter().try_for_each(|t| target(t))?,
            ["docker", "volume", "create", options @ ..] => volume(options)?,
            // not cephdock's, and what they are given is told by whoever reads them
            []
            | ["cargo", "build", ..]
            | ["ssh", _, "docker", ..]
            | ["docker" | "$EDITOR" | "jq" | "man" | "echo", ..] => {}
            [other, ..] => {
                return Err(format!("`{other}` is nothing that this test knows how to judge"));
            }
        }
    }
    Ok(())
}

/// Whether code in a sentence names what there is. It may leave out what a command needs.
pub(crate) fn span(text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["cephdock", _, ..] if !text.contains("cephdock:") => {
            for command in commands(text)? {
                for command in alternatives(&command) {
                    parsed(&command, false)?;
                }
            }
            Ok(())
        }
        ["make", name] => target(name),
        [path] => file(path),
        _ => Ok(()),
    }
}

/// Of a table's row about a command: the other forms of it, and options that it is said to have.
pub(crate) fn row(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let bars = text.replace("\\|", "\u{1}");
    let cells: Vec<&str> = bars.split('|').map(str::trim).collect();
    let [_, first, rest, ..] = cells.as_slice() else { return found };
    if !first.starts_with("`cephdock ") {
        return found;
    }
    let code = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(|s| s.replace('\u{1}', "|")).collect()
    };
    let forms = code(first);
    let (whole, others) = forms.split_first().expect("it begins with one");
    let leading: Vec<String> = whole.split_whitespace().map(str::to_owned).collect();
    // `cephdock volume rm NAME`, `grow NAME SIZE`: the second is one of `volume` too
    let parent = &leading[..leading.len().min(2)];
    let mut known = vec![leading.clone()];
    for form in others {
        let words = form.split_whitespace().map(str::to_owned);
        let command: Vec<String> = if form.starts_with("cephdock ") {
            words.collect()
        } else {
            parent.iter().cloned().chain(words).collect()
        };
        for command in alternatives(&command) {
            if let Err(why) = parsed(&command, false) {
                found.push(format!("`{form}`: {why}"));
            }
            known.push(command);
        }
    }
    for option in code(rest).iter().filter(|c| c.starts_with('-')) {
        // `--scan HOST...`: only its name is judged
        let name = option.split([' ', '=']).next().unwrap_or_default();
        if !known.iter().any(|command| has_option(command, name)) {
            found.push(format!("{whole:?} has no option {name}"));
        }
    }
    found
}

/// Every example that `--help` shows anywhere: what is wrong with it, and how many there are.
pub(crate) fn help() -> (Vec<String>, usize) {
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut waiting = vec![Cli::command()];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        let Some(text) = command.get_after_help() else { continue };
        let text = text.to_string();
        for example in
            text.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| l.starts_with("cephdock "))
        {
            seen += 1;
            // its remark stands in a column of its own
            let typed = example.split("   ").next().unwrap_or_default();
            if let Err(why) = line(typed) {
                found.push(format!("{} --help: `{example}`: {why}", command.get_name()));
            }
        }
    }
    (found, seen)
}

/// The commands of a line, in words: `a && b | c >d` are a, b and c.
fn commands(text: &str) -> Result<Vec<Vec<String>>, String> {
    let words = shlex::split(text).ok_or("a quote is left open")?;
    let mut commands = vec![Vec::new()];
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "&&" | "|" | ";" => commands.push(Vec::new()),
            ">" | "<" => drop(words.next()),
            _ if word.starts_with(['>', '<']) => {}
            _ => commands.last_mut().expect("there is one").push(word),
        }
    }
    Ok(commands)
}

/// `create|ls|rm` stands for three.
fn alternatives(command: &[String]) -> Vec<Vec<String>> {
    let Some(at) = command.iter().position(|w| w.contains('|')) else {
        return vec![command.to_vec()];
    };
    let one = |word: &str| {
        let mut command = command.to_vec();
        word.clone_into(&mut command[at]);
        command
    };
    command[at].split('|').map(one).collect()
}

fn parsed(command: &[String], whole: bool) -> Result<(), String> {
    let filled = command.iter().map(|word| {
        let stands = PLACEHOLDERS.iter().find(|(name, _)| !whole && name == word);
        stands.map_or(word.as_str(), |(_, for_it)| for_it)
    });
    match Cli::try_parse_from(filled) {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(()),
        Err(e) if !whole && in_part(e.kind()) => Ok(()),
        Err(e) => Err(e.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// A command that is only named, without all that it needs.
fn in_part(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Whether the command, or every command, has the option.
fn has_option(command: &[String], name: &str) -> bool {
    let mut cli = Cli::command();
    cli.build();
    let mut at = &cli;
    for word in &command[1..] {
        let Some(sub) = at.find_subcommand(word) else { break };
        at = sub;
    }
    at.get_arguments().any(|arg| {
        let long = name.strip_prefix("--").is_some_and(|n| arg.get_long() == Some(n));
        let short = name
            .strip_prefix('-')
            .is_some_and(|n| arg.get_short().is_some_and(|s| n == s.to_string()));
        long || short
    })
}

fn target(name: &str) -> Result<(), String> {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    if makefile.lines().any(|l| l.starts_with(&format!("{name}:"))) {
        Ok(())
    } else {
        Err(format!("the Makefile has no {name}"))
    }
}

/// Options of `docker volume create -d cephdock`, by the driver's own reader.
fn volume(words: &[&str]) -> Result<(), String> {
    let mut given = BTreeMap::new();
    for pair in words.windows(2).filter(|p| p[0] == "-o") {
        let (name, value) =
            pair[1].split_once('=').ok_or_else(|| format!("{} has no value", pair[1]))?;
        given.insert(name.to_owned(), value.to_owned());
    }
    Options::parse(&given).map(drop).map_err(|trouble| trouble.to_string())
}

/// A path of the project, as it is called in the project's folder or, of the program's own text, in `src`.
fn file(path: &str) -> Result<(), String> {
    let folders = ["src/", "tests/", "examples/", "docs/"];
    let ours = folders.iter().any(|f| path.starts_with(f));
    let source = [".rs", ".sh", ".py"].iter().any(|e| path.ends_with(e)) && !path.starts_with('/');
    if !ours && !source {
        return Ok(());
    }
    // `tests/lab_*.rs` names several
    let path = path.split('*').next().unwrap_or_default();
    let there = |folder: &str| match path.rsplit_once('/') {
        Some(_) if root().join(folder).join(path).exists() => true,
        Some((dir, start)) => fs::read_dir(root().join(folder).join(dir)).is_ok_and(|entries| {
            !start.is_empty()
                && entries.flatten().any(|e| {
                    e.file_name().to_string_lossy().starts_with(start) && !path.contains('.')
                })
        }),
        None => root().join(folder).join(path).exists(),
    };
    // a file of a room is called by its name alone where the room is plain
    if there("") || there("src") || below("src", path) {
        Ok(())
    } else {
        Err(format!("there is no {path}"))
    }
}

/// Whether a file of that name is anywhere below a folder.
fn below(folder: &str, name: &str) -> bool {
    if name.contains('/') {
        return false;
    }
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_name().to_string_lossy() == name {
                return true;
            }
            waiting.extend(Some(entry.path()).filter(|p| p.is_dir()));
        }
    }
    false
}
