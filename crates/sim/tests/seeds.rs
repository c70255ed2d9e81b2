//! A few seeds of the whole cluster, each twice. `CAIRN_SEEDS=100..200` runs others; `CAIRN_LOG=sim=trace,info` shows what
//! happens.

use sim::{SimOptions, simulate};

#[test]
fn seeds_are_clean_and_repeatable() {
    if let Ok(filter) = std::env::var("CAIRN_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let seeds = std::env::var("CAIRN_SEEDS").unwrap_or_else(|_| "1..4".to_owned());
    let (first, last) = seeds.split_once("..").expect("CAIRN_SEEDS is FIRST..END");
    let mut bad = Vec::new();
    for seed in first.parse().unwrap()..last.parse().unwrap() {
        let options = SimOptions::new(seed);
        let report = simulate(&options);
        eprintln!("{report}");
        let is_repeatable = report == simulate(&options);
        let is_eventful = report.transfers >= 100 && report.faults >= 5;
        if !report.is_clean() || !is_repeatable || !is_eventful {
            bad.push(format!("{seed}: clean {}, repeatable {is_repeatable}, eventful {is_eventful}", report.is_clean()));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
