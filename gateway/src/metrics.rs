//! Metrics for Prometheus.

use prometheus::{
    core::Collector, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// Upper bounds of the classes of times, in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0];

/// Units of a POQ.
const POQ: f64 = 1e12;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// HTTP requests by method, route and status.
    pub http: IntCounterVec,
    /// Time to the head of an answer, by route.
    pub http_seconds: HistogramVec,
    /// Errors that callers were told, by code.
    pub errors: IntCounterVec,
    /// Orders that ended, by outcome.
    pub orders: IntCounterVec,
    /// Time from an order to its end, by outcome.
    pub order_seconds: HistogramVec,
    /// Orders that are not over.
    pub open: IntGauge,
    /// Transactions that were signed anew.
    pub signed_anew: IntCounter,
    /// Outcomes that a re-organisation of the chain changed after callers had them.
    pub changed: IntCounter,
    /// Whether the node answers.
    pub connected: IntGauge,
    /// Best block.
    pub best: IntGauge,
    /// Newest finalized block.
    pub finalized: IntGauge,
    balance: Gauge,
    spent: Gauge,
}

impl Metrics {
    /// Everything at zero. Fails only if two metrics here have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            http: counters(
                r,
                "poq_gateway_http_requests_total",
                "Requests that were answered.",
                &["method", "route", "status"],
            )?,
            http_seconds: histograms(
                r,
                "poq_gateway_http_seconds",
                "Time from a request to the head of its answer.",
                &["route"],
            )?,
            errors: counters(r, "poq_gateway_errors_total", "Errors that callers were told.", &["code"])?,
            orders: counters(r, "poq_gateway_orders_total", "Orders that ended, by outcome.", &["outcome"])?,
            order_seconds: histograms(
                r,
                "poq_gateway_order_seconds",
                "Time from an order to its end.",
                &["outcome"],
            )?,
            open: gauge(
                r,
                "poq_gateway_orders_open",
                "Orders that are not over, or whose end is not final.",
            )?,
            signed_anew: counter(
                r,
                "poq_gateway_signed_anew_total",
                "Transactions that no block can contain, and that were signed anew.",
            )?,
            changed: counter(
                r,
                "poq_gateway_changed_outcomes_total",
                "Outcomes that the chain changed after they were told.",
            )?,
            connected: gauge(r, "poq_gateway_connected", "1 while the node answers.")?,
            best: gauge(r, "poq_gateway_best_block", "Number of the best block.")?,
            finalized: gauge(r, "poq_gateway_finalized_block", "Number of the newest finalized block.")?,
            balance: registered(
                r,
                Gauge::new("poq_gateway_balance_poq", "Balance of the account that is on no hold, in POQ.")?,
            )?,
            spent: registered(
                r,
                Gauge::new("poq_gateway_spent_today_poq", "Spent and reserved today (UTC), in POQ.")?,
            )?,
            registry: Registry::clone(r),
        };
        Ok(metrics)
    }

    /// Balance of the account, in units.
    pub fn set_balance(&self, units: u128) {
        self.balance.set(units as f64 / POQ);
    }

    /// Spending of today, in units.
    pub fn set_spent(&self, units: u128) {
        self.spent.set(units as f64 / POQ);
    }

    /// Everything in Prometheus's text format.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        prometheus::Encoder::encode(&TextEncoder::new(), &self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A number as a gauge has it.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_names_of_their_own() {
        let metrics = Metrics::new().unwrap();
        metrics.set_balance(1_500_000_000_000);
        metrics.orders.with_label_values(&["settled"]).inc();
        let text = metrics.text().unwrap();
        for line in ["poq_gateway_balance_poq 1.5", r#"poq_gateway_orders_total{outcome="settled"} 1"#] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
