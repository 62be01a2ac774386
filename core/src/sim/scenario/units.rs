//! Numbers of a scenario file, parsed into types that cannot be wrong.
//!
//! Each type refuses what it must not hold while the file is being read, so that the error names the
//! line and shows the value.

use std::time::Duration;

use serde::Deserialize;

use crate::time::Time;

/// A length of time, written with its unit: `"250us"`, `"20ms"`, `"1.5s"`, `"2m"`, `"1h"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Span {
    /// Longest length a file may give: ten years.
    const LONGEST_S: f64 = 315_360_000.0;

    /// As seconds.
    pub fn secs(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// As a duration.
    pub fn get(self) -> Duration {
        self.0
    }

    /// The time this long after the start.
    pub fn time(self) -> Time {
        Time::ZERO + self.0
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for f64 {
    fn from(span: Span) -> Self {
        span.secs()
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no length of time; write a number with its unit (us, ms, s, m, h), such as \"20ms\""
            )
        };
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = match &text[number.len()..] {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=Self::LONGEST_S).contains(&(number * seconds)) {
            return Err(format!("`{text}` must lie between 0 and ten years"));
        }
        Ok(Self(Duration::from_secs_f64(number * seconds)))
    }
}

/// Declares a number with a rule.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $holds:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
        #[serde(try_from = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(value: f64) -> Result<Self, String> {
                let holds: fn(f64) -> bool = $holds;
                if holds(value) { Ok(Self(value)) } else { Err(format!(concat!("{} must ", $rule), value)) }
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

number!(
    /// A number above 0, at most 1e9.
    Positive,
    |v| v > 0.0 && v <= 1e9,
    "be above 0 and at most 1e9"
);
number!(
    /// A number of at least 0, at most 1e9.
    NotNegative,
    |v| (0.0..=1e9).contains(&v),
    "be at least 0 and at most 1e9"
);
number!(
    /// A part of a whole.
    Fraction,
    |v| (0.0..=1.0).contains(&v),
    "lie in [0, 1]"
);

impl Positive {
    /// One.
    pub const ONE: Self = Self(1.0);
}

impl Default for NotNegative {
    fn default() -> Self {
        Self(0.0)
    }
}

impl Default for Fraction {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Fraction {
    /// None of it.
    pub const ZERO: Self = Self(0.0);
    /// All of it.
    pub const ONE: Self = Self(1.0);
}

/// A whole number of at least 1, at most a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count(u32);

impl Count {
    /// One.
    pub const ONE: Self = Self(1);

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number, to index with.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<Count> for f64 {
    fn from(count: Count) -> Self {
        Self::from(count.0)
    }
}

impl TryFrom<i64> for Count {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match u32::try_from(value) {
            Ok(count @ 1..=1_000_000) => Ok(Self(count)),
            _ => Err(format!("{value} must be a whole number from 1 to 1000000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_a_unit() {
        let parse = |text: &str| Span::try_from(text.to_owned());
        assert_eq!(parse("1.5ms").map(Span::get), Ok(Duration::from_micros(1500)));
        assert_eq!(parse("2h").map(Span::secs), Ok(7200.0));
        for wrong in ["", "5", "ms", "-1s", "1 parsec", "1e400s", "nans", "infs", "99999h9"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_keep_their_rules() {
        assert!(Positive::try_from(0.0).is_err() && Positive::try_from(f64::NAN).is_err());
        assert!(Fraction::try_from(1.0).is_ok() && Fraction::try_from(1.1).is_err());
        assert!(Count::try_from(0).is_err() && Count::try_from(3).is_ok());
    }
}
