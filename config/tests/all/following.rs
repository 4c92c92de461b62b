//! A configuration that follows another without a restart: networks keep their places, and what cannot change is named.

use config::{Config, Fault, parse, parse_after};
use policy::NetworkId;

fn text(networks: &[&str], rest: &str) -> String {
    let tables = networks.iter().map(|name| format!("networks.{name}.upstreams = ['http://{name}']\n"));
    format!("home = 'a'\nlisten.jobs = '127.0.0.1:1'\n{}{rest}\n", tables.collect::<String>())
}

fn first(networks: &[&str]) -> Config {
    parse(&text(networks, ""), "first").unwrap_or_else(|errors| panic!("{errors}"))
}

fn then(before: &Config, networks: &[&str], rest: &str) -> Config {
    parse_after(&text(networks, rest), "then", before).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The names of the networks in force, by their places.
fn places(config: &Config) -> Vec<(usize, String)> {
    config.network_ids().map(|id| (id.index(), config.network(id).name.clone())).collect()
}

#[track_caller]
fn check(config: &Config, expected: &[(usize, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(place, name)| (*place, (*name).to_owned())).collect();
    assert_eq!(places(config), expected);
}

#[test]
fn networks_keep_their_places_wherever_they_stand() {
    let one = first(&["a", "b", "c"]);
    check(&one, &[(0, "a"), (1, "b"), (2, "c")]);
    let two = then(&one, &["c", "d", "a"], "");
    check(&two, &[(0, "a"), (2, "c"), (3, "d")]);
    assert!(two.retired.contains(NetworkId::new(1).expect("a place")), "nobody else has the place of `b`");
    assert_eq!(two.networks[1].name, "b");
    let three = then(&two, &["e", "b", "a"], "");
    check(&three, &[(0, "a"), (1, "b"), (4, "e")]);
    assert_eq!(three.home.index(), 0);
}

#[test]
fn what_names_networks_means_their_places() {
    let one = first(&["a", "b"]);
    let routes = "[[routes]]\nname = 'r'\nmatch.path = '/r'\nresidency = ['c', 'a']\n[[routes]]\nname = 's'";
    let two = then(&one, &["c", "b", "a"], routes);
    let of = |route: usize| two.routes[route].residency.iter().map(NetworkId::index).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec![0, 2], vec![0, 1, 2]));
    let alone = then(&two, &["a"], "[[routes]]\nname = 'r'");
    assert_eq!(alone.routes[0].residency.iter().map(NetworkId::index).collect::<Vec<_>>(), [0], "not the retired ones");
}

#[test]
fn a_name_too_many_is_refused_and_says_what_may_come_back() {
    let mut config = first(&["a", "n1", "n2", "n3", "n4", "n5", "n6"]);
    config = then(&config, &["a", "n7"], "");
    check(&config, &[(0, "a"), (7, "n7")]);
    let errors = parse_after(&text(&["a", "n8"], ""), "then", &config).expect_err("there is no place");
    let error = errors.iter().next().expect("an error");
    assert_eq!((error.line, error.path.as_str(), errors.count()), (4, "networks.n8", 1));
    let Fault::NoPlace { retired } = &error.fault else { panic!("{error}") };
    assert_eq!(retired.len(), 7, "{retired:?}");
    check(&then(&config, &["n3", "a"], ""), &[(0, "a"), (3, "n3")]);
}

#[test]
fn what_needs_a_restart_is_named_at_its_place() {
    let before = first(&["a", "b"]);
    let check = |text: &str, expected: &[(usize, &str)]| {
        let found: Vec<_> = match parse_after(text, "then", &before) {
            Ok(_) => Vec::new(),
            Err(errors) => errors
                .iter()
                .map(|error| {
                    assert!(matches!(error.fault, Fault::NeedsRestart { .. }), "{error}");
                    (error.line, error.path.clone())
                })
                .collect(),
        };
        let expected: Vec<_> = expected.iter().map(|(line, key)| (*line, (*key).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    };
    check(&text(&["a", "b"], ""), &[]);
    check(&text(&["a", "b"], "").replace("home = 'a'", "home = 'b'"), &[(1, "home")]);
    check(&text(&["b"], "").replace("home = 'a'", "home = 'b'"), &[(1, "home")]);
    check(&text(&["a", "b"], "workers = 3"), &[(5, "workers")]);
    check(&text(&["a", "b"], "lane = { kind = 'address', upstreams = ['http://c'] }"), &[]);
    check(&text(&["a", "b"], "lane.kind = 'process'"), &[(5, "lane.kind")]);
    check(&text(&["a", "b"], "lane.workers = 7"), &[]);
    check(&text(&["a", "b"], "run.grace = '1s'\ndata.memory = 7"), &[(5, "run.grace"), (6, "data.memory")]);
    let kept = "state.directory = 's'\noracle.keep = 3";
    check(&text(&["a", "b"], kept), &[(5, "state.directory"), (6, "oracle.keep")]);
    let left_to_run = text(&["b"], "[networks.a]");
    check(&left_to_run, &[(4, "networks.a.upstreams")]);
    // What is said of a key is said once, and of all keys.
    check(&text(&["a", "b"], "workers = 3\nrun.start = '9s'"), &[(5, "workers"), (6, "run.start")]);
}

#[test]
fn what_does_not_fit_is_shown_where_it_stands() {
    let text = text(&["a", "b"], "[networks.'dotted.name']\nupstreams = ['https://d']\nca = 'none.pem'");
    let at = |path: Vec<&str>| {
        let errors = config::Errors::unfit(&text, "file", vec![(path, "it is not there".to_owned())]);
        let error = errors.iter().next().expect("one").clone();
        assert_eq!(error.fault.code(), "unfit");
        (error.line, error.column)
    };
    assert_eq!(at(vec!["networks", "dotted.name", "ca"]), (7, 6));
    assert_eq!(at(vec!["listen", "jobs"]), (2, 15));
    assert_eq!(at(vec!["listen", "peers"]), (2, 1), "its table, where it is not there itself");
    assert_eq!(at(Vec::new()), (1, 1));
}

#[test]
fn where_state_is_kept_is_known_of_a_file_that_is_wrong() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(config::state_directory(text).as_deref(), expected.map(std::path::Path::new), "{text}");
    };
    check("[state]\ndirectory = 'd'\n", Some("d"));
    check("home = 3\nnonsense = [\n[state]\ndirectory = 'd'\n", Some("d"));
    check("state.directory = 'd'\nhome = = 3", Some("d"));
    check("state = 3", None);
    check("state.directory = 3", None);
    check("", None);
}

#[test]
fn a_number_that_was_learned_from_does_not_become_another() {
    let route = |extract: &str| text(&["a"], &format!("[[routes]]\nname = 'r'\nextract = {{ {extract} }}"));
    let before = parse(&route("x_b = 'query:b'"), "first").unwrap_or_else(|errors| panic!("{errors}"));
    let check = |extract: &str, expected: bool| {
        let errors = parse_after(&route(extract), "then", &before).err();
        let at: Vec<_> = errors.iter().flatten().map(|error| (error.line, error.path.clone())).collect();
        let refused = [(6, "routes[0].extract".to_owned())];
        assert_eq!(at, if expected { &[][..] } else { &refused[..] }, "{extract}");
    };
    check("x_b = 'query:b'", true);
    check("x_b = 'query:b', x_c = 'query:c'", true);
    check("", true);
    check("x_a = 'query:a', x_b = 'query:b'", false);
    check("x_b = 'query:other'", false);
    let renamed = route("x_a = 'query:a'").replace("name = 'r'", "name = 'another'");
    parse_after(&renamed, "then", &before).unwrap_or_else(|errors| panic!("{errors}"));
}
