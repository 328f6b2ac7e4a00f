//! What an expression says: text, with holes where it says what only the run knows.

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Hole {
        /// As the source has it.
        name: String,
        /// `{:?}`.
        debug: bool,
        /// The argument that it is, of the function or closure with this address.
        argument: Option<(usize, usize)>,
    },
}

/// One of the things that an expression may say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub(crate) pieces: Vec<Piece>,
    /// Nothing: `None`.
    pub(crate) absent: bool,
    /// At which branches it comes about, and which way each goes.
    pub(crate) choices: Vec<(usize, usize)>,
}

impl Text {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Text(text.into())], ..Self::default() }
    }

    pub(crate) fn hole(name: impl Into<String>) -> Self {
        let hole = Piece::Hole { name: name.into(), debug: false, argument: None };
        Self { pieces: vec![hole], ..Self::default() }
    }

    pub(crate) fn absent() -> Self {
        Self { absent: true, ..Self::default() }
    }

    fn choosing(mut self, at: usize, way: usize) -> Self {
        self.choices.push((at, way));
        self
    }

    /// Whether anything of it is in words.
    pub(crate) fn speaks(&self) -> bool {
        let words = |p: &Piece| matches!(p, Piece::Text(t) if t.chars().any(char::is_alphabetic));
        self.pieces.iter().any(words)
    }

    /// The argument that it is and nothing else.
    pub(crate) fn argument(&self) -> Option<(usize, usize)> {
        match self.pieces.as_slice() {
            [Piece::Hole { argument, .. }] => *argument,
            _ => None,
        }
    }

    /// Whether both can come about at once.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        let against = |a: &(usize, usize)| other.choices.iter().any(|b| a.0 == b.0 && a.1 != b.1);
        !self.choices.iter().any(against)
    }
}

/// More of them than these are shown one at a time.
const TOGETHER: usize = 12;
pub(crate) fn chosen(at: usize, ways: impl IntoIterator<Item = Vec<Text>>) -> Vec<Text> {
    let ways = ways.into_iter().enumerate();
    once(ways.flat_map(|(way, all)| all.into_iter().map(move |t| t.choosing(at, way))).collect())
}

/// Each text once; of what says the same, the ways to it do not matter where there are many.
pub(crate) fn once(all: Vec<Text>) -> Vec<Text> {
    let mut kept: Vec<Text> = Vec::new();
    for text in all {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

/// All of what the parts may say, one after another.
pub(crate) fn joined(parts: impl IntoIterator<Item = Vec<Text>>) -> Vec<Text> {
    let parts: Vec<Vec<Text>> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    let all: usize = parts.iter().map(Vec::len).product();
    let ways: Vec<Vec<&Text>> = if all <= TOGETHER {
        parts.iter().fold(vec![Vec::new()], |ways, part| {
            let with = |way: &Vec<_>| {
                let way = way.clone();
                part.iter().map(move |t| way.iter().copied().chain([t]).collect::<Vec<_>>())
            };
            ways.iter().flat_map(with).collect()
        })
    } else {
        let first = || parts.iter().map(|p| &p[0]).collect::<Vec<_>>();
        let mut ways = vec![first()];
        for (number, part) in parts.iter().enumerate() {
            for text in &part[1..] {
                let mut way = first();
                way[number] = text;
                ways.push(way);
            }
        }
        ways
    };
    let possible = ways.into_iter().filter(|way| {
        way.iter().enumerate().all(|(n, a)| way[n + 1..].iter().all(|b| a.goes_with(b)))
    });
    let join = |way: Vec<&Text>| {
        let mut text = Text::default();
        for part in way {
            text.pieces.extend(part.pieces.iter().cloned());
            text.choices.extend(part.choices.iter().copied());
        }
        text
    };
    once(possible.map(join).collect())
}

/// As `{:?}` shows it.
pub(crate) fn quoted(all: Vec<Text>) -> Vec<Text> {
    let quote = |mut text: Text| {
        if text.speaks() {
            text.pieces.insert(0, Piece::Text("\"".into()));
            text.pieces.push(Piece::Text("\"".into()));
        } else {
            for piece in &mut text.pieces {
                if let Piece::Hole { debug, .. } = piece {
                    *debug = true;
                }
            }
        }
        text
    };
    all.into_iter().map(quote).collect()
}

pub(crate) enum Part {
    Text(String),
    Argument { name: String, debug: bool },
}

/// A format string in its parts.
pub(crate) fn split(template: &str) -> Vec<Part> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.next_if_eq(&c).is_some() => text.push(c),
            '{' => {
                let inner: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let (name, form) = inner.split_once(':').unwrap_or((&inner, ""));
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Argument { name: name.trim().into(), debug: form.contains('?') });
            }
            _ => text.push(c),
        }
    }
    parts.push(Part::Text(text));
    parts.retain(|p| !matches!(p, Part::Text(t) if t.is_empty()));
    parts
}
