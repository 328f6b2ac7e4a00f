//! What of an inventory must not be shown in a message: values that are secrets, or would be if the user had not
//! misspelt or misplaced their field.

use super::schema;
use super::tree::{Node, Span, Value};

/// The places of all values that may be secrets.
pub(super) fn hidden(root: &Node) -> Vec<Span> {
    let mut spans = Vec::new();
    look(root, "", &mut spans);
    spans
}

/// `line`, which begins at byte `begin`, with the characters in `hidden` starred out.
pub(super) fn starred(line: &str, begin: usize, hidden: &[Span]) -> String {
    let within = |at: usize| hidden.iter().any(|s| s.start <= at && at < s.end);
    line.char_indices()
        .map(|(at, c)| if within(begin + at) && !c.is_whitespace() { '*' } else { c })
        .collect()
}

/// The same for text that is no YAML, where only the look of lines can tell: hides what follows a field that may hold a
/// secret on its line, and all that is indented deeper below it.
pub(super) fn hidden_in_text(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut below: Option<usize> = None;
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let end = begin + line.len();
        let indent = line.len() - line.trim_start().len();
        let blank = line.trim().is_empty();
        if below.is_some_and(|outer| blank || indent > outer) {
            spans.push(Span { start: begin, end });
        } else {
            below = None;
            if let Some(value) = secret_part(line) {
                spans.push(Span { start: begin + value, end });
                below = Some(indent);
            }
        }
        begin = end;
    }
    spans
}

/// Where on `line` the value of a secret field begins.
fn secret_part(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let name: String = line[..colon]
            .chars()
            .rev()
            .skip_while(|c| c.is_whitespace() || "\"'".contains(*c))
            .take_while(|c| c.is_alphanumeric() || "_-.".contains(*c))
            .collect();
        let name: String = name.chars().rev().collect();
        is_secret(&name).then_some(colon + 1)
    })
}

fn look(node: &Node, parent: &str, spans: &mut Vec<Span>) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) => {
            if has_credentials(text) {
                spans.push(node.span);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| look(item, parent, spans)),
        Value::Map(entries) => {
            for (key, value) in entries {
                let odd = parent == "registry" && !schema::REGISTRY.has(&key.name);
                if odd || is_secret(&key.name) {
                    hide(value, spans);
                } else {
                    look(value, &key.name, spans);
                }
            }
        }
    }
}

fn hide(node: &Node, spans: &mut Vec<Span>) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(_) => spans.push(node.span),
        Value::Seq(items) => items.iter().for_each(|item| hide(item, spans)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| hide(value, spans)),
    }
}

/// Whether a field of this name may hold a secret, wherever it stands.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let named = ["password_file", "password_env"].contains(&name.as_str());
    let whole = ["settings", "key", "keyring"].contains(&name.as_str());
    let part = ["pass", "pw", "secret", "token", "credential"].iter().any(|p| name.contains(p));
    whole || (part && !named)
}

/// `user:password@host`, as some write it into an address.
fn has_credentials(text: &str) -> bool {
    text.split_once('@').is_some_and(|(before, after)| {
        let login = before.rsplit('/').next().unwrap_or_default();
        login.contains(':') && !after.starts_with("sha256:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        starred(text, 0, &hidden_in_text(text))
    }

    #[test]
    fn broken_text_hides_what_follows_a_secret_field() {
        assert_eq!(shown("a: 1\npassword: x y\nb: 2\n"), "a: 1\npassword: * *\nb: 2\n");
        assert_eq!(shown("r: {u: v, password: x}\n"), "r: {u: v, password: **\n");
        assert_eq!(
            shown("settings:\n  A: b\n\n  C: d\ne: f\n"),
            "settings:\n  ** *\n\n  ** *\ne: f\n"
        );
        assert_eq!(shown("password_file: ./pw\n"), "password_file: ./pw\n");
    }

    #[test]
    fn a_digest_is_no_password() {
        assert!(!has_credentials("r.example:5000/ceph:v19@sha256:00"));
        assert!(has_credentials("https://me:hunter2@r.example"));
        assert!(has_credentials("me:hunter2@bastion"));
        assert!(!has_credentials("me@[fd00::1]:22"));
    }
}
