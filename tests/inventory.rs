//! The inventory file: every mistake gives its message, with its place and its fix, and every good file its inventory.
//!
//! A case is `tests/inventory/NAME.yaml`, what comes of it `NAME.snap` beside it.

use std::fs;
use std::path::{Path, PathBuf};

use cephdock::inventory::file::{DEFAULT_IMAGE, Loaded, load, parse};
use cephdock::inventory::problem::{Level, Problems};
use cephdock::inventory::schema::SECTIONS;
use cephdock::inventory::{HostKeyPolicy, OsdSpec, VolumeDriver};
use proptest::prelude::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn parse_here(text: &str) -> Result<Loaded, Problems> {
    parse(text, Path::new("site/inventory.yaml"), Some(Path::new("/home/ops")))
}

/// The YAML files of a folder, sorted.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is part of the project")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

fn outcome(result: Result<Loaded, Problems>) -> String {
    match result {
        Err(problems) => problems.to_string(),
        Ok(loaded) => {
            let path = Path::new("site/inventory.yaml");
            let warnings: Vec<_> =
                loaded.warnings.iter().map(|w| w.render(path, false) + "\n\n").collect();
            format!("{}{:#?}", warnings.concat(), loaded.inventory)
        }
    }
}

#[test]
fn every_case_gives_what_is_written_beside_it() {
    let folder = root().join("tests/inventory");
    let files = yaml_files(&folder);
    assert!(files.len() > 20, "the cases are not where they should be: {}", folder.display());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let shown = outcome(parse_here(&text));
        assert!(!shown.contains("HUNTER2"), "{name} shows a secret:\n{shown}");
        settings.bind(|| insta::assert_snapshot!(name, shown));
    }
}

#[test]
fn problems_as_json_hold_all_there_is_to_show_and_no_secret() {
    for file in yaml_files(&root().join("tests/inventory")) {
        let Err(problems) = parse_here(&fs::read_to_string(&file).unwrap()) else { continue };
        let json = serde_json::to_string(&problems).unwrap();
        let debug = format!("{problems:?}");
        assert!(!json.contains("HUNTER2") && !debug.contains("HUNTER2"), "{}", file.display());
    }
}

#[test]
fn a_problem_as_json_has_its_place_and_its_fix() {
    let problems = parse_here("cluster:\n  public_netwerk: x\n").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&problems).unwrap(), @r#"
    {
      "path": "site/inventory.yaml",
      "problems": [
        {
          "level": "error",
          "line": 1,
          "column": 1,
          "length": 0,
          "text": "cluster:",
          "message": "the inventory: `nodes` is missing",
          "fix": "add `nodes:` with an entry for each host: `- {name: B1, address: 10.32.3.147, roles: [mon, mgr]}`"
        },
        {
          "level": "error",
          "line": 2,
          "column": 3,
          "length": 14,
          "text": "  public_netwerk: x",
          "message": "`cluster:` has no field `public_netwerk`",
          "fix": "did you mean `public_network`?"
        }
      ]
    }
    "#);
}

#[test]
fn colour_is_added_only_where_it_is_wanted() {
    let problems = parse_here("cluster: 1\n").unwrap_err();
    assert!(problems.render(true).contains("\u{1b}["));
    assert!(!problems.to_string().contains('\u{1b}'));
}

#[test]
fn the_examples_are_good_without_a_warning() {
    let mut files = yaml_files(&root().join("examples"));
    assert_eq!(files.len(), 3);
    files.push(root().join("inventory.example.yaml"));
    for file in files {
        match load(&file) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{}", file.display()),
            Err(problems) => panic!("{problems}"),
        }
    }
}

#[test]
fn the_example_inventory_explains_every_field() {
    let text = fs::read_to_string(root().join("inventory.example.yaml")).unwrap();
    for section in SECTIONS {
        for field in section.names() {
            let named = text.lines().any(|line| {
                let line = line
                    .split(['`', '{', ','])
                    .map(|part| part.trim_start_matches([' ', '-', '#']));
                line.into_iter().any(|part| part.starts_with(&format!("{field}:")))
            });
            assert!(named, "`{field}` of {} is not in inventory.example.yaml", section.title);
        }
    }
    assert!(text.contains(&format!("Default: {DEFAULT_IMAGE}")));
}

#[test]
fn the_example_inventory_means_what_it_says() {
    let loaded = load(&root().join("inventory.example.yaml")).unwrap();
    let nodes = &loaded.inventory.nodes;
    let names: Vec<_> = nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["B1", "B2", "B3", "B4"]);
    assert_eq!(nodes[1].osds, [OsdSpec::File(20 << 30)]);
    assert_eq!((nodes[1].ssh.host.as_str(), nodes[1].ssh.port), ("b2.example.org", 2222));
    assert!(nodes[1].ssh.jump.is_empty());
    assert!(!nodes[0].ssh.jump.is_empty());
    assert_eq!(nodes[0].ssh.host_key, HostKeyPolicy::Strict);
    assert_eq!(loaded.inventory.volumes.driver, VolumeDriver::Cephdock);
}

#[test]
fn relative_paths_start_at_the_inventory() {
    let text = "cluster: {public_network: 10.0.0.0/8, image_archive: a.tar}\n\
                ssh: {identity_file: ~/k, known_hosts: /k}\n\
                nodes: [{name: a, address: 10.0.0.1, roles: [mon, mgr, osd], osds: [file: 2G]}]\n";
    let inventory = parse_here(text).unwrap().inventory;
    let archive = inventory.cluster.image_archive.unwrap();
    assert_eq!(archive.path, Path::new("site/a.tar"));
    assert_eq!(inventory.nodes[0].ssh.identity_files, [Path::new("/home/ops/k")]);
    assert_eq!(inventory.nodes[0].ssh.known_hosts, [Path::new("/k")]);
    // without a home folder `~` is a problem, and so is the default known_hosts
    let homeless = parse(text, Path::new("i.yaml"), None).unwrap_err();
    assert_eq!(homeless.problems.len(), 1);
    assert!(homeless.problems[0].message.contains("home folder"));
    let text = text.replace(", known_hosts: /k", "");
    assert_eq!(parse(&text, Path::new("i.yaml"), None).unwrap_err().problems.len(), 2);
}

#[test]
fn the_pool_has_three_copies_or_as_many_as_there_are_hosts() {
    for (hosts, copies) in [(1, 1), (2, 2), (3, 3), (5, 3)] {
        let node = |i| {
            format!(
                "- {{name: n{i}, address: 10.0.0.{i}, roles: [mon, mgr, osd], osds: [file: 2G]}}\n"
            )
        };
        let nodes: String = (1..=hosts).map(node).collect();
        let text = format!("cluster: {{public_network: 10.0.0.0/8}}\nnodes:\n{nodes}");
        assert_eq!(parse_here(&text).unwrap().inventory.cluster.pool.size, copies, "{hosts} hosts");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let one = |path: &Path| {
        let problems = load(path).unwrap_err();
        let [problem] = problems.problems.as_slice() else { panic!("{problems}") };
        assert_eq!((problem.level, problem.line, problem.column), (Level::Error, 1, 1));
        let shown = problems.to_string();
        shown.replace(folder.path().to_str().unwrap(), "DIR")
    };
    insta::assert_snapshot!(one(&folder.path().join("inventory.yaml")), @r#"
    error: there is no inventory here
    --> DIR/inventory.yaml
     = help: `cephdock init` writes one; `-i PATH` names another file
    "#);
    insta::assert_snapshot!(one(folder.path()), @r#"
    error: this is a folder, not an inventory
    --> DIR
     = help: name the file in it with `-i PATH`
    "#);
    let path = folder.path().join("latin1.yaml");
    fs::write(&path, b"a: 1\nb: \xe9\n").unwrap();
    insta::assert_snapshot!(one(&path), @r#"
    error: the inventory is not UTF-8 text; the first odd byte is on line 2
    --> DIR/latin1.yaml
     = help: save it as UTF-8, or find out whether this is the file you meant
    "#);
    fs::write(&path, b"").unwrap();
    insta::assert_snapshot!(one(&path), @r#"
    error: the inventory is empty
    --> DIR/latin1.yaml
     = help: copy inventory.example.yaml and edit it
    "#);
}

/// Places are within the text, and nothing is left unsaid.
fn sound(text: &str) -> Result<(), TestCaseError> {
    let Err(found) = parse_here(text) else { return Ok(()) };
    prop_assert!(found.problems.iter().any(|p| p.level == Level::Error));
    let mut last = 0;
    for problem in &found.problems {
        prop_assert!(problem.line >= 1 && problem.column >= 1);
        prop_assert!(problem.line >= last, "not in the order of the file");
        prop_assert!(problem.line <= 1 + text.matches('\n').count());
        prop_assert!(!problem.message.is_empty() && !problem.fix.is_empty());
        if let Some(line) = &problem.text {
            prop_assert!(problem.column + problem.length <= line.chars().count() + 2);
        }
        last = problem.line;
    }
    prop_assert!(!found.to_string().is_empty());
    prop_assert!(!found.render(true).is_empty());
    Ok(())
}

/// Text made of what inventories are made of, so that it gets past the parser now and then.
fn yamlish() -> impl Strategy<Value = String> {
    let words = [
        "cluster",
        "public_network",
        "nodes",
        "name",
        "address",
        "roles",
        "osds",
        "ssh",
        "host",
        "jump",
        "pool",
        "size",
        "config",
        "registry",
        "password",
        "volumes",
        "settings",
        "driver",
        ": ",
        ": ",
        ": ",
        "- ",
        "\n",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: *a",
        "10.32.3.0/24",
        "B1",
        "mon",
        "osd",
        "20GiB",
        "~",
        "é",
        "\u{1f600}",
        "\r\n",
        "\t",
        "# x",
        "|\n",
        "!!int ",
        "!!binary ",
        "\u{7}",
        "/dev/sdb",
        "::",
        "@",
        "1e999",
        "0x10",
        "\u{feff}",
        "\u{2028}",
        "\r",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|w| w.concat())
}

/// A good inventory with a few pieces of text replaced.
fn damaged() -> impl Strategy<Value = String> {
    let path = root().join("inventory.example.yaml");
    let good = fs::read_to_string(path).expect("the example is part of the project");
    let damage = (any::<prop::sample::Index>(), 0_usize..12, yamlish());
    prop::collection::vec(damage, 1..4).prop_map(move |damages| {
        let mut text = good.clone();
        for (at, len, new) in damages {
            let start = text.floor_char_boundary(at.index(text.len().max(1)));
            let end = text.ceil_char_boundary((start + len).min(text.len()));
            text.replace_range(start..end, &new);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        sound(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn no_text_makes_it_panic(text in yamlish()) {
        sound(&text)?;
    }

    #[test]
    fn no_damage_makes_it_panic(text in damaged()) {
        sound(&text)?;
    }
}
