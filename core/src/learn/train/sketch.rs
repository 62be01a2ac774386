//! A mergeable sketch of durations: counts in buckets of fixed relative width.
//!
//! Like `DDSketch` (Masson and others, 2019) and `HdrHistogram`: 64 buckets an octave, so a quantile read
//! from it is within 1/128 (0.8 %) of the true one. The bucket of a value is its leading bits, so there
//! is no logarithm and no float: the same values give the same sketch in any order on any machine.
//! Memory grows with the range of what was seen, 512 bytes an octave.

/// Leading bits after the first that tell buckets apart.
const BITS: u32 = 6;

/// Counts of durations in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// The bucket that `counts[0]` is for.
    first: usize,
    counts: Vec<u64>,
    total: u64,
}

impl Sketch {
    /// Counts one duration.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        let place = self.place(bucket(nanos));
        self.counts[place] += 1;
        self.total += 1;
    }

    /// Counts all that the other one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.buckets().filter(|(_, count)| *count > 0) {
            let place = self.place(bucket);
            self.counts[place] += count;
        }
        self.total += other.total;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The quantile `q` of what was counted, in nanoseconds, within 0.8 %; `None` if nothing was.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        self.quantile_with_censored(&Self::default(), q)
    }

    /// The quantile `q` where the durations in `censored` are only lower bounds, by the estimator of
    /// Kaplan and Meier (1958). If too much is censored to reach it, the largest bound seen.
    pub fn quantile_with_censored(&self, censored: &Self, q: f64) -> Option<u64> {
        let mut at_risk = self.total + censored.total;
        let mut surviving = 1.0;
        let mut reached = None;
        let end = self.end().max(censored.end());
        for bucket in self.first.min(censored.first)..end {
            let (here, lost) = (self.count(bucket), censored.count(bucket));
            if here + lost == 0 {
                continue;
            }
            reached = Some(middle(bucket));
            surviving *= 1.0 - here as f64 / at_risk as f64;
            // Rounding must not push the last step below its quantile.
            if here > 0 && 1.0 - surviving >= q - 1e-12 {
                return reached;
            }
            at_risk -= here + lost;
        }
        reached
    }

    /// Each bucket's middle in nanoseconds and its count, lowest first.
    pub(super) fn middles(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets().filter(|(_, count)| *count > 0).map(|(b, count)| (middle(b), count))
    }

    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().enumerate().map(|(place, count)| (self.first + place, *count))
    }

    fn count(&self, bucket: usize) -> u64 {
        bucket.checked_sub(self.first).and_then(|p| self.counts.get(p)).copied().unwrap_or(0)
    }

    fn end(&self) -> usize {
        self.first + self.counts.len()
    }

    #[inline]
    fn place(&mut self, bucket: usize) -> usize {
        match bucket.checked_sub(self.first) {
            Some(place) if place < self.counts.len() => place,
            _ => self.grow(bucket),
        }
    }

    /// Makes room for a bucket outside the range, exactly: sketches of equal content are equal.
    #[cold]
    fn grow(&mut self, bucket: usize) -> usize {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            self.counts.splice(0..0, std::iter::repeat_n(0, self.first - bucket));
            self.first = bucket;
        }
        let place = bucket - self.first;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        place
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let octave = (nanos | 1).ilog2().max(BITS) - BITS;
    ((octave as usize) << BITS) + (nanos >> octave) as usize
}

/// The value in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let octave = (bucket >> BITS).saturating_sub(1);
    let lowest = ((bucket - (octave << BITS)) as u64) << octave;
    lowest + (1_u64 << octave) / 2
}
