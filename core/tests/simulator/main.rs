//! Thousands of random histories of random DAGs, without a database: the invariants hold after every step, an incremental plan is
//! the plan from nothing, and every run ends.
//!
//! A failure prints its seed; `UPDRAFT_SIM_SEED=<seed>` repeats that case alone, `UPDRAFT_SIM_CASES=<n>` runs more of them. Besides the
//! fixed seeds, which say the same on every machine, each run tries a block of seeds of its own.

#![expect(clippy::expect_used, reason = "a case that cannot go on panics, with its seed")]

mod dags;
mod events;
mod random;
mod scenario;
#[path = "../../../tests/scenarios/mod.rs"]
mod scenarios;
mod world;

use random::Random;
use world::World;

const CASES: u64 = 2000;
/// How many of the run's own.
const FRESH: u64 = 500;
const STEPS: usize = 120;

/// Prints how to repeat a case whose check panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with UPDRAFT_SIM_SEED={}", self.0);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Where this run's own seeds begin: far from the fixed ones, short enough to type.
fn fresh() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    1_000_000 + now.map_or(0, |since| since.as_millis() as u64 % 1_000_000_000)
}

#[test]
fn the_invariants_hold_whatever_happens_and_every_run_ends() {
    let fresh = fresh();
    let seeds: Vec<u64> = match number("UPDRAFT_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("UPDRAFT_SIM_CASES").unwrap_or(CASES)).chain(fresh..fresh + FRESH).collect(),
    };
    let mut ended = 0;
    let mut attempts = 0;
    for &seed in &seeds {
        let _seed = Seed(seed);
        let mut random = Random::new(seed);
        let dag = dags::dag(&mut random);
        let mut world = World::new(dag, random);
        for _ in 0..STEPS {
            world.something_happens();
        }
        ended += world.drain();
        attempts += world.attempts_made;
    }
    println!("{} cases, fresh ones from {fresh}, {attempts} attempts, {ended} runs ended", seeds.len());
}
