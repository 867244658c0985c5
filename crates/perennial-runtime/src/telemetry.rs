//! Logs always; traces and metrics over OTLP where an endpoint is configured.

use anyhow::Context;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Settings of logs, traces and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What is logged: a level, or levels by crate, such as `info,perennial_campaign=debug`.
    pub log: String,
    /// `text` for people, `json` for collectors; on standard error.
    pub format: LogFormat,
    /// Where traces and metrics go over OTLP/gRPC, such as `http://collector:4317`. Empty: nowhere.
    pub otlp_endpoint: String,
    /// Which part of the traces that begin here is kept, from 0 to 1.
    pub trace_ratio: f64,
    /// What this process is called in traces and metrics.
    pub service_name: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::default(),
            otlp_endpoint: String::new(),
            trace_ratio: 1.0,
            service_name: "perennial".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What has to be flushed at the end.
#[derive(Debug, Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Starts logging, and exporting where an endpoint is configured. Once a process, before anything else, within a
    /// tokio runtime.
    ///
    /// # Errors
    /// If a setting cannot be read, or logging was started before.
    pub fn start(config: &TelemetryConfig) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&config.log).with_context(|| {
            format!("telemetry.log is {:?}: use a level such as info, or levels by crate", config.log)
        })?;
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = match config.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let registry = tracing_subscriber::registry().with(filter).with(lines);
        if config.otlp_endpoint.is_empty() {
            registry.try_init().context("logging was started before")?;
            return Ok(Self::default());
        }
        let (traces, metrics) = exporters(config)
            .with_context(|| format!("telemetry.otlp_endpoint {:?} cannot be used", config.otlp_endpoint))?;
        let spans = tracing_opentelemetry::layer().with_tracer(traces.tracer("perennial"));
        registry.with(spans).try_init().context("logging was started before")?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(traces.clone());
        global::set_meter_provider(metrics.clone());
        Ok(Self { traces: Some(traces), metrics: Some(metrics) })
    }

    /// Sends what is left. Does not fail: a collector that is away must not keep a process from ending.
    pub async fn stop(self) {
        // The exporters block until the collector has answered.
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(Err(error)) = self.traces.map(|it| it.shutdown()) {
                tracing::warn!(%error, "the last traces were not sent");
            }
            if let Some(Err(error)) = self.metrics.map(|it| it.shutdown()) {
                tracing::warn!(%error, "the last metrics were not sent");
            }
        });
        drop(flushed.await);
    }
}

fn exporters(config: &TelemetryConfig) -> anyhow::Result<(SdkTracerProvider, SdkMeterProvider)> {
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let spans = SpanExporter::builder().with_tonic().with_endpoint(&config.otlp_endpoint).build()?;
    let ratio = Sampler::TraceIdRatioBased(config.trace_ratio.clamp(0.0, 1.0));
    let traces = SdkTracerProvider::builder()
        .with_batch_exporter(spans)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(resource.clone())
        .build();
    let numbers = MetricExporter::builder().with_tonic().with_endpoint(&config.otlp_endpoint).build()?;
    let metrics = SdkMeterProvider::builder().with_periodic_exporter(numbers).with_resource(resource).build();
    Ok((traces, metrics))
}

/// Puts the current trace into the headers of a call that goes out.
pub fn trace_out(headers: &mut http::HeaderMap) {
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|it| it.inject_context(&context, &mut Outgoing(headers)));
}

/// Makes `span` part of the trace that the headers of a call carry, if they carry one.
pub fn trace_in(span: &tracing::Span, headers: &http::HeaderMap) {
    let context = global::get_text_map_propagator(|it| it.extract(&Incoming(headers)));
    // Without exported traces there is nothing to be part of.
    drop(span.set_parent(context));
}

/// Publishes how the cache does.
pub fn watch_cache(cache: &perennial_cache::Cache) {
    type Count = fn(perennial_cache::Counts) -> u64;
    let counts: [(&'static str, Count); 3] =
        [("cache.hits", |it| it.hits), ("cache.misses", |it| it.misses), ("cache.errors", |it| it.errors)];
    for (name, count) in counts {
        let cache = cache.clone();
        let observe = move |it: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            it.observe(count(cache.counts()), &[])
        };
        let _registered =
            global::meter("perennial.cache").u64_observable_counter(name).with_callback(observe).build();
    }
}

/// Publishes how far the readers of a feed are behind.
pub fn watch_feed(feed: &perennial_feed::Feed) {
    let feed = feed.clone();
    let observe = move |it: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
        for lag in feed.lags() {
            let by = [
                KeyValue::new("feed", feed.name().to_owned()),
                KeyValue::new("consumer", lag.consumer.to_string()),
            ];
            it.observe(lag.records, &by);
        }
    };
    let meter = global::meter("perennial.feed");
    let _registered =
        meter.u64_observable_gauge("feed.lag").with_unit("{record}").with_callback(observe).build();
}

struct Outgoing<'a>(&'a mut http::HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = http::HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

struct Incoming<'a>(&'a http::HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|it| it.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_trace_goes_on_in_the_next_process() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let came = format!("00-{trace}-00f067aa0ba902b7-01");
        let sent = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("rpc");
            trace_in(
                &span,
                &http::HeaderMap::from_iter([(
                    http::HeaderName::from_static("traceparent"),
                    http::HeaderValue::from_str(&came).unwrap(),
                )]),
            );
            let mut headers = http::HeaderMap::new();
            span.in_scope(|| trace_out(&mut headers));
            headers
        });
        let parent = sent["traceparent"].to_str().unwrap();
        assert!(parent.contains(trace) && parent != came, "{parent}");
    }
}
