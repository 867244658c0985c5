//! `perennial export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::export::Format;

/// What to export.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Every order, a row for each of its lines and for each refund
    #[command(after_help = "\
An order's revenue is shared among its lines, and money that went back stands below nothing in a row that names its order
in refunds, so that the column adds up to what is left. Orders of before their cost was known, discounts, coupons and
guests are in it. Amounts are in the workspace's currency.
perennial_net_revenue and perennial_net_profit say once an order what is left of it.

Examples:
  perennial export orders orders.csv
  perennial export orders march.parquet --since 2026-03-01 --until 2026-03-31
  perennial export orders --format csv.gz > orders.csv.gz
  perennial export orders all.csv && perennial --data-dir copy import orders all.csv")]
    Orders(Timed),
    /// Every event, as it was taken in
    #[command(after_help = "\
As NDJSON each line is the call as the Segment specification writes it, with its message id and the instant that counts.
As CSV or Parquet it has columns, and properties and context as JSON. Either goes in again, here (where nothing
counts twice) or elsewhere, and makes the same people.

Examples:
  perennial export events events.ndjson.gz
  perennial export events --format ndjson --since 2026-03-01 | grep '\"Order Completed\"'
  perennial export events week.parquet --since 2026-03-02 --until 2026-03-08")]
    Events(Timed),
    /// Everybody, with addresses, traits and consents
    #[command(after_help = "\
Traits, consents (since when, by which words, with what proof) and everything else a person is known by are JSON in columns
of their names. Rows that nobody changed change nothing where they come from; change or empty a cell, and import the
file to change the person. Whoever was merged into another is in it once.

Examples:
  perennial export profiles people.csv
  perennial export profiles --format ndjson | head")]
    Profiles(Plain),
    /// Every product
    #[command(after_help = "\
Examples:
  perennial export catalog products.csv
  perennial export catalog products.parquet")]
    Catalog(Plain),
    /// Everything about one person, from all services
    #[command(after_help = "Example:\n  perennial export person ana@example.com --file ana.json")]
    Person {
        /// Any identifier: user id, e-mail, phone, anonymous id, or the profile's own id
        person: String,
        /// Into this file; standard output if left out
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Where it goes.
#[derive(Clone, Debug, Args)]
pub struct Plain {
    /// Into this file, which appears when it is whole; standard output if left out
    pub file: Option<PathBuf>,
    /// How it is written; what the file's name says if left out (.csv, .ndjson, .parquet, .csv.gz, .ndjson.gz), else csv
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Where it goes, and of when it is.
#[derive(Clone, Debug, Args)]
pub struct Timed {
    /// Where it goes.
    #[command(flatten)]
    pub plain: Plain,
    /// Only what happened on this day (UTC) or later, or at this instant or later
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only what happened on this day (UTC) or before, or before this instant
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}
