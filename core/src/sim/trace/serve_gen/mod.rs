//! Traffic of a real service from its measured clients: `ServeGen`'s data, generated anew by seed.
//!
//! Source: `alibaba/ServeGen` (Apache-2.0), "`ServeGen`: Workload Characterization and Generation of
//! Large Language Model Serving in Production" (arXiv 2505.09999). For each client there are
//! `chunk-N-trace.csv`, its arrivals in windows of ten minutes ([`rates`]), and
//! `chunk-N-dataset.json`, its token lengths in windows of six hours ([`lengths`]). Read are the
//! language and reasoning data sets, whose prompts are text alone.
//!
//! Guards against a load made of one Poisson process: a few clients make most of the requests and
//! come and go within the day. Cost: the distributions are held in memory, 12 bytes a length.

mod generate;
mod lengths;
mod rates;

use std::{fs::File, io::BufReader, path::Path, sync::Arc, time::Duration};

use lengths::Lengths;
use rates::Window;

use super::TraceError;

/// The measured clients of one service.
///
/// ```no_run
/// use trimtab_core::{Rng, sim::trace::ServeGen};
/// let service = ServeGen::read("data/reason/deepseek-r1")?;
/// // From 10:00 to 11:00, at a tenth of the rate.
/// let trace = service.generate(60..66, 0.1, &mut Rng::seeded(7))?;
/// # Ok::<(), trimtab_core::sim::trace::TraceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServeGen {
    name: String,
    clients: Vec<Client>,
    windows: usize,
    window_length: Duration,
}

#[derive(Clone, Debug)]
struct Client {
    name: Arc<str>,
    /// `None` where it sent nothing.
    windows: Vec<Option<Window>>,
    lengths: Lengths,
}

impl ServeGen {
    /// Reads the folder `dir` with `chunk-N-trace.csv` and `chunk-N-dataset.json` for each client;
    /// other files in it are left alone.
    ///
    /// # Errors
    /// [`TraceError`], which names the file, the line or key and the field.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self, TraceError> {
        let dir = dir.as_ref();
        let name = dir.display().to_string();
        let mut service =
            Self { name, clients: Vec::new(), windows: 0, window_length: Duration::ZERO };
        for number in chunks(dir)? {
            let rates = dir.join(format!("chunk-{number}-trace.csv"));
            let lengths = dir.join(format!("chunk-{number}-dataset.json"));
            service.add(number, &rates, &lengths)?;
        }
        if service.clients.is_empty() {
            return Err(TraceError::Missing {
                file: dir.join("chunk-0-trace.csv").display().to_string(),
                because: "a ServeGen folder has one such file for each client".to_owned(),
            });
        }
        Ok(service)
    }

    /// How many clients there are, idle ones included.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many windows there are.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// How long a window is.
    pub fn window_length(&self) -> Duration {
        self.window_length
    }

    /// Requests a second of all clients together, by window.
    pub fn rates(&self) -> Vec<f64> {
        (0..self.windows).map(|window| self.rate(window)).collect()
    }

    fn rate(&self, window: usize) -> f64 {
        self.clients
            .iter()
            .filter_map(|client| client.windows[window].as_ref())
            .map(|window| window.rate)
            .sum()
    }

    /// Adds a client, whose windows must be those of the others.
    fn add(&mut self, number: u64, rates: &Path, lengths: &Path) -> Result<(), TraceError> {
        let rates_name = rates.display().to_string();
        let rates = rates::parse(&mut open(rates, &rates_name)?, &rates_name)?;
        let name = lengths.display().to_string();
        let lengths = lengths::parse(open(lengths, &name)?, &name)?;
        if self.clients.is_empty() {
            (self.windows, self.window_length) = (rates.windows.len(), rates.window_length);
        } else if (self.windows, self.window_length) != (rates.windows.len(), rates.window_length) {
            return Err(TraceError::Malformed {
                file: rates_name,
                line: rates.windows.len() as u64,
                reason: format!(
                    "ends after {} windows of {:?}, where the other clients have {} of {:?}",
                    rates.windows.len(),
                    rates.window_length,
                    self.windows,
                    self.window_length
                ),
            });
        }
        let first_sent = rates.windows.iter().position(Option::is_some);
        if let Some(window) = first_sent {
            let second = rates.window_length.as_secs() * window as u64;
            if lengths.at(second).is_none() {
                return Err(TraceError::Lengths {
                    file: name,
                    place: "at its beginning".to_owned(),
                    reason: format!(
                        "no token lengths up to second {second}, when the client sends"
                    ),
                });
            }
        }
        let name = format!("client-{number}").into();
        self.clients.push(Client { name, windows: rates.windows, lengths });
        Ok(())
    }
}

/// The numbers of the clients in the folder, in order.
fn chunks(dir: &Path) -> Result<Vec<u64>, TraceError> {
    let failed = |source| TraceError::Read { file: dir.display().to_string(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("chunk-").and_then(|rest| rest.strip_suffix("-trace.csv"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open(path: &Path, name: &str) -> Result<BufReader<File>, TraceError> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(TraceError::Missing {
            file: name.to_owned(),
            because: "each client has a chunk-N-trace.csv and a chunk-N-dataset.json".to_owned(),
        }),
        Err(source) => Err(TraceError::Read { file: name.to_owned(), source }),
    }
}
