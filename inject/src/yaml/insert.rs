//! Additions as lines in a text, so that its comments, its order and its quotes stay as somebody wrote them.
//!
//! Only where the place is written by indentation, and whoever calls reads the result again: this is about texts, and
//! what a text says is not decided here.

use super::load::{Node, What};
use super::write::write;
use crate::patch::{Add, Path, Step};

/// `text` with all of `patch` in it; `None` if a place of it is not written by indentation, line by line.
#[must_use]
pub fn insert(text: &str, root: &Node, patch: &[Add]) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut additions = patch.iter().map(|add| addition(&lines, root, add)).collect::<Option<Vec<_>>>()?;
    // Stable: what comes to one place comes in the order of the patch.
    additions.sort_by_key(|(line, _)| *line);
    let ending = if lines.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let mut whole = String::with_capacity(text.len() + 4096);
    let mut additions = additions.into_iter().peekable();
    for number in 0..=lines.len() {
        while let Some((_, added)) = additions.next_if(|(line, _)| *line == number) {
            if !whole.is_empty() && !whole.ends_with('\n') {
                whole.push_str(ending);
            }
            whole.push_str(&added.replace('\n', ending));
        }
        whole.push_str(lines.get(number).copied().unwrap_or_default());
    }
    additions.next().is_none().then_some(whole)
}

/// The line before which something is added, from 0, and its text.
fn addition(lines: &[&str], root: &Node, add: &Add) -> Option<(usize, String)> {
    let (last, way) = add.path.0.split_last()?;
    let parent = find(root, &Path(way.to_vec()))?;
    match (&parent.what, last) {
        (What::Mapping(members), Step::Key(key)) => {
            // Before the first member, where nothing can be in between; the comment above it stays above it all.
            let (_, first, _) = members.iter().min_by_key(|(_, place, _)| place.line())?;
            let line = first.line().checked_sub(1)?;
            let before: String = lines.get(line)?.chars().take(first.col()).collect();
            let member = serde_json::json!({ key: add.value });
            before.chars().all(|char| char == ' ').then(|| (line, write(&member, first.col())))
        }
        (What::Sequence(items), Step::End) => {
            let (first, last) = (items.first()?, items.last()?);
            let column = dash(lines, parent, first)?;
            // A block scalar ends where the next line begins.
            let line = if last.end.col() == 0 { last.end.line().checked_sub(1)? } else { last.end.line() };
            Some((line, write(&serde_json::json!([add.value]), column)))
        }
        _ => None,
    }
}

fn find<'n>(root: &'n Node, path: &Path) -> Option<&'n Node> {
    let found = path.0.iter().try_fold(root, |node, step| match (&node.what, step) {
        (What::Mapping(members), Step::Key(key)) if node.block => {
            members.iter().find(|(known, ..)| known == key).map(|(.., value)| value)
        }
        (What::Sequence(items), Step::Item(place)) if node.block => items.get(*place),
        _ => None,
    })?;
    found.block.then_some(found)
}

/// The column of a list's dashes.
fn dash(lines: &[&str], list: &Node, first: &Node) -> Option<usize> {
    let line = lines.get(list.start.line().checked_sub(1)?)?;
    let column = line.chars().position(|char| char != ' ')?;
    (line.chars().nth(column) == Some('-') && first.start.line() >= list.start.line()).then_some(column)
}
