//! The watch over networks follows the configuration, and nothing of what it left stays behind.

use std::collections::HashMap;
use std::sync::Weak;

use super::*;
use crate::reload::change::Change;

/// The `n`th configuration: prices change, networks come and go and change places, health checks and names with them.
fn text(n: usize) -> String {
    let health = ["", "health.path = '/a'\n", "health.path = '/b'\nhealth.every = '1h'\n"][n % 3];
    let mut networks = vec![
        format!("[networks.home]\nupstreams = ['http://127.0.0.1:1']\nprice.slot_second = 0.{}\n{health}", n % 7),
        format!(
            "[networks.named]\nupstreams = ['http://localhost:1', 'http://localhost:2']\nprotocol = '{}'\n",
            ["http1", "auto"][n % 2]
        ),
    ];
    if n.is_multiple_of(2) {
        networks.push("[networks.peer]\nsidecars = ['http://127.0.0.1:3']\n".to_owned());
    }
    if n.is_multiple_of(5) {
        networks.remove(1);
    }
    let turn = n % networks.len();
    networks.rotate_left(turn);
    format!("home = 'home'\nlisten.jobs = '127.0.0.1:0'\nlisten.admin = '127.0.0.1:0'\n{}", networks.concat())
}

/// How many tasks should keep watch then.
fn expected(n: usize) -> usize {
    usize::from(!n.is_multiple_of(3))
        + if n.is_multiple_of(5) { 0 } else { 2 }
        + if n.is_multiple_of(2) { 2 } else { 0 }
}

async fn alive_become(expected: usize) {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..100_000 {
        if alive() == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} tasks are alive, not {expected}", alive());
}

#[tokio::test]
async fn a_hundred_reloads_leave_no_task_and_no_configuration_behind() {
    let parse = |n| config::parse(&text(n), "test").unwrap_or_else(|errors| panic!("{errors}"));
    let shared = crate::app::shared_alone(parse(1));
    let (mut parsed, mut watching) = (parse(1), Watching { worker: 1, by_place: PerNetwork::default() });
    let mut generations: Vec<Weak<Generation>> = Vec::new();
    let mut networks: HashMap<usize, Weak<Network>> = HashMap::new();
    for n in 1..=100 {
        let change =
            Change::prepare(&shared, &parsed, false, "test", &text(n)).unwrap_or_else(|errors| panic!("{errors}"));
        parsed = change.put_in_force(&shared);
        let generation = shared.generation.load_full();
        watching.follow(&shared, &generation);
        generations.push(Arc::downgrade(&generation));
        networks
            .extend(generation.networks.iter().map(|network| (Arc::as_ptr(network).addr(), Arc::downgrade(network))));
        drop(generation);
        assert_eq!(watching.tasks(), expected(n), "{n}");
        alive_become(expected(n)).await;
    }
    assert_eq!(generations.iter().filter(|generation| generation.strong_count() > 0).count(), 1);
    let alive = networks.values().filter(|network| network.strong_count() > 0).count();
    assert_eq!(
        alive,
        shared.generation.load().networks.len(),
        "those in force, and the last of those that are retired"
    );
    drop(watching);
    alive_become(0).await;
}

#[tokio::test]
async fn a_network_of_which_nothing_changes_is_watched_on() {
    let parse = |n| config::parse(&text(n), "test").unwrap_or_else(|errors| panic!("{errors}"));
    let shared = crate::app::shared_alone(parse(4));
    let mut watching = Watching { worker: 1, by_place: PerNetwork::default() };
    watching.follow(&shared, &shared.generation.load_full());
    let before = shared.generation.load_full();
    // The route is new, and every line stands elsewhere.
    let edit = text(4).replace("home = 'home'", "# edited\nhome = 'home'") + "[[routes]]\nname = 'new'\n";
    let change = Change::prepare(&shared, &parse(4), false, "test", &edit).unwrap_or_else(|errors| panic!("{errors}"));
    change.put_in_force(&shared);
    let after = shared.generation.load_full();
    assert_eq!(after.config.routes.len(), 1);
    for (one, other) in before.networks.iter().zip(&after.networks) {
        assert!(Arc::ptr_eq(one, other), "{}", one.name());
    }
}
