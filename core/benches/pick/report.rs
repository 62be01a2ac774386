//! The table for the eye and the file for the record.

use std::{collections::BTreeMap, process::Command, time::SystemTime};

use serde_json::{Value, json};

/// One peer at one size on so many threads.
pub(crate) struct Measured {
    pub(crate) peer: String,
    pub(crate) endpoints: usize,
    pub(crate) threads: usize,
    /// Nanoseconds an operation, by round.
    pub(crate) nanos: Vec<f64>,
}

impl Measured {
    pub(crate) fn new(peer: String, endpoints: usize, threads: usize) -> Self {
        Self { peer, endpoints, threads, nanos: Vec::new() }
    }

    fn median(&self) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Where it ran.
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    rustc: String,
    unix_time: u64,
}

impl Machine {
    #[allow(clippy::disallowed_methods, reason = "a benchmark says when it ran")]
    pub(crate) fn this() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let rustc = Command::new("rustc").arg("--version").output().ok();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rustc: rustc
                .map_or("unknown".into(), |out| String::from_utf8_lossy(&out.stdout).into_owned()),
            unix_time: since_1970.map_or(0, |time| time.as_secs()),
        }
    }
}

/// All of a run.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) args: Vec<String>,
    pub(crate) measured: Vec<Measured>,
}

impl Report {
    pub(crate) fn print(&self) {
        println!(
            "{}, {} cores, {}",
            self.machine.cpu,
            self.machine.cores,
            self.machine.rustc.trim()
        );
        println!(
            "nanoseconds a request, one thread | two threads together (times the picks of one)\n"
        );
        let mut sizes: Vec<usize> = self.measured.iter().map(|row| row.endpoints).collect();
        sizes.dedup();
        print!("{:<32}", "endpoints");
        for size in &sizes {
            print!("{size:>23}");
        }
        println!();
        let mut names: Vec<&String> = Vec::new();
        for row in &self.measured {
            if !names.contains(&&row.peer) {
                names.push(&row.peer);
            }
        }
        let medians: BTreeMap<_, f64> = self
            .measured
            .iter()
            .map(|row| ((&row.peer, row.endpoints, row.threads), row.median()))
            .collect();
        for name in names {
            print!("{name:<32}");
            for size in &sizes {
                let (one, two) = (medians[&(name, *size, 1)], medians[&(name, *size, 2)]);
                let cell = format!("{one:.0} | {two:.0} ({:.2} x)", one / two);
                print!("{cell:>23}");
            }
            println!();
        }
    }

    pub(crate) fn write(&self, path: &str) {
        let rows: Vec<Value> = self
            .measured
            .iter()
            .map(|row| {
                json!({
                    "peer": row.peer,
                    "endpoints": row.endpoints,
                    "threads": row.threads,
                    "median_ns": row.median(),
                    "rounds_ns": row.nanos,
                })
            })
            .collect();
        let args = self.args.iter().filter(|arg| *arg != "--bench").map(String::as_str);
        let command = ["cargo bench -p trimtab-core --bench pick --"].into_iter().chain(args);
        let whole = json!({
            "command": command.collect::<Vec<_>>().join(" "),
            "cpu": self.machine.cpu,
            "cores": self.machine.cores,
            "rustc": self.machine.rustc.trim(),
            "unix_time": self.machine.unix_time,
            "results": rows,
        });
        let text = serde_json::to_string_pretty(&whole).expect("numbers and text");
        if let Some(folder) = std::path::Path::new(path).parent() {
            std::fs::create_dir_all(folder).expect("the results' folder can be made");
        }
        std::fs::write(path, text + "\n").expect("the results can be written");
        println!("\nraw data: {path}");
    }
}
