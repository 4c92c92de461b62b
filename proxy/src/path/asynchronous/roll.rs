//! What is remembered by location: so many at the most, and which of them goes for another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The most jobs that are remembered.
const REMEMBERED_MOST: usize = 4096;

/// What is remembered, by location.
#[derive(Debug)]
pub(super) struct Roll<T> {
    by_location: HashMap<Box<str>, Arc<T>>,
    /// Oldest first; each of them once.
    order: VecDeque<(Box<str>, Arc<T>)>,
}

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self { by_location: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Roll<T> {
    pub(super) fn find(&self, at: &str) -> Option<&Arc<T>> {
        self.by_location.get(at)
    }

    pub(super) fn len(&self) -> usize {
        self.by_location.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.order.iter().map(|(_, kept)| kept)
    }

    /// Remembers one more, and says what is forgotten for it: what had that location before, and the oldest that is over if
    /// there are too many, else the oldest of all.
    pub(super) fn enter(&mut self, at: &str, kept: Arc<T>, is_over: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        if let Some(before) = self.by_location.insert(at.into(), Arc::clone(&kept)) {
            self.order.retain(|(_, kept)| !Arc::ptr_eq(kept, &before));
            gone.push(before);
        } else if self.order.len() >= REMEMBERED_MOST {
            let place = self.order.iter().position(|(_, kept)| is_over(kept)).unwrap_or(0);
            if let Some((at, oldest)) = self.order.remove(place) {
                self.by_location.remove(&at);
                gone.push(oldest);
            }
        }
        self.order.push_back((at.into(), kept));
        gone
    }

    /// Forgets the oldest for as long as they are due. Times differ by route, so what is behind a younger one of a longer time
    /// goes a little later.
    pub(super) fn forget(&mut self, is_due: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        while self.order.front().is_some_and(|(_, kept)| is_due(kept)) {
            if let Some((at, oldest)) = self.order.pop_front() {
                self.by_location.remove(&at);
                gone.push(oldest);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job, and whether it is over.
    type Kept = (usize, bool);

    fn full(is_over: impl Fn(usize) -> bool) -> Roll<Kept> {
        let mut roll = Roll::default();
        for n in 0..REMEMBERED_MOST {
            let gone = roll.enter(&format!("/{n}"), Arc::new((n, is_over(n))), |(_, over)| *over);
            assert!(gone.is_empty());
        }
        roll
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_oldest_that_is_over_else_of_the_oldest() {
        let check = |over: &[usize], gone: [usize; 2]| {
            let mut roll = full(|n| over.contains(&n));
            for (n, expected) in gone.into_iter().enumerate() {
                let forgotten =
                    roll.enter(&format!("/more/{n}"), Arc::new((REMEMBERED_MOST + n, false)), |(_, over)| *over);
                assert_eq!(forgotten.iter().map(|kept| kept.0).collect::<Vec<_>>(), [expected], "{over:?}");
                assert!(roll.find(&format!("/{expected}")).is_none());
                assert!(roll.find(&format!("/more/{n}")).is_some());
            }
            assert_eq!((roll.len(), roll.all().count()), (REMEMBERED_MOST, REMEMBERED_MOST));
        };
        check(&[], [0, 1]);
        check(&[7, 9], [7, 9]);
        check(&[REMEMBERED_MOST - 1], [REMEMBERED_MOST - 1, 0]);
    }

    #[test]
    fn what_had_a_location_before_is_forgotten_and_takes_nobody_with_it() {
        let mut roll = full(|_| false);
        let gone = roll.enter("/7", Arc::new((REMEMBERED_MOST, false)), |(_, over)| *over);
        assert_eq!(gone.iter().map(|kept| kept.0).collect::<Vec<_>>(), [7]);
        assert_eq!(roll.find("/7").map(|kept| kept.0), Some(REMEMBERED_MOST));
        assert_eq!((roll.len(), roll.all().count()), (REMEMBERED_MOST, REMEMBERED_MOST));
        // Its place is that of when it came.
        let gone = roll.forget(|(n, _)| *n < REMEMBERED_MOST);
        assert_eq!((gone.len(), roll.len()), (REMEMBERED_MOST - 1, 1));
    }
}
