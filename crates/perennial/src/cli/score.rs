//! `perennial score`.

use std::path::PathBuf;

use clap::Subcommand;

/// How scores are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated text, with a header.
    Csv,
    /// One array of objects.
    Json,
    /// Typed columns.
    Parquet,
}

/// Customer value.
#[derive(Debug, Subcommand)]
pub enum Score {
    /// Fit a model to the orders
    Fit {
        /// pareto-nbd, mbg-nbd, bg-nbd, mbg-cnbd-2, nbd, stack (all of them together), boosted (trees over the stack), or
        /// auto: let a hold-out choose
        #[arg(long, default_value = "auto")]
        model: String,
        /// The last day whose orders count; today if left out
        #[arg(long, value_name = "YYYY-MM-DD")]
        cutoff: Option<String>,
        /// What may make it finer if it proves itself on the hold-outs: season, covariates, channel, category, country, coupon,
        /// auto (any of them) or none; what the settings say if left out and the model is auto
        #[arg(long, value_name = "NAME")]
        grouping: Option<String>,
        /// Let it serve all scores, if it passes its checks
        #[arg(long)]
        publish: bool,
    },
    /// Compare registered models; the latest if none is named
    Compare {
        /// Models, such as stack@17
        models: Vec<String>,
    },
    /// Show what a customer is worth; everybody together if none is named
    Show {
        /// Any identifier
        customer: Option<String>,
    },
    /// Say what a customer's score is made of
    Explain {
        /// Any identifier
        customer: String,
    },
    /// Write everybody's scores as CSV, JSON or Parquet
    #[command(after_help = "\
Money is in minor units of the column currency, instants are UTC (in Parquet microseconds, with their type), what is not
known is empty. docs/score-export.md names every column.

Examples:
  perennial score export > scores.csv
  perennial score export --format parquet --file scores.parquet
  perennial score export --as-of 2026-03-01 --file march.csv")]
    Export {
        /// Into this file; standard output if left out
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        /// csv, json or parquet; what the file's ending says if left out, else csv
        #[arg(long, value_enum)]
        format: Option<ExportFormat>,
        /// As of the end of this day (UTC) or this instant, by the model in force then
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
    },
    /// Forecast from a day in the past, and compare every model and baseline with what came
    #[command(after_help = "\
The model marked * is the one that would have been picked on that day: selection sees nothing of what came later.

Examples:
  perennial score backtest --cutoff 1997-09-30 --horizon 39w
  perennial score backtest --cutoff 2025-12-31 --horizon 90d --report report/")]
    Backtest {
        /// The last day that may be seen
        #[arg(long, value_name = "YYYY-MM-DD")]
        cutoff: String,
        /// How far to forecast: 39w, 273d, 1y
        #[arg(long, value_name = "LENGTH")]
        horizon: String,
        /// Write a report with pictures into this folder
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Say what a model with given parameters makes of given histories; needs no data
    #[command(after_help = "\
FILE is CSV with the columns x, t_x, T and horizon (and ln_gaps for the log-likelihood of regular models), all times in
the model's unit. Output: log-likelihood, P(alive) and expected purchases within the horizon, row by row.

Example:
  perennial score predict --model pareto-nbd --param r=0.5533,alpha=10.578,s=0.6062,beta=11.669 histories.csv -o json")]
    Predict {
        /// pareto-nbd, bg-nbd, mbg-nbd, bg-cnbd-K, mbg-cnbd-K, nbd or bg-bb
        #[arg(long)]
        model: String,
        /// Its parameters, such as r=0.55,alpha=10.6; may be repeated
        #[arg(long = "param", value_name = "NAME=VALUE,…")]
        parameters: Vec<String>,
        /// Histories; - for standard input
        file: PathBuf,
    },
}
