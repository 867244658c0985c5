//! What people and programs are shown: tables, bars and JSON on standard output, everything else on standard error.

mod bars;
mod number;
mod progress;
mod table;

use std::io::{self, Write};

use serde::Serialize;

pub use bars::{bar, histogram};
pub use number::{count, money, percent, signed, thousands};
pub use progress::{Progress, bytes, days, hidden, rows, steps};
pub use table::{Align, Table};

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Writes text to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
/// If standard output cannot be written.
pub fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a value as JSON to standard output.
///
/// # Errors
/// If it cannot be written.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    show(&serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Says something to the person at the keyboard, on standard error.
pub fn say(text: &str) {
    // Nobody is there to be told if even this cannot be written.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says what went wrong, on standard error: the error and what led to it, each once.
pub fn complain(error: &anyhow::Error) {
    let mut text = String::new();
    for part in error.chain().map(ToString::to_string) {
        if text.ends_with(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    say(&format!("error: {text}"));
}
