//! What happens when: the events to come, in order of time and, at one time, in order of planning.
//!
//! Most events of a simulation come a fixed time after they are planned: timeouts, one-way trips.
//! Such a delay gets a lane of its own, a queue that is in order by itself, so that ten thousand
//! pending timeouts cost a heap nothing. Everything else goes to the heap.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use crate::time::Time;

/// More lanes than this are not worth looking through.
const MOST_LANES: usize = 8;

#[derive(Debug)]
pub(super) struct Calendar<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    lanes: Vec<(Duration, VecDeque<Entry<E>>)>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    /// Numbers the events, so that those of one time keep their order.
    number: u64,
    event: E,
}

impl<E> Calendar<E> {
    /// With a lane for each of the `delays`.
    pub(super) fn new(delays: impl IntoIterator<Item = Duration>) -> Self {
        let mut lanes: Vec<(Duration, VecDeque<_>)> = Vec::new();
        for delay in delays {
            if lanes.len() < MOST_LANES && lanes.iter().all(|(known, _)| *known != delay) {
                lanes.push((delay, VecDeque::new()));
            }
        }
        Self { heap: BinaryHeap::new(), lanes, planned: 0 }
    }

    /// Plans an event at a time.
    pub(super) fn at(&mut self, at: Time, event: E) {
        let entry = self.entry(at, event);
        self.heap.push(Reverse(entry));
    }

    /// Plans an event `delay` after `now`, which never goes back.
    #[inline]
    pub(super) fn after(&mut self, now: Time, delay: Duration, event: E) {
        let entry = self.entry(now + delay, event);
        match self.lanes.iter_mut().find(|(lane, _)| *lane == delay) {
            Some((_, queue)) => queue.push_back(entry),
            None => self.heap.push(Reverse(entry)),
        }
    }

    /// The time of the next event; [`Time::MAX`] if there is none.
    #[inline]
    pub(super) fn next(&self) -> Time {
        let heap = self.heap.peek().map_or(Time::MAX, |Reverse(entry)| entry.at);
        let lanes = self.lanes.iter().filter_map(|(_, queue)| queue.front());
        lanes.map(|entry| entry.at).fold(heap, Time::min)
    }

    /// Takes the next event.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Time, E)> {
        let key = |entry: &Entry<E>| (entry.at, entry.number);
        let mut first = self.heap.peek().map(|Reverse(entry)| key(entry));
        let mut lane = None;
        for (index, (_, queue)) in self.lanes.iter().enumerate() {
            if let Some(front) = queue.front().map(key)
                && first.is_none_or(|first| front < first)
            {
                (first, lane) = (Some(front), Some(index));
            }
        }
        let entry = match lane {
            Some(lane) => self.lanes[lane].1.pop_front(),
            None => self.heap.pop().map(|Reverse(entry)| entry),
        };
        entry.map(|entry| (entry.at, entry.event))
    }

    /// Drops what comes first while `is_stale` says so of it.
    #[inline]
    pub(super) fn skip_stale(&mut self, is_stale: impl Fn(&E) -> bool) {
        for (_, queue) in &mut self.lanes {
            while queue.front().is_some_and(|entry| is_stale(&entry.event)) {
                queue.pop_front();
            }
        }
    }

    fn entry(&mut self, at: Time, event: E) -> Entry<E> {
        self.planned += 1;
        Entry { at, number: self.planned, event }
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_heap_come_out_as_one_line() {
        let ms = Duration::from_millis;
        let mut calendar = Calendar::new([ms(5), ms(5), ms(20)]);
        let at = |millis| Time::ZERO + ms(millis);
        calendar.after(at(0), ms(20), "lane 20");
        calendar.after(at(0), ms(7), "heap 7");
        calendar.after(at(2), ms(5), "lane 7");
        calendar.at(at(7), "heap 7 again");
        assert_eq!(calendar.next(), at(7));
        let order: Vec<_> = std::iter::from_fn(|| calendar.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, ["heap 7", "lane 7", "heap 7 again", "lane 20"]);
        assert_eq!(calendar.next(), Time::MAX);
    }
}
