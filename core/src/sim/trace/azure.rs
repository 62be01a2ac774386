//! The Azure LLM inference traces of 2023: one request a line, with its time and its tokens.
//!
//! Source: `AzureLLMInferenceTrace_{conv,code}.csv` of Azure/AzurePublicDataset (CC-BY-4.0), an hour
//! of two services each, described in "Splitwise" (ISCA 2024). There is no text, hence no blocks.
//! Times are in steps of 100 ns; they are read exactly, without passing through a float.

use std::io::BufRead;

use super::{Trace, TraceError, TraceRequest, collect::Collect, lines::Lines};

pub(super) const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

pub(super) fn parse(reader: &mut dyn BufRead, name: &str) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(reader, name);
    let mut collect = Collect::default();
    match lines.next()? {
        None => return collect.finish(name),
        Some(line) if line.text != HEADER => return Err(line.wrong_header(HEADER)),
        Some(_) => {}
    }
    while let Some(line) = lines.next()? {
        let [timestamp, prompt, output] = line.columns()?;
        let at = nanos(timestamp).ok_or_else(|| {
            line.wrong("TIMESTAMP", timestamp, "a time such as 2023-11-16 18:15:46.6805900")
        })?;
        let request = TraceRequest {
            prompt_tokens: line.tokens("ContextTokens", prompt)?,
            output_tokens: line.tokens("GeneratedTokens", output)?,
            ..TraceRequest::default()
        };
        collect.push(&line, at, request)?;
    }
    collect.finish(name)
}

/// Nanoseconds from the first day of the year 0 to `YYYY-MM-DD HH:MM:SS[.fraction]`.
fn nanos(timestamp: &str) -> Option<u128> {
    let (date, time) = timestamp.split_once(' ')?;
    let mut date = date.split('-');
    let year = digits(date.next()?, 4)?;
    let month = digits(date.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = digits(date.next()?, 2).filter(|day| (1..=days_of(year, month)).contains(day))?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let hour = digits(time.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(time.next()?, 2).filter(|minute| *minute < 60)?;
    let second = digits(time.next()?, 2).filter(|second| *second < 60)?;
    if date.next().is_some() || time.next().is_some() || !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let fraction = digits(fraction, fraction.len())? * 10_u64.pow(9 - fraction.len() as u32);
    let leap_years = year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400);
    let day_of_year: u64 = (1..month).map(|month| days_of(year, month)).sum::<u64>() + day - 1;
    let days = year * 365 + leap_years + day_of_year;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(u128::from(seconds) * 1_000_000_000 + u128::from(fraction))
}

/// The number in exactly `count` digits, at most nine.
fn digits(text: &str, count: usize) -> Option<u64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn a_timestamp_is_read_to_the_nanosecond() {
        let since = |from, to| nanos(to).unwrap() - nanos(from).unwrap();
        let day = 86_400_000_000_000;
        assert_eq!(since("2023-11-16 18:15:46.6805900", "2023-11-16 18:15:46.680590001"), 1);
        assert_eq!(since("2023-11-16 23:59:59", "2023-11-17 00:00:00.1"), 1_100_000_000);
        assert_eq!(since("2024-02-28 00:00:00", "2024-03-01 00:00:00"), 2 * day);
        assert_eq!(since("2023-12-31 00:00:00", "2025-01-01 00:00:00"), 367 * day);
        assert_eq!(since("1900-02-28 00:00:00", "1900-03-01 00:00:00"), day);
        assert_eq!(since("0000-01-01 00:00:00", "1970-01-01 00:00:00"), 719_528 * day);
    }

    #[test]
    fn what_is_no_timestamp() {
        for wrong in [
            "",
            "2023-11-16",
            "2023-11-16T18:15:46",
            "2023-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "2023-11-16 24:00:00",
            "2023-11-16 18:60:00",
            "2023-11-16 18:15:46.",
            "2023-11-16 18:15:46.1234567890",
            "2023-11-16 18:15:46.+1",
            "2023-11-16 18:15",
            "2023-11-16-1 18:15:00",
            "-023-11-16 18:15:00",
        ] {
            assert_eq!(nanos(wrong), None, "{wrong}");
        }
    }
}
