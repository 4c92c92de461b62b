//! A binary tree as a flat array, checked once when it is built.
//!
//! Everything that could go wrong while a job is scored is looked for here instead: children lie behind their parents and
//! inside the array (so every walk ends), thresholds and leaves are finite, features and leaves exist, no path is longer
//! than [`DEPTH_MOST`]. What passes is a [`Tree`], and walking a `Tree` is total.

use std::fmt;

use super::features::{FEATURES, Features, NAMES, in_words};
use crate::prediction::LEVELS;

/// The longest path a tree may have.
pub const DEPTH_MOST: usize = 12;
/// The most nodes a tree may have, leaves included.
pub const NODES_MOST: usize = 1 << DEPTH_MOST;

/// One node. The children of a split are neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// A question about one feature.
    Split {
        /// Which feature.
        feature: u8,
        /// Values up to this go left.
        threshold: f32,
        /// Whether jobs that lack the feature go left.
        missing_left: bool,
        /// The left child's place; the right child's is the next.
        left: u32,
    },
    /// The answer.
    Leaf {
        /// Its number among the leaves.
        leaf: u32,
    },
}

/// What is known of the jobs that end in one leaf, in home-equivalent figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaf {
    /// Mean time, seconds.
    pub mean_s: f64,
    /// Quantiles of time at [`LEVELS`], seconds.
    pub quantiles_s: [f64; LEVELS.len()],
    /// Mean CPU seconds, where labels said.
    pub cpu_s: Option<f64>,
    /// Mean memory, where labels said.
    pub memory_bytes: Option<f64>,
    /// Mean bytes of the answer, where labels said.
    pub response_bytes: Option<f64>,
    /// Labels of jobs that ran to their end.
    pub labels: u32,
    /// Labels of jobs that were stopped before it.
    pub censored: u32,
}

/// Why an array of nodes is not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTree {
    /// No node, or too many.
    #[error("a tree has 1 to {NODES_MOST} nodes; this has {0}")]
    Nodes(usize),
    /// A child that is not behind its parent, not there, or has two parents.
    #[error("the children of node {0} are not two later nodes of its own")]
    Children(usize),
    /// A feature that does not exist, or a threshold that is no number.
    #[error("node {0} asks about no feature or compares with no number")]
    Split(usize),
    /// A leaf that does not exist.
    #[error("node {0} names a leaf that is not there")]
    Leaf(usize),
    /// A path that is too long.
    #[error("node {0} is deeper than {DEPTH_MOST}")]
    Depth(usize),
    /// Figures that cannot be a leaf's.
    #[error("leaf {0} has a time that is not finite and positive, or quantiles that decrease")]
    Figures(usize),
}

/// The questions of a tree, without the answers: which leaf a job ends in.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    nodes: Vec<Node>,
    leaves: usize,
    depth: usize,
}

impl Shape {
    /// Checks `nodes`; the root is the first.
    pub fn new(nodes: Vec<Node>) -> Result<Self, BadTree> {
        if nodes.is_empty() || nodes.len() > NODES_MOST {
            return Err(BadTree::Nodes(nodes.len()));
        }
        let leaves = nodes.iter().filter(|node| matches!(node, Node::Leaf { .. })).count();
        let mut depths = vec![None; nodes.len()];
        depths[0] = Some(0);
        let mut deepest = 0;
        for (place, node) in nodes.iter().enumerate() {
            // A node that no earlier one names as a child is not reachable: its would-be parent has the wrong children.
            let depth: usize = depths[place].ok_or(BadTree::Children(place))?;
            deepest = deepest.max(depth);
            match *node {
                Node::Split { feature, threshold, left, .. } => {
                    if usize::from(feature) >= FEATURES || !threshold.is_finite() {
                        return Err(BadTree::Split(place));
                    }
                    if depth == DEPTH_MOST {
                        return Err(BadTree::Depth(place));
                    }
                    let left = left as usize;
                    if left <= place || left + 1 >= nodes.len() {
                        return Err(BadTree::Children(place));
                    }
                    for child in [left, left + 1] {
                        if depths[child].replace(depth + 1).is_some() {
                            return Err(BadTree::Children(place));
                        }
                    }
                }
                Node::Leaf { leaf } if leaf as usize >= leaves => return Err(BadTree::Leaf(place)),
                Node::Leaf { .. } => {}
            }
        }
        Ok(Self { nodes, leaves, depth: deepest })
    }

    /// Its nodes, the root first.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many nodes it has, leaves included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: a shape has a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// How many leaves it has.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// Its longest path.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The number of the leaf that `row` ends in.
    #[must_use]
    pub fn leaf_of(&self, row: &Features) -> usize {
        let mut place = 0;
        loop {
            match self.nodes[place] {
                Node::Leaf { leaf } => return leaf as usize,
                Node::Split { left, .. } => place = left as usize + usize::from(!goes_left(&self.nodes[place], row)),
            }
        }
    }

    /// The questions that `row` is asked, and its answers, one line each.
    pub(crate) fn path(&self, row: &Features) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.depth + 1);
        let mut place = 0;
        while let Node::Split { feature, threshold, left, .. } = self.nodes[place] {
            let feature = usize::from(feature);
            let yes = goes_left(&self.nodes[place], row);
            lines.push(format!(
                "{} {} {} (it is {})",
                NAMES[feature],
                if yes { "≤" } else { ">" },
                in_words(feature, threshold),
                in_words(feature, row[feature]),
            ));
            place = left as usize + usize::from(!yes);
        }
        lines
    }
}

/// Whether `row` goes left at `node`; a leaf has no left.
fn goes_left(node: &Node, row: &Features) -> bool {
    let Node::Split { feature, threshold, missing_left, .. } = *node else { return false };
    let value = row[usize::from(feature)];
    if value.is_nan() { missing_left } else { value <= threshold }
}

/// A checked tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    shape: Shape,
    leaves: Vec<Leaf>,
}

impl Tree {
    /// A tree of this shape whose leaf number n is `leaves[n]`.
    pub fn new(shape: Shape, leaves: Vec<Leaf>) -> Result<Self, BadTree> {
        if leaves.len() < shape.leaves() {
            return Err(BadTree::Leaf(leaves.len()));
        }
        match leaves.iter().position(|leaf| !leaf.is_sound()) {
            Some(place) => Err(BadTree::Figures(place)),
            None => Ok(Self { shape, leaves }),
        }
    }

    /// The leaf that `row` ends in.
    #[must_use]
    pub fn leaf(&self, row: &Features) -> &Leaf {
        &self.leaves[self.shape.leaf_of(row)]
    }

    /// Its answers, by their numbers.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The same tree, each leaf's interval narrowed by `by` in log time at each end, and the inner quantiles by half of it.
    pub(crate) fn narrowed(&self, by: f64) -> Self {
        let mut tree = self.clone();
        for leaf in &mut tree.leaves {
            let [lowest, low, median, high, highest] = leaf.quantiles_s;
            let (half, whole) = ((by / 2.0).exp(), by.exp());
            let (low, high) = ((low * half).min(median), (high / half).max(median));
            leaf.quantiles_s = [(lowest * whole).min(low), low, median, high, (highest / whole).max(high)];
        }
        tree
    }

    /// Its questions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

impl Leaf {
    /// Whether its figures can be a leaf's.
    fn is_sound(&self) -> bool {
        let times = self.quantiles_s.iter().chain([&self.mean_s]).all(|s| s.is_finite() && *s > 0.0);
        let uses = [self.cpu_s, self.memory_bytes, self.response_bytes].into_iter().flatten();
        times && self.quantiles_s.is_sorted() && uses.into_iter().all(|u| u.is_finite() && u >= 0.0)
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, _, median, _, high] = self.quantiles_s;
        write!(
            f,
            "home would take {:.3} s on average, {median:.3} s at the median, {low:.3} to {high:.3} s in 80 %; {} labels",
            self.mean_s, self.labels
        )?;
        if self.censored > 0 { write!(f, " and {} stopped early", self.censored) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn leaf(seconds: f64) -> Leaf {
        Leaf {
            mean_s: seconds,
            quantiles_s: [seconds; LEVELS.len()],
            cpu_s: None,
            memory_bytes: None,
            response_bytes: None,
            labels: 1,
            censored: 0,
        }
    }

    fn split(feature: u8, threshold: f32, left: u32) -> Node {
        Node::Split { feature, threshold, missing_left: true, left }
    }

    #[test]
    fn a_row_ends_where_its_answers_lead() {
        let nodes = vec![
            split(1, 2.0, 1),
            Node::Leaf { leaf: 0 },
            split(3, 5.0, 3),
            Node::Leaf { leaf: 1 },
            Node::Leaf { leaf: 2 },
        ];
        let shape = Shape::new(nodes).expect("a tree");
        assert_eq!((shape.leaves(), shape.depth()), (3, 2));
        let check = |x1, x3, expected| {
            let mut row = [0.0; FEATURES];
            (row[1], row[3]) = (x1, x3);
            assert_eq!(shape.leaf_of(&row), expected);
        };
        check(2.0, 9.0, 0);
        check(f32::NAN, 9.0, 0);
        check(2.1, 5.0, 1);
        check(2.1, 5.1, 2);
        check(2.1, f32::NAN, 1);
    }

    #[test]
    fn what_is_not_a_tree_is_refused() {
        let leaf_node = Node::Leaf { leaf: 0 };
        let check = |nodes: Vec<Node>, expected| assert_eq!(Shape::new(nodes).map(|_| ()), Err(expected));
        check(vec![], BadTree::Nodes(0));
        check(vec![leaf_node; NODES_MOST + 1], BadTree::Nodes(NODES_MOST + 1));
        check(vec![split(0, 0.0, 0)], BadTree::Children(0));
        check(vec![split(0, 0.0, 1), leaf_node], BadTree::Children(0));
        check(vec![split(0, 0.0, u32::MAX), leaf_node], BadTree::Children(0));
        check(vec![split(0, 0.0, 1), split(0, 0.0, 2), leaf_node, leaf_node], BadTree::Children(1));
        check(vec![leaf_node, leaf_node], BadTree::Children(1));
        check(vec![split(99, 0.0, 1), leaf_node, leaf_node], BadTree::Split(0));
        check(vec![split(0, f32::NAN, 1), leaf_node, leaf_node], BadTree::Split(0));
        check(vec![Node::Leaf { leaf: 1 }], BadTree::Leaf(0));
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let chain = |splits: u32| {
            let mut nodes = Vec::new();
            for i in 0..splits {
                nodes.push(split(0, 0.0, 2 * i + 1));
                nodes.push(Node::Leaf { leaf: i });
            }
            // Each split stands before its left leaf; reorder so that children are neighbours.
            let mut ordered = vec![nodes[0]];
            for i in 0..splits {
                ordered.push(Node::Leaf { leaf: i });
                ordered.push(if i + 1 < splits { split(0, 0.0, 2 * i + 3) } else { Node::Leaf { leaf: i } });
            }
            Shape::new(ordered)
        };
        assert_eq!(chain(12).expect("just not too deep").depth(), 12);
        assert_eq!(chain(13), Err(BadTree::Depth(24)));
    }

    #[test]
    fn leaves_that_cannot_be_are_refused() {
        let check = |bad: Leaf| {
            let shape = Shape::new(vec![Node::Leaf { leaf: 0 }]).expect("one leaf");
            assert_eq!(Tree::new(shape, vec![bad]), Err(BadTree::Figures(0)));
        };
        check(leaf(f64::NAN));
        check(leaf(0.0));
        check(Leaf { quantiles_s: [1.0, 2.0, 1.5, 3.0, 4.0], ..leaf(1.0) });
        check(Leaf { cpu_s: Some(f64::INFINITY), ..leaf(1.0) });
        let shape = Shape::new(vec![Node::Leaf { leaf: 0 }]).expect("one leaf");
        assert_eq!(Tree::new(shape, vec![]), Err(BadTree::Leaf(0)));
    }

    fn any_node() -> impl Strategy<Value = Node> {
        prop_oneof![
            (0_u8..12, any::<f32>(), any::<bool>(), 0_u32..12).prop_map(|(feature, threshold, missing_left, left)| {
                Node::Split { feature, threshold, missing_left, left }
            }),
            (0_u32..8).prop_map(|leaf| Node::Leaf { leaf }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_passes_the_check_can_be_walked(
            nodes in prop::collection::vec(any_node(), 0..9),
            row in prop::array::uniform9(any::<f32>()),
        ) {
            if let Ok(shape) = Shape::new(nodes) {
                prop_assert!(shape.leaf_of(&row) < shape.leaves());
                prop_assert!(shape.path(&row).len() <= DEPTH_MOST);
            }
        }
    }
}
