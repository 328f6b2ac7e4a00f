//! Tables without borders, as wide as their content and never wider than the screen, but where a command leaves no choice.

use comfy_table::{ContentArrangement, Table, presets};

use super::screen::{Screen, Tone};
use super::text::{COMMAND, pieces, wrap};

/// A space at which a cell is not broken: between a mark and its word.
pub(super) const NBSP: char = '\u{a0}';

/// Two columns between two cells.
const GAP: usize = 2;
/// A column of words is not made narrower than this.
const NARROW: usize = 12;

/// A table with a heading row (left out when `head` is empty) and `rows` below it, indented by `indent` spaces. Where
/// the screen is narrow, cells are broken into lines, and commands in backticks are not: they are there to be copied. Cells
/// hold no escape sequences; text from elsewhere goes through [`super::text::clean`] first.
pub fn table(head: &[&str], rows: &[Vec<String>], indent: usize, screen: &Screen) -> String {
    let width = screen.width.saturating_sub(indent);
    let kept: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|c| hold(c)).collect()).collect();
    let mut lines = arranged(head, &kept, Some(width));
    let mut commands =
        kept.iter().flatten().flat_map(|cell| cell.split(' ')).filter(|w| is_command(w));
    if !commands.all(|c| lines.iter().any(|line| line.contains(c))) {
        let widths = widths(head, rows, width);
        let broken = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            cells.map(|(cell, width)| wrap_held(cell, *width).join("\n")).collect()
        };
        lines = arranged(head, &rows.iter().map(broken).collect::<Vec<_>>(), None);
    }
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        let line = line.replace(NBSP, " ");
        let line = line.trim_end();
        out.extend(std::iter::repeat_n(' ', indent));
        if i == 0 && !head.is_empty() {
            out.push_str(&screen.paint(Tone::Dim, line));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// The table's lines: its cells broken to fit into `width`, or as they are.
fn arranged(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let mut t = Table::new();
    t.load_style(presets::NOTHING);
    match width {
        Some(width) => {
            t.set_content_arrangement(ContentArrangement::Dynamic);
            // two columns more, because the last cell's padding is cut off again
            t.set_width(u16::try_from(width + GAP).unwrap_or(u16::MAX));
        }
        None => drop(t.set_content_arrangement(ContentArrangement::Disabled)),
    }
    if !head.is_empty() {
        t.set_header(head.to_vec());
    }
    for row in rows {
        t.add_row(row.clone());
    }
    for column in t.column_iter_mut() {
        column.set_padding((0, 2));
    }
    t.lines().collect()
}

/// How wide each column is to be so that all fit into `width`; the widest gives way first. Where that would take it below
/// its longest command it does so only if nothing else helps: then that command's line is wider, and no other.
fn widths(head: &[&str], rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (mut widths, mut words, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..columns {
        let title = head.get(n).map_or(0, |h| h.chars().count());
        let cells = || rows.iter().filter_map(|row| row.get(n)).map(String::as_str);
        let longest = |command: bool| {
            let all = cells().flat_map(pieces).filter(|word| is_command(&hold(word)) == command);
            all.map(|word| word.chars().count()).max().unwrap_or(0)
        };
        let widest = cells().map(|c| c.chars().count()).max().unwrap_or(0).max(title);
        let word = longest(false).max(title).max(NARROW).min(widest);
        widths.push(widest);
        words.push(word);
        commands.push(longest(true).max(word));
    }
    let room = width.saturating_sub(GAP * columns.saturating_sub(1));
    for least in [commands, words] {
        while widths.iter().sum::<usize>() > room {
            let can = (0..columns).filter(|n| widths[*n] > least[*n]);
            let Some(widest) = can.max_by_key(|n| widths[*n]) else { break };
            widths[widest] -= 1;
        }
    }
    widths
}

/// Whether a word, or several that are held together, are a command.
fn is_command(held: &str) -> bool {
    held.contains('`') && held.contains(NBSP)
}

/// With the spaces in commands as such at which nothing is broken.
fn hold(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    let inside = |n: usize, part: &str| n % 2 == 1 && n < last && part.chars().count() <= COMMAND;
    let held = parts.iter().enumerate().map(|(n, part)| {
        if inside(n, part) { part.replace(' ', &NBSP.to_string()) } else { (*part).to_owned() }
    });
    held.collect::<Vec<_>>().join("`")
}

/// Stands for [`NBSP`] where every white space counts; no text has it.
const HOLD: char = '\u{e000}';

/// As [`wrap`], which breaks at every white space, but not at [`NBSP`].
pub(super) fn wrap_held(text: &str, width: usize) -> Vec<String> {
    let held = text.replace(NBSP, &HOLD.to_string());
    wrap(&held, width).into_iter().map(|line| line.replace(HOLD, &NBSP.to_string())).collect()
}
