//! What the documents tell people to type is what the programs take: every command is given to the real parser of
//! options, every inventory to the real reader of inventories, and whatever else is named has to be there.
//!
//! They are really run, in the documents' order, in `tests/lab_docs.rs`.

#[allow(dead_code, reason = "the lab's test uses the rest of it")]
mod pages;
mod reference;
mod words;

use std::path::Path;

use cephdock::inventory::file::parse;

use pages::{Page, all, root};

/// Everything that is wrong with what a page says.
fn problems(page: &Page) -> Vec<String> {
    let mut problems = Vec::new();
    let mut at = |line: usize, what: String| {
        problems.push(format!("{}:{line}: {what}", page.path.display()));
    };
    for block in &page.blocks {
        if block.language == "yaml" {
            if let Err(why) = inventory(&block.lines.join("\n")) {
                at(block.line, why);
            }
        } else if block.is_commands() {
            for (number, line) in (block.line..).zip(&block.lines) {
                if let Err(why) = words::line(line) {
                    at(number, format!("`{line}`: {why}"));
                }
            }
        }
    }
    for (line, span) in page.spans() {
        if let Err(why) = words::span(&span) {
            at(line, format!("`{span}`: {why}"));
        }
    }
    for (line, row) in &page.prose {
        for why in words::row(row) {
            at(*line, why);
        }
    }
    for (line, link) in page.links() {
        if let Err(why) = leads_somewhere(page, &link) {
            at(line, why);
        }
    }
    problems
}

/// Whether an inventory is good, or a part of one is a good part.
fn inventory(text: &str) -> Result<(), String> {
    const NODES: &str = "nodes: [{name: B1, address: 10.32.3.147, roles: [mon, mgr, osd], osds: [{file: 20GiB}]}]\n";
    let mut whole = text.trim_start_matches('\u{feff}').to_owned() + "\n";
    let has = |field: &str| text.lines().any(|l| l.starts_with(field));
    if !has("cluster:") {
        whole += "cluster: {public_network: 10.32.3.0/24}\n";
    }
    if !has("nodes:") {
        whole += NODES;
    }
    match parse(&whole, Path::new("inventory.yaml"), Some(Path::new("/home/ops"))) {
        Ok(loaded) => match loaded.warnings.first() {
            None => Ok(()),
            Some(warning) => Err(format!("{}; {}", warning.message, warning.fix)),
        },
        Err(problems) => Err(problems.to_string()),
    }
}

fn leads_somewhere(page: &Page, link: &str) -> Result<(), String> {
    if link.contains("://") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let other;
    let target = if file.is_empty() {
        page
    } else {
        let path = page.path.parent().expect("it is a file").join(file);
        if !root().join(&path).exists() {
            return Err(format!("there is no {file}"));
        }
        if anchor.is_empty() {
            return Ok(());
        }
        other = pages::one(path.to_str().expect("text"));
        &other
    };
    let known = target.anchors();
    if anchor.is_empty() || known.iter().any(|a| a == anchor) {
        Ok(())
    } else {
        Err(format!("#{anchor} is no heading; there are {}", known.join(", ")))
    }
}

#[test]
fn what_the_documents_say_to_type_is_taken() {
    let found: Vec<String> = all().iter().flat_map(problems).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_documents_are_read_at_all() {
    let pages = all();
    let of = |name: &str| pages.iter().find(|p| p.path == Path::new(name)).expect("it is there");
    let readme = of("README.md");
    let first = readme.commands_under("Your first real cluster");
    assert!(first.iter().any(|l| l == "target/release/cephdock up"), "{first:?}");
    assert!(first.iter().any(|l| l.contains("init --scan b1 b2 b3")), "{first:?}");
    let tutorial = of("examples/tutorial.md");
    let all: Vec<String> = tutorial.commands_under("");
    for part in [
        "cephdock up",
        "cephdock reset",
        "docker run --rm -v test:/data --volume-driver cephdock alpine cat /data/file",
    ] {
        assert!(all.iter().any(|l| l == part), "{part}: {all:#?}");
    }
    assert!(tutorial.yaml_under("1.").contains("10.32.3.147"));
    // neither is a table that a program shows
    assert!(!readme.commands_under("Before anything").iter().any(|l| l.contains('✔')));
    let commands: usize =
        readme.blocks.iter().filter(|b| b.is_commands()).map(|b| b.lines.len()).sum();
    assert!(commands > 15, "{commands}");
}

#[test]
fn what_is_not_so_is_found() {
    let page = |text: &str| problems(&Page::read("README.md".into(), text));
    let good = "# A\n\n    cephdock up --dry-run   # yes\n\nand `cephdock volume ls`, [here](#a).\n\n```yaml\nfirewall: off\n```\n";
    assert_eq!(page(good), Vec::<String>::new());
    for (text, expected) in [
        ("    cephdock rise\n", "README.md:1: `cephdock rise`"),
        ("\n    cephdock up\n    cephdock up --force\n", "README.md:3: `cephdock up --force`"),
        ("    cephdock reset --node\n", "--node"),
        ("    cephdock volume grow data lots\n", "lots"),
        ("    cephdock logs B1 mon -n many\n", "many"),
        ("    cephdock up && cephdock stats\n", "stats"),
        ("    make coffee\n", "the Makefile has no coffee"),
        ("    cephdock up\n    rm -rf /\n", "`rm`"),
        ("    docker volume create -d cephdock -o colour=red x\n", "colour"),
        ("use `cephdock volume mend NAME`\n", "mend"),
        ("use `make tea`\n", "the Makefile has no tea"),
        ("see `src/nowhere.rs`\n", "there is no src/nowhere.rs"),
        ("| `cephdock plan` | shows it; `--chek` |\n", "--chek"),
        ("| `cephdock volume rm NAME`, `groe NAME SIZE` | it does |\n", "groe"),
        ("[x](nowhere.md)\n", "there is no nowhere.md"),
        ("[x](#nowhere)\n", "#nowhere is no heading"),
        ("```yaml\nvolumes: {drivr: none}\n```\n", "drivr"),
    ] {
        let found = page(text);
        assert!(found.iter().any(|f| f.contains(expected)), "{text:?}: {found:#?}");
    }
}

#[test]
fn the_examples_of_help_are_taken() {
    let (found, seen) = words::help();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(seen > 40, "only {seen} examples were found");
}
