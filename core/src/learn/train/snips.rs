//! A self-normalised importance-sampling mean and its interval by the delta method.

/// Two-sided 95 % of a normal.
const Z: f64 = 1.96;

/// A weighted mean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub(super) fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    pub(super) fn get(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Snips of w, w y, w^2, w^2 y, w^2 y^2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snips {
    w: f64,
    wy: f64,
    ww: f64,
    wwy: f64,
    wwyy: f64,
}

impl Snips {
    pub(super) fn add(&mut self, w: f64, y: f64) {
        self.w += w;
        self.wy += w * y;
        self.ww += w * w;
        self.wwy += w * w * y;
        self.wwyy += w * w * y * y;
    }

    pub(super) fn effective(&self) -> f64 {
        if self.ww > 0.0 { self.w * self.w / self.ww } else { 0.0 }
    }

    /// The estimate and the half width of its interval.
    pub(super) fn estimate(&self) -> Option<(f64, f64)> {
        if self.w <= 0.0 {
            return None;
        }
        let mean = self.wy / self.w;
        let spread = (self.wwyy - 2.0 * mean * self.wwy + mean * mean * self.ww).max(0.0);
        Some((mean, Z * spread.sqrt() / self.w))
    }
}
