//! A client's arrivals by window: `chunk-N-trace.csv`.
//!
//! Six columns without a header: the window's start in seconds, requests a second, the CV of their
//! gaps, the family fitted to these (`Gamma`, `Weibull`, or nothing where the client sent nothing)
//! and its two parameters, shape and scale. The family carries the burstiness; the CV beside it is
//! that of the sample and is not used. Windows follow each other from 0 in equal steps.

use std::{io::BufRead, time::Duration};

use super::super::{
    TraceError,
    lines::{Line, Lines},
};
use crate::{
    Rng,
    sim::draw::{DrawError, Gamma, Weibull},
};

pub(super) struct Rates {
    pub(super) windows: Vec<Option<Window>>,
    pub(super) window_length: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) gaps: Gaps,
}

#[derive(Clone, Debug)]
pub(super) enum Gaps {
    Gamma(Gamma),
    Weibull(Weibull),
}

impl Gaps {
    pub(super) fn draw(&self, rng: &mut Rng) -> f64 {
        match self {
            Self::Gamma(gamma) => gamma.draw(rng),
            Self::Weibull(weibull) => weibull.draw(rng),
        }
    }
}

/// The length of a lone window, which nothing in the file tells.
const TEN_MINUTES: u64 = 600;
/// The longest window: a week.
const MAX_WINDOW: u64 = 7 * 86_400;
/// The most windows: some years of ten minutes each.
const MAX_WINDOWS: usize = 200_000;

pub(super) fn parse(reader: &mut dyn BufRead, name: &str) -> Result<Rates, TraceError> {
    let mut lines = Lines::new(reader, name);
    let mut windows = Vec::new();
    let mut length = TEN_MINUTES;
    while let Some(line) = lines.next()? {
        let [start, rate, _, family, shape, scale] = line.columns()?;
        let seconds = start.parse::<u64>().ok();
        if windows.len() == 1 {
            let second_start = seconds.filter(|seconds| (1..=MAX_WINDOW).contains(seconds));
            length = second_start.ok_or_else(|| {
                line.wrong("start", start, format!("whole seconds from 1 to {MAX_WINDOW}"))
            })?;
        }
        let expected = length * windows.len() as u64;
        if seconds != Some(expected) {
            let expected = format!("{expected}: windows begin at 0 and are equally long");
            return Err(line.wrong("start", start, expected));
        }
        if windows.len() == MAX_WINDOWS {
            return Err(TraceError::Malformed {
                file: name.to_owned(),
                line: line.number,
                reason: format!("more than {MAX_WINDOWS} windows"),
            });
        }
        windows.push(window(&line, rate, family, shape, scale)?);
    }
    if windows.is_empty() {
        return Err(TraceError::Empty { what: name.to_owned() });
    }
    Ok(Rates { windows, window_length: Duration::from_secs(length) })
}

fn window(
    line: &Line<'_>,
    rate: &str,
    family: &str,
    shape: &str,
    scale: &str,
) -> Result<Option<Window>, TraceError> {
    let found = rate;
    let rate = line.amount("rate", rate)?;
    if rate > 1e6 {
        return Err(line.wrong("rate", found, "at most 1e6 a second"));
    }
    if family.is_empty() {
        let nobody = rate == 0.0;
        return if nobody {
            Ok(None)
        } else {
            Err(line.wrong("rate", found, "0 without a family"))
        };
    }
    let (shape, scale) = (line.amount("shape", shape)?, line.amount("scale", scale)?);
    let parameters = |error: DrawError| {
        line.wrong(error.name, &error.value.to_string(), format!("a number in {}", error.allowed))
    };
    let gaps = match family {
        "Gamma" => Gaps::Gamma(Gamma::new(shape, scale).map_err(parameters)?),
        "Weibull" => Gaps::Weibull(Weibull::new(shape, scale).map_err(parameters)?),
        _ => return Err(line.wrong("family", family, "Gamma, Weibull or nothing")),
    };
    Ok((rate > 0.0).then_some(Window { rate, gaps }))
}
