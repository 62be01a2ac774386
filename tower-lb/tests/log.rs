//! The decision log's sink: every row arrives, and a broken writer breaks nothing.
#![cfg(feature = "log")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_lb::{
    Balancer, Endpoint,
    log::FileSink,
    trimtab_core::{Context, Outcome, Rng, Time, log::DecisionLog, log::Row},
};

fn logged(capacity: usize) -> (Balancer, Arc<DecisionLog>) {
    let log = Arc::new(DecisionLog::new("test", 1.0, capacity, Duration::ZERO).unwrap());
    let balancer = Balancer::builder()
        .endpoints([Endpoint::new("a"), Endpoint::new("b")])
        .log(Arc::clone(&log))
        .build()
        .unwrap();
    (balancer, log)
}

fn request(balancer: &Balancer, rng: &mut Rng, event: u64) {
    let now = Time::ZERO + Duration::from_millis(event);
    let lease = balancer.pick(now, &Context::new().with_event(event), rng).unwrap();
    lease.finish(now + Duration::from_millis(3), Outcome::success());
}

#[test]
fn all_rows_pushed_before_closing_are_in_the_file_in_order() {
    let path = std::env::temp_dir().join(format!("trimtab-log-test-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let (balancer, log) = logged(1 << 14);
    let mut rng = Rng::seeded(1);
    for part in 0..2 {
        // A second sink appends.
        let sink = FileSink::spawn(Arc::clone(&log), &path).unwrap();
        for event in part * 5000..(part + 1) * 5000 {
            request(&balancer, &mut rng, 1 + event);
        }
        let report = sink.close();
        assert_eq!((report.written, report.lost, report.errors), (5000, 0, 0));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().map(|row| row.event).eq(1..=10_000));
    assert!(rows.iter().all(|row| row.latency_ms == Some(3.0) && row.candidates.len() == 2));
    assert_eq!(log.dropped(), 0);
}

/// Fails while told to, and keeps what it was given otherwise.
#[derive(Clone, Default)]
struct Disk {
    full: Arc<Mutex<bool>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.full.lock().unwrap() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_rows_that_are_counted_and_nothing_else() {
    let (balancer, log) = logged(1 << 14);
    let mut rng = Rng::seeded(1);
    let disk = Disk::default();
    *disk.full.lock().unwrap() = true;
    let sink = FileSink::spawn_to(log, disk.clone()).unwrap();
    for event in 0..100 {
        request(&balancer, &mut rng, event);
    }
    while sink.report().lost < 100 {
        std::thread::yield_now();
    }
    *disk.full.lock().unwrap() = false;
    for event in 100..200 {
        request(&balancer, &mut rng, event);
    }
    let report = sink.close();
    assert_eq!((report.written, report.lost), (100, 100));
    assert!(report.errors >= 1 && report.last_error.is_some());
    let written = String::from_utf8(disk.written.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 100);
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_at_once() {
    let (_, log) = logged(8);
    assert!(FileSink::spawn(log, "/no/such/folder/log.jsonl").is_err());
}

/// Blocks until it may write.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_is_stuck_blocks_no_request() {
    let (balancer, log) = logged(16);
    let (release, stuck) = std::sync::mpsc::channel();
    let sink = FileSink::spawn_to(Arc::clone(&log), Stuck(stuck)).unwrap();
    let mut rng = Rng::seeded(1);
    let mut sent = 0;
    while log.dropped() < 100 {
        request(&balancer, &mut rng, sent);
        sent += 1;
    }
    drop(release);
    let report = sink.close();
    assert_eq!(report.written + log.dropped(), sent, "each row is written or counted");
}
