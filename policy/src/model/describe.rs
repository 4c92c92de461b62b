//! A tree for people: its questions in the features' own units, indented by depth.
//!
//! Below the root one class sees only a part of it, since some questions are about the class itself; with a code given, those
//! are answered instead of shown.

use super::Model;
use super::features::{CLASS, NAMES, in_words};
use super::tree::Node;
use crate::units::ClassId;

/// The questions and answers of a model's tree, one a line, two spaces a level. With a class, only what its jobs may meet.
#[must_use]
pub fn tree(model: &Model, class: Option<ClassId>) -> Vec<String> {
    let code = class.map(|class| model.facts(class).code);
    let mut lines = Vec::new();
    let leaves = model.tree.leaves();
    // Each place still to be shown, how deep it is, and what leads there. The depth of a tree is bounded, so this is too.
    let mut open = vec![(0_usize, 0_usize, String::new())];
    while let Some((place, depth, mut lead)) = open.pop() {
        let indent = "  ".repeat(depth);
        match model.tree.shape().nodes()[place] {
            Node::Leaf { leaf } => lines.push(format!("{indent}{lead}{}", leaves[leaf as usize])),
            Node::Split { feature, threshold, missing_left, left } => {
                let (feature, left) = (usize::from(feature), left as usize);
                if let Some(code) = code.filter(|_| feature == CLASS) {
                    let goes_left = if code.is_nan() { missing_left } else { code <= threshold };
                    open.push((left + usize::from(!goes_left), depth, lead));
                    continue;
                }
                if !lead.is_empty() {
                    lead.truncate(lead.len() - 2);
                    lines.push(format!("{indent}{lead}"));
                }
                let depth = depth + usize::from(!lead.is_empty());
                let [yes, no] = question(feature, threshold, missing_left);
                open.push((left + 1, depth, no + ": "));
                open.push((left, depth, yes + ": "));
            }
        }
    }
    lines
}

/// The two sides of a question, in words.
fn question(feature: usize, threshold: f32, missing_left: bool) -> [String; 2] {
    let (name, at) = (NAMES[feature], in_words(feature, threshold));
    let missing = |here: bool| if here { " or missing" } else { "" };
    // A question that no number is on one side of tells only what is missing from what is there.
    if threshold == f32::MAX || threshold == f32::MIN {
        let [there, not_there] = [format!("{name} is there"), format!("{name} is missing")];
        return if missing_left { [not_there, there] } else { [there, not_there] };
    }
    [format!("{name} ≤ {at}{}", missing(missing_left)), format!("{name} > {at}{}", missing(!missing_left))]
}

/// What has changed between the questions of two trees: where they ask the same feature about another number, and where
/// they ask something else; at most `most` lines.
#[must_use]
pub fn changed_questions(before: &Model, after: &Model, most: usize) -> Vec<String> {
    let (a, b) = (before.tree.shape(), after.tree.shape());
    let mut lines = Vec::new();
    let mut open = vec![(0_usize, 0_usize, "at the root".to_owned())];
    while let Some((in_a, in_b, at)) = open.pop() {
        if lines.len() == most {
            lines.push("… and more below".to_owned());
            break;
        }
        match (a.nodes()[in_a], b.nodes()[in_b]) {
            (
                Node::Split { feature: f, threshold: t, left: l, .. },
                Node::Split { feature: g, threshold: u, left: r, .. },
            ) if f == g => {
                let feature = usize::from(f);
                let [from, to] = [t, u].map(|threshold| in_words(feature, threshold));
                if from != to {
                    lines.push(format!("{at}: {} ≤ {from} is now ≤ {to}", NAMES[feature]));
                }
                let below = |side: &str| {
                    if at == "at the root" {
                        format!("{} {side} {to}", NAMES[feature])
                    } else {
                        format!("{at}, {} {side} {to}", NAMES[feature])
                    }
                };
                open.push((l as usize + 1, r as usize + 1, below(">")));
                open.push((l as usize, r as usize, below("≤")));
            }
            (Node::Leaf { .. }, Node::Leaf { .. }) => {}
            (x, y) => lines.push(format!("{at}: asked {} before, {} now", asked(x), asked(y))),
        }
    }
    lines
}

fn asked(node: Node) -> String {
    match node {
        Node::Leaf { .. } => "nothing".to_owned(),
        Node::Split { feature, threshold, .. } => {
            let feature = usize::from(feature);
            format!("whether {} ≤ {}", NAMES[feature], in_words(feature, threshold))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Row, Window, refit};
    use crate::testing::{Dice, PRIVATE, took};

    /// Jobs of two classes, of which the longer ones also take longer by the byte, from `edge` bytes on.
    fn model(edge: u64) -> Model {
        let mut dice = Dice::new(2);
        let mut window = Window::new(10_000);
        for _ in 0..2000 {
            let (class, bytes) = (dice.below(2) as u16, (dice.uniform() * 1e6) as u64);
            let seconds = if class == 0 {
                0.1
            } else if bytes > edge {
                30.0
            } else {
                10.0
            };
            let mut row: Row = took(class, PRIVATE, seconds * (0.05 * dice.normal()).exp());
            row.job.body_bytes = (dice.uniform() < 0.9).then_some(bytes);
            window.push(row).expect("a label that can be");
        }
        refit(&window, PRIVATE, None).expect("enough labels")
    }

    #[test]
    fn a_tree_is_shown_whole_or_as_one_class_meets_it() {
        let model = model(500_000);
        let whole = tree(&model, None);
        assert!(whole[0].starts_with("class is missing"), "{whole:#?}");
        let leaves = |lines: &[String]| lines.iter().filter(|line| line.contains("home would take")).count();
        assert_eq!(leaves(&whole), model.size().leaves, "{whole:#?}");
        let [short, long] = [0, 1].map(|class| tree(&model, Some(ClassId(class))));
        let strangers = 1;
        assert_eq!(strangers + leaves(&short) + leaves(&long), model.size().leaves, "{short:#?} {long:#?}");
        assert!(long.iter().all(|line| !line.contains("class")), "{long:#?}");
        assert!(long.iter().any(|line| line.contains("body_bytes > ")), "{long:#?}");
        // Each line is a level deeper than its question, and a class's own tree begins at the margin.
        assert!(!long[0].starts_with(' ') && whole.iter().any(|line| line.starts_with("    ")), "{whole:#?}");
    }

    #[test]
    fn what_changed_is_said_and_what_did_not_is_not() {
        assert_eq!(changed_questions(&model(500_000), &model(500_000), 20), Vec::<String>::new());
        let changed = changed_questions(&model(500_000), &model(250_000), 20);
        assert!(
            changed.iter().any(|line| line.contains("body_bytes ≤ ") && line.contains(" is now ≤ ")),
            "{changed:#?}"
        );
        assert_eq!(changed_questions(&model(500_000), &model(250_000), 0), ["… and more below"]);
    }
}
