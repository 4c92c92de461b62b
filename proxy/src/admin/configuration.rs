//! `/config`: the configuration in force, word for word, and what stands in the file instead if that was refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::Seen;
use crate::reload::{InForce, Refused, Wrong};

#[derive(Serialize)]
struct ConfigPage {
    in_force: Option<InForcePage>,
    /// `null` if what the file says is in force.
    refused: Option<RefusedPage>,
    listening: BTreeMap<&'static str, SocketAddr>,
}

#[derive(Serialize)]
struct InForcePage {
    sha256: String,
    read_at_s: u64,
    /// `file`, or `last_good` for the copy kept of one that was in force before.
    from: &'static str,
    text: String,
}

#[derive(Serialize)]
struct RefusedPage {
    sha256: Option<String>,
    read_at_s: u64,
    count: usize,
    errors: Vec<Wrong>,
    shown: String,
}

/// The page, as JSON text.
pub(super) fn page(seen: &Seen<'_>) -> String {
    let (in_force, refused) = seen.book.read();
    let page = ConfigPage {
        in_force: in_force.map(InForcePage::from),
        refused: refused.map(RefusedPage::from),
        listening: seen.listening.iter().map(|(port, address)| (port.word(), *address)).collect(),
    };
    // Every field is a number, a word or a list of such: nothing that could not be written.
    serde_json::to_string_pretty(&page).unwrap_or_default() + "\n"
}

impl From<InForce> for InForcePage {
    fn from(in_force: InForce) -> Self {
        let InForce { text, hash, read_at_s, is_last_good } = in_force;
        let from = if is_last_good { "last_good" } else { "file" };
        Self { sha256: hash, read_at_s, from, text: text.to_string() }
    }
}

impl From<Refused> for RefusedPage {
    fn from(refused: Refused) -> Self {
        let Refused { hash, read_at_s, errors, count, shown } = refused;
        Self { sha256: hash, read_at_s, count, errors, shown }
    }
}
