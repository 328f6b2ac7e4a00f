//! Small pieces of text: sizes, durations and times for people, and text from elsewhere made safe to show.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

/// A size in binary units: `512 B`, `1.5 GiB`, `120 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    // in tenths, rounded; u128 because 2^64 bytes times ten do not fit
    let mut unit = 0;
    let mut scale = 1024_u128;
    let tenths = |scale: u128| (u128::from(n) * 10 + scale / 2) / scale;
    while tenths(scale) >= 10240 && unit + 1 < UNITS.len() {
        scale *= 1024;
        unit += 1;
    }
    let t = tenths(scale);
    if t < 1000 {
        format!("{}.{} {}", t / 10, t % 10, UNITS[unit])
    } else {
        format!("{} {}", (t + 5) / 10, UNITS[unit])
    }
}

/// `part` of `whole` in whole per cent, rounded down so that 100 means all of it; `None` of nothing.
pub fn percent(part: u64, whole: u64) -> Option<u64> {
    let p = (u128::from(part.min(whole)) * 100).checked_div(u128::from(whole))?;
    u64::try_from(p).ok()
}

/// A duration: `3.2 s`, `42 s`, `1m 05s`, `2h 07m`.
pub fn duration(seconds: f64) -> String {
    // NaN and negative values come from clocks that were set; they are no reason to panic
    let millis = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_millis();
    let tenths = (millis + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let s = (millis + 500) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
    }
}

/// A time as RFC 3339 in UTC with whole seconds: `2026-11-22T13:05:01Z`. Times before 1970 show as its start.
pub fn rfc3339(time: SystemTime) -> String {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(secs / 86_400);
    let s = secs % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

/// Year, month and day of the Gregorian calendar from days since 1970-01-01. Years are counted from March, so that the
/// leap day is a year's last, in eras of 400 years, each 146 097 days long.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153; // month with March as 0
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Text from elsewhere (a log, an error, an answer) on one line, without anything that could move the cursor, change
/// colours, set the window's title or reorder what is read.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\n' | '\t' => out.push(' '),
            // carriage returns too: "\rDone" must not write over what stands there
            c if c.is_control() || is_reordering(c) => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Like [`clean`], with the lines kept as lines.
pub fn clean_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(clean)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Passes over what follows an ESC: a CSI sequence, a string such as a title (to BEL or ESC \), or one character.
fn skip_escape(chars: &mut Chars<'_>) {
    match chars.next() {
        Some('[') => skip_csi(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}'
                    || c == '\u{9c}'
                    || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some())
                {
                    break;
                }
            }
        }
        Some(' '..='/') => {
            // designates a character set: one more follows
            chars.next();
        }
        _ => {}
    }
}

/// Passes over a CSI sequence's parameters and its final character.
fn skip_csi(chars: &mut Chars<'_>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Marks and overrides of writing direction, which show text in another order than it has, and zero-width spaces.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` in at most `width` characters; where it is longer it ends in `ellipsis`.
pub fn cut(text: &str, width: usize, ellipsis: &str) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(ellipsis.chars().count());
    let mut out: String = text.chars().take(keep).collect();
    out.truncate(out.trim_end().len());
    out.extend(ellipsis.chars().take(width));
    out
}

/// `text` broken at spaces into lines of at most `width` characters. A longer word has a line to itself, whole, and so has
/// a command in backticks: paths and commands are there to be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in pieces(text) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// What stands in backticks is a command up to this many characters; more is text from elsewhere with stray ones.
pub(super) const COMMAND: usize = 200;

/// The words of a text. What stands in backticks is one word, however wide: the first half of a command that is broken
/// (`dd` without its `count=`) is another command.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let opens = |word: &str| word.matches('`').count() % 2 == 1;
    let mut pieces = Vec::new();
    let mut rest = words.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let end = if opens(first) { others.iter().position(|w| opens(w)) } else { None };
        let span =
            end.map(|end| rest[..end + 2].join(" ")).filter(|s| s.chars().count() <= COMMAND);
        rest = &rest[span.as_ref().map_or(1, |_| end.unwrap_or_default() + 2)..];
        pieces.push(span.unwrap_or_else(|| (*first).to_owned()));
    }
    pieces
}

/// Appends to a string, which cannot fail.
pub(super) fn put(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

/// `1 step`, `2 steps`; `word` takes an s.
pub fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
