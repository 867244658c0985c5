//! `perennial demo`.

use clap::Args;

/// What to simulate.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Everything is what it would be in earnest (the same services, feeds, journeys, e-mails into a mail folder), only time is
simulated and the customers are. Their truth is known, so every estimate can be held against it.

Examples:
  perennial demo --customers 2000 --days 120
  perennial demo --seed 7 -o json --data-dir /tmp/a")]
pub struct Demo {
    /// How many customers come by
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub customers: u32,
    /// For how many days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Another seed is another shop
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The share nobody writes to, in percent
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub holdout: u32,
    /// How long one step of time is, in hours. Timers fire for their own instants, but what they send arrives at the end of
    /// the step
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=24))]
    pub slice: u32,
}
