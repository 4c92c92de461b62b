//! What classes, networks and extracted numbers are called: a model that leaves the process must say so.

use std::sync::Arc;

use config::Config;
use policy::model::file::{self, ClassName, Extracts, Misfit, Named, Surroundings};
use policy::{ClassId, Model, NetworkId};

use crate::clock;
use crate::generation::Classes;

/// The class of what no route takes has this for its route.
pub(crate) const UNROUTED: &str = "-";

/// The names of one configuration, and the register of classes.
#[derive(Debug)]
pub(super) struct Names {
    home: NetworkId,
    networks: Vec<String>,
    extracts: Vec<Extracts>,
    routes: Vec<String>,
    classes: Arc<Classes>,
}

impl Names {
    pub(super) fn new(config: &Config, classes: Arc<Classes>) -> Self {
        Self {
            home: config.home,
            networks: networks(config),
            extracts: extracts(config),
            routes: config.routes.iter().map(|route| route.name.clone()).collect(),
            classes,
        }
    }

    /// The names of another configuration, and the same register.
    pub(super) fn following(&self, config: &Config) -> Self {
        Self::new(config, Arc::clone(&self.classes))
    }

    /// The model with names.
    pub(super) fn of(&self, model: &Model) -> Named {
        let name = |class: ClassId| {
            let (route, class) = self.classes.name(class)?;
            Some(ClassName { route: route.into(), class: class.into() })
        };
        Named::of(model, self.around(), name, clock::unix_ms() / 1000)
    }

    /// The model's file.
    pub(super) fn text(&self, model: &Model) -> String {
        file::write(&self.of(model))
    }

    /// A model that was read, with this process's numbers for what it names. Classes of routes that are there no more are
    /// left out, or they would take places in the register.
    pub(super) fn bind(&self, named: &Named) -> Result<Model, Misfit> {
        named.bind(self.home, self.around(), |name| {
            let routed = name.route == UNROUTED || self.routes.contains(&name.route);
            routed.then(|| self.classes.id(&name.route, &name.class))
        })
    }

    /// What a network is called, for people.
    pub(super) fn network(&self, network: NetworkId) -> &str {
        self.networks.get(network.index()).map_or("?", String::as_str)
    }

    /// What a class is called, for people.
    pub(super) fn class(&self, class: ClassId) -> String {
        self.classes.name(class).map_or_else(|| "?".to_owned(), |(route, class)| format!("{route}/{class}"))
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings { networks: &self.networks, extracts: &self.extracts }
    }
}

/// The networks' names, by their places.
pub(crate) fn networks(config: &Config) -> Vec<String> {
    config.networks.iter().map(|network| network.name.clone()).collect()
}

/// What each route extracts.
pub(crate) fn extracts(config: &Config) -> Vec<Extracts> {
    let of = |route: &config::value::Route| Extracts {
        route: route.name.clone(),
        names: route.extract.iter().map(|extract| extract.name.clone()).collect(),
    };
    config.routes.iter().map(of).filter(|extracts| !extracts.names.is_empty()).collect()
}
