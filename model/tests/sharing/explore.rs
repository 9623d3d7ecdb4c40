//! Visits all states that a system can reach.

use std::{
    collections::{HashSet, VecDeque},
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Maximum number of states of a configuration. A configuration with more of them has to be made smaller.
const MAX_STATES: usize = 300_000;

/// A system with states and steps between them.
pub trait System: Clone + Hash {
    type Action: Copy + Debug;

    /// Calls `visit` with each action that is possible now, and with the state after it.
    fn steps(&self, visit: &mut dyn FnMut(Self::Action, Self));

    /// Returns the state that stands for all states from which the same can happen.
    fn canonical(&self) -> Self;

    /// Returns the invariant that this state violates.
    fn violation(&self) -> Option<&'static str>;
}

/// Visits all states, breadth first, and returns their number.
///
/// # Panics
///
/// Panics if a state violates an invariant, with the shortest sequence of actions that leads to it.
pub fn explore<S: System>(start: S) -> usize {
    let mut seen = HashSet::from([fingerprint(&start)]);
    // For each state, the one before it and the action between them.
    let mut origins: Vec<Option<(u32, S::Action)>> = vec![None];
    let mut queue = VecDeque::from([(0, start)]);
    while let Some((index, state)) = queue.pop_front() {
        state.steps(&mut |action, next| {
            if let Some(violation) = next.violation() {
                let mut path = vec![action];
                let mut before = index;
                while let Some((earlier, action)) = origins[before as usize] {
                    path.push(action);
                    before = earlier;
                }
                path.reverse();
                let path: Vec<_> = path.iter().map(|action| format!("{action:?}")).collect();
                panic!("{violation}, after\n{}", path.join("; "));
            }
            if seen.insert(fingerprint(&next)) {
                origins.push(Some((index, action)));
                queue.push_back((origins.len() as u32 - 1, next));
            }
        });
        assert!(seen.len() <= MAX_STATES, "more than {MAX_STATES} states");
    }
    seen.len()
}

/// Returns 128 bits that stand for a state, so that the states need not be kept.
fn fingerprint<S: System>(state: &S) -> u128 {
    let state = state.canonical();
    let [high, low] = [0_u8, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        state.hash(&mut hasher);
        hasher.finish()
    });
    u128::from(high) << 64 | u128::from(low)
}
