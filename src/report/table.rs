//! Tables without borders, as wide as their content and never wider than the screen.

use comfy_table::{ContentArrangement, Table, presets};

use super::screen::{Screen, Tone};

/// A space at which a cell is not broken: between a mark and its word.
pub(super) const NBSP: char = '\u{a0}';

/// A table with a heading row (left out when `head` is empty) and `rows` below it, indented by `indent` spaces. Where
/// the screen is narrow, cells are broken into lines. Cells hold no escape sequences; text from elsewhere goes through
/// [`super::text::clean`] first.
pub fn table(head: &[&str], rows: &[Vec<String>], indent: usize, screen: &Screen) -> String {
    let mut t = Table::new();
    t.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // two columns more, because the last cell's padding is cut off again
    let width = screen.width.saturating_sub(indent) + 2;
    t.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    if !head.is_empty() {
        t.set_header(head.to_vec());
    }
    for row in rows {
        t.add_row(row.clone());
    }
    for column in t.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut out = String::new();
    for (i, line) in t.lines().enumerate() {
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
