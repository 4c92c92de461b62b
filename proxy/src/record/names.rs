//! The names that lines say, as JSON already: escaped once for each configuration and each class, not once a line.

use std::sync::{Arc, Weak};

use policy::{ClassId, NetworkId, NetworkSet, PerNetwork};

use super::json::quoted;
use super::line::network_name;
use crate::generation::{Classes, Generation};

/// Names of one configuration, and of the classes that were met.
#[derive(Debug)]
pub(super) struct Names<'c> {
    /// Whose they are. Weak: names keep no configuration alive; and as long as it stands here, no other has its address.
    generation: Weak<Generation>,
    /// The networks it has.
    known: NetworkSet,
    /// Of every network there can be.
    networks: PerNetwork<Box<str>>,
    routes: Vec<Box<str>>,
    register: &'c Classes,
    /// By their ids, which the register never gives to another. It is bounded, and so are they.
    classes: Vec<Option<Box<str>>>,
}

impl<'c> Names<'c> {
    pub(super) fn new(register: &'c Classes) -> Self {
        Self {
            generation: Weak::new(),
            known: NetworkSet::EMPTY,
            networks: PerNetwork::default(),
            routes: Vec::new(),
            register,
            classes: Vec::new(),
        }
    }

    /// From now on, networks and routes are `generation`'s.
    pub(super) fn turn_to(&mut self, generation: &Arc<Generation>) {
        if self.generation.as_ptr() == Arc::as_ptr(generation) {
            return;
        }
        self.generation = Arc::downgrade(generation);
        self.known = generation.config.network_ids().collect();
        for network in NetworkSet::ALL.iter() {
            self.networks[network] = quoted(&network_name(generation, network));
        }
        self.routes.clear();
        self.routes.extend(generation.config.routes.iter().map(|route| quoted(&route.name)));
    }

    /// The networks that the configuration has.
    pub(super) fn known(&self) -> NetworkSet {
        self.known
    }

    pub(super) fn network(&self, network: NetworkId) -> &str {
        &self.networks[network]
    }

    /// `null` for none.
    pub(super) fn route(&self, route: Option<usize>) -> &str {
        route.and_then(|route| self.routes.get(route)).map_or("null", |name| name)
    }

    /// Without its route's; empty if the register does not have it.
    pub(super) fn class(&mut self, class: ClassId) -> &str {
        let place = usize::from(class.0);
        if self.classes.get(place).is_none_or(Option::is_none) {
            let Some((_, name)) = self.register.name(class) else { return "\"\"" };
            if self.classes.len() <= place {
                self.classes.resize(place + 1, None);
            }
            self.classes[place] = Some(quoted(&name));
        }
        self.classes[place].as_deref().unwrap_or("\"\"")
    }
}
