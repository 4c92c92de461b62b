//! A job's path through the tree, with the configuration's names where the policy, which has none, writes places.

use config::Config;
use policy::{Job, Model};

/// The steps of `job` through the model's tree, and what it comes to. `route` is the one the job came by.
pub(crate) fn tree_path(model: &Model, job: &Job, config: &Config, route: Option<usize>) -> Vec<String> {
    model.path(job).iter().map(|step| named(step, config, route)).collect()
}

/// `network 1: …` becomes `public: …`, and `x_0 > …` becomes `x_size > …`; anything else stays as it is.
fn named(step: &str, config: &Config, route: Option<usize>) -> String {
    let network =
        place(step, "network ", ':').and_then(|(place, rest)| Some((&config.networks.get(place)?.name, rest)));
    let extracted = place(step, "x_", ' ').and_then(|(place, rest)| {
        let extract = config.routes.get(route?)?.extract.get(place)?;
        Some((&extract.name, rest))
    });
    network.or(extracted).map_or_else(|| step.to_owned(), |(name, rest)| format!("{name}{rest}"))
}

/// The number after `before`, and what comes after it, from `end` on.
fn place<'s>(step: &'s str, before: &str, end: char) -> Option<(usize, &'s str)> {
    let rest = step.strip_prefix(before)?;
    let at = rest.find(end)?;
    Some((rest[..at].parse().ok()?, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::generation;

    #[test]
    fn places_become_names_and_the_rest_stays() {
        let generation = generation();
        let check = |step: &str, route, expected: &str| assert_eq!(named(step, &generation.config, route), expected);
        check("network 1: takes half as long", Some(0), "public: takes half as long");
        check("network 7: takes half as long", Some(0), "network 7: takes half as long");
        check("x_0 > 2.5 (it is 4)", Some(0), "x_size > 2.5 (it is 4)");
        check("x_1 > 2.5", Some(0), "x_1 > 2.5");
        check("x_0 > 2.5", None, "x_0 > 2.5");
        check("body bytes > 2.5", Some(0), "body bytes > 2.5");
        check("home would take 0.2 s", Some(0), "home would take 0.2 s");
    }
}
