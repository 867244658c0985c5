//! The one source of "now". Everything that depends on time takes a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// An instant in UTC. Stores and feeds keep it to the microsecond.
pub type Timestamp = jiff::Timestamp;

/// Microseconds since the Unix epoch, the form in which instants are stored.
#[must_use]
pub fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The instant of a stored count of microseconds. Values outside the calendar (years −9999…9999) become its ends.
#[must_use]
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Tells the time: the system's, or a simulated one that moves only when its driver moves it.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<SimulatedClock>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until `clock` is advanced.
    #[must_use]
    pub fn simulated(clock: SimulatedClock) -> Self {
        Self(Some(clock))
    }

    /// Now, to the microsecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(simulated) => simulated.now(),
            #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
            None => from_micros(Timestamp::now().as_microsecond()),
        }
    }

    /// The hand that moves this clock, if it is a simulated one.
    #[must_use]
    pub fn simulation(&self) -> Option<&SimulatedClock> {
        self.0.as_ref()
    }
}

/// A clock that stands still until told to move; clones share the same hands.
#[derive(Clone, Debug)]
pub struct SimulatedClock(Arc<AtomicI64>);

impl SimulatedClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(micros(start))))
    }

    /// Where the hands stand.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        from_micros(self.0.load(Ordering::SeqCst))
    }

    /// Moves forward to `to`; a clock never runs backwards, so an earlier instant changes nothing.
    pub fn advance(&self, to: Timestamp) {
        self.0.fetch_max(micros(to), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_never_runs_backwards() {
        let hand = SimulatedClock::at(from_micros(1_000));
        let clock = Clock::simulated(hand.clone());
        hand.advance(from_micros(5_000));
        hand.advance(from_micros(2_000));
        assert_eq!(clock.now(), from_micros(5_000));
    }
}
