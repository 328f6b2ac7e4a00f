//! Tables whose cells hold commands: they are there to be copied, and half of one is another command.

use std::collections::BTreeSet;

use super::super::table::table;
use super::super::{PlanView, Screen, plan_view};
use super::{PLAIN, fits, node};

const PURGE: &str = "`docker exec mon ceph osd purge 7 --yes-i-really-mean-it`";
const UNMAP: &str = "`rbd unmap -o force /dev/rbd0`";

fn text() -> String {
    format!(
        "osd.7 was on a file that is gone. If its data is lost, take it out of the cluster ({PURGE}), unmap it ({UNMAP}), remove its container osd-7 and /var/lib/ceph/osd/ceph-7 on this node, and run `up` again"
    )
}

fn whole(text: &str, command: &str) {
    assert!(text.lines().any(|l| l.contains(command)), "{command} is broken:\n{text}");
}

/// No line is wider than the screen unless it holds a command that leaves it no choice.
fn fits_but_for_commands(text: &str, width: usize) {
    for line in text.lines().filter(|l| !l.contains('`')) {
        assert!(line.chars().count() <= width, "{width} columns: {line}");
    }
}

#[test]
fn a_command_in_a_cell_is_on_one_line() {
    for width in 40..=130 {
        let screen = Screen { width, ..PLAIN };
        for nodes in ["B1", "B1, B2, B3", "storage-node-0001.rack-b.example.com, B2"] {
            for rows in [
                vec![vec![nodes.to_owned(), text()]],
                vec![vec![nodes.to_owned(), "short".into()], vec![nodes.to_owned(), text()]],
                vec![vec![nodes.to_owned(), text(), format!("as {UNMAP} says")]],
                vec![vec![format!("{} of it, or {UNMAP}", nodes), "done".into()]],
            ] {
                let shown = table(&[], &rows, 3, &screen);
                whole(&shown, UNMAP);
                if shown.contains("purge") {
                    whole(&shown, PURGE);
                }
                if width < PLAIN.width {
                    continue; // words may be broken there
                }
                // a command in the middle that leaves no choice pushes away what is behind it
                if rows[0].len() == 2 || nodes == "B1" {
                    fits_but_for_commands(&shown, width);
                }
                let words = |text: &str| {
                    text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()
                };
                let cells = rows.concat().join(" ");
                assert!(words(&cells).is_subset(&words(&shown)), "all is there:\n{shown}");
            }
        }
    }
}

/// A mark and its word stay together, whatever else is broken.
#[test]
fn what_is_held_together_stays_so_beside_a_command() {
    let rows = vec![vec!["B1".into(), format!("\u{2717}\u{a0}unreachable: {}", text())]];
    for width in 40..=130 {
        let shown = table(&[], &rows, 3, &Screen { width, ..PLAIN });
        whole(&shown, "\u{2717} unreachable");
        whole(&shown, PURGE);
    }
}

#[test]
fn commands_are_whole_in_a_plan() {
    let waiting = vec![(Some(node("storage-1")), text()), (Some(node("B2")), text())];
    let plan = PlanView { waiting, ..PlanView::default() };
    let shown = plan_view::render(&plan, &PLAIN);
    whole(&shown, PURGE);
    whole(&shown, UNMAP);
    fits(&shown, PLAIN.width);
}
