//! A few seeds of the whole cluster, each twice. `CAIRN_SEEDS=100..200` runs others; `CAIRN_LOG=sim=trace,info` shows what
//! happens.

use sim::{SimOptions, simulate_twice};

#[test]
fn seeds_are_clean_and_repeatable() {
    if let Ok(filter) = std::env::var("CAIRN_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let seeds = std::env::var("CAIRN_SEEDS").unwrap_or_else(|_| "1..4".to_owned());
    let (first, last) = seeds.split_once("..").expect("CAIRN_SEEDS is FIRST..END");
    let mut bad: Vec<u64> = Vec::new();
    for seed in first.parse().unwrap()..last.parse().unwrap() {
        let report = simulate_twice(&SimOptions::new(seed));
        eprintln!("{report}");
        if !report.is_clean() || report.too_thin().is_some() {
            bad.push(seed);
        }
    }
    assert!(bad.is_empty(), "violated, or too little happened: {bad:?}");
}
