// SPDX-License-Identifier: MIT
//! Rust's standard mutex, channel and Command, crossbeam's channel and rayon's pool, measured as bench/ measures Motet.
//!
//!     rustpeer [--quick] [--repeats N] [NAME...] | --list

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;

const CAPACITY: usize = 1024;

/// Hides a value's origin from the compiler; std::hint has it only since Rust 1.66, Debian 12 is at 1.63.
fn black_box<T>(v: T) -> T {
    let v = std::mem::ManuallyDrop::new(v);
    unsafe { std::ptr::read_volatile(&*v) }
}

extern "C" {
    fn sched_setaffinity(pid: i32, size: usize, mask: *const u64) -> i32;
    fn sched_getaffinity(pid: i32, size: usize, mask: *mut u64) -> i32;
}

/// Pins the calling thread to the i-th CPU of those the program was started on.
fn pin(cpus: &[usize], i: usize) {
    let mut mask = [0u64; 16];
    let cpu = cpus[i % cpus.len()];
    mask[cpu / 64] |= 1 << (cpu % 64);
    unsafe { sched_setaffinity(0, 128, mask.as_ptr()) };
}

fn allowed_cpus() -> Vec<usize> {
    let mut mask = [0u64; 16];
    unsafe { sched_getaffinity(0, 128, mask.as_mut_ptr()) };
    (0..1024).filter(|c| mask[c / 64] >> (c % 64) & 1 == 1).collect()
}

struct Bench {
    quick: bool,
    repeats: usize,
    cpus: Vec<usize>,
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let n = v.len();
    if n % 2 == 1 { v[n / 2] } else { (v[n / 2 - 1] + v[n / 2]) / 2.0 }
}

impl Bench {
    /// bench_measure: `once` does n operations and says how long they took; the result is ns an operation.
    fn measure(&self, n_min: u64, n_max: u64, span_ms: u64, mut once: impl FnMut(u64) -> f64) -> f64 {
        let span = if self.quick { 2e6 } else { span_ms as f64 * 1e6 };
        let mut n = if self.quick { n_min.min(100) } else { n_min };
        loop {
            let ns = once(n);
            if n >= n_max || ns >= 0.7 * span {
                break;
            }
            n = ((n as f64 * (span / ns.max(1.0)).clamp(1.1, 10.0)) as u64 + 1).min(n_max);
        }
        once(n);
        median((0..self.repeats).map(|_| once(n) / n as f64).collect())
    }

    /// bench_team: the closures at once, each on its CPU; ns from the first start to the last end.
    fn team(&self, members: Vec<(usize, Box<dyn FnOnce() + Send>)>) -> f64 {
        let barrier = Arc::new(Barrier::new(members.len()));
        let threads: Vec<_> = members
            .into_iter()
            .map(|(cpu, body)| {
                let (barrier, cpus) = (barrier.clone(), self.cpus.clone());
                thread::spawn(move || {
                    pin(&cpus, cpu);
                    barrier.wait();
                    let start = Instant::now();
                    body();
                    (start, Instant::now())
                })
            })
            .collect();
        let times: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let start = times.iter().map(|t| t.0).min().unwrap();
        let end = times.iter().map(|t| t.1).max().unwrap();
        end.duration_since(start).as_nanos() as f64
    }

    fn spawn(&self, program: &str) -> f64 {
        self.measure(10, u64::MAX, 100, |n| {
            let t = Instant::now();
            for _ in 0..n {
                assert!(Command::new(program).status().unwrap().success());
            }
            t.elapsed().as_nanos() as f64
        })
    }

    fn uncontended(&self) -> f64 {
        pin(&self.cpus, 0);
        let m = Mutex::new(0u64);
        self.measure(1000, 1_000_000_000, 60, |n| {
            let t = Instant::now();
            for _ in 0..n {
                drop(black_box(m.lock().unwrap()));
            }
            t.elapsed().as_nanos() as f64
        })
    }

    fn contended(&self) -> f64 {
        self.measure(1000, 1_000_000_000, 60, |n| {
            struct Contest {
                counter: Mutex<u64>,
                stop: AtomicBool,
                total: AtomicU64,
            }
            let c = Arc::new(Contest { counter: Mutex::new(0), stop: AtomicBool::new(false), total: AtomicU64::new(0) });
            let member = |i: usize| -> (usize, Box<dyn FnOnce() + Send>) {
                let c = c.clone();
                (i, Box::new(move || {
                    let mut done = 0;
                    while !c.stop.load(Ordering::Relaxed) && done < n {
                        *c.counter.lock().unwrap() += 1;
                        done += 1;
                    }
                    c.stop.store(true, Ordering::Relaxed);
                    c.total.fetch_add(done, Ordering::Relaxed);
                }))
            };
            let ns = self.team(vec![member(0), member(1)]);
            let total = c.total.load(Ordering::Relaxed);
            assert_eq!(*c.counter.lock().unwrap(), total);
            ns * n as f64 / total as f64
        })
    }

    fn flow_crossbeam(&self, side: usize) -> f64 {
        let (put, get) = crossbeam_channel::bounded::<u64>(CAPACITY);
        self.measure(1000, 1_000_000_000, 60, |n| {
            let each = n / side as u64 + 1;
            let sums = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let mut members: Vec<(usize, Box<dyn FnOnce() + Send>)> = vec![];
            for i in 0..side {
                let (put, get, s, r) = (put.clone(), get.clone(), sums.clone(), sums.clone());
                members.push((i, Box::new(move || {
                    for k in i as u64 * each..(i as u64 + 1) * each {
                        put.send(k).unwrap();
                    }
                    s[0].fetch_add((i as u64 * each..(i as u64 + 1) * each).sum(), Ordering::Relaxed);
                })));
                members.push((i + 1, Box::new(move || {
                    let sum = (0..each).map(|_| get.recv().unwrap()).sum();
                    r[1].fetch_add(sum, Ordering::Relaxed);
                })));
            }
            let ns = self.team(members);
            assert_eq!(sums[0].load(Ordering::Relaxed), sums[1].load(Ordering::Relaxed));
            ns * n as f64 / (each * side as u64) as f64
        })
    }

    fn flow_std(&self) -> f64 {
        self.measure(1000, 1_000_000_000, 60, |n| {
            let (put, get) = mpsc::sync_channel::<u64>(CAPACITY);
            self.team(vec![
                (0, Box::new(move || (0..n).for_each(|k| put.send(k).unwrap()))),
                (1, Box::new(move || assert_eq!((0..n).map(|_| get.recv().unwrap()).sum::<u64>(), n * (n - 1) / 2))),
            ])
        })
    }

    fn pingpong_crossbeam(&self) -> f64 {
        self.measure(200, 1_000_000_000, 60, |n| {
            let (there, at) = crossbeam_channel::bounded::<u64>(CAPACITY);
            let (back, home) = crossbeam_channel::bounded::<u64>(CAPACITY);
            self.team(vec![
                (0, Box::new(move || for k in 0..n {
                    there.send(k).unwrap();
                    assert_eq!(home.recv().unwrap(), k);
                })),
                (1, Box::new(move || for _ in 0..n {
                    back.send(at.recv().unwrap()).unwrap();
                })),
            ])
        })
    }

    fn pool(&self, workers: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap()
    }

    fn submit(&self) -> f64 {
        let p = self.pool(self.cpus.len());
        self.measure(100_000, 1_000_000, 400, |n| {
            let c = Arc::new(AtomicUsize::new(0));
            let t = Instant::now();
            for _ in 0..n {
                let c = c.clone();
                p.spawn(move || {
                    c.fetch_add(1, Ordering::Relaxed);
                });
            }
            while c.load(Ordering::Relaxed) < n as usize {
                thread::sleep(Duration::from_micros(100));
            }
            t.elapsed().as_nanos() as f64
        })
    }

    /// A square is reached through a pointer, as a task is, so that no compiler folds the loop away.
    fn map(&self) -> f64 {
        let p = self.pool(self.cpus.len());
        let call: fn(&i32) -> i64 = black_box(|v| *v as i64 * *v as i64);
        let input: Vec<i32> = (0..1_000_000).collect();
        let mut output: Vec<i64> = Vec::new();
        self.measure(1_000_000, 64_000_000, 100, |n| {
            let mut ns = 0.0;
            let mut left = n as usize;
            while left > 0 {
                let part = left.min(input.len());
                let t = Instant::now();
                p.install(|| input[..part].par_iter().map(|v| call(v)).collect_into_vec(&mut output));
                ns += t.elapsed().as_nanos() as f64;
                assert!(output.iter().enumerate().all(|(i, v)| *v == (i * i) as i64));
                left -= part;
            }
            ns
        })
    }

    fn trips(&self, p: &rayon::ThreadPool) -> f64 {
        self.measure(200, 1_000_000_000, 60, |n| {
            let t = Instant::now();
            for i in 0..n {
                assert_eq!(p.install(|| black_box(i)), i);
            }
            t.elapsed().as_nanos() as f64
        })
    }

    fn idle_trips(&self, p: &rayon::ThreadPool) -> f64 {
        let samples = (0..=self.repeats).map(|_| {
            median((0..if self.quick { 3 } else { 30 }).map(|_| {
                thread::sleep(Duration::from_millis(2));
                let t = Instant::now();
                p.install(|| black_box(1));
                t.elapsed().as_nanos() as f64
            }).collect())
        });
        median(samples.skip(1).collect())
    }

    /// One worker, on CPU 1; the caller on CPU 0.
    fn pinned_pool(&self) -> rayon::ThreadPool {
        pin(&self.cpus, 1);
        let p = self.pool(1);
        p.install(|| black_box(1));
        pin(&self.cpus, 0);
        p
    }
}

fn main() {
    type Run = fn(&Bench) -> f64;
    fn nolibc(b: &Bench) -> f64 {
        let beside = std::env::current_exe().unwrap().with_file_name("motet-bench-nolibc");
        b.spawn(beside.to_str().unwrap())
    }
    let rows: Vec<(&str, &str, Run)> = vec![
        ("child.spawn.nolibc@rust", "ns", nolibc),
        ("child.spawn@rust", "ns", |b| b.spawn("/bin/true")),
        ("lock.contended@rust", "pairs/s", Bench::contended),
        ("lock.uncontended@rust", "ns", Bench::uncontended),
        ("pool.thread.map@rayon", "items/s", Bench::map),
        ("pool.thread.roundtrip.2w@rayon", "ns", |b| b.trips(&b.pool(2))),
        ("pool.thread.roundtrip.asleep@rayon", "ns", |b| b.idle_trips(&b.pinned_pool())),
        ("pool.thread.roundtrip.idle@rayon", "ns", |b| b.idle_trips(&b.pool(1))),
        ("pool.thread.roundtrip@rayon", "ns", |b| b.trips(&b.pinned_pool())),
        ("pool.thread.submit@rayon", "tasks/s", Bench::submit),
        ("queue.thread.1p1c@crossbeam", "items/s", |b| b.flow_crossbeam(1)),
        ("queue.thread.1p1c@rust-mpsc", "items/s", Bench::flow_std),
        ("queue.thread.4p4c@crossbeam", "items/s", |b| b.flow_crossbeam(4)),
        ("queue.thread.pingpong@crossbeam", "ns", Bench::pingpong_crossbeam),
    ];
    let mut b = Bench { quick: false, repeats: 9, cpus: allowed_cpus() };
    let mut wanted: Vec<String> = vec![];
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        match a.as_str() {
            "--list" => {
                rows.iter().for_each(|r| println!("{}", r.0));
                return;
            }
            "--quick" => {
                b.quick = true;
                b.repeats = 2;
            }
            "--repeats" => b.repeats = args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect("a number"),
            name => wanted.push(name.to_string()),
        }
    }
    for (name, unit, run) in rows {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            let ns = run(&b);
            println!("{} {:.4} {}", name, if unit == "ns" { ns } else { 1e9 / ns }, unit);
        }
    }
}
