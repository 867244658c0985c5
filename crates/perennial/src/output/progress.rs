//! Progress bars, on standard error, and only where somebody sees them.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; gone when dropped, unless it was finished.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Says where it stands.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Says how long the way is.
    pub fn expect(&self, length: u64) {
        self.0.set_length(length);
    }

    /// Changes what it says beside the bar.
    pub fn say(&self, message: String) {
        self.0.set_message(message);
    }

    /// Takes it off the screen.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }

    /// Whether anybody sees it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }
}

fn styled(template: &str, length: u64) -> Progress {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length);
    bar.set_style(style.progress_chars("██▁"));
    Progress(bar)
}

/// Progress through the bytes of a file.
#[must_use]
pub fn bytes(length: u64) -> Progress {
    styled("  {bar:32} {bytes}/{total_bytes}   {msg}   {eta}", length)
}

/// Progress through the days of a simulation.
#[must_use]
pub fn days(length: u64) -> Progress {
    styled("  {bar:32} day {pos}/{len}   {msg}   {elapsed}", length)
}

/// Progress through rows that are written.
#[must_use]
pub fn rows() -> Progress {
    styled("  {bar:32} {percent:>3} %   {msg}   {elapsed}", 0)
}

/// Progress that nobody sees.
#[must_use]
pub fn hidden() -> Progress {
    Progress(ProgressBar::hidden())
}

/// Progress through the steps of a calculation.
#[must_use]
pub fn steps() -> Progress {
    styled("  {bar:32} {pos}/{len}   {msg}   {elapsed}", 0)
}
