//! A model as a file: text that people can read and compare, and that goes from one process to another.
//!
//! Inside a process a class and a network are places in its configuration, so a file names both, and [`Named::bind`] finds
//! them again in a configuration that puts them in another order. The document is described in `docs/model.md`; `write`
//! makes it and `read` takes it in. Reading is strict: whatever was truncated, changed, made for other features or is no
//! tree is refused with the reason, and what passes can be scored without looking again. No text makes it panic, or take
//! more memory than a few times the text's own, which is bounded.
//!
//! Only the forms in `document` are serialised; the core types know nothing of it. Nothing is opened here: text comes in
//! and goes out.

mod document;
mod read;
mod refusal;
mod write;

use super::{ClassFacts, Model, Parts, Ratio};
use crate::units::{ClassId, MAX_NETWORKS, NetworkId, PerNetwork};

pub use read::{read, sealed};
pub use refusal::{BadFile, BadNode, Misfit};
pub use write::write;

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u64 = 1;
/// The most bytes a file may have. The largest model there can be has about half of it.
pub const FILE_BYTES_MOST: usize = 8 << 20;
/// The most classes a file may name.
pub const CLASSES_MOST: usize = 4096;
/// The most routes a file may name.
pub const ROUTES_MOST: usize = 1024;
/// The most bytes of one name.
pub const NAME_BYTES_MOST: usize = 256;

/// A model, and what everything in it is called.
///
/// Its own model counts classes and networks by their places in the file, so it can be scored as it is.
#[derive(Clone, Debug)]
pub struct Named {
    model: Model,
    networks: Vec<String>,
    classes: Vec<ClassName>,
    extracts: Vec<Extracts>,
    made_unix_s: u64,
}

/// What a class is called: its route's name, and its own within it, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassName {
    /// The route's.
    pub route: String,
    /// Its own.
    pub class: String,
}

/// What a route extracts, in order: the meaning of `x_0`, `x_1`, … for its jobs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extracts {
    /// The route's name.
    pub route: String,
    /// The names of what it extracts.
    pub names: Vec<String>,
}

/// What stands around a model in one process, by name.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The networks, by their places.
    pub networks: &'a [String],
    /// What each route extracts.
    pub extracts: &'a [Extracts],
}

impl Named {
    /// Names a model of this process. A class that `class` has no name for is left out: whoever reads the file could not
    /// find it.
    #[must_use]
    pub fn of(
        model: &Model,
        around: Surroundings<'_>,
        class: impl Fn(ClassId) -> Option<ClassName>,
        made_unix_s: u64,
    ) -> Self {
        let mut named: Vec<(ClassName, &ClassFacts)> =
            model.classes.iter().filter_map(|facts| Some((class(facts.class)?, facts))).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.dedup_by(|later, first| later.0 == first.0);
        named.truncate(CLASSES_MOST);
        let renumbered =
            named.iter().enumerate().map(|(place, (_, facts))| ClassFacts { class: ClassId(place as u16), ..**facts });
        let classes = renumbered.collect();
        let networks: Vec<String> = around.networks.iter().take(MAX_NETWORKS).cloned().collect();
        let mut extracts = around.extracts.to_vec();
        extracts.sort();
        Self {
            model: model.with_classes(classes),
            networks,
            classes: named.into_iter().map(|(name, _)| name).collect(),
            extracts,
            made_unix_s,
        }
    }

    /// The model, whose classes and networks are places in [`Named::classes`] and [`Named::networks`].
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The networks' names.
    #[must_use]
    pub fn networks(&self) -> &[String] {
        &self.networks
    }

    /// The classes' names.
    #[must_use]
    pub fn classes(&self) -> &[ClassName] {
        &self.classes
    }

    /// What routes extracted when it was made.
    #[must_use]
    pub fn extracts(&self) -> &[Extracts] {
        &self.extracts
    }

    /// What home is called.
    #[must_use]
    pub fn home(&self) -> &str {
        self.networks.get(self.model.home.index()).map_or("", String::as_str)
    }

    /// When it was made, seconds since 1970.
    #[must_use]
    pub fn made_unix_s(&self) -> u64 {
        self.made_unix_s
    }

    /// Everything that stands against using it where these are the networks and what is extracted.
    #[must_use]
    pub fn misfits(&self, home: NetworkId, around: Surroundings<'_>) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        let called = around.networks.get(home.index()).map_or("", String::as_str);
        if called != self.home() {
            misfits.push(Misfit::Home { file: self.home().to_owned(), here: called.to_owned() });
        }
        for here in around.extracts {
            let there = self.extracts.iter().find(|there| there.route == here.route);
            if let Some(there) = there.filter(|there| there.names != here.names) {
                let said = |extracts: &Extracts| extracts.names.join(", ");
                misfits.push(Misfit::Extracts { route: here.route.clone(), file: said(there), here: said(here) });
            }
        }
        misfits
    }

    /// The same model for a process in which classes and networks have these places. Classes and networks that are not
    /// there are left out; a network that the file does not know is taken to be like home, and doubted.
    pub fn bind(
        &self,
        home: NetworkId,
        around: Surroundings<'_>,
        mut class: impl FnMut(&ClassName) -> Option<ClassId>,
    ) -> Result<Model, Misfit> {
        if let Some(misfit) = self.misfits(home, around).into_iter().next() {
            return Err(misfit);
        }
        let moved = |ratios: &PerNetwork<Ratio>| {
            let mut to = PerNetwork::default();
            for place in (0..MAX_NETWORKS).filter_map(NetworkId::new) {
                let name = around.networks.get(place.index());
                let from = name.and_then(|name| self.networks.iter().position(|other| other == name));
                to[place] = match from.and_then(NetworkId::new) {
                    Some(from) => ratios[from],
                    None => Ratio::unknown(),
                };
            }
            to
        };
        let mut classes: Vec<ClassFacts> = self
            .classes
            .iter()
            .zip(&self.model.classes)
            .filter_map(|(name, facts)| {
                Some(ClassFacts { class: class(name)?, code: facts.code, ratios: moved(&facts.ratios) })
            })
            .collect();
        classes.sort_by_key(|facts| facts.class);
        classes.dedup_by_key(|facts| facts.class);
        Ok(Model::new(Parts {
            version: self.model.version,
            rows: self.model.rows,
            // Rows are counted by the window of one process: to the next, all of them are new.
            learned_until: 0,
            home,
            tree: self.model.tree.clone(),
            classes,
            stranger: moved(&self.model.stranger.ratios),
            calibration: self.model.calibration,
        }))
    }
}

#[cfg(test)]
mod tests;
