//! Values as JSON, one a line.

use serde::Serialize;

use super::text::put;

/// `value` as one line of JSON with its newline. Control characters that JSON allows as they are get escaped too:
/// such lines are looked at on terminals.
pub fn line<T: Serialize>(value: &T) -> String {
    let text = match serde_json::to_string(value) {
        Ok(text) => text,
        // no type here fails to serialise; should one ever, its reader sees a line that says so
        Err(e) => {
            serde_json::json!({"event": "internal-error", "error": e.to_string()}).to_string()
        }
    };
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c.is_control() {
            // C0 is escaped already and everything outside strings is ASCII, so this is inside one
            put(&mut out, format_args!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}
