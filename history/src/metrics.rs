//! Metrics for Prometheus.

use prometheus::{
    core::Collector, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// Upper bounds of the classes of times, in seconds.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Newest block that the database holds.
    pub block: IntGauge,
    /// Finalized blocks that are not read yet.
    pub behind: IntGauge,
    /// Whether the node answers.
    pub connected: IntGauge,
    /// Ends of requests that were written.
    pub requests: IntCounter,
    /// HTTP requests by route and status.
    pub http: IntCounterVec,
    /// Time to the head of an answer, by route.
    pub http_seconds: HistogramVec,
}

impl Metrics {
    /// Everything at zero. Fails only if two metrics here have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help)?);
        let http = Opts::new("poq_history_http_requests_total", "Requests that were answered.");
        let seconds =
            HistogramOpts::new("poq_history_http_seconds", "Time from a request to the head of its answer.");
        let requests = IntCounter::new(
            "poq_history_ended_requests_total",
            "Ends of requests of the chain that were written.",
        )?;
        Ok(Self {
            block: gauge("poq_history_block", "Number of the newest block in the database.")?,
            behind: gauge("poq_history_blocks_behind", "Finalized blocks that are not in the database yet.")?,
            connected: gauge("poq_history_connected", "1 while the node answers.")?,
            requests: registered(&registry, requests)?,
            http: registered(&registry, IntCounterVec::new(http, &["route", "status"])?)?,
            http_seconds: registered(
                &registry,
                HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["route"])?,
            )?,
            registry,
        })
    }

    /// Everything in Prometheus's text format.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        prometheus::Encoder::encode(&TextEncoder::new(), &self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
