//! Both sides of adoption together, in a seeded simulation: the near side's [`Fence`] and [`Tally`], the far side's [`Lease`],
//! and between them a network that delays, loses, repeats and reorders what they say.
//!
//! There is no schedule. At each step one of all things that could happen next happens, by the seed's draw: a service works,
//! answers or dies, time passes, a message arrives or does not, the client leaves, the near side decides anything it could
//! decide. After each step the invariants are checked, and at the end that nothing is left. A seed that fails is printed.
//!
//! Whether it would notice is tested, too: with each [`Sabotage`] some seed must fail.

mod near;
mod world;

use world::{Sabotage, Seen, World};

const SEEDS: u64 = 20_000;

fn run(seed: u64, sabotage: Option<Sabotage>) -> Result<Seen, String> {
    let mut world = World::new(seed, sabotage);
    for _ in 0..20 + seed % 140 {
        world.step()?;
    }
    world.drain()?;
    Ok(world.seen())
}

#[test]
fn no_interleaving_of_both_sides_breaks_an_invariant() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        match run(seed, None) {
            Ok(of_it) => seen.add(&of_it),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    // What never happened was not tested.
    for (what, times) in seen.counts() {
        assert!(times > 100, "{what} happened {times} times in {SEEDS} runs");
    }
}

#[test]
fn each_sabotage_is_noticed() {
    let noticed = |sabotage: &Sabotage| (0..SEEDS).any(|seed| run(seed, Some(*sabotage)).is_err());
    let unnoticed: Vec<Sabotage> = Sabotage::ALL.into_iter().filter(|sabotage| !noticed(sabotage)).collect();
    assert!(unnoticed.is_empty(), "nothing notices {unnoticed:?}");
}
