//! Each rule at three sizes, in bytes per second, beside the naive C loop and the bandwidth loop.
//!
//! `cargo bench -p gradstep-benches -- 'adam/'`, for example. The size of `DRAM` is the number of
//! parameters in `GRADSTEP_DRAM`, by default 8 million: 64 MB for the smallest rule.

use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use gradstep_benches::{Alignment, Contestant, cases};

fn rules(criterion: &mut Criterion) {
    let dram = match std::env::var("GRADSTEP_DRAM") {
        Ok(parameters) => parameters.parse().expect("GRADSTEP_DRAM is a number of parameters"),
        Err(_) => 8_000_000,
    };
    // Five buffers, the most that a rule has, of 1 k parameters fill 20 kB, and of 40 k 800 kB.
    let sizes = [("L1", 1_000), ("L2", 40_000), ("DRAM", dram)];

    for case in cases() {
        case.check();
        let mut group = criterion.benchmark_group(case.name);
        for (name, len) in sizes {
            let mut buffers = case.buffers(len, Alignment::CACHE_LINE);
            group.throughput(Throughput::Bytes((case.bytes() * len) as u64));
            group.sampling_mode(if name == "DRAM" {
                SamplingMode::Flat
            } else {
                SamplingMode::Auto
            });
            for contestant in Contestant::ALL {
                group.bench_function(BenchmarkId::new(contestant.name(), name), |bencher| {
                    bencher.iter_custom(|steps| {
                        let start = Instant::now();
                        case.run(contestant, &mut buffers, steps);
                        start.elapsed()
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = rules
}
criterion_main!(benches);
