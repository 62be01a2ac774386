//! The model file: one file, versioned, length-checked, checksummed.
//!
//! ```text
//! bytes  0..8   magic "TRIMTABQ"
//!        8..12  format version, u32 little endian
//!       12..16  length of the payload, u32 little endian
//!       16..n   payload: one JSON object, integers only (nanoseconds, millionths)
//!        n..n+8 XXH64, seed 0, of all bytes before it, little endian
//! ```
//!
//! The checksum detects corruption, not tampering: anybody can compute it. So every value is checked
//! again on the way in, whatever the checksum says, and a hostile file can fail only with a
//! [`ModelError`]. Integers make the same model the same bytes on every machine.

use std::{io::Read, time::Duration};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::{Archetype, CellCost, Model, ModelError, Parts, Window, model::MILLION};

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"TRIMTABQ";
const VERSION: u32 = 1;
const HEADER: usize = 16;
const TRAILER: usize = 8;

impl Model {
    /// The model as a file's content. The same model gives the same bytes.
    ///
    /// # Panics
    /// Never: what [`Model::new`] lets through fits the format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = serde_json::to_vec(&Payload::of(self))
            .expect("invariant: integers, strings and lists always serialise");
        let length = u32::try_from(payload.len())
            .expect("invariant: Model::new bounds every count, so a payload is far below 4 GiB");
        let mut bytes = Vec::with_capacity(HEADER + payload.len() + TRAILER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&payload);
        let checksum = xxh64(&bytes, 0);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a model file's content, which may come from anybody.
    ///
    /// ```
    /// use trimtab_core::learn::{Model, ModelError};
    /// assert_eq!(Model::from_bytes(b"PAR1 something else"), Err(ModelError::NotAModel));
    /// ```
    ///
    /// # Errors
    /// A [`ModelError`] for whatever is wrong with it; every field is checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > MAX_FILE {
            return Err(ModelError::TooLarge { limit: MAX_FILE });
        }
        let payload = unwrap(bytes)?;
        let payload: Payload = serde_json::from_slice(payload)
            .map_err(|error| ModelError::Malformed { reason: error.to_string() })?;
        payload.into_model()
    }

    /// Reads a model from an open file or any other source, never more than [`MAX_FILE`] bytes of it.
    ///
    /// # Errors
    /// [`ModelError::Unreadable`] if the source fails, else as [`Model::from_bytes`].
    pub fn read(source: impl Read) -> Result<Self, ModelError> {
        let mut bytes = Vec::new();
        source
            .take(MAX_FILE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| ModelError::Unreadable { reason: error.to_string() })?;
        Self::from_bytes(&bytes)
    }
}

/// The payload between a sound header and a sound checksum.
fn unwrap(bytes: &[u8]) -> Result<&[u8], ModelError> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) || bytes.is_empty() {
        return Err(ModelError::NotAModel);
    }
    let found = bytes.len() as u64;
    let truncated = |expected: usize| ModelError::Truncated { expected: expected as u64, found };
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(truncated(HEADER + TRAILER))?;
    let version = little_endian(&header[8..12]) as u32;
    if version != VERSION {
        return Err(ModelError::Version { found: version, known: VERSION });
    }
    let length = little_endian(&header[12..16]);
    let expected = HEADER as u64 + length + TRAILER as u64;
    if found < expected {
        return Err(ModelError::Truncated { expected, found });
    }
    if found > expected {
        return Err(ModelError::Trailing { expected, found });
    }
    let (payload, checksum) = rest.split_at(length as usize);
    let expected = little_endian(checksum);
    let found = xxh64(&bytes[..HEADER + payload.len()], 0);
    if found != expected {
        return Err(ModelError::Checksum { expected, found });
    }
    Ok(payload)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    note: String,
    feature_hash: u64,
    window_nanos: (u64, u64),
    rows: u64,
    classes: Vec<String>,
    archetypes: Vec<ArchetypeIn>,
    /// Class by class: nanoseconds of service, millionths of slope, rows.
    cells: Vec<Option<(u64, u32, u64)>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchetypeIn {
    name: String,
    members: Vec<String>,
}

impl Payload {
    fn of(model: &Model) -> Self {
        let cell = |cell: &CellCost| {
            let service = nanos(cell.service());
            (service, (cell.slope() * MILLION).round() as u32, cell.rows())
        };
        let archetype = |archetype: &Archetype| ArchetypeIn {
            name: archetype.name.clone(),
            members: archetype.members.iter().map(ToString::to_string).collect(),
        };
        Self {
            note: model.note.clone(),
            feature_hash: model.feature_hash,
            window_nanos: (nanos(model.window.start), nanos(model.window.end)),
            rows: model.rows,
            classes: model.classes.clone(),
            archetypes: model.archetypes.iter().map(archetype).collect(),
            cells: model.cells.iter().map(|c| c.as_ref().map(cell)).collect(),
        }
    }

    fn into_model(self) -> Result<Model, ModelError> {
        let cell = |(service, slope, rows): (u64, u32, u64)| {
            CellCost::new(Duration::from_nanos(service), f64::from(slope) / MILLION, rows)
        };
        let archetype = |archetype: ArchetypeIn| Archetype {
            name: archetype.name,
            members: archetype.members.into_iter().map(Into::into).collect(),
        };
        let (start, end) = self.window_nanos;
        Model::new(Parts {
            classes: self.classes,
            archetypes: self.archetypes.into_iter().map(archetype).collect(),
            cells: self.cells.into_iter().map(|c| c.map(cell)).collect(),
            feature_hash: self.feature_hash,
            window: Window { start: Duration::from_nanos(start), end: Duration::from_nanos(end) },
            rows: self.rows,
            note: self.note,
        })
    }
}

/// Nanoseconds of a duration that `Model::new` has checked.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
