//! Counters of the process, as Prometheus text on a loopback address. Off unless asked for.

use axum::{http::header::CONTENT_TYPE, response::IntoResponse, routing::get, Router};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// All counters. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    refused: IntCounterVec,
    actions: IntCounterVec,
    /// Messages taken by the machine.
    pub received: IntCounter,
    /// Messages handed to a connection.
    pub sent: IntCounter,
    /// Messages dropped because the receiver has no endpoint, does not answer or does not read.
    pub dropped: IntCounter,
    /// Orders that have records on disk.
    pub orders: IntGauge,
    /// Certificates that are not seen settled.
    pub unsettled: IntGauge,
    /// Certificates settled in best blocks by this process.
    pub settled: IntCounter,
    /// Certificates given up.
    pub given_up: IntCounter,
    /// Jobs at the engine.
    pub jobs: IntGauge,
    /// Jobs that failed.
    pub failed_jobs: IntCounter,
    /// Seconds of a write to disk.
    pub disk: Histogram,
}

impl Metrics {
    /// Counters at zero.
    ///
    /// # Errors
    /// The library's error: never, as a test shows.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("poq_express_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(format!("poq_express_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let labelled = |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(format!("poq_express_{name}"), help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let options = HistogramOpts::new("poq_express_disk_seconds", "Time of a write to disk");
        let disk = Histogram::with_opts(options.buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]))?;
        registry.register(Box::new(disk.clone()))?;
        Ok(Self {
            refused: labelled("refused_total", "Connections and messages refused, by limit", "reason")?,
            actions: labelled("actions_total", "Actions of the state machine, by kind", "kind")?,
            received: counter("received_total", "Messages taken")?,
            sent: counter("sent_total", "Messages handed to a connection")?,
            dropped: counter("dropped_total", "Messages that could not be sent")?,
            orders: gauge("orders", "Orders with records on disk")?,
            unsettled: gauge("unsettled", "Certificates not seen settled")?,
            settled: counter("settled_total", "Certificates settled by this process")?,
            given_up: counter("given_up_total", "Certificates that the chain never settles")?,
            jobs: gauge("jobs", "Jobs at the engine")?,
            failed_jobs: counter("failed_jobs_total", "Jobs that failed")?,
            disk,
            registry: Arc::new(registry),
        })
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Refusals for this reason.
    pub fn refusals(&self, reason: &str) -> u64 {
        self.refused.with_label_values(&[reason]).get()
    }

    /// Counts an action of the machine.
    pub fn acted(&self, kind: &str) {
        self.actions.with_label_values(&[kind]).inc();
    }

    /// The counters in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Serves `GET /metrics` until `closing` is cancelled.
    pub async fn serve(self, listener: TcpListener, closing: CancellationToken) -> std::io::Result<()> {
        let answer = move || {
            let text = self.text();
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response() }
        };
        let app = Router::new().route("/metrics", get(answer));
        axum::serve(listener, app).with_graceful_shutdown(closing.cancelled_owned()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_the_text() {
        let metrics = Metrics::new().unwrap();
        metrics.refused("hello");
        metrics.received.inc();
        let text = metrics.text();
        assert!(text.contains("poq_express_refused_total{reason=\"hello\"} 1"), "{text}");
        assert!(text.contains("poq_express_received_total 1"), "{text}");
    }
}
