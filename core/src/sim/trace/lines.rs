//! A text file line by line, each line with its file and number, and typed fields out of it.
//!
//! Lines end in LF or CRLF; blank ones and a byte order mark are skipped; there are no quotes.
//! Guards against files that are not text at all: a line is bounded and must be UTF-8. Cost: one
//! buffer, reused.

use std::{
    io::{BufRead, Read as _},
    str::FromStr,
};

use super::{TraceError, error::beginning};

/// The longest line that is read: a prompt of 32 million tokens in blocks of 512.
const MAX_LINE: u64 = 1 << 20;

pub(super) struct Lines<'a> {
    reader: &'a mut dyn BufRead,
    file: &'a str,
    number: u64,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(reader: &'a mut dyn BufRead, file: &'a str) -> Self {
        Self { reader, file, number: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, TraceError> {
        loop {
            self.buffer.clear();
            let read = (&mut *self.reader)
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| TraceError::Read { file: self.file.to_owned(), source })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 > MAX_LINE {
                return Err(self.malformed(format!("longer than {MAX_LINE} bytes")));
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let (file, number) = (self.file, self.number);
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some(Line { file, number, text: text.trim() })),
            Err(error) => {
                let column = error.valid_up_to() + 1;
                Err(self.malformed(format!("byte {column} is not UTF-8 text")))
            }
        }
    }

    fn malformed(&self, reason: String) -> TraceError {
        TraceError::Malformed { file: self.file.to_owned(), line: self.number, reason }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) file: &'a str,
    pub(super) number: u64,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    /// The columns, as many as `into` has room for.
    pub(super) fn columns<const N: usize>(&self) -> Result<[&'a str; N], TraceError> {
        let mut columns = [""; N];
        let mut found = 0;
        for column in self.text.split(',') {
            if let Some(place) = columns.get_mut(found) {
                *place = column.trim();
            }
            found += 1;
        }
        if found == N { Ok(columns) } else { Err(self.wrong_columns(found, N)) }
    }

    pub(super) fn wrong_columns(&self, found: usize, expected: usize) -> TraceError {
        TraceError::Columns { file: self.file.to_owned(), line: self.number, found, expected }
    }

    pub(super) fn wrong_header(&self, expected: &'static str) -> TraceError {
        let found = beginning(self.text);
        TraceError::Header { file: self.file.to_owned(), line: self.number, found, expected }
    }

    pub(super) fn wrong(
        &self,
        field: &'static str,
        found: &str,
        expected: impl Into<String>,
    ) -> TraceError {
        TraceError::Field {
            file: self.file.to_owned(),
            line: self.number,
            field,
            found: beginning(found),
            expected: expected.into(),
        }
    }

    /// A whole number of at least 1: a request without a prompt or an answer is none.
    pub(super) fn tokens(&self, field: &'static str, text: &str) -> Result<u32, TraceError> {
        match u32::from_str(text) {
            Ok(tokens @ 1..) => Ok(tokens),
            _ => Err(self.wrong(field, text, "a whole number of tokens from 1 to 4294967295")),
        }
    }

    /// A finite number of at least 0.
    pub(super) fn amount(&self, field: &'static str, text: &str) -> Result<f64, TraceError> {
        match f64::from_str(text) {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
            _ => Err(self.wrong(field, text, "a finite number of at least 0")),
        }
    }
}
