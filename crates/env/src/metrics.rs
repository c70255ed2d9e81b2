//! The metric registry of one node, written out in Prometheus' text format at `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;

pub type Counter = prometheus_client::metrics::counter::Counter;
pub type Gauge = prometheus_client::metrics::gauge::Gauge;
pub type Histogram = prometheus_client::metrics::histogram::Histogram;

/// Cheap to clone; every clone registers into the same list.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    registry: Mutex<Registry>,
    counters: Mutex<BTreeMap<String, Counter>>,
    registered: AtomicU64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({})", self.0.registered.load(Ordering::Relaxed))
    }
}

impl Metrics {
    /// A counter under `cairn_<name>_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(name, help, counter.clone());
        self.0.counters.lock().insert(name.to_owned(), counter.clone());
        counter
    }

    /// What the counter `name` has counted; zero if there is none.
    pub fn counted(&self, name: &str) -> u64 {
        self.0.counters.lock().get(name).map_or(0, Counter::get)
    }

    /// A gauge under `cairn_<name>`.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(name, help, gauge.clone());
        gauge
    }

    /// A histogram of seconds under `cairn_<name>`, from 10 µs to about 80 s.
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(10e-6, 2.0, 24));
        self.register(name, help, histogram.clone());
        histogram
    }

    fn register(&self, name: &str, help: &str, metric: impl prometheus_client::registry::Metric) {
        self.0.registry.lock().register(format!("cairn_{name}"), help, metric);
        self.0.registered.fetch_add(1, Ordering::Relaxed);
    }

    /// Every metric in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry.lock()).expect("writing to a string does not fail");
        out
    }
}
