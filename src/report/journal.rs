//! What a service says, for systemd's journal.

use std::io::{Write, stderr};

/// One line, with its level in front as sd-daemon(3) has it.
pub fn journal(warning: bool, text: &str) {
    let level = if warning { 4 } else { 6 };
    // there is nobody to tell that nobody listens
    drop(writeln!(stderr(), "<{level}>{}", super::text::clean(text)));
}
