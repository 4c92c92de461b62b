//! Why a file is not a model, or not one for this process. Each says what is wrong and what to do.

use super::{CLASSES_MOST, FILE_BYTES_MOST, FORMAT, NAME_BYTES_MOST};
use crate::model::features::FEATURES;
use crate::model::tree::BadTree;
use crate::units::MAX_NETWORKS;

/// Why a text is not a model.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It is larger than any model.
    #[error("it has {0} bytes, and no model has more than {FILE_BYTES_MOST}: is it the right file?")]
    TooLarge(usize),
    /// It does not begin like one.
    #[error("it does not begin like a model file: is it the right file? `adumbra model train` makes one")]
    Foreign,
    /// It is of another version of the format.
    #[error(
        "it is of version {0} of the format, and this adumbra reads version {FORMAT}: train it again with this adumbra"
    )]
    Format(u64),
    /// Its end is missing.
    #[error("its end is missing: the copy was cut off; copy it again, or go back to an earlier version")]
    Truncated,
    /// Its checksum is not that of what it says.
    #[error(
        "its checksum is {said}, and that of its content is {is}: it was damaged, or edited by hand; copy it again, or put \
         the second one in its first line if the change is meant"
    )]
    Checksum {
        /// What its first line says.
        said: String,
        /// What it is.
        is: String,
    },
    /// It is not JSON, or not a model's.
    #[error("it is not the document that docs/model.md describes")]
    Malformed(#[source] serde_json::Error),
    /// It is about other features.
    #[error(
        "its features or quantiles (schema {0}) are not those of this adumbra (schema {1}): train it again with this adumbra"
    )]
    Schema(String, String),
    /// A count that cannot be.
    #[error("{what} is {is}, and can be {most} at the most: it was not written by adumbra")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        is: u64,
        /// How many there may be.
        most: u64,
    },
    /// Too many classes, networks or routes.
    #[error("it names more than {CLASSES_MOST} classes, {MAX_NETWORKS} networks or as many routes as no adumbra has")]
    Crowded,
    /// A name that is too long, or empty where it may not be.
    #[error("the name `{}` is empty or has more than {NAME_BYTES_MOST} bytes", shortened(.0))]
    Name(String),
    /// A name that is there twice.
    #[error("`{}` is there twice", shortened(.0))]
    Repeated(String),
    /// Classes in another order than they are written in.
    #[error(
        "class {0} is not behind the one before it: they stand in the order of their routes' and their own names, each once"
    )]
    Unordered(usize),
    /// A network that the file does not list.
    #[error("{at} speaks of network `{}`, which the file's `networks` do not list", shortened(.network))]
    Network {
        /// Where.
        at: String,
        /// Which.
        network: String,
    },
    /// A ratio that cannot be.
    #[error("{0} has a ratio or a doubt that is no number a model could have")]
    Ratio(String),
    /// A class's feature that cannot be.
    #[error("{0} has a `log_s` that is no number a model could have")]
    Code(String),
    /// A calibration that cannot be.
    #[error("its calibration has a number that no model could have")]
    Calibration,
    /// A node that is neither a question nor a leaf.
    #[error("node {0}: {1}")]
    Node(usize, BadNode),
    /// Nodes or leaves that are no tree.
    #[error("its nodes and leaves are no tree; train it again, or go back to an earlier version")]
    Tree(#[from] BadTree),
    /// Leaves that nothing leads to, or too few of them.
    #[error("it has {leaves} leaves, and its nodes ask for {asked}")]
    Leaves {
        /// Leaves there are.
        leaves: usize,
        /// Leaves the nodes name.
        asked: usize,
    },
    /// A leaf whose figures are beyond any job.
    #[error("leaf {0} has a time or a resource that no job could take")]
    Figures(usize),
}

impl BadFile {
    /// One word for it, as a metric label has it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::Foreign => "foreign",
            Self::Format(_) => "format",
            Self::Truncated => "truncated",
            Self::Checksum { .. } => "checksum",
            Self::Schema(..) => "schema",
            Self::Malformed(_)
            | Self::Count { .. }
            | Self::Crowded
            | Self::Name(_)
            | Self::Repeated(_)
            | Self::Unordered(_)
            | Self::Network { .. }
            | Self::Ratio(_)
            | Self::Code(_)
            | Self::Calibration
            | Self::Node(..)
            | Self::Tree(_)
            | Self::Leaves { .. }
            | Self::Figures(_) => "invalid",
        }
    }
}

/// Why a node is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNode {
    /// Both or neither.
    #[error("it must have either `leaf`, or all of `feature`, `up_to`, `missing` and `left`")]
    Neither,
    /// A feature that there is not.
    #[error("there is no feature `{}`; there are {FEATURES}", shortened(.0))]
    Feature(String),
    /// A threshold that is no finite number.
    #[error("`up_to` is no finite number of single precision")]
    Threshold,
}

/// Why a model does not fit a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Its times are another network's.
    #[error("its times are those of home `{file}`, and home is `{here}` here: train one for this home")]
    Home {
        /// The file's home.
        file: String,
        /// The configuration's.
        here: String,
    },
    /// Its `x_*` mean something else.
    #[error(
        "route `{route}` extracted [{file}] when it was made, and extracts [{here}] now: the same questions would be asked of \
         other numbers; put them back in that order, or train it again"
    )]
    Extracts {
        /// Which route.
        route: String,
        /// What the file says.
        file: String,
        /// What the configuration says.
        here: String,
    },
}

/// A name that came from a file, as far as it fits a line.
fn shortened(name: &str) -> String {
    let end = name.floor_char_boundary(40);
    let shown: String = name[..end].chars().flat_map(char::escape_debug).collect();
    if end < name.len() { shown + "…" } else { shown }
}
