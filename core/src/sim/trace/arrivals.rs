//! A user's own arrivals: a CSV with one request a line.
//!
//! The header names the columns, in any order: `at_s` in seconds from any origin, and where there
//! are such, `class` (may be empty on a line) and both of `prompt_tokens` and `output_tokens`.
//! Without these two every request has 0 tokens: the trace says when, not what. There are no quotes,
//! so a class name has no comma. Times are read exactly, also those of an epoch.

use std::{collections::HashMap, io::BufRead, sync::Arc};

use super::{
    Trace, TraceError, TraceRequest,
    collect::Collect,
    lines::{Line, Lines},
};

const HEADER: &str = "at_s[,class][,prompt_tokens,output_tokens]";

pub(super) fn parse(reader: &mut dyn BufRead, name: &str) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(reader, name);
    let mut collect = Collect::default();
    let Some(header) = lines.next()? else { return collect.finish(name) };
    let columns = Columns::of(&header)?;
    let mut classes = Classes::default();
    while let Some(line) = lines.next()? {
        let fields: Vec<_> = line.text.split(',').map(str::trim).collect();
        if fields.len() != columns.count {
            return Err(line.wrong_columns(fields.len(), columns.count));
        }
        let at = fields[columns.at];
        let Some(at) = nanos(at) else {
            return Err(line.wrong("at_s", at, "seconds from 0 to 1e11, such as 12.345"));
        };
        let mut request = TraceRequest::default();
        if let Some(class) = columns.class {
            request.class = classes.index(&line, fields[class])?;
        }
        if let Some((prompt, output)) = columns.tokens {
            request.prompt_tokens = line.tokens("prompt_tokens", fields[prompt])?;
            request.output_tokens = line.tokens("output_tokens", fields[output])?;
        }
        collect.push(&line, at, request)?;
    }
    let mut trace = collect.finish(name)?;
    trace.classes = classes.names;
    Ok(trace)
}

/// Where each column stands.
struct Columns {
    count: usize,
    at: usize,
    class: Option<usize>,
    tokens: Option<(usize, usize)>,
}

impl Columns {
    fn of(header: &Line<'_>) -> Result<Self, TraceError> {
        let names: Vec<_> = header.text.split(',').map(str::trim).collect();
        let place = |name| names.iter().position(|column| *column == name);
        let tokens = match (place("prompt_tokens"), place("output_tokens")) {
            (Some(prompt), Some(output)) => Some((prompt, output)),
            (None, None) => None,
            _ => return Err(header.wrong_header(HEADER)),
        };
        let class = place("class");
        // Equal counts rule out unknown columns and repeated ones.
        let known = 1 + usize::from(class.is_some()) + 2 * usize::from(tokens.is_some());
        match place("at_s") {
            Some(at) if known == names.len() => Ok(Self { count: known, at, class, tokens }),
            _ => Err(header.wrong_header(HEADER)),
        }
    }
}

#[derive(Default)]
struct Classes {
    names: Vec<Arc<str>>,
    indices: HashMap<Arc<str>, u32>,
}

impl Classes {
    fn index(&mut self, line: &Line<'_>, name: &str) -> Result<Option<u32>, TraceError> {
        if name.is_empty() {
            return Ok(None);
        }
        if name.contains('"') {
            return Err(line.wrong("class", name, "a name without quotes"));
        }
        if let Some(index) = self.indices.get(name) {
            return Ok(Some(*index));
        }
        let (name, index) = (Arc::<str>::from(name), self.names.len() as u32);
        self.names.push(Arc::clone(&name));
        self.indices.insert(name, index);
        Ok(Some(index))
    }
}

/// Nanoseconds in a number of seconds of at most 1e11; digits past the ninth after the point are
/// dropped. Only a number with an exponent passes through a float.
fn nanos(seconds: &str) -> Option<u128> {
    const MOST: u64 = 100_000_000_000;
    if seconds.contains(['e', 'E']) {
        let seconds: f64 = seconds.parse().ok()?;
        return (0.0..=MOST as f64).contains(&seconds).then_some((seconds * 1e9) as u128);
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().ok().filter(|whole| *whole < MOST)?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(u128::from(whole) * 1_000_000_000 + u128::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn seconds_are_read_exactly() {
        for (text, value) in [
            ("0", 0),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("0.1", 100_000_000),
            ("3.0000000019", 3_000_000_001),
            ("1.5e-3", 1_500_000),
            ("99999999999", 99_999_999_999_000_000_000),
        ] {
            assert_eq!(nanos(text), Some(value), "{text}");
        }
        for wrong in
            ["", "-1", "+1", "1.", ".5", "nan", "inf", "1e300", "-1e0", "1e", "100000000000"]
        {
            assert_eq!(nanos(wrong), None, "{wrong}");
        }
    }
}
