//! A name, or what makes one from a request: text with places of the request in it.
//!
//! A value that stands in a name between separators is taken to be where the name comes from. That it is chance shows by
//! itself: with the next value the pattern makes another name than is fetched, and loses confidence.

use super::{Feature, NAME_MOST};

/// Shorter values are too often in a name by chance.
const VALUE_LEAST: usize = 3;

/// What makes a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// What stands there in the request.
    Place(Box<str>),
}

impl Pattern {
    /// Makes this name of every request.
    pub(super) fn literal(name: &str) -> Self {
        Self(Box::new([Piece::Text(name.into())]))
    }

    /// What makes `name` from these features and would make others from others; `None` if none of them stands in it.
    pub(super) fn after(name: &str, features: &[Feature]) -> Option<Self> {
        let mut by_length: Vec<&Feature> = features.iter().filter(|f| f.value.len() >= VALUE_LEAST).collect();
        // The longest first: `a/b` says more than the `a` in it. The sort is stable, so the same request makes the same pattern.
        by_length.sort_by_key(|feature| std::cmp::Reverse(feature.value.len()));
        // A name's origin is not made from a request.
        let from = name.find("://").map_or(0, |at| at + 3);
        let from = name[from..].find('/').map(|at| from + at)?;
        let mut pieces = vec![Piece::Text(name[from..].into())];
        for feature in by_length {
            if is_plain(&feature.value) {
                pieces = pieces.into_iter().flat_map(|piece| split(piece, feature)).collect();
            }
        }
        pieces.insert(0, Piece::Text(name[..from].into()));
        let varies = pieces.iter().any(|piece| matches!(piece, Piece::Place(_)));
        varies.then(|| Self(pieces.into()))
    }

    /// The name that it makes of a request with these features; `None` if one is missing, or could change more of the name
    /// than its own part.
    pub(super) fn name(&self, features: &[Feature]) -> Option<Box<str>> {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Place(place) => {
                    let feature = features.iter().find(|feature| feature.place == *place)?;
                    if !is_plain(&feature.value) {
                        return None;
                    }
                    name.push_str(&feature.value);
                }
            }
            if name.len() > NAME_MOST {
                return None;
            }
        }
        Some(name.into())
    }
}

/// Whether a value says the same wherever it stands in a name: it opens no query, and leads nowhere else.
fn is_plain(value: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'%' | b'+');
    let moves =
        |segment: &str| matches!(segment, "." | ".." | "") || segment.contains("%2e") || segment.contains("%2E");
    !value.is_empty() && value.bytes().all(plain) && !value.trim_matches('/').split('/').any(moves)
}

/// A piece, with the first place where the value stands by itself taken out of it.
fn split(piece: Piece, feature: &Feature) -> Vec<Piece> {
    let Piece::Text(text) = &piece else { return vec![piece] };
    let ends = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let by_itself = |at: &usize| {
        ends(at.checked_sub(1).and_then(|before| text.as_bytes().get(before)))
            && ends(text.as_bytes().get(at + feature.value.len()))
    };
    let Some(at) = text.match_indices(&*feature.value).map(|(at, _)| at).find(by_itself) else { return vec![piece] };
    let (before, after) = (&text[..at], &text[at + feature.value.len()..]);
    let text = |text: &str| (!text.is_empty()).then(|| Piece::Text(text.into()));
    [text(before), Some(Piece::Place(feature.place.clone())), text(after)].into_iter().flatten().collect()
}
