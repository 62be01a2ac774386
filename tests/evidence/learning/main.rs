//! The tables of `README.md`: learned policies against the others, in the simulator.
//!
//! For each setting and number of clients it logs under `peak_ewma` with a tenth of picks explored, fits
//! the model of `q_table` and the cells of `fitted_q` from that log, and runs every policy on the same
//! requests. `--short` makes it a check of a minute.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::json;
use trimtab_core::{
    learn::{
        Model,
        train::{Config, Stats},
    },
    sim::{Interval, PolicyChoice, Ratio, Scenario, Setup, Simulation, results::Run},
};

type Failed = Box<dyn Error + Send + Sync>;

/// What logs are made at, and with.
const LOG_LOAD: f64 = 0.7;
const LOG_SEED: u64 = 1001;
const EXPLORE: f64 = 0.1;
/// Cells of `fitted_q` with fewer rows are left out.
const MIN_ROWS: f64 = 30.0;

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let short = args.iter().any(|arg| arg == "--short");
    let folder = PathBuf::from(args.iter().find(|arg| !arg.starts_with("--")).ok_or("folder?")?);
    let bench = Bench { folder, short, seeds: if short { 2 } else { 10 } };
    let mut tables = Tables::default();
    bench.settings(&mut tables)?;
    bench.log_size(&mut tables)?;
    bench.misclassified(&mut tables)?;
    bench.drift(&mut tables)?;
    bench.neighbour(&mut tables)?;
    let out = if short { std::env::temp_dir() } else { bench.folder };
    std::fs::write(out.join("results.json"), tables.json())?;
    std::fs::write(out.join("tables.md"), tables.markdown())?;
    tables.check()
}

struct Bench {
    folder: PathBuf,
    short: bool,
    seeds: u64,
}

/// What a log has taught.
struct Taught {
    rows: u64,
    model: Option<Arc<Model>>,
    cells: BTreeMap<String, f64>,
}

/// One line of a table, before it has run.
struct Job {
    table: &'static str,
    setting: String,
    clients: u32,
    load: f64,
    label: String,
    choice: PolicyChoice,
    model: Option<Arc<Model>>,
    scenario: Arc<Scenario>,
}

#[derive(Default)]
struct Tables {
    rows: Vec<Row>,
}

struct Row {
    job: Job,
    runs: Vec<Run>,
}

/// What differs from the scenario file.
#[derive(Clone, Copy, Default)]
struct Change<'a> {
    clients: u32,
    seconds: u32,
    explore: f64,
    misclassified: f64,
    /// Text put in the place of other text.
    replaced: &'a [(&'a str, &'a str)],
}

impl Bench {
    fn scenario(&self, name: &str, change: Change<'_>) -> Result<Arc<Scenario>, Failed> {
        let file = self.folder.join(format!("{name}.toml"));
        let mut text = std::fs::read_to_string(&file)?;
        let Change { clients, seconds, explore, misclassified, replaced } = change;
        let clients =
            format!("count = {clients}\nexplore = {explore:?}\nmisclassified = {misclassified:?}");
        text = text.replace("count = 50", &clients);
        text = text.replace("\"40s\"", &format!("\"{seconds}s\""));
        text = text.replace("\"10s\"", &format!("\"{}s\"", seconds / 4));
        for (old, new) in replaced {
            text = text.replace(old, new);
        }
        Ok(Arc::new(Scenario::parse(&text, &file)?))
    }

    fn seconds(&self) -> u32 {
        if self.short { 8 } else { 30 }
    }

    /// Logs a run and learns from it, from `most` rows at most.
    fn teach(
        scenario: &Arc<Scenario>,
        choice: &PolicyChoice,
        model: Option<Arc<Model>>,
        most: u64,
        seed: u64,
    ) -> Result<Taught, Failed> {
        let mut setup = Setup::new(choice.clone(), Some(LOG_LOAD), seed).with_log(1.0);
        setup.model = model;
        let (mut rows, mut stats, mut failed) = (0, Stats::new(), None);
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let enough = AtomicBool::new(false);
        Simulation::new(scenario, &setup)?.run_logged(&enough, |row| {
            if rows >= most {
                enough.store(true, Ordering::Relaxed);
                return;
            }
            rows += 1;
            if let (Some(class), Some(archetype), Some(ms)) =
                (&row.class, &row.archetype, row.latency_ms)
            {
                let archetype = archetype.trim_start_matches("archetype=");
                let cell = sums.entry(format!("{class}/{archetype}/{}", row.in_flight));
                let (sum, count) = cell.or_default();
                *sum += ms;
                *count += 1.0;
            }
            failed = failed.take().or(stats.fold(&row).err());
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        let supported = sums.into_iter().filter(|(_, (_, count))| *count >= MIN_ROWS);
        let cells = supported.map(|(name, (sum, count))| (name, sum / count)).collect();
        let model = stats.finalize(&Config::default()).ok().map(|fit| Arc::new(fit.model));
        Ok(Taught { rows, model, cells })
    }

    fn log(&self, name: &str, change: Change<'_>) -> Result<Taught, Failed> {
        let seconds = if self.short { 8 } else { 60 };
        let logged = self.scenario(name, Change { seconds, explore: EXPLORE, ..change })?;
        Self::teach(&logged, &PolicyChoice::named("peak_ewma"), None, u64::MAX, LOG_SEED)
    }

    /// The three settings, every policy.
    fn settings(&self, tables: &mut Tables) -> Result<(), Failed> {
        let clients: &[u32] = if self.short { &[50] } else { &[1, 10, 50] };
        let loads: &[f64] = if self.short { &[0.9] } else { &[0.6, 0.8, 0.9, 1.1] };
        for setting in ["crossed", "speeds", "alike"] {
            let mut jobs = Vec::new();
            for &clients in clients {
                let change = Change { clients, seconds: self.seconds(), ..Change::default() };
                let taught = self.log(setting, change)?;
                let scenario = self.scenario(setting, change)?;
                for &load in loads {
                    for (label, choice, model) in policies(&taught) {
                        jobs.push(Job {
                            table: "settings",
                            setting: setting.to_owned(),
                            clients,
                            load,
                            label,
                            choice,
                            model,
                            scenario: Arc::clone(&scenario),
                        });
                    }
                }
            }
            self.run(jobs, tables)?;
        }
        Ok(())
    }

    /// How many rows a table needs.
    fn log_size(&self, tables: &mut Tables) -> Result<(), Failed> {
        let sizes: &[u64] =
            if self.short { &[1000] } else { &[100, 200, 300, 1000, 3000, 10_000, 50_000] };
        let change = Change { clients: 50, seconds: self.seconds(), ..Change::default() };
        let logged =
            self.scenario("crossed", Change { explore: EXPLORE, seconds: 60, ..change })?;
        let scenario = self.scenario("crossed", change)?;
        let mut jobs = Vec::new();
        for &size in sizes {
            let logging = PolicyChoice::named("peak_ewma");
            let taught = Self::teach(&logged, &logging, None, size, LOG_SEED)?;
            jobs.push(Job {
                table: "log size",
                setting: "crossed".to_owned(),
                clients: 50,
                load: 0.9,
                label: format!("q_table, {} rows", taught.rows),
                choice: PolicyChoice::named("q_table"),
                model: taught.model,
                scenario: Arc::clone(&scenario),
            });
        }
        self.run(jobs, tables)
    }

    /// Requests that say the wrong class, in the log and after it.
    fn misclassified(&self, tables: &mut Tables) -> Result<(), Failed> {
        let shares: &[f64] = if self.short { &[0.1] } else { &[0.0, 0.05, 0.1, 0.2, 0.35, 0.5] };
        let mut jobs = Vec::new();
        for &misclassified in shares {
            let seconds = self.seconds();
            let change = Change { clients: 50, seconds, misclassified, ..Change::default() };
            let taught = self.log("crossed", change)?;
            jobs.push(Job {
                table: "misclassified",
                setting: "crossed".to_owned(),
                clients: 50,
                load: 0.9,
                label: format!("q_table, {:.0} % wrong", misclassified * 100.0),
                choice: PolicyChoice::named("q_table"),
                model: taught.model,
                scenario: self.scenario("crossed", change)?,
            });
        }
        self.run(jobs, tables)
    }

    /// The types change places after the log: the worst that drift can do. Then a log of the stale table
    /// itself teaches a new one.
    fn drift(&self, tables: &mut Tables) -> Result<(), Failed> {
        let swapped = [("name = \"x\"", "name = \"?\""), ("name = \"y\"", "name = \"x\"")];
        let swapped = [swapped[0], swapped[1], ("name = \"?\"", "name = \"y\"")];
        let before = Change { clients: 50, seconds: self.seconds(), ..Change::default() };
        let after = Change { replaced: &swapped, ..before };
        let stale = self.log("crossed", before)?;
        let scenario = self.scenario("crossed", after)?;
        let seconds = if self.short { 8 } else { 60 };
        let logged = self.scenario("crossed", Change { seconds, explore: EXPLORE, ..after })?;
        let q_table = PolicyChoice::named("q_table");
        let again = Self::teach(&logged, &q_table, stale.model.clone(), u64::MAX, LOG_SEED)?;
        let lines = [
            ("q_table, trained before", q_table.clone(), stale.model),
            ("q_table, trained again from its own log", q_table, again.model),
            ("peak_ewma", PolicyChoice::named("peak_ewma"), None),
            ("prequal", PolicyChoice::named("prequal"), None),
            ("oracle", PolicyChoice::named("oracle"), None),
        ];
        let loads: &[f64] = if self.short { &[0.6] } else { &[0.4, 0.6, 0.9] };
        let mut jobs = Vec::new();
        for &load in loads {
            for (label, choice, model) in &lines {
                jobs.push(Job {
                    table: "drift",
                    setting: "crossed, types swapped".to_owned(),
                    clients: 50,
                    load,
                    label: (*label).to_owned(),
                    choice: choice.clone(),
                    model: model.clone(),
                    scenario: Arc::clone(&scenario),
                });
            }
        }
        self.run(jobs, tables)
    }

    /// Other programs take up to 60 % of three servers in ten, another part every ten seconds; the log knows of
    /// none.
    fn neighbour(&self, tables: &mut Tables) -> Result<(), Failed> {
        let antagonist = "model = { fifo = { workers = 4 } }\nantagonist = { takes = [0.0, 0.6], share = 0.3, every = \"9s\" }";
        let replaced = [("model = { fifo = { workers = 4 } }", antagonist)];
        for setting in ["crossed", "alike"] {
            let change = Change { clients: 50, seconds: self.seconds(), ..Change::default() };
            let taught = self.log(setting, change)?;
            let scenario = self.scenario(setting, Change { replaced: &replaced, ..change })?;
            let jobs = policies(&taught).into_iter().map(|(label, choice, model)| Job {
                table: "noisy neighbour",
                setting: setting.to_owned(),
                clients: 50,
                load: 0.8,
                label,
                choice,
                model,
                scenario: Arc::clone(&scenario),
            });
            self.run(jobs.collect(), tables)?;
        }
        Ok(())
    }

    /// Every job with every seed, on all processors.
    fn run(&self, jobs: Vec<Job>, tables: &mut Tables) -> Result<(), Failed> {
        let total = jobs.len() * self.seeds as usize;
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<BTreeMap<usize, Result<Run, String>>> = Mutex::default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(number / self.seeds as usize) else { return };
                        let seed = number as u64 % self.seeds + 1;
                        let mut setup = Setup::new(job.choice.clone(), Some(job.load), seed);
                        setup.model.clone_from(&job.model);
                        let run = Simulation::new(&job.scenario, &setup).map(|mut simulation| {
                            simulation.run(&stop);
                            simulation.figures()
                        });
                        let run = run.map_err(|error| error.to_string());
                        done.lock().expect("no thread panicked").insert(number, run);
                    }
                });
            }
        });
        let done = done.into_inner().expect("no thread panicked");
        eprintln!("{}: {total} runs", jobs.first().map_or("", |job| job.table));
        let runs: Result<Vec<Run>, String> = done.into_values().collect();
        let mut runs = runs?.into_iter();
        for job in jobs {
            let runs = runs.by_ref().take(self.seeds as usize).collect();
            tables.rows.push(Row { job, runs });
        }
        Ok(())
    }
}

/// All policies that are compared, with what a log has taught.
fn policies(taught: &Taught) -> Vec<(String, PolicyChoice, Option<Arc<Model>>)> {
    let mut all = Vec::new();
    for name in ["least_request", "peak_ewma", "prequal"] {
        all.push((name.to_owned(), PolicyChoice::named(name), None));
    }
    let mut blind = PolicyChoice::named("q_table");
    blind.options.insert("probes_per_pick".to_owned(), 0.0);
    all.push(("q_table, no probes".to_owned(), blind, taught.model.clone()));
    let q_table = PolicyChoice::named("q_table");
    all.push(("q_table".to_owned(), q_table, taught.model.clone()));
    let mut fitted = PolicyChoice::named("fitted_q");
    fitted.options.clone_from(&taught.cells);
    all.push(("fitted_q".to_owned(), fitted, None));
    for name in ["q_learning", "oracle"] {
        all.push((name.to_owned(), PolicyChoice::named(name), None));
    }
    all
}

impl Tables {
    /// What the page says above all.
    fn check(&self) -> Result<(), Failed> {
        let mean = |setting: &str, label: &str| {
            let found = self.rows.iter().find(|Row { job, .. }| {
                job.table == "settings"
                    && (job.setting.as_str(), job.label.as_str()) == (setting, label)
                    && job.clients == 50
                    && (job.load - 0.9).abs() < 1e-9
            });
            let runs = found.map_or(&[] as &[Run], |row| &row.runs);
            Interval::of(runs.iter().map(|run| run.mean_ms)).mean.unwrap_or(f64::NAN)
        };
        for (setting, most) in [("crossed", 0.6), ("speeds", 1.1), ("alike", 1.1)] {
            let (table, prequal) = (mean(setting, "q_table"), mean(setting, "prequal"));
            if table.is_nan() || table > most * prequal {
                let what = format!("{setting}: q_table {table} ms, prequal {prequal} ms");
                return Err(format!("{what}; at most {most} of it was expected").into());
            }
        }
        Ok(())
    }

    /// Every run, a line each.
    fn json(&self) -> String {
        let mut out = String::from("[\n");
        for (index, Row { job, runs }) in self.rows.iter().enumerate() {
            let runs: Vec<_> = runs
                .iter()
                .map(|run| {
                    json!([
                        run.mean_ms,
                        run.p50_ms,
                        run.p99_ms,
                        run.p999_ms,
                        run.error_rate,
                        run.amplification,
                        run.load_max_over_mean,
                        run.in_flight_max_over_mean,
                        run.utilization,
                        run.requests,
                        run.probes,
                    ])
                })
                .collect();
            let row = json!({
                "table": job.table, "setting": job.setting, "clients": job.clients,
                "load": job.load, "policy": job.label, "runs": runs,
            });
            let comma = if index + 1 < self.rows.len() { "," } else { "" };
            let _ = writeln!(out, "{row}{comma}");
        }
        out + "]\n"
    }

    fn markdown(&self) -> String {
        let mut out = String::from(
            "Made by `tests/evidence/learning/run`. Milliseconds, mean and 95 % interval over seeds; `in flight` is the\nfullest server's requests over the mean server's; the last column is the mean against the oracle, in pairs.\n",
        );
        let mut heading = String::new();
        for row in &self.rows {
            let Job { table, setting, clients, .. } = &row.job;
            let here = format!("\n## {table}: {setting}, {clients} clients\n");
            if here != heading {
                out += &here;
                out += "\n| load | policy | mean | p50 | p99 | p99.9 | errors % | attempts | load max/mean | in flight max/mean | over oracle |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
                heading = here;
            }
            let _ = writeln!(out, "{}", self.line(row));
        }
        out
    }

    fn line(&self, row: &Row) -> String {
        let figure = |read: fn(&Run) -> Option<f64>, digits: usize| {
            let all = Interval::of(row.runs.iter().map(read));
            match (all.mean, all.low) {
                (Some(mean), Some(low)) => format!("{mean:.digits$} ± {:.digits$}", mean - low),
                (Some(mean), None) => format!("{mean:.digits$}"),
                _ => "-".to_owned(),
            }
        };
        let same = |other: &&Row| {
            let (a, b) = (&row.job, &other.job);
            (a.table, &a.setting, a.clients) == (b.table, &b.setting, b.clients)
                && (a.load - b.load).abs() < 1e-9
                && b.label == "oracle"
        };
        let oracle = self.rows.iter().find(same).and_then(|oracle| {
            let pairs: Vec<_> =
                row.runs.iter().zip(&oracle.runs).map(|(a, b)| (a.mean_ms, b.mean_ms)).collect();
            Ratio::of(&pairs)
        });
        let oracle = oracle.map_or_else(String::new, |ratio| format!("{:.3}", ratio.ratio));
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.job.load,
            row.job.label,
            figure(|run| run.mean_ms, 2),
            figure(|run| run.p50_ms, 2),
            figure(|run| run.p99_ms, 1),
            figure(|run| run.p999_ms, 1),
            figure(|run| Some(run.error_rate * 100.0), 2),
            figure(|run| Some(run.amplification), 2),
            figure(|run| Some(run.load_max_over_mean), 2),
            figure(|run| Some(run.in_flight_max_over_mean), 2),
            oracle
        )
    }
}
