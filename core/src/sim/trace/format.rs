//! The formats by name, and which of them a file has.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::{Trace, TraceError, arrivals, azure, error, mooncake};

/// How a trace is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `azure_llm_2023`: the CSV of the Azure LLM inference traces of 2023, with the header
    /// `TIMESTAMP,ContextTokens,GeneratedTokens`.
    AzureLlm2023,
    /// `mooncake`: the JSON lines of Mooncake's FAST'25 traces, with `timestamp` in milliseconds,
    /// `input_length`, `output_length` and `hash_ids`, one for each 512 tokens of the prompt.
    Mooncake,
    /// `arrivals`: a CSV of one's own with the header `at_s`, and where there are such, `class` and
    /// both of `prompt_tokens` and `output_tokens`. Times are seconds from any origin.
    Arrivals,
}

impl Format {
    /// The names that [`Format::by_name`] knows.
    pub const NAMES: [&str; 3] = ["azure_llm_2023", "mooncake", "arrivals"];

    /// The format of that name.
    ///
    /// # Errors
    /// [`TraceError::UnknownFormat`], which lists the known names.
    pub fn by_name(name: &str) -> Result<Self, TraceError> {
        [Self::AzureLlm2023, Self::Mooncake, Self::Arrivals]
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| TraceError::UnknownFormat { name: name.to_owned() })
    }

    /// The name it is known by.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The format that a file with this first line has, if any.
    pub fn detect(first_line: &str) -> Option<Self> {
        let line = first_line.trim();
        if line.starts_with('{') {
            Some(Self::Mooncake)
        } else if line == azure::HEADER {
            Some(Self::AzureLlm2023)
        } else if line.split(',').any(|column| column.trim() == "at_s") {
            Some(Self::Arrivals)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Trace {
    /// Reads the file at `path`, whose format is known.
    ///
    /// # Errors
    /// [`TraceError`], which names the file, the line and the field.
    pub fn read(path: impl AsRef<Path>, format: Format) -> Result<Self, TraceError> {
        let name = path.as_ref().display().to_string();
        Self::parse(open(path.as_ref(), &name)?, &name, format)
    }

    /// Reads the file at `path`, whose first line tells its format.
    ///
    /// # Errors
    /// As [`Trace::read`]; [`TraceError::Undetected`] if the first line belongs to no known format.
    pub fn read_detected(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        let name = path.as_ref().display().to_string();
        let mut reader = open(path.as_ref(), &name)?;
        let read = |source| TraceError::Read { file: name.clone(), source };
        let beginning = String::from_utf8_lossy(reader.fill_buf().map_err(read)?);
        let first_line = beginning.trim_start_matches('\u{feff}').trim_start().lines().next();
        let Some(first_line) = first_line else { return Err(TraceError::Empty { what: name }) };
        let Some(format) = Format::detect(first_line) else {
            let found = error::beginning(first_line);
            return Err(TraceError::Undetected { file: name, found });
        };
        Self::parse(reader, &name, format)
    }

    /// Reads a trace from anywhere; errors call it `name`.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn parse(mut reader: impl BufRead, name: &str, format: Format) -> Result<Self, TraceError> {
        match format {
            Format::AzureLlm2023 => azure::parse(&mut reader, name),
            Format::Mooncake => mooncake::parse(&mut reader, name),
            Format::Arrivals => arrivals::parse(&mut reader, name),
        }
    }
}

fn open(path: &Path, name: &str) -> Result<BufReader<File>, TraceError> {
    let file = File::open(path);
    let file = file.map_err(|source| TraceError::Read { file: name.to_owned(), source })?;
    Ok(BufReader::with_capacity(1 << 16, file))
}
