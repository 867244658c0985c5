//! Stories across services, and the rules that no crate can hold alone.
#![expect(clippy::unwrap_used, reason = "tests")]

mod any_order;
mod api_style;
mod architecture;
mod erasure;
mod home;
mod house;
mod ingest;
mod keys;
mod kill;
mod outage;
mod postgres;
mod relay;
mod replicas;
mod shapes;
mod sink;
mod tenants;
mod unmerge;
