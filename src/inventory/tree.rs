//! YAML text to a tree that knows the place of everything in it.
//!
//! Reading into typed structs would stop at the first mistake and would let YAML guess types (`0x10`, `yes`, `1_000`).
//! Here every scalar keeps its text as written, duplicate fields are kept, and the checks come after. This is the only
//! place that knows the YAML library.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Location, Spanned};

/// A stretch of the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first byte.
    pub(super) start: usize,
    /// The byte after its last.
    pub(super) end: usize,
}

/// A value and its place. With an alias (`*name`), the place where the value is written out.
pub(super) struct Node {
    /// The whole of a scalar; the beginning of a list or mapping.
    pub(super) span: Span,
    /// What is there.
    pub(super) value: Value,
}

/// What a node holds.
pub(super) enum Value {
    /// Nothing: `field:`, `~` or `null`.
    Null,
    /// Text as written, without quotes.
    Scalar(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping in the order of the file, with duplicates.
    Map(Vec<(Key, Node)>),
}

/// A field's name and its place.
pub(super) struct Key {
    /// The name.
    pub(super) name: String,
    /// Its place.
    pub(super) span: Span,
}

/// The text is not YAML: what the parser says, and where.
pub(super) struct Syntax {
    /// The parser's words.
    pub(super) message: String,
    /// The place; empty spans are possible.
    pub(super) span: Span,
}

/// Reads `text`, one YAML document.
pub(super) fn read(text: &str) -> Result<Node, Syntax> {
    let options = serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(place(raw, text)),
        Err(error) => {
            let span = match error.location() {
                Some(location) => span_of(location, text),
                None => Span { start: 0, end: 0 },
            };
            Err(Syntax { message: without_place(&error.render()), span })
        }
    }
}

/// As the library hands it over; a number or boolean is only a hint to look at the text.
enum Raw {
    Null,
    Typed(String),
    Text(String),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn place(raw: Spanned<Raw>, text: &str) -> Node {
    let span = span_of(raw.defined, text);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Typed(guess) => match text.get(span.start..span.end) {
            Some(written) if !written.is_empty() => Value::Scalar(written.trim().to_owned()),
            _ => Value::Scalar(guess),
        },
        Raw::Text(written) => Value::Scalar(written),
        Raw::Seq(items) => Value::Seq(items.into_iter().map(|item| place(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let span = span_of(key.defined, text);
                    (Key { name: key.value, span }, place(value, text))
                })
                .collect(),
        ),
    };
    Node { span, value }
}

/// The bytes of a place. Syntax errors come with character offsets only.
fn span_of(location: Location, text: &str) -> Span {
    let span = location.span();
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let byte = |chars: u64| text.char_indices().nth(size(chars)).map_or(text.len(), |(at, _)| at);
    let (start, end) = match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(len)) => (size(start), size(start).saturating_add(size(len))),
        _ => (byte(span.offset()), byte(span.offset().saturating_add(span.len()))),
    };
    let start = text.floor_char_boundary(start.min(text.len()));
    let end = text.floor_char_boundary(end.min(text.len()));
    Span { start, end: end.max(start) }
}

/// The parser ends its messages with " at line 3, column 4", which we say in our own way.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    first.rsplit_once(" at line ").map_or(first, |(what, _)| what).to_owned()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
