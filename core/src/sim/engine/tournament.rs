//! Who is first: one time for each server, the earliest always at hand.
//!
//! A winner tree: changing one of n times costs log2(n) comparisons and no allocation, where a heap
//! would collect the times that no longer hold.

use crate::time::Time;

#[derive(Debug)]
pub(super) struct Tournament {
    /// A power of two.
    width: usize,
    times: Vec<Time>,
    /// `winners[1]` is the index of the earliest of all; the children of `i` are `2i` and `2i + 1`.
    winners: Vec<u32>,
}

impl Tournament {
    /// For `n` entries, none of which has a time yet.
    pub(super) fn new(n: usize) -> Self {
        let width = n.next_power_of_two().max(2);
        let mut winners = vec![0; width];
        for node in (1..width).rev() {
            winners[node] =
                if 2 * node >= width { (2 * node - width) as u32 } else { winners[2 * node] };
        }
        Self { width, times: vec![Time::MAX; width], winners }
    }

    /// Gives an entry another time; [`Time::MAX`] for none.
    #[inline]
    pub(super) fn set(&mut self, index: usize, time: Time) {
        self.times[index] = time;
        let mut node = usize::midpoint(self.width, index);
        // The leaves' pair first, then pairs of winners.
        let pair = index & !1;
        self.winners[node] = self.earlier(pair as u32, pair as u32 + 1);
        while node > 1 {
            node /= 2;
            self.winners[node] = self.earlier(self.winners[2 * node], self.winners[2 * node + 1]);
        }
    }

    /// The earliest time and whose it is.
    #[inline]
    pub(super) fn first(&self) -> (Time, usize) {
        let winner = self.winners[1] as usize;
        (self.times[winner], winner)
    }

    #[inline]
    fn earlier(&self, a: u32, b: u32) -> u32 {
        if self.times[b as usize] < self.times[a as usize] { b } else { a }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_first_is_the_earliest() {
        for n in [1, 2, 3, 7, 100] {
            let mut tournament = Tournament::new(n);
            let mut times = vec![Time::MAX; n];
            let mut rng = Rng::seeded(n as u64);
            for _ in 0..1000 {
                let index = rng.below(n);
                let none = rng.below(4) == 0;
                times[index] = if none { Time::MAX } else { Time::from_nanos(rng.bits() >> 1) };
                tournament.set(index, times[index]);
                assert_eq!(Some(&tournament.first().0), times.iter().min());
                let (first, whose) = tournament.first();
                assert!(whose >= n || times[whose] == first);
            }
        }
    }
}
